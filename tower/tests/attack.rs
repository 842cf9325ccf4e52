//! Services that lie, fail and panic, and peers that misbehave: each gets what it deserves, and no other connection notices.
#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may start a thread, what it cannot set up must fail it, and what is tested is a panic"
)]

use core::convert::Infallible;
use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};

use bytes::Bytes;
use coldstart_tower::{Incoming, ServiceHandler};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Full};
use loopback::gate::{Dropped, Gate};
use loopback::process::{Process, is_again, status};
use loopback::server::{Running, on_loopback};
use loopback::{Client, PATIENCE, eventually, get, pattern, post};
use tower::{Service, service_fn};

#[path = "../../tests/loopback/mod.rs"]
mod loopback;

/// A response as a strict client reads it.
#[derive(Debug)]
struct Received {
    status: u16,
    head: String,
    body: Vec<u8>,
    is_whole: bool,
}

impl Received {
    fn values(&self, name: &str) -> Vec<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(':'));
        let named = fields.filter(|(key, _)| key.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.trim()).collect()
    }
}

/// Sends the requests at once and reads until the end of the connection. The last one asks for that end.
fn exchange(address: SocketAddr, requests: &[(&str, &str)]) -> Vec<Received> {
    let client = Client::connect(address);
    let mut all = String::new();
    for (number, (method, path)) in requests.iter().enumerate() {
        let end = if number + 1 == requests.len() {
            "Connection: close\r\n"
        } else {
            ""
        };
        all += &format!("{method} {path} HTTP/1.1\r\nHost: test\r\n{end}\r\n");
    }
    client.send(all);
    let methods: Vec<&str> = requests.iter().map(|(method, _)| *method).collect();
    parse(&until_the_end(&client), &methods)
}

/// All bytes until the server closes or resets the connection.
fn until_the_end(client: &Client) -> Vec<u8> {
    let (mut bytes, mut part) = (Vec::new(), [0; 4096]);
    loop {
        match client.stream().read(&mut part) {
            Ok(0) => return bytes,
            Ok(len) => bytes.extend_from_slice(&part[..len]),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ConnectionReset, "it ends");
                return bytes;
            }
        }
    }
}

/// The responses to requests of these methods: no byte is left over, and none has two meanings.
fn parse(mut bytes: &[u8], methods: &[&str]) -> Vec<Received> {
    let mut all = Vec::new();
    for method in methods {
        if bytes.is_empty() {
            break;
        }
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let (head, rest) = bytes.split_at(end.expect("a whole head") + 4);
        let head: String = head.iter().copied().map(char::from).collect();
        let code = head.get(9..12).expect("a status line");
        let mut received = Received {
            status: code.parse().expect("a number"),
            head,
            body: Vec::new(),
            is_whole: true,
        };
        let text = format!("{:?}", received.head);
        let lengths = received.values("content-length");
        let codings = received.values("transfer-encoding");
        assert!(lengths.len() + codings.len() <= 1, "{text}");
        let len = lengths.first().map(|len| len.parse::<u64>());
        let len = len.map(|len| len.expect("a length"));
        let coding = codings.first().copied().map(str::to_owned);
        bytes = rest;
        if matches!(received.status, 204 | 304) {
            assert!(coding.is_none(), "{text}");
            assert!(received.status == 304 || len.is_none(), "{text}");
        } else if *method == "HEAD" {
            // What is left is the next response.
        } else if let Some(coding) = coding {
            assert_eq!(coding, "chunked", "{text}");
            (received.body, received.is_whole) = chunks(&mut bytes);
        } else {
            let len = usize::try_from(len.expect("a length")).unwrap_or(usize::MAX);
            let (body, rest) = bytes.split_at(len.min(bytes.len()));
            (received.body, bytes) = (body.to_vec(), rest);
            received.is_whole = received.body.len() == len;
        }
        all.push(received);
    }
    assert!(bytes.is_empty(), "more than the responses: {bytes:?}");
    all
}

/// The chunks of a body without trailers, and whether the last one is among them.
fn chunks(bytes: &mut &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") else {
            *bytes = &[];
            return (body, false);
        };
        let digits = core::str::from_utf8(&bytes[..end]).expect("digits");
        let len = usize::from_str_radix(digits, 16).expect("a size");
        let rest = &bytes[end + 2..];
        let Some((chunk, rest)) = rest.split_at_checked(len + 2) else {
            *bytes = &[];
            return (body, false);
        };
        *bytes = rest;
        assert_eq!(&chunk[len..], b"\r\n", "the end of a chunk");
        if len == 0 {
            return (body, true);
        }
        body.extend_from_slice(&chunk[..len]);
    }
}

