//! C: many requests at a time, and some that misbehave.

use std::time::{Duration, Instant};

use super::observation::{Break, Cause, Observation};
use super::resources::{rest, share_of_work};
use super::subject::{Subject, dial};
use crate::caller_error::CallerError;
use crate::clock::{self, human};
use crate::fix::Trouble;
use crate::instance::Instance;
use crate::shortage;
use crate::system::blindness;
use crate::wire::Fault;

const PATIENCE_MIN: Duration = Duration::from_secs(10);
/// A process that a connection has ended is only seen as ended a little later.
const END_NOTICE: Duration = Duration::from_millis(300);
const LEAVERS: usize = 10;
/// Requests that take less than this say nothing about waiting for each other.
const TIME_MIN: Duration = Duration::from_millis(50);
const COUNT_MIN: u32 = 4;
const ALONE: u32 = 4;
/// Responses that are mixed up now and then show in one burst of several. A machine that was busy for a moment does not
/// make a server look serial in all of them.
const BURSTS: u32 = 3;
/// Bursts that take this long are not repeated.
const AGAIN_MAX: Duration = Duration::from_millis(300);
/// No machine is busy for this long, so requests that take it wait for each other.
const CERTAIN_AFTER: Duration = Duration::from_secs(4);
/// No router sends these. The server may refuse them or close, and must go on.
const MALFORMED: [&[u8]; 3] = [
    b"BROKEN\x01 /\r\n\x00: x\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
];

/// C1: as many requests as are configured at a time, each with its own response.
pub(crate) fn at_a_time(subject: &Subject, instance: &Instance) -> Observation {
    let limit = subject.project.settings.concurrency_max();
    let alone = match quickest(subject, instance) {
        Ok(burst) => burst,
        Err(broken) => return broken.into(),
    };
    let together = match bursts(subject, instance, limit, alone.time) {
        Ok(together) => together,
        Err(broken) => return broken.into(),
    };
    if let Some(time) = together.serial {
        let seen = format!(
            "one request takes {}, {limit} at a time take {}",
            human(alone.time),
            human(time)
        );
        if !together.is_seen {
            let blindness = blindness().unwrap_or("here");
            return Observation::Unseen(format!(
                "{seen}; {blindness} it is not seen whether they wait for each other or for a processor"
            ));
        }
        return Break::new(format!(
            "{seen}: they wait for each other, and not for a processor"
        ))
        .trouble(Trouble::Serial)
        .is(Cause::Serial)
        .follows(&[Cause::OneWorker])
        .only_warn()
        .into();
    }
    let reflecting = alone.reflecting + together.reflecting;
    Observation::Held(match reflecting {
        0 => format!("{limit} at a time"),
        _ => format!("{limit} at a time, {reflecting} responses name their request"),
    })
}

/// What several bursts of the same size showed.
struct Bursts {
    /// Whether it is seen what the requests wait for.
    is_seen: bool,
    /// How long one took, if the requests waited for each other in all of them.
    serial: Option<Duration>,
    reflecting: usize,
}

fn bursts(
    subject: &Subject,
    instance: &Instance,
    limit: u32,
    alone: Duration,
) -> Result<Bursts, Break> {
    let mut is_serial = limit >= COUNT_MIN && alone >= TIME_MIN;
    let mut all = Bursts {
        is_seen: true,
        serial: None,
        reflecting: 0,
    };
    for _ in 0..BURSTS {
        let (together, work) = share_of_work(instance, || burst(subject, instance, limit, alone));
        let together = together?;
        all.reflecting += together.reflecting;
        // What has work all the time, or waits for a processor, cannot do more of it at once. A busy machine makes that
        // longer, but not the time without work.
        let idle = together.time.mul_f64(1.0 - work.unwrap_or_default());
        all.is_seen &= work.is_some();
        is_serial &= idle > (alone * limit).mul_f64(0.6);
        all.serial = is_serial.then_some(together.time);
        let again_max = if is_serial { CERTAIN_AFTER } else { AGAIN_MAX };
        if together.time > again_max {
            break;
        }
    }
    Ok(all)
}

/// One request at a time. A busy machine delays some of them, not all.
fn quickest(subject: &Subject, instance: &Instance) -> Result<Burst, Break> {
    let mut quickest = burst(subject, instance, 1, Duration::ZERO)?;
    for _ in 1..ALONE {
        let next = burst(subject, instance, 1, quickest.time)?;
        quickest.time = quickest.time.min(next.time);
        quickest.reflecting += next.reflecting;
    }
    Ok(quickest)
}

struct Burst {
    time: Duration,
    reflecting: usize,
}

