//! A route whose error is none of ours.
//~ is not a response
//~ an error becomes a response by `map_err`
use coldstart::{Request, Router};

fn read(_: &Request<'_>) -> Result<String, std::io::Error> {
    std::fs::read_to_string("note")
}

fn main() {
    drop(Router::new().get("/", read));
}
