//! Peers that flood, hold and vanish, over loopback: the server stays up, stops on a signal, and lets others in.
#![expect(clippy::panic, reason = "values and observers of careless users panic")]

mod loopback;
#[path = "hostile/peer_gone.rs"]
mod peer_gone;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use coldstart::handler::{Accept, Demand, Outcome, Upgrade, Upload, WhenHalfClosed};
use coldstart::message::{EventSender, Head, PeerState, ServerSentEvent};
use coldstart::server::{Limits, Observer, ServerEvent};
use coldstart::{Body, Bytes, Handler, Request, Response, Router, Server};

use loopback::process::{Process, is_again};
use loopback::server::{Running, on_loopback};
use loopback::{Client, PATIENCE, eventually, get, outlast};

/// `bootstrap` on a free port, after these lines of a shell, with `arguments` after its own.
fn bootstrap_after(shell: &str, arguments: &str) -> (Process, SocketAddr) {
    Process::serve(|port| {
        let mut command = Command::new("sh");
        let script = format!("{shell}; exec \"$0\" --port {port} {arguments}");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_bootstrap")]);
        command
    })
}

#[test]
fn the_soft_limit_of_descriptors_is_raised_before_a_client_has_to_wait() {
    let (mut server, address) = bootstrap_after("ulimit -S -n 20", "");
    let mut clients: Vec<Client> = (0..40).map(|_| Client::connect(address)).collect();
    for client in &mut clients {
        assert_eq!(client.request(get("/healthz")).text(), "ok");
    }
    assert_eq!(server.stop(), Some(0));
    assert_eq!(server.line(), None, "there was no shortage to report");
}

#[test]
fn whoever_holds_idle_connections_shuts_nobody_out_where_idle_ones_are_evicted() {
    let (mut server, address) = bootstrap_after("ulimit -n 64", "--evict-idle");
    let silent: Vec<Client> = (0..100).map(|_| Client::connect(address)).collect();
    let mut fresh = Client::connect(address);
    assert_eq!(fresh.request(get("/healthz")).text(), "ok");
    drop(silent);
    assert_eq!(server.stop(), Some(0));
}

/// Each response shows that the loop has taken all who waited, in a turn in which there was no room for one more.
#[test]
fn a_newcomer_is_noticed_where_idle_ones_have_to_leave_for_each() {
    let out_of_descriptors = bootstrap_after("ulimit -n 64", "--evict-idle");
    let (_, short) = &out_of_descriptors;
    let limits = Limits::new().connections_max(3);
    let server = on_loopback().limits(limits).evict_idle();
    let full = Running::start(server, |_: &Request<'_>| "ok");
    for address in [*short, full.address] {
        let clients = (0..100).map(|_| {
            let mut client = Client::connect(address);
            assert_eq!(client.request(get("/healthz")).text(), "ok");
            client
        });
        assert_eq!(clients.collect::<Vec<Client>>().len(), 100);
    }
    full.stop();
    let (mut process, _) = out_of_descriptors;
    assert_eq!(process.stop(), Some(0));
}

#[test]
fn clients_that_reconnect_for_each_request_do_not_keep_a_server_that_stops() {
    let server = Running::start(on_loopback(), |request: &Request<'_>| {
        outlast(Duration::from_millis(20));
        Response::text(request.path().to_owned())
    });
    let address = server.address;
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    // Refused once the listener is closed.
                    let Ok(mut socket) = TcpStream::connect(address) else {
                        return;
                    };
                    drop(socket.write_all(get("/").as_ref()));
                    drop(socket.read(&mut [0; 512]));
                }
            });
        }
        outlast(Duration::from_millis(200));
        server.begin_stop();
        // It would take the drain's 10 seconds and more, had it no end of its own.
        let ended = server.ended();
        is_over.store(true, Ordering::Relaxed);
        ended.expect("the server ran without an error");
    });
}

