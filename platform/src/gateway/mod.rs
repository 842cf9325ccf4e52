//! The router of the platform, on this machine: it takes callers' requests and passes them to the one instance.

pub(crate) mod call;
pub(crate) mod fleet;
pub(crate) mod forward;
pub(crate) mod headers;
pub(crate) mod invocation;
pub(crate) mod listener;
pub(crate) mod outcome;
pub(crate) mod pool;
pub(crate) mod relay;
