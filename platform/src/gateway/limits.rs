//! The platform's limits of one request and its response (contract rule 11).

/// Header fields, each way.
pub(crate) const FIELDS_LEN_MAX: usize = 8 * 1024;
/// The request target.
pub(crate) const TARGET_LEN_MAX: usize = 4 * 1024;
/// The request's body.
pub(crate) const BODY_LEN_MAX: u64 = 32 * 1024 * 1024;
/// The event of an asynchronous call.
pub(crate) const ASYNC_BODY_LEN_MAX: u64 = 128 * 1024;
