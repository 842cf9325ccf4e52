//! Handlers that return futures, over real sockets.

mod loopback;

use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::{fs, thread};

use coldstart::handler::{Blocking, Outcome, WhenHalfClosed};
use coldstart::message::OwnedRequest;
use coldstart::{Function, Request, Response, Router, Server, blocking};
use loopback::process::{Process, can_run, is_again};
use loopback::server::{Running, on_loopback};
use loopback::{Client, PATIENCE, eventually, get};

/// What a [`Later`] waits for.
#[derive(Default)]
struct Slot {
    text: Option<String>,
    waker: Option<Waker>,
}

/// Text that another thread provides. It is not `Send`, as futures of the loop need not be.
struct Later {
    slot: Arc<Mutex<Slot>>,
    _is_local: std::rc::Rc<()>,
    _dropped: Dropped,
}

/// Provides the text.
struct Provider(Arc<Mutex<Slot>>);

const INITIALIZE: &str = "POST /initialize HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";

/// Reports that it was dropped.
struct Dropped(Option<Sender<()>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.take().map(|dropped| dropped.send(()));
    }
}

fn later(dropped: Option<Sender<()>>) -> (Provider, Later) {
    let slot = Arc::<Mutex<Slot>>::default();
    let later = Later {
        slot: Arc::clone(&slot),
        _is_local: std::rc::Rc::default(),
        _dropped: Dropped(dropped),
    };
    (Provider(slot), later)
}

impl Provider {
    fn provide(self, text: &str) {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slot.text = Some(text.to_owned());
        if let Some(waker) = slot.waker.take() {
            drop(slot);
            waker.wake();
        }
    }
}

