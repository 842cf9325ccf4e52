//! Bodies that stay on their thread, and bodies of frames, over real sockets.

mod loopback;

use core::task::Poll;
use core::time::Duration;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use coldstart::handler::{Outcome, WhenHalfClosed};
use coldstart::message::{Frame, LocalBody, Trailers};
use coldstart::server::ServerEvent;
use coldstart::{Body, Bytes, Request, Response, Status, blocking, sleep, yield_now};
use loopback::gate::{Dropped, Gate};
use loopback::server::{Running, on_loopback};
use loopback::{Client, PATIENCE, eventually, get};

/// Three letters, then trailers, an error, or a panic. What it counts with is not `Send`.
#[expect(clippy::panic, reason = "one of them is meant to panic")]
fn letters(path: &str) -> LocalBody {
    let sent = Rc::new(Cell::new(0_u8));
    let of_writer = Rc::clone(&sent);
    let next = move || {
        sent.set(sent.get() + 1);
        sent.get()
    };
    let letter = |number: u8| Bytes::from(vec![b'a' + number - 1]);
    let fails = path.to_owned();
    match path.rsplit('/').next().unwrap_or_default() {
        "polled" => LocalBody::poll_fn(move |_| {
            let number = next();
            Poll::Ready((number <= 3).then(|| Ok::<_, ()>(letter(number))))
        }),
        "written" => LocalBody::bounded_writer(1, async move |out| {
            for letter in ["a", "b", "c"] {
                out.send(letter).await?;
                of_writer.set(of_writer.get() + 1);
            }
            assert_eq!(of_writer.get(), 3, "sent");
            Ok(())
        }),
        "short" => LocalBody::writer(async |out| Ok(out.send("abc").await?)).with_len(4),
        "long" => LocalBody::writer(async |out| Ok(out.send("abc").await?)).with_len(2),
        "exact" => LocalBody::poll_frames(move |_| {
            Poll::Ready(match next() {
                number @ 1..=3 => Some(Ok::<_, ()>(Frame::Data(letter(number)))),
                // Data that is none, as bodies of other crates may have it.
                4 => Some(Ok(Frame::Data(Bytes::new()))),
                _ => None,
            })
        })
        .with_len(3),
        _ => LocalBody::poll_frames(move |_| {
            Poll::Ready(match (next(), fails.as_str()) {
                (number @ 1..=3, _) => Some(Ok(Frame::Data(letter(number)))),
                (_, "/value/error") => Some(Err("lost")),
                (_, "/value/panic") => panic!("in the body"),
                (4, _) => Some(Ok(Frame::Trailers(Trailers::new().field("x-sum", "abc")))),
                _ => panic!("polled after its end"),
            })
        }),
    }
}

/// An outcome with such a body: a value, or from a future.
fn respond(request: &Request<'_>) -> Outcome {
    let path = request.path().to_owned();
    let local = move || {
        let response = Response::text("replaced").header("trailer", "x-sum");
        Outcome::local(response, letters(&path))
    };
    match request.path().split('/').nth(1) {
        Some("ready") => Outcome::future(async move { local() }),
        Some("parked") => Outcome::future(async move {
            yield_now().await;
            local()
        }),
        Some("nested") => Outcome::future(async move {
            yield_now().await;
            Outcome::informed(async move |informer| {
                informer.proceed();
                yield_now().await;
                Outcome::future(async move {
                    sleep(Duration::from_millis(1)).await;
                    local()
                })
            })
        }),
        _ => local(),
    }
}

#[test]
fn a_local_body_reaches_its_peer_from_a_value_and_from_futures() {
    let server = Running::start(on_loopback(), respond);
    for how in ["value", "ready", "parked", "nested"] {
        let mut client = Client::connect(server.address);
        for what in ["polled", "written", "framed", "exact"] {
            let path = format!("/{how}/{what}");
            client.send(get(&path));
            let head = client.head().expect("a head");
            if what == "exact" {
                assert_eq!(head.field("content-length"), Some("3"), "{path}");
                let mut body = [0; 3];
                client.read_exact(&mut body);
                assert_eq!(&body, b"abc", "{path}");
            } else {
                assert_eq!(head.field("transfer-encoding"), Some("chunked"), "{path}");
                let end = if what == "framed" {
                    "x-sum: abc\r\n"
                } else {
                    ""
                };
                for letter in ["a", "b", "c"] {
                    expect(&mut client, &format!("1\r\n{letter}\r\n"));
                }
                expect(&mut client, &format!("0\r\n{end}\r\n"));
            }
        }
        client.send(format!("GET /{how}/framed HTTP/1.0\r\n\r\n"));
        let received = client.rest().expect("no reset");
        assert!(received.ends_with(b"\r\n\r\nabc"), "{how}: {received:?}");
    }
    server.stop();
}

