//! R: what the processes hold after work.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::load::{Load, send};
use super::observation::{Break, Observation};
use super::subject::{Depth, Subject};
use crate::instance::Instance;
use crate::instance::process::eventually;
use crate::shortage;
use crate::system::{self, Work, blindness};
use crate::wire::Fault;

const THREADS_MAX: u64 = 1024;
/// Garbage collectors and allocators grow by this much without a leak.
const GROWTH_KB: u64 = 48 * 1024;
const DESCRIPTORS_MAX: u64 = 576;
/// Twice in a row: pools of connections and of threads grow at first.
const GROWTH_ROUNDS: u32 = 2;
const GROWTH_LOAD: Load = Load {
    requests: 100,
    time: Duration::from_secs(2),
};
/// A descriptor that is left open for one request in this many stays open for all of them in the end.
const REQUESTS_A_DESCRIPTOR: u64 = 4;
/// Fewer requests than this say nothing about growth.
const GROWTH_REQUESTS_MIN: u32 = 16;
/// How long a server may take to close what the last requests have opened.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);
/// A runtime may collect an ended child late, with the next one.
const ZOMBIES_MAX: usize = 4;
const REAP_PATIENCE: Duration = Duration::from_secs(3);
/// How long [`rest`] waits at most, for servers that are never at rest.
const REST_PATIENCE: Duration = Duration::from_secs(1);
/// What arrives for a thread makes it runnable at once, but not before the kernel has had a turn.
const REST_PERIOD: Duration = Duration::from_millis(15);
/// How long [`rest`] waits where it is not seen whether a thread has work.
const REST_UNSEEN: Duration = Duration::from_millis(100);
/// How often threads are looked at.
const SAMPLE_PERIOD: Duration = Duration::from_millis(5);
/// How often new processes are looked for.
const SAMPLES_A_SEARCH: u32 = 20;

const WARM_UP: Load = Load {
    requests: 200,
    time: Duration::from_secs(1),
};

impl Depth {
    const fn load(self) -> Load {
        match self {
            Self::Quick => Load {
                requests: 2_000,
                time: Duration::from_secs(3),
            },
            Self::Idle | Self::Full => Load {
                requests: 10_000,
                time: Duration::from_secs(30),
            },
        }
    }
}

/// R1: memory before and after many requests.
pub(crate) fn memory(subject: &Subject, instance: &Instance) -> Observation {
    let call = subject.plain(instance);
    send(subject, instance, &call, WARM_UP);
    let Some(before) = instance.memory_kb() else {
        return unseen("the memory");
    };
    let load = send(subject, instance, &call, subject.depth.load());
    let sent = load.requests;
    if let Some(fault) = &load.lost {
        return subject
            .broken_by(&format!("plain request {sent} in a row"), fault)
            .fix("find in the function's log what many requests use up")
            .into();
    }
    let Some(after) = instance.memory_kb() else {
        return unseen("the memory");
    };
    let limit_kb = subject.project.settings.memory_mb * 1024;
    let (before_mb, after_mb) = (before / 1024, after / 1024);
    if after > limit_kb {
        return Break::new(format!(
            "{after_mb} MB after {sent} requests, the function has {} MB",
            limit_kb / 1024
        ))
        .fix("give the function more memory, or hold less of it")
        .into();
    }
    if after > before + GROWTH_KB && after > before + before / 2 {
        return Break::new(format!(
            "from {before_mb} to {after_mb} MB in {sent} requests"
        ))
        .fix("find what grows with each request: caches without a bound, listeners, unread bodies")
        .into();
    }
    Observation::Held(format!(
        "{before_mb} MB, after {sent} requests {after_mb} MB"
    ))
}

/// What rounds of requests leave open.
enum Growth {
    /// As many descriptors as before, or too few requests to tell.
    Bounded,
    /// This many descriptors of this many requests.
    Open(u64, u32),
    /// A request got no response.
    Lost(Fault),
}

