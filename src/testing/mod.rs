//! Handlers under test: a request without a server, and the response to it.
#![expect(clippy::panic, reason = "a test's mistake ends the test")]

pub(crate) mod response;

use std::net::SocketAddr;

use crate::current_request::leave_afterwards;
use crate::h1::{Connection, Event, HeadIndex, HeadLimits, HeadView, Refusal, UpgradeOffer};
use crate::handler::outcome::{IntoOutcome, Outcome};
use crate::handler::{Accept, Demand, FunctionHandler, Handler, Upload};
use crate::limits::Limits;
use crate::message::request::{Head, Request, RequestBody};
use crate::message::response::{Response, Status};
use crate::os::PeerAddress;
pub use response::TestResponse;
use response::{Bell, changed, enter_anew, without_tunnel};

/// How many pieces an [`Upload`] gets a body in, so that one that relies on a single piece fails its test.
const PIECES: usize = 3;

/// A request for a handler under test.
///
/// It is encoded and then read by the server's own parser, so a handler sees exactly what it would see from a peer.
///
/// ```
/// use coldstart::{Request, Response, TestRequest};
///
/// fn greet(request: &Request<'_>) -> Response {
///     Response::text(format!("hello, {}", request.query().unwrap_or("you")))
/// }
///
/// let response = TestRequest::get("/greet?world").header("accept", "text/plain").run(greet);
/// assert_eq!(response.status(), 200);
/// assert_eq!(response.text(), "hello, world");
/// ```
#[derive(Clone, Debug)]
pub struct TestRequest {
    request_line: String,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
    peer: Option<SocketAddr>,
}

impl TestRequest {
    /// A request with any method and target (RFC 9112 §3).
    ///
    /// ```
    /// use coldstart::TestRequest;
    ///
    /// let request = TestRequest::new("DELETE", "/things/7?force");
    /// let response = request.run(|request| format!("{} {}\n", request.method(), request.path()));
    /// assert_eq!(response.text(), "DELETE /things/7\n");
    /// ```
    #[must_use]
    pub fn new(method: &str, target: &str) -> Self {
        Self {
            request_line: format!("{method} {target} HTTP/1.1"),
            fields: Vec::new(),
            body: Vec::new(),
            peer: None,
        }
    }

    /// A GET request.
    #[must_use]
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// A POST request.
    #[must_use]
    pub fn post(target: &str) -> Self {
        Self::new("POST", target)
    }

    /// Adds a field line. If it frames the body, the body is sent as it is, without framing of its own.
    ///
    /// ```
    /// use coldstart::TestRequest;
    ///
    /// // A body in chunks, with a trailer, byte for byte.
    /// let request = TestRequest::post("/").header("transfer-encoding", "chunked");
    /// let request = request.body("3\r\nabc\r\n0\r\nsum: 9\r\n\r\n");
    /// let response = request.run(|request| format!("{:?} {}\n", request.body(), request.trailers().len()));
    /// assert_eq!(response.text(), "[97, 98, 99] 1\n");
    /// ```
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the body.
    ///
    /// ```
    /// use coldstart::TestRequest;
    ///
    /// let request = TestRequest::post("/").body("abc");
    /// assert_eq!(request.run(|request| request.body_bytes()).text(), "abc");
    /// ```
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets what [`Request::peer_address`] returns; by default it is unknown.
    ///
    /// ```
    /// use coldstart::TestRequest;
    ///
    /// let request = TestRequest::get("/").peer_address(([192, 0, 2, 7], 50_000).into());
    /// let response = request.run(|request| format!("{:?}\n", request.peer_address()));
    /// assert_eq!(response.text(), "Some(192.0.2.7:50000)\n");
    /// ```
    #[must_use]
    pub const fn peer_address(mut self, address: SocketAddr) -> Self {
        self.peer = Some(address);
        self
    }

