//! R: what the process holds after work.

use std::time::{Duration, Instant};

use super::observation::{Break, Observation};
use super::subject::{Depth, Subject, dial};
use crate::instance::Instance;

const WARM_UP: u32 = 200;
const THREADS_MAX: u64 = 1024;
/// Growth that garbage collectors and allocators show without any leak.
const GROWTH_KB: u64 = 48 * 1024;
const DESCRIPTORS_SLACK: u64 = 64;

impl Depth {
    const fn load(self) -> (u32, Duration) {
        match self {
            Self::Quick => (2_000, Duration::from_secs(3)),
            Self::Idle | Self::Full => (10_000, Duration::from_secs(30)),
        }
    }
}

/// R1: memory before and after many requests.
pub(crate) fn memory(subject: &Subject, instance: &Instance) -> Observation {
    send(subject, instance, WARM_UP, Duration::from_secs(1));
    let before = instance.process.usage().memory_kb;
    let (requests, limit) = subject.depth.load();
    let sent = send(subject, instance, requests, limit);
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
    if usage.threads >= THREADS_MAX {
        return Break::new(format!("{} threads", usage.threads))
            .fix("bound the thread pool")
            .into();
    }
    let connections = usage.descriptors.saturating_sub(DESCRIPTORS_SLACK);
    if connections > 512 {
        return Break::new(format!("{} descriptors stay open", usage.descriptors))
            .fix("close connections whose client has left, and files")
            .into();
    }
    Observation::Held(format!(
        "{} threads, {} descriptors",
        usage.threads, usage.descriptors
    ))
}

fn send(subject: &Subject, instance: &Instance, requests: u32, limit: Duration) -> u32 {
    let deadline = Instant::now() + limit;
    let mut wire = None;
    let mut sent = 0;
    while sent < requests && Instant::now() < deadline {
        let Some(open) = wire.take().or_else(|| dial(instance).ok()) else {
            break;
        };
        let mut open = open;
        let reply = subject.ask(&mut open, &subject.http(instance, "GET", "/"));
        if reply.is_ok_and(|reply| reply.answer.keeps_alive()) {
            wire = Some(open);
        }
        sent += 1;
    }
    sent
}
