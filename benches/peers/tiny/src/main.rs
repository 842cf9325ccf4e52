//! Greeting and echo as in tiny_http's documentation.

use tiny_http::{Method, Response, Server};

fn main() {
    let port: u16 = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(9000);
    let server = Server::http(("0.0.0.0", port)).expect("the port is free");
    for mut request in server.incoming_requests() {
        let _ = if *request.method() == Method::Post {
            let mut body = Vec::new();
            let _ = request.as_reader().read_to_end(&mut body);
            request.respond(Response::from_data(body))
        } else {
            request.respond(Response::from_string("Hello, World!"))
        };
    }
}