    /// Runs a function or closure.
    ///
    /// # Panics
    ///
    /// As [`run_handler`](Self::run_handler).
    #[must_use]
    pub fn run<R: IntoOutcome<Kind>, Kind>(
        &self,
        function: impl FnMut(&Request<'_>) -> R,
    ) -> TestResponse {
        self.run_handler(&mut FunctionHandler::new(function))
    }

    /// Runs a [`Handler`]: first its [`accept`](Handler::accept), then what that decides.
    ///
    /// As in the server, a body over its bound gets 413, an upgrade to a protocol that the request offers gets 101, and one of
    /// CONNECT gets 200. The upgrade's closure is dropped, since there is no socket.
    ///
    /// [Timers](crate::task) run in real time. Tasks run while the test waits for a response or for a piece of its body.
    ///
    /// ```
    /// use coldstart::{Router, TestRequest};
    ///
    /// let mut router = Router::new().post("/notes", |request| request.body_bytes()).body_len_max(4);
    /// assert_eq!(TestRequest::post("/notes").body("milk").run_handler(&mut router).text(), "milk");
    /// assert_eq!(TestRequest::post("/notes").body("bread").run_handler(&mut router).status(), 413);
    /// assert_eq!(TestRequest::get("/notes").run_handler(&mut router).header("allow"), Some("OPTIONS, POST"));
    /// ```
    ///
    /// # Panics
    ///
    /// The server would refuse the request; or its body is not as long as it announces; or a pause, a future or a promised
    /// response takes more than 10 seconds.
    #[must_use]
    pub fn run_handler<H: Handler + ?Sized>(&self, handler: &mut H) -> TestResponse {
        // A test has a thread of its own.
        let _leave = leave_afterwards();
        let _guard = enter_anew();
        let bytes = self.encode();
        let limits = Limits::new();
        let head_limits = HeadLimits {
            head_len_max: limits.head_len_max,
            target_len_max: limits.target_len_max,
            headers_max: limits.headers_max,
        };
        let mut connection = Connection::new();
        let mut index = HeadIndex::default();
        let head_len = match connection.poll(&bytes, &mut index, &head_limits) {
            Ok((len, Event::Head { .. })) => len,
            Ok(_) => panic!("the request line has a line end in it"),
            Err(refusal) => panic!("the server would refuse this request: {refusal}"),
        };
        let (head, rest) = bytes.split_at(head_len);
        let view = HeadView::new(head, &index);
        let peer = self.peer.as_ref();
        let peer = peer.map_or(PeerAddress::Unknown, PeerAddress::Known);
        let head = Head::new(view, peer);
        let offer = connection.upgrade();
        let whole = whole_body(&connection, rest, limits.body_len_max);
        // As in the server: a complete request can be handled in one call.
        let accept = match whole.filter(|_| offer == UpgradeOffer::None) {
            Some(body) => {
                handler.accept_whole(&Request::new(head, RequestBody::Borrowed(body), &[]))
            }
            None => handler.accept(&head),
        };
        let (mut accept, watch) = accept.split();
        let watch = watch.unwrap_or_default();
        if let Accept::Upgrade(upgrade) = &mut accept
            && connection.can_switch(view, upgrade.protocol.as_bytes())
        {
            return match offer {
                UpgradeOffer::Tunnel => TestResponse::tunnel(upgrade, watch),
                UpgradeOffer::Offered | UpgradeOffer::None => {
                    TestResponse::switching(upgrade, watch)
                }
            };
        }
        let mut read = |len_max| read_body(&mut connection, rest, len_max, &head_limits);
        let outcome = match (accept, offer) {
            (Accept::Respond(outcome), _) => Ok(outcome),
            (_, UpgradeOffer::Tunnel) => Err(Refusal::Connect),
            (Accept::Stream(upload), _) => stream(read(upload.body_len_max()), upload),
            (Accept::Pull(pulled), _) => read(u64::MAX).map(|(body, trailers)| {
                let body = RequestBody::Borrowed(&body);
                pulled.0.respond(&Request::new(head, body, trailers))
            }),
            (Accept::Discard, _) => {
                let body = RequestBody::Borrowed(&[]);
                Ok(handler.call(&Request::new(head, body, &[])))
            }
            (Accept::BufferUpTo(len_max), _) => read(len_max).map(call(handler, head)),
            (Accept::Buffer | Accept::Upgrade(_) | Accept::Watched(_), _) => {
                read(limits.body_len_max).map(call(handler, head))
            }
        };
        let outcome = outcome.unwrap_or_else(|refusal| {
            let status = Status::new(refusal.status()).unwrap_or(Status::BAD_REQUEST);
            Response::text(refusal.reason()).status(status).into()
        });
        let change = |response| match offer {
            UpgradeOffer::Tunnel => changed(watch, without_tunnel(response)),
            UpgradeOffer::Offered | UpgradeOffer::None => changed(watch, response),
        };
        TestResponse::new(outcome, || handler.failure(), change)
    }

    fn encode(&self) -> Vec<u8> {
        let mut head = format!("{}\r\n", self.request_line);
        for (name, value) in &self.fields {
            head.extend([name, ": ", value, "\r\n"]);
        }
        let is = |wanted: &'static str| move |name: &String| name.eq_ignore_ascii_case(wanted);
        let has = |wanted| self.fields.iter().map(|field| &field.0).any(is(wanted));
        if !has("host") {
            head.push_str("Host: localhost\r\n");
        }
        if !self.body.is_empty() && !has("content-length") && !has("transfer-encoding") {
            head.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        [head.as_bytes(), b"\r\n", &self.body].concat()
    }
}

/// The body, if it has the announced length and is within the bound: such a request is complete.
fn whole_body<'a>(connection: &Connection, bytes: &'a [u8], len_max: u64) -> Option<&'a [u8]> {
    match connection.announced() {
        None if connection.is_body_pending() => None,
        None => Some(&[]),
        Some(len) => Some(bytes).filter(|bytes| len <= len_max && len == bytes.len() as u64),
    }
}

