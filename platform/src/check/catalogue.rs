//! The checks that any server can be put through, with the rule that each one stands for.

/// What it means when the rule is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Severity {
    Fail,
    Warn,
}

/// One check.
#[derive(Debug)]
pub(crate) struct Check {
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    pub(crate) severity: Severity,
    pub(crate) rule: &'static str,
}

const fn must(id: &'static str, title: &'static str, rule: &'static str) -> Check {
    Check {
        id,
        title,
        severity: Severity::Fail,
        rule,
    }
}

const fn should(id: &'static str, title: &'static str, rule: &'static str) -> Check {
    Check {
        id,
        title,
        severity: Severity::Warn,
        rule,
    }
}

/// All of them, in the order in which they are shown.
pub(crate) static CHECKS: [Check; 33] = [
    must(
        "S1",
        "start file present and executable",
        "bootstrap lies at the code root with mode 755 or 777",
    ),
    must(
        "S2",
        "start file runs on the platform",
        "x86-64 or #! with LF ends; every library and glibc symbol is there",
    ),
    must(
        "S3",
        "accepts TCP from outside loopback",
        "bind 0.0.0.0 and accept within 120 s of the launch",
    ),
    must(
        "S4",
        "listens on the configured port",
        "the port equals CAPort, also when it is not 9000",
    ),
    must(
        "S5",
        "survives probes",
        "bare connects, resets and half-open connections are normal and harmless",
    ),
    should(
        "S6",
        "starts without rights",
        "not always root; the code directory may be read-only",
    ),
    should(
        "S7",
        "starts with a bare environment",
        "any documented variable may be missing or empty",
    ),
    must(
        "P1",
        "takes events",
        "POST /invoke with a binary, an empty and a 32 MB body",
    ),
    must(
        "P2",
        "takes any method and path",
        "HTTP calls pass as the client sent them, query and encoding kept",
    ),
    should(
        "P3",
        "a user route /invoke is reachable",
        "an HTTP call keeps its path; the control path says what it is",
    ),
    must(
        "P4",
        "takes the largest head",
        "headers of 8 KB in total and a path of 4 KB",
    ),
    should(
        "P5",
        "answers with a head that passes",
        "response headers within 8 KB, none of the reserved ones relied on",
    ),
    must(
        "P6",
        "streams piece by piece",
        "chunked without Content-Length, the first byte before the end",
    ),
    must(
        "P7",
        "frames answers without a body",
        "no body after HEAD, 204 and 304; the connection goes on",
    ),
    must(
        "K1",
        "idle connections survive",
        "never close an idle connection (the documents demand at least 24 h)",
    ),
    should(
        "K1b",
        "unused connections survive",
        "a connection that never sent anything stays open as well",
    ),
    must(
        "K2",
        "1000 requests on one connection",
        "no maximum of requests a connection",
    ),
    must(
        "K3",
        "no answer closes the connection",
        "keep-alive on: no answer carries Connection: close",
    ),
    must(
        "K4",
        "survives a freeze",
        "frozen between requests; deadlines that expire meanwhile close nothing",
    ),
    must(
        "H1",
        "initializer",
        "POST /initialize answers 2xx, a second time is harmless",
    ),
    must(
        "H2",
        "pre-stop",
        "GET /pre-stop answers 2xx in time, requests in flight finish",
    ),
    must(
        "H4",
        "health check",
        "GET on the health path answers 200 to 399 within its time-out under load",
    ),
    must(
        "C1",
        "parallel requests",
        "each answer belongs to its request, up to 200 at a time",
    ),
    must(
        "C2",
        "one bad request breaks no other",
        "a failing request leaves the others of the instance alone",
    ),
    must(
        "C3",
        "survives clients that leave",
        "a cancelled call closes its connection, not the process",
    ),
    should(
        "E1",
        "failures say so",
        "a function's failure carries x-fc-status: 404",
    ),
    should(
        "L1",
        "logs are out before the answer ends",
        "flushed before the last byte, or the freeze swallows them",
    ),
    must(
        "L2",
        "no secret in the logs",
        "credentials from headers and environment are never written",
    ),
    should(
        "L3",
        "log markers are balanced",
        "FC Invoke Start and End lines come in pairs when they are on",
    ),
    should(
        "X1",
        "ends on SIGTERM",
        "exit 0 within 10 s, what is in flight finished",
    ),
    should(
        "X2",
        "a bad port is a clear error",
        "port in use or no port: non-zero exit and a line that says so",
    ),
    should(
        "R1",
        "memory stays",
        "after thousands of requests within the limit and stable",
    ),
    should(
        "R2",
        "threads and descriptors stay",
        "fewer than 1024 threads, descriptors bounded",
    ),
];

/// The check with this id.
pub(crate) fn find(id: &str) -> Option<&'static Check> {
    CHECKS
        .iter()
        .find(|check| check.id.eq_ignore_ascii_case(id))
}
