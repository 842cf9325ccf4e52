//! {{name}}: responds to HTTP calls.
// coldstart::main! skips std's startup code; the test harness brings its own main.
#![cfg_attr(not(test), no_main)]

use coldstart::{Request, Response, Status};

coldstart::main!(route);
coldstart::without_backtraces!();

fn route(request: &Request<'_>) -> Response {
    // Log before the response is sent: after it, the platform freezes the process.
    println!("{} {}", request.method(), request.path());
    match (request.method(), request.path()) {
        ("GET" | "HEAD", "/") => Response::text("hello from {{name}}\n"),
        ("POST", "/echo") => Response::bytes(request.body_bytes()),
        ("GET" | "HEAD", "/healthz") => Response::text("ok\n"),
        _ => Response::text("no such page\n").status(Status::NOT_FOUND),
    }
}
