//! Check functions for fuzzers and tests: any values in the environment and in the platform's fields. Feature `_sim`, never
//! shipped.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use super::builder::Function;
use super::context::Context;
use super::environment::{PORT_VARIABLES, port_from, text};
use super::record::{RECORD_LEN_MAX, records};
use crate::h1::{Connection, Event, HeadIndex, HeadView};
use crate::handler::{Accept, Handler};
use crate::message::request::{HEAD_LIMITS_OPEN, Head, Request, RequestBody};
use crate::message::response::Response;
use crate::os::PeerAddress;
use crate::server::DEFAULT_PORT;
use crate::server::start_error::StartError;
use crate::testing::response::TestResponse;

/// How often a value is repeated if the number of its name has the highest bit, so that a small input makes a large value.
const REPEATED: usize = 64;

/// Part of each secret and of nothing else.
const SECRET: &str = "SECRET";

const SECRET_VARIABLES: [&str; 3] = [
    "ALIBABA_CLOUD_ACCESS_KEY_ID",
    "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
    "ALIBABA_CLOUD_SECURITY_TOKEN",
];

const SECRET_FIELDS: [&str; 3] = [
    "x-fc-access-key-id",
    "X-Fc-Access-Key-Secret",
    "x-fc-security-token",
];

const FIELDS: [&str; 14] = [
    SECRET_FIELDS[0],
    SECRET_FIELDS[1],
    SECRET_FIELDS[2],
    "x-fc-request-id",
    "X-FC-Request-ID",
    "x-fc-control-path",
    "x-fc-function-name",
    "x-fc-function-memory",
    "x-fc-function-timeout",
    "x-fc-retry-count",
    "x-fc-region",
    "x-fc-account-id",
    "x-fc-qualifier",
    "x-fc-version-id",
];

const REQUEST_LINES: [(&str, &str); 8] = [
    ("GET", "/"),
    ("POST", "/invoke"),
    ("GET", "/invoke"),
    ("POST", "/initialize"),
    ("GET", "/pre-stop"),
    ("GET", "/pre-freeze"),
    ("GET", "/healthz"),
    ("POST", "/healthz"),
];

/// Pairs of names and values: one byte for the name, one for the value's length, the value.
fn pairs<'a>(mut bytes: &[u8], names: &[&'a str]) -> Vec<(&'a str, Vec<u8>)> {
    let mut pairs = Vec::new();
    while let [name, len, rest @ ..] = bytes {
        let (value, after) = rest.split_at(rest.len().min(usize::from(*len)));
        let times = if *name >= 128 { REPEATED } else { 1 };
        pairs.push((
            names[usize::from(name % 128) % names.len()],
            value.repeat(times),
        ));
        bytes = after;
    }
    pairs
}

/// An environment: pairs of variables and values.
///
/// # Panics
///
/// If the result is neither a configuration nor an error that names the variable, or if a secret shows.
pub fn check_environment(bytes: &[u8]) {
    let names = [&port_variables()[..], &SECRET_VARIABLES, &["LOG_LEVEL"]].concat();
    let environment = pairs(bytes, &names);
    let variable = |name: &str| {
        let mut found = environment.iter().filter(|(key, _)| *key == name);
        found
            .next()
            .map(|(_, value)| OsString::from_vec(value.clone()))
    };
    check_port(variable);
    let texts = |name: &str| variable(name).and_then(text);
    for name in names {
        assert_ne!(texts(name).as_deref(), Some(""), "empty is absent: {name}");
    }
    check_log_level(texts);
    with_head("GET / HTTP/1.1\r\nHost: a\r\n\r\n".as_bytes(), |head| {
        let found = Context::new(head).credentials_beside(texts);
        let [id, secret, token] = SECRET_VARIABLES.map(texts);
        let expected = id.zip(secret).map(|(id, secret)| (id, secret, token));
        let found = found.map(|found| {
            let token = found.security_token().map(str::to_owned);
            (
                found.access_key_id().to_owned(),
                found.access_key_secret().to_owned(),
                token,
            )
        });
        assert_eq!(found, expected, "the keys are those of the environment");
    });
}

fn port_variables() -> [&'static str; PORT_VARIABLES.len()] {
    PORT_VARIABLES.map(|name| name.to_str().unwrap_or_default())
}

