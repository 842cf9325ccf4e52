//! The traits that a user implements, and what a handler may do with a request.
//!
//! # Async handlers
//!
//! Wherever a closure or function is a handler, it may return a future of a response. No async runtime is needed, and none is
//! started: the future is polled on the loop that called the handler, once in the call and then each time it is woken. One that is
//! ready at once costs what a value costs: its memory is kept for the next one. While it waits, the loop serves other connections.
//!
//! ```
//! use coldstart::message::OwnedRequest;
//! use std::time::Duration;
//!
//! use coldstart::{Request, Response, Router, Status, TestRequest, sleep};
//!
//! async fn load(id: u32) -> Result<String, Status> {
//!     // Stands for a wait for something.
//!     sleep(Duration::from_millis(1)).await;
//!     if id == 7 { Ok("seven\n".to_owned()) } else { Err(Status::NOT_FOUND) }
//! }
//!
//! async fn store(request: OwnedRequest) -> Response {
//!     Response::text(format!("{} bytes\n", request.as_request().body().len()))
//! }
//!
//! let mut router = Router::new()
//!     // What the future needs of the request is read before it is made.
//!     .get("/things/{id}", |request| {
//!         let id = request.parameter("id").and_then(|id| id.parse().ok());
//!         async move { load(id.ok_or(Status::BAD_REQUEST)?).await }
//!     })
//!     // Or it gets all of the request, at the cost of a copy of the head.
//!     .post("/things", |request| store(request.to_owned()));
//! assert_eq!(TestRequest::get("/things/7").run_handler(&mut router).text(), "seven\n");
//! assert_eq!(TestRequest::post("/things").body("abc").run_handler(&mut router).text(), "3 bytes\n");
//! ```
//!
//! A handler that returns an [`Outcome`] makes one with [`Outcome::future`]. A future may yield an outcome as well, such as a response
//! whose [body stays on this thread](Outcome::local).
//!
//! - **A future is dropped** when its peer resets the connection, and when the time to drain is over; when the peer ends its
//!   side, if [`when_half_closed`](Outcome::when_half_closed) says so. Code after an `.await` may therefore never run.
//! - **A panic** in it gets the response of [`Handler::failure`], and the connection goes on. A value that panics when it is dropped
//!   ends no more than its own connection. Two in one future end the process: Rust does so when a second panic leaves a drop while
//!   the first one unwinds.
//! - **It need not be `Send`**, so it may hold an `Rc` or a `RefCell` borrow across an `.await`. Its [`Waker`](core::task::Waker)
//!   may be called from any thread, and costs no system call on the thread of the loop. Between two polls of one future the loop
//!   serves all other connections, even if the future wakes itself.
//! - **It must not block**, like any handler: while it computes for long, reads a file or locks what a thread holds for long, all
//!   connections of its loop wait, and [`ServerEvent::LoopBlocked`](crate::server::ServerEvent::LoopBlocked) reports it. Such code
//!   goes into a closure for [`Blocking::run`], which it awaits, or the whole route into [`blocking`]. On a thread of a pool a
//!   future keeps that thread until it is ready, and a [`LocalBody`](crate::message::LocalBody) until it has ended.
//! - **It may wait for time**, without a runtime: [`sleep`](crate::sleep()), [`timeout`](crate::timeout()) and
//!   [`interval`](crate::interval()); [`spawn`](crate::spawn()) runs a future beside it, or after the response: see
//!   [`task`](crate::task).
//! - Timers and sockets of an async runtime need that runtime: run it on a thread of its own, and await what it sends.
//!
//! The code for the events and hooks of a [`Function`](crate::Function) may be async in the same way.
//!
//! # Middleware
//!
//! [`Handler::with`] puts a closure around a handler. It gets the head of each request and returns a [`Next`]: the handler responds,
//! and a second closure gets the response, with whatever it keeps of the request; or the middleware responds itself.
//!
//! The second closure is called once, on the loop, when the response is there: the handler returned it, a promise was kept, a future
//! is ready, an upload or a pulled body is over. It also sees what is sent in place of a response: [`Handler::failure`] after a panic,
//! 413 for a body that is too large, 408 for one that does not arrive, the 404 and 405 of a [`Router`], 500 for an invalid field. It
//! sees the head of a response whose body is sent in pieces when it begins. If the peer leaves before, it is dropped.
//!
//! A request that the server refuses because of its head, such as one with two `Content-Length`s, is seen like others as far as its head
//! parses, and the response is the server's even if the middleware would respond itself. Bytes that are no head (400, 431, 414), and
//! a head that does not arrive in time (408), are no request: only the [`Observer`](crate::server::Observer) sees them. An event or a
//! hook of a [`Function`](crate::Function) is no HTTP call, and passes no middleware.
//!
//! A panic of a middleware gets [`Handler::failure`], which those around it see.
//!
//! Authentication, CORS, request ids and an access log:
//!
//! ```
//! use std::time::Instant;
//!
//! use coldstart::handler::Next;
//! use coldstart::message::Head;
//! use coldstart::{Handler, Response, Router, Status, TestRequest};
//!
//! fn cors(head: &Head<'_>) -> Next {
//!     let allow = |response: Response| response.header("access-control-allow-origin", "*");
//!     if head.method() == "OPTIONS" && head.header("access-control-request-method").is_some() {
//!         let response = allow(Response::new(Status::NO_CONTENT));
//!         return Next::respond(response.header("access-control-allow-methods", "GET, POST"));
//!     }
//!     Next::on_response(allow)
//! }
//!
//! fn only_with_key(head: &Head<'_>) -> Next {
//!     match head.header("authorization") {
//!         Some("Bearer open sesame") => Next::handle(),
//!         _ => Next::respond((Status::UNAUTHORIZED, [("www-authenticate", "Bearer")], "who are you?\n")),
//!     }
//! }
//!
//! fn request_id(head: &Head<'_>) -> Next {
//!     let id = head.header("x-request-id").unwrap_or("none").to_owned();
//!     Next::on_response(|response| response.header("x-request-id", id))
//! }
//!
//! fn access_log(head: &Head<'_>) -> Next {
//!     let (began_at, line) = (Instant::now(), format!("{} {}", head.method(), head.target()));
//!     Next::on_response(move |response| {
//!         println!("{line} {} {:?}", response.head().status(), began_at.elapsed());
//!         response
//!     })
//! }
//!
//! // The last one is the outermost.
//! let mut router = Router::new()
//!     .get("/", |_| "hello\n")
//!     .with(only_with_key)
//!     .with(cors)
//!     .with(request_id)
//!     .with(access_log);
//! let request = TestRequest::get("/").header("x-request-id", "7");
//! let refused = request.run_handler(&mut router);
//! assert_eq!((refused.status().code(), refused.header("x-request-id")), (401, Some("7")));
//! let response = request.header("authorization", "Bearer open sesame").run_handler(&mut router);
//! assert_eq!(response.header("access-control-allow-origin"), Some("*"));
//! assert_eq!(response.text(), "hello\n");
//! ```
//!
//! Errors of the compiler, and what they mean:
//!
//! - *"lifetime may not live long enough"* or *"one type is more general than the other"*: the future has borrowed the request,
//!   whose bytes are gone after the handler's call. An `async fn(&Request<'_>)` always borrows it, and so does an `async` block
//!   that uses it. Read what you need before the block, or pass on [`Request::to_owned`].
//! - *"future cannot be sent between threads safely"*: it comes from a function that asks for `Send`, such as a runtime's `spawn`.
//!   No handler has to be. What has to cross to another thread is not the future but what it waits for: [`Blocking::run`]
//!   wants a closure and a value that are `Send`, and a [`Reply`] is.
//! - *"`Rc<..>` cannot be sent between threads safely"* where a handler is passed to [`Router`] or
//!   [`Function::event`](crate::Function::event): the closure moves between threads, even if its futures do not. It holds an `Arc`,
//!   and what is local is made in the future.
//!
//! ```compile_fail
//! use coldstart::{Request, Router};
//!
//! async fn greet(request: &Request<'_>) -> String {
//!     request.path().to_owned()
//! }
//!
//! let router = Router::new().get("/", greet); // It borrows the request.
//! ```

