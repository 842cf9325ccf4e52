//! P: requests and responses pass unchanged, at every size.

use std::time::{Duration, Instant};

use super::observation::{Break, Cause, Observation};
use super::subject::{Pace, Subject, dial};
use crate::caller_error::CallerError;
use crate::fix::Trouble;
use crate::gateway::limits::{FIELDS_LEN_MAX, TARGET_LEN_MAX};
use crate::instance::Instance;
use crate::wire::Fault;
use crate::wire::exchange::Reply;

const LARGE_BODY_LEN: usize = 32 * 1024 * 1024;
const LARGE_BODY_PATIENCE: Duration = Duration::from_secs(20);

/// P0: a plain request gets a response within the function's time-out. How long it takes sets the patience of all
/// other checks.
pub(crate) fn responds(subject: &Subject, instance: &Instance) -> Observation {
    let path = &subject.paths.plain;
    let timeout = subject.project.settings.timeout;
    let began = Instant::now();
    let reply = dial(instance)
        .and_then(|mut wire| subject.ask_within(&mut wire, &subject.plain(instance), timeout));
    match reply {
        Err(fault) => {
            subject.measured(Pace::Never);
            let broken = subject
                .broken_by(&format!("GET {path}"), &fault)
                .follows(&[])
                .is(Cause::NoResponse);
            let broken = if matches!(fault, Fault::Endless) {
                broken.trouble(Trouble::Framing)
            } else {
                broken.fix("if another path is the one that responds, name it with --path")
            };
            broken.into()
        }
        Ok(reply) => {
            subject.measured(Pace::Within(began.elapsed()));
            let status = reply.head.status;
            subject.responded(status);
            if status >= 500 {
                return Break::new(format!("GET {path}: {status}"))
                    .fix("name a path that works with --path")
                    .is(Cause::NoResponse)
                    .only_warn()
                    .into();
            }
            let took = crate::clock::human(began.elapsed());
            Observation::Held(format!("GET {path}: {status} after {took}"))
        }
    }
}

/// P1: events of every size.
pub(crate) fn events(subject: &Subject, instance: &Instance) -> Observation {
    let bodies = [
        ("a binary event", (0..=255_u8).collect()),
        ("an empty event", Vec::new()),
        ("an event of 32 MB", vec![0x2e; LARGE_BODY_LEN]),
    ];
    let patience = subject.patience().max(LARGE_BODY_PATIENCE);
    let mut statuses = Vec::new();
    for (name, body) in bodies {
        let call = subject.event(instance, body);
        let reply =
            dial(instance).and_then(|mut wire| subject.ask_within(&mut wire, &call, patience));
        match reply {
            Err(fault) => {
                return subject
                    .broken_by(name, &fault)
                    .trouble(Trouble::SmallLimits)
                    .into();
            }
            Ok(reply) if reply.head.status == 413 => {
                return Break::new(format!("{name}: 413"))
                    .trouble(Trouble::SmallLimits)
                    .into();
            }
            Ok(reply) if is_unreported_failure(&reply) => {
                return Break::new(format!("{name}: {}", reply.head.status))
                    .fix("an event is any bytes, or none: check it before parsing it, and report a failure with status 404 and x-fc-status: 404")
                    .follows(&[Cause::NoResponse])
                    .into();
            }
            Ok(reply) => statuses.push(reply.head.status),
        }
    }
    if statuses
        .iter()
        .all(|status| matches!(status, 404 | 405 | 501))
    {
        return Observation::Unseen(format!(
            "POST /invoke: {}, so it serves no events",
            statuses[0]
        ));
    }
    Observation::Held("binary, empty and 32 MB".to_owned())
}

/// Whether an event gets a response that P1 accepts.
pub(crate) fn takes_event(subject: &Subject, instance: &Instance) -> bool {
    let reply = subject.ask_once(instance, &subject.event(instance, "{}"));
    reply.is_ok_and(|reply| !is_unreported_failure(&reply))
}

/// Without `x-fc-status` the platform counts any status of an event call as a success.
fn is_unreported_failure(reply: &Reply) -> bool {
    let is_reported = reply
        .head
        .fields
        .text("x-fc-status")
        .is_some_and(|status| status == "404");
    reply.head.status >= 500 && reply.head.status != 501 && !is_reported
}

/// P2: methods, paths, queries and encodings pass unchanged.
pub(crate) fn methods_and_paths(subject: &Subject, instance: &Instance) -> Observation {
    let target = "/coldstart-check/a%20b/%E4%BD%A0/c%2Fd?x=1&y=%26&x=2";
    let mut reflected = 0;
    for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"] {
        let call = subject.http(instance, method, target);
        match subject.ask_once(instance, &call) {
            Err(fault) => {
                return subject
                    .broken_by(&format!("{method} {target}"), &fault)
                    .into();
            }
            Ok(reply) if matches!(reply.head.status, 400 | 505) => {
                return Break::new(format!("{method} {target}: {}", reply.head.status))
                    .fix("pass every method and path to the router, which may respond with 404, 405 or 501")
                    .into();
            }
            Ok(reply) => reflected += u32::from(reply.text().contains(target)),
        }
    }
    Observation::Held(match reflected {
        0 => "7 methods".to_owned(),
        _ => "7 methods, path and query unchanged".to_owned(),
    })
}

