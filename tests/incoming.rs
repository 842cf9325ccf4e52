//! Request bodies that are pulled, over real sockets: back-pressure, `100 Continue`, cuts, and responses that overlap them.
#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a failed set-up must fail the test, and some readers have threads of their own"
)]

mod loopback;

use core::time::Duration;
use std::sync::mpsc::{Sender, channel};

use coldstart::handler::{Outcome, incoming};
use coldstart::message::{Incoming, IncomingError};
use coldstart::server::{Limits, Timeouts};
use coldstart::{Body, Bytes, Handler, Response, Router, Status};
use loopback::server::{Running, on_loopback};
use loopback::{Client, PATIENCE, eventually, outlast, pattern, post};

const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n";
const EXPECT: &str =
    "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";

fn expecting(path: &str) -> String {
    EXPECT.replacen("/ ", &format!("{path} "), 1)
}

fn chunked(path: &str) -> String {
    CHUNKED.replacen("/ ", &format!("{path} "), 1)
}

/// A future that is ready once the sender has sent, or is gone.
fn signal() -> (impl FnOnce() + Send, impl Future<Output = ()>) {
    let shared = std::sync::Arc::new(std::sync::Mutex::new((false, None::<core::task::Waker>)));
    let ours = std::sync::Arc::clone(&shared);
    let lock = |shared: &std::sync::Mutex<(bool, Option<core::task::Waker>)>| {
        let mut state = shared.lock().expect("no panic under the lock");
        state.0 = true;
        state.1.take()
    };
    let fire = move || {
        if let Some(waker) = lock(&shared) {
            waker.wake();
        }
    };
    let wait = core::future::poll_fn(move |context| {
        let mut state = ours.lock().expect("no panic under the lock");
        if state.0 {
            return core::task::Poll::Ready(());
        }
        state.1 = Some(context.waker().clone());
        core::task::Poll::Pending
    });
    (fire, wait)
}

/// Reads all of a body, and says how long it was and what ended it.
async fn measure(mut body: Incoming) -> Result<String, IncomingError> {
    let (mut len, mut chunks) = (0, 0);
    while let Some(chunk) = body.chunk().await? {
        assert!(!chunk.is_empty(), "a chunk is never empty");
        len += chunk.len();
        chunks += 1;
    }
    let trailers = body.trailers().len();
    Ok(format!("{len} bytes, {trailers} trailers, {}", chunks > 1))
}

#[test]
fn a_body_is_pulled_with_its_trailers_whole_or_in_parts() {
    let server = Running::start_handler(on_loopback(), incoming(|_, body| measure(body)));
    let mut client = Client::connect(server.address);
    assert_eq!(
        client.request(loopback::get("/")).text(),
        "0 bytes, 0 trailers, false"
    );
    assert_eq!(
        client.request(post("/", b"abc")).text(),
        "3 bytes, 0 trailers, false"
    );
    let whole = format!("{CHUNKED}3\r\nabc\r\n2\r\nde\r\n0\r\nsum: 9\r\n\r\n");
    assert_eq!(client.request(&whole).text(), "5 bytes, 1 trailers, false");
    client.send(CHUNKED);
    client.send("3\r\nabc\r\n");
    client.send("2\r\nde\r\n0\r\n");
    client.send("sum: 9\r\n\r\n");
    assert!(client.response().text().starts_with("5 bytes, 1 trailers"));
    assert_eq!(
        client.request(post("/", &pattern(3_000_000))).text(),
        "3000000 bytes, 0 trailers, true"
    );
    let twice = [post("/", b"abc"), post("/", b"defg")].concat();
    client.send(twice);
    assert!(client.response().text().starts_with("3 bytes"));
    assert!(client.response().text().starts_with("4 bytes"));
    server.stop();
}

#[test]
fn an_offer_to_leave_http_that_is_not_taken_has_its_body_pulled() {
    let server = Running::start_handler(on_loopback(), incoming(|_, body| measure(body)));
    let mut client = Client::connect(server.address);
    let offer = "GET / HTTP/1.1\r\nHost: test\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\n";
    let response = client.request(offer);
    assert_eq!(response.status, 200);
    assert_eq!(response.text(), "0 bytes, 0 trailers, false");
    server.stop();
}

