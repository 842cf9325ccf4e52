//! Monitors the server through `/proc`, and injects freezes and descriptor shortages.

use std::fmt;
use std::fs;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::loopback::process::{Process, field_of, status};
use super::loopback::{PATIENCE, eventually, outlast};
use super::random::Random;
use super::run::Run;

/// This many samples of the context switch counter in a row must be equal for the server to count as asleep.
const EQUAL_SAMPLES: usize = 20;
const BETWEEN_SAMPLES: Duration = Duration::from_millis(10);
/// How long a connect may wait for room in a full backlog.
const BACKLOG_PATIENCE: Duration = Duration::from_millis(100);
/// The server reports a descriptor shortage at most this often; see `EXHAUSTED_REPORT` in `src/limits.rs`.
const BETWEEN_REPORTS: Duration = Duration::from_secs(10);

/// The resources that a server holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resources {
    pub(crate) descriptors: usize,
    pub(crate) threads: usize,
    /// Private memory, without file pages, in KiB.
    pub(crate) anonymous: u64,
    resident: u64,
    pub(crate) resident_peak: u64,
}

impl Resources {
    pub(crate) fn of(server: &Process) -> Self {
        let folder = format!("/proc/{}", server.id);
        let count = |name: &str| {
            let entries = fs::read_dir(format!("{folder}/{name}")).expect("a process");
            entries.count()
        };
        let rollup = fs::read_to_string(format!("{folder}/smaps_rollup")).expect("a process");
        let kib = |value: Option<String>| {
            let value = value.expect("a field of every process");
            let digits = value.trim_end_matches(" kB");
            digits.parse().expect("a number")
        };
        Self {
            descriptors: count("fd"),
            threads: count("task"),
            anonymous: kib(field_of(&rollup, "Anonymous")),
            resident: kib(field_of(&rollup, "Rss")),
            resident_peak: kib(status(server.id, "VmHWM")),
        }
    }
}

impl fmt::Display for Resources {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} descriptors, {} threads, {} KiB anonymous, {} KiB resident (peak {} KiB)",
            self.descriptors, self.threads, self.anonymous, self.resident, self.resident_peak
        )
    }
}

/// Voluntary and involuntary context switches of all threads.
fn switches(server: &Process) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{}/task", server.id)).expect("a process");
    let texts = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("status")).ok());
    let counts = texts.flat_map(|text| {
        ["voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"]
            .map(|field| field_of(&text, field))
    });
    counts.filter_map(|count| count?.parse::<u64>().ok()).sum()
}

/// Waits until the server has as many descriptors and threads as before.
pub(crate) fn eventually_frees(server: &Process, before: &Resources) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let now = Resources::of(server);
        if (now.descriptors, now.threads) == (before.descriptors, before.threads) {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "the server still holds {now}, and held {before}"
        );
        outlast(BETWEEN_SAMPLES);
    }
}

/// Waits until no thread of the server runs.
pub(crate) fn eventually_sleeps(server: &Process) {
    eventually("the server sleeps", || {
        let before = switches(server);
        (0..EQUAL_SAMPLES).all(|_| {
            outlast(BETWEEN_SAMPLES);
            switches(server) == before
        })
    });
}

/// The faults injected so far.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    pub(crate) freezes: usize,
    pub(crate) shortages: usize,
}

impl Faults {
    /// Injects one freeze and one shortage early on, then another pair every dozen seconds, until the siege is
    /// over.
    pub(crate) fn inject(&mut self, run: &Run, server: &Process, mut random: Random) {
        run.pause(milliseconds(500));
        loop {
            server.freeze();
            run.pause(milliseconds(100 + random.below(400)));
            server.thaw();
            self.freezes += 1;
            run.pause(milliseconds(500 + random.below(500)));
            descriptor_shortage(run, server, milliseconds(random.below(1000)));
            self.shortages += 1;
            // Wait, as a server that has just reported a shortage stays silent about the next one.
            if !run.pause(BETWEEN_REPORTS + milliseconds(random.below(2000))) {
                return;
            }
        }
    }
}

fn milliseconds(count: usize) -> Duration {
    Duration::from_millis(count as u64)
}

/// Uses up the server's descriptors until it has reported the shortage, and for `more` after that.
fn descriptor_shortage(run: &Run, server: &Process, more: Duration) {
    run.on_shortage_change();
    let mut taken = Vec::new();
    eventually("the server has noticed the descriptor shortage", || {
        taken.push(TcpStream::connect_timeout(&run.address, BACKLOG_PATIENCE));
        reports(server) > 0
    });
    run.pause(more);
    drop(taken);
    run.on_shortage_change();
}

/// How many descriptor shortages the server has reported since the last call. Any other line is a defect, except that a
/// freeze during a handler's call looks like a handler that blocks the loop.
pub(crate) fn reports(server: &Process) -> usize {
    let mut lines = server.lines_so_far();
    lines.retain(|line| !line.starts_with("coldstart: a handler blocked the loop"));
    let is_report = |line: &String| line.starts_with("coldstart: no descriptor left");
    assert!(lines.iter().all(is_report), "{lines:?}");
    lines.len()
}
