//! Bodies that are polled on the loop of their connection, over real sockets.

mod loopback;

use core::convert::Infallible;
use core::future::pending;
use core::task::Poll;
use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;

use coldstart::message::{BodyWriter, ServerSentEvent, Trailers};
use coldstart::server::ServerEvent;
use coldstart::{Body, Bytes, Request, Response};
use loopback::gate::{Dropped, Gate};
use loopback::server::{Running, on_loopback};
use loopback::{Client, PATIENCE, eventually, get};

#[test]
fn a_writer_waits_for_another_thread_while_others_are_served() {
    let gate = Gate::default();
    let opened = gate.clone();
    let server = Running::start(on_loopback(), move |request: &Request<'_>| {
        if request.path() != "/wait" {
            return Response::text("at once");
        }
        let gate = gate.clone();
        Response::text(Body::writer(async move |out| {
            for number in 0..3 {
                gate.pass().await;
                out.send(format!("{number} ")).await?;
            }
            Ok(())
        }))
    });
    let mut waiting = Client::connect(server.address);
    waiting.send(get("/wait") + &get("/"));
    for _ in 0..3 {
        let mut other = Client::connect(server.address);
        assert_eq!(other.request(get("/")).text(), "at once");
        opened.open();
    }
    waiting.head().expect("a head");
    assert_eq!(waiting.chunked().expect("a whole body"), b"0 1 2 ");
    assert_eq!(waiting.response().text(), "at once");
    server.stop();
}

#[test]
fn a_body_goes_on_after_more_empty_pieces_than_one_turn_handles() {
    let server = Running::start(on_loopback(), |_: &Request<'_>| {
        let mut empty_left = 999;
        Response::text(Body::poll_fn(move |_| {
            let left = empty_left;
            empty_left -= 1;
            Poll::Ready(match left {
                1.. => Some(Ok::<_, Infallible>(Bytes::new())),
                0 => Some(Ok(Bytes::from_static(b"the end"))),
                _ => None,
            })
        }))
    });
    let mut client = Client::connect(server.address);
    client.send(get("/"));
    client.head().expect("a head");
    assert_eq!(client.chunked().expect("a whole body"), b"the end");
    server.stop();
}

#[test]
fn a_body_of_any_size_is_sent_as_the_peer_takes_it() {
    const PIECE_LEN: usize = 10_000;
    const PIECES: usize = 2_000;
    let piece = |number: usize| vec![b'a' + u8::try_from(number % 26).unwrap_or(0); PIECE_LEN];
    let server = Running::start(on_loopback(), move |request: &Request<'_>| {
        let written = Body::writer(async move |out| {
            for number in 0..PIECES {
                out.send(piece(number)).await?;
            }
            Ok(())
        });
        let mut numbers = 0..PIECES;
        let polled = Body::poll_fn(move |_| {
            let piece = numbers
                .next()
                .map(|number| Ok::<_, ()>(piece(number).into()));
            Poll::Ready(piece)
        });
        match request.path() {
            "/written" => Response::bytes(written),
            "/polled" => Response::bytes(polled),
            _ => Response::bytes(written.with_len((PIECE_LEN * PIECES) as u64)),
        }
    });
    let mut client = Client::connect(server.address);
    let expected: Vec<u8> = (0..PIECES).flat_map(piece).collect();
    for path in ["/written", "/polled", "/announced"] {
        client.send(get(path));
        let response = client.head().expect("a head");
        let body = if path == "/announced" {
            assert_eq!(response.field("content-length"), Some("20000000"));
            let mut body = vec![0; expected.len()];
            client.read_exact(&mut body);
            body
        } else {
            client.chunked().expect("a whole body")
        };
        assert!(body == expected, "{path}");
    }
    server.stop();
}