fn check_port(variable: impl Fn(&str) -> Option<OsString>) {
    let mut said = port_variables().into_iter().filter_map(|name| {
        let value = variable(name).filter(|value| !value.is_empty())?;
        // A value that is not text is shown as one replacement character.
        Some((
            name,
            value.into_string().unwrap_or_else(|_| "\u{fffd}".into()),
        ))
    });
    let said = said.next();
    let port = port_from(|name, read| {
        let name = name.to_str().unwrap_or_default();
        if let Some(value) = variable(name) {
            read(&value);
        }
    });
    match (port, said) {
        (Ok(port), None) => assert_eq!(port, DEFAULT_PORT, "nothing says a port"),
        (Ok(port), Some((name, value))) => {
            let digits = value.trim_start_matches('0');
            assert!(
                port != 0 && digits == port.to_string(),
                "{name} is {value:?}, not {port}"
            );
        }
        (Err(error), said) => {
            let line = error.to_string();
            let StartError::InvalidPort { source, value } = &error else {
                assert_eq!(line, "", "an environment has no other error");
                return;
            };
            assert_eq!(error.exit_code(), 78, "EX_CONFIG");
            assert!(!line.contains(char::is_control), "one line: {line:?}");
            assert!(line.contains(source), "{line} names {source}");
            let said = said.as_ref().map(|(name, value)| (*name, value));
            assert_eq!(
                said,
                Some((source.as_str(), value)),
                "the first that is set"
            );
            let digits = value.trim_start_matches('0');
            let is_small = digits.len() < 5 || (digits.len() == 5 && digits <= "65535");
            let is_number = value.bytes().all(|byte| byte.is_ascii_digit());
            let is_port = is_number && is_small && !digits.is_empty();
            assert!(!is_port, "{value} is a port");
        }
    }
}

#[cfg(feature = "log")]
fn check_log_level(variable: impl Fn(&str) -> Option<String>) {
    let said = variable("LOG_LEVEL")
        .unwrap_or_default()
        .to_ascii_lowercase();
    let known = ["off", "error", "warn", "info", "debug", "trace"];
    let expected = known.into_iter().find(|level| *level == said);
    let found = super::record::log_level(variable)
        .as_str()
        .to_ascii_lowercase();
    assert_eq!(
        found,
        expected.unwrap_or("info"),
        "a level that is none is the usual one"
    );
}

#[cfg(not(feature = "log"))]
fn check_log_level(_: impl Fn(&str) -> Option<String>) {}

/// A request of the platform: one byte for its line, then pairs of fields and values.
///
/// # Panics
///
/// If a field means anything other than its first line says, if a secret shows, or if the call goes elsewhere.
pub fn check_context(bytes: &[u8]) {
    let Some((line, bytes)) = bytes.split_first() else {
        return;
    };
    let (method, target) = REQUEST_LINES[usize::from(*line) % REQUEST_LINES.len()];
    let mut fields = pairs(bytes, &FIELDS);
    for (name, value) in &mut fields {
        let is_open = !SECRET_FIELDS.contains(name);
        if value.iter().any(|byte| b"\r\n".contains(byte))
            || String::from_utf8_lossy(value).contains(SECRET)
        {
            // Another field, or no secret left.
            return;
        }
        if !is_open && !value.is_empty() {
            value.splice(..0, SECRET.bytes());
        }
    }
    let mut head = format!("{method} {target} HTTP/1.1\r\nHost: a\r\n").into_bytes();
    for (name, value) in &fields {
        head.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    head.extend(b"\r\n");
    let said = Said {
        method,
        target,
        fields,
    };
    with_head(&head, |head| {
        check_accessors(head, &said);
        check_records(head, &said);
        check_call(head, &said);
    });
}

/// The request as it was made.
struct Said<'a> {
    method: &'a str,
    target: &'a str,
    fields: Vec<(&'a str, Vec<u8>)>,
}

impl Said<'_> {
    /// The value of the first line with this name; empty if there is none.
    fn bytes(&self, name: &str) -> &[u8] {
        let mut lines = self.fields.iter();
        let line = lines.find(|(found, _)| found.eq_ignore_ascii_case(name));
        line.map_or(&[], |(_, value)| value.trim_ascii())
    }

    fn text(&self, name: &str) -> Option<&str> {
        let text = core::str::from_utf8(self.bytes(name)).ok();
        text.filter(|text| !text.is_empty())
    }

    fn number(&self, name: &str) -> Option<u64> {
        let text = self.text(name)?;
        let digits = text.trim_start_matches('0');
        if digits.len() > 10 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let number = digits
            .bytes()
            .fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
        Some(number).filter(|number| *number <= u64::from(u32::MAX))
    }
}

