//! A stream of server-sent events. The platform receives a chunked response and forwards each event as it arrives. Deploy
//! it with the `s.yaml` next to it.
//!
//! ```console
//! $ cargo run --example sse
//! $ curl -N -H 'last-event-id: 8' localhost:9000
//! id: 9
//! data: tick 9
//!
//! id: 10
//! data: tick 10
//! ```

use core::time::Duration;
use std::process::ExitCode;

use coldstart::message::ServerSentEvent;
use coldstart::{Function, Request, Response, Status, before_drain, sleep};

const TICKS: u32 = 10;

/// Sends ten ticks, one per second, and goes on where a browser that reconnects has left off. The code runs on the loop: it
/// needs no thread, and ends when the browser disconnects. When the server stops, the stream ends after a whole event.
fn clock(request: &Request<'_>) -> Response {
    if request.path() != "/" {
        return Response::text("no such page\n").status(Status::NOT_FOUND);
    }
    let last = request.last_event_id().and_then(|id| id.parse().ok());
    let first: u32 = last.map_or(1, |last: u32| last.saturating_add(1));
    if first > TICKS {
        // Otherwise the browser would reconnect for ever.
        return Response::new(Status::NO_CONTENT);
    }
    Response::events(async move |events| {
        for tick in first..=TICKS {
            let event = ServerSentEvent::new(format!("tick {tick}")).id(&tick.to_string());
            events.send(&event).await?;
            if before_drain(sleep(Duration::from_secs(1))).await.is_none() {
                break;
            }
        }
        Ok(())
    })
}

fn main() -> ExitCode {
    Function::new().http(clock).run()
}
