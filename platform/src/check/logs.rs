//! L and E: what is written, when, and how a failure is told.

use std::collections::HashSet;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::observation::{Break, Observation};
use super::subject::Subject;
use crate::clock;
use crate::fix::Trouble;
use crate::instance::Instance;

/// What was written before the stop has come through the pipe by then.
const DRAIN: Duration = Duration::from_millis(60);
const LATE: Duration = Duration::from_millis(300);
/// As many requests as the other checks cut off on purpose.
const CUT_OFF_MAX: usize = 16;
const LAST_WORDS: Duration = Duration::from_secs(3);

/// E1: a failing handler marks its answer.
pub(crate) fn failures(subject: &Subject, instance: &Instance) -> Observation {
    let Some(path) = &subject.fault_path else {
        return Observation::Unseen("--fault-path names a path that fails".to_owned());
    };
    match subject.ask_once(instance, &subject.http(instance, "POST", path)) {
        Err(fault) => Break::fault(&format!("POST {path}"), &fault).into(),
        Ok(reply)
            if reply
                .answer
                .fields
                .text("x-fc-status")
                .is_some_and(|status| status == "404") =>
        {
            Observation::Held(format!("{} with x-fc-status: 404", reply.answer.status))
        }
        Ok(reply) => Break::new(format!(
            "{} without x-fc-status: counted as a success",
            reply.answer.status
        ))
        .fix("answer a failure with status 404 and the header x-fc-status: 404")
        .into(),
    }
}

/// L1: stop the process at the answer's last byte, as the platform does, and see what was still to come.
pub(crate) fn flushed(subject: &Subject, instance: &Instance) -> Observation {
    let token = format!("l{:016x}", clock::random());
    settle(instance);
    let before = instance.logs.total();
    let call = subject.http(instance, "GET", &format!("/coldstart-check/{token}"));
    let reply = subject.ask_once(instance, &call);
    instance.process.signal(Signal::STOP);
    if let Err(fault) = reply {
        instance.process.signal(Signal::CONT);
        return Break::fault("the request", &fault).into();
    }
    thread::sleep(DRAIN);
    let in_time = instance.logs.total() - before;
    instance.process.signal(Signal::CONT);
    thread::sleep(LATE);
    let late = instance.logs.total() - before - in_time;
    if late > 0 {
        return Break::new(format!("{late} lines came only after the answer"))
            .trouble(Trouble::Buffering)
            .into();
    }
    if in_time > 0 {
        return Observation::Held(format!("{in_time} lines, all before the answer's end"));
    }
    // Nothing yet: a full buffer would show it at the end at the latest.
    instance.process.signal(Signal::TERM);
    instance.process.wait(LAST_WORDS);
    if instance.logs.wait_for(&token, Duration::from_millis(100)) {
        return Break::new("the request's line was written when the process ended")
            .trouble(Trouble::Buffering)
            .into();
    }
    Observation::Unseen("the server logs nothing about a request".to_owned())
}

/// Waits until what earlier checks left behind is written.
fn settle(instance: &Instance) {
    let deadline = Instant::now() + LAST_WORDS;
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

/// L2: in everything that any instance wrote.
pub(crate) fn secrets(subject: &Subject) -> Observation {
    let record = subject.record();
    let mut lines = 0;
    for (logs, secrets) in &record.logs {
        for line in logs.lines() {
            lines += 1;
            if secrets.iter().any(|secret| line.contains(secret.as_str())) {
                return Break::new("a log line holds an access key's secret or a security token")
                    .fix("do not log headers or the environment as a whole; leave x-fc-access-key-* and x-fc-security-token out")
                    .into();
            }
        }
    }
    Observation::Held(format!("{lines} lines of {} starts", record.logs.len()))
}

/// L3: pairs of markers.
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
