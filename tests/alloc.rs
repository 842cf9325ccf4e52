//! Heap allocations per request: none on the hot path.
//!
//! Each thread counts its own allocations. A handler records its thread's count on every call, so the difference
//! between two calls covers everything from one to the next: responding, writing, sleeping, reading, parsing.
#![expect(
    unsafe_code,
    reason = "a counting global allocator implements an unsafe trait"
)]
#![expect(clippy::expect_used, reason = "a failed set-up must fail the test")]

mod loopback;

use core::convert::Infallible;
use core::future::poll_fn;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::task::{Context, Poll};
use core::time::Duration;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use coldstart::handler::{IntoOutcome, Outcome, WebSocket, WebSocketMessage, WhenHalfClosed};
use coldstart::message::LocalBody;
use coldstart::{Bytes, Handler, Request, Response, Router, Status, yield_now};

use loopback::server::{Running, on_loopback};
use loopback::{Client, PATIENCE, get, post};

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
    /// Bytes that the thread has allocated, less those that it has freed.
    static LIVE: Cell<usize> = const { Cell::new(0) };
    /// Allocations of [`LONG_LENS`].
    static LONG: Cell<u64> = const { Cell::new(0) };
}

/// Blocks for which musl's allocator maps another page, because the page of all smaller ones has no room for them. Read buffers are longer:
/// the first loop has one without an allocation, and of all tests one has the first loop.
const LONG_LENS: core::ops::Range<usize> = 237..64 * 1024;

/// What an allocator takes for each allocation beside its bytes.
const OVERHEAD: usize = 16;

/// The system allocator, with a counter.
struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn count(len: usize) {
    COUNT.set(COUNT.get() + 1);
    LONG.set(LONG.get() + u64::from(LONG_LENS.contains(&len)));
    LIVE.set(LIVE.get().wrapping_add(len + OVERHEAD));
}

fn count_freed(len: usize) {
    LIVE.set(LIVE.get().wrapping_sub(len + OVERHEAD));
}

// SAFETY: each call is passed on unchanged; counting does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller upholds the same contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller upholds the same contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        count(len);
        count_freed(layout.size());
        // SAFETY: the caller upholds the same contract.
        unsafe { System.realloc(old, layout, len) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        count_freed(layout.size());
        // SAFETY: the caller upholds the same contract.
        unsafe { System.dealloc(old, layout) }
    }
}

/// A handler that records its thread's count on every call.
struct Noting<H> {
    handler: H,
    counts: Arc<Mutex<Vec<u64>>>,
}

impl<H: Handler> Handler for Noting<H> {
    fn call(&mut self, request: &Request<'_>) -> Outcome {
        let mut counts = self.counts.lock().expect("no test thread panicked");
        counts.push(COUNT.get());
        drop(counts);
        self.handler.call(request)
    }
}

struct Function<F>(F);

impl<F: FnMut(&Request<'_>) -> R, R: IntoOutcome> Handler for Function<F> {
    fn call(&mut self, request: &Request<'_>) -> Outcome {
        (self.0)(request).into_outcome()
    }
}

const WARM_UP: usize = 40;
const ROUNDS: usize = 400;

/// The allocations of one round of `requests` requests, once warm. Every round must cost the same.
fn cost_per_round(
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
    let counts = counts.lock().expect("no handler panicked");
    assert_eq!(counts.len(), requests * (WARM_UP + ROUNDS), "calls");
    let firsts: Vec<u64> = counts.iter().copied().step_by(requests).collect();
    let costs: Vec<u64> = firsts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let warm = &costs[WARM_UP..];
    assert!(
        warm.iter().all(|cost| *cost == warm[0]),
        "not every round costs the same: {costs:?}"
    );
    warm[0]
}

