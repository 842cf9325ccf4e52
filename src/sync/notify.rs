//! The wake-up that another thread calls when it has news for the loop.

use std::sync::Arc;

/// Tells the loop that there is news for one session. Cheap to clone and to call, from any thread.
#[derive(Clone)]
pub(crate) struct Notify(Arc<dyn Fn() + Send + Sync>);

impl Notify {
    pub(crate) fn new(notify: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(notify))
    }

    pub(crate) fn notify(&self) {
        (self.0)();
    }
}