#[test]
fn the_size_is_known_as_far_as_it_is_announced() {
    let handler = incoming(|_, mut body: Incoming| {
        let before = body.size_hint();
        async move {
            let mut hints = vec![before];
            while body.chunk().await?.is_some() {
                hints.push(body.size_hint());
            }
            hints.push(body.size_hint());
            Ok::<_, IncomingError>(format!("{hints:?}"))
        }
    });
    let server = Running::start_handler(on_loopback(), handler);
    let mut client = Client::connect(server.address);
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\n");
    client.send("abc");
    let text = client.response().text();
    assert!(text.starts_with("[(3, Some(3)), (0, Some(0))"), "{text}");
    client.send(format!("{CHUNKED}3\r\nabc\r\n0\r\n\r\n"));
    let text = client.response().text();
    assert!(text.starts_with("[(0, None), "), "{text}");
    assert!(text.ends_with(", (0, Some(0))]"), "{text}");
    assert_eq!(
        client.request(loopback::get("/")).text(),
        "[(0, Some(0)), (0, Some(0))]"
    );
    server.stop();
}

#[test]
fn continue_is_sent_when_the_reader_asks_and_not_before() {
    let (gates_in, gates) = channel();
    let handler = incoming(move |head, body| {
        let (open, gate) = signal();
        gates_in.send(open).expect("the test listens");
        let refuses = head.path() == "/refuse";
        async move {
            gate.await;
            if refuses {
                return Ok("no".to_owned());
            }
            measure(body).await
        }
    });
    let server = Running::start_handler(on_loopback(), handler);
    let mut client = Client::connect(server.address);
    client.send(expecting("/"));
    let open = gates.recv_timeout(PATIENCE).expect("it is called");
    let nothing = client
        .stream()
        .set_read_timeout(Some(Duration::from_millis(100)));
    nothing.expect("a socket");
    let early = client.head();
    assert!(early.is_err(), "nothing asked for the body: {early:?}");
    let patience = client.stream().set_read_timeout(Some(PATIENCE));
    patience.expect("a socket");
    open();
    assert_eq!(client.head().expect("a head").status, 100);
    client.send("abc");
    assert!(client.response().text().starts_with("3 bytes"));
    client.send(expecting("/refuse"));
    gates.recv_timeout(PATIENCE).expect("it is called")();
    let refused = client.response();
    assert_eq!(
        (refused.status, refused.field("connection")),
        (200, Some("close"))
    );
    assert!(client.is_at_end(), "its peer may never send the body");
    server.stop();
}

#[test]
fn a_body_over_the_bound_gets_413_before_it_is_sent_if_it_is_announced() {
    let router = Router::new()
        .post_incoming("/collect", |_, mut body| async move {
            body.collect(5).await.map(Response::bytes)
        })
        .put_incoming("/route", |_, body| measure(body))
        .body_len_max(5);
    let server = Running::start_handler(on_loopback(), router);
    let big = "Content-Length: 6\r\nExpect: 100-continue\r\n\r\n";
    for line in ["POST /collect", "PUT /route"] {
        let mut client = Client::connect(server.address);
        let response = client.request(format!("{line} HTTP/1.1\r\nHost: test\r\n{big}"));
        assert_eq!(
            (response.status, response.field("connection")),
            (413, Some("close"))
        );
        assert!(client.is_at_end());
        let mut client = Client::connect(server.address);
        let head = format!("{line} HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n");
        let response = client.request(format!("{head}3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"));
        assert_eq!(response.status, 200);
        client.send(format!("{head}3\r\nabc\r\n"));
        client.send("3\r\ndef\r\n");
        assert_eq!(client.response().status, 413);
        assert!(client.is_at_end());
        let mut client = Client::connect(server.address);
        let whole = format!("{line} HTTP/1.1\r\nHost: test\r\nContent-Length: 6\r\n\r\nabcdef");
        assert_eq!(client.request(whole).status, 413);
    }
    server.stop();
}

/// Reports what ends a body, from the future that reads it and from its drop.
fn reporting(reports: Sender<Option<IncomingError>>) -> impl Handler + Clone + Send {
    incoming(move |_, body| {
        let reports = reports.clone();
        async move {
            let measured = measure(body).await;
            reports
                .send(measured.as_ref().err().copied())
                .expect("the test listens");
            measured
        }
    })
}

