//! Time from spawn to the first byte of the first response, next to a floor and other servers.
//!
//! `cargo bench --bench coldstart -- [rounds=40] [cold=10] [only=ours] [also=FILE]`. Each round starts every
//! program in turn, so that noise on the machine hits all of them. `minimal` and `hello` are examples, built as a
//! user builds a function: `minimal` starts through `coldstart::main!` as `bootstrap` does, `hello` through a plain
//! `main`. The child runs on one core; the prober runs on the other and connects in a busy loop. `also` adds
//! another build of `bootstrap`.
//!
//! Each program is started from a copy, written in one go as the platform unpacks a ZIP: a linker leaves its file
//! in the page cache in smaller pieces, of which the kernel maps fewer pages at once. In `cold` rounds the file is
//! dropped from the page cache before each start. In the other rounds the same program was just started twice,
//! uncounted.

#![expect(
    unsafe_code,
    clippy::print_stdout,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "benchmarks print, time, start processes and may panic"
)]

mod support;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use support::machine::{Child, Cost, OUR_CORE, forget_file, pin};
use support::programs::{self, Program};
use support::table::Table;
use support::{median, setting, text_setting, text_settings};

const REQUEST: &[u8] = b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n";
const PATIENCE: Duration = Duration::from_secs(10);

/// Heading, name in the result file, width. Times are in microseconds; ratios are relative to the floor.
const COLUMNS: [(&str, &str, usize); 13] = [
    ("program", "program", 14),
    ("file", "file_bytes", 9),
    ("first byte", "first_byte_us", 10),
    ("×", "first_byte_x", 6),
    ("× hyper", "first_byte_hyper_x", 7),
    ("CPU", "cpu_us", 6),
    ("×", "cpu_x", 6),
    ("faults", "faults", 7),
    ("calls", "calls_to_listen", 6),
    ("cold", "cold_first_byte_us", 7),
    ("×", "cold_first_byte_x", 6),
    ("major", "cold_major_faults", 6),
    ("read", "cold_read_bytes", 9),
];

struct Start {
    first_byte: Duration,
    cost: Cost,
}

#[derive(Default)]
struct Series {
    first_byte: Vec<f64>,
    cpu: Vec<f64>,
    minor_faults: Vec<f64>,
    major_faults: Vec<f64>,
    read_len: Vec<f64>,
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

fn main() {
    let (rounds, cold_rounds) = (setting("rounds", 40), setting("cold", 10));
    let programs = all_programs();
    pin(OUR_CORE);
    let warm = run(&programs, rounds, start_uncounted);
    let cold = run(&programs, cold_rounds, |program, _| {
        forget_file(&program.path);
    });

    let mut table = Table::new(
        "coldstart",
        "cargo bench --bench coldstart",
        &COLUMNS.map(|column| column.1),
    );
    print_line(&COLUMNS.map(|column| column.0.to_owned()));
    let hyper = programs.iter().position(|program| program.name == "hyper");
    let hyper = hyper.map(|at| median(&warm[at].first_byte));
    for ((program, warm_series), cold_series) in programs.iter().zip(&warm).zip(&cold) {
        let x = |of: fn(&Series) -> &Vec<f64>, all: &[Series], series: &Series| {
            median(of(series)) / all.first().map_or(f64::NAN, |floor| median(of(floor)))
        };
        let cells = [
            program.name.to_owned(),
            program.file_len().to_string(),
            format!("{:.0}", median(&warm_series.first_byte)),
            format!("{:.2}", x(|series| &series.first_byte, &warm, warm_series)),
            hyper.map_or_else(
                || "-".to_owned(),
                |hyper| format!("{:.2}", median(&warm_series.first_byte) / hyper),
            ),
            format!("{:.0}", median(&warm_series.cpu)),
            format!("{:.2}", x(|series| &series.cpu, &warm, warm_series)),
            format!("{:.0}", median(&warm_series.minor_faults)),
            calls_to_listen(program).map_or_else(|| "-".to_owned(), |calls| calls.to_string()),
            format!("{:.0}", median(&cold_series.first_byte)),
            format!("{:.2}", x(|series| &series.first_byte, &cold, cold_series)),
            format!("{:.0}", median(&cold_series.major_faults)),
            format!("{:.0}", median(&cold_series.read_len)),
        ];
        print_line(&cells);
        table.row(&cells);
    }
    table.save();
}

fn print_line(cells: &[String; COLUMNS.len()]) {
    let mut line = String::new();
    for (cell, (_, _, width)) in cells.iter().zip(COLUMNS) {
        line.push_str(&format!("{cell:>width$} "));
    }
    println!("{line}");
}

fn all_programs() -> Vec<Program> {
    let mut programs = vec![programs::floor()];
    programs.extend(programs::ours());
    programs.push(programs::limit());
    programs.extend(text_settings("also").map(|path| programs::also(&path)));
    if text_setting("only").as_deref() != Some("ours") {
        programs.extend(programs::peers());
    }
    for program in &mut programs {
        program.unpack();
    }
    programs
}

/// Warms the CPU caches. Otherwise a program pays for the size of the one before it, and small programs pay most.
fn start_uncounted(program: &Program, port: u16) {
    for port in [port, port + 1] {
        measure(program, port, Duration::ZERO);
    }
}

fn run(programs: &[Program], rounds: usize, prepare: impl Fn(&Program, u16)) -> Vec<Series> {
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
    socket.write_all(REQUEST).expect("a request is small");
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

/// System calls from `execve` to `listen`, counted once.
fn calls_to_listen(program: &Program) -> Option<usize> {
    let port = 31_000;
    let log = support::results().join("strace.txt");
    drop(std::fs::remove_file(&log));
    let mut strace = Command::new("timeout");
    strace
        .args(["5", "strace", "-f", "-o"])
        .arg(&log)
        .arg(&program.path)
        .env("PORT", port.to_string())
        .args(program.arguments(port));
    strace
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null());
    let mut strace = strace.spawn().ok()?;
    let until = Instant::now() + Duration::from_secs(4);
    let lines = loop {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        if let Some(at) = text.lines().position(|line| line.contains(" listen(")) {
            break Some(at);
        }
        if Instant::now() > until {
            break None;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    // `timeout` passes the signal on to strace, and strace to the program. SAFETY: the process is our child and has
    // not been waited for.
    unsafe { libc::kill(i32::try_from(strace.id()).ok()?, libc::SIGTERM) };
    drop(strace.wait());
    lines
}
