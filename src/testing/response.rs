//! The response of a handler under test, read as the loop would read it.
#![expect(clippy::panic, reason = "a test's mistake ends the test")]

use core::fmt;
use core::time::Duration;
use std::sync::{Arc, mpsc};

use bytes::Bytes;

use crate::handler::future::{Interest, finish};
use crate::handler::middleware::ChangeResponse as _;
use crate::handler::outcome::{Outcome, Pending};
use crate::handler::{Upgrade, Watch};
use crate::limits::Limits;
use crate::message::body::{Attachment, Content, Piece, PieceSource};
use crate::message::response::{Response, Status};
use crate::message::trailers::Trailers;
use crate::os::clock;
use crate::sync::loop_thread::{self, Guard, Runner};
use crate::sync::memory::Memory;
use crate::sync::notify::Notify;
use crate::sync::oneshot::Polled;
use crate::sync::pause::Pause;
use crate::task::{ServerStage, enter_stage, turn_of_waiter};

/// How long a test waits for each thing that another thread or a timer has to provide.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// A handler's response, without the fields that the server adds.
///
/// ```
/// use coldstart::{Body, Response, TestRequest};
///
/// let mut response = TestRequest::get("/").run(|_| {
///     let body = Body::writer(async |out| {
///         out.send("one").await?;
///         out.send("two").await?;
///         Ok(())
///     });
///     Response::text(body).header("set-cookie", "a=1").header("set-cookie", "b=2")
/// });
/// assert_eq!(response.status(), 200);
/// assert!(response.header_all("set-cookie").eq(["a=1", "b=2"]));
/// assert_eq!(response.next_piece().as_deref(), Some(&b"one"[..]));
/// assert_eq!(response.text(), "two");
/// ```
pub struct TestResponse {
    status: Status,
    fields: Vec<(String, Vec<u8>)>,
    content: TestContent,
    trailers: Trailers,
    bell: Bell,
}

/// What is left of the body.
enum TestContent {
    Whole(Bytes),
    Arriving(Box<dyn PieceSource>),
}

impl TestResponse {
    /// `failure` makes the response of a handler that gives none, and `change` sees what is sent.
    pub(crate) fn new(
        outcome: Outcome,
        failure: impl Fn() -> Response,
        change: impl FnOnce(Response) -> Response,
    ) -> Self {
        let bell = Bell::new();
        let response = or_error(bell.await_response(outcome, failure));
        let mut response = or_error(change(response));
        let content = match response.take_body().0 {
            Content::Whole(bytes) => TestContent::Whole(bytes),
            Content::Arriving(body) => {
                let memory = Arc::new(Memory::new(None, || None));
                TestContent::Arriving(body.attach(Attachment {
                    notify: bell.notify.clone(),
                    memory: &memory,
                    fields: response.raw_fields(),
                }))
            }
        };
        let owned = |(name, value): (&str, &[u8])| (name.to_owned(), value.to_owned());
        Self {
            status: response.head().status(),
            fields: response.head().headers().map(owned).collect(),
            content,
            trailers: Trailers::new(),
            bell,
        }
    }

    /// The response to an offer to upgrade that the handler took (RFC 9110 §15.2.2): 101 and its protocol.
    pub(crate) fn switching(upgrade: &mut Upgrade, watch: Watch) -> Self {
        let status = Status::SWITCHING_PROTOCOLS;
        let mut switching = Self::without_body(upgrade, status, watch);
        let protocol = upgrade.protocol.as_bytes().to_owned();
        switching.fields.insert(0, ("Upgrade".to_owned(), protocol));
        switching
    }

    /// The response to CONNECT that the handler took (RFC 9110 §9.3.6).
    pub(crate) fn tunnel(upgrade: &mut Upgrade, watch: Watch) -> Self {
        Self::without_body(upgrade, Status::OK, watch)
    }

