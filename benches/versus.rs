//! Requests per second, CPU time per request, latency and memory, next to a limit and other servers.
//!
//! `cargo bench --bench versus -- [rounds=3] [ms=500] [rate=10000] [only=ours] [also=FILE] [scenario=NAME]`. In
//! each round every scenario runs once against every server, each freshly started; with `only=may,nginx` these two
//! beside the limit and ours. The server has one core and the load the other, over loopback; figures are medians over
//! the rounds. The responses are checked before and after the timed run. What a server cannot do (nginx echoes no
//! body) is left out and listed above the table.
//!
//! `plain`, `pipelined`, `post`, `close` (a connection for each request) and `ten` (one for ten requests) are closed
//! loops. `rate` and `growth` send at a fixed rate whether or not the responses keep up, and latency counts from when a
//! request was due. `growth` is one load at half that rate, over one connection and over 10 000.
//!
//! At a rate, a thread of the lowest class takes what the server leaves of its core. So the core does not sleep, which
//! would be most of the CPU time, and on a virtual machine most of its noise. The thread sees when others have the core,
//! too: latencies of requests that waited for that do not count, and the table says which part does.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "benchmarks print, time, start processes and may panic"
)]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use support::load::{Lifetime, Pace, Plan};
use support::machine::{self, OUR_CORE, pin};
use support::programs::{self, Program};
use support::requests::{PORTS, Series, free_port, measure, ratio};
use support::table::Table;
use support::{median, setting, text_setting, text_settings};

const REQUEST: &[u8] =
    b"GET /hello HTTP/1.1\r\nHost: localhost:9000\r\nUser-Agent: versus/1\r\nAccept: */*\r\n\r\n";
const ONE_REQUEST: &[u8] = b"GET /hello HTTP/1.1\r\nHost: localhost:9000\r\nUser-Agent: versus/1\r\nConnection: close\r\n\r\n";
const GREETING: &[u8] = b"Hello, World!";
const IDLE_CONNECTIONS: usize = 4000;

fn scenarios(rate: usize) -> Vec<(&'static str, Plan)> {
    let plain = |connections| Plan {
        request: REQUEST.to_vec(),
        body: GREETING.to_vec(),
        depth: 1,
        connections,
        lifetime: Lifetime::KeptAlive,
        pace: Pace::Closed,
    };
    let at = |rate: f64, connections| Plan {
        pace: Pace::Rate(rate),
        ..plain(connections)
    };
    let pipelined = Plan {
        depth: 16,
        ..plain(64)
    };
    let body = vec![b'x'; 1024];
    let head = b"POST /echo HTTP/1.1\r\nHost: localhost:9000\r\nContent-Length: 1024\r\n\r\n";
    let post = Plan {
        request: [&head[..], &body].concat(),
        body,
        ..plain(64)
    };
    let close = Plan {
        request: ONE_REQUEST.to_vec(),
        lifetime: Lifetime::OneRequest,
        ..plain(64)
    };
    let ten = Plan {
        lifetime: Lifetime::Requests(10),
        ..plain(64)
    };
    let rate = rate as f64;
    vec![
        ("plain-1", plain(1)),
        ("plain-64", plain(64)),
        ("plain-1024", plain(1024)),
        ("plain-8000", plain(8000)),
        ("pipelined-64", pipelined),
        ("post-64", post),
        ("close-64", close),
        ("ten-64", ten),
        ("rate-64", at(rate, 64)),
        ("growth-1", at(rate / 2.0, 1)),
        ("growth-10000", at(rate / 2.0, 10_000)),
        ("idle", plain(IDLE_CONNECTIONS)),
    ]
}

