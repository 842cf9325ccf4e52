//! Calls the function as the platform does: the real executable, over a socket.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn the_function_responds_to_calls() {
    let server = Server::start();
{{assertions}}}

struct Server {
    process: Child,
    port: u16,
}

impl Server {
    fn start() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = free.local_addr().expect("its number").port();
        drop(free);
        let process = Command::new(env!("CARGO_BIN_EXE_bootstrap"))
            .env("FC_CUSTOM_LISTEN_PORT", port.to_string())
            .spawn()
            .expect("the function starts");
        Self { process, port }
    }

    /// Sends one request with `Connection: close` and reads the response until the connection closes.
    fn call(&self, request: &str) -> String {
        let mut stream = self.connect();
        let closing = request.replacen("\r\nHost", "\r\nConnection: close\r\nHost", 1);
        stream.write_all(closing.as_bytes()).expect("sent");
        let mut response = String::new();
        stream.read_to_string(&mut response).expect("a response");
        response
    }

    fn connect(&self) -> TcpStream {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            match TcpStream::connect(("127.0.0.1", self.port)) {
                Ok(stream) => return stream,
                Err(error) => assert!(Instant::now() < deadline, "never listened: {error}"),
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
