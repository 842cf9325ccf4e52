//! One request through the loop, protocol, contract and handler, without the kernel.
//!
//! `cargo bench --bench turn [-- NAME]` compares times with the last run on this machine (criterion keeps them in
//! `target/criterion`). The kernel's share of a request is far larger and does not change with our code; this
//! benchmark shows a change of the loop that would drown in it.

use std::hint::black_box;

use coldstart::sim::LoopDriver;
use coldstart::{Function, Request, Response, Status};
use criterion::{Criterion, Throughput};

/// Responds as `bootstrap` does.
fn route(request: &Request<'_>) -> Response {
    match (request.method(), request.path()) {
        ("GET", "/hello") => Response::text("Hello, World!"),
        ("POST", "/echo") => Response::new(Status::OK).body(request.body_bytes()),
        _ => Response::text("no such page\n").status(Status::NOT_FOUND),
    }
}

fn main() {
    let get =
        "GET /hello HTTP/1.1\r\nHost: localhost:9000\r\nUser-Agent: turn/1\r\nAccept: */*\r\n\r\n";
    let post = format!(
        "POST /echo HTTP/1.1\r\nHost: localhost:9000\r\nContent-Length: 1024\r\n\r\n{}",
        "x".repeat(1024)
    );
    let event = "POST /invoke HTTP/1.1\r\nHost: localhost:9000\r\nx-fc-control-path: /invoke\r\nx-fc-request-id: \
        1-00000000-00000000-000000000000\r\nContent-Length: 2\r\n\r\n{}";
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("turn");
    for (name, request, depth) in [
        ("get", get, 1),
        ("get-pipelined", get, 16),
        ("post-1k", &post, 1),
        ("event", event, 1),
    ] {
        let handler = Function::new()
            .http(route)
            .event(|_, payload| Ok(payload.to_vec()))
            .handler();
        let mut driver = LoopDriver::new(handler, request.repeat(depth).as_bytes());
        let response_len = driver.turn();
        assert!(response_len >= depth * 100, "{name} gets a full response");
        group.throughput(Throughput::Elements(depth as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let sent_len = black_box(&mut driver).turn();
                assert_eq!(sent_len, response_len, "{name} gets the same response");
            });
        });
    }
    group.finish();
    criterion.final_summary();
}
