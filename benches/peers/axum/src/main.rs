//! Greeting, echo and a stream of events as in axum's documentation.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Bytes;
use axum::response::sse::{Event, Sse};
use axum::routing::get;
use axum::serve::ListenerExt as _;
use tokio::time::{MissedTickBehavior, interval};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::IntervalStream;

fn main() {
    let port: u16 = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(9000);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async move {
        let router = axum::Router::new()
            .route("/hello", get(async || "Hello, World!"))
            .route("/events", get(async || {
                let mut ticks = interval(Duration::from_secs(1));
                ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
                let events = IntervalStream::new(ticks);
                Sse::new(events.map(|_| Ok::<_, Infallible>(Event::default().data("@"))))
            }))
            .route("/echo", axum::routing::post(async |body: Bytes| body));
        let listener = tokio::net::TcpListener::bind(("0.0.0.0", port)).await.expect("the port is free");
        let listener = listener.tap_io(|socket| {
            let _ = socket.set_nodelay(true);
        });
        axum::serve(listener, router).await.expect("it serves");
    });
}
