//! A tower service as a handler.

use core::convert::Infallible;
use core::error::Error;
use core::fmt::{self, Write as _};
use core::future::poll_fn;
use core::mem;
use core::task::{Context, Poll, Waker};
use std::net::SocketAddr;
use std::sync::Arc;

use coldstart::handler::{Accept, Outcome, WhenHalfClosed};
use coldstart::message::{Head, Incoming};
use coldstart::{Body, Bytes, Handler, Request, Response, Status};
use http::{Extensions, Method};
use tower_service::Service;

use crate::context::RequestContext;
use crate::runtime::{Kept, Lease};

/// A tower service as a [`Handler`].
///
/// ```
/// use axum::Router;
/// use axum::routing::get;
/// use coldstart::{Function, TestRequest};
/// use coldstart_tower::ServiceHandler;
///
/// let router = Router::new().route("/", get(async || "hello\n"));
/// // Events beside a router.
/// let mut function = Function::new()
///     .event(|_, payload| Ok(payload.to_ascii_uppercase()))
///     .http_handler(ServiceHandler::new(router))
///     .handler();
/// assert_eq!(TestRequest::get("/").run_handler(&mut function).text(), "hello\n");
/// let event = TestRequest::post("/invoke").body("ping");
/// assert_eq!(event.run_handler(&mut function).text(), "PING");
/// ```
#[derive(Clone)]
pub struct ServiceHandler<S> {
    service: Kept<S>,
    /// Adds the peer's address to the extensions of a request, if it is wanted.
    peer_address: Option<Arc<Insert>>,
}

type Insert = dyn Fn(&mut Extensions, SocketAddr) + Send + Sync;

/// How many causes of an error are logged. One that is its own cause has no last one.
const CAUSES_MAX: usize = 16;

type BoxError = Box<dyn Error + Send + Sync>;

/// How the call of a service begins.
enum Begun<S: Service<http::Request<Incoming>>> {
    /// It was ready.
    Called(S::Future),
    /// It was not.
    Waiting(S, Box<http::Request<Incoming>>),
    Failed(S::Error),
    /// There is no runtime to call it in.
    Without(BoxError),
}

impl<S> ServiceHandler<S> {
    /// A handler whose requests go to `service`.
    pub fn new(service: S) -> Self {
        Self {
            service: Lease::new().service(service),
            peer_address: None,
        }
    }

    /// Adds the address of the peer to the extensions of each request, as what `make` makes of it. It costs one system call for each
    /// request. Behind a proxy, as on the platform, the peer is the proxy; see [`Head::peer_address`].
    ///
    /// With the type of that name, axum's extractor `ConnectInfo` finds it there:
    ///
    /// ```
    /// use core::net::SocketAddr;
    ///
    /// use axum::Router;
    /// use axum::extract::ConnectInfo;
    /// use axum::routing::get;
    /// use coldstart::TestRequest;
    /// use coldstart_tower::ServiceHandler;
    ///
    /// async fn show_peer(ConnectInfo(peer): ConnectInfo<SocketAddr>) -> String {
    ///     peer.to_string()
    /// }
    ///
    /// let router = Router::new().route("/", get(show_peer));
    /// let mut handler = ServiceHandler::new(router).with_peer_address(ConnectInfo);
    /// let request = TestRequest::get("/").peer_address(([192, 0, 2, 7], 50_000).into());
    /// assert_eq!(request.run_handler(&mut handler).text(), "192.0.2.7:50000");
    /// ```
    #[must_use]
    pub fn with_peer_address<T>(
        mut self,
        make: impl Fn(SocketAddr) -> T + Send + Sync + 'static,
    ) -> Self
    where
        T: Clone + Send + Sync + 'static,
    {
        self.peer_address = Some(Arc::new(move |extensions: &mut Extensions, address| {
            extensions.insert(make(address));
        }));
        self
    }
}

