//! Each route of the tour, requested over loopback as its curl line does.
#![expect(clippy::expect_used, reason = "a failed set-up must fail the test")]

mod loopback;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use loopback::process::{Process, status};
use loopback::{Client, eventually, get, pattern, post};
use sha2::{Digest as _, Sha256};
use tungstenite::Message;
use tungstenite::protocol::Role;
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{Data, OpCode};

/// The tour as built by `cargo test`. Cargo puts examples next to programs in all of its versions, but not tests.
fn tour() -> PathBuf {
    let tour = Path::new(env!("CARGO_BIN_EXE_bootstrap")).with_file_name("examples/tour");
    assert!(tour.exists(), "run: cargo build --example tour");
    tour
}

fn start() -> (Process, SocketAddr) {
    Process::serve(|port| {
        let mut command = Command::new(tour());
        command.arg(port.to_string());
        command
    })
}

#[test]
fn a_stream_arrives_line_by_line() {
    let (mut server, address) = start();
    let mut client = Client::connect(address);
    client.send(get("/stream"));
    let head = client.head().expect("a head");
    assert_eq!(head.field("transfer-encoding"), Some("chunked"));
    assert_eq!(head.field("content-length"), None);
    for number in 0..10 {
        // One line per chunk: no line waited for the next one.
        let line = client.chunk().expect("a chunk").expect("not the last");
        assert_eq!(line, format!("line {number}\n").as_bytes());
    }
    assert_eq!(client.chunk().expect("the last chunk"), None);
    assert_eq!(
        client.request(get("/promised")).status,
        200,
        "the connection persists"
    );
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn an_old_client_gets_a_stream_that_ends_with_the_connection() {
    let (_server, address) = start();
    let mut client = Client::connect(address);
    client.send("GET /stream HTTP/1.0\r\n\r\n");
    let head = client.head().expect("a head");
    assert_eq!(head.field("transfer-encoding"), None);
    assert_eq!(head.field("connection"), Some("close"));
    let body = client.rest().expect("a body");
    assert!(
        body.ends_with(b"line 9\n"),
        "{}",
        String::from_utf8_lossy(&body)
    );
}

#[test]
fn events_arrive_one_by_one() {
    let (_server, address) = start();
    let mut client = Client::connect(address);
    client.send(get("/sse"));
    let head = client.head().expect("a head");
    assert_eq!(head.field("content-type"), Some("text/event-stream"));
    for number in 1..=5 {
        let event = client.chunk().expect("a chunk").expect("not the last");
        assert_eq!(
            event,
            format!("id: {number}\ndata: token {number}\n\n").as_bytes()
        );
    }
    let end = client.chunked().expect("an end");
    assert_eq!(end, b"event: end\ndata: bye\n\n");
}

#[test]
fn an_upload_is_counted_and_hashed_in_both_framings() {
    let (_server, address) = start();
    let mut client = Client::connect(address);
    let body = pattern(1_000_000);
    let hash: String = Sha256::digest(&body)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let expected = format!("{} bytes, SHA-256 {hash}\n", body.len());
    let head = format!(
        "PUT /upload HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    assert_eq!(
        client.request([head.as_bytes(), &body].concat()).text(),
        expected
    );
    client.send("PUT /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for piece in body.chunks(70_001) {
        client.send(format!("{:x}\r\n", piece.len()));
        client.send(piece);
        client.send("\r\n");
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.response().text(), expected);
}

#[test]
fn a_slow_consumer_slows_only_its_own_upload() {
    let (_server, address) = start();
    let mut slow = Client::connect(address);
    let body = pattern(3_000_000);
    let head = format!(
        "PUT /slow-upload HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    slow.send(head);
    let mut sending = slow.stream().try_clone().expect("a descriptor");
    let other = std::thread::scope(|scope| {
        let sender = scope.spawn(|| sending.write_all(&body).expect("an upload that is taken"));
        let other = Client::connect(address).request(get("/promised")).status;
        sender.join().map(|()| other)
    });
    assert_eq!(other.expect("no panic"), 200);
    assert_eq!(
        slow.response().text(),
        "3000000 bytes, at the consumer's pace\n"
    );
}

#[test]
fn a_route_limits_its_own_bodies() {
    let (_server, address) = start();
    let mut client = Client::connect(address);
    assert_eq!(
        client.request(post("/small", &[b'x'; 1024])).body.len(),
        1024
    );
    let refused = client.request(post("/small", &[b'x'; 1025]));
    assert_eq!(
        (refused.status, refused.field("connection")),
        (413, Some("close"))
    );
}

#[test]
fn a_file_is_sent_whole_or_in_part() {
    let (_server, address) = start();
    let file = std::fs::read(tour()).expect("the program's own file");
    let mut client = Client::connect(address);
    assert!(
        client.request(get("/file")).body == file,
        "the file differs"
    );
    let part = client.request("GET /file HTTP/1.1\r\nHost: a\r\nRange: bytes=1-100\r\n\r\n");
    assert_eq!((part.status, part.body), (206, file[1..=100].to_vec()));
    let range = format!("bytes 1-100/{}", file.len());
    let head = client.request("GET /file HTTP/1.1\r\nHost: a\r\nRange: bytes=1-100\r\n\r\n");
    assert_eq!(head.field("content-range"), Some(range.as_str()));
}

#[test]
fn a_task_of_a_runtime_responds_and_pipelined_requests_wait_in_order() {
    let (_server, address) = start();
    let mut client = Client::connect(address);
    client.send(
        [
            get("/promised"),
            post_text("/small", "second"),
            get("/blocking"),
            get("/awaited"),
        ]
        .concat(),
    );
    assert_eq!(
        client.response().text(),
        "/promised was completed by a task\n"
    );
    assert_eq!(client.response().text(), "second");
    assert_eq!(client.response().text(), "served by thread \"handler\"\n");
    assert_eq!(
        client.response().text(),
        "awaited from thread \"handler\"\n"
    );
}

fn post_text(path: &str, text: &str) -> String {
    String::from_utf8(post(path, text.as_bytes())).expect("text")
}

#[test]
fn a_blocking_route_does_not_delay_other_requests() {
    let (_server, address) = start();
    let slow: Vec<Client> = (0..8)
        .map(|_| {
            let client = Client::connect(address);
            client.send(get("/blocking"));
            client
        })
        .collect();
    assert_eq!(Client::connect(address).request(get("/")).status, 200);
    for mut client in slow {
        assert_eq!(client.response().status, 200);
    }
}

#[test]
fn a_web_socket_echoes_every_message() {
    let (_server, address) = start();
    let stream = TcpStream::connect(address).expect("it listens");
    let url = format!("ws://{address}/websocket");
    let (mut socket, response) = tungstenite::client(url, stream).expect("a handshake");
    assert_eq!(response.status().as_u16(), 101);
    for message in [Message::text("hello"), Message::binary(pattern(100_000))] {
        socket.send(message.clone()).expect("room");
        assert_eq!(socket.read().expect("an echo"), message);
    }
    socket.close(None).expect("an open socket");
    eventually("the closing handshake is over", || socket.read().is_err());
}

#[test]
fn a_web_socket_sees_bytes_sent_with_its_request() {
    let (_server, address) = start();
    let mut client = Client::connect(address);
    // A masked text frame "Hi" right after the request (RFC 6455 §5.2), with a mask of zeros.
    client.send(
        b"GET /websocket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
          Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\
          \x81\x82\0\0\0\0Hi",
    );
    let head = client.head().expect("a head");
    assert_eq!(head.status, 101);
    assert_eq!(
        head.field("sec-websocket-accept"),
        Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    );
    let mut echo = [0; 4];
    client.read_exact(&mut echo);
    assert_eq!(&echo, b"\x81\x02Hi");
    let plain = Client::connect(address).request(get("/websocket"));
    assert_eq!(
        (plain.status, plain.field("upgrade")),
        (426, Some("websocket"))
    );
}

#[test]
fn a_web_socket_handshake_is_checked() {
    let (_server, address) = start();
    let mut client = Client::connect(address);
    let mut handshake = |method: &str, version: &str, key: &str| {
        client.send(format!(
            "{method} /websocket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: {version}\r\nSec-WebSocket-Key: {key}\r\n\r\n"
        ));
        let response = match method {
            "HEAD" => client.head().expect("a head"),
            _ => client.response(),
        };
        let version = response.field("sec-websocket-version").map(str::to_owned);
        (response.status, version)
    };
    let key = "dGhlIHNhbXBsZSBub25jZQ==";
    let required = (426, Some("13".to_owned()));
    for version in ["8", "", "013", "13, 8"] {
        assert_eq!(handshake("GET", version, key), required, "{version}");
    }
    for key in [
        "",
        "x",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQAA",
        "dGhlIHNhbXBs*SBub25jZQ==",
    ] {
        assert_eq!(handshake("GET", "13", key), (400, None), "{key}");
    }
    assert_eq!(handshake("POST", "13", key).0, 405);
    assert_eq!(handshake("HEAD", "13", key), required);
}

/// RFC 6455 §7.1.7: the peer gets the reason, although it sends on.
#[test]
fn a_web_socket_is_closed_with_a_code() {
    let (_server, address) = start();
    let frames: [(&[u8], u16); 4] = [
        // Not masked.
        (b"\x81\x02Hi", 1002),
        // A reserved opcode.
        (b"\x83\x80\0\0\0\0", 1002),
        // Text that is not UTF-8.
        (b"\x81\x81\0\0\0\0\xff", 1007),
        // Two megabytes are announced.
        (b"\x82\xff\0\0\0\0\0\x20\0\0\0\0\0\0", 1009),
    ];
    for (frame, code) in frames {
        let mut client = Client::connect(address);
        client.send(
            "GET /websocket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        );
        assert_eq!(client.head().expect("a head").status, 101);
        client.send([frame, &pattern(200_000)].concat());
        let mut close = [0; 4];
        client.read_exact(&mut close);
        let [high, low] = code.to_be_bytes();
        assert_eq!(close, [0x88, 2, high, low], "{}", frame.escape_ascii());
        client.shut_down_output();
        assert!(client.is_at_end());
    }
}

/// Opens a WebSocket.
fn web_socket(address: SocketAddr) -> tungstenite::WebSocket<TcpStream> {
    let stream = TcpStream::connect(address).expect("it listens");
    let url = format!("ws://{address}/websocket");
    tungstenite::client(url, stream).expect("a handshake").0
}

#[test]
fn a_web_socket_puts_fragments_together_and_responds_to_pings_between_them() {
    let (_server, address) = start();
    let mut socket = web_socket(address);
    let part = |opcode, is_final| {
        let opcode = OpCode::Data(opcode);
        Message::Frame(Frame::message("part ", opcode, is_final))
    };
    socket.send(part(Data::Text, false)).expect("room");
    socket.send(Message::Ping("a".into())).expect("room");
    assert_eq!(socket.read().expect("a frame"), Message::Pong("a".into()));
    socket.send(part(Data::Continue, false)).expect("room");
    socket.send(part(Data::Continue, true)).expect("room");
    let echo = socket.read().expect("an echo");
    assert_eq!(echo, Message::text("part part part "));
}

/// Large messages in both directions at once, with a peer that begins to read late.
#[test]
fn a_web_socket_waits_for_a_peer_that_does_not_read() {
    let (_server, address) = start();
    let mut socket = web_socket(address);
    let message = Message::binary(pattern(1024 * 1024));
    let mut writing = tungstenite::WebSocket::from_raw_socket(
        socket.get_ref().try_clone().expect("a second handle"),
        Role::Client,
        None,
    );
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..8 {
                writing.send(message.clone()).expect("room");
            }
        });
        for _ in 0..8 {
            assert!(
                socket.read().expect("an echo") == message,
                "another message"
            );
        }
    });
}

