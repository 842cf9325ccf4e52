//! What handlers learn of the other end of their connection.

mod loopback;

use coldstart::handler::{Accept, incoming};
use coldstart::message::Head;
use coldstart::{Request, Response, Router, blocking};
use loopback::server::{Running, on_loopback};
use loopback::{Client, get};

fn show(request: &Request<'_>) -> String {
    format!("{:?}", request.peer_address())
}

#[test]
fn each_kind_of_handler_knows_the_address_of_its_peer() {
    let pool = blocking(show, 1);
    let respond = |head: &Head<'_>| {
        let text = format!("{:?}", head.peer_address());
        Accept::Respond(Response::text(text).into())
    };
    let router = Router::new()
        .get("/sync", show)
        .get("/owned", |request: &Request<'_>| {
            let request = request.to_owned();
            async move { show(&request.as_request()) }
        })
        .get("/pool", move |request| pool.respond(request))
        .get("/accept", show)
        .accept("GET", "/accept", respond)
        .post("/buffered", show)
        .post_incoming("/pulled", |head, mut body| {
            let address = head.peer_address();
            async move {
                let body = body.collect(9).await;
                body.map(|_| Response::text(format!("{address:?}")))
            }
        });
    let server = Running::start_handler(on_loopback(), router);
    let mut client = Client::connect(server.address);
    let expected = format!("{:?}", client.stream().local_addr().ok());
    for path in ["/sync", "/owned", "/pool", "/accept"] {
        assert_eq!(client.request(get(path)).text(), expected, "{path}");
    }
    for path in ["/buffered", "/pulled"] {
        // The server has read the first chunk before the rest is there, so that it keeps the head.
        client.send(format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"
        ));
        assert_eq!(client.head().expect("a head").status, 100);
        client.send("1\r\na\r\n0\r\n\r\n");
        assert_eq!(client.response().text(), expected, "{path}");
    }
    server.stop();
}

#[test]
fn each_peer_behind_the_same_descriptor_has_an_address_of_its_own() {
    let handler = incoming(|head, _| format!("{:?}", head.peer_address()));
    let server = Running::start_handler(on_loopback(), handler);
    for _ in 0..3 {
        let mut client = Client::connect(server.address);
        let own = format!("{:?}", client.stream().local_addr().ok());
        let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        assert_eq!(client.request(request).text(), own);
    }
    server.stop();
}
