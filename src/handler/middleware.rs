//! Code around a handler, which sees each request and each response.
//!
//! What is to be done with a response travels in [`Accept::Watched`] to the place where all responses of a connection pass, so that
//! no way to respond is missed. Only code of handlers for which [`Handler::has_middleware`] is not false looks there.

use core::fmt;
use core::mem;

use crate::handler::outcome::{Ending, Eventual, IntoResponse, Outcome, Pending, PollParked, Wire};
use crate::handler::{Accept, Handler};
use crate::message::request::{Head, Request};
use crate::message::response::{Afterwards, Response};
use crate::sync::contain::contain;
use crate::sync::memory::SMALL_LEN_MAX;
use crate::sync::notify::Notify;
use crate::sync::oneshot::Polled;

use super::outcome::Awaited;
use crate::current_request::CurrentRequest;

/// What is done with a response.
type Change = Box<dyn FnOnce(Response) -> Response>;

/// What a middleware does with a request: see [`Handler::with`].
///
/// ```
/// use coldstart::handler::Next;
/// use coldstart::{Handler, Response, Router, Status, TestRequest};
///
/// let mut router = Router::new().any("/{*path}", |_| "hello\n").with(|head| match head.path() {
///     "/moved" => Next::respond((Status::PERMANENT_REDIRECT, [("location", "/")], ())),
///     "/secret" => Next::on_response(|response: Response| response.header("cache-control", "no-store")),
///     _ => Next::handle(),
/// });
/// assert_eq!(TestRequest::get("/moved").run_handler(&mut router).status(), 308);
/// let secret = TestRequest::get("/secret").run_handler(&mut router);
/// assert_eq!(secret.header("cache-control"), Some("no-store"));
/// assert_eq!(TestRequest::get("/").run_handler(&mut router).text(), "hello\n");
/// ```
pub struct Next(Step);

enum Step {
    Respond(Box<Response>),
    Handle(Option<Change>),
}

impl Next {
    /// The handler responds, and its response is sent as it is.
    #[must_use]
    pub const fn handle() -> Self {
        Self(Step::Handle(None))
    }

    /// The handler responds, and `change` gets the response before it is sent, whenever that is. What it returns is sent.
    #[must_use]
    pub fn on_response(change: impl FnOnce(Response) -> Response + 'static) -> Self {
        Self(Step::Handle(Some(Box::new(change))))
    }

    /// The middleware responds, and the handler does not see the request.
    ///
    /// ```
    /// use coldstart::handler::Next;
    /// use coldstart::{Handler, Router, Status, TestRequest};
    ///
    /// let mut router = Router::new().get("/", |_| "hello\n").with(|head| match head.method() {
    ///     "GET" | "HEAD" => Next::handle(),
    ///     _ => Next::respond((Status::METHOD_NOT_ALLOWED, "only to be read\n")),
    /// });
    /// assert_eq!(TestRequest::get("/").run_handler(&mut router).text(), "hello\n");
    /// assert_eq!(TestRequest::post("/").run_handler(&mut router).status(), 405);
    /// ```
    #[must_use]
    pub fn respond(response: impl IntoResponse) -> Self {
        Self(Step::Respond(Box::new(response.into_response())))
    }
}

impl fmt::Debug for Next {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Step::Respond(response) => response.fmt(formatter),
            Step::Handle(_) => formatter.write_str("Handle"),
        }
    }
}

/// A handler with a middleware around it, made by [`Handler::with`].
///
/// Its type has a name if the middleware is a function pointer:
///
/// ```
/// use coldstart::handler::{Next, With};
/// use coldstart::message::Head;
/// use coldstart::{Handler, Router, TestRequest};
///
/// fn never_stored(_: &Head<'_>) -> Next {
///     Next::on_response(|response| response.header("cache-control", "no-store"))
/// }
///
/// fn application() -> With<Router, fn(&Head<'_>) -> Next> {
///     Router::new().get("/", |_| "hello\n").with(never_stored)
/// }
///
/// let response = TestRequest::get("/").run_handler(&mut application());
/// assert_eq!(response.header("cache-control"), Some("no-store"));
/// ```
#[derive(Clone)]
pub struct With<H, M> {
    handler: H,
    middleware: M,
}

impl<H, M> With<H, M> {
    pub(super) const fn new(handler: H, middleware: M) -> Self {
        Self {
            handler,
            middleware,
        }
    }
}

