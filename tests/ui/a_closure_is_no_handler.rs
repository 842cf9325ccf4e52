//! A closure where a handler belongs.
//~ is not a `Handler`
//~ pass a function or closure to `run` or `http`
use coldstart::{Request, Server};

fn main() {
    let _ = Server::new().run_handler(|_: &Request<'_>| "hello");
}
