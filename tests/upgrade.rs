//! Leaving HTTP over real sockets: upgrades and tunnels, by RFC 9110 §7.8 and §9.3.6.

mod loopback;

use std::io::{Read as _, Write as _};

use coldstart::handler::{Accept, Outcome, Upgrade};
use coldstart::message::Head;
use coldstart::{Handler, Request, Response, Router};

use loopback::server::{Running, on_loopback};
use loopback::{Client, get};

/// Becomes the protocol `echo` for peers that offer it, and for CONNECT: what was sent with the request comes back.
#[derive(Clone)]
struct Echo;

impl Handler for Echo {
    fn accept(&mut self, _: &Head<'_>) -> Accept {
        Accept::Upgrade(Upgrade::new("echo", |mut socket, rest| {
            drop(socket.write_all(&rest));
            let mut more = [0];
            while socket.read(&mut more).is_ok_and(|len| len > 0) {
                drop(socket.write_all(&more));
            }
        }))
    }

    fn call(&mut self, _: &Request<'_>) -> Outcome {
        Response::text("in HTTP").into()
    }
}

#[test]
fn only_a_protocol_that_the_request_offers_is_switched_to() {
    let server = Running::start_handler(on_loopback(), Echo);
    let mut client = Client::connect(server.address);
    // What `curl --http2` sends.
    let h2c = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\n\
        Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n";
    assert_eq!(client.request(h2c).text(), "in HTTP");
    let old = "GET / HTTP/1.0\r\nConnection: Upgrade, keep-alive\r\nUpgrade: echo\r\n\r\n";
    assert_eq!(client.request(old).text(), "in HTTP");
    let offers = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c, ECHO\r\n\r\n";
    client.send(format!("{offers}hello"));
    let response = client.head().expect("a response");
    assert_eq!(
        (response.status, response.field("upgrade")),
        (101, Some("echo"))
    );
    let mut back = [0; 5];
    client.read_exact(&mut back);
    assert_eq!(&back, b"hello");
    server.stop();
}

#[test]
fn an_upgrade_that_expects_continue_gets_it_first() {
    let server = Running::start_handler(on_loopback(), Echo);
    let mut client = Client::connect(server.address);
    client.send(
        "GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nConnection: Upgrade\r\n\
         Upgrade: echo\r\n\r\n",
    );
    assert_eq!(client.head().expect("a response").status, 100);
    assert_eq!(client.head().expect("a response").status, 101);
    server.stop();
}

#[test]
fn connect_becomes_a_tunnel_with_a_2xx() {
    let server = Running::start_handler(on_loopback(), Echo);
    for head in [
        "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
        "CONNECT a:1 HTTP/1.0\r\n\r\n",
    ] {
        let mut client = Client::connect(server.address);
        client.send(format!("{head}hello"));
        let response = client.head().expect("a response");
        let framing = [
            "upgrade",
            "connection",
            "content-length",
            "transfer-encoding",
        ];
        assert_eq!(response.status, 200);
        assert!(framing.iter().all(|name| response.field(name).is_none()));
        let mut back = [0; 5];
        client.read_exact(&mut back);
        assert_eq!(&back, b"hello");
    }
    server.stop();
}

/// What follows a CONNECT may be meant for the tunnel: it is never read as a request.
#[test]
fn a_refused_connect_closes() {
    let refused = |server: Running, status: u16| {
        let mut client = Client::connect(server.address);
        client.send(format!(
            "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n{}",
            get("/")
        ));
        let response = client.response();
        assert_eq!(response.status, status);
        assert_eq!(response.field("connection"), Some("close"));
        assert!(client.is_at_end());
        server.stop();
    };
    let page = |_: &Request<'_>| Response::text("a page");
    refused(Running::start(on_loopback(), page), 501);
    let router = Router::new().get("/", page);
    refused(Running::start_handler(on_loopback(), router), 501);
    let router = Router::new().any("/", page);
    refused(Running::start_handler(on_loopback(), router), 404);
    let router = Router::new().fallback(page);
    refused(Running::start_handler(on_loopback(), router), 501);
}
