//! Serves tower services, such as axum routers, with coldstart: without an async runtime, or with tokio beside.
//!
//! ```no_run
//! use axum::Router;
//! use axum::routing::get;
//!
//! fn main() -> std::process::ExitCode {
//!     let router = Router::new().route("/", get(async || "hello\n"));
//!     coldstart_tower::serve(router.with_state(()))
//! }
//! ```
//!
//! A router without state is best given `with_state(())`, as above: otherwise axum makes its routes, with their layers, anew for each
//! request. (`axum::serve` does the same by itself.)
//!
//! [`serve`] takes any [`Service`] from [`http::Request`] to [`http::Response`]: a router, a `MethodRouter`, either in
//! tower's layers, or a service of your own. [`ServiceHandler`] is the same as a [`Handler`](coldstart::Handler), for all else that
//! coldstart has: a `Server` with its limits, a `Function` with events and hooks, `Workers`, a `TestRequest`.
//!
//! - **Bodies are streams both ways**, with trailers. A request's is an [`Incoming`]: a complete one is there at once, and any other
//!   arrives as it is read, with back-pressure. A response's is any [`http_body::Body`], polled on the loop.
//! - **Nothing need be `Send`**: neither the service nor its futures nor its bodies. (axum requires it of its handlers.)
//! - **Readiness is honored**: a service that is ready is called without a clone. One that is not is waited for by the request,
//!   which takes it along and leaves a clone for the next one, so that a place in its queue is never held by a request that is gone.
//! - **A service that fails** gets its request a 500, with `x-fc-status` where a function has it, and a log line with the error and its causes.
//!   So does a panic. A request that the http crate does not take gets 400.
//! - **A future and a body are dropped** when their peer has gone: when it resets the connection, and when it ends its side, as in hyper.
//! - **[`RequestContext`] is in the request's extensions**: the platform's request id, credentials, deadline and log lines.
//! - **The server frames messages** and sets `Date`: see [`Response::from_http`](coldstart::Response::from_http) for what becomes of such fields.
//!
//! # tokio
//!
//! Without features there is no runtime: code that needs tokio's timers, sockets or tasks panics, as it does in any thread that is in no
//! runtime. The feature `tokio` adds one: a current-thread runtime, built when the first request comes and so never before the port is
//! open. Services, their futures and their bodies are polled on the loop as before, each time in that runtime; a thread of its own drives
//! what they wait for, and the tasks that they spawn. So `tokio::spawn`, `tokio::time`, `tokio::net`, reqwest, database clients and
//! `ServeDir` work. `runtime` is for code before the first request. The runtime ends with the last handler: its tasks are dropped where
//! they wait.
//!
//! What does not work: axum's `ws`, since the upgrade that it waits for is made in hyper alone. A `WebSocket` stays in front of the
//! service, as a coldstart handler: see the README.
//!
//! From axum on hyper, or from `lambda_http`: [`migrating`].

// docs.rs shows which feature an item needs.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod context;
#[cfg_attr(not(feature = "tokio"), path = "no_runtime.rs")]
mod runtime;
mod service;

use core::error::Error;
use std::process::ExitCode;

use coldstart::Function;
use tower_service::Service;

pub use coldstart::message::Incoming;
pub use context::RequestContext;
#[cfg(feature = "tokio")]
pub use runtime::runtime;
pub use service::ServiceHandler;

// Only for rustdoc: the crate has no such module.
#[cfg(doc)]
#[doc = include_str!("../docs/migrating.md")]
pub mod migrating {}
// The README's Rust compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

/// Serves on `0.0.0.0` and the platform's port until SIGTERM, as a [`Function`] for HTTP calls, and returns the exit status of the
/// process. Hooks of the platform get 200; requests to the paths of hooks that do not come from the platform do, too: see [`Function`].
///
/// ```no_run
/// use axum::Router;
/// use axum::routing::get;
///
/// fn main() -> std::process::ExitCode {
///     coldstart_tower::serve(Router::new().route("/", get(async || "hello\n")).with_state(()))
/// }
/// ```
#[must_use = "it is the exit status of the process"]
pub fn serve<S, B>(service: S) -> ExitCode
where
    S: Service<http::Request<Incoming>, Response = http::Response<B>> + Clone + 'static,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: http_body::Body + 'static,
{
    Function::new()
        .http_handler(ServiceHandler::new(service))
        .run()
}
