//! Requests and responses: what a handler reads and what it returns.

pub(crate) mod body;
pub(crate) mod event_stream;
pub(crate) mod headers;
pub(crate) mod reply;
pub(crate) mod request;
pub(crate) mod response;
