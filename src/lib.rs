//! An HTTP/1.1 server for serverless functions.

mod body;
mod function;
mod h1;
mod handler;
mod headers;
mod limits;
mod observe;
mod os;
mod pattern;
mod pause;
mod pool;
mod promise;
mod reactor;
mod request;
mod response;
mod router;
mod server;
#[cfg(feature = "sim")]
pub mod sim;
mod sse;
#[doc(hidden)]
pub mod start;
mod test_answer;
mod testing;

pub use body::{Body, BodySender, SendError, TrySendError};
pub use bytes::Bytes;
pub use function::{exit_code, port_from_environment, serve};
pub use handler::{Accept, Demand, Handler, Upgrade, Upload};
pub use headers::{HeaderName, HeaderValue, Headers, InvalidHeader};
pub use limits::{HEAD_LEN_CEILING, HEADERS_CEILING, Limits, Timeouts, WORKERS_MAX};
pub use observe::{Event, Observer, StderrObserver};
pub use pause::{Pause, Resume};
pub use pool::{Blocking, blocking};
pub use promise::Reply;
pub use request::{Head, Request};
pub use response::{Response, Status};
pub use router::Router;
pub use server::{
    Bound, BoundWorkers, DEFAULT_PORT, Server, StartError, Stopper, Threads, Workers,
};
pub use sse::{EventSender, ServerSentEvent};
pub use start::arguments;
pub use test_answer::TestAnswer;
pub use testing::TestRequest;