#[test]
fn a_cut_says_why_and_its_response_is_the_servers_own() {
    let (reports_in, reports) = channel();
    let timeouts = Timeouts::new().body(Duration::from_millis(200));
    let server = Running::start_handler(on_loopback().timeouts(timeouts), reporting(reports_in));
    let next = || {
        reports
            .recv_timeout(PATIENCE)
            .expect("the reader learns it")
    };
    let mut malformed = Client::connect(server.address);
    malformed.send(format!("{CHUNKED}3\r\nabc\r\n"));
    let response = malformed.request("xyz\r\n");
    assert_eq!(
        (response.status, response.field("connection")),
        (400, Some("close"))
    );
    assert_eq!(response.text(), "a chunk is malformed");
    assert_eq!(
        next(),
        Some(IncomingError::Malformed("a chunk is malformed"))
    );
    assert!(malformed.is_at_end());
    let mut slow = Client::connect(server.address);
    let response = slow.request(format!("{CHUNKED}3\r\nab"));
    assert_eq!(
        (response.status, response.field("connection")),
        (408, Some("close"))
    );
    assert_eq!(next(), Some(IncomingError::TimedOut));
    let half = Client::connect(server.address);
    half.send(format!("{CHUNKED}3\r\nab"));
    half.shut_down_output();
    assert_eq!(next(), Some(IncomingError::PeerLeft));
    server.stop();
}

#[test]
fn a_reader_elsewhere_learns_that_its_peer_was_reset() {
    let (bodies_in, bodies) = channel::<Incoming>();
    let server = Running::start_handler(
        on_loopback(),
        incoming(move |_, body| {
            bodies_in.send(body).expect("the test listens");
            let (outcome, reply) = Outcome::promised();
            std::mem::forget(reply);
            outcome
        }),
    );
    let client = Client::connect(server.address);
    client.send(CHUNKED);
    let mut body = bodies.recv_timeout(PATIENCE).expect("it is called");
    let thread = std::thread::spawn(move || {
        block_on(async move {
            let first = body.chunk().await;
            (first, body.chunk().await)
        })
    });
    client.send("3\r\nabc\r\n");
    client.shut_down_output();
    drop(client);
    let (first, second) = thread.join().expect("no panic");
    if first.is_ok() {
        assert_eq!(first, Ok(Some(Bytes::from_static(b"abc"))));
        assert_eq!(second, Err(IncomingError::PeerLeft));
    }
    server.stop();
}

/// Runs a future on a thread that waits for it.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
    let mut context = core::task::Context::from_waker(&waker);
    let mut future = core::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            core::task::Poll::Ready(value) => return value,
            core::task::Poll::Pending => std::thread::park(),
        }
    }
}

#[test]
fn a_body_that_is_dropped_is_discarded_if_short_and_else_ends_the_connection() {
    let server = Running::start_handler(
        on_loopback(),
        incoming(|head, mut body: Incoming| {
            let is_read = head.path() == "/some";
            async move {
                if is_read {
                    drop(body.chunk().await);
                }
                "enough"
            }
        }),
    );
    for path in ["/some", "/none"] {
        let mut client = Client::connect(server.address);
        client.send(format!(
            "POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: 9\r\n\r\nabc"
        ));
        let response = client.response();
        assert_eq!(
            (response.text(), response.field("connection")),
            ("enough".to_owned(), None)
        );
        client.send("defghi");
        assert_eq!(client.request(loopback::get("/none")).text(), "enough");
        client.send(format!(
            "POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: 999999\r\n\r\nabc"
        ));
        let response = client.response();
        assert_eq!(response.field("connection"), Some("close"), "{path}");
        assert!(client.is_at_end());
    }
    server.stop();
}

