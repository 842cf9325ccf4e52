//! Peers that flood, hold and vanish, over loopback: the server stays up, stops when it is told to, and lets others in.
mod loopback;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use coldstart::handler::{Outcome, WhenHalfClosed};
use coldstart::message::PeerState;
use coldstart::{Body, Request, Response, Server};

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
