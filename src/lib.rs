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
//! server by itself, with its [`Limits`](server::Limits) and [`Timeouts`](server::Timeouts).
//!
//! # Where to go from a function
//!
//! - Several resources: [`Router`].
//! - An answer that arrives piece by piece: [`Body::channel`], [`Response::event_stream`], [`Body::file`].
//! - An answer from another thread or an async runtime: [`Outcome::promised`](handler::Outcome::promised).
//! - Work that blocks: [`blocking`] for a route, [`Server::threads`] for all. A function runs on the loop otherwise, and
//!   whatever blocks in it keeps all connections waiting.
//! - A body that is too large to hold, another protocol, a refusal before the body: [`Handler::accept`].
//! - Several loops: [`Server::workers`].
//! - A test with no server: [`TestRequest`].
//! - What the platform demands and does: [`contract`].
//!
//! Framing (`Content-Length`, `Transfer-Encoding`, `Connection`) and `Date` are the server's. A literal field value just
//! works; run-time text has to pass [`HeaderValue::parse`](message::HeaderValue::parse), so no line end ever gets into a head.
//!
//! # Features
//!
//! `json`: typed events, with serde. `log`: a back end for the log crate.

mod current_request;
pub mod function;
mod h1;
pub mod handler;
mod limits;
pub mod message;
mod observe;
mod os;
mod reactor;
pub mod server;
#[cfg(feature = "_sim")]
#[doc(hidden)]
pub mod sim;
#[doc(hidden)]
pub mod start;
mod sync;
pub mod testing;

// Only for rustdoc, so that what the docs cite is on docs.rs: the crate has no such module.
#[cfg(doc)]
#[doc = include_str!("../docs/contract.md")]
pub mod contract {}
// The README's Rust compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

pub use bytes::Bytes;
pub use function::{Context, Function, serve};
pub use handler::{Handler, Router, blocking};
pub use message::{Body, Request, Response, Status};
pub use server::Server;
pub use start::arguments;
pub use testing::TestRequest;
