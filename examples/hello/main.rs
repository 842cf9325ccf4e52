//! The smallest function for HTTP calls. Deploy it with the `s.yaml` next to it.
//!
//! ```console
//! $ cargo run --example hello
//! $ curl localhost:9000/you
//! hello from a function without a platform, at /you
//! ```

use std::process::ExitCode;

use coldstart::{Context, Function, Request, Response};

fn hello(request: &Request<'_>) -> Response {
    let context = Context::new(request.head());
    let name = context
        .function_name()
        .unwrap_or("a function without a platform");
    Response::text(format!("hello from {name}, at {}\n", request.path()))
}

fn main() -> ExitCode {
    Function::new().http(hello).run()
}