pub(crate) mod blocking;
mod carried;
mod closure;
mod errors;
#[cfg(feature = "files")]
pub(crate) mod files;
pub(crate) mod future;
pub(crate) mod interim;
pub(crate) mod into_handler;
pub(crate) mod middleware;
pub(crate) mod outcome;
pub(crate) mod pattern;
pub(crate) mod pulled;
pub(crate) mod reply;
mod route;
pub(crate) mod router;
mod socket;
pub(crate) mod state_router;
pub(crate) mod upgrade;
#[cfg(feature = "websocket")]
mod web_socket;

use core::fmt;
use core::marker::PhantomData;

use crate::message::request::{Head, Request, RequestBody};
use crate::message::response::{Response, Status};

pub use crate::sync::pause::{Pause, Resume};
pub use blocking::{Blocking, NoHandler, blocking};
pub use closure::{Busy, Running};
#[cfg(feature = "files")]
pub use files::Files;
pub use interim::Informer;
pub use into_handler::{IntoHandler, Itself};
pub use middleware::{Next, Watch, Watched, With};
pub use outcome::{Async, IntoOutcome, IntoResponse, Outcome, Value, WhenHalfClosed};
pub use pulled::{IncomingHandler, Pulled, incoming};
pub use reply::Reply;
pub use router::Router;
pub use socket::{SocketClosed, SocketReader, SocketWriter};
pub use state_router::StateRouter;
pub use upgrade::Upgrade;
#[cfg(feature = "websocket")]
pub use web_socket::{WebSocket, WebSocketError, WebSocketMessage};

