//! WebSockets of the feature `websocket` over real sockets: messages both ways, bounds, ends. `tour.rs` has what an echo shows.
#![expect(clippy::expect_used, reason = "a failed set-up must fail the test")]

mod loopback;

use core::future::poll_fn;
use core::task::Poll;
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, Sender, channel};

use coldstart::handler::{WebSocket, WebSocketError, WebSocketMessage};
use coldstart::message::Written;
use coldstart::server::Limits;
use coldstart::{Router, Server};
use tungstenite::Message;
use tungstenite::protocol::CloseFrame;

use loopback::PATIENCE;
use loopback::server::{Running, on_loopback};

type Client = tungstenite::WebSocket<TcpStream>;

/// A server whose WebSockets run this code.
fn start<F>(server: Server, run: impl Fn(WebSocket) -> F + Clone + Send + Sync + 'static) -> Running
where
    F: Future<Output = Written> + 'static,
{
    let router = Router::new().accept("GET", "/", move |head| WebSocket::accept(head, run.clone()));
    Running::start_handler(server, router)
}

fn connect(server: &Running) -> Client {
    let stream = TcpStream::connect(server.address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let url = format!("ws://{}/", server.address);
    let (client, _) = tungstenite::client(url, stream).expect("a handshake");
    client
}

/// A server whose WebSockets run this code, and a client of it.
fn with<F>(run: impl Fn(WebSocket) -> F + Clone + Send + Sync + 'static) -> (Running, Client)
where
    F: Future<Output = Written> + 'static,
{
    let server = start(on_loopback(), run);
    let client = connect(&server);
    (server, client)
}

/// How the reading has ended.
type Ended = Result<Option<WebSocketMessage>, WebSocketError>;

/// Reads until something is no message, and reports that.
fn reading() -> (Running, Client, Receiver<Ended>) {
    let (ends, ended) = channel();
    let (server, client) = with(move |mut socket| {
        let ends: Sender<Ended> = ends.clone();
        async move {
            socket.message_len_max(1000);
            loop {
                let read = socket.read().await;
                if !matches!(read, Ok(Some(_))) {
                    ends.send(read).expect("the test waits");
                    return Ok(());
                }
            }
        }
    });
    (server, client, ended)
}

fn close_code(client: &mut Client) -> Option<u16> {
    match client.read() {
        Ok(Message::Close(Some(CloseFrame { code, .. }))) => Some(code.into()),
        Ok(_) | Err(_) => None,
    }
}

#[test]
fn reading_ends_with_the_reason() {
    let (_server, mut client, ended) = reading();
    client.send(Message::binary(vec![0; 1000])).expect("room");
    client.send(Message::binary(vec![0; 1001])).expect("room");
    assert_eq!(close_code(&mut client), Some(1009));
    let end = ended.recv_timeout(PATIENCE).expect("it ends");
    assert_eq!(end, Err(WebSocketError::TooLarge));

    let (_server, mut client, ended) = reading();
    client.close(None).expect("room");
    assert!(matches!(client.read(), Ok(Message::Close(None))));
    let end = ended.recv_timeout(PATIENCE).expect("it ends");
    assert_eq!(end, Ok(None));

    let (_server, mut client, ended) = reading();
    // A reserved bit is set.
    client
        .get_mut()
        .write_all(&[0xf1, 0x80, 0, 0, 0, 0])
        .expect("room");
    assert_eq!(close_code(&mut client), Some(1002));
    let end = ended.recv_timeout(PATIENCE).expect("it ends");
    assert_eq!(end, Err(WebSocketError::Malformed));

    let (_server, client, ended) = reading();
    drop(client);
    let end = ended.recv_timeout(PATIENCE).expect("it ends");
    assert_eq!(end, Err(WebSocketError::Closed));
}

#[test]
fn closing_says_why_and_cuts_a_long_reason_between_letters() {
    let (_server, mut client) =
        with(async |socket| Ok(socket.close(4000, &"é".repeat(100)).await?));
    let Ok(Message::Close(Some(frame))) = client.read() else {
        panic!("it closes")
    };
    assert_eq!(
        (frame.code.into(), frame.reason.as_str()),
        (4000_u16, &*"é".repeat(61))
    );
}

/// As in a `select` of a read and something else: what the dropped futures had begun goes on.
#[test]
fn a_read_that_is_dropped_while_it_waits_loses_nothing() {
    let (_server, mut client) = with(async |mut socket| {
        let mut turns = 0;
        loop {
            // Ends after each wake, with a message or without.
            let read = {
                let mut reading = core::pin::pin!(socket.read());
                let mut polled = false;
                poll_fn(|context| match reading.as_mut().poll(context) {
                    Poll::Ready(read) => Poll::Ready(Some(read)),
                    Poll::Pending if polled => Poll::Ready(None),
                    Poll::Pending => {
                        polled = true;
                        Poll::Pending
                    }
                })
                .await
            };
            turns += 1;
            match read {
                Some(Ok(Some(message))) => socket.send(message).await?,
                Some(end) => {
                    end?;
                    return Ok(());
                }
                None => assert!(turns < 10_000, "it is woken for something"),
            }
        }
    });
    for len in [1, 100, 100_000, 1_000_000] {
        let message = Message::text("a".repeat(len));
        client.send(message.clone()).expect("room");
        client.send(Message::Ping("b".into())).expect("room");
        let both = [
            client.read().expect("a frame"),
            client.read().expect("a frame"),
        ];
        assert!(both.contains(&message), "the echo of {len}");
        assert!(both.contains(&Message::Pong("b".into())), "the pong");
    }
}

/// The beginning of a message: a frame of these many bytes that is not the last.
fn first_frame(len: u32) -> Vec<u8> {
    let mut frame = vec![0x02, 0xff, 0, 0, 0, 0];
    frame.extend(len.to_be_bytes());
    frame.resize(frame.len() + 4 + len as usize, 0);
    frame
}

#[test]
fn messages_that_are_not_whole_count_in_the_memory_of_all_peers() {
    let server = on_loopback().limits(Limits::new().memory_max(1_000_000));
    let server = start(server, async |mut socket| {
        while let Some(WebSocketMessage::Binary(bytes)) = socket.read().await? {
            socket.send(bytes.len().to_string().into_bytes()).await?;
        }
        Ok(())
    });
    let mut first = connect(&server);
    first
        .get_mut()
        .write_all(&first_frame(600_000))
        .expect("room");
    // It is answered after the frame before it.
    first.send(Message::Ping("".into())).expect("room");
    assert!(matches!(first.read(), Ok(Message::Pong(_))));

    let mut second = connect(&server);
    second
        .get_mut()
        .write_all(&first_frame(600_000))
        .expect("room");
    assert_eq!(close_code(&mut second), Some(1013));

    let last = [0x80, 0x81, 0, 0, 0, 0, 0];
    first.get_mut().write_all(&last).expect("room");
    assert_eq!(first.read().expect("its length"), Message::binary("600001"));
    // Once it was whole, it counts no more.
    let mut third = connect(&server);
    third.send(Message::binary(vec![0; 600_000])).expect("room");
    assert_eq!(third.read().expect("its length"), Message::binary("600000"));
    drop((first, second, third));
    server.stop();
}