impl<H: Handler, M: FnMut(&Head<'_>) -> Next> With<H, M> {
    fn around(&mut self, head: &Head<'_>, accept: impl FnOnce(&mut H) -> Accept) -> Accept {
        let change = match (self.middleware)(head).0 {
            Step::Respond(response) => return Accept::Respond((*response).into()),
            Step::Handle(None) => return accept(&mut self.handler),
            Step::Handle(Some(change)) => change,
        };
        // A panic ends here, so that the change sees the response that is sent then.
        let accept = contain(|| accept(&mut self.handler));
        let accept = accept.unwrap_or_else(|| Accept::Respond(Outcome::panicked()));
        if head.method() == "CONNECT" {
            // Without a tunnel the server does not send each status.
            return accept.watched(change);
        }
        accept.on_response(change)
    }
}

impl<H: Handler, M: FnMut(&Head<'_>) -> Next> Handler for With<H, M> {
    fn accept(&mut self, head: &Head<'_>) -> Accept {
        self.around(head, |handler| handler.accept(head))
    }

    fn accept_whole(&mut self, request: &Request<'_>) -> Accept {
        let head = request.head_by_reference();
        self.around(head, |handler| handler.accept_whole(request))
    }

    /// The middleware has seen the request when it was accepted.
    fn call(&mut self, request: &Request<'_>) -> Outcome {
        self.handler.call(request)
    }

    fn before_send(&mut self) {
        self.handler.before_send();
    }

    fn failure(&self) -> Response {
        self.handler.failure()
    }

    fn has_middleware(&self) -> bool {
        true
    }

    fn on_refused(&mut self, head: &Head<'_>, watch: &mut Watch) {
        self.handler.on_refused(head, watch);
        if let Step::Handle(Some(change)) = (self.middleware)(head).0 {
            watch.0.push(change);
        }
    }
}

impl<H, M> fmt::Debug for With<H, M> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("With").finish_non_exhaustive()
    }
}

/// What is to be done with the response to one request, in this order.
///
/// A handler around another one passes it on, or adds to it:
///
/// ```
/// use coldstart::handler::{Accept, Outcome, Watch};
/// use coldstart::message::Head;
/// use coldstart::{Handler, Request, Router, TestRequest};
///
/// struct Counted(Router);
///
/// impl Handler for Counted {
///     fn accept(&mut self, head: &Head<'_>) -> Accept {
///         Handler::accept(&mut self.0, head)
///     }
///
///     fn call(&mut self, request: &Request<'_>) -> Outcome {
///         self.0.call(request)
///     }
///
///     fn on_refused(&mut self, head: &Head<'_>, watch: &mut Watch) {
///         let line = format!("{} {}", head.method(), head.target());
///         watch.on_response(move |response| {
///             println!("refused: {line} {}", response.head().status());
///             response
///         });
///     }
/// }
///
/// let mut counted = Counted(Router::new().get("/", |_| "hello\n"));
/// assert_eq!(TestRequest::get("/").run_handler(&mut counted).text(), "hello\n");
/// ```
#[derive(Default)]
pub struct Watch(Vec<Change>);

impl Watch {
    /// Has `change` applied to the response, after what was added before.
    pub fn on_response(&mut self, change: impl FnOnce(Response) -> Response + 'static) {
        self.0.push(Box::new(change));
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Watch").field(&self.0.len()).finish()
    }
}

/// What they have captured is the user's: each is dropped by itself.
impl Drop for Watch {
    fn drop(&mut self) {
        for change in mem::take(&mut self.0) {
            let _ = contain(|| drop(change));
        }
    }
}

/// A [`Watch`] where a response passes. A trait object, so that programs without middleware link none of it.
pub(crate) trait ChangeResponse {
    /// The response that is sent. `failed` makes the one in place of what a panic has taken.
    fn change(
        self: Box<Self>,
        response: Response,
        failed: &mut dyn FnMut() -> Response,
    ) -> Response;
}

impl ChangeResponse for Watch {
    fn change(
        mut self: Box<Self>,
        mut response: Response,
        failed: &mut dyn FnMut() -> Response,
    ) -> Response {
        for change in mem::take(&mut self.0) {
            response = contain(|| change(response)).unwrap_or_else(&mut *failed);
        }
        response
    }
}

/// What was decided about a request, and what is to be done with its response: [`Accept::on_response`] makes it.
///
/// ```
/// use coldstart::handler::Accept;
///
/// let accept = Accept::Buffer.on_response(|response| response.header("x-served-by", "me"));
/// assert!(matches!(accept, Accept::Watched(_)));
/// ```
pub struct Watched(Box<dyn Split>);

/// A trait object, so that it is dropped as what a handler accepts otherwise.
trait Split {
    fn split(self: Box<Self>) -> (Accept, Watch);
}

impl Split for (Accept, Watch) {
    fn split(self: Box<Self>) -> (Accept, Watch) {
        *self
    }
}