#[test]
fn a_second_signal_ends_the_process_although_a_handler_blocks_the_loop() {
    if is_again() {
        let outcome = Server::new().port(0).run(|request: &Request<'_>| {
            eprintln!("blocking");
            outlast(PATIENCE);
            Response::text(request.path().to_owned())
        });
        return outcome.expect("the server serves");
    }
    let mut server =
        Process::again("a_second_signal_ends_the_process_although_a_handler_blocks_the_loop");
    let blocked = Client::connect(server.address());
    blocked.send(get("/"));
    assert_eq!(server.line().as_deref(), Some("blocking"));
    server.signal("TERM");
    server.signal("INT");
    // Whichever the kernel delivers second.
    let code = server.ended().code();
    assert!([Some(128 + 2), Some(128 + 15)].contains(&code), "{code:?}");
}

#[test]
fn a_second_server_of_a_process_serves_until_a_signal_of_its_own() {
    if is_again() {
        for _ in 0..2 {
            let server = Server::new().port(0);
            let outcome = server.run(|request: &Request<'_>| request.path().to_owned());
            outcome.expect("the server serves");
        }
        return;
    }
    let mut server =
        Process::again("a_second_server_of_a_process_serves_until_a_signal_of_its_own");
    for _ in 0..2 {
        let mut client = Client::connect(server.address());
        assert_eq!(client.request(get("/a")).text(), "/a");
        server.signal("TERM");
        assert!(client.is_at_end());
    }
    assert_eq!(server.ended().code(), Some(0));
}

#[test]
fn a_promise_sees_that_its_peer_has_half_closed_and_is_still_sent() {
    let (replies_in, replies) = channel();
    let server = Running::start(on_loopback(), move |_: &Request<'_>| {
        let (outcome, reply) = Outcome::promised();
        drop(replies_in.send(reply));
        outcome
    });
    let mut client = Client::connect(server.address);
    client.send(get("/"));
    let reply = replies.recv_timeout(PATIENCE).expect("a reply");
    assert_eq!(reply.peer(), PeerState::Open);
    client.shut_down_output();
    eventually("the reply sees it", || {
        reply.peer() == PeerState::HalfClosed
    });
    reply.complete("kept");
    assert_eq!(client.response().text(), "kept");
    server.stop();
}

#[test]
fn a_handler_may_take_a_half_closed_peer_for_gone() {
    let (replies_in, replies) = channel();
    let server = Running::start(on_loopback(), move |_: &Request<'_>| {
        let (outcome, reply) = Outcome::promised();
        drop(replies_in.send(reply));
        outcome.when_half_closed(WhenHalfClosed::Cancel)
    });
    let mut client = Client::connect(server.address);
    client.send(get("/"));
    let reply = replies.recv_timeout(PATIENCE).expect("a reply");
    client.shut_down_output();
    eventually("work for it can stop", || reply.is_peer_gone());
    assert!(client.is_at_end());
    server.stop();
}

#[test]
fn what_one_response_wants_of_a_half_closed_peer_is_not_wanted_of_the_next() {
    let (replies_in, replies) = channel();
    let server = Running::start(on_loopback(), move |request: &Request<'_>| {
        if request.path() == "/at-once" {
            return Outcome::from(Response::text("sent")).when_half_closed(WhenHalfClosed::Cancel);
        }
        let (outcome, reply) = Outcome::promised();
        drop(replies_in.send(reply));
        outcome
    });
    let mut client = Client::connect(server.address);
    // The second one waits in the session while the first is answered.
    client.send(get("/at-once") + &get("/later"));
    let reply = replies.recv_timeout(PATIENCE).expect("a reply");
    client.shut_down_output();
    // Otherwise it would be gone.
    eventually("the reply sees it", || reply.peer() != PeerState::Open);
    assert_eq!(reply.peer(), PeerState::HalfClosed);
    reply.complete("kept");
    assert_eq!(client.response().text(), "sent");
    assert_eq!(client.response().text(), "kept");
    server.stop();
}

#[test]
fn the_sender_of_a_stream_sees_that_its_peer_has_half_closed() {
    let (senders_in, senders) = channel();
    let server = Running::start(on_loopback(), move |_: &Request<'_>| {
        let (sender, body) = Body::channel(1024);
        drop(senders_in.send(sender));
        Response::bytes(body)
    });
    let mut client = Client::connect(server.address);
    client.send(get("/"));
    let sender = senders.recv_timeout(PATIENCE).expect("a sender");
    sender.send("first ").expect("the client is there");
    client.shut_down_output();
    eventually("the sender sees it", || {
        sender.peer() == PeerState::HalfClosed
    });
    sender.send("last").expect("the client reads on");
    sender.finish();
    assert_eq!(client.head().expect("a head").status, 200);
    assert_eq!(client.chunked().expect("all of it"), b"first last");
    server.stop();
}

