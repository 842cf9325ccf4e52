//! Server-sent events: CPU time per event of servers that send one a second on each of many streams, and of bursts on one stream, in
//! turns.
//!
//! `cargo bench --bench sse -- [streams=10000] [seconds=5] [rounds=1] [ms=1000]`. Each server has one core and the client the other. The
//! client opens all streams, then counts the events of these seconds, and the server's CPU time meanwhile. Then it asks for bursts of
//! 2 000 events, one after another, for these milliseconds. Ours are written by async code on the loop, axum's are a stream that is
//! always ready, or come from a task through a channel. A thread sends them through a channel as well, on both.
//! Ours is this program again. Needs a descriptor per stream in each of two processes. A server that the machine cannot run is listed as
//! absent.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "benchmarks print, time, start processes and threads, and may panic"
)]

mod support;

use std::time::Duration;

use coldstart::message::{SendError, ServerSentEvent};
use coldstart::server::Limits;
use coldstart::{Request, Response, Server, interval};
use support::machine::{self, OUR_CORE, pin};
use support::programs::{self, Program};
use support::requests::ratio;
use support::streams::{BURST, PERIOD, Series, burst, measure};
use support::table::Table;
use support::{median, setting};

/// The argument with which this program is a server.
const SERVE: &str = "--serve";
/// Where the ratios come from.
const YARDSTICK: &str = "axum";

/// One form of burst of one server.
struct Bursts<'a> {
    name: &'static str,
    program: &'a Program,
    target: &'static str,
    /// CPU time per event, one of each round.
    cpu_per_event: Vec<f64>,
}

fn main() {
    let mut arguments = std::env::args().skip_while(|argument| argument != SERVE);
    if let Some(port) = arguments.nth(1).and_then(|port| port.parse().ok()) {
        return serve(port);
    }
    let (streams, rounds) = (setting("streams", 10_000), setting("rounds", 1));
    let seconds = Duration::from_secs(setting("seconds", 5) as u64);
    let window = Duration::from_millis(setting("ms", 1000) as u64);
    let (programs, channel) = programs::event_streams(SERVE);
    machine::allow_descriptors();
    pin(OUR_CORE);
    let mut series: Vec<Series> = programs.iter().map(|_| Series::default()).collect();
    let mut bursts = bursts(&programs, channel.as_ref());
    let mut failures = Vec::new();
    for round in 1..=rounds {
        for (program, series) in programs.iter().zip(&mut series) {
            eprintln!("round {round} of {rounds}: {}", program.name);
            if let Err(why) = measure(program, streams, seconds, series) {
                eprintln!("  {} {why}", program.name);
                failures.push(format!("{} {why}", program.name));
            }
        }
        for bursts in &mut bursts {
            eprintln!("round {round} of {rounds}: bursts of {}", bursts.name);
            match burst(bursts.program, bursts.target, window) {
                Ok(cpu) => bursts.cpu_per_event.push(cpu),
                Err(why) => {
                    eprintln!("  {} {why}", bursts.name);
                    failures.push(format!("burst: {} {why}", bursts.name));
                }
            }
        }
    }
    report(streams, &programs, &series, &bursts, &failures);
}

fn bursts<'a>(programs: &'a [Program], channel: Option<&'a Program>) -> Vec<Bursts<'a>> {
    let of = |name, program, target| Bursts {
        name,
        program,
        target,
        cpu_per_event: Vec::new(),
    };
    let mut all: Vec<_> = programs
        .iter()
        .map(|program| of(program.name, program, "/burst"))
        .collect();
    all.extend(channel.map(|axum| of("axum, task", axum, "/burst")));
    all.extend(channel.map(|axum| of("axum, thread", axum, "/thread")));
    let ours = programs.first();
    all.extend(ours.map(|ours| of("ours, thread", ours, "/thread")));
    all
}

fn serve(port: u16) {
    let limits = Limits::new().connections_max(20_000);
    let served = Server::new()
        .port(port)
        .limits(limits)
        .run(|request: &Request<'_>| match request.path() {
            "/burst" => events_at_once(),
            "/thread" => events_from_a_thread(),
            _ => an_event_a_second(),
        });
    served.expect("the server starts");
}

fn an_event_a_second() -> Response {
    Response::events(async |events| {
        let mut ticks = interval(PERIOD);
        loop {
            ticks.tick().await;
            events.send(&ServerSentEvent::new("@")).await?;
        }
    })
}

fn events_at_once() -> Response {
    Response::events(async |events| {
        for _ in 0..BURST {
            events.send(&ServerSentEvent::new("@")).await?;
        }
        Ok(())
    })
}

fn events_from_a_thread() -> Response {
    let (events, response) = Response::event_stream(64 * 1024);
    std::thread::spawn(move || {
        for _ in 0..BURST {
            events.send(&ServerSentEvent::new("@"))?;
        }
        events.finish();
        Ok::<(), SendError>(())
    });
    response
}

fn report(
    streams: usize,
    programs: &[Program],
    series: &[Series],
    bursts: &[Bursts<'_>],
    failures: &[String],
) {
    let columns = ["scenario", "program", "cpu_us", "x", "stream_bytes"];
    let mut table = Table::new("sse", "cargo bench --bench sse", &columns);
    for failure in failures {
        table.remark("failed", failure);
    }
    println!("\n{streams} streams, one event a second each\n");
    println!(
        "{:<14} {:>12} {:>8} {:>14}",
        "", "CPU/event", "× axum", "memory/stream"
    );
    let of_axum = programs.iter().position(|one| one.name == YARDSTICK);
    let of_axum = of_axum.and_then(|at| series.get(at));
    for (program, series) in programs.iter().zip(series) {
        let yardstick = of_axum.map_or(&[][..], |axum| &axum.cpu_per_event);
        let memory = format!("{:.0}", median(&series.memory_per_stream));
        let row = ["streams", program.name, &memory];
        print(&mut table, row, &series.cpu_per_event, yardstick);
    }
    println!("\nBursts of {BURST} events\n");
    println!("{:<14} {:>12} {:>8}", "", "CPU/event", "× axum");
    let of_axum = bursts.iter().find(|one| one.name == YARDSTICK);
    for one in bursts {
        let yardstick = of_axum.map_or(&[][..], |axum| &axum.cpu_per_event);
        print(
            &mut table,
            ["burst", one.name, ""],
            &one.cpu_per_event,
            yardstick,
        );
    }
    table.save();
}

fn print(table: &mut Table, row: [&str; 3], figures: &[f64], yardstick: &[f64]) {
    if figures.is_empty() {
        return;
    }
    let [scenario, name, memory] = row;
    let cpu = format!("{:.3}", median(figures));
    let x = format!("{:.3}", ratio(figures, yardstick));
    println!("{name:<14} {cpu:>9} µs {x:>8} {memory:>14}");
    table.row(&[scenario, name, &cpu, &x, memory].map(str::to_owned));
}
