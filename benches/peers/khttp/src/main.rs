//! Greeting and echo as in khttp's documentation.

use khttp::{Headers, Method, Server};

fn main() {
    let port: u16 = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(9000);
    let mut app = Server::builder(("0.0.0.0", port)).expect("the port is free");
    app.thread_count(1);
    app.route(Method::Get, "/hello", |_, response| response.ok(Headers::empty(), "Hello, World!"));
    app.route(Method::Post, "/echo", |mut context, response| {
        let body = context.body().vec().unwrap_or_default();
        response.ok(Headers::empty(), body)
    });
    let _ = app.build().serve_epoll();
}
