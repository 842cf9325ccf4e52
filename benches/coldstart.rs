//! Time from spawn to the first byte of the first response, next to a floor and other servers.
//!
//! `cargo bench --bench coldstart -- [rounds=40] [cold=10] [only=ours|steps] [also=FILE]`. Each round starts every
//! program in turn, so that noise on the machine hits all of them. `minimal` and `hello` are examples, built as a
//! user builds a function: `minimal` starts through `coldstart::main!` as `bootstrap` does, `hello` through a plain
//! `main`. `event` and `todos` are examples that do something: an event in JSON, and a REST API over a database in memory.
//! `axum` and `axum-coldstart` are one application, on hyper and on this server. ZIP and image are what
//! `coldstart pack` makes of a program. The child runs on one core;
//! the prober runs on the other and connects in a busy loop. `also` adds another build of
//! `bootstrap`. `only=steps` has `bootstrap` beside programs of system calls alone, which ask of the kernel step by step what it does.
//!
//! Each program is started from a copy, written in one go as the platform unpacks a ZIP: a linker leaves its file
//! in the page cache in smaller pieces, of which the kernel maps fewer pages at once. In `cold` rounds the file is
//! dropped from the page cache before each start. In the other rounds the same program was just started twice,
//! uncounted.

#![expect(
    unsafe_code,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "benchmarks print, time, start processes and may panic"
)]

mod support;

use std::process::Command;
use std::time::{Duration, Instant};

use support::machine::{OUR_CORE, forget_file, pin};
use support::packed::Packer;
use support::programs::{self, Program, Under};
use support::starts::{Series, run, start_uncounted};
use support::table::Table;
use support::{median, setting, text_setting, text_settings};

/// Heading, name in the result file, width. Times are in microseconds; ratios are relative to the floor.
const COLUMNS: [(&str, &str, usize); 15] = [
    ("program", "program", 14),
    ("file", "file_bytes", 9),
    ("ZIP", "zip_bytes", 9),
    ("image", "image_bytes", 9),
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

#[derive(Clone, Copy, Debug)]
enum Target {
    Cpu,
    FirstByte,
}

/// What a start may cost at most, × the floor: of the server alone, of a function by `main!`, and of one from std's `main`.
const TARGETS: [(&str, Target, f64); 4] = [
    ("bootstrap", Target::Cpu, 1.20),
    ("bootstrap", Target::FirstByte, 1.02),
    ("minimal", Target::FirstByte, 1.05),
    ("hello", Target::FirstByte, 1.08),
];

fn main() {
    let packer = Packer::new();
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
        let packed = packer.pack(program);
        let cells = [
            program.name.to_owned(),
            program.file_len().to_string(),
            or_dash(packed.zip),
            or_dash(packed.image),
            format!("{:.0}", median(&warm_series.first_byte)),
            format!("{:.2}", x(|series| &series.first_byte, &warm, warm_series)),
            hyper.map_or_else(
                || "-".to_owned(),
                |hyper| format!("{:.2}", median(&warm_series.first_byte) / hyper),
            ),
            format!("{:.0}", median(&warm_series.cpu)),
            format!("{:.2}", x(|series| &series.cpu, &warm, warm_series)),
            format!("{:.0}", median(&warm_series.minor_faults)),
            or_dash(calls_to_listen(program)),
            format!("{:.0}", median(&cold_series.first_byte)),
            format!("{:.2}", x(|series| &series.first_byte, &cold, cold_series)),
            format!("{:.0}", median(&cold_series.major_faults)),
            format!("{:.0}", median(&cold_series.read_len)),
        ];
        print_line(&cells);
        table.row(&cells);
    }
    table.save();
    print_targets(&programs, &warm);
}

fn or_dash(figure: Option<impl ToString>) -> String {
    figure.map_or_else(|| "-".to_owned(), |figure| figure.to_string())
}

/// What a start may cost at most, × the floor, and whether it does.
fn print_targets(programs: &[Program], warm: &[Series]) {
    println!();
    for (name, what, at_most) in TARGETS {
        let at = programs.iter().position(|program| program.name == name);
        let of = |series: &Series| match what {
            Target::Cpu => median(&series.cpu),
            Target::FirstByte => median(&series.first_byte),
        };
        let (Some(series), Some(floor)) = (at.and_then(|at| warm.get(at)), warm.first()) else {
            continue;
        };
        let measured = of(series) / of(floor);
        let verdict = if measured <= at_most {
            "met"
        } else {
            "not met"
        };
        println!("{name}: {what:?} {measured:.3} x floor, at most {at_most}: {verdict}");
    }
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
    let only = text_setting("only");
    if only.as_deref() == Some("steps") {
        programs.extend(programs::steps());
        programs.push(programs::bootstrap());
    } else {
        programs.extend(programs::ours());
        programs.extend(programs::real_functions());
        programs.extend(programs::axum(Under::Coldstart));
        programs.push(programs::limit());
    }
    programs.extend(text_settings("also").map(|path| programs::also(&path)));
    if only.is_none() {
        programs.extend(programs::peers());
    }
    for program in &mut programs {
        program.unpack();
    }
    programs
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