impl Future for Later {
    type Output = String;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<String> {
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        match slot.text.take() {
            Some(text) => Poll::Ready(text),
            None => {
                slot.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// Text that a thread of its own provides.
fn from_a_thread(text: &'static str) -> Later {
    let (provider, later) = later(None);
    let thread = thread::Builder::new();
    let started = thread.spawn(move || provider.provide(text));
    assert!(started.is_ok(), "the thread starts");
    later
}

/// What it was called with, after a wait.
async fn show(request: OwnedRequest) -> Result<String, Response> {
    let waited = from_a_thread("waited").await;
    let request = request.as_request();
    match request.query() {
        Some(query) => Ok(format!("{query} {} {waited}", request.body().len())),
        None => Err(Response::text(waited).status(coldstart::Status::BAD_REQUEST)),
    }
}

#[test]
fn an_async_closure_may_wait_for_other_threads_while_others_are_served() {
    let (providers_in, providers) = channel();
    let server = Running::start(on_loopback(), move |request: &Request<'_>| {
        let path = request.path().to_owned();
        let waits = path == "/wait";
        let later = waits.then(|| {
            let (provider, later) = later(None);
            drop(providers_in.send(provider));
            later
        });
        async move {
            match later {
                Some(later) => later.await,
                None => path,
            }
        }
    });
    let mut waiting = Client::connect(server.address);
    waiting.send(get("/wait").repeat(2));
    let provider = providers.recv_timeout(PATIENCE).expect("it is called");
    let mut other = Client::connect(server.address);
    assert_eq!(other.request(get("/other")).text(), "/other");
    provider.provide("first");
    assert_eq!(waiting.response().text(), "first");
    let provider = providers.recv_timeout(PATIENCE).expect("it is called");
    provider.provide("second");
    assert_eq!(waiting.response().text(), "second");
    server.stop();
}

#[test]
fn routes_pools_and_single_routes_of_pools_may_be_async() {
    let mut pool = blocking(|request| show(request.to_owned()), 2);
    let of_pool = pool.clone();
    let router = Router::new()
        .get("/loop", |request| show(request.to_owned()))
        .any("/pool", move |request| of_pool.respond(request))
        .post("/outcome", |request| {
            Outcome::future(show(request.to_owned()))
        });
    let server = Running::start_handler(on_loopback(), router);
    let mut client = Client::connect(server.address);
    for path in ["/loop", "/pool"] {
        assert_eq!(
            client.request(get(&format!("{path}?a"))).text(),
            "a 0 waited"
        );
        let failed = client.request(get(path));
        assert_eq!((failed.status, &*failed.text()), (400, "waited"));
    }
    let body = "POST /outcome?b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    assert_eq!(client.request(body).text(), "b 3 waited");
    server.stop();
    let response = coldstart::TestRequest::get("/?c").run_handler(&mut pool);
    assert_eq!(response.text(), "c 0 waited");
    let response = coldstart::TestRequest::get("/?d").run(|request| show(request.to_owned()));
    assert_eq!(response.text(), "d 0 waited");
}

#[test]
fn a_future_is_dropped_when_its_peer_leaves_or_has_half_closed_and_that_is_wanted() {
    for wanted in [WhenHalfClosed::Respond, WhenHalfClosed::Cancel] {
        let (dropped_in, dropped) = channel();
        let (providers_in, providers) = channel();
        let server = Running::start(on_loopback(), move |request: &Request<'_>| {
            if request.path() == "/value" {
                return Response::text("unread").into();
            }
            let (provider, later) = later(Some(dropped_in.clone()));
            drop(providers_in.send(provider));
            Outcome::future(later).when_half_closed(wanted)
        });
        let mut client = Client::connect(server.address);
        client.send(get("/"));
        let provider = providers.recv_timeout(PATIENCE).expect("it is called");
        client.shut_down_output();
        if wanted == WhenHalfClosed::Respond {
            provider.provide("kept");
            assert_eq!(client.response().text(), "kept");
            dropped.recv_timeout(PATIENCE).expect("it is over");
        } else {
            dropped.recv_timeout(PATIENCE).expect("it is dropped");
            provider.provide("too late");
        }
        assert!(client.is_at_end());

        let client = Client::connect(server.address);
        client.send(get("/value") + &get("/"));
        let provider = providers.recv_timeout(PATIENCE).expect("it is called");
        // With bytes unread, it is reset when it is closed.
        let peeked = client.stream().peek(&mut [0]);
        assert_eq!(peeked.expect("the first response"), 1);
        drop(client);
        dropped.recv_timeout(PATIENCE).expect("it is dropped");
        provider.provide("too late");
        server.stop();
    }
}

#[test]
fn a_future_on_a_thread_of_the_pool_ends_when_it_is_woken_after_its_peer_has_gone() {
    let (dropped_in, dropped) = channel();
    let (providers_in, providers) = channel();
    let pool = blocking(
        move |_| {
            let (provider, later) = later(Some(dropped_in.clone()));
            drop(providers_in.send(provider));
            later
        },
        1,
    );
    let pool = pool.when_half_closed(WhenHalfClosed::Cancel);
    let server = Running::start_handler(on_loopback(), pool);
    let client = Client::connect(server.address);
    client.send(get("/"));
    let provider: Provider = providers.recv_timeout(PATIENCE).expect("it is called");
    drop(client);
    let slot = Arc::clone(&provider.0);
    eventually(
        "its waker wakes the thread, which sees that the peer has gone",
        || {
            let waker = slot
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .waker
                .take();
            if let Some(waker) = waker {
                waker.wake();
            }
            dropped.try_recv().is_ok()
        },
    );
    server.stop();
}

#[test]
fn calls_that_arrive_while_an_initializer_waits_wait_for_it_and_one_runs_it_if_its_peer_leaves() {
    let (providers_in, providers) = channel();
    let function = Function::new().initializer(move |_| {
        let (provider, later) = later(None);
        drop(providers_in.send(provider));
        async move {
            later.await;
            Ok(())
        }
    });
    let server = Running::start_handler(on_loopback(), function.handler());
    let leaver = Client::connect(server.address);
    leaver.send(get("/pre-stop") + INITIALIZE);
    let unused = providers.recv_timeout(PATIENCE).expect("it is called");
    let mut clients: Vec<Client> = (0..3).map(|_| Client::connect(server.address)).collect();
    for client in &mut clients {
        client.send(INITIALIZE);
    }
    // With bytes unread, it is reset when it is closed.
    let peeked = leaver.stream().peek(&mut [0]);
    assert_eq!(peeked.expect("the first response"), 1);
    drop(leaver);
    let provider = providers.recv_timeout(PATIENCE).expect("it is called");
    provider.provide("");
    for client in &mut clients {
        assert_eq!(client.response().status, 200);
        assert_eq!(client.request(INITIALIZE).status, 200);
    }
    assert!(providers.try_recv().is_err(), "it has succeeded once");
    unused.provide("too late");
    server.stop();
}

#[test]
fn a_closure_blocks_a_thread_of_its_pool_and_not_the_loop() {
    let pool = Blocking::threads(2);
    let (sender, receiver) = channel::<&str>();
    let receiver = Arc::new(Mutex::new(receiver));
    let router = Router::new().get("/other", |_| "other").get("/", {
        let pool = pool.clone();
        move |_| {
            let receiver = Arc::clone(&receiver);
            pool.run(move || {
                let receiver = receiver.lock().unwrap_or_else(PoisonError::into_inner);
                receiver.recv_timeout(PATIENCE).unwrap_or("nothing came")
            })
        }
    });
    let server = Running::start_handler(on_loopback(), router);
    let (mut waiting, mut other) = (
        Client::connect(server.address),
        Client::connect(server.address),
    );
    waiting.send(get("/"));
    assert_eq!(other.request(get("/other")).text(), "other");
    sender.send("unblocked").expect("it is awaited");
    assert_eq!(waiting.response().text(), "unblocked");
    server.stop();
}

#[test]
fn a_stop_waits_for_a_future() {
    let (providers_in, providers) = channel();
    let server = Running::start(on_loopback(), move |_: &Request<'_>| {
        let (provider, later) = later(None);
        drop(providers_in.send(provider));
        later
    });
    let mut client = Client::connect(server.address);
    client.send(get("/"));
    let provider = providers.recv_timeout(PATIENCE).expect("it is called");
    server.begin_stop();
    eventually("it drains", || {
        server
            .events
            .try_iter()
            .any(|event| matches!(event, coldstart::server::ServerEvent::Draining(1)))
    });
    provider.provide("last");
    assert_eq!(client.response().text(), "last");
    server.ended().expect("it has drained");
}

#[test]
fn several_loops_each_drive_their_own_futures() {
    let workers = Server::new()
        .port(0)
        .without_signals()
        .workers(2)
        .bind()
        .expect("a free port");
    let (address, stopper) = (workers.local_address(), workers.stopper());
    thread::scope(|scope| {
        let serving = scope.spawn(|| workers.run(|request: &Request<'_>| show(request.to_owned())));
        let mut clients: Vec<Client> = (0..8).map(|_| Client::connect(address)).collect();
        for client in &mut clients {
            client.send(get("/?a"));
        }
        for client in &mut clients {
            assert_eq!(client.response().text(), "a 0 waited");
        }
        stopper.stop();
        serving.join().expect("no panic").expect("it served");
    });
}

/// Text that a thread of its own provides once this thread sleeps.
fn from_a_thread_while_this_sleeps(text: &'static str) -> Later {
    let (provider, later) = later(None);
    let here = fs::read_link("/proc/thread-self").unwrap_or_default();
    let status = Path::new("/proc").join(here).join("status");
    let started = thread::Builder::new().spawn(move || {
        let status = || fs::read_to_string(&status).unwrap_or_default();
        eventually("the loop sleeps", || status().contains("\nState:\tS"));
        provider.provide(text);
    });
    assert!(started.is_ok(), "the thread starts");
    later
}

/// Waits for this many turns of the loop.
async fn turns(mut left: usize) {
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// A response with early hints, once this many turns are over.
fn hinted(turns_before: usize) -> Outcome {
    Outcome::informed(async move |informer| {
        let hints = informer.early_hints([("link", "</a.css>; rel=preload")]);
        if hints.is_err() {
            return "not hinted";
        }
        turns(turns_before).await;
        "hinted"
    })
}

#[test]
fn a_future_may_yield_each_kind_of_outcome_after_any_number_of_turns() {
    const TURNS: [usize; 3] = [0, 1, 2];
    let pool = blocking(|_| "promise", 1);
    let server = Running::start(on_loopback(), move |request: &Request<'_>| {
        let request = request.to_owned();
        let pool = pool.clone();
        async move {
            let request = request.as_request();
            let mut parts = request.path().split('/').skip(1);
            let kind = parts.next();
            let mut numbers = parts.map(|part| part.parse().expect("a number"));
            turns(numbers.next().expect("the turns before it")).await;
            let after = numbers.next().expect("the turns after it");
            match kind.expect("a kind") {
                "future" => Outcome::future(async move {
                    turns(after).await;
                    "future"
                }),
                "hinted" => hinted(after),
                "promise" => pool.respond(&request),
                _ => Response::text("value").into(),
            }
        }
    });
    let mut client = Client::connect(server.address);
    for kind in ["value", "future", "hinted", "promise"] {
        for (before, after) in TURNS
            .iter()
            .flat_map(|turns| TURNS.map(|after| (turns, after)))
        {
            client.send(get(&format!("/{kind}/{before}/{after}")));
            if kind == "hinted" {
                let hints = client.head().expect("hints").head;
                assert!(hints.starts_with("HTTP/1.1 103 "), "{before} {after}");
            }
            assert_eq!(client.response().text(), kind, "{before} {after}");
        }
    }
    server.stop();
}

#[test]
fn a_future_that_the_loop_wakes_costs_no_more_system_calls_than_a_value() {
    const NAME: &str = "a_future_that_the_loop_wakes_costs_no_more_system_calls_than_a_value";
    const REQUESTS: usize = 20;
    if is_again() {
        let respond = |_: &Request<'_>| async {
            turns(1).await;
            "woken"
        };
        return on_loopback().run(respond).expect("it serves");
    }
    if !can_run("system calls", &["strace", "-o", "/dev/null", "true"]) {
        return;
    }
    let trace = Path::new(env!("CARGO_TARGET_TMPDIR")).join("turns.strace");
    let (_server, address) = Process::again_traced(NAME, "epoll_wait,sendto", &trace);
    let mut client = Client::connect(address);
    for _ in 0..REQUESTS {
        assert_eq!(client.request(get("/")).text(), "woken");
    }
    let text = || fs::read_to_string(&trace).expect("a trace");
    eventually("the trace has the sends", || {
        text().matches("sendto(").count() == REQUESTS
    });
    let text = text();
    let (_, after_first) = text.split_once("sendto(").expect("it has sends");
    // A poll that returns at once is a turn that nothing needs.
    let is_needless = |line: &&str| line.contains("epoll_wait(") && line.contains(", 0) = ");
    let needless: Vec<&str> = after_first.lines().filter(is_needless).collect();
    assert_eq!(needless, [""; 0]);
}

#[test]
fn a_wake_of_a_loop_that_sleeps_takes_one_system_call() {
    const NAME: &str = "a_wake_of_a_loop_that_sleeps_takes_one_system_call";
    const WAKES: usize = 20;
    if is_again() {
        let respond = |_: &Request<'_>| from_a_thread_while_this_sleeps("woken");
        return on_loopback().run(respond).expect("it serves");
    }
    if !can_run("system calls", &["strace", "-o", "/dev/null", "true"]) {
        return;
    }
    let trace = Path::new(env!("CARGO_TARGET_TMPDIR")).join("futures.strace");
    let (_server, address) = Process::again_traced(NAME, "write", &trace);
    let mut client = Client::connect(address);
    for _ in 0..WAKES {
        assert_eq!(client.request(get("/")).text(), "woken");
    }
    let wakes = || {
        let text = fs::read_to_string(&trace).expect("a trace");
        // The number 1 for the eventfd. A call that another thread interrupts has its arguments in its first line only.
        text.matches(r#", "\1\0\0\0\0\0\0\0", 8"#).count()
    };
    eventually("the trace has the writes", || wakes() >= WAKES);
    assert_eq!(wakes(), WAKES);
}
