//! In place of a runtime, without the feature `tokio`: everything stays as it is.

use core::convert::Infallible;

/// No runtime.
#[derive(Clone)]
pub(crate) struct Lease;

impl Lease {
    pub(crate) const fn new() -> Self {
        Self
    }

    #[expect(clippy::unused_self, reason = "as with a runtime")]
    pub(crate) const fn service<S>(self, service: S) -> Kept<S> {
        Kept(service)
    }

    #[expect(clippy::unused_self, reason = "as with a runtime")]
    pub(crate) fn future<F: Future>(self, future: F) -> F {
        future
    }

    #[expect(clippy::unused_self, reason = "as with a runtime")]
    pub(crate) fn body<B: http_body::Body>(self, body: B) -> B {
        body
    }
}

/// A service.
#[derive(Clone)]
pub(crate) struct Kept<S>(S);

impl<S> Kept<S> {
    #[expect(clippy::unused_self, reason = "as with a runtime")]
    pub(crate) const fn lease(&self) -> &Lease {
        &Lease
    }

    pub(crate) fn enter<R>(&mut self, run: impl FnOnce(&mut S) -> R) -> Result<R, Infallible> {
        Ok(run(&mut self.0))
    }
}
