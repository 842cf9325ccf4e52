//! What a request costs in heap allocations: on the hot path, nothing.
//!
//! Each thread counts its own. A handler notes its thread's count when it is called, so the difference between two calls
//! is all that happened from the one to the other: answering, writing, sleeping, reading, parsing.
#![expect(
    unsafe_code,
    reason = "a global allocator that counts has to implement an unsafe trait"
)]
#![expect(clippy::expect_used, reason = "what a test cannot set up must fail it")]

mod loopback;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::{Arc, Mutex};

use coldstart::{Bytes, Handler, Request, Response, Router};

use loopback::server::{Running, on_loopback};
use loopback::{Client, get, post};

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counted.
struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn count() {
    COUNT.set(COUNT.get() + 1);
}

// SAFETY: each call is passed on as it came; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are the same.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are the same.
        unsafe { System.realloc(old, layout, len) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are the same.
        unsafe { System.dealloc(old, layout) }
    }
}

/// A handler that notes its thread's count when it is called.
struct Noting<H> {
    handler: H,
    counts: Arc<Mutex<Vec<u64>>>,
}

impl<H: Handler> Handler for Noting<H> {
    fn call(&mut self, request: &Request<'_>) -> Response {
        let mut counts = self.counts.lock().expect("a test that failed");
        counts.push(COUNT.get());
        drop(counts);
        self.handler.call(request)
    }
}

struct Function<F>(F);

impl<F: FnMut(&Request<'_>) -> Response> Handler for Function<F> {
    fn call(&mut self, request: &Request<'_>) -> Response {
        (self.0)(request)
    }
}

const WARM_UP: usize = 40;
const ROUNDS: usize = 400;

/// What a round of `requests` requests costs, once everything is warm: the same each time.
fn cost_a_round(
    handler: impl Handler + Send + 'static,
    requests: usize,
    mut round: impl FnMut(&mut Client),
) -> u64 {
    let counts = Arc::new(Mutex::new(Vec::with_capacity(
        requests * (WARM_UP + ROUNDS),
    )));
    let noting = Noting {
        handler,
        counts: Arc::clone(&counts),
    };
    let server = Running::start_handler(on_loopback(), noting);
    let mut client = Client::connect(server.address);
    for _ in 0..WARM_UP + ROUNDS {
        round(&mut client);
    }
    server.stop();
    let counts = counts.lock().expect("a server that failed");
    assert_eq!(counts.len(), requests * (WARM_UP + ROUNDS), "calls");
    let firsts: Vec<u64> = counts.iter().copied().step_by(requests).collect();
    let costs: Vec<u64> = firsts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let warm = &costs[WARM_UP..];
    assert!(
        warm.iter().all(|cost| *cost == warm[0]),
        "not every round costs the same"
    );
    warm[0]
}

/// What one request costs, the handler's own share included.
fn cost(
    function: impl FnMut(&Request<'_>) -> Response + Send + 'static,
    request: impl AsRef<[u8]>,
) -> u64 {
    cost_a_round(Function(function), 1, |client| {
        assert_eq!(client.ask(&request).status, 200, "the answer");
    })
}

fn greet(_: &Request<'_>) -> Response {
    Response::text("Hello, World!")
}

#[test]
fn what_a_thread_allocates_is_counted() {
    let before = COUNT.get();
    drop(std::hint::black_box(vec![0_u8; 100]));
    drop(std::hint::black_box(Box::new(1)));
    assert_eq!(COUNT.get() - before, 2);
}

#[test]
fn a_get_on_a_connection_that_persists_allocates_nothing() {
    assert_eq!(cost(greet, get("/hello")), 0);
    let fields: String = (0..60)
        .map(|number| format!("X-{number}: value\r\n"))
        .collect();
    let request = format!("GET /long HTTP/1.1\r\nHost: test\r\n{fields}\r\n");
    assert_eq!(cost(greet, request), 0);
}

#[test]
fn sixteen_pipelined_gets_allocate_nothing() {
    let requests = get("/hello").repeat(16);
    let cost = cost_a_round(Function(greet), 16, |client| {
        client.send(&requests);
        for _ in 0..16 {
            assert_eq!(client.answer().status, 200);
        }
    });
    assert_eq!(cost, 0);
}

#[test]
fn a_post_that_comes_whole_allocates_nothing() {
    let look = |request: &Request<'_>| {
        assert_eq!(request.body().len(), 1_024);
        Response::text("seen")
    };
    assert_eq!(cost(look, post("/", &[7; 1_024])), 0);
}