/// Responds to requests. Functions and closures from `&Request` to [`Response`] need not implement it.
///
/// It runs on the loop: while it blocks, all connections wait. For work that waits, see [async handlers](self#async-handlers);
/// for work that blocks, see [`Blocking`] and [`Server::threads`](crate::Server::threads).
///
/// ```
/// use coldstart::handler::Outcome;
/// use coldstart::{Handler, Request, Response, TestRequest};
///
/// struct Counter {
///     calls: u32,
/// }
///
/// impl Handler for Counter {
///     fn call(&mut self, _: &Request<'_>) -> Outcome {
///         self.calls += 1;
///         Response::text(format!("call {}\n", self.calls)).into()
///     }
/// }
///
/// let mut counter = Counter { calls: 0 };
/// assert_eq!(TestRequest::get("/").run_handler(&mut counter).text(), "call 1\n");
/// assert_eq!(TestRequest::get("/").run_handler(&mut counter).text(), "call 2\n");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a `Handler`",
    note = "pass a function or closure to `run` or `http`; `run_handler` and `http_handler` take a `Handler` such as a `Router`"
)]
pub trait Handler {
    /// Decides what to do with a request before its body arrives; a peer that waits for `100 Continue` waits for this. The
    /// default buffers the body.
    fn accept(&mut self, head: &Head<'_>) -> Accept {
        let _ = head;
        Accept::Buffer
    }

    /// Called in place of [`accept`](Self::accept) if the complete request has arrived, with its body, and does not leave
    /// HTTP: instead of [`Accept::Buffer`] it can return [`Accept::Respond`] at once. The body is within
    /// [`Limits::body_len_max`](crate::server::Limits::body_len_max); a lower bound needs [`Accept::BufferUpTo`]. For handlers
    /// whose `accept` and `call` would look up the same thing twice; the default calls the one and then the other.
    ///
    /// ```
    /// use std::collections::HashMap;
    ///
    /// use coldstart::handler::{Accept, Outcome};
    /// use coldstart::{Handler, Request, Status, TestRequest};
    ///
    /// struct Words(HashMap<&'static str, &'static str>);
    ///
    /// impl Handler for Words {
    ///     fn accept_whole(&mut self, request: &Request<'_>) -> Accept {
    ///         Accept::Respond(self.call(request)) // Looked up once.
    ///     }
    ///
    ///     fn call(&mut self, request: &Request<'_>) -> Outcome {
    ///         let word = self.0.get(request.path());
    ///         word.map_or_else(|| Status::NOT_FOUND.into_response(), |word| word.into_response()).into()
    ///     }
    /// }
    /// # use coldstart::handler::IntoResponse;
    ///
    /// let mut words = Words(HashMap::from([("/hello", "a greeting\n")]));
    /// assert_eq!(TestRequest::get("/hello").run_handler(&mut words).text(), "a greeting\n");
    /// assert_eq!(TestRequest::get("/bye").run_handler(&mut words).status(), 404);
    /// ```
    fn accept_whole(&mut self, request: &Request<'_>) -> Accept {
        accept_then_call(self, request)
    }

