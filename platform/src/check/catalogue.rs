//! The checks, one row each: what is demanded, and how it is looked at.
//!
//! A new check is a function and a row here; the row's lane decides what the function is given and when it runs.

use super::observation::{Observation, Severity};
use super::subject::Subject;
use super::{ending, hooks, keepalive, logs, parallel, payload, resources, rights, start, streams};
use crate::exit::Failure;
use crate::instance::Instance;

/// When a check runs, on what, and the function that does it. The lanes run in this order.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lane {
    /// Before anything is started.
    Files(fn(&Subject) -> Observation),
    /// Once the first instance listens.
    Start(fn(&Subject, &Instance) -> Observation),
    /// The first request. All later lanes wait as long as its time suggests.
    Pace(fn(&Subject, &Instance) -> Observation),
    /// Starts a second instance on another port. All later lanes depend on whether it came up.
    Port(fn(&Subject) -> (Observation, Option<Instance>)),
    /// On the first instance, one check after the other.
    Work(fn(&Subject, &Instance) -> Observation),
    /// On the second instance, all checks at the same time: they wait.
    Idle(fn(&Subject, &Instance) -> Observation),
    /// On the second instance, one after the other, while nothing else uses it.
    Quiet(fn(&Subject, &Instance) -> Observation),
    /// Ends the instance that it is given.
    Last(fn(&Subject, &Instance) -> Observation),
    /// Starts instances of its own, in other circumstances.
    Starts(fn(&Subject) -> Observation),
    /// After all others: judges what they recorded.
    Record(fn(&Subject) -> Observation),
}

/// One check.
#[derive(Debug)]
pub(crate) struct Check {
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    pub(crate) severity: Severity,
    pub(crate) rule: &'static str,
    pub(crate) lane: Lane,
}

impl Check {
    /// Whether it uses an instance that has responded to the first request.
    pub(crate) const fn sends_requests(&self) -> bool {
        match self.lane {
            Lane::Files(_) | Lane::Start(_) | Lane::Port(_) => false,
            Lane::Pace(_)
            | Lane::Work(_)
            | Lane::Idle(_)
            | Lane::Quiet(_)
            | Lane::Last(_)
            | Lane::Starts(_)
            | Lane::Record(_) => true,
        }
    }

    /// Whether it uses another instance than the first.
    pub(crate) const fn needs_another(&self) -> bool {
        match self.lane {
            Lane::Files(_) | Lane::Start(_) | Lane::Pace(_) | Lane::Work(_) | Lane::Record(_) => {
                false
            }
            Lane::Port(_) | Lane::Idle(_) | Lane::Quiet(_) | Lane::Last(_) | Lane::Starts(_) => {
                true
            }
        }
    }
}

