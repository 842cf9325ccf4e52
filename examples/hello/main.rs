//! The smallest function: it answers HTTP calls. `s.yaml` beside it deploys it.

use std::process::ExitCode;

use coldstart::{Context, Function, Request, Response};

fn hello(request: &Request<'_>) -> Response {
    let context = Context::new(request.head());
    let name = context
        .function_name()
        .unwrap_or("a function on no platform");
    Response::text(format!("hello from {name}, at {}\n", request.path()))
}

fn main() -> ExitCode {
    Function::new().http_fn(hello).run()
}