/// The allocations of one request, including the handler's.
fn cost<R: IntoOutcome + 'static>(
    function: impl FnMut(&Request<'_>) -> R + Send + 'static,
    request: impl AsRef<[u8]>,
) -> u64 {
    cost_per_round(Function(function), 1, |client| {
        assert_eq!(client.request(&request).status, 200, "the response is 200");
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
fn until_a_first_response_one_block_is_long() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&seen);
    let note = move |_: &Request<'_>| {
        noted.lock().expect("no panic").push(LONG.get());
        "hello\n"
    };
    // Without an observer, which may allocate.
    let bound = on_loopback().bind().expect("a port is free");
    let (address, stopper) = (bound.local_address(), bound.stopper());
    std::thread::scope(|scope| {
        let served = scope.spawn(|| bound.run_handler(Function(note)));
        let mut client = Client::connect(address);
        for _ in 0..2 {
            assert_eq!(client.request(get("/")).status, 200);
        }
        stopper.stop();
        served.join().expect("no panic").expect("it serves");
    });
    // The list that the kernel puts its events into; then that of the simulation's meters, which only tests have.
    assert_eq!(*seen.lock().expect("no panic"), [1, 2]);
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
    let cost = cost_per_round(Function(greet), 16, |client| {
        client.send(&requests);
        for _ in 0..16 {
            assert_eq!(client.response().status, 200);
        }
    });
    assert_eq!(cost, 0);
}

#[test]
fn a_post_that_arrives_whole_allocates_nothing() {
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
fn a_future_that_is_ready_allocates_nothing_and_one_that_waits_what_it_needs_meanwhile() {
    let ready = |request: &Request<'_>| {
        let len = request.path().len();
        Outcome::future(async move { if len > 1 { "long" } else { "short" } })
    };
    assert_eq!(cost(ready, get("/long")), 0);
    // Nor does one whose response a peer that has gone would cancel, or one that holds as much as a service's.
    let large = |request: &Request<'_>| {
        let held = [request.path().len(); 200];
        let future = async move {
            if held.iter().sum::<usize>() > 200 {
                "long"
            } else {
                "short"
            }
        };
        Outcome::future(future).when_half_closed(WhenHalfClosed::Cancel)
    };
    assert_eq!(cost(large, get("/long")), 0);
    // One that yields needs its own memory, its place in the session, its waker, the way from there to the mailbox, and the memory of a
    // session that waits.
    let woken = |_: &Request<'_>| {
        let mut is_woken = false;
        Outcome::future(poll_fn(move |context| {
            if is_woken {
                return Poll::Ready("woken");
            }
            is_woken = true;
            context.waker().wake_by_ref();
            Poll::Pending
        }))
    };
    assert_eq!(cost(woken, get("/woken")), 5);
}

/// How many connections this process can have open at both ends, up to `wanted`.
fn connections_possible(wanted: usize) -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").expect("/proc");
    let mut lines = limits.lines();
    let line = lines.find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    wanted.min(soft.unwrap_or(wanted).saturating_sub(400) / 2)
}

#[test]
fn ten_thousand_requests_that_wait_take_at_most_a_kibibyte_each() {
    let count = connections_possible(10_000);
    let (lives_in, lives) = channel();
    let function = coldstart::Function::new().http(move |_: &Request<'_>| {
        lives_in.send(LIVE.get()).expect("the test listens");
        let never = Outcome::future(core::future::pending::<Response>());
        never.when_half_closed(WhenHalfClosed::Cancel)
    });
    let server = Running::start_handler(on_loopback(), function.handler());
    // Each has a name, which its log lines carry.
    let request = from_platform("GET", "/http-invoke");
    let mut clients = Vec::new();
    let mut live = Vec::new();
    for _ in 0..count {
        let client = Client::connect(server.address);
        client.send(&request);
        clients.push(client);
        live.push(lives.recv_timeout(PATIENCE).expect("it is called"));
    }
    // Without the first ones, which allocate what all share.
    let (first, last) = (live[count / 10], live[count - 1]);
    let each = last.wrapping_sub(first) / (count - 1 - count / 10);
    eprintln!("{count} requests that wait take {each} bytes each, with their slots");
    assert!(each <= 1_024, "{each} bytes each");
    drop(clients);
    server.stop();
}