    /// Responds to a request whose body was buffered.
    fn call(&mut self, request: &Request<'_>) -> Outcome;

    /// Called on the loop before responses are sent, once for all that are sent together, so that their log lines can be
    /// flushed first. The default does nothing.
    ///
    /// ```
    /// use std::io::{BufWriter, Stderr, Write};
    ///
    /// use coldstart::handler::Outcome;
    /// use coldstart::{Handler, Request, Response, TestRequest};
    ///
    /// struct Logged(BufWriter<Stderr>);
    ///
    /// impl Handler for Logged {
    ///     fn call(&mut self, request: &Request<'_>) -> Outcome {
    ///         // If stderr is closed, there is no log.
    ///         let _ = writeln!(self.0, "{} {}", request.method(), request.path());
    ///         Response::text("hello\n").into()
    ///     }
    ///
    ///     fn before_send(&mut self) {
    ///         let _ = self.0.flush();
    ///     }
    /// }
    ///
    /// let mut logged = Logged(BufWriter::new(std::io::stderr()));
    /// assert_eq!(TestRequest::get("/").run_handler(&mut logged).text(), "hello\n");
    /// ```
    fn before_send(&mut self) {}

    /// The response if the handler gave none: it panicked, dropped its [`Reply`], or has no free thread. The default is 500
    /// with one line of text.
    ///
    /// ```
    /// use coldstart::handler::Outcome;
    /// use coldstart::{Handler, Request, Response, Status, TestRequest};
    ///
    /// struct Broken;
    ///
    /// impl Handler for Broken {
    ///     fn call(&mut self, _: &Request<'_>) -> Outcome {
    ///         Outcome::promised().0 // The reply is dropped at once.
    ///     }
    ///
    ///     fn failure(&self) -> Response {
    ///         Response::json_text(r#"{"error": "internal"}"#).status(Status::INTERNAL_SERVER_ERROR)
    ///     }
    /// }
    ///
    /// let response = TestRequest::get("/").run_handler(&mut Broken);
    /// assert_eq!((response.status().code(), response.text().as_str()), (500, r#"{"error": "internal"}"#));
    /// ```
    fn failure(&self) -> Response {
        Response::text("the handler failed\n").status(Status::INTERNAL_SERVER_ERROR)
    }

    /// Puts a middleware around the handler: code that sees each request before the handler does, and each response before it is
    /// sent. Of several, the one that is added last is the outermost. See [middleware](self#middleware).
    ///
    /// ```
    /// use std::time::Instant;
    ///
    /// use coldstart::handler::Next;
    /// use coldstart::{Handler, Router, TestRequest};
    ///
    /// let mut router = Router::new().get("/", |_| "hello\n").with(|head| {
    ///     let (began_at, line) = (Instant::now(), format!("{} {}", head.method(), head.target()));
    ///     Next::on_response(move |response| {
    ///         println!("{line} {} {:?}", response.head().status(), began_at.elapsed());
    ///         response
    ///     })
    /// });
    /// assert_eq!(TestRequest::get("/").run_handler(&mut router).text(), "hello\n");
    /// ```
    #[must_use]
    fn with<M: FnMut(&Head<'_>) -> Next>(self, middleware: M) -> With<Self, M>
    where
        Self: Sized,
    {
        With::new(self, middleware)
    }

    /// Whether [`accept`](Self::accept) and [`accept_whole`](Self::accept_whole) may return [`Accept::Watched`], or
    /// [`on_refused`](Self::on_refused) does something. The default is true. Where it is always false, the compiler leaves the
    /// code for that out of the program.
    fn has_middleware(&self) -> bool {
        true
    }

    /// Called in place of [`accept`](Self::accept) for a request that the server refuses by its head: what is to be done with the
    /// response is added to `watch`. The default does nothing.
    fn on_refused(&mut self, head: &Head<'_>, watch: &mut Watch) {
        let _ = (head, watch);
    }
}

pub(crate) fn accept_then_call<H: Handler + ?Sized>(
    handler: &mut H,
    request: &Request<'_>,
) -> Accept {
    let accept = handler.accept(request.head_by_reference());
    call_accepted(handler, request, accept)
}

fn call_accepted<H: Handler + ?Sized>(
    handler: &mut H,
    request: &Request<'_>,
    accept: Accept,
) -> Accept {
    match accept {
        Accept::BufferUpTo(len_max) if request.has_body_over(len_max) => {
            Accept::BufferUpTo(len_max)
        }
        Accept::Buffer | Accept::BufferUpTo(_) => Accept::Respond(handler.call(request)),
        Accept::Discard => {
            let request = request.with_body(RequestBody::Borrowed(&[]), &[]);
            Accept::Respond(handler.call(&request))
        }
        Accept::Pull(pulled) => Accept::Respond(pulled.0.respond(request)),
        Accept::Watched(watched) if handler.has_middleware() => {
            watched.call(|accept| call_accepted(handler, request, accept))
        }
        accept @ (Accept::Stream(_)
        | Accept::Upgrade(_)
        | Accept::Respond(_)
        | Accept::Watched(_)) => accept,
    }
}

/// What to do with a request.
///
/// ```
/// use coldstart::handler::{Accept, Outcome};
/// use coldstart::message::Head;
/// use coldstart::{Handler, Request, Response, Status, TestRequest};
///
/// struct Notes;
///
/// impl Handler for Notes {
///     fn accept(&mut self, head: &Head<'_>) -> Accept {
///         match (head.method(), head.header("authorization")) {
///             ("GET", _) => Accept::Discard,
///             (_, Some("Bearer open sesame")) => Accept::BufferUpTo(8),
///             _ => Accept::Respond(Response::new(Status::UNAUTHORIZED).into()),
///         }
///     }
///
///     fn call(&mut self, request: &Request<'_>) -> Outcome {
///         Response::text(format!("{} bytes\n", request.body().len())).into()
///     }
/// }
///
/// let request = TestRequest::post("/").body("milk");
/// assert_eq!(request.run_handler(&mut Notes).status(), 401);
/// let request = request.header("authorization", "Bearer open sesame");
/// assert_eq!(request.run_handler(&mut Notes).text(), "4 bytes\n");
/// assert_eq!(request.body("milk, bread").run_handler(&mut Notes).status(), 413);
/// ```
#[non_exhaustive]
pub enum Accept {
    /// Collect the body, up to [`Limits::body_len_max`](crate::server::Limits::body_len_max), then
    /// [`call`](Handler::call).
    Buffer,
    /// As [`Buffer`](Self::Buffer), up to this many bytes; a larger body is refused with 413.
    BufferUpTo(u64),
    /// Do not keep the body: [`call`](Handler::call) at once, as if there were none. For code that does not look at it, so that
    /// no peer can make the server hold one.
    Discard,
    /// Pass on the body as it arrives.
    Stream(Box<dyn Upload>),
    /// Have the body pulled, by the code that [`Accept::pull`] was given.
    Pull(Pulled),
    /// Leave HTTP, if the request offers this protocol and has no body; otherwise as [`Buffer`](Self::Buffer).
    Upgrade(Upgrade),
    /// Respond now, without the rest of the body. `response.into()` makes the outcome.
    Respond(Outcome),
    /// One of the others, and something is to be done with the response: [`Accept::on_response`] makes it.
    Watched(Watched),
}

impl fmt::Debug for Accept {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Buffer => "Buffer",
            Self::BufferUpTo(_) => "BufferUpTo",
            Self::Discard => "Discard",
            Self::Stream(_) => "Stream",
            Self::Pull(_) => "Pull",
            Self::Upgrade(_) => "Upgrade",
            Self::Respond(_) => "Respond",
            Self::Watched(_) => "Watched",
        })
    }
}

