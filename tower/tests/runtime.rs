//! The runtime of the feature `tokio`, under attack: what is dropped is dropped in it, panics leave it alone, and a stop waits for
//! the work of requests and for no other.
#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "a test may start a thread, and what it cannot set up must fail it"
)]

use core::convert::Infallible;
use core::task::{Context, Poll};
use core::time::Duration;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use coldstart::TestRequest;
use coldstart_tower::{Incoming, ServiceHandler};
use http::{Request, Response};
use http_body_util::BodyExt as _;
use loopback::server::{Running, on_loopback};
use loopback::{Client, PATIENCE, eventually, get};
use tokio::runtime::Handle;
use tower::{Service, service_fn};

#[path = "../../tests/loopback/mod.rs"]
mod loopback;

/// Reports whether it was dropped in the runtime, as a pooled connection needs it, which spawns its return to the pool.
#[derive(Clone)]
struct Pooled(Sender<bool>);

impl Pooled {
    fn new() -> (Self, Receiver<bool>) {
        let (sender, receiver) = channel();
        (Self(sender), receiver)
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        let _ = self.0.send(Handle::try_current().is_ok());
    }
}

fn assert_in_runtime(dropped: &Receiver<bool>, what: &str) {
    let is_in_runtime = dropped.recv_timeout(PATIENCE);
    assert_eq!(is_in_runtime, Ok(true), "{what}");
}

#[test]
fn an_upload_that_is_cut_is_dropped_in_the_runtime() {
    let (pooled, dropped) = Pooled::new();
    let (called_in, called) = channel();
    let pooled = Arc::new(Mutex::new(Some(pooled)));
    let service = service_fn(move |request: Request<Incoming>| {
        let kept = pooled.lock().expect("no panic").take();
        let called_in = called_in.clone();
        async move {
            let mut body = request.into_body();
            body.frame().await;
            called_in.send(()).expect("the test waits");
            while let Some(frame) = body.frame().await {
                frame?;
            }
            drop(kept);
            Ok::<_, coldstart::message::IncomingError>(Response::new(String::new()))
        }
    });
    let server = Running::start_handler(on_loopback(), ServiceHandler::new(service));
    let client = Client::connect(server.address);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc");
    called.recv_timeout(PATIENCE).expect("it reads");
    drop(client);
    assert_in_runtime(&dropped, "the future");
    server.stop();
}

/// A service that holds a pool, and is ready once, or never.
#[derive(Clone)]
struct Holding {
    _pooled: Pooled,
    is_ready: bool,
    asked: Sender<()>,
}

impl Service<Request<Incoming>> for Holding {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = core::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.asked.send(()).expect("the test waits");
        if self.is_ready {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }

    fn call(&mut self, _: Request<Incoming>) -> Self::Future {
        core::future::ready(Ok(Response::new("called".to_owned())))
    }
}

#[test]
fn a_service_is_dropped_in_the_runtime_with_its_request_and_with_its_handler() {
    for is_ready in [true, false] {
        let (pooled, dropped) = Pooled::new();
        let (asked_in, asked) = channel();
        let service = Holding {
            _pooled: pooled,
            is_ready,
            asked: asked_in,
        };
        let server = Running::start_handler(on_loopback(), ServiceHandler::new(service));
        let mut client = Client::connect(server.address);
        client.send(get("/"));
        asked.recv_timeout(PATIENCE).expect("it is asked");
        if is_ready {
            assert_eq!(client.response().text(), "called");
        } else {
            asked.recv_timeout(PATIENCE).expect("the request asks, too");
            drop(client);
            assert_in_runtime(&dropped, "the service that the request took along");
        }
        server.stop();
        assert_in_runtime(&dropped, "the service of the handler");
    }
}

#[test]
fn a_stop_waits_for_blocking_work_of_a_request() {
    let (started_in, started) = channel();
    let (release, released) = channel::<()>();
    let released = Arc::new(Mutex::new(released));
    let service = service_fn(move |_: Request<Incoming>| {
        let (started_in, released) = (started_in.clone(), Arc::clone(&released));
        async move {
            let work = tokio::task::spawn_blocking(move || {
                started_in.send(()).expect("the test waits");
                // Until the test says so.
                released.lock().expect("no panic").recv().is_ok()
            });
            let is_done = work.await.expect("no panic");
            Ok::<_, Infallible>(Response::new(is_done.to_string()))
        }
    });
    let server = Running::start_handler(on_loopback(), ServiceHandler::new(service));
    let mut client = Client::connect(server.address);
    client.send(get("/"));
    started.recv_timeout(PATIENCE).expect("it has begun");
    server.begin_stop();
    eventually("it drains", || {
        let events = server.events.try_iter();
        let mut draining =
            events.filter(|event| matches!(event, coldstart::server::ServerEvent::Draining(_)));
        draining.next().is_some()
    });
    assert!(!server.has_ended(), "a request is left");
    release.send(()).expect("the work waits");
    assert_eq!(client.response().text(), "true");
    server.ended().expect("it served");
}

