//! Services of any kind: readiness, errors, values that are not `Send`, bodies in both directions.

use core::cell::Cell;
use core::convert::Infallible;
use core::future::{Ready, ready};
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io;
use std::rc::Rc;
use std::sync::mpsc::channel;

use bytes::Bytes;
use coldstart::message::IncomingError;
use coldstart::{Function, TestRequest};
use coldstart_tower::{Incoming, RequestContext, ServiceHandler};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Full};
use loopback::gate::{Dropped, Gate};
use loopback::server::{Running, on_loopback};
use loopback::{Client, PATIENCE, eventually, get, pattern};
use tower::{Service, service_fn};

#[path = "../../tests/loopback/mod.rs"]
mod loopback;

type Error = Box<dyn core::error::Error + Send + Sync>;

fn text(text: &str) -> Response<Full<Bytes>> {
    Response::new(Full::new(Bytes::copy_from_slice(text.as_bytes())))
}

/// A body that a function yields.
struct FromFunction<F>(F);

impl<F> Body for FromFunction<F>
where
    F: FnMut(&mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> + Unpin,
{
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        (self.0)(context)
    }
}

#[test]
fn a_service_its_future_and_its_body_need_not_be_send() {
    let calls = Rc::new(Cell::new(0));
    let counted = Rc::clone(&calls);
    let service = service_fn(move |_: Request<Incoming>| {
        let calls = Rc::clone(&counted);
        async move {
            calls.set(calls.get() + 1);
            coldstart::yield_now().await;
            let mut left: usize = calls.get();
            let kept = Rc::clone(&calls);
            Ok::<_, Infallible>(Response::new(FromFunction(move |_: &mut Context<'_>| {
                let is_over = left == 0;
                left = left.saturating_sub(1);
                kept.set(kept.get());
                Poll::Ready((!is_over).then(|| Ok(Frame::data(Bytes::from_static(b"piece ")))))
            })))
        }
    });
    let mut handler = ServiceHandler::new(service);
    assert_eq!(
        TestRequest::get("/").run_handler(&mut handler).text(),
        "piece "
    );
    assert_eq!(
        TestRequest::get("/").run_handler(&mut handler).text(),
        "piece piece "
    );
    assert_eq!(calls.get(), 2);
}

/// A service that counts what becomes of it.
#[derive(Default)]
struct Counted {
    clones: Rc<Cell<usize>>,
    polls: Rc<Cell<usize>>,
    /// How often a poll has to come before it is ready.
    delay: usize,
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        self.clones.set(self.clones.get() + 1);
        let (clones, polls) = (Rc::clone(&self.clones), Rc::clone(&self.polls));
        let delay = self.delay;
        Self {
            clones,
            polls,
            delay,
        }
    }
}

impl Service<Request<Incoming>> for Counted {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.polls.set(self.polls.get() + 1);
        if self.delay == 0 {
            return Poll::Ready(Ok(()));
        }
        self.delay -= 1;
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn call(&mut self, _: Request<Incoming>) -> Self::Future {
        assert_eq!(self.delay, 0, "called before it was ready");
        ready(Ok(text("called")))
    }
}

#[test]
fn a_ready_service_is_called_without_a_clone() {
    let service = Counted::default();
    let (clones, polls) = (Rc::clone(&service.clones), Rc::clone(&service.polls));
    let mut handler = ServiceHandler::new(service);
    for request in [
        TestRequest::get("/"),
        TestRequest::post("/").body("abc"),
        TestRequest::post("/")
            .header("transfer-encoding", "chunked")
            .body("0\r\n\r\n"),
    ] {
        assert_eq!(request.run_handler(&mut handler).text(), "called");
    }
    assert_eq!((clones.get(), polls.get()), (0, 3));
}

#[test]
fn a_request_takes_along_the_service_that_it_waits_for() {
    let service = Counted {
        delay: 3,
        ..Counted::default()
    };
    let (clones, polls) = (Rc::clone(&service.clones), Rc::clone(&service.polls));
    let mut handler = ServiceHandler::new(service);
    assert_eq!(
        TestRequest::get("/").run_handler(&mut handler).text(),
        "called"
    );
    // The one that was polled is the one that is called; its clone has not been polled yet.
    assert_eq!((clones.get(), polls.get()), (1, 4));
}

#[test]
fn an_error_fails_its_request_and_is_logged() {
    let failing = service_fn(
        async |request: Request<Incoming>| match request.uri().path() {
            "/" => Ok(text("fine")),
            _ => Err(Error::from(io::Error::other("out of paper"))),
        },
    );
    let mut handler = ServiceHandler::new(failing);
    assert_eq!(
        TestRequest::get("/").run_handler(&mut handler).text(),
        "fine"
    );
    let response = TestRequest::get("/fail").run_handler(&mut handler);
    assert_eq!(
        (response.status().code(), response.header("x-fc-status")),
        (500, None)
    );
    let mut function = Function::new().http_handler(handler).handler();
    let response = TestRequest::get("/fail").run_handler(&mut function);
    assert_eq!(
        (response.status().code(), response.header("x-fc-status")),
        (500, Some("404"))
    );
    assert!(
        !response.text().contains("paper"),
        "the peer does not see it"
    );
}