/// RFC 6455 §7.4.1: 1001 says that the server goes away.
#[test]
fn a_stop_closes_each_web_socket_with_a_code() {
    let (mut server, address) = start();
    let mut sockets: Vec<_> = (0..3).map(|_| web_socket(address)).collect();
    server.signal("TERM");
    for socket in &mut sockets {
        let Ok(Message::Close(Some(close))) = socket.read() else {
            panic!("the server says goodbye")
        };
        assert_eq!(u16::from(close.code), 1001);
        eventually("the closing handshake is over", || socket.read().is_err());
    }
    assert!(server.ended().success(), "it waits for nothing else");
}

const SOCKETS: usize = 10_000;
/// What each may take of the server's memory: its session, its code and the state of its protocol.
const IDLE_LEN_MAX: u64 = 2 * 1024;

#[test]
fn ten_thousand_idle_web_sockets_take_two_kibibytes_each_and_no_thread() {
    let (server, address) = start();
    let mut sockets = Vec::with_capacity(SOCKETS);
    let mut before = 0;
    for number in 0..SOCKETS {
        let stream = match TcpStream::connect(address) {
            Ok(stream) => stream,
            Err(error) => {
                eprintln!("SKIPPED: {number} connections are all this machine allows: {error}");
                return;
            }
        };
        let mut client = Client::over(stream);
        client.send(
            b"GET /websocket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
              Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        );
        assert_eq!(client.head().expect("a head").status, 101);
        // Some are large: their buffers are released.
        let message = pattern(if number % 4 == 0 { 9000 } else { 90 });
        let mut socket =
            tungstenite::WebSocket::from_raw_socket(client.stream(), Role::Client, None);
        let message = Message::binary(message);
        socket.send(message.clone()).expect("room");
        assert_eq!(socket.read().expect("an echo"), message);
        drop(socket);
        // Only the socket is kept: this process has as many.
        sockets.push(client.stream().try_clone().expect("a descriptor"));
        if number == SOCKETS / 100 {
            before = resident(&server);
        }
    }
    let opened = (SOCKETS - SOCKETS / 100) as u64;
    let each = (resident(&server) - before) * 1024 / opened;
    assert!(each <= IDLE_LEN_MAX, "{each} bytes each");
    assert_eq!(
        status(server.id, "Threads").as_deref(),
        Some(THREADS),
        "none of them has a thread"
    );
}

