//! {{name}}: streams server-sent events.
// coldstart::main! skips std's startup code; the test harness brings its own main.
#![cfg_attr(not(test), no_main)]

use std::time::Duration;

use coldstart::{Request, Response, Status, sleep};
use coldstart::message::ServerSentEvent;

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

/// The code runs where requests are served, without a thread. An error means that the client disconnected.
fn stream() -> Response {
    Response::events(async |events| {
        for (number, word) in WORDS.iter().enumerate() {
            let event = ServerSentEvent::new(*word).id(&number.to_string());
            events.send(&event).await?;
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    })
}
