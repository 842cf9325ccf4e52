//! A local version of the platform's router: it accepts requests and forwards them to the instance.

pub(crate) mod call;
pub(crate) mod fleet;
pub(crate) mod forward;
pub(crate) mod hop;
pub(crate) mod invocation;
pub(crate) mod listener;
pub(crate) mod outbound;
pub(crate) mod outcome;
pub(crate) mod outgoing;
pub(crate) mod pool;
pub(crate) mod precheck;
pub(crate) mod relay;
pub(crate) mod upload;
