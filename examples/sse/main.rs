//! A stream of server-sent events. The platform receives a chunked response and forwards each event as it arrives. Deploy
//! it with the `s.yaml` next to it.

use core::time::Duration;
use std::process::ExitCode;
use std::thread;

use coldstart::message::{EventSender, SendError, ServerSentEvent};
use coldstart::{Function, Request, Response, Status};

/// How many bytes may be queued for a slow reader before the sender blocks.
const PENDING_LEN_MAX: usize = 64 * 1024;
const TICKS: u32 = 10;

fn clock(request: &Request<'_>) -> Response {
    if request.path() != "/" {
        return Response::text("no such page\n").status(Status::NOT_FOUND);
    }
    let (events, response) = Response::event_stream(PENDING_LEN_MAX);
    let thread = thread::Builder::new().name("ticks".to_owned());
    match thread.spawn(move || tick(events)) {
        Ok(_) => response,
        Err(_) => {
            Response::text("no thread could be started\n").status(Status::SERVICE_UNAVAILABLE)
        }
    }
}

/// Sends ten ticks, one per second. Stops early if the browser disconnects, which is not an error.
#[expect(clippy::disallowed_methods, reason = "a clock has to wait")]
fn tick(events: EventSender) -> Result<(), SendError> {
    for tick in 1..=TICKS {
        let event = ServerSentEvent::new(format!("tick {tick}")).id(&tick.to_string());
        events.send(&event)?;
        thread::sleep(Duration::from_secs(1));
    }
    events.finish();
    Ok(())
}

fn main() -> ExitCode {
    Function::new().http(clock).run()
}
