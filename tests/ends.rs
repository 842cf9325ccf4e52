//! What code learns of the ends: of its peer, and of the server that stops.

mod loopback;

use core::cell::Cell;
use core::future::pending;
use core::time::Duration;
use std::rc::Rc;
use std::sync::mpsc::channel;
use std::thread;

use coldstart::handler::{Accept, Blocking, incoming};
use coldstart::message::{Head, ServerSentEvent};
use coldstart::server::{ServerEvent, Timeouts};
use coldstart::{
    Body, Request, Response, Router, TestRequest, before_drain, blocking, draining, interval,
    sleep, spawn,
};
use loopback::server::{Running, on_loopback};
use loopback::{Client, PATIENCE, get};

const SHORT: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(3600);

fn show(request: &Request<'_>) -> String {
    format!("{:?}", request.peer_address())
}

#[test]
fn each_kind_of_handler_knows_the_address_of_its_peer() {
    let pool = blocking(show, 1);
    let respond = |head: &Head<'_>| {
        let text = format!("{:?}", head.peer_address());
        Accept::Respond(Response::text(text).into())
    };
    let router = Router::new()
        .get("/sync", show)
        .get("/owned", |request: &Request<'_>| {
            let request = request.to_owned();
            async move { show(&request.as_request()) }
        })
        .get("/pool", move |request| pool.respond(request))
        .get("/accept", show)
        .accept("GET", "/accept", respond)
        .post("/buffered", show)
        .post_incoming("/pulled", |head, mut body| {
            let address = head.peer_address();
            async move {
                let body = body.collect(9).await;
                body.map(|_| Response::text(format!("{address:?}")))
            }
        });
    let server = Running::start_handler(on_loopback(), router);
    let mut client = Client::connect(server.address);
    let expected = format!("{:?}", client.stream().local_addr().ok());
    for path in ["/sync", "/owned", "/pool", "/accept"] {
        assert_eq!(client.request(get(path)).text(), expected, "{path}");
    }
    for path in ["/buffered", "/pulled"] {
        // The server has read the first chunk before the rest is there, so that it keeps the head.
        client.send(format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"
        ));
        assert_eq!(client.head().expect("a head").status, 100);
        client.send("1\r\na\r\n0\r\n\r\n");
        assert_eq!(client.response().text(), expected, "{path}");
    }
    server.stop();
}

#[test]
fn each_peer_behind_the_same_descriptor_has_an_address_of_its_own() {
    let handler = incoming(|head, _| format!("{:?}", head.peer_address()));
    let server = Running::start_handler(on_loopback(), handler);
    for _ in 0..3 {
        let mut client = Client::connect(server.address);
        let own = format!("{:?}", client.stream().local_addr().ok());
        let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        assert_eq!(client.request(request).text(), own);
    }
    server.stop();
}

/// A server that waits for ever for what does not end.
fn patient() -> coldstart::Server {
    on_loopback().timeouts(Timeouts::new().drain(LONG))
}

#[test]
fn endless_streams_end_whole_when_the_server_stops() {
    let router = Router::new()
        .get("/events", |_| {
            Response::events(async |events| {
                events.send(&ServerSentEvent::new("first")).await?;
                while before_drain(sleep(LONG)).await.is_some() {}
                events.send(&ServerSentEvent::new("last")).await?;
                Ok(())
            })
        })
        .get("/writer", |_| {
            Response::text(Body::writer(async |out| {
                out.send("first ").await?;
                draining().await;
                out.send("last").await?;
                Ok(())
            }))
        })
        .get("/future", |_| async {
            draining().await;
            "last"
        });
    let server = Running::start_handler(patient(), router);
    let mut events = Client::connect(server.address);
    events.send(get("/events"));
    let mut writer = Client::connect(server.address);
    writer.send(get("/writer"));
    for client in [&mut events, &mut writer] {
        let head = client.head().expect("a head");
        assert_eq!(head.field("transfer-encoding"), Some("chunked"));
    }
    let mut future = Client::connect(server.address);
    future.send(get("/future"));
    // The server has called that handler once it serves the next one.
    drop(Client::connect(server.address).request(get("/none")));
    server.begin_stop();
    let rest = String::from_utf8(events.rest().expect("an end")).expect("text");
    assert_eq!(
        rest,
        "d\r\ndata: first\n\n\r\nc\r\ndata: last\n\n\r\n0\r\n\r\n"
    );
    let rest = String::from_utf8(writer.rest().expect("an end")).expect("text");
    assert_eq!(rest, "6\r\nfirst \r\n4\r\nlast\r\n0\r\n\r\n");
    assert_eq!(future.response().text(), "last");
    server.ended().expect("it stops");
    let events: Vec<_> = server.events.try_iter().collect();
    assert!(events.contains(&ServerEvent::Stopped(0)), "{events:?}");
}

