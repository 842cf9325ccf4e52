//! An HTTP/1.1 server for serverless functions: first byte at once, nothing held while idle, every byte judged.
//!
//! # A function
//!
//! ```no_run
//! use coldstart::{Request, Response};
//!
//! fn hello(request: &Request<'_>) -> Response {
//!     Response::text(format!("hello from {}\n", request.path()))
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     coldstart::serve(hello)
//! }
//! ```
//!
//! [`serve`] listens on `0.0.0.0` and the platform's port, keeps idle connections for ever, and drains on SIGTERM.
//! [`Function`] adds what the platform has beside plain HTTP: events, the initializer, hooks and health. [`Server`] is the
//! server by itself, with its [`Limits`] and [`Timeouts`].
//!
//! # Where to go from a function
//!
//! - Several resources: [`Router`].
//! - An answer that arrives piece by piece: [`Body::channel`], [`Response::event_stream`], [`Body::file`].
//! - An answer from another thread or an async runtime: [`Response::promised`].
//! - Work that blocks: [`blocking`] for a route, [`Server::threads`] for all. A function runs on the loop otherwise, and
//!   whatever blocks in it keeps all connections waiting.
//! - A body that is too large to hold, another protocol, a refusal before the body: [`Handler::accept`].
//! - Several loops: [`Server::workers`].
//! - A test with no server: [`TestRequest`].
//! - What the platform demands and does: [`contract`].
//!
//! Framing (`Content-Length`, `Transfer-Encoding`, `Connection`) and `Date` are the server's. A literal field value just
//! works; run-time text has to pass [`HeaderValue::parse`], so no line end ever gets into a head.
//!
//! # Features
//!
//! `json`: typed events, with serde. `log`: a back end for the log crate. `sim`: the made-up world of the tests.

mod current_request;
mod function;
mod h1;
mod handler;
mod limits;
mod message;
mod observe;
mod os;
mod reactor;
mod server;
#[cfg(feature = "sim")]
pub mod sim;
#[doc(hidden)]
pub mod start;
mod sync;
mod testing;

// Only for rustdoc, so that what the docs cite is on docs.rs: the crate has no such module.
#[cfg(doc)]
#[doc = include_str!("../docs/contract.md")]
pub mod contract {}
// The README's Rust compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

pub use bytes::Bytes;
#[cfg(feature = "log")]
pub use function::log_to_stdout;
pub use function::{
    Context, Credentials, Function, FunctionError, NoHttp, exit_code, in_request,
    port_from_environment, serve,
};
pub use handler::blocking::{Blocking, blocking};
pub use handler::router::Router;
pub use handler::{Accept, Demand, Handler, Upgrade, Upload};
pub use limits::{HEAD_LEN_CEILING, HEADERS_CEILING, Limits, Timeouts, WORKERS_MAX};
pub use message::body::{Body, BodySender, SendError, TrySendError};
pub use message::event_stream::{EventSender, ServerSentEvent};
pub use message::headers::{HeaderName, HeaderValue, Headers, InvalidHeader};
pub use message::reply::Reply;
pub use message::request::{Head, Request};
pub use message::response::{Response, Status};
pub use observe::{Event, Observer, StderrObserver};
pub use server::start_error::StartError;
pub use server::workers::{BoundWorkers, Workers};
pub use server::{Bound, DEFAULT_PORT, Server, Stopper, Threads};
pub use start::arguments;
pub use sync::pause::{Pause, Resume};
pub use testing::TestRequest;
pub use testing::answer::TestAnswer;
