//! A route that returns a struct.
//~ `Note` is not a response
//~ `Json(value)` or `Response::json(&value)`
use coldstart::{Request, Router};

struct Note;

fn note(_: &Request<'_>) -> Note {
    Note
}

fn main() {
    drop(Router::new().get("/", note));
}
