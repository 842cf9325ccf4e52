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
use coldstart::{Bytes, Router, Server};
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

#[test]
fn a_code_that_may_not_be_sent_is_left_out() {
    for code in [0, 999, 1004, 1005, 1006, 1015, 5000] {
        let (_server, mut client) =
            with(move |socket| async move { Ok(socket.close(code, "why").await?) });
        let read = client.read().expect("it closes");
        assert_eq!(read, Message::Close(None), "{code}");
    }
}

/// A frame as it is sent: the first byte, and a payload under the mask 0.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let len = u8::try_from(payload.len()).expect("a short frame");
    let mut frame = vec![first, 0x80 | len, 0, 0, 0, 0];
    frame.extend(payload);
    frame
}

/// What the peer gets for these bytes, and how the reading ends.
fn answer(bytes: &[u8]) -> (Option<u16>, Ended) {
    let (_server, mut client, ended) = reading();
    client.get_mut().write_all(bytes).expect("room");
    let code = close_code(&mut client);
    (code, ended.recv_timeout(PATIENCE).expect("it ends"))
}

#[test]
fn what_is_malformed_or_too_large_is_refused_as_soon_as_that_is_known() {
    use WebSocketError::{Malformed, TooLarge};
    let long = |first, len: u64| {
        let mut header = vec![first, 0xff];
        header.extend(len.to_be_bytes());
        header.extend([0; 4]);
        header
    };
    let after_first_fragment = |rest: Vec<u8>| [frame(0x02, b"a"), rest].concat();
    // No more than the header is sent.
    let refused = [
        (
            "a ping of 126 bytes",
            vec![0x89, 0xfe, 0, 126, 0, 0, 0, 0],
            1002,
            Malformed,
        ),
        (
            "a ping as large as a message",
            long(0x89, 1000),
            1002,
            Malformed,
        ),
        (
            "a Close of 126 bytes",
            vec![0x88, 0xfe, 0, 126, 0, 0, 0, 0],
            1002,
            Malformed,
        ),
        (
            "a fragment of a ping",
            vec![0x09, 0x85, 0, 0, 0, 0],
            1002,
            Malformed,
        ),
        (
            "a reserved bit",
            vec![0xa2, 0x85, 0, 0, 0, 0],
            1002,
            Malformed,
        ),
        ("no mask", vec![0x82, 5], 1002, Malformed),
        ("opcode 3", vec![0x83, 0x85, 0, 0, 0, 0], 1002, Malformed),
        ("opcode 11", vec![0x8b, 0x85, 0, 0, 0, 0], 1002, Malformed),
        (
            "the rest of nothing",
            vec![0x80, 0x85, 0, 0, 0, 0],
            1002,
            Malformed,
        ),
        (
            "a message in another",
            after_first_fragment(vec![0x81, 0x85, 0, 0, 0, 0]),
            1002,
            Malformed,
        ),
        ("a message of 1001 bytes", long(0x82, 1001), 1009, TooLarge),
        ("the largest length", long(0x82, u64::MAX), 1009, TooLarge),
        (
            "a second fragment",
            after_first_fragment(long(0x80, 1000)),
            1009,
            TooLarge,
        ),
    ];
    for (what, bytes, code, error) in refused {
        assert_eq!(answer(&bytes), (Some(code), Err(error)), "{what}");
    }
}

#[test]
fn payloads_are_checked() {
    let refused = [
        ("half a code", frame(0x88, &[3]), 1002),
        (
            "a reason that is not UTF-8",
            frame(0x88, &[3, 232, 0xff]),
            1007,
        ),
        ("text that is not UTF-8", frame(0x81, &[0xff]), 1007),
        ("half a letter", frame(0x81, &[0xc3]), 1007),
        (
            "half a letter in the last fragment",
            [frame(0x01, b"a"), frame(0x80, &[0xc3])].concat(),
            1007,
        ),
        (
            "two halves of no letter",
            [frame(0x01, &[0xc3]), frame(0x00, b"a")].concat(),
            1007,
        ),
    ];
    for (what, bytes, code) in refused {
        let refused = (Some(code), Err(WebSocketError::Malformed));
        assert_eq!(answer(&bytes), refused, "{what}");
    }
    // Codes that no peer may send.
    for code in [0_u16, 999, 1004, 1005, 1006, 1015, 2999, 5000] {
        let (answered, ended) = answer(&frame(0x88, &code.to_be_bytes()));
        assert_eq!((answered, ended), (Some(1002), Ok(None)), "{code}");
    }
    assert_eq!(answer(&frame(0x88, &[0x0f, 0xa0])), (Some(4000), Ok(None)));
}

#[test]
fn letters_may_be_split_over_fragments_with_pings_between_them() {
    let (_server, mut client) = with(async |mut socket| {
        while let Some(message) = socket.read().await? {
            socket.send(message).await?;
        }
        Ok(())
    });
    let bytes = [
        frame(0x01, &[0xe2]),
        frame(0x89, b"b"),
        frame(0x00, &[0x82]),
        frame(0x00, b""),
        frame(0x80, &[0xac]),
        // Nothing after a Close is a message.
        frame(0x88, &[]),
        frame(0x81, b"late"),
    ];
    for byte in bytes.concat() {
        client.get_mut().write_all(&[byte]).expect("room");
    }
    assert_eq!(client.read().expect("a frame"), Message::Pong("b".into()));
    assert_eq!(client.read().expect("a frame"), Message::text("\u{20ac}"));
    assert_eq!(client.read().expect("a frame"), Message::Close(None));
    assert!(client.read().is_err(), "the end");
}

/// A socket that is closed while bytes wait to be read is reset, and the reset takes the Close from the peer.
#[test]
fn a_peer_that_goes_on_sending_reads_the_close() {
    let sends_all = |mut client: Client, code| {
        let rest = vec![0; 1 << 20];
        for _ in 0..4 {
            client.get_mut().write_all(&rest).expect("it is read");
        }
        assert_eq!(close_code(&mut client), Some(code));
    };
    let (_server, mut client, _ended) = reading();
    let mut header = vec![0x82, 0xff];
    header.extend((8_u64 << 20).to_be_bytes());
    client.get_mut().write_all(&header).expect("room");
    client.get_mut().write_all(&[0; 4]).expect("room");
    sends_all(client, 1009);

    let (_server, client) = with(async |socket| Ok(socket.close(4000, "").await?));
    sends_all(client, 4000);
}

#[test]
fn a_message_that_arrives_while_the_server_stops_is_read() {
    let (reads, read) = channel();
    let (server, mut client) = with(move |mut socket| {
        let reads = reads.clone();
        async move {
            while let Some(message) = socket.read().await? {
                let sent = socket.send("late").await;
                reads.send((message, sent)).expect("the test waits");
            }
            Ok(())
        }
    });
    client
        .get_mut()
        .write_all(&frame(0x02, b"ab"))
        .expect("room");
    client.send(Message::Ping("".into())).expect("room");
    assert!(matches!(client.read(), Ok(Message::Pong(_))));
    server.begin_stop();
    assert_eq!(close_code(&mut client), Some(1001));
    let rest = [
        frame(0x00, b"c"),
        frame(0x89, b"no pong"),
        frame(0x80, b"d"),
    ];
    let rest = [rest.concat(), frame(0x88, &[0x03, 0xe9])].concat();
    client.get_mut().write_all(&rest).expect("room");
    let expected = (Bytes::from("abcd").into(), Err(WebSocketError::Closed));
    assert_eq!(read.recv_timeout(PATIENCE), Ok(expected));
    server.ended().expect("it stops");
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
