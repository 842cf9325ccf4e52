//! From the start of a process to the first byte of its first answer, beside a floor and other servers.
//!
//! `cargo bench --bench coldstart -- [rounds=40] [cold=10] [only=ours] [also=FILE]`. Each round starts every program
//! in turn, so that whatever else the machine does falls on all of them. `minimal` and `hello` are examples, built as a user builds
//! a function: `minimal` starts by `coldstart::main!` as `bootstrap` does, `hello` by std's `main`. The child has one core
//! and the prober the other; the prober asks without pause. `also` measures another build of `bootstrap` beside this one.
//! Each program is started from a copy, written in one go as the platform unpacks a ZIP: a linker leaves its file in the page
//! cache in smaller pieces, of which the kernel maps fewer pages at once.
//! With `cold` rounds the file is thrown out of the page cache before each start; in all others the same
//! program was just started twice, uncounted.

#![expect(
    unsafe_code,
    clippy::print_stdout,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a benchmark times, prints, starts processes and may give up"
)]

mod support;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use support::machine::{Child, Cost, OUR_CORE, forget_file, pin};
use support::programs::{self, Program};
use support::{Table, median, setting, text_setting, text_settings};

const REQUEST: &[u8] = b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n";
const PATIENCE: Duration = Duration::from_secs(10);

/// A heading, its name in the file of results, its width. Times are in microseconds; ratios are to the floor.
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

/// One start.
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

/// Whoever followed a large program would find the processor's caches cold, and the small ones would pay most.
fn start_uncounted(program: &Program, port: u16) {
    for port in [port, port + 1] {
        measure(program, port, Duration::ZERO);
    }
}

fn run(programs: &[Program], rounds: usize, prepare: impl Fn(&Program, u16)) -> Vec<Series> {
    let mut series: Vec<Series> = programs.iter().map(|_| Series::default()).collect();
    // Below the range from which the kernel gives ports to whoever connects.
    let mut port = 10_000_u16;
    for round in 0..=rounds {
        for (program, series) in programs.iter().zip(&mut series) {
            port = if port > 20_000 { 10_000 } else { port + 2 };
            prepare(program, port + 10_000);
            let start = measure(program, port, pause(round));
            // The first round warms.
            if round > 0 {
                series.push(&start);
            }
        }
    }
    series
}

/// Before the first question. Those that are refused come at a beat of some 20 µs, and what listens just behind one would
/// look as if it were slower by all of it: the beat begins elsewhere each round.
fn pause(round: usize) -> Duration {
    Duration::from_micros(u64::try_from(round * 7 % 31).unwrap_or(0))
}

fn measure(program: &Program, port: u16, pause: Duration) -> Start {
    let arguments = program.arguments(port);
    let child = Child::start(&program.path, &arguments, port);
    let until = child.started_at + PATIENCE;
    let first_question = Instant::now() + pause;
    while Instant::now() < first_question {}
    let mut socket = connect(port, until);
    socket.set_nonblocking(true).expect("a socket");
    socket.write_all(REQUEST).expect("a request is small");
    let mut answer = [0_u8; 1024];
    let len = loop {
        match socket.read(&mut answer) {
            Ok(len) => break len,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                assert!(Instant::now() < until, "{} does not answer", program.name);
            }
            Err(error) => panic!("{}: {error}", program.name),
        }
    };
    let first_byte = child.started_at.elapsed();
    assert!(
        answer[..len].starts_with(b"HTTP/1.1 200"),
        "{} does not answer 200",
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
        assert!(Instant::now() < until, "nobody listens on port {port}");
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
    // `timeout` passes the signal on to strace, and strace to the program.
    // SAFETY: the process is our child and not waited for yet.
    unsafe { libc::kill(i32::try_from(strace.id()).ok()?, libc::SIGTERM) };
    drop(strace.wait());
    lines
}
