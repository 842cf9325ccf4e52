//! Handlers that pull the body of their request, and may respond meanwhile.

use core::fmt;
use core::marker::PhantomData;
use std::sync::Arc;

use crate::current_request::CurrentRequest;
use crate::message::incoming::{Incoming, IncomingSink};
use crate::message::incoming_error::IncomingError;
use crate::message::request::{Head, Request};
use crate::message::response::{Response, Status};
use crate::sync::contain::contain;
use crate::sync::memory::Memory;
use crate::sync::notify::Notify;

use super::outcome::{Awaited, Ending, Eventual, IntoOutcome, IntoResponse, Outcome};
use super::{Accept, Handler, Router};

/// A request whose body is pulled, made by [`Accept::pull`].
///
/// ```
/// use coldstart::handler::{Accept, Pulled};
/// use coldstart::{Router, TestRequest};
///
/// let mut router = Router::new().accept("POST", "/notes", |head| {
///     let accepted = Accept::pull(head, |mut body| async move { body.collect(1024).await });
///     match accepted {
///         // Refused before the body is read, if its length is announced.
///         Accept::Pull(pulled) => Accept::Pull(pulled.body_len_max(4)),
///         other => other,
///     }
/// });
/// assert_eq!(TestRequest::post("/notes").body("milk").run_handler(&mut router).text(), "milk");
/// assert_eq!(TestRequest::post("/notes").body("bread").run_handler(&mut router).status(), 413);
/// ```
pub struct Pulled(pub(crate) Box<dyn Pull>);

/// The code that pulls a body. A trait object, so that a program without pulled bodies links no code for them.
pub(crate) trait Pull {
    /// What the thread works on while it runs, and what to call once it is over.
    fn mark(&mut self, current: CurrentRequest, note: Option<fn(&CurrentRequest, Ending)>);

    /// Bounds the body.
    fn limit(&self, bytes: u64);

    /// Starts while the body arrives, if there is `arrival`, and without a body otherwise. No outcome if that panics.
    fn begin(
        self: Box<Self>,
        arrival: Option<(Notify, &Arc<Memory>)>,
    ) -> (Box<dyn IncomingSink>, Option<Outcome>);

