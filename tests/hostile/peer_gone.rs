//! Work for a promised response waits, on a thread of its own, until the peer is gone.
#![expect(
    clippy::expect_used,
    clippy::missing_assert_message,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "what a test cannot set up must fail it; peers reset, and replies wait on threads"
)]

use std::future::Future as _;
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use coldstart::handler::{Outcome, Reply, WhenHalfClosed};
use coldstart::message::PeerState;
use coldstart::server::Timeouts;
use coldstart::{Request, Response, Server};
use socket2::SockRef;

use crate::loopback::server::{Running, on_loopback};
use crate::loopback::{Client, PATIENCE, eventually, get};

/// Sends a message for each wake.
struct Bell(Sender<()>);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        let _ = self.0.send(());
    }
}

fn bell() -> (Waker, Receiver<()>) {
    let (rings, rung) = channel();
    (Waker::from(Arc::new(Bell(rings))), rung)
}

fn poll(reply: &mut Reply, waker: &Waker) -> Poll<()> {
    let future = pin!(reply.peer_gone());
    future.poll(&mut Context::from_waker(waker))
}

fn wait(reply: &mut Reply) {
    let (waker, rung) = bell();
    while poll(reply, &waker).is_pending() {
        rung.recv_timeout(PATIENCE).expect("a wake");
    }
    assert_eq!(reply.peer(), PeerState::Gone);
}

/// A server that promises each response, a client that waits for one, and the reply to it.
fn promised(half_closed: WhenHalfClosed) -> (Running, Client, Reply) {
    promised_on(on_loopback(), half_closed)
}

fn promised_on(server: Server, half_closed: WhenHalfClosed) -> (Running, Client, Reply) {
    let (replies_in, replies) = channel();
    let server = Running::start(server, move |_: &Request<'_>| {
        let (outcome, reply) = Outcome::promised();
        drop(replies_in.send(reply));
        outcome.when_half_closed(half_closed)
    });
    let client = Client::connect(server.address);
    client.send(get("/"));
    let reply = replies.recv_timeout(PATIENCE).expect("a reply");
    (server, client, reply)
}

#[test]
fn a_reset_wakes_the_task_that_waited_last() {
    let (server, client, mut reply) = promised(WhenHalfClosed::Respond);
    let (first, _) = bell();
    assert!(poll(&mut reply, &first).is_pending());
    SockRef::from(client.stream())
        .set_linger(Some(Duration::ZERO))
        .expect("an option of the socket");
    drop(client);
    wait(&mut reply);
    wait(&mut reply); // It stays gone.
    reply.complete("too late");
    server.stop();
}

#[test]
fn a_half_closed_peer_is_not_gone_and_gets_its_response() {
    let (server, mut client, mut reply) = promised(WhenHalfClosed::Respond);
    let (waker, _rung) = bell();
    assert!(poll(&mut reply, &waker).is_pending());
    client.shut_down_output();
    eventually("the reply sees it", || {
        reply.peer() == PeerState::HalfClosed
    });
    assert!(poll(&mut reply, &waker).is_pending());
    reply.complete("kept");
    assert_eq!(client.response().text(), "kept");
    server.stop();
}

#[test]
fn a_half_closed_peer_is_gone_if_the_handler_says_so() {
    let (server, mut client, mut reply) = promised(WhenHalfClosed::Cancel);
    client.shut_down_output();
    wait(&mut reply);
    assert!(client.is_at_end());
    server.stop();
}

#[test]
fn a_response_that_comes_first_is_sent_although_a_task_waited() {
    let (server, mut client, mut reply) = promised(WhenHalfClosed::Respond);
    for _ in 0..3 {
        let (waker, _rung) = bell();
        assert!(poll(&mut reply, &waker).is_pending());
    }
    reply.complete(Response::text("done"));
    assert_eq!(client.response().text(), "done");
    server.stop();
}

#[test]
fn a_server_that_gives_up_on_a_connection_ends_the_wait() {
    let server = on_loopback().timeouts(Timeouts::new().drain(Duration::ZERO));
    let (server, _client, mut reply) = promised_on(server, WhenHalfClosed::Respond);
    let waiting = std::thread::spawn(move || wait(&mut reply));
    server.stop();
    waiting.join().expect("a wake");
}