/// Panics when it is dropped, as a value of a careless user may.
struct Bomb;

impl AsRef<[u8]> for Bomb {
    fn as_ref(&self) -> &[u8] {
        &[b'b'; 9_000]
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("a value of the user's panics when it is dropped");
    }
}

impl Upload for Bomb {
    fn on_piece(&mut self, _: &[u8]) -> Demand {
        Demand::More
    }

    fn on_end(self: Box<Self>) -> Outcome {
        Response::text("unreached").into()
    }
}

struct Careless;

impl Handler for Careless {
    fn accept(&mut self, head: &Head<'_>) -> Accept {
        match head.path() {
            "/upload" => Accept::Stream(Box::new(Bomb)),
            _ => Accept::Buffer,
        }
    }

    fn call(&mut self, request: &Request<'_>) -> Outcome {
        let response = match request.path() {
            "/body" => Response::bytes(Bytes::from_owner(Bomb)),
            "/promised" => {
                let (outcome, reply) = Outcome::promised();
                reply.complete(Bytes::from_owner(Bomb));
                return outcome;
            }
            "/payload" => std::panic::panic_any(Bomb),
            "/slow" => {
                outlast(Duration::from_millis(5));
                Response::text("/slow")
            }
            path => Response::text(path.to_owned()),
        };
        response.into()
    }
}

#[test]
fn a_value_that_panics_when_it_is_dropped_costs_its_own_connection_and_no_other() {
    let server = Running::start_handler(on_loopback(), Careless);
    let mut other = Client::connect(server.address);
    for path in ["/body", "/promised", "/payload"] {
        let client = Client::connect(server.address);
        client.send(get(path));
        // A HEAD drops the body unsent.
        client.send(get(path).replacen("GET", "HEAD", 1));
        assert_eq!(other.request(get("/well")).text(), "/well");
        drop(client);
        assert_eq!(other.request(get("/well")).text(), "/well");
    }
    let upload = Client::connect(server.address);
    upload.send("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc");
    drop(upload);
    assert_eq!(other.request(get("/well")).text(), "/well");
    server.stop();
}

#[test]
fn a_panic_takes_nothing_from_those_who_were_read_in_the_same_turn() {
    let server = Running::start_handler(on_loopback(), Careless);
    let mut clients: Vec<Client> = (0..12).map(|_| Client::connect(server.address)).collect();
    for round in 0..20 {
        let bomb = Client::connect(server.address);
        assert_eq!(clients[0].request(get("/well")).text(), "/well");
        // All of them are ready at once, after a handler that keeps the loop.
        clients[0].send(get("/slow"));
        bomb.send(get("/body").replacen("GET", "HEAD", 1));
        for client in &clients[1..] {
            client.send(get("/well"));
        }
        for client in &mut clients[1..] {
            assert_eq!(client.response().text(), "/well", "round {round}");
        }
        assert_eq!(clients[0].response().text(), "/slow");
    }
    server.stop();
}

#[derive(Debug)]
struct PanickingObserver;

impl Observer for PanickingObserver {
    fn on(&mut self, event: ServerEvent) {
        panic!("an observer panics: {event:?}");
    }
}