/// A body without its framing, and the trailer section after it.
type Read<'a> = (Vec<u8>, &'a [u8]);

fn read_body<'a>(
    connection: &mut Connection,
    mut bytes: &'a [u8],
    len_max: u64,
    limits: &HeadLimits,
) -> Result<Read<'a>, Refusal> {
    connection.limit_body(len_max)?;
    let (mut body, mut trailers) = (Vec::new(), &[][..]);
    while connection.is_body_pending() {
        let (taken, event) = match connection.poll(bytes, &mut HeadIndex::default(), limits) {
            Ok((_, Event::NeedInput)) => panic!("the body is shorter than the request announces"),
            Ok(polled) => polled,
            Err(Refusal::BodyTooLarge) => return Err(Refusal::BodyTooLarge),
            Err(refusal) => panic!("the server would refuse this request: {refusal}"),
        };
        bytes = bytes.get(taken..).unwrap_or_default();
        match event {
            Event::Body(piece) => body.extend_from_slice(piece),
            Event::End { trailers: section } => trailers = section,
            Event::NeedInput | Event::EmptyLine | Event::Head { .. } => {}
        }
    }
    assert!(
        bytes.is_empty(),
        "the body is longer than the request announces"
    );
    Ok((body, trailers))
}

fn call<H: Handler + ?Sized>(handler: &mut H, head: Head<'_>) -> impl FnOnce(Read<'_>) -> Outcome {
    move |(body, trailers)| {
        handler.call(&Request::new(head, RequestBody::Borrowed(&body), trailers))
    }
}