#[test]
fn an_echo_allocates_its_copy_and_nothing_else() {
    let echo = |request: &Request<'_>| Response::bytes(request.body_bytes());
    assert_eq!(cost(echo, post("/", &[7; 1_024])), 1);
}

#[test]
fn a_large_answer_that_is_shared_allocates_nothing() {
    let body = Bytes::from(vec![7; 64 * 1_024]);
    let answer = move |_: &Request<'_>| Response::bytes(body.clone());
    assert_eq!(cost(answer, get("/")), 0);
}

#[test]
fn a_route_allocates_nothing() {
    let router = Router::new().get("/hello", greet).get("/a/{b}/c", greet);
    let cost = cost_a_round(router, 1, |client| {
        assert_eq!(client.ask(get("/hello")).status, 200);
    });
    assert_eq!(cost, 0);
}

/// With the fields that the platform sends.
fn of_the_platform(method: &str, control_path: &str) -> String {
    format!(
        "{method} / HTTP/1.1\r\nHost: test\r\nx-fc-request-id: 1-65f0aa11-0badcafe-0123456789ab\r\n\
         x-fc-control-path: {control_path}\r\n\r\n"
    )
}

#[test]
fn a_function_adds_no_allocation_to_an_http_call() {
    for request in [get("/hello"), of_the_platform("GET", "/http-invoke")] {
        let function = coldstart::Function::new().http_fn(greet).handler();
        let cost = cost_a_round(function, 1, |client| {
            assert_eq!(client.ask(&request).status, 200);
        });
        assert_eq!(cost, 0);
    }
}

#[test]
fn an_event_allocates_the_field_that_tells_its_outcome() {
    let function = coldstart::Function::new().event(|_, _| Ok("done"));
    let cost = cost_a_round(function.handler(), 1, |client| {
        let answer = client.ask(of_the_platform("POST", "/invoke"));
        assert_eq!(answer.text(), "done");
    });
    assert_eq!(cost, 1);
}

#[test]
fn a_connection_that_comes_asks_and_goes_allocates_nothing() {
    // Some are accepted before those that went are noticed. Once there are more than there will ever be again.
    let mut crowd = 40;
    let cost = cost_a_round(Function(greet), 1, |client| {
        let server = client.stream().peer_addr().expect("a server");
        let silent: Vec<Client> = (0..crowd).map(|_| Client::connect(server)).collect();
        // Who comes last is accepted last.
        assert_eq!(Client::connect(server).ask(get("/hello")).status, 200);
        drop(silent);
        crowd = 0;
    });
    assert_eq!(cost, 0);
}

#[test]
fn a_body_that_comes_later_allocates_what_it_is_kept_in() {
    let look = |request: &Request<'_>| {
        Response::text(if request.body().len() == 1_024 {
            "whole"
        } else {
            ""
        })
    };
    let cost = cost_a_round(Function(look), 1, |client| {
        client.send(
            "POST / HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 1024\r\n\r\n",
        );
        assert_eq!(client.head().expect("an answer").status, 100);
        assert_eq!(client.ask([7; 1_024]).text(), "whole");
    });
    // The session's work, the head, the body.
    assert_eq!(cost, 3);
}

#[test]
fn a_chunked_body_in_one_piece_allocates_what_it_is_kept_in() {
    let look = |request: &Request<'_>| {
        Response::text(if request.body().len() == 16 {
            "whole"
        } else {
            ""
        })
    };
    let request = "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n";
    // The body, and what it could be shared by.
    assert_eq!(cost(look, request), 2);
}

#[test]
fn a_promise_allocates_what_it_is_kept_in() {
    let promise = |_: &Request<'_>| {
        let (response, reply) = Response::promised();
        reply.complete(Response::text("kept"));
        response
    };
    // The place where promise and reply meet, the answer in it, the session's work.
    assert_eq!(cost(promise, get("/")), 3);
}
