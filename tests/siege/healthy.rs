//! The clients that behave: each of their requests must be answered, and rightly, whatever else goes on.

use std::fmt;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use tungstenite::Message;

use super::ground::{Ground, Program};
use super::loopback::{Client, get, post};
use super::random::Random;

/// One kind of healthy client.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    round: fn(&mut Visitor<'_>),
    /// Between two rounds.
    pause: Duration,
}

const fn kind(name: &'static str, pause_ms: u64, round: fn(&mut Visitor<'_>)) -> Kind {
    Kind {
        name,
        round,
        pause: Duration::from_millis(pause_ms),
    }
}

pub(crate) const fn kinds(program: Program) -> &'static [Kind] {
    const BOOTSTRAP: &[Kind] = &[
        kind("GET, kept alive", 2, kept_alive),
        kind("GET, new connection", 3, new_connection),
        kind("POST, echo", 4, echo),
        kind("chunked, echo", 10, chunked_echo),
        kind("events", 3, event),
        kind("large answer", 30, large_echo),
    ];
    const TOUR: &[Kind] = &[
        kind("GET, kept alive", 2, kept_alive),
        kind("GET, new connection", 3, new_connection),
        kind("POST, echo", 4, echo),
        kind("chunked, hashed", 10, hashed_upload),
        kind("download", 20, download),
        kind("file in parts", 10, file_part),
        kind("lines and events", 20, lines_and_events),
        kind("promise", 10, promise),
        kind("pool", 10, pool),
        kind("WebSocket", 10, web_socket),
    ];
    match program {
        Program::Bootstrap => BOOTSTRAP,
        Program::Tour => TOUR,
    }
}

impl Kind {
    /// Round after round, until the siege is over.
    pub(crate) fn visit(&self, ground: &Ground, random: Random) -> Visits {
        let mut visitor = Visitor::new(ground, random);
        loop {
            (self.round)(&mut visitor);
            if !ground.pause(self.pause) {
                return visitor.visits;
            }
        }
    }

    /// One round.
    pub(crate) fn visit_once(&self, ground: &Ground, random: Random) {
        (self.round)(&mut Visitor::new(ground, random));
    }
}

/// What healthy clients of one kind have done, all of it answered rightly, and how long each answer took.
#[derive(Debug, Default)]
pub(crate) struct Visits {
    pub(crate) bytes: usize,
    pub(crate) latencies: Vec<Duration>,
}

impl fmt::Display for Visits {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let at = |percent: usize| {
            sorted
                .get(sorted.len().saturating_sub(1) * percent / 100)
                .copied()
                .unwrap_or_default()
        };
        write!(
            formatter,
            "{:>7} answers {:>11} B  p50 {:>10.1?}  p99 {:>10.1?}  max {:>10.1?}",
            sorted.len(),
            self.bytes,
            at(50),
            at(99),
            at(100)
        )
    }
}

/// One healthy client.
struct Visitor<'g> {
    ground: &'g Ground,
    random: Random,
    /// A connection from an earlier round.
    kept: Option<Client>,
    visits: Visits,
}

impl<'g> Visitor<'g> {
    fn new(ground: &'g Ground, random: Random) -> Self {
        Self {
            ground,
            random,
            kept: None,
            visits: Visits::default(),
        }
    }

    /// The connection of earlier rounds, or now and then a new one.
    fn connection(&mut self) -> Client {
        let kept = self.kept.take();
        let is_renewed = self.random.below(200) == 0;
        kept.filter(|_| !is_renewed)
            .unwrap_or_else(|| Client::connect(self.ground.address))
    }

    /// One exchange, with the time it takes and the bytes of its answer; the connection is kept.
    fn exchange(&mut self, exchange: impl FnOnce(&mut Client, &mut Random) -> usize) {
        let begun_at = Instant::now();
        let mut client = self.connection();
        let bytes = exchange(&mut client, &mut self.random);
        self.kept = Some(client);
        self.note(begun_at, bytes);
    }