#[test]
fn a_slow_reader_makes_its_peer_wait_and_no_time_out_applies_meanwhile() {
    let (gates_in, gates) = channel();
    let timeouts = Timeouts::new().body(Duration::from_millis(150));
    let server = Running::start_handler(
        on_loopback().timeouts(timeouts),
        incoming(move |_, mut body: Incoming| {
            let (open, gate) = signal();
            gates_in.send(open).expect("the test listens");
            async move {
                let first = body.chunk().await?.map_or(0, |chunk| chunk.len());
                gate.await;
                let rest = body.collect(usize::MAX).await?;
                Ok::<_, IncomingError>((first + rest.len()).to_string())
            }
        }),
    );
    const LEN: usize = 32 * 1024 * 1024;
    let client = Client::connect(server.address);
    let stream = client.stream().try_clone().expect("a socket");
    let (sent_in, sent) = channel();
    let writer = std::thread::spawn(move || {
        use std::io::Write as _;
        let mut stream = stream;
        stream
            .write_all(&post("/", &pattern(LEN)))
            .expect("it is read in the end");
        sent_in.send(()).expect("the test listens");
    });
    let open = gates.recv_timeout(PATIENCE).expect("it is called");
    outlast(Duration::from_millis(500));
    assert!(
        sent.try_recv().is_err(),
        "the server does not read ahead of its reader"
    );
    open();
    let mut client = client;
    assert_eq!(client.response().text(), LEN.to_string());
    writer.join().expect("no panic");
    server.stop();
}

/// Sends back what it gets, as it gets it. Its response begins at once.
fn echo() -> impl Handler + Clone + Send {
    incoming(|head, mut body: Incoming| {
        let (sender, echoed) = Body::channel(64 * 1024);
        let ends_early = head.path() == "/early";
        std::thread::spawn(move || {
            let copied = block_on(async {
                while let Some(chunk) = body.chunk().await? {
                    if sender.send(chunk).is_err() || ends_early {
                        break;
                    }
                }
                Ok::<_, IncomingError>(())
            });
            if copied.is_ok() {
                sender.finish();
            }
        });
        Response::bytes(echoed)
    })
}

#[test]
fn both_directions_go_at_once() {
    let server = Running::start_handler(on_loopback(), echo());
    let mut client = Client::connect(server.address);
    for _ in 0..2 {
        client.send(CHUNKED);
        let head = client.head().expect("the response begins before the body");
        assert_eq!(
            (head.status, head.field("transfer-encoding")),
            (200, Some("chunked"))
        );
        assert_eq!(head.field("connection"), None);
        for piece in ["abc", "de"] {
            client.send(format!("{:x}\r\n{piece}\r\n", piece.len()));
            let chunk = client.chunk().expect("a chunk").expect("more of them");
            assert_eq!(chunk, piece.as_bytes());
        }
        client.send("0\r\n\r\n");
        assert_eq!(client.chunk().expect("the last chunk"), None);
    }
    server.stop();
}

#[test]
fn a_peer_that_expects_continue_gets_it_before_a_response_that_begins_first() {
    let server = Running::start_handler(on_loopback(), echo());
    let mut client = Client::connect(server.address);
    client.send(EXPECT);
    assert_eq!(client.head().expect("a head").status, 100);
    assert_eq!(client.head().expect("a head").status, 200);
    client.send("abc");
    assert_eq!(client.chunked().expect("all chunks"), b"abc");
    server.stop();
}

#[test]
fn a_response_may_end_before_its_request() {
    let server = Running::start_handler(on_loopback(), echo());
    let mut client = Client::connect(server.address);
    client.send("POST /early HTTP/1.1\r\nHost: test\r\nContent-Length: 9\r\n\r\nabc");
    client.head().expect("a head");
    assert_eq!(client.chunked().expect("all chunks"), b"abc");
    client.send("defghi");
    client.send(chunked("/early"));
    assert_eq!(client.head().expect("the next response").status, 200);
    client.send("3\r\nabc\r\n");
    assert_eq!(client.chunked().expect("all chunks"), b"abc");
    assert!(
        client.is_at_end(),
        "the length of the rest is not announced"
    );
    server.stop();
}

#[test]
fn a_peer_that_sends_all_before_it_reads_gets_a_response_that_fits_into_the_buffers() {
    let server = Running::start_handler(on_loopback(), echo());
    let mut client = Client::connect(server.address);
    let body = pattern(100_000);
    client.send(post("/", &body));
    client.head().expect("a head");
    assert!(client.chunked().expect("all chunks") == body);
    server.stop();
}

