//! A line on stderr for each request and each response, and those of the handlers between, by the tracing crates.
//!
//! ```text
//! curl localhost:9000/hello/you
//! ```

use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use tower_http::trace::{DefaultMakeSpan, DefaultOnRequest, DefaultOnResponse, TraceLayer};
use tracing::Level;

async fn hello(Path(name): Path<String>) -> String {
    tracing::info!(name, "greeting");
    format!("hello, {name}\n")
}

pub(crate) fn router() -> Router {
    // The platform's logs are what a process writes, and they have times of their own.
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .without_time()
        .init();
    let layer = TraceLayer::new_for_http()
        .make_span_with(DefaultMakeSpan::new().level(Level::INFO))
        .on_request(DefaultOnRequest::new().level(Level::INFO))
        .on_response(DefaultOnResponse::new().level(Level::INFO));
    Router::new()
        .route("/hello/{name}", get(hello))
        .layer(layer)
        .with_state(())
}
