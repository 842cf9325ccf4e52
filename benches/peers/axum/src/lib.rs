//! One application of axum's: what runs on each server. Greeting, echo, JSON, and a stream of events, as in axum's documentation.

use std::convert::Infallible;

use axum::body::Bytes;
use axum::response::sse::{Event, Sse};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::stream::{self, Stream, StreamExt as _};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Order {
    customer: String,
    lines: Vec<Line>,
}

#[derive(Deserialize)]
struct Line {
    name: String,
    count: u32,
    price: u32,
}

#[derive(Serialize)]
struct Receipt {
    customer: String,
    names: Vec<String>,
    total: u64,
}

async fn order(Json(order): Json<Order>) -> Json<Receipt> {
    let total = order.lines.iter().map(|line| u64::from(line.count) * u64::from(line.price)).sum();
    let names = order.lines.into_iter().map(|line| line.name).collect();
    Json(Receipt { customer: order.customer, names, total })
}

/// As many events as in `benches/support/streams.rs`, as fast as they are taken.
async fn burst() -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    Sse::new(stream::iter((0..2000).map(|_| Ok(Event::default().data("@")))))
}

/// The application. An event is sent for each item of `ticks`, which a timer of the server's makes.
pub fn router<T: Stream<Item = ()> + Send + 'static>(ticks: fn() -> T) -> Router {
    let events = async move || {
        let events = ticks().map(|()| Ok::<_, Infallible>(Event::default().data("@")));
        Sse::new(events)
    };
    Router::new()
        .route("/hello", get(async || "Hello, World!"))
        .route("/echo", post(async |body: Bytes| body))
        .route("/orders", post(order))
        .route("/events", get(events))
        .route("/burst", get(burst))
        .with_state(())
}