/// A body that says of itself what it likes.
#[derive(Clone)]
struct Script {
    frames: VecDeque<&'static str>,
    polled: u64,
    hint: fn(u64) -> SizeHint,
    is_over: fn(u64) -> bool,
}

impl Body for Script {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.polled += 1;
        let frame = self.frames.pop_front();
        Poll::Ready(frame.map(|text| Ok(Frame::data(Bytes::from_static(text.as_bytes())))))
    }

    fn is_end_stream(&self) -> bool {
        (self.is_over)(self.polled)
    }

    fn size_hint(&self) -> SizeHint {
        (self.hint)(self.polled)
    }
}

const fn never(_: u64) -> bool {
    false
}

fn unknown(_: u64) -> SizeHint {
    SizeHint::default()
}

fn range(least: u64, most: u64) -> SizeHint {
    let mut hint = SizeHint::new();
    hint.set_lower(least);
    hint.set_upper(most);
    hint
}

fn script(frames: &[&'static str], hint: fn(u64) -> SizeHint, is_over: fn(u64) -> bool) -> Script {
    Script {
        frames: frames.iter().copied().collect(),
        polled: 0,
        hint,
        is_over,
    }
}

fn exactly<const LEN: u64>(_: u64) -> SizeHint {
    SizeHint::with_exact(LEN)
}

const fn always(_: u64) -> bool {
    true
}

const fn after_one(polled: u64) -> bool {
    polled > 0
}

/// Bodies, and what a client gets of each: `None` if it is cut.
fn liars() -> Vec<(Script, Option<&'static str>)> {
    let growing = |polled| SizeHint::with_exact(5 + 45 * polled);
    let shrinking = |polled| SizeHint::with_exact(5_u64.saturating_sub(polled));
    let late = |polled| match polled {
        0 => range(0, 9),
        _ => SizeHint::with_exact(1),
    };
    vec![
        (script(&["hello"], exactly::<3>, never), None),
        (script(&["hello"], exactly::<6>, never), None),
        (script(&["hello"], exactly::<{ u64::MAX }>, never), None),
        (script(&["hel", "lo", "more"], exactly::<5>, never), None),
        (script(&[], exactly::<1>, never), None),
        (script(&[], exactly::<1>, always), None),
        (
            script(&["hello", "more"], exactly::<5>, after_one),
            Some("hello"),
        ),
        (script(&["more"], exactly::<0>, never), Some("")),
        (script(&["more"], exactly::<0>, always), Some("")),
        (
            script(&["", "hello", ""], exactly::<5>, never),
            Some("hello"),
        ),
        (
            script(&["", "hel", "", "lo"], unknown, never),
            Some("hello"),
        ),
        (script(&["hello"], growing, never), Some("hello")),
        (script(&["hello"], shrinking, never), Some("hello")),
        (script(&["hel", "lo"], late, never), Some("hello")),
        (
            script(&["hello"], |_| range(100, u64::MAX), never),
            Some("hello"),
        ),
        (
            script(&["hel", "lo"], |_| range(0, 2), after_one),
            Some("hello"),
        ),
    ]
}

/// A service that responds with one of [`liars`], by the number in the path, and with "after" to all else.
fn lying() -> impl Service<
    Request<Incoming>,
    Response = Response<http_body_util::Either<Script, Full<Bytes>>>,
    Error = Infallible,
    Future: Send,
> + Clone
+ Send
+ 'static {
    service_fn(async |request: Request<Incoming>| {
        let number = request
            .uri()
            .path()
            .trim_start_matches('/')
            .parse::<usize>();
        let body = match number {
            Ok(number) => http_body_util::Either::Left(liars().swap_remove(number).0),
            Err(_) => http_body_util::Either::Right(Full::from("after")),
        };
        let mut response = Response::new(body);
        for len in request
            .uri()
            .query()
            .iter()
            .flat_map(|query| query.split('&'))
        {
            let len = HeaderValue::from_str(len).expect("a value");
            response.headers_mut().append("content-length", len);
        }
        Ok::<_, Infallible>(response)
    })
}

#[test]
fn a_body_is_never_longer_than_its_response_says_whatever_its_size_hint() {
    let server = Running::start_handler(on_loopback(), ServiceHandler::new(lying()));
    for (number, (_, expected)) in liars().into_iter().enumerate() {
        let path = format!("/{number}");
        let received = exchange(server.address, &[("GET", &path), ("GET", "/after")]);
        let whole = received.iter().filter(|response| response.is_whole);
        let bodies: Vec<_> = whole.map(|response| response.body.as_slice()).collect();
        match expected {
            Some(text) => assert_eq!(bodies, [text.as_bytes(), b"after"], "{number}"),
            None => assert_eq!(bodies, [b""; 0], "{number}: {received:?}"),
        }
        // What the service announces in a field changes nothing about that, and a response to HEAD has no body.
        for query in [
            "?0",
            "?3",
            "?5",
            "?99",
            "?x",
            "?5&6",
            "?5&5",
            "?+5",
            "?-1",
            "?18446744073709551616",
        ] {
            let path = path.clone() + query;
            let received = exchange(
                server.address,
                &[("HEAD", &path), ("GET", &path), ("GET", "/after")],
            );
            assert!(received.len() > 1 && received[0].is_whole, "{path}");
            if let Some(last) = received.get(2) {
                assert_eq!(last.body, b"after", "{path}");
            } else {
                assert!(!received[1].is_whole, "{path}: {received:?}");
            }
        }
    }
    server.stop();
}

