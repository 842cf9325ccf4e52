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
mod start_error;
mod task;
mod test_answer;
mod testing;
mod workers;

pub use body::{Body, BodySender, SendError, TrySendError};
pub use bytes::Bytes;
#[cfg(feature = "log")]
pub use function::log_to_stdout;
pub use function::{
    Context, Credentials, Function, FunctionError, NoHttp, exit_code, in_request,
    port_from_environment, serve,
};
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
pub use server::{Bound, DEFAULT_PORT, Server, Stopper, Threads};
pub use sse::{EventSender, ServerSentEvent};
pub use start::arguments;
pub use start_error::StartError;
pub use test_answer::TestAnswer;
pub use testing::TestRequest;
pub use workers::{BoundWorkers, Workers};