fn stream(
    read: Result<Read<'_>, Refusal>,
    mut upload: Box<dyn Upload>,
) -> Result<Outcome, Refusal> {
    let (body, _) = match read {
        Ok(read) => read,
        Err(refusal) => {
            upload.on_cut();
            return Err(refusal);
        }
    };
    for piece in body.chunks(body.len().div_ceil(PIECES).max(1)) {
        match upload.on_piece(piece) {
            Demand::More => {}
            Demand::Respond(outcome) => return Ok(outcome),
            Demand::Pause(pause) => Bell::new().await_resume(&pause),
        }
    }
    Ok(upload.on_end())
}

#[cfg(test)]
mod tests {
    use super::TestRequest;
    use crate::handler::{Accept, Demand, Outcome, Pause, Upgrade, Upload};
    use crate::message::Head;
    use crate::{Body, Handler, Request, Response, Status};

    #[test]
    fn a_handler_sees_what_the_server_would_show() {
        let request = TestRequest::new("PUT", "http://there/a%20b?c=d")
            .header("X-A", "  1 ")
            .body("body");
        let response = request.run(|request| {
            assert_eq!(request.method(), "PUT");
            assert_eq!(request.path(), "/a%20b");
            assert_eq!(request.query(), Some("c=d"));
            assert_eq!(request.head().host(), Some("there"));
            assert_eq!(request.header("x-a"), Some("1"));
            assert_eq!(request.header("content-length"), Some("4"));
            Response::bytes(request.body_bytes())
                .status(Status::CREATED)
                .header("location", "/a")
        });
        assert_eq!(response.status(), 201);
        assert_eq!(response.header("Location"), Some("/a"));
        assert_eq!(response.body(), b"body");
    }

    #[test]
    fn a_chunked_body_is_taken_at_its_word() {
        let response = TestRequest::post("/")
            .header("Transfer-Encoding", "chunked")
            .body("3\r\nabc\r\n0\r\nsum: 9\r\n\r\n")
            .run(|request| {
                assert_eq!(request.trailers(), [("sum", &b"9"[..])]);
                Response::bytes(request.body_bytes())
            });
        assert_eq!(response.text(), "abc");
    }

    #[test]
    #[should_panic(expected = "refuse this request: the request target")]
    fn an_invalid_request_is_the_tests_mistake() {
        drop(TestRequest::get("/ä").run(|_| Response::text("")));
    }

    #[test]
    #[should_panic(expected = "shorter than the request announces")]
    fn a_short_body_is_the_tests_mistake() {
        let request = TestRequest::post("/").header("content-length", "9");
        drop(request.run(|_| Response::text("")));
    }

    #[test]
    fn promises_and_bodies_of_other_threads_are_awaited() {
        let mut response = TestRequest::get("/").run(|_| {
            let (outcome, reply) = Outcome::promised();
            let (sender, body) = Body::channel(1);
            std::thread::Builder::new()
                .spawn(move || {
                    reply.complete(Response::text(body).status(Status::ACCEPTED));
                    for piece in ["one ", "two ", "three"] {
                        sender.send(piece).expect("the test reads");
                    }
                    sender.finish();
                })
                .expect("a thread");
            outcome
        });
        assert_eq!(response.status(), 202);
        assert_eq!(response.next_piece().as_deref(), Some(&b"one "[..]));
        assert_eq!(response.text(), "two three");
        let broken = TestRequest::get("/").run(|_| Outcome::promised().0);
        assert_eq!(
            (broken.status().code(), broken.text().as_str()),
            (500, "the handler failed\n")
        );
    }

    #[test]
    fn a_file_is_read_in_its_range() {
        let path = std::env::temp_dir().join(format!("coldstart-{}", std::process::id()));
        std::fs::write(&path, "0123456789").expect("a file");
        let response = TestRequest::get("/").run(|_| {
            let file = std::fs::File::open(&path).expect("the file");
            Response::bytes(Body::file(file, 2..5))
        });
        assert_eq!(response.text(), "234");
        std::fs::remove_file(&path).expect("the file");
    }

    /// Accepts by path.
    struct Gate;

    #[derive(Default)]
    struct Count {
        pieces: usize,
        len: usize,
    }

