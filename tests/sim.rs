//! The whole loop over a made-up world, from a seed.
//!
//! `SIM_SEED=7 cargo test --test sim` replays one world with its trace; `SIM_SEEDS=100000` runs that many.
#![expect(
    clippy::disallowed_methods,
    reason = "which worlds are run is read from the environment, at the edge"
)]

#[path = "sim/calls.rs"]
mod calls;
#[path = "sim/handlers.rs"]
mod handlers;
#[path = "sim/scenarios.rs"]
mod scenarios;

use core::time::Duration;

use coldstart::sim::{Report, Tracing, run_seed, sweep_single_faults};

/// Worlds that every run of the tests visits.
const SEEDS: u64 = 400;

/// A fault in the loop fails many worlds; so many are named.
const FAILURES_SHOWN: usize = 20;

const SECOND: Duration = Duration::from_secs(1);

fn ask(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

fn post(path: &str, fields: &str, body: &str) -> String {
    let len = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: a\r\n{fields}Content-Length: {len}\r\n\r\n{body}")
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn every_seeded_world_keeps_the_rules() {
    if let Some(seed) = number("SIM_SEED") {
        if let Err(failure) = run_seed(seed, Tracing::On) {
            println!("{}", failure.trace.join("\n"));
            panic!("{failure}");
        }
        return;
    }
    let seeds = number("SIM_SEEDS").unwrap_or(SEEDS);
    let first = number("SIM_FIRST").unwrap_or(0);
    let mut total = Report::default();
    let mut failures = Vec::new();
    for seed in first..first + seeds {
        match run_seed(seed, Tracing::Off) {
            Ok(report) => total = total.and(&report),
            Err(failure) => failures.push(failure.to_string()),
        }
        if failures.len() == FAILURES_SHOWN {
            break;
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    println!("{seeds} worlds: {total:?}");
}

/// Mail and an event in one poll: the read that the mail set going was followed by one in vain, which is nobody's fault.
#[test]
fn worlds_that_failed_once_keep_the_rules() {
    for seed in [32_480, 36_852, 49_677, 86_979, 87_310, 106_597] {
        let failure = run_seed(seed, Tracing::Off).err();
        assert!(failure.is_none(), "{failure:?}");
    }
}

#[test]
fn every_single_fault_is_survived() {
    match sweep_single_faults() {
        Ok(plays) => println!("{plays} plays"),
        Err(what) => panic!("{what}"),
    }
}
