//! {{name}}: streams server-sent events.
// Starts without std's preparations; a test has a start of its own.
#![cfg_attr(not(test), no_main)]

use std::thread;
use std::time::Duration;

use coldstart::{EventSender, Request, Response, SendError, ServerSentEvent, Status};

/// What may wait for a slow reader before the sender has to wait.
const WAITING_BYTES_MAX: usize = 64 * 1024;
const WORDS: [&str; 5] = ["events", "arrive", "one", "by", "one"];

coldstart::main!(route);
coldstart::without_backtraces!();

fn route(request: &Request<'_>) -> Response {
    // Before the answer leaves: after it the platform freezes the process.
    println!("{} {}", request.method(), request.path());
    match (request.method(), request.path()) {
        ("GET", "/") => stream(),
        ("GET" | "HEAD", "/healthz") => Response::text("ok\n"),
        _ => Response::text("no such page\n").status(Status::NOT_FOUND),
    }
}

fn stream() -> Response {
    let (events, response) = Response::event_stream(WAITING_BYTES_MAX);
    // A reader that has gone ends the sending; there is nobody left to tell.
    thread::spawn(move || speak(events).ok());
    response
}

fn speak(events: EventSender) -> Result<(), SendError> {
    for (number, word) in WORDS.iter().enumerate() {
        events.send(&ServerSentEvent::new(*word).id(&number.to_string()))?;
        thread::sleep(Duration::from_millis(20));
    }
    events.finish();
    Ok(())
}
