//! The chat example: each reader gets each message, a slow one misses some and holds up no other, and a stop ends all of them.

use std::net::{SocketAddr, TcpStream};

use tungstenite::{Message, WebSocket};

use crate::loopback::{Client, eventually, get, post};
use crate::{resident_peak, start};

fn socket(address: SocketAddr) -> WebSocket<TcpStream> {
    let stream = TcpStream::connect(address).expect("it listens");
    stream
        .set_read_timeout(Some(crate::loopback::PATIENCE))
        .expect("a socket");
    let url = format!("ws://{address}/socket");
    tungstenite::client(url, stream).expect("a handshake").0
}

fn events(address: SocketAddr) -> Client {
    let mut client = Client::connect(address);
    client.send(get("/events"));
    let head = client.head().expect("a head");
    let content_type = head.field("content-type");
    assert_eq!(content_type, Some("text/event-stream"), "{head:?}");
    client
}

fn next_event(client: &mut Client) -> String {
    let chunk = client.chunk().expect("a chunk").expect("not the last");
    String::from_utf8(chunk).expect("UTF-8")
}

#[test]
fn each_reader_gets_each_message_until_the_stop() {
    let (mut server, address) = start("chat", &[]);
    let mut streams = [events(address), events(address)];
    let mut sockets = [socket(address), socket(address)];
    for (number, socket) in sockets.iter_mut().enumerate() {
        let said = format!("from {number}");
        let message = Message::text(said.clone());
        socket.send(message.clone()).expect("room");
        // It may have joined before others have spoken.
        while socket.read().expect("a message") != message {}
        for stream in &mut streams {
            assert_eq!(next_event(stream), format!("data: {said}\n\n"));
        }
    }
    // The first has seen the second, too.
    assert_eq!(
        sockets[0].read().expect("a message"),
        Message::text("from 1")
    );
    let mut client = Client::connect(address);
    assert_eq!(client.request(post("/messages", b"posted")).status, 202);
    assert_eq!(client.request(post("/messages", b"\xff")).status, 422);
    assert_eq!(client.request(post("/messages", &[b'a'; 4097])).status, 413);
    for socket in &mut sockets {
        assert_eq!(socket.read().expect("a message"), Message::text("posted"));
    }
    for stream in &mut streams {
        assert_eq!(next_event(stream), "data: posted\n\n");
    }
    server.signal("TERM");
    for socket in &mut sockets {
        let Ok(Message::Close(Some(close))) = socket.read() else {
            panic!("the server says goodbye")
        };
        assert_eq!(u16::from(close.code), 1001);
        eventually("the closing handshake is over", || socket.read().is_err());
    }
    for stream in &mut streams {
        assert_eq!(stream.chunk().expect("a complete stream"), None);
    }
    assert!(server.ended().success(), "it waits for nothing else");
}

/// In KiB; this program is not optimized.
const RESIDENT_MAX: u64 = 16 * 1024;

#[test]
fn a_slow_reader_is_bounded_and_holds_up_no_other() {
    let (server, address) = start("chat", &[]);
    let (mut slow_stream, mut slow_socket) = (events(address), socket(address));
    slow_socket.send(Message::text("slow")).expect("room");
    assert_eq!(
        slow_socket.read().expect("a message"),
        Message::text("slow")
    );
    let mut quick = events(address);
    let mut client = Client::connect(address);
    // Forty mebibytes: more than sockets and queues hold.
    let message = [b'a'; 4096];
    for _ in 0..10_000 {
        assert_eq!(client.request(post("/messages", &message)).status, 202);
        assert_eq!(next_event(&mut quick).len(), 4096 + "data: \n\n".len());
    }
    assert_eq!(client.request(post("/messages", b"last")).status, 202);
    assert_eq!(next_event(&mut quick), "data: last\n\n");
    let mut missed = 0;
    loop {
        let event = next_event(&mut slow_stream);
        missed += usize::from(event.contains("missed"));
        if event.contains("data: last") {
            break;
        }
    }
    assert!(missed > 0, "it got all of them");
    let mut missed = 0;
    loop {
        let message = slow_socket.read().expect("a message").to_string();
        missed += usize::from(message.contains("missed"));
        if message == "last" {
            break;
        }
    }
    assert!(missed > 0, "it got all of them");
    let peak = resident_peak(&server);
    assert!(peak <= RESIDENT_MAX, "{peak} KiB");
}

#[test]
fn a_socket_that_does_not_keep_to_the_room_is_closed() {
    let (_server, address) = start("chat", &[]);
    for (message, code) in [
        (Message::binary("b"), 1003),
        (Message::text("a".repeat(4097)), 1009),
    ] {
        let mut socket = socket(address);
        socket.send(message).expect("room");
        let Ok(Message::Close(Some(close))) = socket.read() else {
            panic!("it is closed")
        };
        assert_eq!(u16::from(close.code), code);
    }
    assert_eq!(Client::connect(address).request(get("/socket")).status, 426);
}