fn expect(client: &mut Client, bytes: &str) {
    let mut received = vec![0; bytes.len()];
    client.read_exact(&mut received);
    assert_eq!(String::from_utf8_lossy(&received), bytes, "next");
}

#[test]
fn a_local_body_that_fails_is_cut_and_reported_on_the_loop_and_on_a_pool() {
    let mut pool = blocking(respond, 1);
    let wrong = Some(ServerEvent::BodyLengthWrong);
    let on_loop = Running::start(on_loopback(), respond);
    let on_pool = Running::start(on_loopback(), move |request: &Request<'_>| {
        coldstart::Handler::call(&mut pool, request)
    });
    for (server, panicked) in [
        (&on_loop, Some(ServerEvent::HandlerPanicked)),
        // The panic hook reports those of other threads.
        (&on_pool, None),
    ] {
        for (path, event) in [
            ("/value/error", None),
            ("/value/panic", panicked),
            ("/value/short", wrong),
            ("/value/long", wrong),
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
    }
    on_loop.stop();
    on_pool.stop();
}

#[test]
fn a_response_without_a_body_polls_none_and_drops_it() {
    let (dropped_in, dropped) = channel();
    let server = Running::start(on_loopback(), move |request: &Request<'_>| {
        let alive = Rc::new(Dropped(dropped_in.clone()));
        let body = LocalBody::poll_fn(move |_| -> Poll<Option<Result<Bytes, ()>>> {
            let _ = &alive;
            panic!("it is polled")
        });
        let response = match request.path() {
            "/none" => Response::new(Status::NO_CONTENT),
            "/invalid" => Response::text("").header("x-a", String::from("a\r\nb: c")),
            _ => Response::text(""),
        };
        Outcome::local(response, body.with_len(7))
    });
    let mut client = Client::connect(server.address);
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = client.head().expect("a head");
    assert_eq!(head.field("content-length"), Some("7"));
    dropped.recv_timeout(PATIENCE).expect("it is dropped");
    assert_eq!(client.request(get("/none")).status, 204);
    dropped.recv_timeout(PATIENCE).expect("it is dropped");
    assert_eq!(client.request(get("/invalid")).status, 500);
    dropped.recv_timeout(PATIENCE).expect("it is dropped");
    server.stop();
}

/// A body that sends its thread's name each time that the gate opens, and what says that it is dropped.
fn waiting(gate: Gate, alive: Rc<Dropped>) -> LocalBody {
    LocalBody::writer(async move |out| {
        let _alive = alive;
        for _ in 0..2 {
            gate.pass().await;
            let thread = thread::current();
            out.send(thread.name().unwrap_or("no name").to_owned())
                .await?;
        }
        Ok(())
    })
}

/// What is to become of a half-closed peer is said by what a future yields.
fn waits(path: &str, gate: &Gate, dropped: &Sender<()>) -> Outcome {
    if path.starts_with("/value") {
        return Response::text("at once").into();
    }
    let body = waiting(gate.clone(), Rc::new(Dropped(dropped.clone())));
    let local = Outcome::local(Response::text(""), body);
    match path {
        "/cancel" => Outcome::future(async move {
            yield_now().await;
            local.when_half_closed(WhenHalfClosed::Cancel)
        }),
        _ => local,
    }
}

#[test]
fn a_local_body_waits_for_another_thread_while_others_are_served_and_a_stop_waits_for_it() {
    let (gate, (dropped_in, dropped)) = (Gate::default(), channel());
    let opened = gate.clone();
    let server = Running::start(on_loopback(), move |request: &Request<'_>| {
        waits(request.path(), &gate, &dropped_in)
    });
    let mut client = Client::connect(server.address);
    client.send(get("/wait"));
    client.head().expect("a head");
    let mut other = Client::connect(server.address);
    assert_eq!(other.request(get("/value")).text(), "at once");
    opened.open();
    assert!(client.chunk().expect("a chunk").is_some());
    server.begin_stop();
    eventually("it drains", || {
        server
            .events
            .try_iter()
            .any(|event| matches!(event, ServerEvent::Draining(_)))
    });
    opened.open();
    client.chunked().expect("a whole body");
    dropped.recv_timeout(PATIENCE).expect("it is dropped");
    server.ended().expect("it has drained");
}

