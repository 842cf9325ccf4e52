//! The smallest function with the earliest first byte: `cargo build --profile dist --target x86_64-unknown-linux-musl
//! --example minimal`. The benchmarks measure it beside `bootstrap`.
#![cfg_attr(not(test), no_main)]

use coldstart::{Request, Response};

coldstart::main!(hello);
coldstart::without_backtraces!();

fn hello(_: &Request<'_>) -> Response {
    Response::text("Hello, World!")
}
