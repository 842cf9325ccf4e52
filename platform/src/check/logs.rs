//! L and E: what the function writes, when, and how it reports a failure.

use std::collections::HashSet;
use std::thread;
use std::time::{Duration, Instant};

use super::load::{Load, send};
use super::observation::{Break, Observation};
use super::subject::Subject;
use crate::fix::Trouble;
use crate::instance::Instance;
use crate::wire::Fault;

/// What was written before the stop has come through the pipe by then, even on a busy machine.
const DRAIN: Duration = Duration::from_millis(300);
const LATE: Duration = Duration::from_millis(300);
/// A stop that comes this soon comes before anything that a server does later.
const PROMPT: Duration = Duration::from_millis(20);
/// This many stops have to show the same, of this many.
const AGREEING: u32 = 2;
const STOPS_MAX: u32 = 6;
const SETTLED: Duration = Duration::from_secs(3);
/// Enough lines to fill the buffer of any runtime, however short they are.
const LOAD: Load = Load {
    requests: 2000,
    time: Duration::from_secs(4),
};
/// A long query makes long lines of those that hold it.
const MARK_LEN: usize = 1000;
/// As many requests as the other checks cut off on purpose.
const CUT_OFF_MAX: usize = 32;

/// E1: a handler that fails marks its response.
pub(crate) fn failures(subject: &Subject, instance: &Instance) -> Observation {
    let Some(path) = &subject.paths.fault else {
        return Observation::Unseen("--fault-path names a path that fails".to_owned());
    };
    match subject.ask_once(instance, &subject.http(instance, "POST", path)) {
        Err(fault) => subject.broken_by(&format!("POST {path}"), &fault).into(),
        Ok(reply)
            if reply
                .head
                .fields
                .text("x-fc-status")
                .is_some_and(|status| status == "404") =>
        {
            Observation::Held(format!("{} with x-fc-status: 404", reply.head.status))
        }
        Ok(reply) => Break::new(format!(
            "{} without x-fc-status: it counts as a success",
            reply.head.status
        ))
        .fix("respond to a failure with status 404 and the header x-fc-status: 404")
        .into(),
    }
}

/// L1: stop the process at the response's last byte, as the platform does, and see which lines come later.
pub(crate) fn flushed(subject: &Subject, instance: &Instance) -> Observation {
    settle(instance);
    let before = instance.logs.total();
    let (mut in_time, mut late) = (0, 0);
    // A busy machine may stop the process late, or read a line late: once.
    for _ in 0..STOPS_MAX {
        let stopped = match stop_after_response(subject, instance) {
            Ok(stopped) => stopped,
            Err(fault) => return subject.broken_by("the request", &fault).into(),
        };
        late += u32::from(stopped.late > 0);
        in_time += u32::from(stopped.late == 0 && stopped.took < PROMPT);
        if late == AGREEING {
            return Break::new(format!(
                "{} lines came after the response only",
                stopped.late
            ))
            .trouble(Trouble::Buffering)
            .into();
        }
        if in_time == AGREEING {
            break;
        }
    }
    let lines = instance.logs.total() - before;
    if lines > 0 {
        return Observation::Held(format!("{lines} lines, all before the response's end"));
    }
    // No line at all: the server does not log requests, or a buffer holds the lines until it is full.
    let call = subject.marked(instance, &"l".repeat(MARK_LEN));
    let sent = send(subject, instance, &call, LOAD).requests;
    settle(instance);
    let lines = instance.logs.total() - before;
    if lines >= u64::from(sent / 2).max(2) {
        return Break::new(format!(
            "no line came with the first request, and {lines} lines with the next {sent}: a buffer held them"
        ))
        .trouble(Trouble::Buffering)
        .into();
    }
    Observation::Unseen("the server logs nothing about a request".to_owned())
}

struct Stopped {
    /// How long after its response.
    took: Duration,
    /// Lines that came only once it went on.
    late: u64,
}

fn stop_after_response(subject: &Subject, instance: &Instance) -> Result<Stopped, Fault> {
    let reply = subject.ask_once(instance, &subject.plain(instance));
    let responded = Instant::now();
    instance.process.freeze();
    let took = responded.elapsed();
    if reply.is_ok() {
        thread::sleep(DRAIN);
    }
    let in_time = instance.logs.total();
    instance.process.thaw();
    reply?;
    thread::sleep(LATE);
    let late = instance.logs.total() - in_time;
    Ok(Stopped { took, late })
}

/// Waits until the lines of earlier requests have arrived.
fn settle(instance: &Instance) {
    let deadline = Instant::now() + SETTLED;
    let mut last = instance.logs.total();
    while Instant::now() < deadline {
        thread::sleep(LATE);
        let now = instance.logs.total();
        if now == last {
            return;
        }
        last = now;
    }
}

/// L2: in all lines of all instances.
pub(crate) fn secrets(subject: &Subject) -> Observation {
    let record = subject.record();
    let mut lines = 0;
    for (logs, secrets) in &record.logs {
        for line in logs.lines() {
            lines += 1;
            if secrets.iter().any(|secret| line.contains(secret.as_str())) {
                return Break::new("a log line holds an access key's secret or a security token")
                    .fix("log neither all headers nor the whole environment; leave out x-fc-access-key-* and x-fc-security-token")
                    .into();
            }
        }
    }
    Observation::Held(format!("{lines} lines of {} starts", record.logs.len()))
}

/// L3: markers come in pairs.
pub(crate) fn markers(subject: &Subject) -> Observation {
    let record = subject.record();
    let mut open = HashSet::new();
    let mut pairs = 0;
    for line in record.logs.iter().flat_map(|(logs, _)| logs.lines()) {
        if let Some(id) = after(&line, "FC Invoke Start RequestId: ") {
            open.insert(id);
        } else if let Some(id) = after(&line, "FC Invoke End RequestId: ") {
            if !open.remove(&id) {
                return Break::new(format!("an end without a start: {id}")).into();
            }
            pairs += 1;
        }
    }
    match (pairs, open.len()) {
        (0, 0) => Observation::Unseen("markers are off, as 3.0 recommends".to_owned()),
        (_, 0) => Observation::Held(format!("{pairs} pairs")),
        // Requests that were cut off on purpose may lack their end.
        (1.., unfinished) if unfinished <= CUT_OFF_MAX => {
            Observation::Held(format!("{pairs} pairs, {unfinished} cut off"))
        }
        (_, unfinished) => Break::new(format!("{unfinished} starts without an end")).into(),
    }
}

fn after(line: &str, marker: &str) -> Option<String> {
    let rest = line.split_once(marker)?.1;
    Some(rest.split([',', ' ']).next().unwrap_or_default().to_owned())
}
