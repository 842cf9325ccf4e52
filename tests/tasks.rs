//! Timers and tasks, over real sockets.
#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "the tests read the clock to see that no timer is early, and wake from a thread; a failed set-up must fail the test"
)]

mod loopback;

use core::future::poll_fn;
use core::task::{Poll, Waker};
use std::cell::Cell;
use std::fs;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use coldstart::server::{Limits, ServerEvent, Timeouts};
use coldstart::task::{JoinError, SpawnError};
use coldstart::{
    Body, Request, Response, Router, TestRequest, blocking, interval, sleep, spawn, timeout,
    yield_now,
};
use loopback::process::{Process, can_run, is_again, status};
use loopback::server::{Running, on_loopback};
use loopback::{Client, PATIENCE, eventually, get, outlast};

const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(20);

/// Reports that it was dropped.
struct Dropped(Sender<()>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

#[test]
fn a_wait_is_never_short_on_a_loop_on_a_thread_of_a_pool_and_in_a_test() {
    async fn waited(_: u8) -> String {
        let began = Instant::now();
        let mut ticks = interval(SHORT);
        ticks.tick().await;
        for number in 1..4 {
            ticks.tick().await;
            assert!(began.elapsed() >= SHORT * number);
        }
        let began = Instant::now();
        sleep(SHORT).await;
        assert!(began.elapsed() >= SHORT);
        let elapsed = timeout(SHORT, core::future::pending::<()>()).await;
        assert!(began.elapsed() >= 2 * SHORT && elapsed.is_err());
        assert_eq!(timeout(LONG, async { 7 }).await, Ok(7));
        sleep(Duration::ZERO).await;
        "waited".to_owned()
    }
    let pool = blocking(|_| waited(1), 1);
    let mut router = Router::new()
        .get("/loop", |_| waited(0))
        .get("/pool", move |request| pool.respond(request));
    for path in ["/loop", "/pool"] {
        assert_eq!(
            TestRequest::get(path).run_handler(&mut router).text(),
            "waited"
        );
    }
    let server = Running::start_handler(on_loopback(), router);
    let mut client = Client::connect(server.address);
    for path in ["/loop", "/pool"] {
        assert_eq!(client.request(get(path)).text(), "waited");
    }
    server.stop();
}

#[test]
fn ten_thousand_timers_fire_and_none_too_early() {
    const COUNT: u32 = 10_000;
    let server = Running::start(on_loopback(), |_: &Request<'_>| async {
        let fired = Rc::new(Cell::new(0));
        let tasks: Vec<_> = (0..COUNT)
            .map(|number| {
                // In no order, and many at once.
                let time = Duration::from_millis(u64::from(number * 7919 % 100));
                let fired = Rc::clone(&fired);
                spawn(async move {
                    let began = Instant::now();
                    sleep(time).await;
                    assert!(began.elapsed() >= time);
                    fired.set(fired.get() + 1);
                })
            })
            .collect();
        for task in tasks {
            task.expect("the bound is as high").await.expect("no panic");
        }
        assert_eq!(fired.get(), COUNT);
        "done"
    });
    let mut client = Client::connect(server.address);
    assert_eq!(client.request(get("/")).text(), "done");
    server.stop();
}

#[test]
fn tasks_beyond_the_bound_are_refused_and_places_become_free() {
    let server = on_loopback().limits(Limits::new().tasks_max(2));
    let server = Running::start(server, |_: &Request<'_>| async {
        let first = spawn(sleep(LONG)).expect("room for two");
        let second = spawn(async {}).expect("room for two");
        assert_eq!(spawn(async {}).err(), Some(SpawnError::TooMany));
        assert_eq!(second.await, Ok(()));
        let third = spawn(async { 3 }).expect("a place is free");
        first.abort();
        assert!(first.is_finished());
        let fourth = spawn(async { 4 }).expect("a place is free");
        assert_eq!((third.await, fourth.await), (Ok(3), Ok(4)));
        assert_eq!(first.await, Err(JoinError::Aborted));
        // What is aborted before it has run is not listed for ever.
        for _ in 0..100_000 {
            spawn(async {}).expect("a place is free").abort();
        }
        "done"
    });
    let mut client = Client::connect(server.address);
    assert_eq!(client.request(get("/")).text(), "done");
    server.stop();
}

#[test]
fn timers_beyond_the_bound_end_their_own_request() {
    let timeouts = Timeouts::new().drain(SHORT);
    let limits = Limits::new().timers_max(1);
    let server = on_loopback().limits(limits).timeouts(timeouts);
    let server = Running::start(server, |request: &Request<'_>| {
        let is_second = request.path() == "/second";
        async move {
            let held = spawn(sleep(LONG)).expect("there is room");
            if is_second {
                // Until the task has been polled.
                for _ in 0..3 {
                    yield_now().await;
                }
            }
            sleep(SHORT).await;
            held.abort();
            "done"
        }
    });
    let mut client = Client::connect(server.address);
    assert_eq!(client.request(get("/")).text(), "done");
    assert_eq!(client.request(get("/second")).status, 500);
    server.stop();
}

