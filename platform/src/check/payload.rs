//! P: what passes through, in both directions.

use std::time::Duration;

use super::observation::{Break, Observation};
use super::subject::{PATIENCE, Subject, dial};
use crate::clock;
use crate::fix::Trouble;
use crate::gateway::forward::{FIELDS_LEN_MAX, TARGET_LEN_MAX};
use crate::instance::Instance;
use crate::wire::body::Framing;
use crate::wire::exchange::Reply;

const LARGE_BODY_LEN: usize = 32 * 1024 * 1024;
const LARGE_BODY_PATIENCE: Duration = Duration::from_secs(20);
/// A stream's first byte is early when it comes this long before the end.
const EARLY: Duration = Duration::from_millis(5);

/// P1: events of every size.
pub(crate) fn events(subject: &Subject, instance: &Instance) -> Observation {
    let bodies = [
        ("a binary event", (0..=255_u8).collect()),
        ("an empty event", Vec::new()),
        ("an event of 32 MB", vec![0x2e; LARGE_BODY_LEN]),
    ];
    let mut statuses = Vec::new();
    for (name, body) in bodies {
        let call = subject.event(instance, body);
        let reply = dial(instance)
            .and_then(|mut wire| subject.ask_within(&mut wire, &call, LARGE_BODY_PATIENCE));
        match reply {
            Err(fault) => {
                return Break::fault(name, &fault)
                    .trouble(Trouble::SmallLimits)
                    .into();
            }
            Ok(reply) if reply.answer.status == 413 => {
                return Break::new(format!("{name} is answered 413"))
                    .trouble(Trouble::SmallLimits)
                    .into();
            }
            Ok(reply) if reply.answer.status >= 500 => {
                return Break::new(format!("{name} is answered {}", reply.answer.status))
                    .fix("an event is any bytes, none included: do not parse before looking at it")
                    .into();
            }
            Ok(reply) => statuses.push(reply.answer.status),
        }
    }
    if statuses.iter().all(|status| matches!(status, 404 | 405)) {
        return Observation::Unseen(format!(
            "POST /invoke answers {}: no events served",
            statuses[0]
        ));
    }
    Observation::Held("binary, empty and 32 MB".to_owned())
}

/// P2: methods, paths, queries and encodings as they are.
pub(crate) fn methods_and_paths(subject: &Subject, instance: &Instance) -> Observation {
    let target = "/coldstart-check/a%20b/%E4%BD%A0/c%2Fd?x=1&y=%26&x=2";
    let mut reflected = 0;
    for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"] {
        let call = subject.http(instance, method, target);
        match subject.ask_once(instance, &call) {
            Err(fault) => return Break::fault(&format!("{method} {target}"), &fault).into(),
            Ok(reply) if matches!(reply.answer.status, 400 | 505) => {
                return Break::new(format!(
                    "{method} {target} is answered {}",
                    reply.answer.status
                ))
                .fix(
                    "let every method and path through to the router, which may answer 404, 405 or 501",
                )
                .into();
            }
            Ok(reply) => reflected += u32::from(reply.text().contains(target)),
        }
    }
    Observation::Held(match reflected {
        0 => "7 methods answered".to_owned(),
        _ => "7 methods answered, path and query unchanged".to_owned(),
    })
}

/// P3: a route of the user's named as the platform's path.
pub(crate) fn user_route(subject: &Subject, instance: &Instance) -> Observation {
    let call = subject.http(instance, "GET", "/invoke?coldstart=1");
    match subject.ask_once(instance, &call) {
        Err(fault) => Break::fault("GET /invoke as an HTTP call", &fault).into(),
        Ok(reply) if reply.answer.status >= 500 => Break::new(format!(
            "GET /invoke as an HTTP call is answered {}",
            reply.answer.status
        ))
        .fix("tell calls apart by x-fc-control-path, by the path only when the header is absent")
        .into(),
        Ok(reply) => Observation::Held(format!("GET /invoke answers {}", reply.answer.status)),
    }
}

