//! Requests and responses: what a handler reads and what it returns.

pub(crate) mod body;
pub(crate) mod channel;
pub(crate) mod counted;
pub(crate) mod event_stream;
pub(crate) mod event_writer;
mod file;
#[cfg(feature = "form")]
mod form;
pub(crate) mod headers;
#[cfg(feature = "http")]
pub(crate) mod http;
#[cfg(feature = "http")]
mod http_body;
#[cfg(feature = "http")]
pub(crate) mod http_spare;
pub(crate) mod incoming;
pub(crate) mod incoming_error;
#[cfg(feature = "json")]
pub(crate) mod json;
pub(crate) mod local;
pub(crate) mod owned;
pub(crate) mod peer;
mod pieces;
pub(crate) mod polled;
pub(crate) mod rejection;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod send_error;
pub(crate) mod trailers;
pub(crate) mod writer;

#[cfg(feature = "http")]
pub use self::http::InvalidStatus;
pub use body::Body;
pub use channel::BodySender;
pub use event_stream::{EventSender, ServerSentEvent};
pub use event_writer::EventWriter;
pub use headers::{HeaderName, HeaderValue, Headers, InvalidHeader};
pub use incoming::Incoming;
pub use incoming_error::IncomingError;
#[cfg(feature = "json")]
pub use json::Json;
pub use local::LocalBody;
pub use owned::OwnedRequest;
pub use peer::PeerState;
pub use polled::Frame;
pub use rejection::Rejection;
pub use request::{Head, Request};
pub use response::{Response, ResponseHead, Status};
pub use send_error::{SendError, TrySendError};
pub use trailers::Trailers;
pub use writer::{BodyWriter, Written};