/// Where a service panics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Clone,
    PollReady,
    PollReadyLater,
    Call,
    CallLater,
    ServiceDrop,
    Future,
    FutureLater,
    FutureDrop,
    ErrorText,
    SizeHint,
    IsEndStream,
    Frame,
    FrameLater,
    BodyDrop,
}

const PLACES: [Place; 15] = [
    Place::Clone,
    Place::PollReady,
    Place::PollReadyLater,
    Place::Call,
    Place::CallLater,
    Place::ServiceDrop,
    Place::Future,
    Place::FutureLater,
    Place::FutureDrop,
    Place::ErrorText,
    Place::SizeHint,
    Place::IsEndStream,
    Place::Frame,
    Place::FrameLater,
    Place::BodyDrop,
];

/// Panics at one place, once.
#[derive(Clone)]
struct Mine {
    at: Place,
    is_armed: Arc<AtomicBool>,
}

impl Mine {
    fn pass(&self, place: Place) {
        if place == self.at && self.is_armed.swap(false, Ordering::SeqCst) {
            panic!("on purpose: {place:?}");
        }
    }

    /// Whether it is not ready at once, so that the request takes a clone of the service along.
    fn is_slow(&self) -> bool {
        matches!(
            self.at,
            Place::Clone | Place::PollReadyLater | Place::CallLater | Place::ServiceDrop
        )
    }
}

struct Mined {
    mine: Mine,
    is_asked: bool,
}

impl Mined {
    fn new(at: Place) -> (Self, Arc<AtomicBool>) {
        let is_armed = Arc::new(AtomicBool::new(true));
        let mine = Mine {
            at,
            is_armed: Arc::clone(&is_armed),
        };
        let is_asked = false;
        (Self { mine, is_asked }, is_armed)
    }
}

impl Clone for Mined {
    fn clone(&self) -> Self {
        self.mine.pass(Place::Clone);
        Self {
            mine: self.mine.clone(),
            is_asked: false,
        }
    }
}

impl Drop for Mined {
    fn drop(&mut self) {
        self.mine.pass(Place::ServiceDrop);
    }
}

impl Service<Request<Incoming>> for Mined {
    type Response = Response<MinedBody>;
    type Error = MinedError;
    type Future = MinedFuture;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), MinedError>> {
        self.mine.pass(Place::PollReady);
        if self.mine.is_slow() && !self.is_asked {
            self.is_asked = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.mine.pass(Place::PollReadyLater);
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Incoming>) -> MinedFuture {
        self.mine.pass(Place::Call);
        self.mine.pass(Place::CallLater);
        MinedFuture {
            mine: self.mine.clone(),
            is_polled: false,
        }
    }
}

struct MinedFuture {
    mine: Mine,
    is_polled: bool,
}

impl Future for MinedFuture {
    type Output = Result<Response<MinedBody>, MinedError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.mine.pass(Place::Future);
        if !self.is_polled {
            self.is_polled = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.mine.pass(Place::FutureLater);
        let mine = self.mine.clone();
        if mine.at == Place::ErrorText && mine.is_armed.load(Ordering::SeqCst) {
            return Poll::Ready(Err(MinedError(mine)));
        }
        Poll::Ready(Ok(Response::new(MinedBody { mine, polled: 0 })))
    }
}

impl Drop for MinedFuture {
    fn drop(&mut self) {
        self.mine.pass(Place::FutureDrop);
    }
}

struct MinedError(Mine);

impl fmt::Debug for MinedError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("MinedError")
    }
}

impl fmt::Display for MinedError {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.pass(Place::ErrorText);
        Ok(())
    }
}

impl core::error::Error for MinedError {}

struct MinedBody {
    mine: Mine,
    polled: usize,
}

