//! What a client sees: responses, parsed strictly from the output.
//!
//! The RFC tests use only [`served`], so they could run against the protocol alone or against the whole loop.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a response that cannot be parsed must fail its test"
)]

use coldstart::sim::{Cuts, Ending, Exchange, Message, exchange};

/// A final response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HttpResponse {
    pub(crate) status: u16,
    pub(crate) reason: String,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: String,
    /// How many `100 Continue` preceded it.
    pub(crate) continues: usize,
}

impl HttpResponse {
    /// The value of a field, which must appear at most once.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let named = |field: &&(String, String)| field.0.eq_ignore_ascii_case(name);
        let mut values = self.fields.iter().filter(named);
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} appears twice");
        value
    }

    pub(crate) fn closes(&self) -> bool {
        self.field("Connection") == Some("close")
    }
}

/// Everything that a peer's input led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Served {
    /// The requests that were parsed. The last one may be incomplete.
    pub(crate) requests: Vec<Message>,
    pub(crate) responses: Vec<HttpResponse>,
    /// Whether the server ended the connection on its own.
    pub(crate) is_closed_by_server: bool,
}

/// A request with only a Host; `line` lacks the version.
pub(crate) fn bare(line: &str) -> String {
    with(&format!("{line} HTTP/1.1"), &["Host: a"])
}

/// A request line, these field lines, and the empty line.
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

/// Sends `input`, then closes the peer's side.
pub(crate) fn served(input: impl AsRef<[u8]>) -> Served {
    served_until(input.as_ref(), Ending::EndOfInput)
}

/// Sends `input` one byte per read, so that the server sees each head before any byte after it.
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

/// The single response to `input`.
pub(crate) fn response(input: impl AsRef<[u8]>) -> HttpResponse {
    let mut responses = served(input).responses;
    assert_eq!(responses.len(), 1, "one response: {responses:?}");
    responses.remove(0)
}

/// The status of a refusal. It must be the only response and end the connection: a request after it is not read.
pub(crate) fn refusal(input: impl AsRef<[u8]>) -> u16 {
    let mut input = input.as_ref().to_vec();
    input.extend_from_slice(b"GET /after HTTP/1.1\r\nHost: a\r\n\r\n");
    let served = served(&input);
    assert_eq!(served.responses.len(), 1, "one response: {served:?}");
    assert!(served.is_closed_by_server, "the server closes: {served:?}");
    let after = served
        .requests
        .iter()
        .find(|request| request.target == "/after");
    assert_eq!(after, None, "no request after a refusal is read");
    let response = &served.responses[0];
    assert!(
        response.closes(),
        "a refusal announces the close: {response:?}"
    );
    assert!(response.status >= 400, "a refusal: {response:?}");
    response.status
}

/// Each request made from one of `parts` is refused with this status.
pub(crate) fn refuses<P: Copy + std::fmt::Debug, T: AsRef<[u8]>>(
    status: u16,
    parts: impl IntoIterator<Item = P>,
    request: impl Fn(P) -> T,
) {
    for part in parts {
        assert_eq!(refusal(request(part)), status, "{part:?}");
    }
}

/// The single request in `input`, complete and with a response.
pub(crate) fn request(input: impl AsRef<[u8]>) -> Message {
    let mut served = served(input);
    assert_eq!(served.requests.len(), 1, "a single request: {served:?}");
    assert_eq!(served.responses.len(), 1, "one response: {served:?}");
    assert!(served.requests[0].is_whole, "a whole request: {served:?}");
    served.requests.remove(0)
}

fn read(exchange: &Exchange) -> Served {
    let next = exchange.events.last().map(String::as_str);
    let has_misuse = exchange
        .events
        .iter()
        .any(|event| event.starts_with("misuse"));
    let mut responses = Vec::new();
    let mut rest = exchange.output.as_slice();
    while !rest.is_empty() {
        let request = exchange.messages.get(responses.len());
        let (response, after) = read_response(rest, request.map(|request| request.method.as_str()));
        responses.push(response);
        rest = after;
    }
    Served {
        requests: exchange.messages.clone(),
        responses,
        is_closed_by_server: next == Some("next Linger") || has_misuse,
    }
}

fn read_response<'a>(bytes: &'a [u8], method: Option<&str>) -> (HttpResponse, &'a [u8]) {
    let (mut response, mut rest) = read_head(bytes);
    let mut continues = 0;
    while response.status == 100 {
        assert_eq!(response.fields, [], "100 Continue has no fields here");
        continues += 1;
        (response, rest) = read_head(rest);
    }
    response.continues = continues;
    let length = response
        .field("Content-Length")
        .map(|length| length.parse().expect("a length"));
    let coding = response.field("Transfer-Encoding");
    assert!(
        length.is_none() || coding.is_none(),
        "two framings: {response:?}"
    );
    let (body, after) = match (length, coding) {
        _ if method == Some("HEAD") || matches!(response.status, 204 | 304) => (Vec::new(), rest),
        // A refused HEAD whose head did not parse: the client still expects no body.
        (Some(_), None) if method.is_none() && rest.is_empty() => (Vec::new(), rest),
        (Some(length), None) => {
            let (body, after) = rest.split_at(rest.len().min(length));
            (body.to_vec(), after)
        }
        (None, Some("chunked")) => read_chunks(rest),
        (None, None) if response.closes() => (rest.to_vec(), &b""[..]),
        framing => panic!("a response without framing: {framing:?}"),
    };
    response.body = String::from_utf8(body).expect("a text");
    (response, after)
}

/// A line, each byte as the char with its value.
fn line(bytes: &[u8]) -> (String, &[u8]) {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n");
    let (line, after) = bytes.split_at(end.expect("a whole line"));
    assert!(
        !line.iter().any(|byte| b"\r\n\0".contains(byte)),
        "a line is one line"
    );
    (line.iter().copied().map(char::from).collect(), &after[2..])
}

fn read_head(bytes: &[u8]) -> (HttpResponse, &[u8]) {
    let (status_line, mut rest) = line(bytes);
    let status = status_line
        .strip_prefix("HTTP/1.1 ")
        .expect("a status line");
    let (status, reason) = status.split_once(' ').expect("a space after the status");
    assert_eq!(status.len(), 3, "a status has three digits");
    let mut fields = Vec::new();
    loop {
        let (field, after) = line(rest);
        rest = after;
        if field.is_empty() {
            break;
        }
        let (name, value) = field.split_once(": ").expect("a field line");
        assert!(!name.contains([' ', '\t']), "a name is a token: {name:?}");
        fields.push((name.to_owned(), value.to_owned()));
    }
    let response = HttpResponse {
        status: status.parse().expect("a number"),
        reason: reason.to_owned(),
        fields,
        body: String::new(),
        continues: 0,
    };
    (response, rest)
}

fn read_chunks(mut rest: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut body = Vec::new();
    loop {
        let (size, after) = line(rest);
        let size = usize::from_str_radix(&size, 16).expect("a size");
        let (chunk, after) = after.split_at(size);
        body.extend_from_slice(chunk);
        rest = after.strip_prefix(b"\r\n").expect("CRLF after a chunk");
        if size == 0 {
            return (body, rest);
        }
    }
}
