//! An HTTP/1.1 server for serverless functions.

mod body;
mod h1;
mod handler;
mod headers;
mod limits;
mod pattern;
mod pause;
mod promise;
mod request;
mod response;
mod router;
#[cfg(feature = "sim")]
pub mod sim;
mod test_answer;
mod testing;

pub use body::{Body, BodySender, SendError, TrySendError};
pub use bytes::Bytes;
pub use handler::{Accept, Demand, Handler, Upgrade, Upload};
pub use headers::{HeaderName, HeaderValue, Headers, InvalidHeader};
pub use limits::{HEAD_LEN_CEILING, HEADERS_CEILING, Limits, Timeouts};
pub use pause::{Pause, Resume};
pub use promise::Reply;
pub use request::{Head, Request};
pub use response::{Response, Status};
pub use router::Router;
pub use test_answer::TestAnswer;
pub use testing::TestRequest;
