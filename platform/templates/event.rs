//! {{name}}: handles events.
// coldstart::main! skips std's startup code; the test harness brings its own main.
#![cfg_attr(not(test), no_main)]

use coldstart::{Request, Response, Status};

coldstart::main!(route);
coldstart::without_backtraces!();

fn route(request: &Request<'_>) -> Response {
    match (request.method(), request.path()) {
        ("POST", "/invoke") => respond(request.body()),
        // Lifecycle hooks; the platform calls the ones that s.yaml configures.
        ("POST", "/initialize") | ("GET", "/pre-stop") => Response::text(""),
        _ => Response::text("no such page\n").status(Status::NOT_FOUND),
    }
}

fn respond(event: &[u8]) -> Response {
    // Log before the response is sent: after it, the platform freezes the process.
    println!("event of {} bytes", event.len());
    match count(event) {
        Ok(words) => Response::json_text(format!("{{\"words\":{words}}}\n")).header("x-fc-status", "200"),
        // x-fc-status marks the call as failed; without it, it counts as a success.
        Err(why) => Response::json_text(format!("{{\"errorMessage\":\"{why}\",\"errorType\":\"BadEvent\"}}\n"))
            .status(Status::NOT_FOUND)
            .header("x-fc-status", "404"),
    }
}

/// The function's work: counts words. An empty event has none.
fn count(event: &[u8]) -> Result<usize, &'static str> {
    let text = std::str::from_utf8(event).map_err(|_| "the event is not UTF-8")?;
    Ok(text.split_whitespace().count())
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn words_are_counted() {
        assert_eq!(count(b"one two  three"), Ok(3));
        assert_eq!(count(b""), Ok(0));
        assert!(count(b"\xff").is_err());
    }
}