    fn note(&mut self, begun_at: Instant, bytes: usize) {
        self.visits.bytes += bytes;
        self.visits.latencies.push(begun_at.elapsed());
    }
}

/// Bytes that no other request has.
fn random_bytes(random: &mut Random, len: usize) -> Vec<u8> {
    let words = (0..len.div_ceil(8)).flat_map(|_| random.next().to_le_bytes());
    words.take(len).collect()
}

fn ask_quick(client: &mut Client, program: Program) -> usize {
    let answer = client.ask(get(program.quick()));
    assert_eq!(answer.status, 200, "{}", answer.head);
    let is_right = match program {
        Program::Bootstrap => answer.body == b"Hello, World!",
        Program::Tour => answer.body == include_bytes!("../../examples/tour/index.html"),
    };
    assert!(is_right, "another content: {}", answer.text());
    answer.body.len()
}

fn kept_alive(visitor: &mut Visitor<'_>) {
    let program = visitor.ground.program;
    visitor.exchange(|client, _| ask_quick(client, program));
}

fn new_connection(visitor: &mut Visitor<'_>) {
    let begun_at = Instant::now();
    let mut client = Client::connect(visitor.ground.address);
    let bytes = ask_quick(&mut client, visitor.ground.program);
    visitor.note(begun_at, bytes);
}

fn echo(visitor: &mut Visitor<'_>) {
    let (path, len_max) = match visitor.ground.program {
        Program::Bootstrap => ("/echo", 100_000),
        Program::Tour => ("/small", 1024),
    };
    visitor.exchange(|client, random| echo_up_to(client, random, path, len_max));
}

fn large_echo(visitor: &mut Visitor<'_>) {
    visitor.exchange(|client, random| echo_up_to(client, random, "/echo", 3_000_000));
}

fn echo_up_to(client: &mut Client, random: &mut Random, path: &str, len_max: usize) -> usize {
    let len = random.below(len_max + 1);
    let body = random_bytes(random, len);
    let answer = client.ask(post(path, &body));
    assert_eq!(answer.status, 200, "{}", answer.head);
    assert!(answer.body == body, "another body came back");
    body.len()
}