#[test]
fn a_local_body_is_dropped_when_its_peer_has_gone_and_on_a_half_close_if_that_cancels() {
    let (gate, (dropped_in, dropped)) = (Gate::default(), channel());
    let (opened, of_pool) = (gate.clone(), (gate.clone(), dropped_in.clone()));
    let pool = blocking(
        move |request| waits(request.path(), &of_pool.0, &of_pool.1),
        1,
    );
    let on_loop = Running::start(on_loopback(), move |request: &Request<'_>| {
        waits(request.path(), &gate, &dropped_in)
    });
    let on_pool = Running::start_handler(on_loopback(), pool);
    // The second request to the pool needs the thread that sends the body of the first.
    for (server, path) in [
        (&on_loop, "/"),
        (&on_loop, "/cancel"),
        (&on_pool, "/"),
        (&on_pool, "/"),
    ] {
        let mut client = Client::connect(server.address);
        client.send(get(path));
        client.head().expect("a head");
        if path == "/cancel" {
            client.shut_down_output();
            let rest = client.rest();
            assert!(rest.is_ok_and(|rest| rest.is_empty()), "it is cut");
        } else {
            opened.open();
            // With bytes unread, it is reset when it is closed.
            assert_eq!(client.stream().peek(&mut [0]).expect("a chunk"), 1);
        }
        drop(client);
        dropped.recv_timeout(PATIENCE).expect("it is dropped");
    }
    on_loop.stop();
    on_pool.stop();
}

#[test]
fn a_thread_of_a_pool_sends_the_local_body_that_it_has_made() {
    let (gate, (dropped_in, dropped)) = (Gate::default(), channel());
    let opened = gate.clone();
    let pool = blocking(
        move |request| match request.path() {
            "/wait" => waits(request.path(), &gate, &dropped_in),
            _ => respond(request),
        },
        1,
    );
    let server = Running::start_handler(on_loopback(), pool);
    let mut client = Client::connect(server.address);
    client.send(get("/wait"));
    client.head().expect("a head");
    for _ in 0..2 {
        opened.open();
        assert_eq!(
            client.chunk().expect("a chunk").as_deref(),
            Some(&b"handler"[..])
        );
    }
    assert_eq!(client.chunk().expect("the end"), None);
    dropped.recv_timeout(PATIENCE).expect("it is dropped");
    client.send(get("/value/exact"));
    assert_eq!(client.response().text(), "abc");
    client.send("GET /nested/framed HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let rest = client.rest().expect("no reset");
    assert!(rest.ends_with(b"0\r\nx-sum: abc\r\n\r\n"), "{rest:?}");
    server.stop();
}

#[test]
fn frames_of_a_body_that_is_send_reach_the_peer_with_their_trailers() {
    let server = Running::start(on_loopback(), |request: &Request<'_>| {
        let mut frames = vec![
            Frame::Trailers(Trailers::new().field("x-sum", "abc")),
            Frame::Data(Bytes::from("c")),
            Frame::Data(Bytes::from("ab")),
        ];
        let body = Body::poll_frames(move |_| Poll::Ready(frames.pop().map(Ok::<_, ()>)));
        match request.path() {
            "/length" => Response::text(body.with_len(3)),
            _ => Response::text(body),
        }
    });
    let te = "Connection: close\r\nTE: trailers\r\n";
    for (path, fields, end) in [
        ("/", te, "2\r\nab\r\n1\r\nc\r\n0\r\nx-sum: abc\r\n\r\n"),
        (
            "/",
            "Connection: close\r\n",
            "2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
        ),
        ("/length", te, "\r\n\r\nabc"),
    ] {
        let mut client = Client::connect(server.address);
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        let received = client.rest().expect("no reset");
        let received = String::from_utf8_lossy(&received);
        assert!(received.ends_with(end), "{path}: {received}");
    }
    eventually("the trailers that have no place are reported", || {
        server
            .events
            .try_iter()
            .any(|event| event == ServerEvent::FieldsLeftOut(1))
    });
    server.stop();
}
