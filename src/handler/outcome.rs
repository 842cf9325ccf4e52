//! What a handler returns, and what converts into it.

use core::convert::Infallible;
use core::fmt;
use std::borrow::Cow;

use bytes::Bytes;

use crate::current_request::CurrentRequest;
use crate::h1::Connection;
use crate::message::body::Body;
use crate::message::headers::{HeaderName, HeaderValue, InvalidHeader};
#[cfg(feature = "http")]
use crate::message::http::InvalidStatus;
use crate::message::local::LocalBody;
use crate::message::response::{Response, Status};
use crate::sync::notify::Notify;
use crate::sync::oneshot::{Polled, Receiver};

/// What a handler returns: a response, the promise of one that another thread completes, or a future of one.
///
/// Closures and functions may return any [`IntoResponse`] instead; implementations of [`Handler`](crate::Handler) return
/// this type, and `response.into()` makes one.
///
/// An outcome stays on the loop that called the handler, so it is not `Send`. Responses are: they travel in a
/// [`Reply`](super::Reply).
///
/// ```
/// use coldstart::handler::Outcome;
/// use coldstart::{Request, Response};
///
/// fn slow(_: &Request<'_>) -> Outcome {
///     let (outcome, reply) = Outcome::promised();
///     std::thread::spawn(move || reply.complete(Response::text("done\n")));
///     outcome
/// }
/// ```
pub struct Outcome {
    pub(crate) eventual: Eventual,
    pub(crate) half_closed: WhenHalfClosed,
}

/// A response, or what it comes from.
pub(crate) enum Eventual {
    Response(Response),
    /// `None` once it is taken.
    Awaited(Option<Awaited>),
}

/// Where a response that is not here yet comes from.
pub(crate) enum Awaited {
    /// From another thread.
    Promise(Receiver<Pending>),
    /// From a future of this thread. A trait object, so that a program without futures links no code for them.
    Future(Box<dyn PollParked>),
}

/// The connection of a response that is awaited.
pub(crate) struct Wire<'a> {
    pub(crate) connection: &'a mut Connection,
    pub(crate) out: &'a mut Vec<u8>,
    pub(crate) half_closed: &'a mut WhenHalfClosed,
}

/// How a future is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It was ready, or it was dropped.
    Regular,
    Panicked,
}

impl Wire<'_> {
    /// The same, for less long.
    pub(crate) const fn reborrow(&mut self) -> Wire<'_> {
        Wire {
            connection: self.connection,
            out: self.out,
            half_closed: self.half_closed,
        }
    }
}

/// A future that was polled once and is not ready.
pub(crate) trait PollParked {
    /// Sets what to call when it is woken. Returns whether it was woken already, and is to be polled.
    #[must_use]
    fn attach(&mut self, notify: Notify) -> bool;

    /// Polls it if it was woken since the last poll, and if there are `polls_left`. What it sends before its response goes to
    /// `wire`, if there is one, and so does what it says of half-closes.
    fn poll(&mut self, polls_left: &mut usize, wire: Option<Wire<'_>>) -> Polled<Pending>;

    /// Sets what to call once it is over.
    fn at_end(&mut self, note: fn(&CurrentRequest, Ending));
}

/// What to do for a peer that ends its side of the connection while its response is promised or streamed.
///
/// ```
/// use coldstart::handler::{Outcome, WhenHalfClosed};
/// use coldstart::{Request, TestRequest, yield_now};
///
/// // Dropped where it waits, when the client that asked for it has ended its side.
/// fn search(_: &Request<'_>) -> Outcome {
///     let found = Outcome::future(async {
///         yield_now().await; // Stands for a long search.
///         "found\n"
///     });
///     found.when_half_closed(WhenHalfClosed::Cancel)
/// }
///
/// assert_eq!(TestRequest::get("/").run(search).text(), "found\n");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenHalfClosed {
    /// Send the response: the peer may still read it (RFC 9112 §9.6). The default.
    #[default]
    Respond,
    /// Take it that the peer has gone: the connection is closed, and [`Reply::is_peer_gone`](super::Reply::is_peer_gone)
    /// is true from then on. hyper does so by default. Clients that end their side and read on get no response.
    Cancel,
}

/// A response, or a promise of one. A [`Reply`](super::Reply) carries it between threads.
pub(crate) enum Pending {
    Response(Response),
    Promise(Receiver<Self>),
}