impl Body for MinedBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.mine.pass(Place::Frame);
        self.polled += 1;
        if self.polled > 1 {
            self.mine.pass(Place::FrameLater);
        }
        // Whether it is over is asked after a frame that has the whole length.
        let (frames, text) = if self.mine.at == Place::IsEndStream {
            (1, "halfhalf")
        } else {
            (2, "half")
        };
        let is_over = self.polled > frames;
        Poll::Ready((!is_over).then(|| Ok(Frame::data(Bytes::from_static(text.as_bytes())))))
    }

    fn is_end_stream(&self) -> bool {
        self.mine.pass(Place::IsEndStream);
        false
    }

    fn size_hint(&self) -> SizeHint {
        self.mine.pass(Place::SizeHint);
        // Exact, so that the end of the stream is asked for, too.
        SizeHint::with_exact(8)
    }
}

impl Drop for MinedBody {
    fn drop(&mut self) {
        self.mine.pass(Place::BodyDrop);
    }
}

#[test]
fn a_panic_ends_its_own_response_and_nothing_else() {
    for method in ["GET", "HEAD"] {
        for at in PLACES {
            let (service, is_armed) = Mined::new(at);
            let server = Running::start_handler(on_loopback(), ServiceHandler::new(service));
            // A second connection that waits meanwhile.
            let mut other = Client::connect(server.address);
            let received = exchange(server.address, &[(method, "/"), ("GET", "/")]);
            let is_passed = is_armed.load(Ordering::SeqCst);
            // HEAD asks a body for its length, and for the frame that may have it.
            let may_pass = method == "HEAD" && at == Place::FrameLater;
            assert!(!is_passed || may_pass, "{method} {at:?}");
            for response in &received {
                let is_failure = response.status == 500;
                let is_cut = !response.is_whole;
                let is_served = response.status == 200;
                assert!(is_failure || is_cut || is_served, "{at:?}: {response:?}");
            }
            is_armed.store(false, Ordering::SeqCst);
            assert_eq!(other.request(get("/")).text(), "halfhalf", "{at:?}");
            server.stop();
        }
    }
}

#[test]
fn what_panics_when_its_peer_has_gone_ends_nothing_else() {
    /// Panics when it is dropped, and reports that.
    struct Loud(Sender<()>);

    impl Drop for Loud {
        fn drop(&mut self) {
            let _ = self.0.send(());
            panic!("on purpose: dropped");
        }
    }

    let (dropped_in, dropped) = channel();
    let (called_in, called) = channel();
    let service = service_fn(move |request: Request<Incoming>| {
        let path = request.uri().path().to_owned();
        let loud = (path != "/").then(|| Loud(dropped_in.clone()));
        called_in.send(()).expect("the test waits");
        async move {
            if path == "/future" {
                core::future::pending::<()>().await;
            }
            let body = http_body_util::StreamBody::new(futures_util::stream::poll_fn(move |_| {
                if loud.is_some() {
                    return Poll::Pending;
                }
                Poll::Ready(None::<Result<Frame<Bytes>, Infallible>>)
            }));
            Ok::<_, Infallible>(Response::new(body))
        }
    });
    let server = Running::start_handler(on_loopback(), ServiceHandler::new(service));
    for path in ["/future", "/body"] {
        let client = Client::connect(server.address);
        client.send(get(path));
        called.recv_timeout(PATIENCE).expect("it is called");
        drop(client);
        dropped.recv_timeout(PATIENCE).expect("it is dropped");
        let received = exchange(server.address, &[("GET", "/")]);
        assert_eq!(received[0].status, 200, "{path}");
        called.recv_timeout(PATIENCE).expect("it is called");
    }
    server.stop();
}

/// An error that is its own cause.
#[derive(Debug)]
struct Circular;

impl fmt::Display for Circular {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("again")
    }
}

impl core::error::Error for Circular {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        Some(&Self)
    }
}

#[test]
fn an_error_without_a_last_cause_fails_its_request_alone() {
    let service = service_fn(
        async |request: Request<Incoming>| match request.uri().path() {
            "/" => Ok(Response::new(String::from("fine"))),
            _ => Err(Circular),
        },
    );
    let server = Running::start_handler(on_loopback(), ServiceHandler::new(service));
    let received = exchange(server.address, &[("GET", "/fail"), ("GET", "/")]);
    assert_eq!(received[0].status, 500);
    assert_eq!(received[1].body, b"fine");
    server.stop();
}

#[test]
fn an_upload_of_256_mebibytes_that_is_read_slowly_is_not_held() {
    const NAME: &str = "an_upload_of_256_mebibytes_that_is_read_slowly_is_not_held";
    const LEN: usize = 256 << 20;
    /// What the server may take in all, with the test's own program.
    const KIB_MAX: u64 = 64 << 10;
    if is_again() {
        let service = service_fn(async |request: Request<Incoming>| {
            let mut body = request.into_body();
            let (mut len, mut slept) = (0_usize, 0);
            while let Some(frame) = body.frame().await {
                len += frame?.into_data().map_or(0, |data| data.len());
                if len >> 20 > slept {
                    slept = len >> 20;
                    coldstart::sleep(core::time::Duration::from_millis(1)).await;
                }
            }
            Ok::<_, coldstart::message::IncomingError>(Response::new(len.to_string()))
        });
        let server = on_loopback();
        return server
            .run_handler(ServiceHandler::new(service))
            .expect("it serves");
    }
    let process = Process::again(NAME);
    let mut client = Client::connect(process.address());
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {LEN}\r\n\r\n"
    ));
    let part = pattern(1 << 20);
    for _ in 0..LEN / part.len() {
        client.send(&part);
    }
    assert_eq!(client.response().text(), LEN.to_string());
    let most = status(process.id, "VmHWM").expect("a process");
    let most: u64 = most.trim_end_matches(" kB").parse().expect("a number");
    assert!(most < KIB_MAX, "{most} KiB");
}