impl Watched {
    /// Another decision with the same watch.
    pub(crate) fn map(self, change: impl FnOnce(Accept) -> Accept) -> Accept {
        let (accept, watch) = self.0.split();
        Accept::Watched(Self(Box::new((change(accept), watch))))
    }

    /// The same once the handler was called, whose panic ends here.
    pub(crate) fn call(self, call: impl FnOnce(Accept) -> Accept) -> Accept {
        self.map(|accept| {
            contain(|| call(accept)).unwrap_or_else(|| Accept::Respond(Outcome::panicked()))
        })
    }
}

impl Accept {
    /// Has `change` applied to the response to this request, whichever it will be and wherever it comes from: the handler, a
    /// promise or a future, an upload, the server that refuses the body, or [`Handler::failure`]. What it returns is sent.
    ///
    /// Of an upgrade only the fields can be changed.
    ///
    /// ```
    /// use coldstart::handler::Accept;
    /// use coldstart::{Router, TestRequest};
    ///
    /// let mut router = Router::new()
    ///     .post("/notes", |request| format!("{} bytes\n", request.body().len()))
    ///     .accept("POST", "/notes", |_| {
    ///         Accept::BufferUpTo(4).on_response(|response| response.header("cache-control", "no-store"))
    ///     });
    /// let mut status = |body: &'static str| {
    ///     let response = TestRequest::post("/notes").body(body).run_handler(&mut router);
    ///     assert_eq!(response.header("cache-control"), Some("no-store"));
    ///     response.status().code()
    /// };
    /// assert_eq!(status("milk"), 200);
    /// assert_eq!(status("bread"), 413);
    /// ```
    #[must_use]
    pub fn on_response(self, change: impl FnOnce(Response) -> Response + 'static) -> Self {
        let (response, half_closed) = match self {
            Self::Respond(Outcome {
                eventual: Eventual::Response(response),
                half_closed,
            }) if is_sent_as_it_is(&response) => (response, half_closed),
            accept @ (Self::Buffer
            | Self::BufferUpTo(_)
            | Self::Discard
            | Self::Stream(_)
            | Self::Pull(_)
            | Self::Upgrade(_)
            | Self::Respond(_)
            | Self::Watched(_)) => return accept.watched(Box::new(change)),
        };
        Self::Respond(Outcome::from(change(response)).when_half_closed(half_closed))
    }

    fn watched(self, change: Change) -> Self {
        let (accept, watch) = self.split();
        let mut watch = watch.unwrap_or_default();
        watch.0.push(change);
        Self::Watched(Watched(Box::new((accept, watch))))
    }

    /// The decision alone, and who watches its response.
    pub(crate) fn split(self) -> (Self, Option<Watch>) {
        if let Self::Watched(watched) = self {
            let (accept, watch) = watched.0.split();
            return (accept, Some(watch));
        }
        (self, None)
    }

    /// Changes the decision alone.
    pub(crate) fn map_watched(self, change: impl FnOnce(Self) -> Self) -> Self {
        if let Self::Watched(watched) = self {
            return watched.map(change);
        }
        change(self)
    }
}

/// Whether the server sends this response, and not one that says why it cannot.
fn is_sent_as_it_is(response: &Response) -> bool {
    let body = response.content().as_bytes();
    response.afterwards() != Afterwards::Fail
        && body.is_none_or(|bytes| bytes.len() <= SMALL_LEN_MAX)
}

impl fmt::Debug for Watched {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Watched").finish_non_exhaustive()
    }
}

impl Outcome {
    /// Of a handler that has panicked: the server reports it, and responds with [`Handler::failure`].
    fn panicked() -> Self {
        Self::new(Eventual::Awaited(Some(Awaited::Future(Box::new(Panicked)))))
    }
}

/// In place of the future of a response.
struct Panicked;

impl PollParked for Panicked {
    fn attach(&mut self, _: Notify) -> bool {
        true
    }

    fn poll(&mut self, _: &mut usize, _: Option<Wire<'_>>) -> Polled<Pending> {
        Polled::Broken
    }

    fn at_end(&mut self, note: fn(&CurrentRequest, Ending)) {
        note(&CurrentRequest::current(), Ending::Panicked);
    }
}

#[cfg(test)]
mod tests {
    use super::Watch;
    use crate::sync::contain::foreign::Bomb;

    /// The drop of the second one, while the panic of the first unwinds, would end the process.
    #[test]
    fn two_changes_that_panic_when_they_are_dropped_are_dropped_one_by_one() {
        let mut watch = Watch::default();
        for _ in 0..2 {
            let bomb = Bomb;
            watch.on_response(move |response| {
                let _held = &bomb;
                response
            });
        }
        drop(watch);
    }
}