#[test]
fn no_loop_means_no_task() {
    assert_eq!(spawn(async {}).err(), Some(SpawnError::NoLoop));
    let mut pool = blocking(|_| async { format!("{:?}", spawn(async {}).err()) }, 1);
    let response = TestRequest::get("/").run_handler(&mut pool);
    assert_eq!(response.text(), "Some(NoLoop)");
}

#[test]
fn a_panic_ends_its_own_task_and_is_reported() {
    let server = Running::start(on_loopback(), |_: &Request<'_>| async {
        let detached = spawn(async { panic!("detached") });
        drop(detached);
        let task = spawn(async {
            yield_now().await;
            panic!("awaited")
        });
        let joined: Result<(), JoinError> = task.expect("few tasks").await;
        assert_eq!(joined, Err(JoinError::Panicked));
        "served"
    });
    let mut client = Client::connect(server.address);
    assert_eq!(client.request(get("/")).text(), "served");
    let is_panic = |event: &ServerEvent| *event == ServerEvent::TaskPanicked;
    server.begin_stop();
    server.ended().expect("it stops");
    assert_eq!(server.events.try_iter().filter(is_panic).count(), 2);
}

#[test]
fn tasks_that_wake_themselves_starve_neither_sessions_nor_each_other() {
    let server = on_loopback().timeouts(Timeouts::new().drain(SHORT));
    let server = Running::start(server, |request: &Request<'_>| {
        if request.path() == "/busy" {
            for _ in 0..300 {
                let busy = spawn(async {
                    loop {
                        yield_now().await;
                    }
                });
                drop(busy.expect("few tasks"));
            }
        }
        async {
            let task = spawn(async {
                yield_now().await;
                "served"
            });
            task.expect("few tasks").await.expect("no panic")
        }
    });
    let mut client = Client::connect(server.address);
    assert_eq!(client.request(get("/busy")).text(), "served");
    for _ in 0..100 {
        assert_eq!(client.request(get("/")).text(), "served");
    }
    server.stop();
}

#[test]
fn a_task_streams_a_body_and_ends_when_its_peer_leaves() {
    let (dropped_in, dropped) = channel();
    let server = Running::start(on_loopback(), move |_: &Request<'_>| {
        let (sender, body) = Body::channel(1024);
        let dropped = Dropped(dropped_in.clone());
        let task = spawn(async move {
            let _dropped = dropped;
            let mut ticks = interval(Duration::from_millis(1));
            loop {
                ticks.tick().await;
                if sender.is_peer_gone() {
                    return;
                }
                drop(sender.try_send("tick\n"));
            }
        });
        drop(task.expect("few tasks"));
        Response::text(body)
    });
    let mut client = Client::connect(server.address);
    client.send(get("/"));
    let head = client.head().expect("a response");
    assert_eq!(head.status, 200);
    drop(client);
    dropped.recv_timeout(PATIENCE).expect("the task ends");
    server.stop();
}

/// The output of a task that a thread wakes.
async fn woken_by_a_thread() -> &'static str {
    let (waker_in, waker) = channel::<Waker>();
    let is_woken = Arc::new(AtomicBool::new(false));
    let by_thread = Arc::clone(&is_woken);
    let thread = thread::spawn(move || {
        let waker = waker.recv().expect("the task waits");
        by_thread.store(true, Ordering::Release);
        waker.wake();
    });
    let task = spawn(poll_fn(move |context| {
        if is_woken.load(Ordering::Acquire) {
            return Poll::Ready("woken");
        }
        drop(waker_in.send(context.waker().clone()));
        Poll::Pending
    }));
    let output = task.expect("few tasks").await.expect("no panic");
    thread.join().expect("no panic");
    output
}