#[test]
fn pipelined_requests_are_served_in_their_order() {
    let gate = Gate::default();
    let opened = gate.clone();
    let (called_in, called) = channel();
    let service = service_fn(move |request: Request<Incoming>| {
        let (gate, called_in) = (gate.clone(), called_in.clone());
        async move {
            let path = request.uri().path().to_owned();
            called_in.send(path.clone()).expect("the test waits");
            if path == "/slow" {
                gate.pass().await;
            }
            let body = request.into_body().collect().await?.to_bytes();
            let text = format!("{path} {}", body.len());
            Ok::<_, coldstart::message::IncomingError>(Response::new(text))
        }
    });
    let server = Running::start_handler(on_loopback(), ServiceHandler::new(service));
    let mut client = Client::connect(server.address);
    let chunked = "POST /chunked HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let mut all = get("/slow").into_bytes();
    all.extend(post("/unread", &pattern(100_000)));
    all.extend(chunked.as_bytes());
    all.extend(get("/last").into_bytes());
    client.send(all);
    assert_eq!(called.recv_timeout(PATIENCE).as_deref(), Ok("/slow"));
    assert!(called.try_recv().is_err(), "one request at a time");
    opened.open();
    for expected in ["/slow 0", "/unread 100000", "/chunked 3", "/last 0"] {
        assert_eq!(client.response().text(), expected);
    }
    server.stop();
}

#[test]
fn a_body_is_asked_for_when_it_is_polled_and_not_before() {
    let gate = Gate::default();
    let opened = gate.clone();
    let (called_in, called) = channel();
    let service = service_fn(move |request: Request<Incoming>| {
        let (gate, called_in) = (gate.clone(), called_in.clone());
        async move {
            called_in.send(()).expect("the test waits");
            if request.uri().path() == "/unread" {
                return Ok(Response::new("unread".to_owned()));
            }
            gate.pass().await;
            let body = request.into_body().collect().await?.to_bytes();
            Ok::<_, coldstart::message::IncomingError>(Response::new(format!(
                "{} read",
                body.len()
            )))
        }
    });
    let server = Running::start_handler(on_loopback(), ServiceHandler::new(service));
    let expecting = |path: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
        )
    };
    let mut client = Client::connect(server.address);
    client.send(expecting("/read"));
    called.recv_timeout(PATIENCE).expect("it is called");
    client.stream().set_nonblocking(true).expect("a socket");
    let early = client.stream().peek(&mut [0]).map_err(|error| error.kind());
    assert_eq!(
        early,
        Err(ErrorKind::WouldBlock),
        "nothing was asked for yet"
    );
    client.stream().set_nonblocking(false).expect("a socket");
    opened.open();
    assert_eq!(client.head().expect("an interim response").status, 100);
    assert_eq!(client.request("hello").text(), "5 read");
    // One that is not polled is not asked for, and its response is the final one.
    let mut client = Client::connect(server.address);
    client.send(expecting("/unread"));
    let response = client.response();
    assert_eq!((response.status, response.text().as_str()), (200, "unread"));
    server.stop();
}

#[test]
fn a_body_that_is_dropped_early_leaves_the_next_request_alone() {
    let service = service_fn(async |request: Request<Incoming>| {
        let path = request.uri().path().to_owned();
        let mut body = request.into_body();
        if path == "/some" {
            body.frame().await;
        }
        drop(body);
        coldstart::yield_now().await;
        Ok::<_, Infallible>(Response::new(path))
    });
    let server = Running::start_handler(on_loopback(), ServiceHandler::new(service));
    for len in [10, 100_000, 8 << 20] {
        for path in ["/none", "/some"] {
            let client = Client::connect(server.address);
            let sender = Client::over(client.stream().try_clone().expect("a socket"));
            // A request that hides in the body must not be taken for one.
            let mut body = get("/hidden").into_bytes();
            body.resize(len.max(body.len()), b'x');
            // Not by an end of the peer's side, with which a service's response is called off.
            let last = "GET /next HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
            let all = [&post(path, &body), last.as_bytes()].concat();
            let sending = std::thread::spawn(move || {
                use std::io::Write as _;
                // The server may close the connection instead of reading the rest.
                drop(sender.stream().write_all(&all));
            });
            let received = parse(&until_the_end(&client), &["POST", "GET"]);
            sending.join().expect("no panic");
            assert_eq!(
                received.first().map(|one| one.body.as_slice()),
                Some(path.as_bytes())
            );
            if let Some(next) = received.get(1) {
                assert_eq!(next.body, b"/next", "{len} {path}");
            }
        }
    }
    server.stop();
}