impl Outcome {
    pub(crate) const fn new(eventual: Eventual) -> Self {
        Self {
            eventual,
            half_closed: WhenHalfClosed::Respond,
        }
    }

    /// A response whose body is a [`LocalBody`]: its code need not be `Send`, as that of a future need not. It replaces the body of
    /// `response`.
    ///
    /// ```
    /// use core::convert::Infallible;
    /// use core::task::Poll;
    /// use std::rc::Rc;
    ///
    /// use coldstart::handler::Outcome;
    /// use coldstart::message::LocalBody;
    /// use coldstart::{Bytes, Response, TestRequest};
    ///
    /// let words = Rc::new(["one ", "two\n"]);
    /// let response = TestRequest::get("/").run(|_| {
    ///     let words = Rc::clone(&words);
    ///     let mut numbers = 0..words.len();
    ///     let body = LocalBody::poll_fn(move |_| {
    ///         let word = numbers.next().and_then(|number| words.get(number));
    ///         Poll::Ready(word.map(|word| Ok::<_, Infallible>(Bytes::from(*word))))
    ///     });
    ///     Outcome::local(Response::text(""), body)
    /// });
    /// assert_eq!(response.text(), "one two\n");
    /// ```
    #[must_use]
    pub fn local(response: Response, body: LocalBody) -> Self {
        response.body(body.into_body()).into()
    }

    /// As [`Response::from_http`], of a body that need not be `Send`; it is polled as a [`LocalBody`].
    ///
    /// ```
    /// use coldstart::TestRequest;
    /// use coldstart::handler::Outcome;
    ///
    /// let response = TestRequest::get("/").run(|_| {
    ///     let made = http::Response::builder().status(201).body("made\n".to_owned());
    ///     Outcome::from_http(made.expect("valid parts")).expect("a final status")
    /// });
    /// assert_eq!((response.status().code(), response.text().as_str()), (201, "made\n"));
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Response::from_http`].
    #[cfg(feature = "http")]
    pub fn from_http<B: http_body::Body + 'static>(
        response: http::Response<B>,
    ) -> Result<Self, InvalidStatus> {
        Response::from_http_here(response).map(Self::from)
    }

    /// The response; `None` if it comes later.
    #[must_use]
    pub const fn response(&self) -> Option<&Response> {
        match &self.eventual {
            Eventual::Response(response) => Some(response),
            Eventual::Awaited(_) => None,
        }
    }

    pub(crate) const fn is_future(&self) -> bool {
        matches!(self.eventual, Eventual::Awaited(Some(Awaited::Future(_))))
    }

    /// Says what to do when the peer ends its side before the response is complete. By default the response is sent all
    /// the same.
    ///
    /// ```
    /// use coldstart::handler::{IntoOutcome, Outcome, WhenHalfClosed};
    /// use coldstart::{Request, TestRequest};
    ///
    /// /// No one reads the sum once the client has ended its side.
    /// fn sum(_: &Request<'_>) -> Outcome {
    ///     let slow = async { (1..=100).sum::<u32>().to_string() };
    ///     slow.into_outcome().when_half_closed(WhenHalfClosed::Cancel)
    /// }
    ///
    /// assert_eq!(TestRequest::get("/").run(sum).text(), "5050");
    /// ```
    #[must_use]
    pub const fn when_half_closed(mut self, then: WhenHalfClosed) -> Self {
        self.half_closed = then;
        self
    }
}

impl From<Response> for Outcome {
    fn from(response: Response) -> Self {
        Self::new(Eventual::Response(response))
    }
}

impl fmt::Debug for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.eventual {
            Eventual::Response(response) => response.fmt(formatter),
            Eventual::Awaited(Some(Awaited::Future(_))) => formatter.write_str("Future"),
            Eventual::Awaited(_) => formatter.write_str("Promised"),
        }
    }
}

