//! Conditional requests (RFC 9110 §13), in the order of §13.2.2.

use std::time::SystemTime;

use crate::message::request::Head;

/// What tells one version of a file from another (RFC 9110 §8.8).
pub(super) struct Validators {
    /// With its quotes.
    pub(super) etag: String,
    /// To the second.
    pub(super) modified: Option<SystemTime>,
}

/// What the conditions of a request make of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict<'a> {
    /// 412.
    Failed,
    /// 304.
    NotModified,
    Whole,
    /// A part, by the value of `Range`.
    Range(&'a str),
}

/// How tags are compared (§8.8.3.2).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

pub(super) fn verdict<'a>(head: Head<'a>, ours: &Validators) -> Verdict<'a> {
    let has = |name| head.headers().bytes(name).is_some();
    let date = |name| {
        head.header(name)
            .and_then(|date| httpdate::parse_http_date(date).ok())
    };
    if has("if-match") {
        if !matches_any(head, "if-match", &ours.etag, Comparison::Strong) {
            return Verdict::Failed;
        }
    } else if let Some(date) = date("if-unmodified-since")
        && !is_unmodified(ours, date)
    {
        return Verdict::Failed;
    }
    if has("if-none-match") {
        if matches_any(head, "if-none-match", &ours.etag, Comparison::Weak) {
            return Verdict::NotModified;
        }
    } else if let Some(date) = date("if-modified-since")
        && is_unmodified(ours, date)
    {
        return Verdict::NotModified;
    }
    // §14.2: the field has a meaning only for GET.
    let range = head.header("range").filter(|_| head.method() == "GET");
    match range {
        Some(range) if is_for_this_version(head, ours) => Verdict::Range(range),
        Some(_) | None => Verdict::Whole,
    }
}

fn is_unmodified(ours: &Validators, since: SystemTime) -> bool {
    ours.modified.is_some_and(|modified| modified <= since)
}

/// Whether a range is of the version that the client has a part of (§13.1.5): by a strong tag, or by the exact date.
fn is_for_this_version(head: Head<'_>, ours: &Validators) -> bool {
    let Some(validator) = head.header("if-range") else {
        return true;
    };
    match httpdate::parse_http_date(validator) {
        Ok(date) => ours.modified == Some(date),
        Err(_) => validator == ours.etag,
    }
}

/// Whether a field with `*` or a list of entity tags names ours, which is strong.
fn matches_any(head: Head<'_>, name: &str, ours: &str, comparison: Comparison) -> bool {
    let mut lines = head.headers().all(name);
    lines.any(|line| {
        let line = line.trim_ascii();
        line == b"*"
            || tags(line).any(|(strength, tag)| {
                tag == ours.as_bytes()
                    && (strength == Comparison::Strong || comparison == Comparison::Weak)
            })
    })
}

/// The entity tags of a list, each with its quotes. What does not parse ends the list.
fn tags(list: &[u8]) -> impl Iterator<Item = (Comparison, &[u8])> {
    let mut rest = list;
    core::iter::from_fn(move || {
        let start = rest
            .iter()
            .position(|byte| !matches!(byte, b' ' | b'\t' | b','))?;
        rest = rest.get(start..)?;
        let strength = match rest.strip_prefix(b"W/") {
            Some(after) => {
                rest = after;
                Comparison::Weak
            }
            None => Comparison::Strong,
        };
        let inside = rest.strip_prefix(b"\"")?;
        let len = inside.iter().position(|byte| *byte == b'"')?;
        let (tag, after) = rest.split_at_checked(len.checked_add(2)?)?;
        rest = after;
        Some((strength, tag))
    })
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::time::{Duration, UNIX_EPOCH};

    use super::{Validators, Verdict, verdict};
    use crate::{Request, TestRequest};

    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const EXACTLY: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const AFTER: &str = "Sunday, 06-Nov-94 08:49:38 GMT";

    fn ask(method: &str, fields: &[(&str, &str)]) -> String {
        let ours = Validators {
            etag: "\"a,b\"".to_owned(),
            modified: Some(UNIX_EPOCH + Duration::from_secs(784_111_777)),
        };
        let found = RefCell::default();
        let look = |request: &Request<'_>| {
            found.replace(format!("{:?}", verdict(request.head(), &ours)));
        };
        let request = TestRequest::new(method, "/");
        let add = |request: TestRequest, (name, value): &(&str, &str)| request.header(name, value);
        drop(fields.iter().fold(request, add).run(look));
        found.take()
    }

    #[test]
    fn each_condition_has_its_verdict_and_the_first_one_decides() {
        let range = Verdict::Range("bytes=0-1");
        for (fields, expected) in [
            (&[][..], Verdict::Whole),
            (&[("if-match", "\"a,b\"")], Verdict::Whole),
            (&[("if-match", "*")], Verdict::Whole),
            (&[("if-match", "\"x\", \"a,b\"")], Verdict::Whole),
            (&[("if-match", "W/\"a,b\"")], Verdict::Failed),
            (&[("if-match", "\"x\"")], Verdict::Failed),
            (&[("if-match", "a,b")], Verdict::Failed),
            (&[("if-match", "")], Verdict::Failed),
            (&[("if-unmodified-since", BEFORE)], Verdict::Failed),
            (&[("if-unmodified-since", EXACTLY)], Verdict::Whole),
            (&[("if-unmodified-since", AFTER)], Verdict::Whole),
            (&[("if-unmodified-since", "yesterday")], Verdict::Whole),
            (
                &[("if-match", "\"a,b\""), ("if-unmodified-since", BEFORE)],
                Verdict::Whole,
            ),
            (&[("if-none-match", "\"a,b\"")], Verdict::NotModified),
            (&[("if-none-match", "W/\"a,b\"")], Verdict::NotModified),
            (&[("if-none-match", "*")], Verdict::NotModified),
            (
                &[("if-none-match", "\"x\" , ,W/\"y\",\"a,b\"")],
                Verdict::NotModified,
            ),
            (&[("if-none-match", "\"x\"")], Verdict::Whole),
            (
                &[("if-none-match", "\"x\""), ("if-none-match", "\"a,b\"")],
                Verdict::NotModified,
            ),
            (&[("if-modified-since", BEFORE)], Verdict::Whole),
            (&[("if-modified-since", EXACTLY)], Verdict::NotModified),
            (&[("if-modified-since", AFTER)], Verdict::NotModified),
            (
                &[("if-none-match", "\"x\""), ("if-modified-since", AFTER)],
                Verdict::Whole,
            ),
            (
                &[("if-match", "\"x\""), ("if-none-match", "*")],
                Verdict::Failed,
            ),
            (
                &[("range", "bytes=0-1"), ("if-none-match", "*")],
                Verdict::NotModified,
            ),
            (&[("range", "bytes=0-1")], range),
            (
                &[("range", "bytes=0-1"), ("if-range", "\"a,b\"")],
                Verdict::Range("bytes=0-1"),
            ),
            (
                &[("range", "bytes=0-1"), ("if-range", "W/\"a,b\"")],
                Verdict::Whole,
            ),
            (
                &[("range", "bytes=0-1"), ("if-range", EXACTLY)],
                Verdict::Range("bytes=0-1"),
            ),
            (
                &[("range", "bytes=0-1"), ("if-range", AFTER)],
                Verdict::Whole,
            ),
        ] {
            assert_eq!(ask("GET", fields), format!("{expected:?}"), "{fields:?}");
        }
        assert_eq!(ask("HEAD", &[("range", "bytes=0-1")]), "Whole");
    }
}
