//! In place of a runtime, without the feature `tokio`: everything stays as it is.

use core::convert::Infallible;

/// No runtime.
#[derive(Clone)]
pub(crate) struct Lease;

impl Lease {
    pub(crate) const fn new() -> Self {
        Self
    }

    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "as with a runtime"
    )]
    pub(crate) const fn enter(&self) -> Result<(), Infallible> {
        Ok(())
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
