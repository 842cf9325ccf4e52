//! An HTTP/1.1 server for serverless functions: a fast first byte, next to no cost while idle, and no byte with two meanings.
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
//! [`serve`] listens on `0.0.0.0` and the platform's port, never closes an idle connection, and drains on SIGTERM.
//! [`Function`] adds what the platform has besides plain HTTP: events, the initializer, hooks and health. [`Server`] is the
//! server alone, with its [`Limits`](server::Limits) and [`Timeouts`](server::Timeouts).
//!
//! # Where to go from a function
//!
//! - Several routes: [`Router`].
//! - Values of types of yours: `Request::parse_query` and `form` (feature `form`), `Request::json`, `Response::json` (feature
//!   `json`), [`Request::parse_parameter`].
//! - Code around all routes, such as a log or a check of who calls: [`Handler::with`].
//! - A response that is made piece by piece: [`Body::writer`], [`Body::poll_fn`], [`Body::channel`], [`Body::file`];
//!   server-sent events: [`Response::events`].
//! - A response that waits for something: an `async` block or function, see [async handlers](handler#async-handlers).
//! - Timers, and work beside the response: [`sleep`], [`timeout`], [`interval`], [`spawn`]; see [`task`].
//! - A response from another thread or an async runtime: [`Outcome::promised`](handler::Outcome::promised).
//! - Work that blocks: [`blocking`] for one route, [`Server::threads`] for all. Otherwise a function runs on the loop, and
//!   while it blocks, all connections wait.
//! - A body that is read as it arrives, perhaps while the response is sent: [`handler::incoming`],
//!   [`Router::post_incoming`].
//! - A body that is too large to hold, another protocol, a response before the body: [`Handler::accept`].
//! - Several loops: [`Server::workers`].
//! - A test without a server: [`TestRequest`].
//! - What blocks, how bodies flow, what peers can make the server hold, and what a start costs: [`guide`].
//! - What the platform demands and does: [`contract`]; packages, images and the files of each engine: [`deploying`].
//! - From another server, such as actix-web or `tiny_http`: [`migrating`]; from axum: coldstart-tower.
//!
//! The server sets the framing fields (`Content-Length`, `Transfer-Encoding`, `Connection`) and `Date`. No line end
//! gets into a head: a response with a field that is not valid is not sent, see [`Response::header`].
//!
//! # Features
//!
//! `json`: bodies, responses and events as values, with serde. `form`: queries and form bodies as values. `files`: the
//! files of a folder. `http`: conversions from and to the types of the http and http-body crates. `log`: a back end for the log
//! crate. `websocket`: WebSockets as messages, see `handler::WebSocket`.
//!
//! A function that has its request and its response in the types of `http` is 98 kB larger: `serve(|_: &Request<'_>| "hello\n")`
//! has 529 176 bytes, and with both conversions 627 520. (`coldstart new hello`, the function in a `main` of std's,
//! `cargo build --release --target x86_64-unknown-linux-musl`.)

// docs.rs shows which feature an item needs.
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(not(unix))]
compile_error!(
    "coldstart runs on Linux, and on macOS for development; on Windows, build and run it in WSL 2"
);

mod allocator;
mod current_request;
pub mod function;
mod h1;
pub mod handler;
mod limits;
pub mod message;
mod observe;
mod os;
mod output;
mod reactor;
pub mod server;
#[cfg(feature = "_sim")]
#[doc(hidden)]
pub mod sim;
#[doc(hidden)]
pub mod start;
mod sync;
pub mod task;
pub mod testing;

// Only for rustdoc, so that docs.rs has the page that the docs cite: the crate has no such module.
#[cfg(doc)]
#[doc = include_str!("../docs/contract.md")]
pub mod contract {}
#[cfg(doc)]
#[doc = include_str!("../docs/deploy.md")]
pub mod deploying {}
#[cfg(doc)]
#[doc = include_str!("../docs/guide.md")]
pub mod guide {}
#[cfg(doc)]
#[doc = include_str!("../docs/migrating.md")]
pub mod migrating {}
// The Rust of these pages compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
#[cfg(doctest)]
#[doc = include_str!("../docs/first-deployment.md")]
mod first_deployment {}

pub use allocator::Allocator;
pub use bytes::Bytes;
pub use function::{Context, Function, serve};
pub use handler::{Handler, Router, blocking};
pub use message::{Body, Request, Response, Status};
pub use server::Server;
pub use start::arguments;
pub use task::{before_drain, draining, interval, sleep, spawn, timeout, yield_now};
pub use testing::TestRequest;