/// All of them, in the order in which they are shown.
pub(crate) static CHECKS: &[Check] = &[
    Check {
        id: "S1",
        title: "start file present and executable",
        severity: Severity::Fail,
        rule: "bootstrap lies at the code root with mode 755 or 777",
        lane: Lane::Files(start::file),
    },
    Check {
        id: "S2",
        title: "start file runs on the platform",
        severity: Severity::Fail,
        rule: "x86-64 or #! with LF ends; every library and glibc symbol is there",
        lane: Lane::Files(start::content),
    },
    Check {
        id: "S3",
        title: "accepts TCP from outside loopback",
        severity: Severity::Fail,
        rule: "bind 0.0.0.0 and accept within 120 s of the launch",
        lane: Lane::Start(start::listens),
    },
    Check {
        id: "S4",
        title: "listens on the configured port",
        severity: Severity::Warn,
        rule: "the port equals CAPort, also when it is not 9000",
        lane: Lane::Port(start::follows_port),
    },
    Check {
        id: "S5",
        title: "survives probes",
        severity: Severity::Fail,
        rule: "bare connects, resets and half-open connections are normal and harmless",
        lane: Lane::Work(start::survives_probes),
    },
    Check {
        id: "S6",
        title: "starts without privileges",
        severity: Severity::Warn,
        rule: "not always root; the code directory may be read-only, so nothing is written there",
        lane: Lane::Record(rights::without_rights),
    },
    Check {
        id: "S7",
        title: "starts with a bare environment",
        severity: Severity::Warn,
        rule: "any documented variable may be missing or empty",
        lane: Lane::Starts(start::bare_environment),
    },
    Check {
        id: "P0",
        title: "responds to a request",
        severity: Severity::Fail,
        rule: "a plain request gets a response within the function's time-out",
        lane: Lane::Pace(payload::responds),
    },
    Check {
        id: "P1",
        title: "takes events",
        severity: Severity::Fail,
        rule: "POST /invoke with a binary, an empty and a 32 MB body",
        lane: Lane::Work(payload::events),
    },
    Check {
        id: "P2",
        title: "takes any method and path",
        severity: Severity::Fail,
        rule: "HTTP calls pass as the client sent them, query and encoding kept",
        lane: Lane::Work(payload::methods_and_paths),
    },
    Check {
        id: "P3",
        title: "a user route /invoke is reachable",
        severity: Severity::Warn,
        rule: "an HTTP call keeps its path; the control path says what it is",
        lane: Lane::Work(payload::user_route),
    },
    Check {
        id: "P4",
        title: "takes the largest head",
        severity: Severity::Fail,
        rule: "headers of 8 KB in total and a path of 4 KB",
        lane: Lane::Work(payload::largest_head),
    },
    Check {
        id: "P5",
        title: "response heads that pass",
        severity: Severity::Warn,
        rule: "response headers within 8 KB, none of the reserved ones relied on",
        lane: Lane::Record(payload::response_heads),
    },
    Check {
        id: "P6",
        title: "streams piece by piece",
        severity: Severity::Fail,
        rule: "chunked without Content-Length, the first byte before the end",
        lane: Lane::Work(streams::streams),
    },
    Check {
        id: "P7",
        title: "responses without a body",
        severity: Severity::Fail,
        rule: "no body after HEAD, 204 and 304; the connection goes on",
        lane: Lane::Work(payload::bodiless),
    },
    Check {
        id: "K1",
        title: "idle connections survive",
        severity: Severity::Fail,
        rule: "never close an idle connection (the documents demand at least 24 h)",
        lane: Lane::Idle(keepalive::idle),
    },
    Check {
        id: "K1b",
        title: "unused connections survive",
        severity: Severity::Warn,
        rule: "a connection that never sent anything stays open as well",
        lane: Lane::Idle(keepalive::unused),
    },
    Check {
        id: "K2",
        title: "1000 requests on one connection",
        severity: Severity::Fail,
        rule: "no maximum number of requests on a connection",
        lane: Lane::Work(keepalive::many_requests),
    },
    Check {
        id: "K2b",
        title: "no maximum age of a connection",
        severity: Severity::Fail,
        rule: "a connection that is used stays open, however old it is",
        lane: Lane::Idle(keepalive::age),
    },
    Check {
        id: "K3",
        title: "no response closes the connection",
        severity: Severity::Fail,
        rule: "keep-alive on: no response carries Connection: close",
        lane: Lane::Record(keepalive::never_closes),
    },
    Check {
        id: "K4",
        title: "survives a freeze",
        severity: Severity::Fail,
        rule: "frozen between requests; deadlines that expire meanwhile close nothing",
        lane: Lane::Quiet(keepalive::freeze),
    },
    Check {
        id: "H1",
        title: "initializer",
        severity: Severity::Fail,
        rule: "POST /initialize gets a 2xx response, and a second one does no harm",
        lane: Lane::Work(hooks::initializer),
    },
    Check {
        id: "H2",
        title: "pre-stop",
        severity: Severity::Fail,
        rule: "GET /pre-stop gets a 2xx response in time, and requests in flight finish",
        lane: Lane::Last(hooks::pre_stop),
    },
    Check {
        id: "H4",
        title: "health check",
        severity: Severity::Fail,
        rule: "GET on the health path gets 200 to 399 within its time-out, under load too",
        lane: Lane::Work(hooks::health),
    },
    Check {
        id: "C1",
        title: "parallel requests",
        severity: Severity::Fail,
        rule: "each response belongs to its request, at the configured concurrency",
        lane: Lane::Work(parallel::at_a_time),
    },
    Check {
        id: "C2",
        title: "one bad request breaks no other",
        severity: Severity::Fail,
        rule: "a failing request leaves the others of the instance alone",
        lane: Lane::Work(parallel::one_fails),
    },
    Check {
        id: "C3",
        title: "survives callers that leave",
        severity: Severity::Fail,
        rule: "a cancelled call closes its connection, not the process",
        lane: Lane::Work(parallel::leavers),
    },
    Check {
        id: "E1",
        title: "failures say so",
        severity: Severity::Warn,
        rule: "a function's failure carries x-fc-status: 404",
        lane: Lane::Work(logs::failures),
    },
    Check {
        id: "L1",
        title: "logs are out before the response ends",
        severity: Severity::Warn,
        rule: "flushed before the last byte, or the freeze swallows them",
        lane: Lane::Quiet(logs::flushed),
    },
    Check {
        id: "L2",
        title: "no secret in the logs",
        severity: Severity::Fail,
        rule: "credentials from headers and environment are never written",
        lane: Lane::Record(logs::secrets),
    },
    Check {
        id: "L3",
        title: "log markers are balanced",
        severity: Severity::Warn,
        rule: "FC Invoke Start and End lines come in pairs when they are on",
        lane: Lane::Record(logs::markers),
    },
    Check {
        id: "X1",
        title: "ends on SIGTERM",
        severity: Severity::Warn,
        rule: "exit 0 within 10 s, what is in flight finished",
        lane: Lane::Last(ending::on_sigterm),
    },
    Check {
        id: "X2",
        title: "a bad port is a clear error",
        severity: Severity::Warn,
        rule: "port in use or no port: non-zero exit and a line that says so",
        lane: Lane::Starts(ending::bad_port),
    },
    Check {
        id: "R1",
        title: "memory does not grow",
        severity: Severity::Warn,
        rule: "after thousands of requests, memory is within the limit and stable",
        lane: Lane::Work(resources::memory),
    },
    Check {
        id: "R2",
        title: "threads and descriptors do not grow",
        severity: Severity::Warn,
        rule: "fewer than 1024 threads, descriptors bounded",
        lane: Lane::Work(resources::handles),
    },
    Check {
        id: "R3",
        title: "no zombies",
        severity: Severity::Warn,
        rule: "the start command is process 1: it waits for every process that ends",
        lane: Lane::Work(resources::zombies),
    },
];

/// The checks that a run was asked for, in the catalogue's order.
pub(crate) fn select(ids: &[String]) -> Result<Vec<&'static Check>, Failure> {
    let is_named = |check: &&Check| ids.iter().any(|id| id.eq_ignore_ascii_case(check.id));
    for id in ids {
        if !CHECKS.iter().any(|check| id.eq_ignore_ascii_case(check.id)) {
            let known: Vec<&str> = CHECKS.iter().map(|check| check.id).collect();
            return Err(Failure::input(format!("there is no check `{id}`"))
                .fix(format!("there are {}", known.join(" "))));
        }
    }
    Ok(CHECKS
        .iter()
        .filter(|check| ids.is_empty() || is_named(check))
        .collect())
}
