//! K: connections stay open.

use std::thread;
use std::time::{Duration, Instant};

use super::load::{Load, Quota};
use super::observation::{Break, Cause, Observation};
use super::subject::{Depth, Subject, dial};
use crate::caller_error::CallerError;
use crate::clock::plain_seconds;
use crate::fix::Trouble;
use crate::instance::Instance;
use crate::shortage;
use crate::wire::{Fault, Wire, readable_within};

/// Just past each common default: 2 and 5 s (gunicorn, actix, uvicorn, Apache, and Node, which adds up to 1 s), 15, 30
/// (hyper), 60, 75 (nginx), 130. Each is a second away from the next, since a busy machine is late.
const QUICK: [u64; 2] = [3, 7];
const IDLE: [u64; 7] = [3, 7, 16, 31, 61, 76, 131];
const FULL: [u64; 8] = [3, 7, 16, 31, 61, 76, 131, 960];
/// A slow function gets fewer requests: it has not closed the connection.
const REQUESTS: Load = Load {
    requests: 1000,
    time: Duration::from_secs(5),
};

impl Depth {
    const fn idle_seconds(self) -> &'static [u64] {
        match self {
            Self::Quick => &QUICK,
            Self::Idle => &IDLE,
            Self::Full => &FULL,
        }
    }

    const fn freeze(self) -> Duration {
        match self {
            Self::Quick => Duration::from_secs(3),
            Self::Idle | Self::Full => Duration::from_secs(60),
        }
    }

    /// More often than any timer on idle connections expires.
    const fn use_period(self) -> Duration {
        match self {
            Self::Quick => Duration::from_millis(500),
            Self::Idle | Self::Full => Duration::from_secs(1),
        }
    }

    /// The longest wait of these checks.
    pub(crate) fn longest_idle(self) -> Duration {
        Duration::from_secs(self.idle_seconds().last().copied().unwrap_or(0))
    }
}

/// What a connection has done before it is left idle.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Past {
    Served,
    Unused,
}

/// K1: one request, then idle, then a POST.
pub(crate) fn idle(subject: &Subject, instance: &Instance) -> Observation {
    idle_connections(subject, instance, Past::Served)
}

/// K1b: idle from the beginning, then a POST.
pub(crate) fn unused(subject: &Subject, instance: &Instance) -> Observation {
    idle_connections(subject, instance, Past::Unused)
}

fn idle_connections(subject: &Subject, instance: &Instance, past: Past) -> Observation {
    let times = subject.depth.idle_seconds();
    // The platform opens no more connections than the concurrency allows, and three checks share it.
    let room = (subject.project.settings.concurrency_max() / 3).max(1) as usize;
    let times = times
        .get(times.len().saturating_sub(room)..)
        .unwrap_or(times);
    let _turn = subject.turn();
    let waits = times
        .iter()
        .map(|seconds| || one_idle(subject, instance, past, Duration::from_secs(*seconds)));
    // The shortest wait that fails says most about the timer.
    shortage::at_once(waits)
        .into_iter()
        .find_map(Result::err)
        .map_or_else(
            || {
                Observation::Held(format!(
                    "idle up to {} s, then a POST",
                    plain_seconds(subject.depth.longest_idle())
                ))
            },
            Into::into,
        )
}

fn one_idle(
    subject: &Subject,
    instance: &Instance,
    past: Past,
    wait: Duration,
) -> Result<(), Break> {
    let mut wire = dial(instance).map_err(|fault| subject.broken_by("connecting", &fault))?;
    if past == Past::Served {
        let path = &subject.paths.plain;
        let reply = subject.ask(&mut wire, &subject.plain(instance));
        let reply = reply.map_err(|fault| subject.broken_by(&format!("GET {path}"), &fault))?;
        if !reply.head.keeps_alive() {
            return Err(closes_each());
        }
    }
    let began = Instant::now();
    if readable_within(wire.stream(), wait) {
        let after = began.elapsed().as_secs_f64();
        return Err(timer(
            past,
            format!("an idle connection was closed after {after:.1} s"),
        ));
    }
    let waited = plain_seconds(wait);
    match subject.ask(&mut wire, &subject.event(instance, "idle")) {
        Ok(_) => Ok(()),
        Err(Fault::TimedOut) => {
            let context = format!("a POST after {waited} s idle");
            Err(subject.broken_by(&context, &Fault::TimedOut))
        }
        Err(fault) => Err(timer(
            past,
            format!("a POST after {waited} s idle: {fault}"),
        )),
    }
}