/// Takes a body piece by piece. All calls come from the loop's thread and must not block it.
///
/// For code that need not wait; what has to wait [pulls the body](Accept::pull).
///
/// ```
/// use coldstart::handler::{Accept, Demand, Outcome, Upload};
/// use coldstart::{Response, Router, TestRequest};
///
/// struct Sum(u64);
///
/// impl Upload for Sum {
///     fn on_piece(&mut self, piece: &[u8]) -> Demand {
///         self.0 += piece.iter().copied().map(u64::from).sum::<u64>();
///         Demand::More
///     }
///
///     fn on_end(self: Box<Self>) -> Outcome {
///         Response::text(format!("{}\n", self.0)).into()
///     }
/// }
///
/// let mut router = Router::new().accept("POST", "/sum", |_| Accept::Stream(Box::new(Sum(0))));
/// assert_eq!(TestRequest::post("/sum").body([1, 2, 3]).run_handler(&mut router).text(), "6\n");
/// ```
pub trait Upload {
    /// How many bytes it takes at most; a larger body is refused with 413. By default there is no bound, since nothing is held.
    fn body_len_max(&self) -> u64 {
        u64::MAX
    }

    /// The next piece, never empty.
    fn on_piece(&mut self, piece: &[u8]) -> Demand;

    /// The body is complete: returns the response.
    fn on_end(self: Box<Self>) -> Outcome;

