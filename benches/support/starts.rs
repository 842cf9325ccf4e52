//! Starts of programs, in turns, and what each costs up to its first byte.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::machine::{Child, Cost};
use super::programs::Program;

const PATIENCE: Duration = Duration::from_secs(10);

struct Start {
    first_byte: Duration,
    cost: Cost,
}

/// The figures of one program, one per round.
#[derive(Default)]
pub(crate) struct Series {
    pub(crate) first_byte: Vec<f64>,
    pub(crate) cpu: Vec<f64>,
    pub(crate) minor_faults: Vec<f64>,
    pub(crate) major_faults: Vec<f64>,
    pub(crate) read_len: Vec<f64>,
}

impl Series {
    fn push(&mut self, start: &Start) {
        self.first_byte.push(start.first_byte.as_secs_f64() * 1e6);
        self.cpu.push(start.cost.cpu.as_secs_f64() * 1e6);
        self.minor_faults.push(start.cost.minor_faults as f64);
        self.major_faults.push(start.cost.major_faults as f64);
        self.read_len.push(start.cost.read_len as f64);
    }
}

/// Warms the CPU caches. Otherwise a program pays for the size of the one before it, and small programs pay most.
pub(crate) fn start_uncounted(program: &Program, port: u16) {
    for port in [port, port + 1] {
        measure(program, port, Duration::ZERO);
    }
}

pub(crate) fn run(
    programs: &[Program],
    rounds: usize,
    prepare: impl Fn(&Program, u16),
) -> Vec<Series> {
    let mut series: Vec<Series> = programs.iter().map(|_| Series::default()).collect();
    // Below the ephemeral ports.
    let mut port = 10_000_u16;
    for round in 0..=rounds {
        for (program, series) in programs.iter().zip(&mut series) {
            port = if port > 20_000 { 10_000 } else { port + 2 };
            prepare(program, port + 10_000);
            let start = measure(program, port, pause(round));
            // The first round is a warm-up.
            if round > 0 {
                series.push(&start);
            }
        }
    }
    series
}

/// How long to wait before the first connection attempt. A refused attempt takes some 20 µs, so a server that
/// starts to listen just after one would look 20 µs slower. Each round shifts the attempts.
fn pause(round: usize) -> Duration {
    Duration::from_micros(u64::try_from(round * 7 % 31).unwrap_or(0))
}

fn measure(program: &Program, port: u16, pause: Duration) -> Start {
    let arguments = program.arguments(port);
    let child = Child::start(&program.path, &arguments, port);
    let until = child.started_at + PATIENCE;
    let first_attempt = Instant::now() + pause;
    while Instant::now() < first_attempt {}
    let mut socket = connect(port, until);
    socket.set_nonblocking(true).expect("a socket");
    let request = program.first_request().as_bytes();
    socket.write_all(request).expect("a request is small");
    let mut response = [0_u8; 1024];
    let len = loop {
        match socket.read(&mut response) {
            Ok(len) => break len,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                assert!(Instant::now() < until, "{} does not respond", program.name);
            }
            Err(error) => panic!("{}: {error}", program.name),
        }
    };
    let first_byte = child.started_at.elapsed();
    assert!(
        response[..len].starts_with(b"HTTP/1.1 200"),
        "{} does not respond with 200",
        program.name
    );
    Start {
        first_byte,
        cost: child.end(),
    }
}

fn connect(port: u16, until: Instant) -> TcpStream {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    loop {
        if let Ok(socket) = TcpStream::connect(address) {
            return socket;
        }
        assert!(Instant::now() < until, "nothing listens on port {port}");
    }
}
