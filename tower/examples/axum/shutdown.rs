//! What a stop leaves time for: SIGTERM, and the request that runs still gets its response, and an endless stream its end. `serve` does
//! the first by itself.
//!
//! ```text
//! curl localhost:9000/slow
//! curl -N -m 1 localhost:9000/clock; test $? = 28     # it would not end
//! ```

use core::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use coldstart::{before_drain, sleep};
use futures_util::stream;

async fn slow() -> &'static str {
    sleep(Duration::from_secs(1)).await;
    "done\n"
}

/// Lines, until the server stops: the tick that is next, or `None` after the last line.
async fn clock() -> Body {
    Body::from_stream(stream::unfold(Some(1), async |next| {
        let tick = next?;
        let (line, next) = match before_drain(sleep(Duration::from_millis(100))).await {
            Some(()) => (format!("tick {tick}\n"), Some(tick + 1)),
            None => ("good-bye\n".to_owned(), None),
        };
        Some((Ok::<_, Infallible>(line), next))
    }))
}

pub(crate) fn router() -> Router {
    Router::new()
        .route("/slow", get(slow))
        .route("/clock", get(clock))
        .with_state(())
}