/// Bytes that the loop holds whenever a WebSocket waits: most recently, and at most.
#[derive(Debug, Default)]
struct Held {
    last: AtomicUsize,
    most: AtomicUsize,
}

/// A WebSocket that reads, and what is held meanwhile. A message of text is answered by a large one.
fn reading_web_socket() -> (Running, TcpStream, Arc<Held>) {
    let held = Arc::<Held>::default();
    let of_socket = Arc::clone(&held);
    let router = Router::new().accept("GET", "/", move |head| {
        let held = Arc::clone(&of_socket);
        WebSocket::accept(head, async move |mut socket| {
            let poll = |socket: &mut WebSocket, context: &mut Context<'_>| {
                let polled = socket.poll_read(context);
                if polled.is_pending() {
                    held.last.store(LIVE.get(), Ordering::Relaxed);
                    held.most.fetch_max(LIVE.get(), Ordering::Relaxed);
                }
                polled
            };
            while let Some(message) = poll_fn(|context| poll(&mut socket, context)).await? {
                if matches!(message, WebSocketMessage::Text(_)) {
                    socket.send(vec![0; LARGE_LEN]).await?;
                }
            }
            Ok(())
        })
    });
    let server = Running::start_handler(on_loopback(), router);
    let mut stream = TcpStream::connect(server.address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let handshake = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(handshake.as_bytes()).expect("room");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a head");
        head.extend(byte);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{head:?}");
    (server, stream, held)
}

/// Bytes of a large message.
const LARGE_LEN: usize = 1_000_000;

/// A ping without a payload, and its pong.
const PING: [u8; 6] = [0x89, 0x80, 0, 0, 0, 0];
const PONG: [u8; 2] = [0x8a, 0];

#[test]
fn a_web_socket_holds_no_more_of_what_was_read_while_part_of_the_next_message_waits() {
    let message = |len: usize| {
        let mut message = vec![0x82, 0xff];
        message.extend((len as u64).to_be_bytes());
        message.resize(message.len() + 4 + len, 0);
        message
    };
    let (large, medium) = (message(LARGE_LEN), message(10_000));
    let small = [&[0x82, 0x80 | 125, 0, 0, 0, 0][..], &[0; 125]].concat();
    let small = small.repeat(400);
    let part_of_header: &[u8] = &[0x82];
    let first_fragment: &[u8] = &[0x02, 0x81, 0, 0, 0, 0, b'a'];
    for (what, before, part) in [
        ("a large message, a fragment", &large, first_fragment),
        ("a large message, part of a header", &large, part_of_header),
        (
            "a medium message, part of a header",
            &medium,
            part_of_header,
        ),
        ("many messages, part of a header", &small, part_of_header),
    ] {
        let (server, mut stream, held) = reading_web_socket();
        let mut round = |bytes: &[&[u8]]| {
            stream.write_all(&bytes.concat()).expect("room");
            let mut pong = [0; 2];
            stream.read_exact(&mut pong).expect("a pong");
            assert_eq!(pong, PONG);
            // The code waited before its pong was sent.
            held.last.load(Ordering::Relaxed)
        };
        let idle = round(&[before, &PING]);
        let part_waits = if part == first_fragment {
            round(&[before, part, &PING])
        } else {
            round(&[before, &PING, part])
        };
        let more = part_waits.saturating_sub(idle);
        assert!(more < 4_096, "{what}: {more} bytes");
        drop(stream);
        server.stop();
    }
}