fn burst(
    subject: &Subject,
    instance: &Instance,
    count: u32,
    alone: Duration,
) -> Result<Burst, Break> {
    let tokens: Vec<String> = (0..count)
        .map(|_| format!("t{:016x}", clock::random()))
        .collect();
    let patience = (PATIENCE_MIN.max(subject.patience()) + alone * count * 2)
        .min(subject.project.settings.timeout)
        .max(PATIENCE_MIN);
    let began = Instant::now();
    let asking = tokens
        .iter()
        .map(|token| move || ask(subject, instance, token, patience));
    let replies = shortage::at_once(asking);
    let time = began.elapsed();
    let mut reflecting = 0;
    for (token, reply) in tokens.iter().zip(replies) {
        let text = reply.map_err(|fault| {
            let broken = subject.broken_by(&format!("one of {count} at a time"), &fault);
            let is_late = matches!(fault, Fault::TimedOut) && alone >= TIME_MIN;
            broken.trouble(if is_late {
                Trouble::Serial
            } else {
                Trouble::Backlog
            })
        })?;
        if text.contains(token.as_str()) {
            reflecting += 1;
        } else if tokens.iter().any(|other| text.contains(other.as_str())) {
            return Err(Break::new("a response names another caller's request")
                .fix("keep nothing about a request in a variable that requests share"));
        }
    }
    Ok(Burst { time, reflecting })
}

fn ask(
    subject: &Subject,
    instance: &Instance,
    token: &str,
    patience: Duration,
) -> Result<String, Fault> {
    let call = subject.marked(instance, token);
    let mut wire = dial(instance)?;
    subject
        .ask_within(&mut wire, &call, patience)
        .map(|reply| reply.text())
}

/// C2: requests that fail leave the others alone.
pub(crate) fn one_fails(subject: &Subject, instance: &Instance) -> Observation {
    let mut failing: Vec<(String, Vec<u8>)> = MALFORMED
        .iter()
        .map(|bytes| ("a malformed request".to_owned(), bytes.to_vec()))
        .collect();
    if let Some(path) = &subject.paths.fault {
        let call = subject.http(instance, "POST", path);
        failing.push((format!("POST {path}"), call.to_bytes()));
    }
    for (what, bytes) in &failing {
        let beside = beside(subject, instance, bytes);
        let afterwards = subject
            .ask_once(instance, &subject.plain(instance))
            .map(drop);
        rest(instance);
        let is_alive = instance.process.notice_end(END_NOTICE).is_none();
        match (is_alive, beside.and(afterwards)) {
            (false, _) => {
                return Break::new(format!("the process ended after {what}"))
                    .caller(CallerError::ProcessExited)
                    .fix("catch the errors of each request: one crash fails every request of the instance")
                    .into();
            }
            (true, Err(fault)) => {
                return subject
                    .broken_by(&format!("a request next to {what}"), &fault)
                    .into();
            }
            (true, Ok(())) => {}
        }
    }
    let path = subject.paths.fault.as_deref();
    Observation::Held(format!(
        "others get their responses next to malformed requests{}",
        path.map_or_else(String::new, |path| format!(" and {path}"))
    ))
}

/// Sends failing bytes three times while others ask.
fn beside(subject: &Subject, instance: &Instance, bytes: &[u8]) -> Result<(), Fault> {
    let count = subject.project.settings.concurrency_max().min(8);
    let asking = (0..=count).map(|number| {
        move || {
            if number < count {
                return subject
                    .ask_once(instance, &subject.plain(instance))
                    .map(drop);
            }
            for _ in 0..3 {
                if let Ok(mut wire) = dial(instance) {
                    wire.send(bytes).ok();
                    // Some servers wait for more of it: no response is a response here.
                    if let Err(Fault::TimedOut) = wire.read_reply("POST", END_NOTICE) {
                        rest(instance);
                    }
                }
            }
            Ok(())
        }
    });
    shortage::at_once(asking).into_iter().collect()
}

/// C3: callers that leave in the middle.
pub(crate) fn leavers(subject: &Subject, instance: &Instance) -> Observation {
    let half = {
        let mut bytes = subject.event(instance, vec![b'x'; 4096]).to_bytes();
        bytes.truncate(bytes.len() - 2048);
        bytes
    };
    for number in 0..LEAVERS {
        let Ok(wire) = dial(instance) else { break };
        let bytes = if number % 2 == 0 {
            half.clone()
        } else {
            subject.plain(instance).to_bytes()
        };
        wire.send(&bytes).ok();
    }
    // A short backlog is C1's: the kernel repeats what did not fit into it after seconds only.
    let patience = PATIENCE_MIN.max(subject.patience());
    let afterwards = dial(instance)
        .and_then(|mut wire| subject.ask_within(&mut wire, &subject.plain(instance), patience));
    rest(instance);
    match (instance.process.notice_end(END_NOTICE), afterwards) {
        (Some(_), _) => Break::new("the process ended after callers left")
            .caller(CallerError::ProcessExited)
            .fix("treat a closed connection (EPIPE, ECONNRESET) as the end of that request alone; ignore SIGPIPE")
            .into(),
        (None, Err(fault)) => subject
            .broken_by("after callers left", &fault)
            .trouble(Trouble::Backlog)
            .into(),
        (None, Ok(_)) => Observation::Held(format!("{LEAVERS} left, the next one got its response")),
    }
}