    /// The peer left, or was refused, in the middle: there are no more pieces, and no response can be sent.
    fn on_cut(self: Box<Self>) {}
}

/// Whether an [`Upload`] is ready for more.
///
/// ```
/// use coldstart::handler::{Accept, Demand, Outcome, Upload};
/// use coldstart::{Response, Router, Status, TestRequest};
///
/// struct TextOnly;
///
/// impl Upload for TextOnly {
///     fn on_piece(&mut self, piece: &[u8]) -> Demand {
///         if piece.contains(&0) {
///             return Demand::Respond(Response::new(Status::UNSUPPORTED_MEDIA_TYPE).into());
///         }
///         Demand::More
///     }
///
///     fn on_end(self: Box<Self>) -> Outcome {
///         Response::text("text\n").into()
///     }
/// }
///
/// let mut router = Router::new().accept("POST", "/", |_| Accept::Stream(Box::new(TextOnly)));
/// assert_eq!(TestRequest::post("/").body("abc").run_handler(&mut router).text(), "text\n");
/// assert_eq!(TestRequest::post("/").body("a\0c").run_handler(&mut router).status(), 415);
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Demand {
    /// Ready for more.
    More,
    /// Not now: nothing more is read from the peer until the [`Resume`] of this pause is used.
    Pause(Pause),
    /// Done: this is the response, and the rest is discarded.
    Respond(Outcome),
}

/// A function as a handler.
pub(crate) struct FunctionHandler<F, Kind> {
    function: F,
    /// What the function returns, a value or a future; see [`IntoOutcome`].
    kind: PhantomData<fn() -> Kind>,
}

impl<F, Kind> FunctionHandler<F, Kind> {
    pub(crate) const fn new(function: F) -> Self {
        let kind = PhantomData;
        Self { function, kind }
    }
}

impl<F: Clone, Kind> Clone for FunctionHandler<F, Kind> {
    fn clone(&self) -> Self {
        Self::new(self.function.clone())
    }
}

impl<F, R, Kind> Handler for FunctionHandler<F, Kind>
where
    F: FnMut(&Request<'_>) -> R,
    R: IntoOutcome<Kind>,
{
    fn accept_whole(&mut self, request: &Request<'_>) -> Accept {
        Accept::Respond((self.function)(request).into_outcome())
    }

    fn call(&mut self, request: &Request<'_>) -> Outcome {
        (self.function)(request).into_outcome()
    }

    fn has_middleware(&self) -> bool {
        false
    }
}
