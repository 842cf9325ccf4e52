//! {{name}}: answers events.
// Starts without std's preparations; a test has a start of its own.
#![cfg_attr(not(test), no_main)]

use coldstart::{Request, Response, Status};

coldstart::main!(route);
coldstart::without_backtraces!();

fn route(request: &Request<'_>) -> Response {
    match (request.method(), request.path()) {
        ("POST", "/invoke") => answer(request.body()),
        // The platform's own requests, sent when they are configured in s.yaml.
        ("POST", "/initialize") | ("GET", "/pre-stop") => Response::text(""),
        _ => Response::text("no such page\n").status(Status::NOT_FOUND),
    }
}

fn answer(event: &[u8]) -> Response {
    // Before the answer leaves: after it the platform freezes the process.
    println!("event of {} bytes", event.len());
    match count(event) {
        Ok(words) => Response::json(format!("{{\"words\":{words}}}\n")).header("x-fc-status", "200"),
        // How a function's failure is told: without the header it counts as a success.
        Err(why) => Response::json(format!("{{\"errorMessage\":\"{why}\",\"errorType\":\"BadEvent\"}}\n"))
            .status(Status::NOT_FOUND)
            .header("x-fc-status", "404"),
    }
}

/// What the function is for: here it counts words. An empty event has none.
fn count(event: &[u8]) -> Result<usize, &'static str> {
    let text = std::str::from_utf8(event).map_err(|_| "the event is no text")?;
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
