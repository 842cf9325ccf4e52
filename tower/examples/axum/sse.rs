//! Server-sent events, ten per second.
//!
//! ```text
//! curl -N 'localhost:9000/events?count=3'
//! ```

use core::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::extract::Query;
use axum::response::sse::{Event, Sse};
use axum::routing::get;
use futures_util::stream::{self, Stream};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
struct Wanted {
    count: u32,
}

async fn events(
    Query(wanted): Query<Wanted>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    Sse::new(stream::unfold((1, wanted.count), async |(number, last)| {
        if number > last {
            return None;
        }
        // With the feature tokio, a timer of tokio's does as well.
        coldstart::sleep(Duration::from_millis(100)).await;
        let event = Event::default()
            .id(number.to_string())
            .data(format!("tick {number}"));
        Some((Ok(event), (number + 1, last)))
    }))
}

pub(crate) fn router() -> Router {
    Router::new().route("/events", get(events)).with_state(())
}