#[test]
fn a_web_socket_that_waits_holds_nothing_of_what_it_has_sent() {
    let (server, mut stream, held) = reading_web_socket();
    let mut round = |bytes: &[&[u8]], answer_len: usize| {
        stream.write_all(&bytes.concat()).expect("room");
        let mut answer = vec![0; answer_len + PONG.len()];
        stream.read_exact(&mut answer).expect("an answer");
        assert!(answer.ends_with(&PONG), "the pong comes last");
        held.last.load(Ordering::Relaxed)
    };
    let before = round(&[&PING], 0);
    let text: &[u8] = &[0x81, 0x80, 0, 0, 0, 0];
    round(&[text, &PING], 10 + LARGE_LEN);
    // All of it has left the socket's queue.
    let after = round(&[&PING], 0);
    let more = after.saturating_sub(before);
    assert!(more < 4_096, "{more} bytes");
    drop(stream);
    server.stop();
}

#[test]
fn pongs_that_the_peer_does_not_read_are_bounded() {
    let (server, mut stream, held) = reading_web_socket();
    let ping = [&[0x89, 0x80 | 125, 0, 0, 0, 0][..], &[0; 125]].concat();
    let pings = ping.repeat(1_000);
    // It is stopped by a full socket, or has sent what shows that nothing else stops it.
    let patience = Some(Duration::from_millis(200));
    stream.set_write_timeout(patience).expect("a socket");
    let mut sent = 0;
    while sent < 64 << 20 && stream.write_all(&pings).is_ok() {
        sent += pings.len();
    }
    let most = held.most.load(Ordering::Relaxed);
    assert!(most < 1 << 20, "{most} bytes are held after {sent} bytes");
    drop(stream);
    server.stop();
}

#[test]
fn no_kind_of_response_leaves_anything_behind() {
    let lives = Arc::new(Mutex::new(Vec::with_capacity(WARM_UP)));
    let noted = Arc::clone(&lives);
    let text = || "x".repeat(99);
    let respond = move |request: &Request<'_>| match request.path() {
        "/literal" => {
            noted.lock().expect("no handler panicked").push(LIVE.get());
            "x".into_outcome()
        }
        "/content" => text().into_outcome(),
        "/large" => vec![0; LARGE_LEN].into_outcome(),
        "/nothing" => Response::text(text()).status(Status::NO_CONTENT).into(),
        "/type" => Response::text("x").content_type(text()).into(),
        "/fields" => Response::text(text()).header("x-a", text()).into(),
        "/invalid" => Response::text(text()).header("x-a", "\n".repeat(9)).into(),
        "/pieces" => {
            let mut pieces = vec![text(), text()];
            let body = LocalBody::poll_fn(move |_| {
                let piece = pieces.pop().map(Bytes::from);
                Poll::Ready(piece.map(Ok::<_, Infallible>))
            });
            Outcome::local(Response::text(text()), body.with_len(198))
        }
        "/ready" => Outcome::future(async move { text() }),
        "/awaited" => Outcome::future(async move {
            yield_now().await;
            text()
        }),
        _ => {
            let (outcome, reply) = Outcome::promised();
            reply.complete(text());
            outcome
        }
    };
    let server = Running::start_handler(on_loopback(), Function(respond));
    let mut client = Client::connect(server.address);
    for _ in 0..WARM_UP {
        for path in [
            "/literal",
            "/content",
            "/large",
            "/nothing",
            "/type",
            "/fields",
            "/invalid",
            "/pieces",
            "/ready",
            "/awaited",
            "/promised",
        ] {
            client.request(get(path));
        }
    }
    server.stop();
    let lives = lives.lock().expect("no handler panicked");
    let (first, last) = (lives[WARM_UP / 2], lives[WARM_UP - 1]);
    assert_eq!(last, first, "bytes of {} rounds", WARM_UP - WARM_UP / 2 - 1);
}

#[test]
fn a_large_shared_response_allocates_nothing() {
    let body = Bytes::from(vec![7; 64 * 1_024]);
    let response = move |_: &Request<'_>| Response::bytes(body.clone());
    assert_eq!(cost(response, get("/")), 0);
}

