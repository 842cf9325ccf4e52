//! Greeting and echo as in may_minihttp's documentation.

use std::io::{self, BufRead as _};

use may_minihttp::{HttpServer, HttpService, Request, Response};

#[derive(Clone)]
struct Peer;

impl HttpService for Peer {
    fn call(&mut self, request: Request<'_, '_, '_>, response: &mut Response<'_>) -> io::Result<()> {
        if request.method() == "POST" {
            let mut body = request.body();
            loop {
                let piece = body.fill_buf()?;
                let len = piece.len();
                if len == 0 {
                    return Ok(());
                }
                response.body_mut().extend_from_slice(piece);
                body.consume(len);
            }
        }
        response.header("Content-Type: text/plain; charset=utf-8").body("Hello, World!");
        Ok(())
    }
}

fn main() {
    let port: u16 = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(9000);
    may::config().set_workers(1);
    HttpServer(Peer).start(("0.0.0.0", port)).expect("the port is free").join().expect("it serves");
}