    impl Upload for Count {
        fn body_len_max(&self) -> u64 {
            9
        }

        fn on_piece(&mut self, piece: &[u8]) -> Demand {
            self.pieces += 1;
            self.len += piece.len();
            let (pause, resume) = Pause::new();
            match piece {
                b"!" => return Demand::Respond(Response::text("early").into()),
                _ if self.pieces > 1 => resume.resume(),
                _ => drop(std::thread::Builder::new().spawn(move || resume.resume())),
            }
            Demand::Pause(pause)
        }

        fn on_end(self: Box<Self>) -> Outcome {
            Response::text(format!("{} bytes in {} pieces", self.len, self.pieces)).into()
        }
    }

    impl Handler for Gate {
        fn accept(&mut self, head: &Head<'_>) -> Accept {
            match head.path() {
                "/stream" => Accept::Stream(Box::<Count>::default()),
                "/small" => Accept::BufferUpTo(2),
                "/upgrade" => Accept::Upgrade(Upgrade::new("echo", |_, _| {})),
                "/no" => Accept::Respond(Response::new(Status::FORBIDDEN).into()),
                _ => Accept::Buffer,
            }
        }

        fn call(&mut self, request: &Request<'_>) -> Outcome {
            Response::bytes(request.body_bytes()).into()
        }
    }

    #[test]
    fn what_a_handler_accepts_is_honoured() {
        let post = |target: &str, body: &'static str| {
            let response = TestRequest::post(target).body(body).run_handler(&mut Gate);
            (response.status().code(), response.text())
        };
        let text = |text: &str| (200, text.to_owned());
        assert_eq!(post("/", "abc"), text("abc"));
        assert_eq!(post("/small", "ab"), text("ab"));
        assert_eq!(post("/small", "abc").0, 413);
        assert_eq!(post("/no", "abc"), (403, String::new()));
        assert_eq!(post("/stream", "12345"), text("5 bytes in 3 pieces"));
        assert_eq!(post("/stream", ""), text("0 bytes in 0 pieces"));
        assert_eq!(post("/stream", "ab!"), text("early"));
        assert_eq!(post("/stream", "0123456789").0, 413);
        assert_eq!(post("/upgrade", "plain"), text("plain"));
    }

    #[test]
    fn an_upgrade_is_taken_where_it_is_offered() {
        let response = TestRequest::get("/upgrade")
            .header("connection", "upgrade")
            .header("upgrade", "echo")
            .run_handler(&mut Gate);
        assert_eq!(
            (response.status().code(), response.header("upgrade")),
            (101, Some("echo"))
        );
        let other = TestRequest::get("/upgrade")
            .header("connection", "upgrade")
            .header("upgrade", "h2c")
            .run_handler(&mut Gate);
        assert_eq!(
            (other.status().code(), other.header("upgrade")),
            (200, None)
        );
    }

    #[test]
    fn connect_gets_200_only_for_an_upgrade() {
        type Acceptor = fn() -> Accept;
        struct Tunnel(Acceptor);
        impl Handler for Tunnel {
            fn accept(&mut self, _: &Head<'_>) -> Accept {
                (self.0)()
            }
            fn call(&mut self, _: &Request<'_>) -> Outcome {
                Response::text("called").into()
            }
        }
        let cases: [(Acceptor, u16); 4] = [
            (
                || Accept::Upgrade(Upgrade::new("x", |_, _| {}).header("x", "y")),
                200,
            ),
            (|| Accept::Buffer, 501),
            (|| Accept::Respond(Response::text("no tunnel").into()), 501),
            (
                || Accept::Respond(Response::new(Status::FORBIDDEN).into()),
                403,
            ),
        ];
        for (acceptor, status) in cases {
            let response = TestRequest::new("CONNECT", "a:1").run_handler(&mut Tunnel(acceptor));
            assert_eq!(response.status(), status);
            assert_eq!(response.header("upgrade"), None);
        }
    }
}