#[test]
fn a_periodic_task_and_a_thread_end_by_themselves() {
    let (ends_in, ends) = channel();
    let threads = Blocking::threads(1);
    let server = Running::start(patient(), move |_: &Request<'_>| {
        let ended = ends_in.clone();
        let task = spawn(async move {
            let mut ticks = interval(Duration::from_millis(1));
            while before_drain(ticks.tick()).await.is_some() {}
            ended.send("task")
        });
        drop(task.expect("there is room"));
        // One thread looks from time to time, another one waits.
        let (drain, ended) = (draining(), ends_in.clone());
        let steps = threads.run(move || {
            while !drain.has_begun() {
                thread::yield_now();
            }
            ended.send("steps")
        });
        drop(spawn(steps).expect("there is room"));
        let (drain, ended) = (draining(), ends_in.clone());
        let waits = thread::Builder::new().spawn(move || {
            block_on(drain);
            ended.send("waits")
        });
        assert!(waits.is_ok());
        "begun"
    });
    let mut client = Client::connect(server.address);
    assert_eq!(client.request(get("/")).text(), "begun");
    assert_eq!(ends.try_recv().ok(), None);
    server.begin_stop();
    server.ended().expect("it stops");
    let mut ended: Vec<_> = (0..3)
        .map(|_| ends.recv_timeout(PATIENCE).expect("an end"))
        .collect();
    ended.sort_unstable();
    assert_eq!(ended, ["steps", "task", "waits"]);
    let events: Vec<_> = server.events.try_iter().collect();
    assert!(events.contains(&ServerEvent::Stopped(0)), "{events:?}");
    assert!(
        !events
            .iter()
            .any(|event| matches!(event, ServerEvent::TasksDropped(_))),
        "{events:?}"
    );
}

/// Runs a future on a thread without a loop.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = std::sync::Arc::new(Unpark(thread::current())).into();
    let mut future = core::pin::pin!(future);
    loop {
        let polled = future
            .as_mut()
            .poll(&mut core::task::Context::from_waker(&waker));
        if let core::task::Poll::Ready(output) = polled {
            return output;
        }
        thread::park();
    }
}

#[test]
fn tasks_that_do_not_end_are_dropped_at_the_deadline_and_counted() {
    let server = on_loopback().timeouts(Timeouts::new().drain(SHORT));
    let server = Running::start(server, |_: &Request<'_>| {
        for _ in 0..3 {
            drop(spawn(pending::<()>()).expect("there is room"));
        }
        "begun"
    });
    let mut client = Client::connect(server.address);
    assert_eq!(client.request(get("/")).text(), "begun");
    server.begin_stop();
    server.ended().expect("it stops");
    let events: Vec<_> = server.events.try_iter().collect();
    let dropped = events
        .iter()
        .position(|event| *event == ServerEvent::TasksDropped(3));
    let stopped = events
        .iter()
        .position(|event| matches!(event, ServerEvent::Stopped(_)));
    assert!(dropped.is_some() && dropped < stopped, "{events:?}");
}

#[test]
fn a_task_that_blocks_the_loop_is_reported() {
    let server = Running::start(on_loopback(), |_: &Request<'_>| async {
        let task = spawn(async {
            loopback::outlast(Duration::from_millis(150));
        });
        task.expect("there is room").await.expect("no panic");
        "done"
    });
    let mut client = Client::connect(server.address);
    // In release builds one turn of several is timed.
    let is_reported = (0..200).any(|_| {
        assert_eq!(client.request(get("/")).text(), "done");
        let mut events = server.events.try_iter();
        events.any(|event| matches!(event, ServerEvent::LoopBlocked(time) if time >= Duration::from_millis(100)))
    });
    assert!(is_reported);
    server.stop();
}

#[test]
fn a_test_stops_the_server_when_it_likes() {
    let ended = Rc::new(Cell::new(0));
    let handler = |_: &Request<'_>| {
        let drain = draining();
        assert!(!drain.has_begun(), "each test has a server of its own");
        let of_task = Rc::clone(&ended);
        let task = spawn(async move {
            draining().await;
            of_task.set(of_task.get() + 1);
        });
        drop(task.expect("there is room"));
        Response::text(Body::writer(async move |out| {
            out.send("first ").await?;
            drain.clone().await;
            assert!(drain.has_begun() && draining().has_begun());
            out.send("last").await?;
            Ok(())
        }))
    };
    for round in 1..=2 {
        let mut response = TestRequest::get("/").run(handler);
        assert_eq!(response.next_piece().as_deref(), Some(&b"first "[..]));
        assert_eq!(ended.get(), round - 1);
        response.begin_drain();
        assert_eq!(response.text(), "last");
        assert_eq!(ended.get(), round);
    }
}

#[test]
fn a_thread_without_a_loop_says_where_to_ask() {
    let asked = thread::Builder::new().spawn(|| drop(draining()));
    let panic = asked.expect("a thread").join().expect_err("it panics");
    let text = panic.downcast_ref::<&str>().expect("text");
    assert!(text.contains("in the handler, on the loop"), "{text}");
}
