//! Well-behaved clients. Every one of their requests must get its correct response, whatever else happens.

use std::fmt;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use tungstenite::Message;

use super::loopback::{Client, get, post};
use super::random::Random;
use super::run::{Program, Run};

/// One kind of healthy client.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    round: fn(&mut HealthyClient<'_>),
    /// Between two rounds.
    pause: Duration,
}

const fn kind(name: &'static str, pause_ms: u64, round: fn(&mut HealthyClient<'_>)) -> Kind {
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
        kind("large response", 30, large_echo),
    ];
    const TOUR: &[Kind] = &[
        kind("GET, kept alive", 2, kept_alive),
        kind("GET, new connection", 3, new_connection),
        kind("POST, echo", 4, echo),
        kind("chunked, hashed", 10, hashed_upload),
        kind("pulled, both ways at once", 10, pulled_echo),
        kind("download", 20, download),
        kind("file in parts", 10, file_part),
        kind("lines and events", 20, lines_and_events),
        kind("promise", 10, promise),
        kind("pool", 10, pool),
        kind("future", 10, future),
        kind("WebSocket", 10, web_socket),
    ];
    match program {
        Program::Bootstrap => BOOTSTRAP,
        Program::Tour => TOUR,
    }
}

impl Kind {
    /// Runs rounds until the siege is over.
    pub(crate) fn run(&self, run: &Run, random: Random) -> Served {
        let mut healthy = HealthyClient::new(run, random);
        loop {
            (self.round)(&mut healthy);
            if !run.pause(self.pause) {
                return healthy.served;
            }
        }
    }

    /// Runs one round.
    pub(crate) fn run_once(&self, run: &Run, random: Random) {
        (self.round)(&mut HealthyClient::new(run, random));
    }
}

/// What the clients of one kind received, all of it checked, and how long each response took.
#[derive(Debug, Default)]
pub(crate) struct Served {
    pub(crate) bytes: usize,
    pub(crate) latencies: Vec<Duration>,
}

impl fmt::Display for Served {
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
            "{:>7} responses {:>11} B  p50 {:>10.1?}  p99 {:>10.1?}  max {:>10.1?}",
            sorted.len(),
            self.bytes,
            at(50),
            at(99),
            at(100)
        )
    }
}

/// One healthy client.
struct HealthyClient<'g> {
    run: &'g Run,
    random: Random,
    /// A connection from an earlier round.
    kept: Option<Client>,
    served: Served,
}

impl<'g> HealthyClient<'g> {
    fn new(run: &'g Run, random: Random) -> Self {
        Self {
            run,
            random,
            kept: None,
            served: Served::default(),
        }
    }

    /// Returns the connection of an earlier round, or sometimes a new one.
    fn connection(&mut self) -> Client {
        let kept = self.kept.take();
        let is_renewed = self.random.below(200) == 0;
        kept.filter(|_| !is_renewed)
            .unwrap_or_else(|| Client::connect(self.run.address))
    }

    /// Runs one exchange, records its latency and size, and keeps the connection.
    fn exchange(&mut self, exchange: impl FnOnce(&mut Client, &mut Random) -> usize) {
        let started_at = Instant::now();
        let mut client = self.connection();
        let bytes = exchange(&mut client, &mut self.random);
        self.kept = Some(client);
        self.record(started_at, bytes);
    }

    fn record(&mut self, started_at: Instant, bytes: usize) {
        self.served.bytes += bytes;
        self.served.latencies.push(started_at.elapsed());
    }
}

/// Bytes unlike those of any other request.
fn random_bytes(random: &mut Random, len: usize) -> Vec<u8> {
    let words = (0..len.div_ceil(8)).flat_map(|_| random.next().to_le_bytes());
    words.take(len).collect()
}

fn request_quick(client: &mut Client, program: Program) -> usize {
    let response = client.request(get(program.quick()));
    assert_eq!(response.status, 200, "{}", response.head);
    let is_right = match program {
        Program::Bootstrap => response.body == b"Hello, World!",
        Program::Tour => response.body == include_bytes!("../../examples/tour/index.html"),
    };
    assert!(is_right, "unexpected body: {}", response.text());
    response.body.len()
}

fn kept_alive(healthy: &mut HealthyClient<'_>) {
    let program = healthy.run.program;
    healthy.exchange(|client, _| request_quick(client, program));
}

fn new_connection(healthy: &mut HealthyClient<'_>) {
    let started_at = Instant::now();
    let mut client = Client::connect(healthy.run.address);
    let bytes = request_quick(&mut client, healthy.run.program);
    healthy.record(started_at, bytes);
}

fn echo(healthy: &mut HealthyClient<'_>) {
    let (path, len_max) = match healthy.run.program {
        Program::Bootstrap => ("/echo", 100_000),
        Program::Tour => ("/small", 1024),
    };
    healthy.exchange(|client, random| echo_up_to(client, random, path, len_max));
}

fn large_echo(healthy: &mut HealthyClient<'_>) {
    healthy.exchange(|client, random| echo_up_to(client, random, "/echo", 3_000_000));
}

fn echo_up_to(client: &mut Client, random: &mut Random, path: &str, len_max: usize) -> usize {
    let len = random.below(len_max + 1);
    let body = random_bytes(random, len);
    let response = client.request(post(path, &body));
    assert_eq!(response.status, 200, "{}", response.head);
    assert!(response.body == body, "the echo differs");
    body.len()
}