#[test]
fn an_upload_that_is_cut_drops_its_future() {
    let (dropped_in, dropped) = channel();
    let (called_in, called) = channel();
    let service = service_fn(move |request: Request<Incoming>| {
        let kept = Dropped(dropped_in.clone());
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
    for request in [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3",
    ] {
        let client = Client::connect(server.address);
        client.send(request);
        called.recv_timeout(PATIENCE).expect("it reads");
        drop(client);
        dropped.recv_timeout(PATIENCE).expect("it is dropped");
    }
    server.stop();
}

/// A service that is ready when a gate opens.
#[derive(Clone)]
struct Gated {
    gate: Gate,
    waiting: Option<Arc<Dropped>>,
    asked: Sender<()>,
    is_open: bool,
}

impl Service<Request<Incoming>> for Gated {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = core::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        if !self.is_open {
            let gate = self.gate.clone();
            let passed = core::pin::pin!(gate.pass()).poll(context);
            self.asked.send(()).expect("the test waits");
            if passed.is_pending() {
                return Poll::Pending;
            }
            self.is_open = true;
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Incoming>) -> Self::Future {
        assert!(self.is_open, "called before it was ready");
        self.is_open = false;
        core::future::ready(Ok(Response::new(Full::from("called"))))
    }
}

#[test]
fn readiness_is_waited_for_as_long_as_the_peer_waits() {
    let (asked_in, asked) = channel();
    let (dropped_in, dropped) = channel();
    let gate = Gate::default();
    let service = Gated {
        gate: gate.clone(),
        waiting: Some(Arc::new(Dropped(dropped_in))),
        asked: asked_in,
        is_open: false,
    };
    let counted = Arc::clone(service.waiting.as_ref().expect("it is there"));
    let server = Running::start_handler(on_loopback(), ServiceHandler::new(service));
    // For a while: the handler asks, then the request does, then the gate opens on this thread.
    let mut client = Client::connect(server.address);
    client.send(get("/"));
    for _ in 0..2 {
        asked.recv_timeout(PATIENCE).expect("it is asked");
    }
    gate.open();
    assert_eq!(client.response().text(), "called");
    // For ever: the request takes a service along, and drops it when its peer goes.
    client.send(get("/"));
    for _ in 0..3 {
        asked.recv_timeout(PATIENCE).expect("it is asked");
    }
    assert_eq!(
        Arc::strong_count(&counted),
        3,
        "the handler, the request, the test"
    );
    drop(client);
    eventually("the request's service is dropped", || {
        Arc::strong_count(&counted) == 2
    });
    // A request that waits for ever does not outlast the drain.
    let waiting = Client::connect(server.address);
    waiting.send(get("/"));
    asked.recv_timeout(PATIENCE).expect("it is asked");
    drop(waiting);
    server.stop();
    drop(counted);
    dropped.recv_timeout(PATIENCE).expect("all are dropped");
}

#[test]
fn a_service_that_stays_on_its_thread_serves_there() {
    let bound = on_loopback().bind().expect("a free port");
    let (address, stopper) = (bound.local_address(), bound.stopper());
    let serving = std::thread::spawn(move || {
        // Neither the service, nor its future, nor its body is `Send`.
        let calls = std::rc::Rc::new(core::cell::Cell::new(0_u32));
        let service = service_fn(move |_: Request<Incoming>| {
            let calls = std::rc::Rc::clone(&calls);
            async move {
                coldstart::yield_now().await;
                calls.set(calls.get() + 1);
                let mut text = Some(calls.get().to_string());
                let body = futures_util::stream::poll_fn(move |_| {
                    let _ = &calls;
                    Poll::Ready(
                        text.take()
                            .map(|text| Ok::<_, Infallible>(Frame::data(Bytes::from(text)))),
                    )
                });
                Ok::<_, Infallible>(Response::new(http_body_util::StreamBody::new(body)))
            }
        });
        bound.run_handler(ServiceHandler::new(service))
    });
    let received = exchange(address, &[("GET", "/"), ("GET", "/")]);
    let bodies: Vec<_> = received.into_iter().map(|one| one.body).collect();
    assert_eq!(bodies, [b"1", b"2"]);
    stopper.stop();
    serving.join().expect("no panic").expect("it served");
}

#[test]
fn responses_that_have_no_body_send_none_and_drop_it() {
    struct Counting(Arc<AtomicUsize>, Option<u64>);

    impl Body for Counting {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            // For ever.
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(
                b"HTTP/1.1 200 OK\r\n\r\n",
            )))))
        }

        fn size_hint(&self) -> SizeHint {
            self.1.map_or_else(SizeHint::default, SizeHint::with_exact)
        }
    }

    impl Drop for Counting {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    let dropped = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&dropped);
    let service = service_fn(move |request: Request<Incoming>| {
        let code = request.uri().path()[1..].parse::<u16>().expect("a number");
        let len = request.uri().query();
        let len = len.map(|len| len.parse::<u64>().expect("a number"));
        let mut response = Response::new(Counting(Arc::clone(&counted), len));
        *response.status_mut() = StatusCode::from_u16(code).expect("a status");
        core::future::ready(Ok::<_, Infallible>(response))
    });
    let server = Running::start_handler(on_loopback(), ServiceHandler::new(service));
    let mut count = 0;
    for query in ["", "?0", "?19", "?100000"] {
        let requests = ["/204", "/304", "/204"].map(|path| format!("{path}{query}"));
        let requests = requests.each_ref().map(|path| ("GET", path.as_str()));
        let received = exchange(server.address, &requests);
        let codes: Vec<_> = received.iter().map(|one| one.status).collect();
        assert_eq!(codes, [204, 304, 204], "{query}");
        let paths = ["/200", "/204", "/304", "/404"].map(|path| format!("{path}{query}"));
        let requests = paths.each_ref().map(|path| ("HEAD", path.as_str()));
        let received = exchange(server.address, &requests);
        let codes: Vec<_> = received.iter().map(|one| one.status).collect();
        assert_eq!(codes, [200, 204, 304, 404], "{query}");
        count += 7;
        eventually("the bodies are dropped", || {
            dropped.load(Ordering::SeqCst) == count
        });
    }
    server.stop();
}