fn send_chunked(client: &Client, random: &mut Random, start: &str, body: &[u8]) {
    client.send(format!(
        "{start} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    ));
    let mut rest = body;
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(rest.len().min(1 + random.below(30_000)));
        let size = format!("{:x}\r\n", piece.len());
        client.send([size.as_bytes(), piece, b"\r\n"].concat());
        rest = behind;
    }
    client.send("0\r\n\r\n");
}

fn chunked_echo(visitor: &mut Visitor<'_>) {
    visitor.exchange(|client, random| {
        let len = random.below(200_000);
        let body = random_bytes(random, len);
        send_chunked(client, random, "POST /echo", &body);
        let answer = client.answer();
        assert_eq!(answer.status, 200, "{}", answer.head);
        assert!(answer.body == body, "another body came back");
        len
    });
}

fn hashed_upload(visitor: &mut Visitor<'_>) {
    visitor.exchange(|client, random| {
        let len = random.below(500_000);
        let body = random_bytes(random, len);
        send_chunked(client, random, "PUT /upload", &body);
        let hash = Sha256::digest(&body);
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let answer = client.answer();
        assert_eq!(answer.status, 200, "{}", answer.head);
        let expected = format!("{len} bytes, SHA-256 {hash}\n");
        assert_eq!(answer.text(), expected, "what came was something else");
        len
    });
}

/// The platform's way to call a function: the payload comes back.
fn event(visitor: &mut Visitor<'_>) {
    visitor.exchange(|client, random| {
        let len = random.below(20_000);
        let payload = random_bytes(random, len);
        let head = format!(
            "POST /invoke HTTP/1.1\r\nHost: a\r\nx-fc-request-id: 1\r\nx-fc-control-path: /invoke\r\n\
             Content-Length: {len}\r\n\r\n"
        );
        let answer = client.ask([head.as_bytes(), &payload].concat());
        assert_eq!(answer.status, 200, "{}", answer.head);
        assert!(answer.body == payload, "another payload came back");
        len
    });
}

fn download(visitor: &mut Visitor<'_>) {
    visitor.exchange(|client, random| {
        let len = random.below(3_000_000);
        client.send(get(&format!("/zeros/{len}")));
        let head = client.head().expect("a head");
        assert_eq!(head.status, 200, "{}", head.head);
        let body = client.chunked().expect("a body to its end");
        assert_eq!(body.len(), len, "another length");
        assert!(body.iter().all(|byte| *byte == 0), "not all are zeros");
        len
    });
}

/// A part of the program's own file. Its server needs a descriptor for it, and may say so where there is none.
fn file_part(visitor: &mut Visitor<'_>) {
    let file = std::fs::read(visitor.ground.program.file()).expect("the program");
    let ground = visitor.ground;
    visitor.exchange(|client, random| {
        let first = random.below(file.len());
        let last = (first + random.below(1_000_000)).min(file.len() - 1);
        let request =
            format!("GET /file HTTP/1.1\r\nHost: a\r\nRange: bytes={first}-{last}\r\n\r\n");
        let moment = ground.now();
        let answer = client.ask(request);
        if answer.status == 500 && !ground.was_plentiful_since(moment) {
            return answer.body.len();
        }
        assert_eq!(answer.status, 206, "{}", answer.head);
        assert!(answer.body == file[first..=last], "another part");
        answer.body.len()
    });
}

fn lines_and_events(visitor: &mut Visitor<'_>) {
    visitor.exchange(|client, random| {
        let path = random.pick(&["/stream", "/sse"]);
        client.send(get(path));
        let head = client.head().expect("a head");
        assert_eq!(head.status, 200, "{}", head.head);
        let body = client.chunked().expect("a body to its end");
        let expected: String = match path {
            "/stream" => (0..10).map(|number| format!("line {number}\n")).collect(),
            _ => {
                let events =
                    (1..=5).map(|number| format!("id: {number}\ndata: token {number}\n\n"));
                events.collect::<String>() + "event: end\ndata: bye\n\n"
            }
        };
        assert_eq!(String::from_utf8_lossy(&body), expected, "{path}");
        body.len()
    });
}

fn promise(visitor: &mut Visitor<'_>) {
    let expected = "/promised was answered by a task\n";
    visitor.exchange(|client, _| ask_for(client, "/promised", expected));
}

fn pool(visitor: &mut Visitor<'_>) {
    let expected = "answered by thread \"handler\"\n";
    visitor.exchange(|client, _| ask_for(client, "/blocking", expected));
}

fn ask_for(client: &mut Client, path: &str, expected: &str) -> usize {
    let answer = client.ask(get(path));
    assert_eq!(answer.status, 200, "{}", answer.head);
    assert_eq!(answer.text(), expected, "{path}");
    expected.len()
}

fn web_socket(visitor: &mut Visitor<'_>) {
    let begun_at = Instant::now();
    let stream = TcpStream::connect(visitor.ground.address).expect("it listens");
    let patience = Some(super::loopback::PATIENCE);
    stream.set_read_timeout(patience).expect("a socket");
    let url = format!("ws://{}/websocket", visitor.ground.address);
    let (mut socket, response) = tungstenite::client(url, stream).expect("a handshake");
    assert_eq!(response.status().as_u16(), 101, "no upgrade");
    let len = visitor.random.below(50_000);
    let message = Message::binary(random_bytes(&mut visitor.random, len));
    socket.send(message.clone()).expect("room");
    let echo = socket.read().expect("an echo");
    assert!(echo == message, "another message came back");
    visitor.note(begun_at, len);
}
