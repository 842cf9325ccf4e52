//! What a client sees: answers, read strictly out of the bytes that came.
//!
//! The tests of the standard are written against [`served`] alone, so that the same sentences can be held against any
//! window: the protocol by itself, or the whole loop.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "an answer that can't be read must fail its test"
)]

use coldstart::sim::{Cuts, Ending, Exchange, Message, exchange};

/// One final answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) reason: String,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: String,
    /// How many `100 Continue` came before it.
    pub(crate) continues: usize,
}

impl Answer {
    /// The value of the field, which must not stand there twice.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let named = |field: &&(String, String)| field.0.eq_ignore_ascii_case(name);
        let mut values = self.fields.iter().filter(named);
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} stands twice");
        value
    }

    pub(crate) fn closes(&self) -> bool {
        self.field("Connection") == Some("close")
    }
}

/// What came of all that a peer sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Served {
    /// The requests that were understood, the last of which may not be whole.
    pub(crate) requests: Vec<Message>,
    pub(crate) answers: Vec<Answer>,
    /// The server ended the connection of itself.
    pub(crate) is_closed_by_server: bool,
}

/// A request with nothing but its host; `line` lacks the version.
pub(crate) fn bare(line: &str) -> String {
    with(&format!("{line} HTTP/1.1"), &["Host: a"])
}

/// A request line, then these lines, then the empty line.
pub(crate) fn with(request_line: &str, fields: &[&str]) -> String {
    let mut text = format!("{request_line}\r\n");
    for field in fields {
        text.push_str(field);
        text.push_str("\r\n");
    }
    text + "\r\n"
}

pub(crate) fn get(fields: &[&str]) -> String {
    with("GET / HTTP/1.1", &[&["Host: a"], fields].concat())
}

pub(crate) fn post(fields: &[&str], body: &str) -> String {
    with("POST / HTTP/1.1", &[&["Host: a"], fields].concat()) + body
}

pub(crate) fn chunked(body: &str) -> String {
    post(&["Transfer-Encoding: chunked"], body)
}

/// Sends `input`, then ends the peer's side.
pub(crate) fn served(input: impl AsRef<[u8]>) -> Served {
    served_until(input.as_ref(), Ending::EndOfInput)
}

/// Sends `input` one byte a read, so that the server sees each head before any byte behind it.
pub(crate) fn served_byte_by_byte(input: impl AsRef<[u8]>) -> Served {
    read(&exchange(
        input.as_ref(),
        Cuts::Every(1),
        Ending::EndOfInput,
    ))
}

pub(crate) fn served_until(input: &[u8], ending: Ending) -> Served {
    read(&exchange(input, Cuts::Whole, ending))
}

/// The one answer to `input`.
pub(crate) fn answer(input: impl AsRef<[u8]>) -> Answer {
    let mut answers = served(input).answers;
    assert_eq!(answers.len(), 1, "one answer: {answers:?}");
    answers.remove(0)
}

/// The status of a refusal, which must be the one answer to `input` and the connection's last: a request that stands
/// behind it is not taken.
pub(crate) fn refusal(input: impl AsRef<[u8]>) -> u16 {
    let mut input = input.as_ref().to_vec();
    input.extend_from_slice(b"GET /behind HTTP/1.1\r\nHost: a\r\n\r\n");
    let served = served(&input);
    assert_eq!(served.answers.len(), 1, "one answer: {served:?}");
    assert!(
        served.is_closed_by_server,
        "the connection ends: {served:?}"
    );
    let behind = served
        .requests
        .iter()
        .find(|request| request.target == "/behind");
    assert_eq!(behind, None, "nothing behind a refusal is taken");
    let answer = &served.answers[0];
    assert!(answer.closes(), "a refusal says that it closes: {answer:?}");
    assert!(answer.status >= 400, "a refusal: {answer:?}");
    answer.status
}

/// Whatever of `parts` the request is made with, it is refused with this status.
pub(crate) fn refuses<P: Copy + std::fmt::Debug, T: AsRef<[u8]>>(
    status: u16,
    parts: impl IntoIterator<Item = P>,
    request: impl Fn(P) -> T,
) {
    for part in parts {
        assert_eq!(refusal(request(part)), status, "{part:?}");
    }
}

