//! A local version of the platform's router: it accepts requests and forwards them to the instance.
//!
//! It is an HTTP/1.1 intermediary (RFC 9110 §7.6, RFC 9112):
//!
//! - What two implementations could read differently is refused with 400 and never forwarded; in a response it becomes
//!   502. Framing is generated again on both sides.
//! - A caller's connection persists after every request whose body was read to its end, and it always is, within bounds.
//! - Fields of one connection, and those that `Connection` names, end here. Trailers and interim responses are forwarded
//!   to callers of HTTP/1.1.
//! - A caller that ends its sending side still gets its response.
//!
//! It differs where the platform does: `x-fc-*` fields are the platform's, `Date` and `Server` of the function are not
//! forwarded, and no `Via` is added.

pub(crate) mod call;
pub(crate) mod fleet;
pub(crate) mod forward;
pub(crate) mod hop;
pub(crate) mod invocation;
mod launching;
pub(crate) mod limits;
pub(crate) mod listener;
pub(crate) mod outbound;
pub(crate) mod outcome;
pub(crate) mod outgoing;
pub(crate) mod pool;
pub(crate) mod precheck;
pub(crate) mod relay;
pub(crate) mod upload;