#[test]
fn a_panicking_observer_does_no_harm() {
    let bound = on_loopback().bind().expect("a free port");
    let bound = bound.observer(PanickingObserver);
    let (address, stopper) = (bound.local_address(), bound.stopper());
    thread::scope(|scope| {
        let server = scope.spawn(|| bound.run(|request: &Request<'_>| request.path().to_owned()));
        let mut client = Client::connect(address);
        assert_eq!(client.request("nonsense\r\n\r\n").status, 400);
        assert_eq!(Client::connect(address).request(get("/a")).text(), "/a");
        stopper.stop();
        let outcome = server.join().expect("the loop did not panic");
        outcome.expect("it served");
    });
}

/// Can be cloned once.
struct Single(Arc<AtomicBool>);

impl Clone for Single {
    fn clone(&self) -> Self {
        assert!(!self.0.swap(true, Ordering::Relaxed), "no second clone");
        Self(Arc::clone(&self.0))
    }
}

#[test]
fn a_handler_that_cannot_be_cloned_ends_all_workers_with_an_error() {
    let single = Single(Arc::default());
    let outcome = on_loopback().workers(4).run(move |_: &Request<'_>| {
        let _ = &single;
        "unreached"
    });
    let error = outcome.expect_err("two clones are one too many");
    assert_eq!(error.exit_code(), 70, "{error}");
}

#[test]
fn a_handler_that_sends_to_a_subscriber_who_does_not_read_cannot_hang_the_loop() {
    let subscriber = Mutex::new(None::<EventSender>);
    let server = Running::start(on_loopback(), move |request: &Request<'_>| {
        let mut subscriber = subscriber.lock().expect("no handler panicked");
        if request.path() == "/subscribe" {
            let (sender, response) = Response::event_stream(1024);
            *subscriber = Some(sender);
            return response;
        }
        let event = ServerSentEvent::new("x".repeat(900));
        let sent = subscriber.as_ref().map(|sender| sender.send(&event));
        Response::text(format!("{sent:?}"))
    });
    let silent = Client::connect(server.address);
    silent.send(get("/subscribe"));
    let mut publisher = Client::connect(server.address);
    // Until the subscriber's socket and channel are full.
    let mut last = String::new();
    for _ in 0..100_000 {
        last = publisher.request(get("/publish")).text();
        if last.contains("WouldDeadlock") {
            break;
        }
    }
    assert_eq!(last, "Some(Err(WouldDeadlock))");
    server.stop();
}

#[test]
fn a_handler_that_blocks_the_loop_is_reported() {
    let server = Running::start(on_loopback(), |request: &Request<'_>| {
        outlast(Duration::from_millis(150));
        request.path().to_owned()
    });
    assert_eq!(
        Client::connect(server.address).request(get("/a")).text(),
        "/a"
    );
    eventually("the observer is notified", || {
        let mut events = server.events.try_iter();
        events
            .any(|event| matches!(event, ServerEvent::LoopBlocked(time) if time.as_millis() >= 100))
    });
    server.stop();
}

/// Python's `http.client`, Node and curl read nothing before all of the body is sent, or a write fails.
#[test]
fn a_body_that_is_too_large_gets_413_although_the_client_sends_all_of_it() {
    let server = Running::start(on_loopback(), |_: &Request<'_>| Response::text("unreached"));
    let len = 40 * 1024 * 1024;
    for framing in [
        format!("Content-Length: {len}\r\n\r\n"),
        format!("Transfer-Encoding: chunked\r\n\r\n{len:x}\r\n"),
    ] {
        let mut client = Client::connect(server.address);
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}"));
        client.send(vec![b'x'; len]);
        assert_eq!(client.response().status, 413, "{framing}");
        assert!(client.is_at_end());
    }
    server.stop();
}

/// Greets over an upgraded connection, and keeps it until its peer closes.
struct Greeting;

impl Handler for Greeting {
    fn accept(&mut self, _: &Head<'_>) -> Accept {
        Accept::Upgrade(Upgrade::new("bytes", |mut socket, _| {
            drop(socket.write_all(b"hello"));
            drop(socket.read(&mut [0; 16]));
        }))
    }

    fn call(&mut self, _: &Request<'_>) -> Outcome {
        Response::text("no upgrade was offered").into()
    }
}

