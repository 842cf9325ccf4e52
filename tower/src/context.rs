//! What is known of a request besides its message: in the extensions of each one.

use core::fmt;

use coldstart::Context;
use coldstart::function::OwnedContext;
use coldstart::message::Head;

/// The platform's context of a request, in the extensions of each one that a [`ServiceHandler`](crate::ServiceHandler) gets. A clone
/// shares it.
///
/// ```
/// use axum::routing::get;
/// use axum::{Extension, Router};
/// use coldstart::TestRequest;
/// use coldstart_tower::{RequestContext, ServiceHandler};
///
/// async fn whoami(Extension(context): Extension<RequestContext>) -> String {
///     context.as_context().request_id().unwrap_or("none").to_owned()
/// }
///
/// let mut handler = ServiceHandler::new(Router::new().route("/", get(whoami)));
/// let response = TestRequest::get("/").header("x-fc-request-id", "1-2-3").run_handler(&mut handler);
/// assert_eq!(response.text(), "1-2-3");
/// ```
#[derive(Clone)]
pub struct RequestContext(OwnedContext);

impl RequestContext {
    /// The request with this head and this body, and its context.
    pub(crate) fn begin<B>(
        head: Head<'_>,
        body: B,
    ) -> Result<(http::Request<B>, Self), http::Error> {
        let (request, context) = Context::new(head).to_http(body)?;
        Ok((request, Self(context)))
    }

    /// Borrows the context, to read it.
    #[must_use]
    pub fn as_context(&self) -> Context<'_> {
        self.0.as_context()
    }
}

impl fmt::Debug for RequestContext {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}