#[test]
fn a_response_that_is_none_fails_its_request() {
    let service = service_fn(async |_: Request<Incoming>| {
        let mut response = text("");
        *response.status_mut() = http::StatusCode::SWITCHING_PROTOCOLS;
        Ok::<_, Infallible>(response)
    });
    let response = TestRequest::get("/").run_handler(&mut ServiceHandler::new(service));
    assert_eq!(response.status(), 500);
}

#[test]
fn trailers_pass_in_both_directions() {
    let service = service_fn(async |request: Request<Incoming>| {
        let collected = request.into_body().collect().await?;
        let sum = collected
            .trailers()
            .and_then(|fields| fields.get("sum"))
            .cloned();
        let mut fields = HeaderMap::new();
        fields.insert("sum-again", sum.unwrap_or(HeaderValue::from_static("none")));
        let body = Full::new(collected.to_bytes()).with_trailers(async { Some(Ok(fields)) });
        let mut response = Response::new(body);
        response
            .headers_mut()
            .insert("trailer", HeaderValue::from_static("sum-again"));
        Ok::<_, IncomingError>(response)
    });
    let request = TestRequest::post("/").header("transfer-encoding", "chunked");
    let request = request.body("3\r\nabc\r\n0\r\nsum: 9\r\n\r\n");
    let mut response = request.run_handler(&mut ServiceHandler::new(service));
    assert_eq!(response.next_piece().as_deref(), Some(&b"abc"[..]));
    assert_eq!(response.next_piece(), None);
    assert_eq!(response.trailer("sum-again"), Some("9"));
}

#[test]
fn head_has_the_length_that_is_announced_or_none() {
    let service = service_fn(async |request: Request<Incoming>| {
        let mut response = text(if request.uri().path() == "/full" {
            "hello"
        } else {
            ""
        });
        if request.uri().path() == "/announced" {
            response.headers_mut().insert("content-length", 1234.into());
        }
        Ok::<_, Infallible>(response)
    });
    let server = Running::start_handler(on_loopback(), ServiceHandler::new(service));
    let mut client = Client::connect(server.address);
    for (path, len) in [
        ("/full", Some("5")),
        ("/announced", Some("1234")),
        ("/stripped", None),
    ] {
        client.send(format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(
            client.head().expect("a head").field("content-length"),
            len,
            "{path}"
        );
    }
    assert_eq!(client.request(get("/full")).text(), "hello");
    server.stop();
}

#[test]
fn an_upload_that_is_not_read_makes_its_peer_wait() {
    let gate = Gate::default();
    let opened = gate.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let gate = gate.clone();
        async move {
            let mut body = request.into_body();
            body.frame().await;
            gate.pass().await;
            let mut len = 0;
            while let Some(frame) = body.frame().await {
                len += frame?.into_data().map_or(0, |bytes| bytes.len());
            }
            Ok::<_, IncomingError>(text(&format!("{len} more")))
        }
    });
    let server = Running::start_handler(on_loopback(), ServiceHandler::new(service));
    let mut client = Client::connect(server.address);
    let body = pattern(1 << 20);
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
        64 << 20
    ));
    // More than fits into the window and the sockets: a write must block.
    client.stream().set_nonblocking(true).expect("a socket");
    let mut sent = 0;
    let is_full = |sent: &mut usize| {
        use std::io::Write as _;
        match client.stream().write(&body) {
            Ok(len) => {
                *sent += len;
                false
            }
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        }
    };
    eventually("the peer cannot write any more", || is_full(&mut sent));
    assert!(sent < 64 << 20, "{sent} bytes were taken");
    client.stream().set_nonblocking(false).expect("a socket");
    opened.open();
    while sent < 64 << 20 {
        let part = body.len().min((64 << 20) - sent);
        client.send(&body[..part]);
        sent += part;
    }
    assert_eq!(client.response().status, 200);
    server.stop();
}

#[test]
fn a_body_whose_peer_has_gone_is_dropped() {
    let (dropped_in, dropped) = channel();
    let service = service_fn(move |_: Request<Incoming>| {
        let kept = Dropped(dropped_in.clone());
        let body = FromFunction(move |context: &mut Context<'_>| {
            let _ = &kept;
            context.waker().wake_by_ref();
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"more ")))))
        });
        ready(Ok::<_, Infallible>(Response::new(body)))
    });
    let server = Running::start_handler(on_loopback(), ServiceHandler::new(service));
    let mut client = Client::connect(server.address);
    client.send(get("/"));
    client.head().expect("a head");
    drop(client);
    dropped.recv_timeout(PATIENCE).expect("it is dropped");
    server.stop();
}

