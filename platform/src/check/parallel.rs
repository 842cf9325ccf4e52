//! C: many at a time, and some that misbehave.

use std::thread;
use std::time::Duration;

use super::observation::{Break, Observation};
use super::subject::{Subject, dial};
use crate::caller_error::CallerError;
use crate::clock;
use crate::fix::Trouble;
use crate::instance::Instance;
use crate::wire::Fault;
use crate::wire::exchange::Call;

const PATIENCE: Duration = Duration::from_secs(10);
/// A process that dies of a connection is not seen to have ended at once.
const END_NOTICE: Duration = Duration::from_millis(300);
const LEAVERS: usize = 10;

/// C1: each answer to its own request.
pub(crate) fn at_a_time(subject: &Subject, instance: &Instance) -> Observation {
    let mut reflecting = 0;
    let limit = subject.project.settings.concurrency_tested();
    for count in [1, 20, 200].map(|count| limit.min(count)) {
        match burst(subject, instance, count) {
            Ok(reflected) => reflecting += reflected,
            Err(broken) => return broken.into(),
        }
    }
    Observation::Held(match reflecting {
        0 => format!("up to {limit} at a time, all answered"),
        _ => format!("up to {limit} at a time, {reflecting} answers name their request"),
    })
}

fn burst(subject: &Subject, instance: &Instance, count: u32) -> Result<usize, Break> {
    let tokens: Vec<String> = (0..count)
        .map(|_| format!("t{:016x}", clock::random()))
        .collect();
    let replies: Vec<Result<String, Fault>> = thread::scope(|scope| {
        let asking: Vec<_> = tokens
            .iter()
            .map(|token| scope.spawn(|| ask(subject, instance, token)))
            .collect();
        asking
            .into_iter()
            .filter_map(|asking| asking.join().ok())
            .collect()
    });
    let mut reflected = 0;
    for (token, reply) in tokens.iter().zip(replies) {
        let text = reply.map_err(|fault| {
            Break::fault(&format!("one of {count} at a time"), &fault).trouble(Trouble::Backlog)
        })?;
        if text.contains(token.as_str()) {
            reflected += 1;
        } else if tokens.iter().any(|other| text.contains(other.as_str())) {
            return Err(Break::new("an answer names another caller's request")
                .fix("keep nothing about a request in a variable that requests share"));
        }
    }
    Ok(reflected)
}

fn ask(subject: &Subject, instance: &Instance, token: &str) -> Result<String, Fault> {
    let call = subject
        .http(instance, "POST", &format!("/coldstart-check/{token}"))
        .body(token.as_bytes());
    let mut wire = dial(instance)?;
    subject
        .ask_within(&mut wire, &call, PATIENCE)
        .map(|reply| reply.text())
}

/// C2: a request that fails, beside others that do not.
pub(crate) fn one_fails(subject: &Subject, instance: &Instance) -> Observation {
    let (what, bytes) = subject.fault_path.as_ref().map_or_else(
        || {
            (
                "malformed requests".to_owned(),
                b"BROKEN\x01 /\r\n\x00: x\r\n\r\n".to_vec(),
            )
        },
        |path| {
            (
                path.clone(),
                subject.http(instance, "POST", path).to_bytes(),
            )
        },
    );
    let failed = thread::scope(|scope| {
        let healthy: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| subject.ask_once(instance, &subject.http(instance, "GET", "/")))
            })
            .collect();
        for _ in 0..3 {
            if let Ok(mut wire) = dial(instance) {
                wire.send(&bytes).ok();
                wire.read_reply("POST", Duration::from_secs(2)).ok();
            }
        }
        healthy
            .into_iter()
            .filter_map(|asking| asking.join().ok())
            .find_map(Result::err)
    });
    let afterwards = subject.ask_once(instance, &subject.http(instance, "GET", "/"));
    match (instance.process.wait(END_NOTICE), failed, afterwards) {
        (Some(_), _, _) => Break::new(format!("the process ended after {what}"))
            .caller(CallerError::ProcessExited)
            .fix("catch errors a request; one crash fails every request of the instance")
            .into(),
        (None, Some(fault), _) | (None, None, Err(fault)) => {
            Break::fault(&format!("beside {what}"), &fault).into()
        }
        (None, None, Ok(_)) => Observation::Held(format!("others answered beside {what}")),
    }
}

/// C3: clients that leave in the middle.
pub(crate) fn leavers(subject: &Subject, instance: &Instance) -> Observation {
    let half = {
        let mut bytes = subject.event(instance, vec![b'x'; 4096]).to_bytes();
        bytes.truncate(bytes.len() - 2048);
        bytes
    };
    let whole = |call: Call| call.to_bytes();
    for number in 0..LEAVERS {
        let Ok(wire) = dial(instance) else { break };
        let bytes = if number % 2 == 0 {
            half.clone()
        } else {
            whole(subject.http(instance, "GET", "/"))
        };
        wire.send(&bytes).ok();
    }
    let afterwards = subject.ask_once(instance, &subject.http(instance, "GET", "/"));
    match (instance.process.wait(END_NOTICE), afterwards) {
        (Some(_), _) => Break::new("the process ended after clients left")
            .caller(CallerError::ProcessExited)
            .fix("treat a closed connection (EPIPE, ECONNRESET) as the end of that request alone; ignore SIGPIPE")
            .into(),
        (None, Err(fault)) => Break::fault("after clients left", &fault).into(),
        (None, Ok(_)) => Observation::Held(format!("{LEAVERS} left, it answers")),
    }
}