#[test]
fn trailers_pass_over_the_wire_and_frame_nothing() {
    let service = service_fn(async |request: Request<Incoming>| {
        let collected = request.into_body().collect().await?;
        let mut fields = HeaderMap::new();
        let sum = collected
            .trailers()
            .and_then(|fields| fields.get("sum"))
            .cloned();
        fields.insert("sum-again", sum.unwrap_or(HeaderValue::from_static("none")));
        // These are refused in a trailer section (RFC 9110 §6.5.1).
        for name in [
            "content-length",
            "transfer-encoding",
            "connection",
            "trailer",
        ] {
            fields.insert(name, HeaderValue::from_static("5"));
        }
        let body = Full::new(collected.to_bytes()).with_trailers(async { Some(Ok(fields)) });
        let mut response = Response::new(body);
        let announced = HeaderValue::from_static("sum-again");
        response.headers_mut().insert("trailer", announced);
        Ok::<_, coldstart::message::IncomingError>(response)
    });
    let server = Running::start_handler(on_loopback(), ServiceHandler::new(service));
    let client = Client::connect(server.address);
    client.send(
        "POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE, close\r\nTransfer-Encoding: chunked\r\n\r\n\
         3\r\nabc\r\n0\r\nsum: 9\r\n\r\n",
    );
    let bytes = until_the_end(&client);
    let text = String::from_utf8(bytes).expect("text");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(body, "3\r\nabc\r\n0\r\nsum-again: 9\r\n\r\n");
    server.stop();
}

/// Fields that frame, or would like to.
const FIELDS: [&[(&str, &[u8])]; 19] = [
    &[("transfer-encoding", b"chunked")],
    &[("transfer-encoding", b"gzip, chunked")],
    &[("transfer-encoding", b"identity")],
    &[("transfer-encoding", b"chunked"), ("content-length", b"3")],
    &[("content-length", b"3")],
    &[("content-length", b"3"), ("content-length", b"4")],
    &[("content-length", b"0x5")],
    &[("content-length", b"")],
    &[("connection", b"close")],
    &[("connection", b"keep-alive, close")],
    &[("connection", b"upgrade"), ("upgrade", b"websocket")],
    &[("connection", b"content-length, x-a"), ("x-a", b"b")],
    &[("upgrade", b"h2c")],
    &[("keep-alive", b"timeout=1")],
    &[("trailer", b"x-sum")],
    &[("te", b"trailers")],
    &[("date", b"yesterday")],
    &[("x-a", b"\x80\xff tab\tand more")],
    &[("x-a", b"")],
];