/// P3: a user's route with the name of the platform's path.
pub(crate) fn user_route(subject: &Subject, instance: &Instance) -> Observation {
    let call = subject.http(instance, "GET", "/invoke?coldstart=1");
    match subject.ask_once(instance, &call) {
        Err(fault) => subject
            .broken_by("GET /invoke as an HTTP call", &fault)
            .into(),
        Ok(reply) if reply.head.status >= 500 && reply.head.status != 501 => Break::new(format!(
            "GET /invoke as an HTTP call: {}",
            reply.head.status
        ))
        .fix("tell calls apart by x-fc-control-path; by the path only if the header is absent")
        .follows(&[Cause::NoResponse])
        .into(),
        Ok(reply) => Observation::Held(format!("GET /invoke: {}", reply.head.status)),
    }
}

/// P4: the largest head that the platform lets through.
pub(crate) fn largest_head(subject: &Subject, instance: &Instance) -> Observation {
    let long_path = format!("/{}", "p".repeat(TARGET_LEN_MAX - 1));
    let heads = [
        (
            "headers of 8 KB",
            full_head(subject, instance, &subject.paths.plain),
        ),
        ("a path of 4 KB", subject.http(instance, "GET", &long_path)),
        (
            "headers of 8 KB with a path of 4 KB",
            full_head(subject, instance, &long_path),
        ),
    ];
    for (name, call) in heads {
        match subject.ask_once(instance, &call) {
            Err(fault) => {
                return subject
                    .broken_by(name, &fault)
                    .trouble(Trouble::SmallLimits)
                    .into();
            }
            Ok(reply) if matches!(reply.head.status, 400 | 413 | 414 | 431) => {
                return Break::new(format!("{name}: {}", reply.head.status))
                    .trouble(Trouble::SmallLimits)
                    .into();
            }
            Ok(_) => {}
        }
    }
    Observation::Held("8 KB of headers, 4 KB of path, and both".to_owned())
}

fn full_head(subject: &Subject, instance: &Instance, target: &str) -> crate::wire::exchange::Call {
    let mut call = subject.http(instance, "GET", target);
    let line_len = format!("GET {target} HTTP/1.1\r\n").len();
    let plain = call.to_bytes().len() - line_len;
    let names = "x-filler-0: \r\n".len() * 4;
    let each = FIELDS_LEN_MAX.saturating_sub(plain + names) / 4;
    for number in 0..4 {
        call = call.field(&format!("x-filler-{number}"), "f".repeat(each));
    }
    call
}

/// P5: the heads of all responses so far.
pub(crate) fn response_heads(subject: &Subject) -> Observation {
    let record = subject.record();
    if record.fields_len_max > FIELDS_LEN_MAX {
        let why = format!(
            "response headers of {} bytes exceed the limit of {FIELDS_LEN_MAX}",
            record.fields_len_max
        );
        return Break::new(why.clone())
            .caller(CallerError::BadResponse { why })
            .fix("keep headers and cookies small; large values belong in the body")
            .into();
    }
    if !record.reserved.is_empty() {
        return Break::new(format!(
            "responses carry {}, which the platform removes",
            record.reserved.join(", ")
        ))
        .fix("choose names that do not begin with x-fc-")
        .into();
    }
    Observation::Held(format!("at most {} B", record.fields_len_max))
}

/// P7: no body where none is allowed, and the connection goes on.
pub(crate) fn bodiless(subject: &Subject, instance: &Instance) -> Observation {
    let mut wire = match dial(instance) {
        Ok(wire) => wire,
        Err(fault) => return subject.broken_by("connecting", &fault).into(),
    };
    for (method, field) in [("HEAD", ""), ("GET", "*"), ("HEAD", ""), ("GET", "")] {
        let mut call = subject.http(instance, method, &subject.paths.plain);
        if !field.is_empty() {
            call = call.field("If-None-Match", field);
        }
        let reply: Reply = match subject.ask(&mut wire, &call) {
            Ok(reply) => reply,
            Err(fault) => {
                let context = format!("{method} after HEAD on one connection");
                return subject.broken_by(&context, &fault).into();
            }
        };
        if !reply.head.keeps_alive() {
            return Observation::Unseen(
                "the server closes the connection after a response".to_owned(),
            );
        }
        let has_forbidden =
            reply.head.status == 204 && reply.head.fields.first("content-length").is_some();
        if !wire.unread().is_empty() || has_forbidden {
            return Break::new(format!("{method}: {} with a body", reply.head.status))
                .caller(CallerError::BadResponse {
                    why: "a body where none may be".to_owned(),
                })
                .fix("send no body and no Content-Length with 204, no body with 304 and to HEAD")
                .into();
        }
    }
    Observation::Held("HEAD, then GET on the same connection".to_owned())
}