/// R2: threads and descriptors after everything else, and whether requests add to the descriptors.
pub(crate) fn handles(subject: &Subject, instance: &Instance) -> Observation {
    let growth = growth(subject, instance);
    let Some(usage) = instance.process.usage() else {
        return unseen("what is open");
    };
    // R3 reports these.
    let threads = usage.threads.saturating_sub(zombies_of(instance) as u64);
    if threads >= THREADS_MAX {
        return Break::new(format!("{threads} threads"))
            .fix("bound the thread pool")
            .into();
    }
    let seen = match growth {
        Growth::Open(opened, sent) => format!("{opened} descriptors of {sent} requests stay open"),
        _ if usage.descriptors > DESCRIPTORS_MAX => {
            format!("{} descriptors stay open", usage.descriptors)
        }
        Growth::Lost(fault) => {
            return Observation::Unseen(format!("a plain request got no response: {fault}"));
        }
        Growth::Bounded => {
            return Observation::Held(format!(
                "{threads} threads, {} descriptors",
                usage.descriptors
            ));
        }
    };
    Break::new(seen)
        .fix("close files, and connections whose caller has left")
        .into()
}

/// The descriptors that stay open with each round of requests, and the number of these requests. How many are open in
/// all would depend on how many requests the machine has managed so far.
fn growth(subject: &Subject, instance: &Instance) -> Growth {
    let usage = || instance.process.usage().unwrap_or_default();
    let open = || usage().descriptors;
    let call = subject.plain(instance);
    let first = open();
    let (mut before, mut all) = (first, 0);
    for _ in 0..GROWTH_ROUNDS {
        let load = send(subject, instance, &call, GROWTH_LOAD);
        if let Some(fault) = load.lost {
            return Growth::Lost(fault);
        }
        let sent = load.requests;
        let allowed = before + u64::from(sent) / REQUESTS_A_DESCRIPTOR;
        let is_closed = || open() < allowed;
        if sent < GROWTH_REQUESTS_MIN || eventually(Instant::now() + CLOSE_PATIENCE, is_closed) {
            return Growth::Bounded;
        }
        before = open();
        all += sent;
    }
    Growth::Open(before.saturating_sub(first), all)
}

/// R3: processes that have ended and that no parent has waited for.
pub(crate) fn zombies(_: &Subject, instance: &Instance) -> Observation {
    if blindness().is_some() {
        return unseen("what has ended");
    }
    let is_reaped = || zombies_of(instance) <= ZOMBIES_MAX;
    if eventually(Instant::now() + REAP_PATIENCE, is_reaped) {
        return Observation::Held("no zombies".to_owned());
    }
    Break::new(format!("{} ended processes were never waited for", zombies_of(instance)))
        .fix("wait for every child process; the start command is process 1, so orphans are its children too")
        .into()
}

fn zombies_of(instance: &Instance) -> usize {
    let members = instance.process.members();
    members
        .into_iter()
        .filter(|id| system::is_zombie(*id))
        .count()
}

/// What this system does not show.
fn unseen(what: &str) -> Observation {
    let blindness = blindness().unwrap_or("here");
    Observation::Unseen(format!("{blindness} it is not seen: {what} of a process"))
}

/// Acts, and tells for which part of that time a thread of the instance ran or waited for a processor. Unlike the
/// processor time, this does not depend on how much of the processors other programs leave to it. `None` if it is not seen.
pub(crate) fn share_of_work<T>(instance: &Instance, act: impl FnOnce() -> T) -> (T, Option<f64>) {
    if blindness().is_some() {
        return (act(), None);
    }
    let is_over = AtomicBool::new(false);
    let sampling = || {
        let (mut working, mut all) = (0_u32, 0_u32);
        let mut members = Vec::new();
        while !is_over.load(Ordering::Relaxed) {
            // All processes of this machine are read for it.
            if all % SAMPLES_A_SEARCH == 0 {
                members = instance.process.members();
            }
            all += 1;
            working += u32::from(members.iter().any(|id| system::works(*id, Work::Runs)));
            thread::sleep(SAMPLE_PERIOD);
        }
        f64::from(working) / f64::from(all.max(1))
    };
    thread::scope(|scope| {
        let sampled = shortage::spawn_scoped(scope, sampling);
        let result = act();
        is_over.store(true, Ordering::Relaxed);
        let share = sampled.ok().and_then(|sampled| sampled.join().ok());
        (result, share)
    })
}

/// Waits until the instance has done what it can do about all that has arrived so far: no thread of it has work. On a
/// busy machine a server gets to it late.
pub(crate) fn rest(instance: &Instance) {
    if blindness().is_some() {
        thread::sleep(REST_UNSEEN);
        return;
    }
    let is_busy = |member| system::works(member, Work::RunsOrWaits);
    let mut was_idle = false;
    eventually(Instant::now() + REST_PATIENCE, || {
        thread::sleep(REST_PERIOD);
        let is_idle = !instance.process.members().into_iter().any(is_busy);
        std::mem::replace(&mut was_idle, is_idle) && is_idle
    });
}