impl<S, B> ServiceHandler<S>
where
    S: Service<http::Request<Incoming>, Response = http::Response<B>> + Clone + 'static,
    S::Error: Into<BoxError>,
    B: http_body::Body + 'static,
{
    /// Calls the service, at once if it is ready. The future is that of the outcome.
    fn respond(
        &mut self,
        mut request: http::Request<Incoming>,
        context: RequestContext,
        head: Head<'_>,
    ) -> impl Future<Output = Outcome> + use<S, B> {
        let method = request.method().clone();
        let extensions = request.extensions_mut();
        extensions.insert(context.clone());
        if let Some(insert) = &self.peer_address
            && let Some(address) = head.peer_address()
        {
            insert(extensions, address);
        }
        let begun = self.service.enter(|service| call(service, request));
        let begun = begun.unwrap_or_else(|error| Begun::Without(error.into()));
        let runtime = self.service.lease().clone();
        let bodies = runtime.clone();
        runtime.future(async move {
            let returned = match begun {
                Begun::Called(future) => future.await,
                Begun::Failed(error) => Err(error),
                Begun::Without(error) => return fail(&context, &*error),
                Begun::Waiting(mut service, request) => {
                    match poll_fn(|context| service.poll_ready(context)).await {
                        Ok(()) => service.call(*request).await,
                        Err(error) => Err(error),
                    }
                }
            };
            match returned {
                Ok(response) => match outcome_of(response.map(|body| bodies.body(body)), &method) {
                    Ok(outcome) => outcome,
                    Err(error) => fail(&context, &error),
                },
                Err(error) => fail(&context, &*error.into()),
            }
        })
    }
}

impl<S, B> Handler for ServiceHandler<S>
where
    S: Service<http::Request<Incoming>, Response = http::Response<B>> + Clone + 'static,
    S::Error: Into<BoxError>,
    B: http_body::Body + 'static,
{
    fn accept(&mut self, head: &Head<'_>) -> Accept {
        if head.method() == Method::CONNECT.as_str() {
            // The server refuses it, since this is no tunnel.
            return Accept::Buffer;
        }
        match RequestContext::begin(*head, ()) {
            Ok((request, context)) => Accept::pull(head, |body| {
                begin(self.respond(request.map(|()| body), context, *head))
            }),
            Err(error) => Accept::Respond(refuse(&error)),
        }
    }

    fn accept_whole(&mut self, request: &Request<'_>) -> Accept {
        Accept::Respond(self.call(request))
    }

    fn call(&mut self, request: &Request<'_>) -> Outcome {
        match RequestContext::begin(request.head(), Incoming::from(request)) {
            Ok((theirs, context)) => begin(self.respond(theirs, context, request.head())),
            Err(error) => refuse(&error),
        }
    }
}

/// Calls the service if it is ready. If it is not, the request takes it along.
fn call<S>(service: &mut S, request: http::Request<Incoming>) -> Begun<S>
where
    S: Service<http::Request<Incoming>> + Clone,
{
    // What it waits for, if anything, is asked for again by the request.
    match service.poll_ready(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(())) => Begun::Called(service.call(request)),
        Poll::Ready(Err(error)) => Begun::Failed(error),
        Poll::Pending => {
            let next = service.clone();
            let waiting = mem::replace(service, next);
            Begun::Waiting(waiting, Box::new(request))
        }
    }
}

/// A peer that ends its side has gone, as in hyper, whose services know no other end. A client that is killed, or closes a
/// stream that it has read, does no more than that.
fn begin(response: impl Future<Output = Outcome> + 'static) -> Outcome {
    Outcome::future(response).when_half_closed(WhenHalfClosed::Cancel)
}

/// The outcome of a response.
fn outcome_of<B>(
    response: http::Response<B>,
    method: &Method,
) -> Result<Outcome, coldstart::message::InvalidStatus>
where
    B: http_body::Body + 'static,
{
    let has_length = || {
        let fields = response.headers();
        fields.contains_key(http::header::CONTENT_LENGTH)
    };
    if *method == Method::HEAD && !has_length() && response.body().is_end_stream() {
        // The body was taken off, and how long it would have been is not known.
        let (parts, _) = response.into_parts();
        let unknown = Body::poll_fn(|_| Poll::Ready(None::<Result<Bytes, Infallible>>));
        let bare = http::Response::from_parts(parts, String::new());
        return Response::from_http(bare).map(|response| response.body(unknown).into());
    }
    Outcome::from_http(response)
}

/// The http crate does not take the request: the peer's mistake.
fn refuse(error: &http::Error) -> Outcome {
    Response::text(format!("{error}\n"))
        .status(Status::BAD_REQUEST)
        .into()
}

/// Reports why there is no response. The server then responds as it does for any handler that fails.
#[cold]
fn fail(context: &RequestContext, error: &dyn Error) -> Outcome {
    let mut message = error.to_string();
    let causes = core::iter::successors(error.source(), |cause| (*cause).source());
    for cause in causes.take(CAUSES_MAX) {
        // Writing to a string never fails.
        let _ = write!(message, "\ncaused by: {cause}");
    }
    let context = context.as_context();
    context.error(format_args!("the service failed: {message}"));
    let (outcome, _) = Outcome::promised();
    outcome
}

impl<S> fmt::Debug for ServiceHandler<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ServiceHandler")
            .finish_non_exhaustive()
    }
}
