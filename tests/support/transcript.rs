//! Parses the transcripts in `tests/wire/*.md`. `tests/wire/README.md` describes the notation.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a malformed transcript must fail its test"
)]

use coldstart::sim::Ending;

const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// One case of a transcript.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) title: String,
    pub(crate) request: Vec<u8>,
    pub(crate) ending: Ending,
    pub(crate) events: Vec<String>,
    /// The response including `100 Continue`, if the case has one.
    pub(crate) response: Vec<u8>,
    /// The response without `100 Continue`.
    pub(crate) response_at_once: Vec<u8>,
}

/// All cases of one file.
///
/// # Panics
///
/// If the file is malformed: a case that cannot be parsed must not pass.
#[must_use]
pub(crate) fn cases(file: &str) -> Vec<Case> {
    one_case_in(1, file)
}

/// Every `stride`-th case.
pub(crate) fn one_case_in(stride: usize, file: &str) -> Vec<Case> {
    // The part before the first `## ` is the title of the file.
    let sections = file.split("\n## ").skip(1);
    sections.step_by(stride).map(case).collect()
}

fn case(section: &str) -> Case {
    let title = section.lines().next().unwrap_or_default().to_owned();
    let fence = |kind: &str| {
        let open = format!("\n```{kind}\n");
        let start = section
            .find(&open)
            .unwrap_or_else(|| panic!("{title}: no {kind} fence"));
        let inside = &section[start + open.len()..];
        let end = if inside.starts_with("```") {
            0
        } else {
            inside
                .find("\n```")
                .unwrap_or_else(|| panic!("{title}: the {kind} fence is not closed"))
                + 1
        };
        &inside[..end]
    };
    let events: Vec<String> = fence("events")
        .lines()
        .map(|line| String::from_utf8(repeated(line.as_bytes())).expect("events are UTF-8"))
        .collect();
    let (request, ending) = match fence("request").strip_suffix("\\timeout\n") {
        Some(bytes) => (bytes, Ending::Timeout),
        None => (fence("request"), Ending::EndOfInput),
    };
    let response = fence("response");
    assert!(
        response.matches("\\continue\n").count() <= 1,
        "{title}: at most one \\continue"
    );
    let refused = events
        .iter()
        .find_map(|event| event.strip_prefix("refused "));
    Case {
        request: bytes(request, None),
        ending,
        response: bytes(response, refused),
        response_at_once: bytes(&response.replace("\\continue\n", ""), refused),
        events,
        title,
    }
}

/// The bytes that a fence stands for. `\refused` refers to the event `refused`.
fn bytes(fence: &str, refused: Option<&str>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in fence.lines() {
        if line == "\\continue" {
            bytes.extend_from_slice(CONTINUE);
        } else if let Some(status) = line.strip_prefix("\\refused ") {
            let why = refused.and_then(|event| event.strip_prefix(&status[..3]));
            let why = why
                .expect("the event and the response have the same status")
                .trim_start();
            bytes.extend_from_slice(refusal(status, why).as_bytes());
        } else if let Some(open) = open_line(line) {
            unescape(open, &mut bytes);
        } else {
            unescape(line, &mut bytes);
            bytes.extend_from_slice(b"\r\n");
        }
    }
    bytes
}

/// The line without its final backslash, if it has one that is not escaped.
fn open_line(line: &str) -> Option<&str> {
    let backslashes = line.len() - line.trim_end_matches('\\').len();
    (backslashes % 2 == 1).then(|| &line[..line.len() - 1])
}

fn refusal(status: &str, why: &str) -> String {
    let len = why.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Length: {len}\r\nDate: {DATE}\r\nConnection: close\r\n\r\n{why}"
    )
}

fn unescape(line: &str, bytes: &mut Vec<u8>) {
    let line = repeated(line.as_bytes());
    let mut at = line.iter();
    while let Some(byte) = at.next() {
        if *byte != b'\\' {
            bytes.push(*byte);
            continue;
        }
        bytes.push(match at.next() {
            Some(b'r') => b'\r',
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b's') => b' ',
            Some(b'0') => 0,
            Some(b'\\') => b'\\',
            Some(b'x') => {
                let mut digit = || {
                    let digit = at.next().and_then(|digit| char::from(*digit).to_digit(16));
                    u8::try_from(digit.expect("two hexadecimal digits")).expect("a digit")
                };
                digit() * 16 + digit()
            }
            other => panic!(
                "unknown escape: {other:?} in {:?}",
                String::from_utf8_lossy(&line)
            ),
        });
    }
}

/// Expands `\*N{…}`.
fn repeated(line: &[u8]) -> Vec<u8> {
    let Some(start) = line.windows(2).position(|pair| pair == b"\\*") else {
        return line.to_vec();
    };
    let rest = &line[start + 2..];
    let open = rest.iter().position(|byte| *byte == b'{').expect("\\*N{…}");
    let close = rest.iter().position(|byte| *byte == b'}').expect("\\*N{…}");
    let times = std::str::from_utf8(&rest[..open]).expect("a number");
    let mut written = line[..start].to_vec();
    written.extend(rest[open + 1..close].repeat(times.parse().expect("a number")));
    written.extend(repeated(&rest[close + 1..]));
    written
}
