//! A function for `serve` that returns no response.
//~ is not a handler, nor a function that can be one
//~ it returns a response, text, `Status`, `Json`, a tuple
use coldstart::Request;

struct Note;

fn note(_: &Request<'_>) -> Note {
    Note
}

fn main() {
    let _ = coldstart::serve(note);
}
