//! A local version of the platform's router: it accepts requests and forwards them to the instance.

pub(crate) mod call;
pub(crate) mod fleet;
pub(crate) mod forward;
pub(crate) mod invocation;
pub(crate) mod listener;
pub(crate) mod outcome;
pub(crate) mod pool;
pub(crate) mod relay;