/// The timer on connections that have served explains the one on all others.
fn timer(past: Past, seen: String) -> Break {
    match past {
        Past::Served => lost(seen)
            .is(Cause::IdleTimer)
            .follows(&[Cause::ClosesEach]),
        Past::Unused => lost(seen).follows(&[Cause::IdleTimer]),
    }
}

fn closes_each() -> Break {
    lost("the connection is closed after a response".to_owned())
        .follows(&[Cause::ClosesEach, Cause::NoResponse])
}

fn lost(seen: String) -> Break {
    Break::new(seen)
        .caller(CallerError::ProcessExited)
        .trouble(Trouble::KeepAlive)
}

/// K2: many requests, one after the other.
pub(crate) fn many_requests(subject: &Subject, instance: &Instance) -> Observation {
    let first = match use_up(subject, instance, REQUESTS, Duration::ZERO) {
        Use::Whole(sent) => return Observation::Held(format!("{sent} requests")),
        Use::Broken(broken) => return broken.into(),
        Use::Closed(closed) => closed,
    };
    // At half the pace, half as many requests fit into a connection's age. A maximum of them stays what it is.
    let pause = first.age / first.request.max(1);
    let slower = Load {
        time: REQUESTS.time * 2,
        ..REQUESTS
    };
    match use_up(subject, instance, slower, pause) {
        Use::Closed(second) if second.request == first.request => {
            lost(first.seen).is(Cause::MaxRequests).into()
        }
        Use::Closed(second) => lost(format!(
            "{} at the age of {:.1} s, the next one at {:.1} s",
            first.seen,
            first.age.as_secs_f64(),
            second.age.as_secs_f64()
        ))
        .follows(&[Cause::MaxAge, Cause::IdleTimer])
        .into(),
        Use::Whole(_) => lost(format!("{}, and another connection not at all", first.seen))
            .follows(&[Cause::MaxAge, Cause::IdleTimer])
            .into(),
        Use::Broken(broken) => broken.into(),
    }
}

/// How the requests on one connection ended.
enum Use {
    /// After this many, because they were enough.
    Whole(u32),
    Closed(Closed),
    Broken(Break),
}

/// A connection that the server has closed.
struct Closed {
    /// The last request with a response.
    request: u32,
    age: Duration,
    seen: String,
}

/// Asks on one connection, with a pause before each request but the first.
fn use_up(subject: &Subject, instance: &Instance, load: Load, pause: Duration) -> Use {
    let mut wire = match dial(instance) {
        Ok(wire) => wire,
        Err(fault) => return Use::Broken(subject.broken_by("connecting", &fault)),
    };
    let began = Instant::now();
    let mut quota = Quota::of(load);
    let closed = |request, seen| {
        Use::Closed(Closed {
            request,
            age: began.elapsed(),
            seen,
        })
    };
    while quota.has_room(began.elapsed()) {
        let number = quota.sent() + 1;
        if number > 1 {
            thread::sleep(pause);
        }
        let asking = Instant::now();
        match subject.ask(&mut wire, &subject.plain(instance)) {
            Ok(reply) if reply.head.keeps_alive() => quota.on_response(asking.elapsed()),
            Ok(_) if number == 1 => return Use::Broken(closes_each()),
            Ok(_) => return closed(number, format!("closed after {number} requests")),
            Err(Fault::Closed) if number == 2 => return Use::Broken(closes_each()),
            Err(Fault::Closed) => {
                return closed(number - 1, format!("closed before request {number}"));
            }
            Err(fault) => {
                let context = format!("request {number} on one connection");
                return Use::Broken(subject.broken_by(&context, &fault));
            }
        }
    }
    Use::Whole(quota.sent())
}