#[test]
fn no_future_is_made_for_a_response_without_a_body() {
    let made = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&made);
    let server = Running::start(on_loopback(), move |request: &Request<'_>| {
        let counted = Arc::clone(&counted);
        let body = Body::writer(async move |out: BodyWriter| {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok(out.send("abc").await?)
        });
        match request.path() {
            "/none" => Response::new(coldstart::Status::NO_CONTENT).body(body),
            "/empty" => Response::text(body.with_len(0)),
            _ => Response::text(body),
        }
    });
    let mut client = Client::connect(server.address);
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = client.head().expect("a head");
    assert_eq!(head.field("transfer-encoding"), Some("chunked"));
    assert_eq!(client.request(get("/none")).status, 204);
    assert_eq!(client.request(get("/empty")).text(), "");
    assert_eq!(made.load(Ordering::Relaxed), 0);
    client.send(get("/"));
    client.head().expect("a head");
    assert_eq!(client.chunked().expect("a whole body"), b"abc");
    assert_eq!(made.load(Ordering::Relaxed), 1);
    server.stop();
}

#[test]
fn a_body_that_fails_is_cut_and_reported_where_nobody_else_does() {
    let server = Running::start(on_loopback(), move |request: &Request<'_>| {
        let path = request.path().to_owned();
        let announced = path.starts_with("/length");
        let body = Body::writer(async move |out: BodyWriter| {
            out.send("abc").await?;
            match path.as_str() {
                "/error" => Err("lost".into()),
                "/panic" => panic!("in the body"),
                "/dropped" => {
                    drop(out);
                    pending().await
                }
                "/length/long" => Ok(out.send("def").await?),
                _ => Ok(()),
            }
        });
        Response::text(if announced { body.with_len(5) } else { body })
    });
    let wrong = Some(ServerEvent::BodyLengthWrong);
    for (path, event) in [
        ("/error", None),
        ("/panic", Some(ServerEvent::HandlerPanicked)),
        ("/dropped", None),
        ("/length/short", wrong),
        ("/length/long", wrong),
    ] {
        let mut client = Client::connect(server.address);
        client.send(get(path) + &get("/next"));
        let received = client.rest().expect("no reset");
        let received = String::from_utf8_lossy(&received);
        assert_eq!(received.matches("HTTP/1.1").count(), 1, "{path}");
        assert!(!received.ends_with("0\r\n\r\n"), "{path}: {received}");
        if let Some(event) = event {
            eventually("it is reported", || {
                server.events.try_iter().any(|reported| reported == event)
            });
        }
    }
    server.stop();
}

#[test]
fn the_code_of_a_body_is_dropped_when_its_peer_has_gone() {
    let (dropped_in, dropped) = channel();
    let server = Running::start(on_loopback(), move |request: &Request<'_>| {
        if request.path() == "/value" {
            return Response::text("unread");
        }
        let alive = Dropped(dropped_in.clone());
        Response::bytes(if request.path() == "/polled" {
            Body::poll_fn(move |_| {
                let _ = &alive;
                Poll::<Option<Result<Bytes, ()>>>::Pending
            })
        } else {
            Body::writer(async move |out| {
                let _alive = alive;
                loop {
                    out.send(vec![0; 100_000]).await?;
                }
            })
        })
    });
    for path in ["/polled", "/written"] {
        let client = Client::connect(server.address);
        client.send(get("/value") + &get(path));
        // With bytes unread, it is reset when it is closed.
        let peeked = client.stream().peek(&mut [0]);
        assert_eq!(peeked.expect("the first response"), 1);
        drop(client);
        dropped.recv_timeout(PATIENCE).expect("it is dropped");
    }
    server.stop();
}

#[test]
fn an_old_peer_reads_a_body_to_the_end_of_the_connection() {
    let server = Running::start(on_loopback(), |_: &Request<'_>| {
        Response::text(Body::writer(async |out| Ok(out.send("abc").await?)))
    });
    let mut client = Client::connect(server.address);
    client.send("GET / HTTP/1.0\r\n\r\n");
    let received = client.rest().expect("no reset");
    assert!(received.ends_with(b"\r\n\r\nabc"), "{received:?}");
    server.stop();
}