/// The one request in `input`, whole and answered.
pub(crate) fn request(input: impl AsRef<[u8]>) -> Message {
    let mut served = served(input);
    assert_eq!(served.requests.len(), 1, "one request: {served:?}");
    assert_eq!(served.answers.len(), 1, "one answer: {served:?}");
    assert!(served.requests[0].is_whole, "a whole request: {served:?}");
    served.requests.remove(0)
}

fn read(exchange: &Exchange) -> Served {
    let next = exchange.events.last().map(String::as_str);
    let has_misuse = exchange
        .events
        .iter()
        .any(|event| event.starts_with("misuse"));
    let mut answers = Vec::new();
    let mut rest = exchange.output.as_slice();
    while !rest.is_empty() {
        let request = exchange.messages.get(answers.len());
        let (answer, behind) = read_answer(rest, request.map(|request| request.method.as_str()));
        answers.push(answer);
        rest = behind;
    }
    Served {
        requests: exchange.messages.clone(),
        answers,
        is_closed_by_server: next == Some("next Linger") || has_misuse,
    }
}

fn read_answer<'a>(bytes: &'a [u8], method: Option<&str>) -> (Answer, &'a [u8]) {
    let (mut answer, mut rest) = read_head(bytes);
    let mut continues = 0;
    while answer.status == 100 {
        assert_eq!(answer.fields, [], "100 Continue has no fields here");
        continues += 1;
        (answer, rest) = read_head(rest);
    }
    answer.continues = continues;
    let length = answer
        .field("Content-Length")
        .map(|length| length.parse().expect("a length"));
    let coding = answer.field("Transfer-Encoding");
    assert!(
        length.is_none() || coding.is_none(),
        "two framings: {answer:?}"
    );
    let (body, behind) = match (length, coding) {
        _ if method == Some("HEAD") || matches!(answer.status, 204 | 304) => (Vec::new(), rest),
        // The refusal of a HEAD whose head was not understood: the client knows what it asked for.
        (Some(_), None) if method.is_none() && rest.is_empty() => (Vec::new(), rest),
        (Some(length), None) => {
            let (body, behind) = rest.split_at(rest.len().min(length));
            (body.to_vec(), behind)
        }
        (None, Some("chunked")) => read_chunks(rest),
        (None, None) if answer.closes() => (rest.to_vec(), &b""[..]),
        framing => panic!("no framing of an answer: {framing:?}"),
    };
    answer.body = String::from_utf8(body).expect("a text");
    (answer, behind)
}

/// A line, each of its bytes as the character of that number.
fn line(bytes: &[u8]) -> (String, &[u8]) {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n");
    let (line, behind) = bytes.split_at(end.expect("a whole line"));
    assert!(
        !line.iter().any(|byte| b"\r\n\0".contains(byte)),
        "a line is one line"
    );
    (line.iter().copied().map(char::from).collect(), &behind[2..])
}

fn read_head(bytes: &[u8]) -> (Answer, &[u8]) {
    let (status_line, mut rest) = line(bytes);
    let status = status_line
        .strip_prefix("HTTP/1.1 ")
        .expect("a status line");
    let (status, reason) = status.split_once(' ').expect("a space behind the status");
    assert_eq!(status.len(), 3, "a status has three digits");
    let mut fields = Vec::new();
    loop {
        let (field, behind) = line(rest);
        rest = behind;
        if field.is_empty() {
            break;
        }
        let (name, value) = field.split_once(": ").expect("a field line");
        assert!(!name.contains([' ', '\t']), "a name is a token: {name:?}");
        fields.push((name.to_owned(), value.to_owned()));
    }
    let answer = Answer {
        status: status.parse().expect("a number"),
        reason: reason.to_owned(),
        fields,
        body: String::new(),
        continues: 0,
    };
    (answer, rest)
}

fn read_chunks(mut rest: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut body = Vec::new();
    loop {
        let (size, behind) = line(rest);
        let size = usize::from_str_radix(&size, 16).expect("a size");
        let (chunk, behind) = behind.split_at(size);
        body.extend_from_slice(chunk);
        rest = behind.strip_prefix(b"\r\n").expect("CRLF behind a chunk");
        if size == 0 {
            return (body, rest);
        }
    }
}
