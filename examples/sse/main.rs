//! A stream of server-sent events: the platform sees a chunked answer and passes each event on as it comes. `s.yaml`
//! beside it deploys it.

use core::time::Duration;
use std::process::ExitCode;
use std::thread;

use coldstart::{EventSender, Function, Request, Response, SendError, ServerSentEvent, Status};

/// Bytes that may wait for a slow reader before the sender does.
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
        Err(_) => Response::text("no thread is free\n").status(Status::SERVICE_UNAVAILABLE),
    }
}

/// Ten ticks, one a second; fewer if the browser leaves, which is no error.
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
    Function::new().http_fn(clock).run()
}