#[test]
fn fields_of_a_service_frame_nothing() {
    let service = service_fn(async |request: Request<Incoming>| {
        let (kind, number) = request.uri().path()[1..]
            .split_once('/')
            .expect("two parts");
        let body = match kind {
            "known" => script(&["hello"], exactly::<5>, after_one),
            _ => script(&["hel", "lo"], unknown, never),
        };
        let mut response = Response::new(body);
        let fields = FIELDS[number.parse::<usize>().expect("a number")];
        for (name, value) in fields {
            let value = HeaderValue::from_bytes(value).expect("a value");
            response.headers_mut().append(*name, value);
        }
        Ok::<_, Infallible>(response)
    });
    let server = Running::start_handler(on_loopback(), ServiceHandler::new(service));
    for (number, fields) in FIELDS.iter().enumerate() {
        for kind in ["known", "unknown"] {
            let path = format!("/{kind}/{number}");
            let received = exchange(
                server.address,
                &[("HEAD", &path), ("GET", &path), ("GET", &path)],
            );
            assert!(!received.is_empty(), "{fields:?}");
            for response in &received {
                let is_cut = !response.is_whole && kind == "unknown" && number < 8;
                assert!(is_cut || response.is_whole, "{fields:?}: {response:?}");
                // An offer of another protocol is no framing (RFC 9110 §7.8), and says so in `Connection`.
                let options = response.values("connection").join(",").to_ascii_lowercase();
                let mut options: Vec<_> = options.split(',').map(str::trim).collect();
                let offers = response.values("upgrade").len();
                options.retain(|option| !["", "close"].contains(option));
                assert_eq!(options, vec!["upgrade"; offers], "{fields:?}");
                assert_eq!(response.values("keep-alive"), [""; 0], "{fields:?}");
                let dates = response.values("date");
                assert!(dates.len() == 1 && dates[0].ends_with("GMT"), "{dates:?}");
            }
            for response in received.iter().skip(1).filter(|response| response.is_whole) {
                assert_eq!(response.body, b"hello", "{fields:?}");
            }
        }
    }
    server.stop();
}

/// A service that fails at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failing {
    Ready,
    ReadyLater,
    Call,
    FirstFrame,
    LaterFrame,
    Nowhere,
}

#[derive(Clone)]
struct Fails {
    at: Failing,
    is_asked: bool,
}

impl Service<Request<Incoming>> for Fails {
    type Response = Response<Failing>;
    type Error = &'static str;
    type Future = core::future::Ready<Result<Response<Failing>, &'static str>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        match (self.at, self.is_asked) {
            (Failing::Ready, _) | (Failing::ReadyLater, true) => Poll::Ready(Err("not ready")),
            (Failing::ReadyLater, false) => {
                self.is_asked = true;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            _ => Poll::Ready(Ok(())),
        }
    }

    fn call(&mut self, _: Request<Incoming>) -> Self::Future {
        let is_failure = self.at == Failing::Call;
        core::future::ready(if is_failure {
            Err("no response")
        } else {
            Ok(Response::new(self.at))
        })
    }
}

/// Its frames: one, and the end. The length is not known.
impl Body for Failing {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        let piece = Some(Ok(Frame::data(Bytes::from_static(b"piece"))));
        Poll::Ready(match *self {
            Self::FirstFrame => Some(Err("no frame")),
            Self::LaterFrame => {
                *self = Self::FirstFrame;
                piece
            }
            Self::Nowhere => {
                *self = Self::Call;
                piece
            }
            Self::Ready | Self::ReadyLater | Self::Call => None,
        })
    }
}

#[test]
fn an_error_is_a_500_for_the_platform_before_the_head_and_a_cut_after_it() {
    for at in [
        Failing::Ready,
        Failing::ReadyLater,
        Failing::Call,
        Failing::FirstFrame,
        Failing::LaterFrame,
        Failing::Nowhere,
    ] {
        let is_asked = false;
        let handler = ServiceHandler::new(Fails { at, is_asked });
        let function = coldstart::Function::new().http_handler(handler);
        let server = Running::start_handler(on_loopback(), function.handler());
        for _ in 0..2 {
            let received = exchange(server.address, &[("GET", "/"), ("GET", "/")]);
            let first = &received[0];
            match at {
                Failing::Ready | Failing::ReadyLater | Failing::Call => {
                    assert_eq!((first.status, received.len()), (500, 2), "{at:?}");
                    assert_eq!(first.values("x-fc-status"), ["404"], "{at:?}");
                }
                Failing::FirstFrame | Failing::LaterFrame => {
                    let is_cut = !first.is_whole && received.len() == 1;
                    assert!(is_cut || first.status == 500, "{at:?}: {received:?}");
                }
                Failing::Nowhere => {
                    assert_eq!((first.status, received.len()), (200, 2), "{at:?}");
                    assert_eq!(first.body, b"piece", "it is whole");
                }
            }
        }
        server.stop();
    }
}