/// What a closure or function may return as a handler: a [`Response`], anything that converts into one by
/// [`IntoResponse`], an [`Outcome`], or a future of either.
///
/// `Kind` is inferred: [`Value`], or [`Async`] for futures.
///
/// Code around any handler function takes it as a bound:
///
/// ```
/// use coldstart::handler::{IntoOutcome, Outcome};
/// use coldstart::{Request, TestRequest};
///
/// fn logged<R: IntoOutcome<Kind>, Kind>(handler: impl Fn(&Request<'_>) -> R) -> impl Fn(&Request<'_>) -> Outcome {
///     move |request| {
///         println!("{} {}", request.method(), request.path());
///         handler(request).into_outcome()
///     }
/// }
///
/// assert_eq!(TestRequest::get("/").run(logged(|_| "a value\n")).text(), "a value\n");
/// assert_eq!(TestRequest::get("/").run(logged(|_| async { "a future\n" })).text(), "a future\n");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a response",
    label = "a handler cannot return this",
    note = "a value becomes JSON by `Json(value)` or `Response::json(&value)` (feature `json`), text by `to_string()`",
    note = "an error becomes a response by `map_err`, or by an `impl IntoResponse` for its type"
)]
pub trait IntoOutcome<Kind = Value> {
    /// The outcome.
    fn into_outcome(self) -> Outcome;
}

/// The kind of [`IntoOutcome`] that is no future.
#[derive(Debug)]
#[non_exhaustive]
pub enum Value {}

/// The kind of [`IntoOutcome`] that is a future.
#[derive(Debug)]
#[non_exhaustive]
pub enum Async {}

impl IntoOutcome for Outcome {
    fn into_outcome(self) -> Outcome {
        self
    }
}

impl<T: IntoResponse> IntoOutcome for T {
    fn into_outcome(self) -> Outcome {
        self.into_response().into()
    }
}

/// What converts into a response.
///
/// | value | response |
/// | --- | --- |
/// | `()` | 200, no content |
/// | [`Response`] | itself |
/// | `&'static str`, `String`, `Cow<'static, str>` | 200, `text/plain; charset=utf-8` |
/// | [`Bytes`], `Vec<u8>`, [`Body`] | 200, `application/octet-stream` |
/// | `Json<T>` (feature `json`) | 200, `application/json` |
/// | [`Status`] | that status, no content |
/// | `(Status, T)` | the response of `T` with this status |
/// | `([(name, value); N], T)`, `(Status, [(name, value); N], T)` | the same with these fields |
/// | `Option<T>` | the response of `T`, or 404 |
/// | `Result<T, E>` | either side's response |
/// | `http::Response<B>` (feature `http`) | as `Response::from_http` makes it; 500 if its status is not a final one |
/// | [`Rejection`](crate::message::Rejection) | 400, 415 or 422, and why |
/// | [`IncomingError`](crate::message::IncomingError) | 400, 408, 413 or 503, and why |
/// | [`Busy`](super::Busy), [`SpawnError`](crate::task::SpawnError), [`JoinError`](crate::task::JoinError), [`Elapsed`](crate::task::Elapsed) | 503 if there is no room, 504 if it took too long, otherwise 500 |
/// | [`io::Error`](std::io::Error), [`FunctionError`](crate::function::FunctionError) | 500; the reason goes to the log alone |
///
/// In a handler that returns a `Result<_, Response>`, `?` makes a response of each error in the last four rows. In one that returns
/// a `Result<_, Status>` it takes the status of the first three.
///
/// ```
/// use coldstart::{Request, Status, TestRequest};
///
/// fn double(request: &Request<'_>) -> Result<String, Status> {
///     let number: u32 = request.query().unwrap_or_default().parse().map_err(|_| Status::BAD_REQUEST)?;
///     Ok(format!("{}\n", 2 * number))
/// }
///
/// assert_eq!(TestRequest::get("/?21").run(double).text(), "42\n");
/// assert_eq!(TestRequest::get("/?x").run(double).status(), 400);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a response",
    label = "a handler cannot return this",
    note = "a value becomes JSON by `Json(value)` or `Response::json(&value)` (feature `json`), text by `to_string()`",
    note = "an error becomes a response by `map_err`, or by an `impl IntoResponse` for its type"
)]
pub trait IntoResponse {
    /// The response.
    fn into_response(self) -> Response;
}

impl IntoResponse for Response {
    fn into_response(self) -> Response {
        self
    }
}

impl IntoResponse for &'static str {
    fn into_response(self) -> Response {
        Response::text(self)
    }
}

impl IntoResponse for String {
    fn into_response(self) -> Response {
        Response::text(self)
    }
}

impl IntoResponse for Bytes {
    fn into_response(self) -> Response {
        Response::bytes(self)
    }
}

impl IntoResponse for Vec<u8> {
    fn into_response(self) -> Response {
        Response::bytes(self)
    }
}