/// A response with two trailers, and one that must not be one.
fn respond_with_trailers(request: &Request<'_>) -> Response {
    let trailers = || {
        Trailers::new()
            .field("x-sum", "abc")
            .field("x-time", 7_u64)
            .field("content-type", "text/html")
    };
    let path = request.path();
    if path == "/channel" {
        let (sender, body) = Body::channel(99);
        sender.finish_with(trailers());
        return Response::text(body);
    }
    let body = Body::writer(async move |out| {
        out.send("abc").await?;
        out.finish_with(trailers());
        Ok(())
    });
    match path {
        "/length" => Response::text(body.with_len(3)),
        "/announced" => Response::text(body).header("Trailer", "x-other, X-Time"),
        _ => Response::text(body),
    }
}

#[test]
fn trailers_follow_chunks_if_the_peer_keeps_them_or_the_response_announces_them() {
    let (te, none) = ("TE: trailers\r\n", "");
    for (path, version, fields, end, left_out) in [
        ("/", 1, te, "0\r\nx-sum: abc\r\nx-time: 7\r\n\r\n", 1),
        ("/channel", 1, te, "0\r\nx-sum: abc\r\nx-time: 7\r\n\r\n", 1),
        ("/", 1, none, "abc\r\n0\r\n\r\n", 1),
        ("/announced", 1, none, "abc\r\n0\r\nx-time: 7\r\n\r\n", 1),
        ("/announced", 0, te, "\r\n\r\nabc", 1),
        ("/length", 1, te, "\r\n\r\nabc", 3),
    ] {
        // One report of a kind is enough for a while, so each case has a server of its own.
        let server = Running::start(on_loopback(), respond_with_trailers);
        let mut client = Client::connect(server.address);
        let close = "Connection: close\r\n";
        client.send(format!(
            "GET {path} HTTP/1.{version}\r\nHost: a\r\n{close}{fields}\r\n"
        ));
        let received = client.rest().expect("no reset");
        let received = String::from_utf8_lossy(&received);
        assert!(received.ends_with(end), "{path}: {received}");
        assert_eq!(
            received.contains("\r\nTrailer: x-other, X-Time\r\n"),
            (path, version) == ("/announced", 1)
        );
        let left_out = ServerEvent::FieldsLeftOut(left_out);
        eventually("it is reported", || {
            server.events.try_iter().any(|event| event == left_out)
        });
        server.stop();
    }
}

#[test]
fn a_stream_of_events_has_a_heartbeat_while_it_waits_and_resumes_where_it_was() {
    let gate = Gate::default();
    let opened = gate.clone();
    let server = Running::start(on_loopback(), move |request: &Request<'_>| {
        let gate = gate.clone();
        let last = request.last_event_id().unwrap_or("none").to_owned();
        Response::events(async move |events| {
            events.heartbeat(Duration::from_millis(10));
            gate.pass().await;
            let event = ServerSentEvent::new(format!("after {last}"));
            Ok(events.send(&event).await?)
        })
    });
    let mut client = Client::connect(server.address);
    client.send("GET / HTTP/1.1\r\nHost: a\r\nLast-Event-ID: 7\r\n\r\n");
    let head = client.head().expect("a head");
    assert_eq!(head.field("content-type"), Some("text/event-stream"));
    for _ in 0..2 {
        let heartbeat = client.chunk().expect("a chunk");
        assert_eq!(heartbeat.as_deref(), Some(&b":\n\n"[..]));
    }
    opened.open();
    let rest = client.chunked().expect("a whole body");
    let rest = String::from_utf8_lossy(&rest).replace(":\n\n", "");
    assert_eq!(rest, "data: after 7\n\n");
    server.stop();
}
