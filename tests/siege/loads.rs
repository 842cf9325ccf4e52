//! Loads of one kind each, and the most memory that the server may take for them.

use std::fmt;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::loopback::process::Process;
use super::loopback::{Client, PATIENCE, eventually, get, pattern, post};
use super::monitor::Resources;
use super::run::Program;

/// The memory of the instance that the server believes to be in, in MB: the smallest that the platform has.
const INSTANCE: usize = 128;
/// The largest body that the server takes.
const BODY_LEN: usize = 32 * 1024 * 1024;
/// How often the healthy client asks during each load.
const HEALTHY_REQUESTS: usize = 40;

/// What misbehaving peers do.
pub(crate) struct Load {
    /// As the table in `SECURITY.md` names it.
    pub(crate) name: &'static str,
    connections: usize,
    attack: fn(&mut TcpStream),
    /// The status of at least one response, if the load gets one.
    status: Option<&'static str>,
}

pub(crate) const LOADS: &[Load] = &[
    Load {
        name: "1000 idle connections",
        connections: 1000,
        attack: |_| {},
        status: None,
    },
    Load {
        name: "500 heads of 15 KiB without an end",
        connections: 500,
        attack: |socket| {
            let field = format!("X-A: {}\r\n", "a".repeat(1000));
            send(socket, b"GET / HTTP/1.1\r\nHost: a\r\n");
            send(socket, field.repeat(15).as_bytes());
        },
        status: None,
    },
    Load {
        name: "24 bodies of 32 MiB to a page that takes none",
        connections: 24,
        attack: |socket| send_body(socket, "GET /"),
        status: Some("200"),
    },
    Load {
        name: "24 bodies of 32 MiB without their last byte",
        connections: 24,
        attack: |socket| send_body(socket, "POST /echo"),
        status: Some("503"),
    },
    Load {
        name: "24 chunked bodies of 32 MiB without an end",
        connections: 24,
        attack: |socket| {
            let head = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
            send(socket, head.as_bytes());
            let chunk = [b"10000\r\n", &pattern(65_536)[..], b"\r\n"].concat();
            for _ in 0..BODY_LEN / 65_536 {
                send(socket, &chunk);
            }
        },
        status: Some("503"),
    },
    Load {
        name: "200 times four responses of 1 MiB that are not read",
        connections: 200,
        attack: |socket| {
            let request = post("/echo", &pattern(1024 * 1024));
            for _ in 0..4 {
                send(socket, &request);
            }
        },
        status: None,
    },
    Load {
        name: "1000 announced bodies of 32 MiB that never come",
        connections: 1000,
        attack: |socket| {
            let head = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 33554432\r\n\r\n";
            send(socket, head.as_bytes());
        },
        status: Some("503"),
    },
];

/// A server that has refused this peer may no longer take its bytes.
fn send(socket: &mut TcpStream, bytes: &[u8]) {
    drop(socket.write_all(bytes));
}

fn send_body(socket: &mut TcpStream, request: &str) {
    let head = format!("{request} HTTP/1.1\r\nHost: a\r\nContent-Length: {BODY_LEN}\r\n\r\n");
    send(socket, head.as_bytes());
    send(socket, &pattern(BODY_LEN - 1));
}

/// What the server took for a load, and how healthy clients fared meanwhile.
pub(crate) struct Borne {
    /// The most resident memory, in KiB.
    pub(crate) peak: u64,
    latencies: Vec<Duration>,
}

impl fmt::Display for Borne {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (peak, latencies) = (self.peak, &self.latencies);
        let (median, max) = (
            latencies[latencies.len() / 2],
            latencies[latencies.len() - 1],
        );
        write!(formatter, "{peak} KiB, healthy p50 {median:?}, max {max:?}")
    }
}

impl Load {
    /// Puts the load on a server of its own, for which a shell first runs `shell`. A healthy client must be served meanwhile,
    /// and one large body once the load has gone.
    pub(crate) fn bear(&self, shell: &str) -> Borne {
        let (mut server, address) = Process::serve(|port| {
            let mut command = Command::new("sh");
            let script = format!("{shell}; exec \"$0\" --port {port}");
            command.args(["-c", &script]).arg(Program::Bootstrap.file());
            command.env("FC_FUNCTION_MEMORY_SIZE", INSTANCE.to_string());
            command
        });
        let sockets = self.attack_from_all(address);
        if let Some(status) = self.status {
            let name = self.name;
            eventually(&format!("{name}: a response with {status}"), || {
                sockets.iter().any(|socket| has_begun(socket, status))
            });
        }
        let latencies = healthy_latencies(address);
        drop(sockets);
        eventually("there is room for a large body again", || {
            let body = pattern(BODY_LEN);
            let response = Client::connect(address).request(post("/echo", &body));
            response.status == 200 && response.body == body
        });
        let peak = Resources::of(&server).resident_peak;
        assert_eq!(server.stop(), Some(0), "{}", self.name);
        Borne { peak, latencies }
    }

    /// Every connection attacks at the same time; all stay open.
    fn attack_from_all(&self, address: SocketAddr) -> Vec<TcpStream> {
        let attack = self.attack;
        let connect = move || {
            let mut socket = TcpStream::connect_timeout(&address, PATIENCE).expect("a server");
            // Longer than the server goes on reading from a peer that it has refused, were it stuck.
            let waits = Some(Duration::from_secs(1));
            socket.set_write_timeout(waits).expect("a socket");
            attack(&mut socket);
            socket
        };
        let mut sockets = Vec::new();
        let mut left = self.connections;
        while left > 0 {
            let wave = left.min(25);
            left -= wave;
            thread::scope(|scope| {
                let threads: Vec<_> = (0..wave).map(|_| scope.spawn(connect)).collect();
                let joined = threads.into_iter().map(|thread| thread.join());
                sockets.extend(joined.map(|socket| socket.expect("an attacker")));
            });
        }
        sockets
    }
}

/// Whether a response with this status has arrived. Nothing is taken from the socket.
fn has_begun(socket: &TcpStream, status: &str) -> bool {
    socket.set_nonblocking(true).expect("a socket");
    let mut begun = [0; 12];
    let is_there = matches!(socket.peek(&mut begun), Ok(12));
    is_there && begun.ends_with(status.as_bytes())
}

/// How long each request of a healthy client took, sorted.
fn healthy_latencies(address: SocketAddr) -> Vec<Duration> {
    let mut latencies: Vec<Duration> = (0..HEALTHY_REQUESTS)
        .map(|_| {
            let began_at = Instant::now();
            let response = Client::connect(address).request(get("/healthz"));
            assert_eq!(response.text(), "ok", "a healthy client is served");
            began_at.elapsed()
        })
        .collect();
    latencies.sort_unstable();
    latencies
}