/// The loop's, and those of the tour's runtime and pool that have started.
const THREADS: &str = "2";

/// The size of the next two tests' transfers: larger than any buffer, and than the platform's memory.
const LARGE: u64 = 2 * 1024 * 1024 * 1024;
/// The server's private memory in KiB. Pages of its file do not count, as this build is not small.
const RESIDENT_MAX: u64 = 8 * 1024;

/// `RssAnon`, in KiB.
fn resident(server: &Process) -> u64 {
    let field = status(server.id, "RssAnon").expect("a process");
    field.trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn an_upload_of_two_gibibytes_is_not_buffered() {
    let (server, address) = start();
    let mut client = Client::connect(address);
    client.send(format!(
        "PUT /upload HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n"
    ));
    let piece = vec![0; 1024 * 1024];
    let mut peak = 0;
    for _ in 0..LARGE / 1024 / 1024 {
        client.send(&piece);
        peak = peak.max(resident(&server));
    }
    let response = client.response().text();
    assert!(
        response.starts_with("2147483648 bytes, SHA-256 a7c744c13cc101ed66c29f672f92455547889cc5")
    );
    assert!(peak < RESIDENT_MAX, "{peak} KiB");
}

#[test]
fn a_response_of_two_gibibytes_is_not_buffered() {
    let (server, address) = start();
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream
        .write_all(b"GET /zeros/2147483648 HTTP/1.0\r\n\r\n")
        .expect("room");
    let (mut taken, mut peak) = (0_u64, 0);
    let mut buffer = vec![0; 1024 * 1024];
    loop {
        let len = stream.read(&mut buffer).expect("a stream");
        if len == 0 {
            break;
        }
        taken += len as u64;
        if taken.is_multiple_of(64) {
            peak = peak.max(resident(&server));
        }
    }
    peak = peak.max(resident(&server));
    assert!(taken > LARGE && taken < LARGE + 1024, "{taken} bytes");
    assert!(peak < RESIDENT_MAX, "{peak} KiB");
}

#[test]
fn an_echo_of_a_gibibyte_goes_both_ways_at_once_and_is_not_buffered() {
    const LEN: usize = 1024 * 1024 * 1024;
    let (server, address) = start();
    let mut client = Client::connect(address);
    client.send(format!(
        "PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {LEN}\r\n\r\n"
    ));
    let mut writing = client.stream().try_clone().expect("a descriptor");
    let piece = pattern(1024 * 1024);
    let written = piece.clone();
    let writer = std::thread::Builder::new()
        .spawn(move || (0..LEN / written.len()).try_for_each(|_| writing.write_all(&written)));
    assert_eq!(client.head().expect("a head").status, 200);
    let (mut taken, mut peak) = (0, 0);
    while let Some(chunk) = client.chunk().expect("a chunk") {
        let mut rest = &chunk[..];
        while !rest.is_empty() {
            let at = taken % piece.len();
            let len = rest.len().min(piece.len() - at);
            assert!(rest[..len] == piece[at..at + len], "at {taken}");
            rest = &rest[len..];
            taken += len;
        }
        peak = peak.max(resident(&server));
    }
    let written = writer.expect("a thread").join().expect("no panic");
    written.expect("all is sent");
    assert_eq!(taken, LEN);
    assert!(peak < RESIDENT_MAX, "{peak} KiB");
}
