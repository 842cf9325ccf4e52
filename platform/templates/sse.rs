//! {{name}}: streams server-sent events.
// coldstart::main! skips std's startup code; the test harness brings its own main.
#![cfg_attr(not(test), no_main)]

use std::thread;
use std::time::Duration;

use coldstart::{Request, Response, Status};
use coldstart::message::{EventSender, SendError, ServerSentEvent};

/// How much may be queued for a slow reader before `send` blocks.
const WAITING_BYTES_MAX: usize = 64 * 1024;
const WORDS: [&str; 5] = ["events", "arrive", "one", "by", "one"];

coldstart::main!(route);
coldstart::without_backtraces!();

fn route(request: &Request<'_>) -> Response {
    // Log before the response is sent: after it, the platform freezes the process.
    println!("{} {}", request.method(), request.path());
    match (request.method(), request.path()) {
        ("GET", "/") => stream(),
        ("GET" | "HEAD", "/healthz") => Response::text("ok\n"),
        _ => Response::text("no such page\n").status(Status::NOT_FOUND),
    }
}

fn stream() -> Response {
    let (events, response) = Response::event_stream(WAITING_BYTES_MAX);
    // An error means that the client disconnected.
    thread::spawn(move || send_words(events).ok());
    response
}

fn send_words(events: EventSender) -> Result<(), SendError> {
    for (number, word) in WORDS.iter().enumerate() {
        events.send(&ServerSentEvent::new(*word).id(&number.to_string()))?;
        thread::sleep(Duration::from_millis(20));
    }
    events.finish();
    Ok(())
}