#[test]
fn a_peer_that_ends_its_side_has_gone() {
    // Without a body, and with one that is pulled.
    let whole = get("/");
    let pulled = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nabcde";
    for request in [whole.as_str(), pulled] {
        for has_response in [false, true] {
            let (dropped_in, dropped) = channel();
            let (called_in, called) = channel();
            let service = service_fn(move |_: Request<Incoming>| {
                let kept = Dropped(dropped_in.clone());
                called_in.send(()).expect("the test waits");
                async move {
                    if !has_response {
                        core::future::pending::<()>().await;
                    }
                    // It waits for something to say, and never says it.
                    let body = FromFunction(move |_: &mut Context<'_>| {
                        let _ = &kept;
                        Poll::Pending
                    });
                    Ok::<_, Infallible>(Response::new(body))
                }
            });
            let server = Running::start_handler(on_loopback(), ServiceHandler::new(service));
            let mut client = Client::connect(server.address);
            client.send(request);
            called.recv_timeout(PATIENCE).expect("it is called");
            if has_response {
                client.head().expect("a head");
            }
            client.shut_down_output();
            dropped.recv_timeout(PATIENCE).expect("it is dropped");
            server.stop();
        }
    }
}

#[test]
fn a_future_whose_peer_has_gone_is_dropped() {
    let (dropped_in, dropped) = channel();
    let (called_in, called) = channel();
    let service = service_fn(move |_: Request<Incoming>| {
        let kept = Dropped(dropped_in.clone());
        called_in.send(()).expect("the test waits");
        async move {
            core::future::pending::<()>().await;
            drop(kept);
            Ok::<_, Infallible>(text(""))
        }
    });
    let function = Function::new().health("/health");
    let handler = function.http_handler(ServiceHandler::new(service));
    let server = Running::start_handler(on_loopback(), handler.handler());
    let client = Client::connect(server.address);
    client.send(get("/health") + &get("/"));
    called.recv_timeout(PATIENCE).expect("it is called");
    // What it has not read resets the connection.
    client.stream().peek(&mut [0]).expect("a response");
    drop(client);
    dropped.recv_timeout(PATIENCE).expect("it is dropped");
    server.stop();
}

#[test]
fn an_error_of_a_body_cuts_its_response() {
    let service = service_fn(async |_: Request<Incoming>| {
        let mut frames = vec![
            Err("it broke"),
            Ok(Frame::data(Bytes::from_static(b"piece"))),
        ];
        let body = FromFunction(move |_: &mut Context<'_>| Poll::Ready(frames.pop()));
        Ok::<_, Infallible>(Response::new(body))
    });
    let server = Running::start_handler(on_loopback(), ServiceHandler::new(service));
    let mut client = Client::connect(server.address);
    client.send(get("/"));
    client.head().expect("a head");
    client.chunked().expect_err("it is cut");
    server.stop();
}

/// A body of a length that it does not keep.
struct Liar;

impl Body for Liar {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(5)
    }
}

#[test]
fn a_body_that_is_shorter_than_it_says_is_cut() {
    let service = service_fn(async |_: Request<Incoming>| Ok::<_, Infallible>(Response::new(Liar)));
    let server = Running::start_handler(on_loopback(), ServiceHandler::new(service));
    let mut client = Client::connect(server.address);
    client.send(get("/"));
    client.try_response().expect_err("it is cut");
    server.stop();
}

#[test]
fn a_target_that_is_no_uri_is_the_peers_mistake() {
    let service = service_fn(|_: Request<Incoming>| ready(Ok::<_, Infallible>(text("called"))));
    let server = Running::start_handler(on_loopback(), ServiceHandler::new(service));
    for byte in 0..=u8::MAX {
        let request = [
            b"GET /".as_slice(),
            &[byte],
            b" HTTP/1.1\r\nHost: a\r\n\r\n",
        ]
        .concat();
        let status = Client::connect(server.address).request(request).status;
        assert!([200, 400].contains(&status), "{byte}: {status}");
    }
    server.stop();
}

#[test]
fn the_context_of_a_request_shares_its_copy_of_the_head() {
    let service = service_fn(async |request: Request<Incoming>| {
        let place = |text: &[u8]| text.as_ptr() as usize;
        let theirs = place(request.headers()["x-fc-request-id"].as_bytes());
        let context = request.extensions().get::<RequestContext>();
        let context = context.expect("each request has one").as_context();
        let ours = context.request_id().map(|id| place(id.as_bytes()));
        Ok::<_, Infallible>(text(&(ours == Some(theirs)).to_string()))
    });
    let mut handler = ServiceHandler::new(service);
    for request in [
        TestRequest::get("/"),
        TestRequest::post("/")
            .header("transfer-encoding", "chunked")
            .body("0\r\n\r\n"),
    ] {
        let response = request
            .header("x-fc-request-id", "1-2-3")
            .run_handler(&mut handler);
        assert_eq!(response.text(), "true");
    }
}