    fn without_body(upgrade: &mut Upgrade, status: Status, watch: Watch) -> Self {
        let response = upgrade.take_response(status);
        upgrade.put_response(changed(watch, response));
        let fields = upgrade.fields.iter();
        Self {
            status,
            fields: fields
                .filter(|(name, _)| !name.as_str().eq_ignore_ascii_case("upgrade"))
                .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_owned()))
                .collect(),
            content: TestContent::Whole(Bytes::new()),
            trailers: Trailers::new(),
            bell: Bell::new(),
        }
    }

    /// The status.
    #[must_use]
    pub const fn status(&self) -> Status {
        self.status
    }

    /// The value of the first field with this name, if it is UTF-8.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter();
        let field = fields.find(|field| field.0.eq_ignore_ascii_case(name));
        field.and_then(|field| core::str::from_utf8(&field.1).ok())
    }

    /// The values of all fields with this name, in their order, such as each `Set-Cookie`; those that are UTF-8.
    ///
    /// ```
    /// use coldstart::{Response, TestRequest};
    ///
    /// let response = TestRequest::get("/")
    ///     .run(|_| Response::text("").header("set-cookie", "a=1").header("set-cookie", "b=2"));
    /// assert_eq!(response.header_all("set-cookie").collect::<Vec<_>>(), ["a=1", "b=2"]);
    /// ```
    pub fn header_all(&self, name: &str) -> impl Iterator<Item = &str> {
        let fields = self.fields.iter();
        let named = fields.filter(move |field| field.0.eq_ignore_ascii_case(name));
        named.filter_map(|field| core::str::from_utf8(&field.1).ok())
    }

    /// Begins the server's stop. Code that waits for it, or asks, learns of it when the test next waits for something. See
    /// [`draining`](crate::draining()).
    ///
    /// ```
    /// use coldstart::{Body, Response, TestRequest, draining};
    ///
    /// let mut response = TestRequest::get("/").run(|_| {
    ///     Response::text(Body::writer(async |out| {
    ///         out.send("news\n").await?;
    ///         draining().await; // Nothing new comes; the server's stop ends the stream.
    ///         out.send("bye\n").await?;
    ///         Ok(())
    ///     }))
    /// });
    /// assert_eq!(response.next_piece().as_deref(), Some(&b"news\n"[..]));
    /// response.begin_drain();
    /// assert_eq!(response.text(), "bye\n");
    /// ```
    pub fn begin_drain(&self) {
        let _guard = enter();
        enter_stage(ServerStage::Draining);
    }

    /// Waits for the next piece of the body; `None` after the last one.
    ///
    /// ```
    /// use coldstart::{Body, Response, TestRequest};
    ///
    /// let mut response = TestRequest::get("/").run(|_| {
    ///     Response::text(Body::writer(async |out| {
    ///         out.send("one").await?;
    ///         out.send("two").await?;
    ///         Ok(())
    ///     }))
    /// });
    /// assert_eq!(response.next_piece().as_deref(), Some(&b"one"[..]));
    /// assert_eq!(response.text(), "two");
    /// ```
    ///
    /// # Panics
    ///
    /// The piece takes more than 10 seconds, or the body is cut: its sender was dropped unfinished, or its file is shorter
    /// than the range.
    #[must_use]
    pub fn next_piece(&mut self) -> Option<Bytes> {
        let patience = Patience::begin("a piece of the body");
        let _guard = enter();
        match &mut self.content {
            TestContent::Whole(bytes) => {
                Some(std::mem::take(bytes)).filter(|bytes| !bytes.is_empty())
            }
            TestContent::Arriving(source) => loop {
                match source.next(&mut 1) {
                    Piece::Bytes(piece) if piece.is_empty() => {}
                    Piece::Bytes(piece) => return Some(piece),
                    Piece::Pending => self.bell.run_tasks_and_wait(&patience),
                    Piece::Finished(end) => {
                        self.trailers = end.map(|end| end.trailers().clone()).unwrap_or_default();
                        self.content = TestContent::Whole(Bytes::new());
                        return None;
                    }
                    Piece::Cut => {
                        panic!("the body is cut: its sender was dropped unfinished, or failed")
                    }
                    Piece::WrongLength => panic!("the body is not as long as announced"),
                    Piece::Broken => panic!("the code that sends the body has panicked"),
                }
            },
        }
    }

    /// The value of the first trailer field with this name, if it is UTF-8, once [`next_piece`](Self::next_piece) has returned
    /// `None`. A peer gets those that the handler has sent only if it asked for them, or if the response announces them.
    #[must_use]
    pub fn trailer(&self, name: &str) -> Option<&str> {
        let mut fields = self.trailers.iter();
        let field = fields.find(|field| field.0.eq_ignore_ascii_case(name));
        field.and_then(|field| core::str::from_utf8(field.1).ok())
    }

    /// The rest of the body.
    ///
    /// # Panics
    ///
    /// As [`next_piece`](Self::next_piece).
    #[must_use]
    pub fn body(mut self) -> Vec<u8> {
        let mut body = Vec::new();
        while let Some(piece) = self.next_piece() {
            body.extend_from_slice(&piece);
        }
        body
    }

    /// The rest of the body as text; bytes that are not UTF-8 become U+FFFD.
    ///
    /// # Panics
    ///
    /// As [`next_piece`](Self::next_piece).
    #[must_use]
    pub fn text(self) -> String {
        String::from_utf8_lossy(&self.body()).into_owned()
    }
}