#[test]
fn a_task_is_woken_by_other_threads() {
    let server = Running::start(on_loopback(), |_: &Request<'_>| woken_by_a_thread());
    let mut client = Client::connect(server.address);
    assert_eq!(client.request(get("/")).text(), "woken");
    server.stop();
}

/// Serves in a process of its own.
fn serve_in_process() {
    let router = Router::new()
        .get("/", |_| "up")
        .get("/woken", |_| woken_by_a_thread())
        .get("/own", |_| async {
            let tasks = (0..100).map(|_| {
                spawn(async {
                    for _ in 0..10 {
                        yield_now().await;
                    }
                    sleep(Duration::from_millis(2)).await;
                })
            });
            for task in tasks.collect::<Vec<_>>() {
                task.expect("few tasks").await.expect("no panic");
            }
            "done"
        })
        .get("/ticks", |_| ticks_after_a_freeze());
    let served = on_loopback().run_handler(router);
    served.expect("it serves");
}

const PERIOD: Duration = Duration::from_millis(20);
const FROZEN: Duration = Duration::from_millis(400);

/// Waits for ticks until some were missed and two have followed: at most one of those comes before the rhythm has.
async fn ticks_after_a_freeze() -> String {
    let mut ticks = interval(PERIOD);
    ticks.tick().await;
    loop {
        let before = Instant::now();
        ticks.tick().await;
        if before.elapsed() >= FROZEN {
            break;
        }
    }
    let late = Instant::now();
    ticks.tick().await;
    ticks.tick().await;
    format!(
        "burst: {}",
        late.elapsed() < PERIOD - Duration::from_millis(1)
    )
}

#[test]
fn a_frozen_server_fires_once_for_all_ticks_that_it_missed() {
    if is_again() {
        return serve_in_process();
    }
    let mut server = Process::again("a_frozen_server_fires_once_for_all_ticks_that_it_missed");
    let address = server.address();
    let (response_in, response) = channel();
    thread::spawn(move || {
        let text = Client::connect(address).request(get("/ticks")).text();
        drop(response_in.send(text));
    });
    let text = loop {
        server.freeze();
        outlast(FROZEN + 2 * PERIOD);
        server.thaw();
        if let Ok(text) = response.recv_timeout(10 * PERIOD) {
            break text;
        }
        assert!(!server.has_ended(), "it serves");
    };
    assert_eq!(text, "burst: false");
}

#[test]
fn wakes_from_the_loops_own_thread_take_no_system_call_and_others_take_one() {
    const NAME: &str = "wakes_from_the_loops_own_thread_take_no_system_call_and_others_take_one";
    if is_again() {
        return serve_in_process();
    }
    if !can_run("system calls", &["strace", "-o", "/dev/null", "true"]) {
        return;
    }
    let trace = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("tasks.strace");
    let (server, address) = Process::again_traced(NAME, "write", &trace);
    let mut client = Client::connect(address);
    // A write to the eventfd has eight bytes, of the number 1.
    let wakes = || {
        let text = fs::read_to_string(&trace).expect("a trace");
        text.matches(r#""\1\0\0\0\0\0\0\0", 8"#).count()
    };
    for _ in 0..3 {
        assert_eq!(client.request(get("/own")).text(), "done");
    }
    assert_eq!(wakes(), 0);
    assert_eq!(client.request(get("/woken")).text(), "woken");
    eventually("the trace has the write", || wakes() == 1);
    assert!(status(server.id, "State").is_some(), "it serves");
}

#[test]
fn a_stop_waits_for_tasks_within_its_time_and_then_drops_them() {
    for (time, is_over) in [(SHORT, true), (LONG, false)] {
        let (dropped_in, dropped) = channel();
        let (over_in, over) = channel();
        let timeouts = Timeouts::new().drain(if is_over { PATIENCE } else { SHORT });
        let server = Running::start(on_loopback().timeouts(timeouts), move |_: &Request<'_>| {
            let (dropped, over) = (Dropped(dropped_in.clone()), over_in.clone());
            let task = spawn(async move {
                let _dropped = dropped;
                sleep(time).await;
                let _ = over.send(());
            });
            drop(task.expect("few tasks"));
            "spawned"
        });
        let mut client = Client::connect(server.address);
        assert_eq!(client.request(get("/")).text(), "spawned");
        drop(client);
        server.begin_stop();
        server.ended().expect("it stops");
        dropped.try_recv().expect("nothing is left");
        assert_eq!(over.try_recv().is_ok(), is_over);
    }
}

#[test]
fn tasks_of_a_test_run_while_it_waits_for_the_body() {
    let count = Rc::new(Cell::new(0));
    let counted = Rc::clone(&count);
    let mut response = TestRequest::get("/").run(move |_| {
        let (sender, body) = Body::channel(1024);
        let count = Rc::clone(&counted);
        let task = spawn(async move {
            for piece in ["one", "two"] {
                sleep(Duration::from_millis(1)).await;
                count.set(count.get() + 1);
                sender.try_send(piece).expect("there is room");
            }
            sender.finish();
        });
        drop(task.expect("few tasks"));
        Response::text(body)
    });
    assert_eq!(count.get(), 0);
    assert_eq!(response.next_piece().as_deref(), Some(&b"one"[..]));
    assert_eq!(response.text(), "two");
    assert_eq!(count.get(), 2);
}
