//! {{name}}: answers HTTP calls.

use std::process::ExitCode;

use coldstart::{Request, Response, Status};

fn main() -> ExitCode {
    coldstart::serve(route)
}

fn route(request: &Request<'_>) -> Response {
    // Before the answer leaves: after it the platform freezes the process.
    println!("{} {}", request.method(), request.path());
    match (request.method(), request.path()) {
        ("GET" | "HEAD", "/") => Response::text("hello from {{name}}\n"),
        ("POST", "/echo") => Response::bytes(request.body_bytes()),
        ("GET" | "HEAD", "/healthz") => Response::text("ok\n"),
        _ => Response::text("no such page\n").status(Status::NOT_FOUND),
    }
}