impl fmt::Debug for TestResponse {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TestResponse")
            .field("status", &self.status)
            .field("fields", &self.fields)
            .finish_non_exhaustive()
    }
}

/// What the server sends in place of a response with an invalid field.
fn or_error(response: Response) -> Response {
    match response.content().invalid_field() {
        Some(_) => Response::new(Status::INTERNAL_SERVER_ERROR),
        None => response,
    }
}

/// What the server sends in response to CONNECT when there is no tunnel: never a 2xx (RFC 9110 §9.3.6).
pub(super) fn without_tunnel(response: Response) -> Response {
    match response.head().status().code() {
        200..300 => response.status(Status::NOT_IMPLEMENTED),
        _ => response,
    }
}

/// The response after what is to be done with it.
pub(super) fn changed(watch: Watch, response: Response) -> Response {
    let failed = &mut || Response::new(Status::INTERNAL_SERVER_ERROR);
    Box::new(watch).change(response, failed)
}

/// What other threads call to wake the test.
pub(crate) struct Bell {
    notify: Notify,
    rung: mpsc::Receiver<()>,
}

impl Bell {
    pub(crate) fn new() -> Self {
        let (sender, rung) = mpsc::channel();
        let notify = Notify::new(move || {
            // After the end of the test there is no receiver.
            let _ = sender.send(());
        });
        Self { notify, rung }
    }

    /// Waits until it is rung, or a timer fires.
    fn wait(&self, patience: &Patience, timer: Option<Duration>) {
        let left = patience.left();
        let time = timer.map_or(left, |timer| timer.min(left));
        let _ = self.rung.recv_timeout(time);
    }

    fn run_tasks_and_wait(&self, patience: &Patience) {
        let timer = turn_of_waiter(&|| self.notify.clone());
        self.wait(patience, timer);
    }

    /// Waits until `pause` is over.
    pub(crate) fn await_resume(&self, pause: &Pause) {
        let patience = Patience::begin("the end of a pause");
        while !pause.is_over(|| self.notify.clone()) {
            self.run_tasks_and_wait(&patience);
        }
    }

    fn await_response(&self, outcome: Outcome, failure: impl Fn() -> Response) -> Response {
        let patience = Patience::begin("the response of a future");
        let wait = |timer| {
            self.wait(&patience, timer);
            Interest::Kept
        };
        let failure = || Pending::Response(failure());
        let finished = finish(outcome, || self.notify.clone(), wait);
        let mut pending = finished.unwrap_or_else(failure);
        let patience = Patience::begin("the promised response");
        loop {
            let promise = match pending {
                Pending::Response(response) => return response,
                Pending::Promise(promise) => promise,
            };
            pending = match promise.poll(|| self.notify.clone()) {
                Polled::Pending => {
                    self.run_tasks_and_wait(&patience);
                    Pending::Promise(promise)
                }
                Polled::Filled(next) => next,
                Polled::Broken => failure(),
            };
        }
    }
}

/// How long a test still waits for one thing.
struct Patience {
    awaited: &'static str,
    until: Duration,
}

impl Patience {
    fn begin(awaited: &'static str) -> Self {
        let until = clock::monotonic().saturating_add(WAIT_MAX);
        Self { awaited, until }
    }

    fn left(&self) -> Duration {
        let left = self.until.saturating_sub(clock::monotonic());
        let awaited = self.awaited;
        assert!(
            !left.is_zero(),
            "{awaited} did not come within {WAIT_MAX:?}"
        );
        left
    }
}

/// The same for a test that begins: its server does not stop, even if an earlier one did.
pub(super) fn enter_anew() -> Guard {
    let guard = enter();
    enter_stage(ServerStage::Serving);
    guard
}

/// The timers and tasks of this thread are the test's until the guard is dropped.
pub(super) fn enter() -> Guard {
    let limits = Limits::new();
    loop_thread::enter(Runner::of_test(limits.tasks_max, limits.timers_max))
}
