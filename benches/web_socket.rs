//! CPU time per message of many WebSocket connections that echo, and memory per idle one, next to axum.
//!
//! `cargo bench --bench web_socket -- [rounds=5] [ms=1000] [connections=512]`. In each round every message length runs once
//! against both servers, each freshly started: `examples/tour`, and axum with its feature `ws` on a current-thread runtime of
//! tokio, each as in its documentation. The server has one core and the load the other. All connections have a message on its way,
//! and each echo is compared. Figures are medians over the rounds, a ratio is the median of those of the rounds.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "benchmarks print, time, start processes and may panic"
)]

mod support;

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use support::machine::{Child, OUR_CORE, pin};
use support::programs::{self, Program};
use support::{median, setting};

const HANDSHAKE: &[u8] =
    b"GET /websocket HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
      Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const LENGTHS: [usize; 3] = [64, 1024, 16 * 1024];
const WARM_UP: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(15);

/// The figures of one server with one length, one per round.
#[derive(Default)]
struct Series {
    cpu: Vec<f64>,
    messages_per_second: Vec<f64>,
    memory: Vec<f64>,
}

fn main() {
    let (rounds, connections) = (setting("rounds", 5), setting("connections", 512));
    let duration = Duration::from_millis(setting("ms", 1000) as u64);
    let programs = programs::web_sockets();
    pin(OUR_CORE);
    let mut series: Vec<Vec<Series>> = LENGTHS
        .iter()
        .map(|_| programs.iter().map(|_| Series::default()).collect())
        .collect();
    for round in 1..=rounds {
        for (len, series) in LENGTHS.iter().zip(&mut series) {
            eprintln!("round {round} of {rounds}: {len} bytes");
            for (program, series) in programs.iter().zip(series) {
                measure(program, *len, connections, duration, series);
            }
        }
    }
    println!("{connections} connections");
    for (len, series) in LENGTHS.iter().zip(&series) {
        println!(
            "{:<16} {:>12} {:>6} {:>12} {:>14}",
            format!("{len} bytes"),
            "CPU/message",
            "×",
            "messages/s",
            "idle memory"
        );
        let yardstick = &series[0].cpu;
        for (program, series) in programs.iter().zip(series) {
            let ratios = series.cpu.iter().zip(yardstick);
            let ratios: Vec<f64> = ratios.map(|(figure, unit)| figure / unit).collect();
            println!(
                "{:<16} {:>9.3} µs {:>6.2} {:>12.0} {:>8.0} bytes",
                program.name,
                median(&series.cpu),
                median(&ratios),
                median(&series.messages_per_second),
                median(&series.memory)
            );
        }
    }
}

fn measure(
    program: &Program,
    len: usize,
    connections: usize,
    duration: Duration,
    series: &mut Series,
) {
    let port = free_port();
    let child = Child::start(&program.path, &program.arguments(port), port);
    let mut sockets = Sockets::new(len);
    sockets.open(port);
    sockets.echo();
    let before = child.memory();
    for _ in 1..connections {
        sockets.open(port);
    }
    sockets.echo();
    std::thread::sleep(Duration::from_millis(50));
    let memory = child.memory().saturating_sub(before) as f64;
    sockets.run(WARM_UP);
    let (cpu_before, began_at) = (child.cpu(), Instant::now());
    let messages = sockets.run(duration) as f64;
    let elapsed = began_at.elapsed().as_secs_f64();
    // Work after the last message is part of its cost.
    std::thread::sleep(Duration::from_millis(20));
    let cpu = child.cpu().saturating_sub(cpu_before);
    series.cpu.push(cpu.as_secs_f64() * 1e6 / messages);
    series.messages_per_second.push(messages / elapsed);
    series
        .memory
        .push(memory / (connections.saturating_sub(1).max(1)) as f64);
    drop(sockets);
    child.end();
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("a port").port()
}

/// The connections of one peer.
struct Sockets {
    sockets: Vec<TcpStream>,
    /// A masked message (RFC 6455 §5.2), and its echo.
    message: Vec<u8>,
    echo: Vec<u8>,
    buffer: Vec<u8>,
}

impl Sockets {
    /// `len` has at most sixteen bits.
    fn new(len: usize) -> Self {
        let mask = [1, 2, 3, 4];
        let payload: Vec<u8> = (0..len).map(|at| at.to_le_bytes()[0]).collect();
        let length = |mask_bit: u8| match u16::try_from(len).expect("sixteen bits") {
            len @ ..126 => vec![0x82, mask_bit | len.to_be_bytes()[1]],
            len => [&[0x82, mask_bit | 126], &len.to_be_bytes()[..]].concat(),
        };
        let masked = payload.iter().zip(mask.iter().cycle());
        let masked: Vec<u8> = masked.map(|(byte, mask)| byte ^ mask).collect();
        let echo = [length(0), payload].concat();
        Self {
            sockets: Vec::new(),
            message: [length(0x80), mask.to_vec(), masked].concat(),
            buffer: vec![0; echo.len()],
            echo,
        }
    }

    fn open(&mut self, port: u16) {
        let until = Instant::now() + PATIENCE;
        let mut socket = loop {
            match TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
                Ok(socket) => break socket,
                Err(error) => assert!(Instant::now() < until, "it listens: {error}"),
            }
        };
        socket.set_nodelay(true).expect("an option");
        socket.set_read_timeout(Some(PATIENCE)).expect("an option");
        socket.write_all(HANDSHAKE).expect("a request");
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            socket.read_exact(&mut byte).expect("a head");
            head.extend(byte);
        }
        assert!(head.starts_with(b"HTTP/1.1 101"), "it upgrades");
        self.sockets.push(socket);
    }

    /// One message on each connection.
    fn echo(&mut self) {
        for socket in &mut self.sockets {
            socket.write_all(&self.message).expect("room");
        }
        for socket in &mut self.sockets {
            socket.read_exact(&mut self.buffer).expect("an echo");
            assert!(self.buffer == self.echo, "other bytes");
        }
    }

    fn run(&mut self, duration: Duration) -> usize {
        let until = Instant::now() + duration;
        let mut messages = 0;
        while Instant::now() < until {
            self.echo();
            messages += self.sockets.len();
        }
        messages
    }
}
