//! An expression that makes a router, for `main!`.
#![no_main]

use coldstart::Router;

coldstart::main!(router());

fn router() -> Router {
    Router::new().get("/", |_| "hello\n")
}
