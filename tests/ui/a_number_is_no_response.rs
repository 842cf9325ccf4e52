//! A route that returns a number.
//~ is not a response
//~ text by `to_string()`
use coldstart::Router;

fn main() {
    drop(Router::new().get("/", |_| 7));
}