    /// Starts for a request that is complete.
    fn respond(self: Box<Self>, request: &Request<'_>) -> Outcome;
}

impl Accept {
    /// Has the body pulled by the closure, which is called here and gets it as an [`Incoming`]. It may return what any handler
    /// may: usually a future, which is polled on the loop. `head` is the request's.
    ///
    /// The response may begin, and end, before the body does, in HTTP/1.0 as well. A response that ends while the [`Incoming`] lives on,
    /// in another thread or task, does not end the body.
    ///
    /// ```
    /// use coldstart::handler::{Accept, Outcome};
    /// use coldstart::message::{Head, IncomingError};
    /// use coldstart::{Handler, Request, Response, TestRequest};
    ///
    /// struct Counter;
    ///
    /// impl Handler for Counter {
    ///     fn accept(&mut self, head: &Head<'_>) -> Accept {
    ///         Accept::pull(head, |mut body| async move {
    ///             let mut len = 0;
    ///             while let Some(chunk) = body.chunk().await? {
    ///                 len += chunk.len();
    ///             }
    ///             Ok::<_, IncomingError>(format!("{len} bytes\n"))
    ///         })
    ///     }
    ///
    ///     fn call(&mut self, _: &Request<'_>) -> Outcome {
    ///         unreachable!("each body is pulled")
    ///     }
    /// }
    ///
    /// let response = TestRequest::post("/").body("abc").run_handler(&mut Counter);
    /// assert_eq!(response.text(), "3 bytes\n");
    /// ```
    #[must_use]
    pub fn pull<R: IntoOutcome<Kind> + 'static, Kind: 'static>(
        head: &Head<'_>,
        read: impl FnOnce(Incoming) -> R,
    ) -> Self {
        let (body, sink) = Incoming::begin(head);
        Self::Pull(Pulled(Box::new(Reading {
            sink,
            returned: read(body),
            kind: PhantomData,
            watch: Watch {
                current: CurrentRequest::current(),
                note: None,
            },
        })))
    }
}

impl Pulled {
    /// Bounds the body: a larger one ends with [`IncomingError::TooLarge`].
    #[must_use]
    pub fn body_len_max(self, bytes: u64) -> Self {
        self.0.limit(bytes);
        self
    }
}

impl Router {
    /// Adds a route whose function pulls the body: it is called with the head, before the body arrives.
    ///
    /// ```
    /// use coldstart::message::IncomingError;
    /// use coldstart::{Router, TestRequest};
    ///
    /// let mut router = Router::new().route_incoming("PUT", "/logs/{day}", |head, mut body| {
    ///     // What is needed of the head is read before the first await.
    ///     let day = head.parameter("day").unwrap_or_default().into_owned();
    ///     async move {
    ///         let mut lines = 0;
    ///         while let Some(chunk) = body.chunk().await? {
    ///             lines += chunk.iter().filter(|byte| **byte == b'\n').count();
    ///         }
    ///         Ok::<_, IncomingError>(format!("{lines} lines of {day}\n"))
    ///     }
    /// });
    /// let response = TestRequest::new("PUT", "/logs/monday").body("a\nb\n").run_handler(&mut router);
    /// assert_eq!(response.text(), "2 lines of monday\n");
    /// ```
    ///
    /// # Panics
    ///
    /// As [`route`](Self::route), and if the method and pattern already have an acceptor.
    #[must_use]
    pub fn route_incoming<R: IntoOutcome<Kind> + 'static, Kind: 'static>(
        self,
        method: &str,
        pattern: &str,
        function: impl Fn(&Head<'_>, Incoming) -> R + Send + Sync + 'static,
    ) -> Self {
        self.accept(method, pattern, move |head| {
            Accept::pull(head, |body| function(head, body))
        })
    }

    /// As [`route_incoming`](Self::route_incoming), for POST.
    ///
    /// # Panics
    ///
    /// As [`route_incoming`](Self::route_incoming).
    #[must_use]
    pub fn post_incoming<R: IntoOutcome<Kind> + 'static, Kind: 'static>(
        self,
        pattern: &str,
        function: impl Fn(&Head<'_>, Incoming) -> R + Send + Sync + 'static,
    ) -> Self {
        self.route_incoming("POST", pattern, function)
    }

    /// As [`route_incoming`](Self::route_incoming), for PUT.
    ///
    /// # Panics
    ///
    /// As [`route_incoming`](Self::route_incoming).
    #[must_use]
    pub fn put_incoming<R: IntoOutcome<Kind> + 'static, Kind: 'static>(
        self,
        pattern: &str,
        function: impl Fn(&Head<'_>, Incoming) -> R + Send + Sync + 'static,
    ) -> Self {
        self.route_incoming("PUT", pattern, function)
    }
}

/// A pulled body, and what the function that pulls it has returned.
struct Reading<R, Kind> {
    sink: Box<dyn IncomingSink>,
    returned: R,
    kind: PhantomData<fn() -> Kind>,
    watch: Watch,
}

impl<R: IntoOutcome<Kind>, Kind> Pull for Reading<R, Kind> {
    fn mark(&mut self, current: CurrentRequest, note: Option<fn(&CurrentRequest, Ending)>) {
        self.watch = Watch { current, note };
    }

    fn limit(&self, bytes: u64) {
        self.sink.limit(bytes);
    }

    fn begin(
        self: Box<Self>,
        arrival: Option<(Notify, &Arc<Memory>)>,
    ) -> (Box<dyn IncomingSink>, Option<Outcome>) {
        let Self {
            sink,
            returned,
            watch,
            ..
        } = *self;
        match arrival {
            Some((notify, memory)) => sink.attach(notify, memory),
            None => sink.end(&[]),
        }
        (sink, contain(move || watch.start(returned)))
    }

    fn respond(self: Box<Self>, request: &Request<'_>) -> Outcome {
        if !request.body().is_empty() {
            self.sink.push(request.body());
        }
        self.sink.end(request.trailers_bytes());
        self.watch.start(self.returned)
    }
}

/// Notes the end of a request that is handled while its body arrives.
struct Watch {
    current: CurrentRequest,
    note: Option<fn(&CurrentRequest, Ending)>,
}

impl Watch {
    fn start<R: IntoOutcome<Kind>, Kind>(mut self, returned: R) -> Outcome {
        let _scope = self.current.enter();
        let mut outcome = returned.into_outcome();
        if let Eventual::Awaited(Some(Awaited::Future(future))) = &mut outcome.eventual
            && let Some(note) = self.note.take()
        {
            future.at_end(note);
        }
        outcome
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(note) = self.note {
            let ending = if std::thread::panicking() {
                Ending::Panicked
            } else {
                Ending::Regular
            };
            note(&self.current, ending);
        }
    }
}

impl fmt::Debug for Pulled {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Pulled").finish_non_exhaustive()
    }
}

/// A function or closure as a handler that pulls each request's body. It is called with the head, before the body arrives. What
/// is needed of the head is read before the first await.
///
/// ```
/// use coldstart::handler::incoming;
/// use coldstart::{Response, TestRequest};
///
/// let mut echo = incoming(|head, mut body| {
///     let path = head.path().to_owned();
///     async move { body.collect(1024).await.map(|body| format!("{} bytes for {path}\n", body.len())) }
/// });
/// let response = TestRequest::post("/a").body("abc").run_handler(&mut echo);
/// assert_eq!(response.text(), "3 bytes for /a\n");
/// ```
pub fn incoming<F, R, Kind>(function: F) -> IncomingHandler<F, Kind>
where
    F: FnMut(&Head<'_>, Incoming) -> R,
    R: IntoOutcome<Kind> + 'static,
    Kind: 'static,
{
    let kind = PhantomData;
    IncomingHandler { function, kind }
}

/// What [`incoming`] makes.
///
/// ```
/// use coldstart::handler::incoming;
/// use coldstart::message::IncomingError;
/// use coldstart::{Router, TestRequest};
///
/// let count = incoming(|_, mut body| async move {
///     Ok::<_, IncomingError>(format!("{} bytes\n", body.collect(1024).await?.len()))
/// });
/// // It is a handler like any other, and may be one route of a router.
/// let mut router = Router::new().any_handler("/count", count);
/// assert_eq!(TestRequest::post("/count").body("abc").run_handler(&mut router).text(), "3 bytes\n");
/// ```
pub struct IncomingHandler<F, Kind> {
    function: F,
    kind: PhantomData<fn() -> Kind>,
}

impl<F: Clone, Kind> Clone for IncomingHandler<F, Kind> {
    fn clone(&self) -> Self {
        let kind = PhantomData;
        Self {
            function: self.function.clone(),
            kind,
        }
    }
}

impl<F, Kind> fmt::Debug for IncomingHandler<F, Kind> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("IncomingHandler")
            .finish_non_exhaustive()
    }
}

impl<F, R, Kind> Handler for IncomingHandler<F, Kind>
where
    F: FnMut(&Head<'_>, Incoming) -> R,
    R: IntoOutcome<Kind> + 'static,
    Kind: 'static,
{
    fn accept(&mut self, head: &Head<'_>) -> Accept {
        Accept::pull(head, |body| (self.function)(head, body))
    }

    fn accept_whole(&mut self, request: &Request<'_>) -> Accept {
        Accept::Respond(self.call(request))
    }

    fn call(&mut self, request: &Request<'_>) -> Outcome {
        let body = Incoming::from(request);
        (self.function)(request.head_by_reference(), body).into_outcome()
    }

    fn has_middleware(&self) -> bool {
        false
    }
}

impl IntoResponse for IncomingError {
    fn into_response(self) -> Response {
        let refusal = self.refusal();
        let status = refusal.and_then(|refusal| Status::new(refusal.status()));
        let response =
            Response::text(self.to_string()).status(status.unwrap_or(Status::BAD_REQUEST));
        let response = match self {
            Self::OutOfMemory => response.header("retry-after", "1"),
            Self::PeerLeft | Self::Malformed(_) | Self::TooLarge | Self::TimedOut => response,
        };
        response.close()
    }
}
