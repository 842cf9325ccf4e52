//! Interim responses (RFC 9110 §15.2): what comes before a response, and to whom.
#![expect(clippy::expect_used, reason = "a failed set-up must fail the test")]

mod loopback;

use core::future::poll_fn;
use core::task::Poll;

use coldstart::handler::{Informer, Outcome, incoming};
use coldstart::message::Incoming;
use coldstart::{Request, Response, Router, blocking};
use loopback::server::{Running, on_loopback};
use loopback::{Client, get};

const LINK: &str = "</a.css>; rel=preload";

/// Waits for one turn of the loop.
async fn turn() {
    let mut is_woken = false;
    poll_fn(|context| {
        if core::mem::replace(&mut is_woken, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// What the future does after each hint.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Wait,
    GoOn,
}

async fn hint(informer: Informer, then: Then) -> Response {
    for number in ["1", "2"] {
        let fields = [
            ("link", LINK),
            ("x-number", number),
            ("content-length", "9"),
        ];
        informer.early_hints(fields).expect("they are valid");
        if then == Then::Wait {
            turn().await;
        }
    }
    Response::text("page")
}

fn hints(request: &Request<'_>) -> Outcome {
    let then = match request.path() {
        "/waits" => Then::Wait,
        _ => Then::GoOn,
    };
    Outcome::informed(move |informer| hint(informer, then))
}

fn hinted(number: &str) -> String {
    format!("HTTP/1.1 103 Early Hints\r\nlink: {LINK}\r\nx-number: {number}\r\n\r\n")
}

#[test]
fn early_hints_come_before_the_response_and_never_to_an_old_peer() {
    let of_pool = blocking(hints, 1);
    let router = Router::new()
        .get("/waits", hints)
        .get("/ready", hints)
        .get("/pool", move |request| of_pool.respond(request))
        .get("/none", |_| Outcome::informed(async |_| "page"));
    let server = Running::start_handler(on_loopback(), router);
    let mut client = Client::connect(server.address);
    for path in ["/waits", "/ready", "/waits"] {
        client.send(get(path));
        for number in ["1", "2"] {
            assert_eq!(
                client.head().expect("a head").head,
                hinted(number),
                "{path}"
            );
        }
        assert_eq!(client.response().text(), "page");
    }
    for path in ["/pool", "/none"] {
        assert_eq!(client.request(get(path)).status, 200, "{path}");
    }
    client.send(get("/waits").repeat(2));
    for _ in 0..2 {
        assert_eq!(client.head().expect("a head").status, 103);
        assert_eq!(client.head().expect("a head").status, 103);
        assert_eq!(client.response().text(), "page");
    }
    for path in ["/waits", "/ready"] {
        let mut old = Client::connect(server.address);
        let response = old.request(format!("GET {path} HTTP/1.0\r\n\r\n"));
        assert_eq!((response.status, response.text()), (200, "page".to_owned()));
    }
    server.stop();
}

#[test]
fn fields_that_are_none_are_an_error_and_send_nothing() {
    let server = Running::start(on_loopback(), |_: &Request<'_>| {
        Outcome::informed(async |informer| {
            let split = informer.early_hints([("link", "a\r\nb: c".to_owned())]);
            assert!(split.is_err(), "a line end");
            let nameless = informer.early_hints([(String::new(), "a")]);
            assert!(nameless.is_err(), "no name");
            "page"
        })
    });
    let mut client = Client::connect(server.address);
    assert_eq!(client.request(get("/")).text(), "page");
    server.stop();
}

#[test]
fn a_handler_has_its_peer_go_on_once_and_only_if_it_waits() {
    let handler = incoming(|_, mut body: Incoming| {
        Outcome::informed(async move |informer| {
            informer.proceed();
            informer.proceed();
            turn().await;
            let body = body.collect(9).await;
            body.map(Response::bytes)
        })
    });
    let server = Running::start_handler(on_loopback(), handler);
    let mut client = Client::connect(server.address);
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n";
    client.send(format!("{head}Expect: 100-continue\r\n\r\n"));
    assert_eq!(client.head().expect("a head").status, 100);
    client.send("abc");
    assert_eq!(client.response().text(), "abc");
    client.send(format!("{head}\r\n"));
    client.send("abc");
    assert_eq!(client.response().text(), "abc");
    server.stop();
}

#[test]
fn only_so_many_wait() {
    let server = Running::start(on_loopback(), |_: &Request<'_>| {
        Outcome::informed(async |informer| {
            for _ in 0..99 {
                informer.early_hints([("link", LINK)]).expect("valid");
            }
            "page"
        })
    });
    let mut client = Client::connect(server.address);
    client.send(get("/"));
    let mut count = 0;
    while client.head().expect("a head").status == 103 {
        count += 1;
    }
    assert_eq!(count, 16);
    server.stop();
}