fn send_chunked(client: &Client, random: &mut Random, start: &str, body: &[u8]) {
    client.send(format!(
        "{start} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    ));
    let mut rest = body;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.len().min(1 + random.below(30_000)));
        let size = format!("{:x}\r\n", piece.len());
        client.send([size.as_bytes(), piece, b"\r\n"].concat());
        rest = after;
    }
    client.send("0\r\n\r\n");
}

fn chunked_echo(healthy: &mut HealthyClient<'_>) {
    healthy.exchange(|client, random| {
        let len = random.below(200_000);
        let body = random_bytes(random, len);
        send_chunked(client, random, "POST /echo", &body);
        let response = client.response();
        assert_eq!(response.status, 200, "{}", response.head);
        assert!(response.body == body, "the echo differs");
        len
    });
}

/// The response begins before the body ends. Little enough that the sockets hold what is not read yet.
fn pulled_echo(healthy: &mut HealthyClient<'_>) {
    healthy.exchange(|client, random| {
        let len = random.below(60_000);
        let body = random_bytes(random, len);
        send_chunked(client, random, "PUT /echo", &body);
        let head = client.head().expect("a response");
        assert_eq!(head.status, 200, "{}", head.head);
        assert!(
            client.chunked().expect("a body") == body,
            "the echo differs"
        );
        len
    });
}

fn hashed_upload(healthy: &mut HealthyClient<'_>) {
    healthy.exchange(|client, random| {
        let len = random.below(500_000);
        let body = random_bytes(random, len);
        send_chunked(client, random, "PUT /upload", &body);
        let hash = Sha256::digest(&body);
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let response = client.response();
        assert_eq!(response.status, 200, "{}", response.head);
        let expected = format!("{len} bytes, SHA-256 {hash}\n");
        assert_eq!(response.text(), expected, "the server hashed other bytes");
        len
    });
}

/// An event as the platform sends it; the payload comes back.
fn event(healthy: &mut HealthyClient<'_>) {
    healthy.exchange(|client, random| {
        let len = random.below(20_000);
        let payload = random_bytes(random, len);
        let head = format!(
            "POST /invoke HTTP/1.1\r\nHost: a\r\nx-fc-request-id: 1\r\nx-fc-control-path: /invoke\r\n\
             Content-Length: {len}\r\n\r\n"
        );
        let response = client.request([head.as_bytes(), &payload].concat());
        assert_eq!(response.status, 200, "{}", response.head);
        assert!(response.body == payload, "the echo differs");
        len
    });
}

fn download(healthy: &mut HealthyClient<'_>) {
    healthy.exchange(|client, random| {
        let len = random.below(3_000_000);
        client.send(get(&format!("/zeros/{len}")));
        let head = client.head().expect("a head");
        assert_eq!(head.status, 200, "{}", head.head);
        let body = client.chunked().expect("a complete body");
        assert_eq!(body.len(), len, "wrong length");
        assert!(body.iter().all(|byte| *byte == 0), "a byte is not zero");
        len
    });
}

/// Part of the program's own file. The server needs a descriptor for it, so a 500 is allowed during a shortage.
fn file_part(healthy: &mut HealthyClient<'_>) {
    let file = std::fs::read(healthy.run.program.file()).expect("the program");
    let run = healthy.run;
    healthy.exchange(|client, random| {
        let first = random.below(file.len());
        let last = (first + random.below(1_000_000)).min(file.len() - 1);
        let request =
            format!("GET /file HTTP/1.1\r\nHost: a\r\nRange: bytes={first}-{last}\r\n\r\n");
        let before = run.shortage_changes();
        let response = client.request(request);
        if response.status == 500 && !run.had_descriptors_since(before) {
            return response.body.len();
        }
        assert_eq!(response.status, 206, "{}", response.head);
        assert!(response.body == file[first..=last], "wrong part");
        response.body.len()
    });
}

fn lines_and_events(healthy: &mut HealthyClient<'_>) {
    healthy.exchange(|client, random| {
        let path = random.pick(&["/stream", "/sse"]);
        client.send(get(path));
        let head = client.head().expect("a head");
        assert_eq!(head.status, 200, "{}", head.head);
        let body = client.chunked().expect("a complete body");
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

fn promise(healthy: &mut HealthyClient<'_>) {
    let expected = "/promised was completed by a task\n";
    healthy.exchange(|client, _| request_path(client, "/promised", expected));
}

fn pool(healthy: &mut HealthyClient<'_>) {
    let expected = "served by thread \"handler\"\n";
    healthy.exchange(|client, _| request_path(client, "/blocking", expected));
}

fn future(healthy: &mut HealthyClient<'_>) {
    let expected = "awaited from thread \"handler\"\n";
    healthy.exchange(|client, _| request_path(client, "/awaited", expected));
}

fn request_path(client: &mut Client, path: &str, expected: &str) -> usize {
    let response = client.request(get(path));
    assert_eq!(response.status, 200, "{}", response.head);
    assert_eq!(response.text(), expected, "{path}");
    expected.len()
}

fn web_socket(healthy: &mut HealthyClient<'_>) {
    let started_at = Instant::now();
    let stream = TcpStream::connect(healthy.run.address).expect("it listens");
    let patience = Some(super::loopback::PATIENCE);
    stream.set_read_timeout(patience).expect("a socket");
    let url = format!("ws://{}/websocket", healthy.run.address);
    let (mut socket, response) = tungstenite::client(url, stream).expect("a handshake");
    assert_eq!(response.status().as_u16(), 101, "no upgrade");
    let len = healthy.random.below(50_000);
    let message = Message::binary(random_bytes(&mut healthy.random, len));
    socket.send(message.clone()).expect("room");
    let echo = socket.read().expect("an echo");
    assert!(echo == message, "the echo differs");
    healthy.record(started_at, len);
}