/// The head in `bytes`, unless the server would refuse it.
fn with_head(bytes: &[u8], check: impl FnOnce(Head<'_>)) {
    let mut index = HeadIndex::default();
    let polled = Connection::new().poll(bytes, &mut index, &HEAD_LIMITS_OPEN);
    if let Ok((len, Event::Head { .. })) = polled {
        check(Head::new(
            HeadView::new(&bytes[..len], &index),
            PeerAddress::Unknown,
        ));
    }
}

fn check_accessors(head: Head<'_>, said: &Said<'_>) {
    let context = Context::new(head);
    for (found, name) in [
        (context.request_id(), "x-fc-request-id"),
        (context.function_name(), "x-fc-function-name"),
        (context.region(), "x-fc-region"),
        (context.account_id(), "x-fc-account-id"),
        (context.qualifier(), "x-fc-qualifier"),
        (context.version_id(), "x-fc-version-id"),
    ] {
        assert_eq!(found, said.text(name), "{name}");
    }
    let seconds = context.timeout().map(|timeout| timeout.as_secs());
    for (found, name) in [
        (context.memory_mb().map(u64::from), "x-fc-function-memory"),
        (context.retry_count().map(u64::from), "x-fc-retry-count"),
        (seconds, "x-fc-function-timeout"),
    ] {
        assert_eq!(found, said.number(name), "{name}");
    }
    assert_eq!(
        context.deadline().is_some(),
        seconds.is_some(),
        "a deadline where there is a time-out"
    );
    let credentials = context.credentials_beside(|_| None);
    let [id, secret, token] = SECRET_FIELDS.map(|name| said.text(name));
    let expected = id.zip(secret).map(|(id, secret)| (id, secret, token));
    let found = credentials.as_ref().map(|found| {
        (
            found.access_key_id(),
            found.access_key_secret(),
            found.security_token(),
        )
    });
    assert_eq!(found, expected, "the keys are those of the fields");
    let shown = format!("{context:?}{credentials:?}{head:?}{:?}", head.headers());
    assert!(!shown.contains(SECRET), "Debug shows a secret: {shown}");
}

/// Whatever is logged, a record stays one record, within the length that the platform keeps.
fn check_records(head: Head<'_>, said: &Said<'_>) {
    let context = Context::new(head);
    let message = format!(
        "{context:?}\n{}\n",
        String::from_utf8_lossy(said.bytes("x-fc-function-name"))
    );
    let records = records("INFO", context.request_id(), &message, 784_111_777_000);
    for record in &records {
        assert!(
            record.len() <= RECORD_LEN_MAX,
            "the platform keeps {RECORD_LEN_MAX} bytes"
        );
        assert!(
            record.starts_with("1994-11-06T08:49:37.000 "),
            "it begins with its time: {record}"
        );
        let mut words = record.split(' ').skip(1);
        assert!(
            words.next().is_some_and(|id| !id.contains(['[', ']']))
                && words.next() == Some("[INFO]"),
            "the level follows one word: {record}"
        );
        assert!(
            !record.contains(|letter: char| letter.is_control() && !matches!(letter, '\n' | '\t')),
            "no control character: {record:?}"
        );
        let lines = record
            .strip_suffix('\n')
            .map(|lines| lines.split('\n').skip(1));
        let is_one = lines.is_some_and(|mut lines| lines.all(|line| line.starts_with('\t')));
        assert!(is_one, "one record: {record}");
        assert!(
            !record.contains(SECRET),
            "a record shows a secret: {record}"
        );
    }
    assert!(!records.is_empty(), "nothing is lost");
}

/// The call reaches the code that its control path, or else its path, names.
fn check_call(head: Head<'_>, said: &Said<'_>) {
    let mut function = Function::new()
        .http(|request| Response::text(format!("http {request:?}")))
        .event(|context, _| Ok(format!("event {context:?}")))
        .initializer(|_| Ok(()))
        .health("/healthz")
        .handler();
    let outcome = match function.accept(&head) {
        Accept::Respond(outcome) => outcome,
        Accept::Buffer
        | Accept::BufferUpTo(_)
        | Accept::Discard
        | Accept::Stream(_)
        | Accept::Pull(_)
        | Accept::Upgrade(_)
        | Accept::Watched(_) => function.call(&Request::new(head, RequestBody::Borrowed(b""), b"")),
    };
    let expected = match (said.bytes("x-fc-control-path"), said.method, said.target) {
        (b"/invoke", ..) | (b"", "POST", "/invoke") => "event ",
        (b"/initialize" | b"/pre-stop" | b"/pre-freeze", ..)
        | (b"", "POST", "/initialize")
        | (b"", "GET", "/pre-stop" | "/pre-freeze") => "",
        (_, "GET", "/healthz") => "ok\n",
        _ => "http ",
    };
    let response = TestResponse::new(outcome, || function.failure(), |response| response);
    assert_eq!(response.status(), 200, "every call succeeds");
    let shown = format!("{response:?}");
    let is_http = matches!(expected, "ok\n" | "http ");
    let status = response.header("x-fc-status").map(str::to_owned);
    assert_eq!(
        status.as_deref(),
        (!is_http).then_some("200"),
        "the platform gets the status of events and hooks"
    );
    let text = response.text();
    assert_eq!(
        text.get(..expected.len()),
        Some(expected),
        "the call reaches the right handler: {text}"
    );
    assert!(
        expected.len() > 3 || text == expected,
        "a hook has no response body: {text}"
    );
    assert!(
        !shown.contains(SECRET) && !text.contains(SECRET),
        "a response shows a secret: {text}"
    );
}
