//! The smallest function with the fastest start: `cargo build --profile dist --target x86_64-unknown-linux-musl --example
//! minimal`. So built it has what the library's own tests need as well; the benchmarks build it as a project of its own, and
//! compare it with `bootstrap`.
#![cfg_attr(not(test), no_main)]

use coldstart::{Request, Response};

coldstart::main!(hello);
coldstart::without_backtraces!();

fn hello(_: &Request<'_>) -> Response {
    Response::text("Hello, World!")
}
