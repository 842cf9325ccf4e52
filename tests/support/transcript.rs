//! Reads the transcripts of `tests/wire/*.md`; their notation is in `tests/wire/README.md`.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a transcript that breaks its notation must fail its test"
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
    /// The answer with `100 Continue` in it, where the case has one.
    pub(crate) answer: Vec<u8>,
    /// The answer without it, where the case has one.
    pub(crate) answer_at_once: Vec<u8>,
}

/// All cases of one file.
///
/// # Panics
///
/// If the file breaks the notation: a case that can't be read must not pass.
#[must_use]
pub(crate) fn cases(file: &str) -> Vec<Case> {
    one_case_in(1, file)
}

/// The first case of each `stride` of them.
pub(crate) fn one_case_in(stride: usize, file: &str) -> Vec<Case> {
    // The piece in front of the first `## ` is the file's own title.
    let sections = file.split("\n## ").skip(1);
    sections.step_by(stride).map(case).collect()
}

fn case(section: &str) -> Case {
    let title = section.lines().next().unwrap_or_default().to_owned();
    let fence = |kind: &str| {
        let open = format!("\n```{kind}\n");
        let start = section
            .find(&open)
            .unwrap_or_else(|| panic!("{title}: no fence {kind}"));
        let inside = &section[start + open.len()..];
        let end = if inside.starts_with("```") {
            0
        } else {
            inside
                .find("\n```")
                .unwrap_or_else(|| panic!("{title}: open fence {kind}"))
                + 1
        };
        &inside[..end]
    };
    let events: Vec<String> = fence("events")
        .lines()
        .map(|line| String::from_utf8(repeated(line.as_bytes())).expect("events are text"))
        .collect();
    let (request, ending) = match fence("request").strip_suffix("\\timeout\n") {
        Some(bytes) => (bytes, Ending::Timeout),
        None => (fence("request"), Ending::EndOfInput),
    };
    let answer = fence("answer");
    assert!(
        answer.matches("\\continue\n").count() <= 1,
        "{title}: one \\continue a case"
    );
    let refused = events
        .iter()
        .find_map(|event| event.strip_prefix("refused "));
    Case {
        request: bytes(request, None),
        ending,
        answer: bytes(answer, refused),
        answer_at_once: bytes(&answer.replace("\\continue\n", ""), refused),
        events,
        title,
    }
}

/// The bytes that a fence stands for; `refused` is the event that `\refused` refers to.
fn bytes(fence: &str, refused: Option<&str>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in fence.lines() {
        if line == "\\continue" {
            bytes.extend_from_slice(CONTINUE);
        } else if let Some(status) = line.strip_prefix("\\refused ") {
            let why = refused.and_then(|event| event.strip_prefix(&status[..3]));
            let why = why
                .expect("the event and the answer name one status")
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

/// The line without the backslash at its end, if it has one that is not itself escaped.
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
                "no such escape: {other:?} in {:?}",
                String::from_utf8_lossy(&line)
            ),
        });
    }
}

/// `\*N{…}` written out.
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
