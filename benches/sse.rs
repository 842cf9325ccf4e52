//! Server-sent events: CPU time per event of servers that send one a second on each of many streams, in turns.
//!
//! `cargo bench --bench sse -- [streams=10000] [seconds=5] [rounds=1]`. Each server has one core and the client the other. The
//! client opens all streams, then counts the events of these seconds, and the server's CPU time meanwhile. Ours is this program
//! again. Needs a descriptor per stream in each of two processes. A server that the machine cannot run is listed as absent.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::expect_used,
    reason = "benchmarks print, time, start processes and may panic"
)]

mod support;

use std::time::Duration;

use coldstart::message::ServerSentEvent;
use coldstart::server::Limits;
use coldstart::{Request, Response, Server, interval};
use support::machine::{self, OUR_CORE, pin};
use support::programs::{self, Program};
use support::streams::{PERIOD, Series, measure};
use support::table::Table;
use support::{median, setting};

/// The argument with which this program is a server.
const SERVE: &str = "--serve";

fn main() {
    let mut arguments = std::env::args().skip_while(|argument| argument != SERVE);
    if let Some(port) = arguments.nth(1).and_then(|port| port.parse().ok()) {
        return serve(port);
    }
    let (streams, rounds) = (setting("streams", 10_000), setting("rounds", 1));
    let seconds = Duration::from_secs(setting("seconds", 5) as u64);
    let programs = programs::event_streams(SERVE);
    machine::allow_descriptors();
    pin(OUR_CORE);
    let mut series: Vec<Series> = programs.iter().map(|_| Series::default()).collect();
    let mut failures = Vec::new();
    for round in 1..=rounds {
        for (program, series) in programs.iter().zip(&mut series) {
            eprintln!("round {round} of {rounds}: {}", program.name);
            if let Err(why) = measure(program, streams, seconds, series) {
                eprintln!("  {} {why}", program.name);
                failures.push(format!("{} {why}", program.name));
            }
        }
    }
    report(streams, &programs, &series, &failures);
}

fn serve(port: u16) {
    let limits = Limits::new().connections_max(20_000);
    let served = Server::new()
        .port(port)
        .limits(limits)
        .run(|_: &Request<'_>| {
            Response::events(async |events| {
                let mut ticks = interval(PERIOD);
                loop {
                    ticks.tick().await;
                    events.send(&ServerSentEvent::new("@")).await?;
                }
            })
        });
    served.expect("the server starts");
}

fn report(streams: usize, programs: &[Program], series: &[Series], failures: &[String]) {
    let columns = ["program", "events_s", "cpu_us", "cpu_x", "stream_bytes"];
    let mut table = Table::new("sse", "cargo bench --bench sse", &columns);
    for failure in failures {
        table.remark("failed", failure);
    }
    println!("\n{streams} streams, one event a second each\n");
    println!(
        "{:<12} {:>10} {:>12} {:>7} {:>13}",
        "", "events/s", "CPU/event", "×", "memory/stream"
    );
    let ours = series
        .first()
        .map_or(f64::NAN, |ours| median(&ours.cpu_per_event));
    for (program, series) in programs.iter().zip(series) {
        if series.cpu_per_event.is_empty() {
            continue;
        }
        let cpu = median(&series.cpu_per_event);
        let cells = [
            program.name.to_owned(),
            format!("{:.0}", median(&series.events_per_second)),
            format!("{cpu:.3}"),
            format!("{:.3}", cpu / ours),
            format!("{:.0}", median(&series.memory_per_stream)),
        ];
        let [name, rate, cpu, ratio, memory] = &cells;
        println!("{name:<12} {rate:>10} {cpu:>9} µs {ratio:>7} {memory:>13}");
        table.row(&cells);
    }
    table.save();
}