impl IntoResponse for Status {
    fn into_response(self) -> Response {
        Response::new(self)
    }
}

impl IntoResponse for () {
    fn into_response(self) -> Response {
        Response::new(Status::OK)
    }
}

impl IntoResponse for Cow<'static, str> {
    fn into_response(self) -> Response {
        match self {
            Self::Borrowed(text) => Response::text(text),
            Self::Owned(text) => Response::text(text),
        }
    }
}

impl IntoResponse for Body {
    fn into_response(self) -> Response {
        Response::bytes(self)
    }
}

#[cfg(feature = "http")]
impl<B: http_body::Body + Send + 'static> IntoResponse for http::Response<B> {
    fn into_response(self) -> Response {
        Response::from_http(self).unwrap_or_else(|error| {
            Response::text(format!("{error}\n")).status(Status::INTERNAL_SERVER_ERROR)
        })
    }
}

#[cfg(feature = "json")]
impl<T: serde::Serialize> IntoResponse for crate::message::Json<T> {
    fn into_response(self) -> Response {
        Response::json(&self.0)
    }
}

impl<T: IntoResponse> IntoResponse for (Status, T) {
    fn into_response(self) -> Response {
        self.1.into_response().status(self.0)
    }
}

impl<N, V, T, const FIELDS: usize> IntoResponse for ([(N, V); FIELDS], T)
where
    N: TryInto<HeaderName, Error: Into<InvalidHeader>>,
    V: TryInto<HeaderValue, Error: Into<InvalidHeader>>,
    T: IntoResponse,
{
    fn into_response(self) -> Response {
        let response = self.1.into_response();
        let add = |response: Response, (name, value)| response.header(name, value);
        self.0.into_iter().fold(response, add)
    }
}

impl<N, V, T, const FIELDS: usize> IntoResponse for (Status, [(N, V); FIELDS], T)
where
    N: TryInto<HeaderName, Error: Into<InvalidHeader>>,
    V: TryInto<HeaderValue, Error: Into<InvalidHeader>>,
    T: IntoResponse,
{
    fn into_response(self) -> Response {
        (self.1, self.2).into_response().status(self.0)
    }
}

impl<T: IntoResponse> IntoResponse for Option<T> {
    fn into_response(self) -> Response {
        match self {
            Some(value) => value.into_response(),
            None => Response::text("Not Found\n").status(Status::NOT_FOUND),
        }
    }
}

impl IntoResponse for Infallible {
    fn into_response(self) -> Response {
        match self {}
    }
}

impl<T: IntoResponse, E: IntoResponse> IntoResponse for Result<T, E> {
    fn into_response(self) -> Response {
        match self {
            Ok(value) => value.into_response(),
            Err(error) => error.into_response(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::{IntoOutcome, IntoResponse as _};
    use crate::message::Json;
    use crate::{Body, Bytes, Status};

    #[test]
    fn each_value_becomes_the_response_that_the_table_names() {
        let text = Some(&b"text/plain; charset=utf-8"[..]);
        let octets = Some(&b"application/octet-stream"[..]);
        for (response, status, content_type) in [
            ("a".into_response(), 200, text),
            (String::from("a").into_response(), 200, text),
            (Bytes::from_static(b"a").into_response(), 200, octets),
            (b"a".to_vec().into_response(), 200, octets),
            (Status::GONE.into_response(), 410, None),
            (Cow::from("a").into_response(), 200, text),
            (Body::from("a").into_response(), 200, octets),
            (().into_response(), 200, None),
            ((Status::CREATED, "a").into_response(), 201, text),
            (([("x-a", "b")], "a").into_response(), 200, text),
            (Some("a").into_response(), 200, text),
            (None::<Vec<u8>>.into_response(), 404, text),
            (Json(7).into_response(), 200, Some(&b"application/json"[..])),
            (
                (
                    Status::FOUND,
                    [("location", "/"), ("content-type", "x/y")],
                    (),
                )
                    .into_response(),
                302,
                Some(&b"x/y"[..]),
            ),
            (Ok::<_, Status>("a").into_response(), 200, text),
            (
                Err::<String, _>(Status::CONFLICT).into_response(),
                409,
                None,
            ),
        ] {
            assert_eq!(response.head().status(), status);
            assert_eq!(response.head().header_bytes("content-type"), content_type);
        }
        assert!("a".into_outcome().response().is_some());
    }
}