#[test]
fn upgraded_connections_are_counted_and_beyond_the_bound_the_response_is_503() {
    const OFFER: &str =
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: bytes\r\n\r\n";
    let server = on_loopback().limits(Limits::new().upgrades_max(2));
    let server = Running::start_handler(server, Greeting);
    let upgraded: Vec<Client> = (0..2)
        .map(|_| {
            let mut client = Client::connect(server.address);
            client.send(OFFER);
            assert_eq!(client.head().expect("a head").status, 101);
            client
        })
        .collect();
    let mut refused = Client::connect(server.address);
    let response = refused.request(OFFER);
    assert_eq!(response.status, 503);
    assert_eq!(response.field("retry-after"), Some("1"));
    assert_eq!(
        refused.request(get("/")).status,
        200,
        "it goes on with HTTP"
    );
    drop(upgraded);
    // Their threads end, and there is room again.
    eventually("an upgrade is possible", || {
        let mut client = Client::connect(server.address);
        client.send(OFFER);
        client.head().expect("a head").status == 101
    });
    server.stop();
}

#[test]
fn a_body_of_ten_thousand_tiny_pieces_is_sent_whole_over_many_turns() {
    const PIECES: usize = 10_000;
    let server = Running::start(on_loopback(), |_: &Request<'_>| {
        // A piece counts for 64 bytes at least.
        let (sender, body) = Body::channel(PIECES * 64);
        for _ in 0..PIECES {
            sender.try_send("x").expect("there is room");
        }
        sender.finish();
        Response::bytes(body)
    });
    let mut client = Client::connect(server.address);
    client.send(get("/"));
    assert_eq!(client.head().expect("a head").status, 200);
    assert_eq!(client.chunked().expect("all of it").len(), PIECES);
    server.stop();
}

#[test]
fn a_route_that_does_not_look_at_the_body_responds_before_it_comes() {
    let router = Router::new()
        .post("/", |request: &Request<'_>| {
            request.body().len().to_string()
        })
        .without_body();
    let server = Running::start_handler(on_loopback(), router);
    let mut client = Client::connect(server.address);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n");
    assert_eq!(client.response().text(), "0");
    // What comes of it is discarded, and the next request is read after it.
    client.send("x".repeat(1000) + &get("/"));
    assert_eq!(client.response().status, 405);
    server.stop();
}

/// Sets a field to text that a peer could have sent.
fn set_invalid_field(request: &Request<'_>) -> Outcome {
    let text = String::from("a\r\nx-injected: yes");
    let response = Response::text("sent");
    let response = match request.path() {
        "/value" => response.header("x-value", text),
        "/name" => response.header(text, "a"),
        "/type" => response.content_type(text),
        _ => response,
    };
    if request.path() == "/promised" {
        let (outcome, reply) = Outcome::promised();
        reply.complete(response.header("x-promised", "a\0".to_owned()));
        return outcome;
    }
    response.into()
}

#[test]
fn a_text_with_a_line_end_never_gets_into_a_head_and_its_field_is_named() {
    for (path, name) in [
        ("/value", "x-value"),
        ("/name", ""),
        ("/type", "Content-Type"),
        ("/promised", "x-promised"),
    ] {
        // One report of a kind is enough for a while, so each case has a server of its own.
        let server = Running::start(on_loopback(), set_invalid_field);
        let mut client = Client::connect(server.address);
        let response = client.request(get(path));
        assert_eq!(response.status, 500, "{path}");
        assert!(!response.head.contains("x-injected"), "{}", response.head);
        eventually("it is reported", || {
            let mut events = server.events.try_iter();
            events.any(
                |event| matches!(event, ServerEvent::FieldInvalid(field) if field.as_str() == name),
            )
        });
        assert_eq!(
            client.request(get("/")).text(),
            "sent",
            "the connection goes on"
        );
        server.stop();
    }
}

#[test]
fn a_peer_whose_text_gets_into_fields_does_not_fill_the_log() {
    let server = Running::start(on_loopback(), set_invalid_field);
    let mut client = Client::connect(server.address);
    // All in one turn, so in one moment.
    client.send(get("/value").repeat(5) + &get("/type") + &get("/"));
    for _ in 0..6 {
        assert_eq!(client.response().status, 500);
    }
    assert_eq!(client.response().text(), "sent");
    server.begin_stop();
    server.ended().expect("it stops");
    let events: Vec<ServerEvent> = server.events.try_iter().collect();
    let is_report = |event: &&ServerEvent| matches!(event, ServerEvent::FieldInvalid(_));
    assert_eq!(events.iter().filter(is_report).count(), 1, "{events:?}");
}
