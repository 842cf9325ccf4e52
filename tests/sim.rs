//! The whole loop in a deterministic simulation.
//!
//! `SIM_SEED=7 cargo test --test sim` replays one seed with its trace; `SIM_SEEDS=100000` runs that many, and `SWEEP_SEEDS=100`
//! sweeps as many random programs.
#![expect(
    clippy::disallowed_methods,
    reason = "the seeds are read from the environment"
)]

#[path = "sim/bodies.rs"]
mod bodies;
#[path = "sim/calls.rs"]
mod calls;
#[path = "sim/futures.rs"]
mod futures;
#[path = "sim/handlers.rs"]
mod handlers;
#[path = "sim/memory.rs"]
mod memory;
#[path = "sim/scenarios.rs"]
mod scenarios;
#[path = "sim/volatile.rs"]
mod volatile;

use core::time::Duration;

use coldstart::sim::{Report, Tracing, run_seed, sweep_programs, sweep_seed, sweep_single_faults};

/// The seeds of an ordinary run of the tests.
const SEEDS: u64 = 400;

/// One defect fails many seeds: this many are listed.
const FAILURES_SHOWN: usize = 20;

const SECOND: Duration = Duration::from_secs(1);

fn get(path: &str) -> String {
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
fn every_seed_keeps_the_invariants() {
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
    println!("{seeds} seeds: {total:?}");
    let is_short = seeds < SEEDS;
    assert!(is_short || total.budgets_spent > 0, "no budget was spent");
    let sent_or_not = (total.bytes_of_files > 0, total.files_refused > 0);
    assert!(is_short || sent_or_not == (true, true), "no file was sent");
}

#[test]
fn seeds_that_failed_once_keep_the_invariants() {
    // A wake-up and an event in one poll: the read after the wake-up took the bytes of the event, whose own read was needless.
    let woken = [32_480, 36_852, 49_677, 86_979, 87_310, 106_597];
    // A socket whose server had ended its side stood still.
    let half_closed = [3611, 4650, 5960, 6199, 9215];
    // A pulled body was left after the head of the response, so the end of the connection came unannounced.
    let left = [8242, 9395, 13_676];
    // Hundreds of spurious events while the machine froze and thawed, each of which has a read.
    let spurious = [3766];
    // Memory ran out while a part of an upgrade's response was sent, and 503 followed.
    let upgraded = [21_261];
    // A whole body for a handler that pulls it, and in the same go as many pieces of the next one as the budget allows.
    let whole = [21_940];
    let seeds = woken.into_iter().chain(half_closed).chain(left);
    // EAGAIN although a request had come, and then the connection made room for another.
    let evicted = [24_867];
    let seeds = seeds.chain(spurious).chain(upgraded).chain(whole);
    let seeds = seeds.chain(evicted);
    // The listening ended a millisecond after the time to drain had begun.
    let seeds = seeds.chain([12_396, 14_585]);
    // EAGAIN although a request had come, and then a stop.
    let seeds = seeds.chain([26_994]);
    // Memory ran out when HEAD was there, and the space after it was not.
    let seeds = seeds.chain([41_374]);
    for seed in seeds {
        let failure = run_seed(seed, Tracing::Off).err();
        assert!(failure.is_none(), "{failure:?}");
    }
}

#[test]
fn the_server_survives_every_single_fault() {
    match sweep_single_faults() {
        Ok((runs, report)) => {
            println!("{runs} runs: {report:?}");
            assert!(report.budgets_spent > 0, "no budget was spent: {report:?}");
        }
        Err(what) => panic!("{what}"),
    }
}

/// Random programs, and steps of each program, in an ordinary run of the tests.
const SWEPT: (u64, usize) = (2, 30);

#[test]
fn the_server_survives_each_reset_half_close_and_stop_at_each_step() {
    let first = number("SWEEP_FIRST").unwrap_or(0);
    let (seeds, steps) = number("SWEEP_SEEDS").map_or(SWEPT, |seeds| (seeds, 150));
    // All steps of the programs, if there is time.
    let steps_of_programs = if steps > SWEPT.1 { usize::MAX } else { steps };
    let programs = sweep_programs(steps_of_programs);
    let (mut runs, mut total) = programs.unwrap_or_else(|what| panic!("{what}"));
    for seed in first..first + seeds {
        let swept = sweep_seed(seed, steps);
        let replay = || format!("SWEEP_FIRST={seed} SWEEP_SEEDS=1 cargo test --test sim each_step");
        let (swept, report) = swept.unwrap_or_else(|what| panic!("{what}\nreplay: {}", replay()));
        runs += swept;
        total = total.and(&report);
    }
    println!("{runs} runs: {total:?}");
}
