//! K: connections that are kept.

use std::thread;
use std::time::{Duration, Instant};

use super::observation::{Break, Observation};
use super::subject::{Depth, Subject, dial};
use crate::caller_error::CallerError;
use crate::clock::plain_seconds;
use crate::fix::Trouble;
use crate::instance::Instance;
use crate::wire::{Fault, Wire, readable_within};

/// Just past each common default: 2 and 5 s (gunicorn, Node, actix, uvicorn, Apache), 15, 30 (hyper), 60, 75 (nginx), 130.
const QUICK: [u64; 2] = [3, 6];
const IDLE: [u64; 7] = [3, 6, 16, 31, 61, 76, 131];
const FULL: [u64; 8] = [3, 6, 16, 31, 61, 76, 131, 960];
const REQUESTS: usize = 1000;

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

    /// How long the longest wait of these checks is.
    pub(crate) fn longest_idle(self) -> Duration {
        Duration::from_secs(self.idle_seconds().last().copied().unwrap_or(0))
    }
}

/// What a connection has done before it is left alone.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Past {
    Served,
    Silent,
}

/// K1: served once, idle, then a POST.
pub(crate) fn idle(subject: &Subject, instance: &Instance) -> Observation {
    idle_connections(subject, instance, Past::Served)
}

/// K1b: never used, idle, then a POST.
pub(crate) fn unused(subject: &Subject, instance: &Instance) -> Observation {
    idle_connections(subject, instance, Past::Silent)
}

fn idle_connections(subject: &Subject, instance: &Instance, past: Past) -> Observation {
    let times = subject.depth.idle_seconds();
    let results: Vec<Result<(), Break>> = thread::scope(|scope| {
        let waiting: Vec<_> = times
            .iter()
            .map(|seconds| {
                scope.spawn(|| one_idle(subject, instance, past, Duration::from_secs(*seconds)))
            })
            .collect();
        waiting
            .into_iter()
            .filter_map(|waiting| waiting.join().ok())
            .collect()
    });
    // The shortest wait that fails says most.
    results.into_iter().find_map(Result::err).map_or_else(
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
    let mut wire = dial(instance).map_err(|fault| Break::fault("connecting", &fault))?;
    if past == Past::Served {
        let reply = subject.ask(&mut wire, &subject.http(instance, "GET", "/"));
        let reply = reply.map_err(|fault| Break::fault("GET /", &fault))?;
        if !reply.answer.keeps_alive() {
            return Err(lost("the server closes after each answer".to_owned()));
        }
    }
    let began = Instant::now();
    if readable_within(wire.stream(), wait) {
        let after = began.elapsed().as_secs_f64();
        return Err(lost(format!(
            "an idle connection was closed after {after:.1} s"
        )));
    }
    let waited = plain_seconds(wait);
    subject
        .ask(&mut wire, &subject.event(instance, "idle"))
        .map(drop)
        .map_err(|fault| lost(format!("a POST after {waited} s idle: {fault}")))
}

fn lost(seen: String) -> Break {
    Break::new(seen)
        .caller(CallerError::ProcessExited)
        .trouble(Trouble::KeepAlive)
}

/// K2: many requests, one after the other.
pub(crate) fn many_requests(subject: &Subject, instance: &Instance) -> Observation {
    let mut wire = match dial(instance) {
        Ok(wire) => wire,
        Err(fault) => return Break::fault("connecting", &fault).into(),
    };
    // Bounded in time as well: a slow function is not a broken connection.
    let deadline = Instant::now() + Duration::from_secs(10);
    for number in 1..=REQUESTS {
        if Instant::now() > deadline {
            return Observation::Held(format!("{number} requests in 10 s"));
        }
        match subject.ask(&mut wire, &subject.http(instance, "GET", "/")) {
            Ok(reply) if reply.answer.keeps_alive() => {}
            Ok(_) => return lost(format!("closed after {number} requests")).into(),
            Err(fault) => {
                return lost(format!("request {number} on one connection: {fault}")).into();
            }
        }
    }
    Observation::Held(format!("{REQUESTS} requests"))
}

/// K3: what all answers so far said about their connection.
pub(crate) fn never_closes(subject: &Subject) -> Observation {
    let record = subject.record();
    record.closing.first().map_or_else(
        || Observation::Held(format!("{} answers, none closes", record.answers)),
        |status| {
            lost(format!(
                "{} of {} answers close, the first with status {status}",
                record.closing.len(),
                record.answers
            ))
            .into()
        },
    )
}

/// K4: every thread stopped for a while, as between two requests.
pub(crate) fn freeze(subject: &Subject, instance: &Instance) -> Observation {
    let wait = subject.depth.freeze();
    let prepared = prepare_frozen(subject, instance);
    let mut wires = match prepared {
        Ok(wires) => wires,
        Err(fault) => return Break::fault("before the freeze", &fault).into(),
    };
    instance.freeze();
    thread::sleep(wait);
    instance.thaw();
    for wire in &mut wires {
        if let Err(fault) = subject.ask(wire, &subject.event(instance, "thawed")) {
            let seen = format!(
                "a POST on an old connection after {} s frozen: {fault}",
                plain_seconds(wait)
            );
            return lost(seen).into();
        }
    }
    Observation::Held(format!(
        "{} s frozen, old connections work",
        plain_seconds(wait)
    ))
}

fn prepare_frozen(subject: &Subject, instance: &Instance) -> Result<Vec<Wire>, Fault> {
    let mut wires = vec![dial(instance)?, dial(instance)?];
    for wire in &mut wires {
        subject.ask(wire, &subject.http(instance, "GET", "/"))?;
    }
    Ok(wires)
}