#[test]
fn a_peer_that_never_reads_is_cut_once_neither_side_makes_progress() {
    let timeouts = Timeouts::new().write(Duration::from_millis(300));
    let server = Running::start_handler(on_loopback().timeouts(timeouts), echo());
    let client = Client::connect(server.address);
    client.send(CHUNKED);
    let piece = pattern(64 * 1024);
    let mut sent = 0_usize;
    let cut = loop {
        use std::io::Write as _;
        let head = format!("{:x}\r\n", piece.len());
        let frame = [head.as_bytes(), &piece, b"\r\n"].concat();
        match client.stream().write_all(&frame) {
            Ok(()) => sent += piece.len(),
            Err(error) => break error,
        }
        assert!(sent < 1 << 30, "it reads without end");
    };
    assert!(
        !matches!(
            cut.kind(),
            std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
        ),
        "the server ends it: {cut}"
    );
    server.stop();
}

#[test]
fn a_reader_may_go_on_after_its_response() {
    let (lengths_in, lengths) = channel();
    let server = Running::start_handler(
        on_loopback(),
        incoming(move |_, mut body: Incoming| {
            let lengths = lengths_in.clone();
            std::thread::spawn(move || {
                let body = block_on(async move { body.collect(1 << 20).await });
                lengths
                    .send(body.map(|body| body.len()))
                    .expect("the test listens");
            });
            Status::ACCEPTED
        }),
    );
    let mut client = Client::connect(server.address);
    client.send(CHUNKED);
    assert_eq!(client.response().status, 202);
    client.send("3\r\nabc\r\n");
    client.send("2\r\nde\r\n0\r\n\r\n");
    let len = lengths.recv_timeout(PATIENCE).expect("the reader ends");
    assert_eq!(len, Ok(5));
    client.send(CHUNKED);
    assert_eq!(client.response().status, 202, "the connection goes on");
    drop(client);
    let len = lengths.recv_timeout(PATIENCE).expect("the reader ends");
    assert_eq!(len, Err(IncomingError::PeerLeft));
    server.stop();
}

#[test]
fn a_panic_in_a_reader_is_contained() {
    let server = Running::start_handler(
        on_loopback(),
        incoming(|_, mut body: Incoming| async move {
            let chunk = body.chunk().await.expect("it is complete");
            assert!(chunk.is_none(), "a panic on purpose");
            "empty"
        }),
    );
    let mut client = Client::connect(server.address);
    assert_eq!(client.request(post("/", b"abc")).status, 500);
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 6\r\n\r\n");
    client.send("abc");
    assert_eq!(client.response().status, 500);
    client.send("def");
    assert_eq!(client.request(loopback::get("/")).text(), "empty");
    server.stop();
}

/// Nothing is taken from the socket.
fn has_response(client: &Client) -> bool {
    let socket = client.stream();
    socket.set_nonblocking(true).expect("a socket");
    let is_there = socket.peek(&mut [0]).is_ok();
    socket.set_nonblocking(false).expect("a socket");
    is_there
}

#[test]
fn what_is_collected_counts_in_the_memory_of_all_peers_until_it_is_whole() {
    const PIECE: usize = 600_000;
    let handler = incoming(|_, mut body: Incoming| async move {
        let body = body.collect(10 * PIECE).await;
        body.map(|body| format!("{} bytes\n", body.len()))
    });
    let server = on_loopback().limits(Limits::new().memory_max(1_000_000));
    let server = Running::start_handler(server, handler);
    let piece = [
        format!("{PIECE:x}\r\n").as_bytes(),
        &pattern(PIECE),
        b"\r\n",
    ]
    .concat();
    let mut clients = [(); 2].map(|()| {
        let client = Client::connect(server.address);
        client.send(chunked("/"));
        client.send(&piece);
        client
    });
    // There is room for one of them. The other one has sent all of its piece, and waits.
    let mut refused = None;
    eventually("one of them is refused", || {
        refused = clients.iter().position(has_response);
        refused.is_some()
    });
    if refused == Some(0) {
        clients.swap(0, 1);
    }
    let [mut kept, mut refused] = clients;
    let response = refused.response();
    assert_eq!(response.status, 503, "{}", response.head);
    assert_eq!(response.field("retry-after"), Some("1"));
    kept.send("0\r\n\r\n");
    assert_eq!(kept.response().text(), "600000 bytes\n");
    // That body is the handler's, and what it took is free.
    let mut third = Client::connect(server.address);
    third.send(chunked("/"));
    third.send(&piece);
    third.send("0\r\n\r\n");
    assert_eq!(third.response().text(), "600000 bytes\n");
    server.stop();
}