fn main() {
    let (rounds, duration) = (
        setting("rounds", 3),
        Duration::from_millis(setting("ms", 500) as u64),
    );
    let wanted = text_setting("scenario");
    let mut scenarios = scenarios(setting("rate", 10_000));
    scenarios.retain(|(name, _)| {
        wanted
            .as_deref()
            .is_none_or(|wanted| name.starts_with(wanted))
    });
    let mut programs = vec![programs::limit()];
    programs.extend(
        programs::ours()
            .into_iter()
            .filter(|program| !programs::FUNCTIONS.contains(&program.name)),
    );
    programs.extend(text_settings("also").map(|path| programs::also(&path)));
    let only = text_setting("only");
    if only.as_deref() != Some("ours") {
        let mut peers = programs::peers();
        peers.retain(|peer| peer.name != "hyper-glibc");
        if let Some(names) = &only {
            for name in names.split(',') {
                let is_known = peers.iter().any(|peer| peer.name == name);
                assert!(is_known, "only={name}: no peer has this name");
            }
            peers.retain(|peer| names.split(',').any(|name| name == peer.name));
        }
        programs.extend(peers);
    }
    machine::allow_descriptors();
    pin(OUR_CORE);
    let mut series: Vec<Vec<Series>> = scenarios
        .iter()
        .map(|_| programs.iter().map(|_| Series::default()).collect())
        .collect();
    // The first reason of each, and how often.
    let mut failures = BTreeMap::new();
    let mut port = PORTS.start;
    for round in 1..=rounds {
        for ((name, plan), series) in scenarios.iter().zip(&mut series) {
            eprintln!("round {round} of {rounds}: {name}");
            for (program, series) in programs.iter().zip(series) {
                let is_unable = plan.request.starts_with(b"POST") && !program.is_able_to_echo();
                // A server that failed in the first round would fail again, and each failure takes long.
                if is_unable || round > 1 && series.cpu_per_request.is_empty() {
                    continue;
                }
                port = free_port(port);
                if let Err(why) = measure(program, port, plan, duration, series) {
                    eprintln!("  {name}: {} {why}", program.name);
                    let failure = failures
                        .entry((*name, program.name))
                        .or_insert_with(|| (why, 0_usize));
                    failure.1 += 1;
                }
            }
        }
    }
    let failures: Vec<String> = failures
        .iter()
        .map(|((scenario, program), (why, count))| match count {
            1 => format!("{scenario}: {program} {why}"),
            _ => format!("{scenario}: {program} {why}, and fails in {count} of {rounds} rounds"),
        })
        .collect();
    report(&scenarios, &programs, &series, &failures);
}

fn report(
    scenarios: &[(&'static str, Plan)],
    programs: &[Program],
    series: &[Vec<Series>],
    failures: &[String],
) {
    let columns = [
        "scenario",
        "program",
        "requests_s",
        "cpu_us",
        "cpu_x",
        "p50_us",
        "p99_us",
        "p999_us",
        "counted",
        "rss_bytes",
        "connection_bytes",
    ];
    let mut table = Table::new("versus", "cargo bench --bench versus", &columns);
    for failure in failures {
        table.remark("failed", failure);
    }
    for ((name, _), series) in scenarios.iter().zip(series) {
        println!(
            "\n{name:<14} {:>12} {:>12} {:>6} {:>30} {:>10} {:>12}",
            "requests/s", "CPU/request", "×", "p50 / p99 / p99.9 µs", "memory", "/connection"
        );
        let limit = series
            .first()
            .map_or(&[][..], |limit| &limit.cpu_per_request);
        for (program, series) in programs.iter().zip(series) {
            if series.cpu_per_request.is_empty() {
                continue;
            }
            let cpu = median(&series.cpu_per_request);
            let [p50, p99, p999] = &series.latency;
            let cells = [
                (*name).to_owned(),
                program.name.to_owned(),
                format!("{:.0}", median(&series.requests_per_second)),
                format!("{cpu:.3}"),
                format!("{:.3}", ratio(&series.cpu_per_request, limit)),
                format!("{:.0}", median(p50)),
                format!("{:.0}", median(p99)),
                format!("{:.0}", median(p999)),
                format!("{:.2}", median(&series.counted)),
                format!("{:.0}", median(&series.memory)),
                format!("{:.0}", median(&series.memory_per_connection)),
            ];
            let [
                _,
                program,
                requests,
                cpu,
                x,
                p50,
                p99,
                p999,
                counted,
                rss,
                connection,
            ] = &cells;
            let latency = if p50 == "NaN" {
                String::new()
            } else {
                format!("{p50} / {p99} / {p999} of {counted}")
            };
            println!(
                "{program:<14} {requests:>12} {cpu:>9} µs {x:>6} {latency:>30} {rss:>10} {connection:>12}"
            );
            table.row(&cells);
        }
    }
    table.save();
}