/// P4: the largest head that the platform lets through.
pub(crate) fn largest_head(subject: &Subject, instance: &Instance) -> Observation {
    let plain = subject.http(instance, "GET", "/").to_bytes().len() - "GET / HTTP/1.1\r\n".len();
    let names = "x-filler-0: \r\n".len() * 4;
    let each = FIELDS_LEN_MAX.saturating_sub(plain + names) / 4;
    let mut full = subject.http(instance, "GET", "/");
    for number in 0..4 {
        full = full.field(&format!("x-filler-{number}"), "f".repeat(each));
    }
    let long_path = format!("/{}", "p".repeat(TARGET_LEN_MAX - 1));
    let calls = [
        ("headers of 8 KB", full),
        ("a path of 4 KB", subject.http(instance, "GET", &long_path)),
    ];
    for (name, call) in calls {
        match subject.ask_once(instance, &call) {
            Err(fault) => {
                return Break::fault(name, &fault)
                    .trouble(Trouble::SmallLimits)
                    .into();
            }
            Ok(reply) if matches!(reply.answer.status, 400 | 413 | 414 | 431) => {
                return Break::new(format!("{name}: answered {}", reply.answer.status))
                    .trouble(Trouble::SmallLimits)
                    .into();
            }
            Ok(_) => {}
        }
    }
    Observation::Held("8 KB of headers, 4 KB of path".to_owned())
}

/// P5: what all answers so far had in their heads.
pub(crate) fn response_heads(subject: &Subject) -> Observation {
    let record = subject.record();
    if record.fields_len_max > FIELDS_LEN_MAX {
        let why = format!(
            "response headers of {} bytes exceed the limit of {FIELDS_LEN_MAX}",
            record.fields_len_max
        );
        return Break::new(why.clone())
            .caller(crate::caller_error::CallerError::BadResponse { why })
            .fix("keep headers and cookies small; large values belong into the body")
            .into();
    }
    if !record.reserved.is_empty() {
        return Break::new(format!(
            "answers carry {}, which no caller sees",
            record.reserved.join(", ")
        ))
        .fix("choose names that do not begin with x-fc-")
        .into();
    }
    Observation::Held(format!("at most {} B", record.fields_len_max))
}

/// P6: a stream arrives as it is made.
pub(crate) fn streams(subject: &Subject, instance: &Instance) -> Observation {
    let call = subject
        .http(instance, "GET", &subject.stream_path)
        .field("Accept", "text/event-stream, */*");
    let reply = match subject.ask_once(instance, &call) {
        Ok(reply) => reply,
        Err(fault) => {
            return Break::fault("the stream", &fault)
                .trouble(Trouble::Buffering)
                .into();
        }
    };
    let is_events = reply
        .answer
        .fields
        .text("content-type")
        .is_some_and(|kind| kind.contains("event-stream"));
    if reply.framing != Framing::Chunked {
        return if is_events {
            Break::new("server-sent events without Transfer-Encoding: chunked")
                .trouble(Trouble::Buffering)
                .into()
        } else {
            Observation::Unseen(format!(
                "{} does not stream; --stream-path names one",
                subject.stream_path
            ))
        };
    }
    if reply.answer.fields.first("content-length").is_some() {
        return Break::new("chunked and Content-Length in one answer")
            .trouble(Trouble::Buffering)
            .into();
    }
    let ahead = reply
        .whole
        .saturating_sub(reply.first_byte + reply.body_began.unwrap_or_default());
    let is_early = ahead >= EARLY || reply.body.len() < 1024;
    if is_events && !is_early {
        return Break::new("all events came at once, at the end")
            .trouble(Trouble::Buffering)
            .into();
    }
    Observation::Held(format!("first byte {} before the end", clock::human(ahead)))
}

/// P7: no body where there is none, and the connection goes on.
pub(crate) fn bodiless(subject: &Subject, instance: &Instance) -> Observation {
    let mut wire = match dial(instance) {
        Ok(wire) => wire,
        Err(fault) => return Break::fault("connecting", &fault).into(),
    };
    for (method, field) in [("HEAD", ""), ("GET", "*"), ("HEAD", ""), ("GET", "")] {
        let mut call = subject.http(instance, method, "/");
        if !field.is_empty() {
            call = call.field("If-None-Match", field);
        }
        let reply: Reply = match subject.ask_within(&mut wire, &call, PATIENCE) {
            Ok(reply) => reply,
            Err(fault) => {
                return Break::fault(&format!("{method} after HEAD on one connection"), &fault)
                    .into();
            }
        };
        if !reply.answer.keeps_alive() {
            return Observation::Unseen("the server closes after each answer, see K3".to_owned());
        }
        let has_forbidden =
            reply.answer.status == 204 && reply.answer.fields.first("content-length").is_some();
        if !wire.unread().is_empty() || has_forbidden {
            return Break::new(format!(
                "{method} answered {} with a body",
                reply.answer.status
            ))
            .caller(crate::caller_error::CallerError::BadResponse {
                why: "a body where none may be".to_owned(),
            })
            .fix("send no body and no Content-Length with 204, no body with 304 and to HEAD")
            .into();
        }
    }
    Observation::Held("HEAD, then GET on the same connection".to_owned())
}