#[test]
fn a_route_allocates_nothing() {
    let router = Router::new().get("/hello", greet).get("/a/{b}/c", greet);
    let cost = cost_per_round(router, 1, |client| {
        assert_eq!(client.request(get("/hello")).status, 200);
    });
    assert_eq!(cost, 0);
}

/// A request with the fields that the platform sends.
fn from_platform(method: &str, control_path: &str) -> String {
    format!(
        "{method} / HTTP/1.1\r\nHost: test\r\nx-fc-request-id: 1-65f0aa11-0badcafe-0123456789ab\r\n\
         x-fc-control-path: {control_path}\r\n\r\n"
    )
}

#[test]
fn a_function_adds_no_allocation_to_an_http_call() {
    for request in [get("/hello"), from_platform("GET", "/http-invoke")] {
        let function = coldstart::Function::new().http(greet).handler();
        let cost = cost_per_round(function, 1, |client| {
            assert_eq!(client.request(&request).status, 200);
        });
        assert_eq!(cost, 0);
    }
}

#[test]
fn an_event_allocates_the_field_with_its_outcome() {
    let function = coldstart::Function::new().event(|_, _| Ok("done"));
    let cost = cost_per_round(function.handler(), 1, |client| {
        let response = client.request(from_platform("POST", "/invoke"));
        assert_eq!(response.text(), "done");
    });
    assert_eq!(cost, 1);
}

#[test]
fn a_connection_for_one_request_allocates_nothing() {
    // A turn accepts up to 64 connections before it sees that earlier ones are closed, so a fast client has as many open. So
    // first more than that are open, and closed while the second call keeps the loop, which then sees it in one poll.
    let (begun, is_begun) = channel();
    let (closed, is_closed) = channel();
    let mut calls = 0;
    let handler = move |request: &Request<'_>| {
        calls += 1;
        if calls == 2 {
            begun.send(()).expect("the client waits");
            is_closed.recv().expect("the client closes them");
        }
        greet(request)
    };
    let (mut crowd, mut rounds) = (Vec::new(), 0);
    let cost = cost_per_round(Function(handler), 1, |client| {
        let server = client.stream().peer_addr().expect("a server");
        rounds += 1;
        if rounds == 1 {
            crowd.extend((0..140).map(|_| Client::connect(server)));
        }
        // The last one to connect is accepted last.
        let mut last = Client::connect(server);
        last.send(get("/hello"));
        if rounds == 2 {
            is_begun.recv().expect("the handler is called");
            crowd.clear();
            closed.send(()).expect("the handler waits");
        }
        assert_eq!(last.response().status, 200);
    });
    assert_eq!(cost, 0);
}

#[test]
fn a_body_that_arrives_later_allocates_its_storage() {
    let look = |request: &Request<'_>| {
        Response::text(if request.body().len() == 1_024 {
            "whole"
        } else {
            ""
        })
    };
    let cost = cost_per_round(Function(look), 1, |client| {
        client.send(
            "POST / HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 1024\r\n\r\n",
        );
        assert_eq!(client.head().expect("a response").status, 100);
        assert_eq!(client.request([7; 1_024]).text(), "whole");
    });
    // The session's work, the head, the body.
    assert_eq!(cost, 3);
}

#[test]
fn a_chunked_body_in_one_read_allocates_its_storage() {
    let look = |request: &Request<'_>| {
        Response::text(if request.body().len() == 16 {
            "whole"
        } else {
            ""
        })
    };
    let request = "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n";
    // The body, and the counter that shares it.
    assert_eq!(cost(look, request), 2);
}

#[test]
fn a_promise_allocates_its_storage() {
    let promise = |_: &Request<'_>| {
        let (outcome, reply) = Outcome::promised();
        reply.complete(Response::text("kept"));
        outcome
    };
    // The slot shared by promise and reply, the response in it, the session's work.
    assert_eq!(cost(promise, get("/")), 3);
}
