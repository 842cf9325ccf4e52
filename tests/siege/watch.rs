//! The server seen by the kernel: what it holds, whether it sleeps; and the weather it has to live through.

use std::fmt;
use std::fs;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use super::ground::Ground;
use super::loopback::process::{Process, field_of, status};
use super::loopback::{PATIENCE, eventually, outlast};
use super::random::Random;

/// Looks at a server's context switches that must all see the same number for it to count as asleep.
const LOOKS_ASLEEP: usize = 20;
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);
/// How long a connect may wait for room in a backlog that is full.
const BACKLOG_PATIENCE: Duration = Duration::from_millis(100);
/// A server reports scarce descriptors this often at the most; see `EXHAUSTED_REPORT` in `src/limits.rs`.
const BETWEEN_REPORTS: Duration = Duration::from_secs(10);

/// What a server holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Holdings {
    pub(crate) descriptors: usize,
    pub(crate) threads: usize,
    /// Memory that is its own and no file's, in KiB.
    pub(crate) anonymous: u64,
    resident: u64,
    resident_peak: u64,
}

impl Holdings {
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

impl fmt::Display for Holdings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} descriptors, {} threads, {} KiB anonymous, {} KiB resident (peak {} KiB)",
            self.descriptors, self.threads, self.anonymous, self.resident, self.resident_peak
        )
    }
}

/// Context switches of all threads, given up or taken away.
fn switches(server: &Process) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{}/task", server.id)).expect("a process");
    let texts = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("status")).ok());
    let counts = texts.flat_map(|text| {
        ["voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"]
            .map(|field| field_of(&text, field))
    });
    counts.filter_map(|count| count?.parse::<u64>().ok()).sum()
}

/// Waits until it has as many descriptors and threads as before.
pub(crate) fn eventually_lets_go(server: &Process, before: &Holdings) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let now = Holdings::of(server);
        if (now.descriptors, now.threads) == (before.descriptors, before.threads) {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "it still has {now}, and had {before}"
        );
        outlast(BETWEEN_LOOKS);
    }
}

/// Waits until it sleeps: nothing of it runs over some looks.
pub(crate) fn eventually_sleeps(server: &Process) {
    eventually("the server sleeps", || {
        let before = switches(server);
        (0..LOOKS_ASLEEP).all(|_| {
            outlast(BETWEEN_LOOKS);
            switches(server) == before
        })
    });
}

/// Until the siege is over, the server is stopped in its tracks for moments, and has no descriptors for others.
#[derive(Debug, Default)]
pub(crate) struct Weather {
    pub(crate) freezes: usize,
    pub(crate) scarcities: usize,
}

impl Weather {
    /// One frost and one scarcity early on, and another pair each dozen seconds.
    pub(crate) fn pass(&mut self, ground: &Ground, server: &Process, mut random: Random) {
        ground.pause(milliseconds(500));
        loop {
            server.freeze();
            ground.pause(milliseconds(100 + random.below(400)));
            server.thaw();
            self.freezes += 1;
            ground.pause(milliseconds(500 + random.below(500)));
            scarcity(ground, server, milliseconds(random.below(1000)));
            self.scarcities += 1;
            // A server that has just reported what it lacks would keep silent about the next time.
            if !ground.pause(BETWEEN_REPORTS + milliseconds(random.below(2000))) {
                return;
            }
        }
    }
}

fn milliseconds(count: usize) -> Duration {
    Duration::from_millis(count as u64)
}

/// Leaves the server no more descriptors than it has open, until it has said so and for some time more.
fn scarcity(ground: &Ground, server: &Process, more: Duration) {
    let id = i32::try_from(server.id).ok().and_then(Pid::from_raw);
    let usual = getrlimit(Resource::Nofile);
    let enough = Holdings::of(server).descriptors;
    let scarce = Rlimit {
        current: Some(enough as u64),
        maximum: usual.maximum,
    };
    ground.on_change();
    prlimit(id, Resource::Nofile, scarce).expect("the server is ours");
    // Attackers who leave make room: this takes it, so that it is used up for certain.
    let mut taken = Vec::new();
    eventually("the server has noticed that descriptors are scarce", || {
        taken.push(TcpStream::connect_timeout(
            &ground.address,
            BACKLOG_PATIENCE,
        ));
        reports(server) > 0
    });
    ground.pause(more);
    prlimit(id, Resource::Nofile, usual).expect("the server is ours");
    ground.on_change();
}

/// How often the server has reported scarce descriptors since the last look. Whatever else it says is a defect.
pub(crate) fn reports(server: &Process) -> usize {
    let lines = server.lines_so_far();
    let is_report = |line: &String| line.starts_with("coldstart: no descriptor left");
    assert!(lines.iter().all(is_report), "{lines:?}");
    lines.len()
}