#[test]
fn a_stop_does_not_wait_for_blocking_work_whose_request_is_gone() {
    let (started_in, started) = channel();
    let (release, released) = channel::<()>();
    let (pooled, dropped) = Pooled::new();
    let work = Arc::new(Mutex::new(Some((released, pooled))));
    let service = service_fn(move |_: Request<Incoming>| {
        let (started_in, work) = (started_in.clone(), Arc::clone(&work));
        async move {
            let (released, pooled) = work.lock().expect("no panic").take().expect("one call");
            let blocking = tokio::task::spawn_blocking(move || {
                started_in.send(()).expect("the test waits");
                released.recv().is_ok()
            });
            drop(blocking.await);
            drop(pooled);
            Ok::<_, Infallible>(Response::new(String::new()))
        }
    });
    let server = Running::start_handler(on_loopback(), ServiceHandler::new(service));
    let client = Client::connect(server.address);
    client.send(get("/"));
    started.recv_timeout(PATIENCE).expect("it has begun");
    drop(client);
    assert_in_runtime(&dropped, "the future");
    server.stop();
    drop(release);
}

#[test]
fn all_loops_share_one_runtime() {
    let bound = on_loopback().workers(2).bind().expect("a free port");
    let (address, stopper) = (bound.local_address(), bound.stopper());
    let (blocked_in, blocked) = channel();
    let (release, released) = channel::<()>();
    let released = Arc::new(Mutex::new(released));
    let service = service_fn(move |request: Request<Incoming>| {
        let (blocked_in, released) = (blocked_in.clone(), Arc::clone(&released));
        async move {
            let thread = thread::current().id();
            if request.uri().path() == "/block" {
                blocked_in.send(()).expect("the test waits");
                // The loop itself, until the test drops its end.
                let _ = released.lock().expect("no panic").recv();
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
            let task = tokio::spawn(async { thread::current().id() });
            let (runtime, driver) = (Handle::current().id(), task.await.expect("no panic"));
            let text = format!("{thread:?} {runtime} {driver:?}");
            Ok::<_, Infallible>(Response::new(text))
        }
    });
    let serving = thread::spawn(move || bound.run_handler(ServiceHandler::new(service)));
    let mut blocker = Client::connect(address);
    blocker.send(get("/block"));
    blocked.recv_timeout(PATIENCE).expect("a loop is blocked");
    let other = Client::connect(address).request(get("/")).text();
    drop(release);
    let first = blocker.response().text();
    let (first, other) = (first.split_once(' '), other.split_once(' '));
    let ((loops, beside), (other_loop, other_beside)) = (first.expect("two"), other.expect("two"));
    assert_ne!(loops, other_loop, "two loops");
    assert_eq!(beside, other_beside, "one runtime and its thread");
    stopper.stop();
    serving.join().expect("no panic").expect("it served");
}

#[test]
fn a_panic_in_a_poll_or_a_task_leaves_the_runtime_as_it_was() {
    let service = service_fn(async |request: Request<Incoming>| {
        let path = request.uri().path().to_owned();
        let task = match path.as_str() {
            "/poll" => panic!("on purpose: in a poll"),
            "/later" => {
                tokio::time::sleep(Duration::from_millis(1)).await;
                panic!("on purpose: in a later poll");
            }
            "/task" => tokio::spawn(async { panic!("on purpose: in a task") }),
            "/blocking" => tokio::task::spawn_blocking(|| panic!("on purpose: on a thread")),
            _ => tokio::spawn(async {}),
        };
        let is_panic = task.await.is_err_and(|error| error.is_panic());
        tokio::time::sleep(Duration::from_millis(1)).await;
        Ok::<_, Infallible>(Response::new(is_panic.to_string()))
    });
    let mut handler = ServiceHandler::new(service);
    let expected = [
        ("/poll", None),
        ("/", Some("false")),
        ("/later", None),
        ("/task", Some("true")),
        ("/blocking", Some("true")),
        ("/", Some("false")),
    ];
    for (path, text) in expected {
        // A panic in the handler's own call ends a test, where the server would go on.
        let response = catch_unwind(AssertUnwindSafe(|| {
            TestRequest::get(path).run_handler(&mut handler)
        }));
        match (text, response) {
            (Some(text), response) => {
                assert_eq!(response.expect("no panic").text(), text, "{path}");
            }
            (None, Ok(response)) => assert_eq!(response.status(), 500, "{path}"),
            (None, Err(_)) => assert_eq!(path, "/poll"),
        }
        assert!(
            Handle::try_current().is_err(),
            "{path}: this thread is in no runtime"
        );
    }
}

#[test]
fn handlers_that_come_and_go_leave_no_runtime_behind() {
    for _ in 0..20 {
        let (pooled, dropped) = Pooled::new();
        let pooled = Arc::new(Mutex::new(Some(pooled)));
        let service = service_fn(move |_: Request<Incoming>| {
            let kept = pooled.lock().expect("no panic").take();
            async move {
                tokio::spawn(async move {
                    core::future::pending::<()>().await;
                    drop(kept);
                });
                Ok::<_, Infallible>(Response::new(String::new()))
            }
        });
        let mut handler = ServiceHandler::new(service);
        assert_eq!(
            TestRequest::get("/").run_handler(&mut handler).status(),
            200
        );
        drop(handler);
        // Another test of this process may hold the runtime meanwhile.
        assert_in_runtime(&dropped, "the task");
    }
}