/// K2b: a connection that is used all the time is not closed for its age.
pub(crate) fn age(subject: &Subject, instance: &Instance) -> Observation {
    let _turn = subject.turn();
    let mut wire = match dial(instance) {
        Ok(wire) => wire,
        Err(fault) => return subject.broken_by("connecting", &fault).into(),
    };
    let began = Instant::now();
    let mut requests = 0;
    while began.elapsed() < subject.depth.longest_idle() {
        let closed = |seen: &str| {
            let age = began.elapsed().as_secs_f64();
            lost(format!(
                "{seen} at the age of {age:.1} s, while it was used"
            ))
            .is(Cause::MaxAge)
            .follows(&[
                Cause::ClosesEach,
                Cause::MaxRequests,
                Cause::IdleTimer,
                Cause::NoResponse,
            ])
        };
        match subject.ask(&mut wire, &subject.plain(instance)) {
            Ok(reply) if reply.head.keeps_alive() => {}
            Ok(_) => return closed("a response closed the connection").into(),
            Err(Fault::TimedOut) => {
                let context = format!("request {} on one connection", requests + 1);
                return subject.broken_by(&context, &Fault::TimedOut).into();
            }
            Err(_) => return closed("the connection was closed").into(),
        }
        requests += 1;
        if readable_within(wire.stream(), subject.depth.use_period()) {
            return closed("the connection was closed").into();
        }
    }
    Observation::Held(format!(
        "{requests} requests over {} s",
        plain_seconds(subject.depth.longest_idle())
    ))
}

/// K3: what all responses so far said about their connection.
pub(crate) fn never_closes(subject: &Subject) -> Observation {
    let record = subject.record();
    let (closing, all) = (record.closing.len() as u64, record.responses);
    let Some(status) = record.closing.first() else {
        return Observation::Held(format!("{all} responses, none closes"));
    };
    let broken = lost(format!(
        "{closing} of {all} responses close, the first with status {status}"
    ));
    if closing * 2 > all {
        broken.is(Cause::ClosesEach).into()
    } else {
        broken.follows(&[Cause::MaxRequests]).into()
    }
}

/// K4: every process of the function stopped for a while, as between two requests.
pub(crate) fn freeze(subject: &Subject, instance: &Instance) -> Observation {
    let wait = subject.depth.freeze();
    let mut wires = match prepare_frozen(subject, instance) {
        Ok(wires) => wires,
        Err(fault) => return subject.broken_by("before the freeze", &fault).into(),
    };
    instance.freeze();
    thread::sleep(wait);
    instance.thaw();
    let waited = plain_seconds(wait);
    for wire in &mut wires {
        match subject.ask(wire, &subject.event(instance, "thawed")) {
            Ok(_) => {}
            Err(Fault::TimedOut) => {
                let context = format!("a POST on an old connection after {waited} s frozen");
                return subject.broken_by(&context, &Fault::TimedOut).into();
            }
            Err(fault) => {
                return lost(format!(
                    "a POST on an old connection after {waited} s frozen: {fault}"
                ))
                .follows(&[Cause::ClosesEach, Cause::IdleTimer, Cause::NoResponse])
                .into();
            }
        }
    }
    Observation::Held(format!("{waited} s frozen, old connections work"))
}

fn prepare_frozen(subject: &Subject, instance: &Instance) -> Result<Vec<Wire>, Fault> {
    let count = subject.project.settings.concurrency_max().min(2);
    let mut wires = Vec::new();
    for _ in 0..count {
        let mut wire = dial(instance)?;
        subject.ask(&mut wire, &subject.plain(instance))?;
        wires.push(wire);
    }
    Ok(wires)
}
