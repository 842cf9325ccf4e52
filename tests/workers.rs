//! Several loops, and several servers, on one port.

#![expect(clippy::disallowed_methods, reason = "a test may start a thread")]

mod loopback;

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;

use coldstart::server::Limits;
use coldstart::{Request, Response, Server};

use loopback::{Client, PATIENCE, get, server};

#[test]
fn a_loop_that_a_handler_blocks_keeps_no_new_client_from_the_others() {
    let bound = server::on_loopback()
        .workers(2)
        .bind()
        .expect("a free port");
    let (address, stopper) = (bound.local_address(), bound.stopper());
    let (blocked_in, blocked) = channel();
    let (release, released) = channel::<()>();
    let released = Arc::new(Mutex::new(released));
    let handler = move |request: &Request<'_>| {
        if request.path() == "/block" {
            blocked_in.send(()).expect("the test waits");
            // Until the test drops its end.
            let _ended = released.lock().map(|released| released.recv());
        }
        Response::text("served")
    };
    let serving = thread::spawn(move || bound.run(handler));
    let mut blocker = Client::connect(address);
    blocker.send(get("/block"));
    blocked.recv_timeout(PATIENCE).expect("a loop is blocked");
    for _ in 0..30 {
        let mut client = Client::connect(address);
        assert_eq!(client.request(get("/")).text(), "served");
    }
    drop(release);
    assert_eq!(blocker.response().text(), "served");
    stopper.stop();
    serving
        .join()
        .expect("no panic")
        .expect("it ran without an error");
}

#[test]
fn a_second_server_on_a_port_is_refused_unless_both_share_it() {
    let one = |server: Server| server.bind().map(|bound| bound.local_address());
    let two = |server: Server| {
        let bound = server.workers(2).bind();
        bound.map(|bound| bound.local_address())
    };
    let alone = server::on_loopback;
    let shared = || alone().share_port();
    let first = alone().workers(2).bind().expect("a free port");
    let at = first.local_address();
    for second in [alone(), shared()].map(|server| server.address(at)) {
        assert!(
            one(second).is_err(),
            "it would take half of the connections"
        );
    }
    for second in [alone(), shared()].map(|server| server.address(at)) {
        assert!(
            two(second).is_err(),
            "it would take half of the connections"
        );
    }
    drop(first);
    let first = shared().workers(2).bind().expect("a free port");
    let at = first.local_address();
    assert!(one(alone().address(at)).is_err());
    assert!(two(alone().address(at)).is_err());
    assert_eq!(one(shared().address(at)).ok(), Some(at));
    assert_eq!(two(shared().address(at)).ok(), Some(at));
}

#[test]
fn the_loops_of_a_server_share_one_bound_on_memory() {
    const ANNOUNCED: &str =
        "POST / HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 600000\r\n\r\n";
    let limits = Limits::new().memory_max(1_000_000);
    let bound = server::on_loopback()
        .limits(limits)
        .workers(2)
        .bind()
        .expect("a free port");
    let (address, stopper) = (bound.local_address(), bound.stopper());
    let (blocked_in, blocked) = channel();
    let (release, released) = channel();
    let released = Arc::new(Mutex::new(released));
    let handler = move |request: &Request<'_>| {
        if request.path() == "/block" {
            blocked_in.send(()).expect("the test waits");
            let _released: Result<(), _> = released.lock().expect("no panic").recv();
        }
        Response::text("served")
    };
    let serving = thread::spawn(move || bound.run(handler));
    let mut first = Client::connect(address);
    first.send(get("/block"));
    blocked.recv_timeout(PATIENCE).expect("one loop is blocked");
    // Both are on the other loop.
    let mut second = Client::connect(address);
    assert_eq!(second.request(get("/")).text(), "served");
    let mut holder = Client::connect(address);
    holder.send(ANNOUNCED);
    assert_eq!(holder.head().expect("a response").status, 100);
    release.send(()).expect("the handler waits");
    assert_eq!(first.response().text(), "served");
    second.send(get("/block"));
    blocked
        .recv_timeout(PATIENCE)
        .expect("the other loop is blocked");
    // This one is on the first loop.
    let mut refused = Client::connect(address);
    assert_eq!(refused.request(ANNOUNCED).status, 503);
    release.send(()).expect("the handler waits");
    assert_eq!(second.response().text(), "served");
    drop(holder);
    stopper.stop();
    serving
        .join()
        .expect("no panic")
        .expect("it ran without an error");
}
