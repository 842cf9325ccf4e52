//! R: what the processes hold after work.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::observation::{Break, Observation};
use super::subject::{Depth, Subject, dial};
use crate::instance::Instance;
use crate::instance::process::eventually;
use crate::shortage;
use crate::wire::exchange::Call;

const THREADS_MAX: u64 = 1024;
/// Garbage collectors and allocators grow by this much without a leak.
const GROWTH_KB: u64 = 48 * 1024;
const DESCRIPTORS_MAX: u64 = 576;
/// A runtime may collect an ended child late, with the next one.
const ZOMBIES_MAX: usize = 4;
const REAP_PATIENCE: Duration = Duration::from_secs(1);
/// How often threads are looked at.
const SAMPLE_PERIOD: Duration = Duration::from_millis(5);
/// How often new processes are looked for.
const SAMPLES_A_SEARCH: u32 = 20;

/// At most this many requests, in at most this time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) requests: u32,
    pub(crate) time: Duration,
}

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
    let before = instance.process.usage().memory_kb;
    let sent = send(subject, instance, &call, subject.depth.load());
    let after = instance.process.usage().memory_kb;
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

/// R2: threads and descriptors after everything else.
pub(crate) fn handles(_: &Subject, instance: &Instance) -> Observation {
    let usage = instance.process.usage();
    // R3 reports these.
    let threads = usage.threads.saturating_sub(zombies_of(instance) as u64);
    if threads >= THREADS_MAX {
        return Break::new(format!("{threads} threads"))
            .fix("bound the thread pool")
            .into();
    }
    if usage.descriptors > DESCRIPTORS_MAX {
        return Break::new(format!("{} descriptors stay open", usage.descriptors))
            .fix("close files, and connections whose caller has left")
            .into();
    }
    Observation::Held(format!(
        "{threads} threads, {} descriptors",
        usage.descriptors
    ))
}

/// R3: processes that have ended and that no parent has waited for.
pub(crate) fn zombies(_: &Subject, instance: &Instance) -> Observation {
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
    members.into_iter().filter(|id| is_zombie(*id)).count()
}

fn is_zombie(process: i32) -> bool {
    let folder = format!("/proc/{process}");
    stat(Path::new(&folder)).is_some_and(|fields| fields.first().is_some_and(|state| state == "Z"))
}

/// Acts, and tells for which part of that time a thread of the instance ran or waited for a processor. Unlike the
/// processor time, this does not depend on how much of the processors other programs leave to it.
pub(crate) fn share_of_work<T>(instance: &Instance, act: impl FnOnce() -> T) -> (T, f64) {
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
            working += u32::from(members.iter().any(|member| has_work(*member)));
            thread::sleep(SAMPLE_PERIOD);
        }
        f64::from(working) / f64::from(all.max(1))
    };
    thread::scope(|scope| {
        let sampled = shortage::spawn_scoped(scope, sampling);
        let result = act();
        is_over.store(true, Ordering::Relaxed);
        let share = sampled.map(|sampled| sampled.join().unwrap_or_default());
        (result, share.unwrap_or_default())
    })
}

/// Whether a thread of the process is running, or would be if a processor were free.
fn has_work(process: i32) -> bool {
    let threads = fs::read_dir(format!("/proc/{process}/task"));
    threads.into_iter().flatten().flatten().any(|thread| {
        let fields = stat(&thread.path());
        fields.is_some_and(|fields| fields.first().is_some_and(|state| state == "R"))
    })
}

/// The fields of `stat` in a folder of `/proc` from the state on. The name before them may hold anything.
fn stat(folder: &Path) -> Option<Vec<String>> {
    let line = fs::read_to_string(folder.join("stat")).ok()?;
    let (_, fields) = line.rsplit_once(") ")?;
    Some(fields.split(' ').map(str::to_owned).collect())
}

/// Sends a request again and again, on one connection if the server keeps it; gives how often.
pub(crate) fn send(subject: &Subject, instance: &Instance, call: &Call, load: Load) -> u32 {
    let deadline = Instant::now() + load.time;
    let mut wire = None;
    let mut sent = 0;
    while sent < load.requests && Instant::now() < deadline {
        let Some(mut open) = wire.take().or_else(|| dial(instance).ok()) else {
            break;
        };
        let reply = subject.ask(&mut open, call);
        if reply.is_ok_and(|reply| reply.head.keeps_alive()) {
            wire = Some(open);
        }
        sent += 1;
    }
    sent
}
