//! A reference parser: slow, non-incremental, and written from the grammar of RFC 9112 and the choices of this server
//! alone. It shares no code with `h1`, so a mistake must be made twice to go unnoticed.
//!
//! If a head has several faults, any of their statuses is accepted. There is no other disagreement; a new one is a defect
//! on one side, or a line here with its section of the RFC.

use super::exchange::{Cuts, Ending, Message, Site, run};

/// How an input ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// Between two requests.
    Clean,
    /// Inside a request.
    NeedsMore,
    /// A request closed the connection.
    Closed,
    /// A request is refused with one of these statuses.
    Refused(Vec<u16>),
}

/// The requests in an input.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Meaning {
    /// The requests. The last one may be incomplete.
    pub messages: Vec<Message>,
    /// How it ended.
    pub end: End,
}

/// A result, or how the input ends.
type Refused<T> = Result<T, End>;

const BODY_LEN_MAX: u64 = 32 * 1024 * 1024;
const HEAD_LEN_MAX: usize = 16 * 1024;

/// Parses a whole input.
#[must_use]
pub fn meaning(input: &[u8]) -> Meaning {
    let mut messages = Vec::new();
    let mut rest = input;
    let end = loop {
        let mut message = Message::default();
        let read = read_message(rest, &mut message);
        if !message.method.is_empty() {
            messages.push(message);
        }
        match read {
            Ok(left) => rest = left,
            Err(end) => break end,
        }
    };
    Meaning { messages, end }
}

/// Compares the requests that `h1` reads from `input` with those of the reference.
///
/// # Errors
///
/// A description of the first difference.
pub fn check_against_reference(input: &[u8], cuts: Cuts) -> Result<(), String> {
    let expected = meaning(input);
    let exchange = run(input, cuts, Ending::EndOfInput, Site::Echo);
    if expected.messages != exchange.messages {
        return Err(format!(
            "the requests differ at {cuts:?}\nreference: {:#?}\nh1: {:#?}",
            expected.messages, exchange.messages
        ));
    }
    let next = exchange.events.last().map_or("", String::as_str);
    if is_same_end(&expected.end, exchange.refused, next) {
        return Ok(());
    }
    Err(format!(
        "the end differs at {cuts:?}\nreference: {:?}\nh1: refused {:?}, {next}",
        expected.end, exchange.refused
    ))
}

fn is_same_end(expected: &End, refused: Option<u16>, next: &str) -> bool {
    match (expected, refused) {
        (End::Clean | End::NeedsMore, None) => next == "next Close",
        (End::Closed, None) => next == "next Linger",
        (End::Refused(statuses), Some(status)) => {
            next == "next Linger" && statuses.contains(&status)
        }
        (End::Refused(_), None) | (End::Clean | End::NeedsMore | End::Closed, Some(_)) => false,
    }
}

fn refused<T>(status: u16) -> Refused<T> {
    Err(End::Refused(vec![status]))
}

/// Reads the message at the start of `input`; returns the bytes after it, or how the input ends.
fn read_message<'a>(input: &'a [u8], message: &mut Message) -> Refused<&'a [u8]> {
    let input = match input {
        [] | [b'\r'] => return Err(End::Clean),
        [b'\r', b'\n', rest @ ..] => rest,
        _ => input,
    };
    let Some(first) = input.first() else {
        return Err(End::Clean);
    };
    if !is_token(&[*first]) {
        return refused(400);
    }
    let lines = read_section(input, Section::Head)?;
    let head_len: usize = lines.iter().map(|line| line.len() + 2).sum();
    let after = &input[head_len + 2..];
    let mut faults = Vec::new();
    let mut head = Message::default();
    faults.extend(read_request_line(lines[0], &mut head));
    if faults.is_empty() {
        match read_fields(&lines[1..]) {
            Ok(fields) => head.fields = fields,
            Err(status) => faults.push(status),
        }
    }
    if faults.is_empty() {
        faults = faults_of(&head);
    }
    if !faults.is_empty() {
        return Err(End::Refused(faults));
    }
    let body = body_of(&head);
    let is_tunnel = head.method == "CONNECT";
    let is_last = is_last(&head);
    *message = head;
    if is_tunnel {
        message.is_whole = body == Body::Length(0);
        // The response is 501 at once: no tunnel is opened, and nothing after the head is read.
        return Err(End::Closed);
    }
    let after = match body {
        Body::Length(len) => read_length(after, len, message),
        Body::Chunked => read_chunks(after, message),
    }?;
    message.is_whole = true;
    if is_last {
        return Err(End::Closed);
    }
    Ok(after)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Section {
    Head,
    Trailers,
}

/// The lines up to the empty one, without their CRLF. Faults are found even before the empty line has come.
fn read_section(input: &[u8], section: Section) -> Refused<Vec<&[u8]>> {
    let mut lines: Vec<&[u8]> = Vec::new();
    let mut at = 0;
    loop {
        let is_first = section == Section::Head && lines.is_empty();
        let feed = input[at..].iter().position(|byte| *byte == b'\n');
        let end = feed.map_or(input.len(), |feed| at + feed + 1);
        if is_first {
            check_begun_line(&input[at..end])?;
        }
        if end > HEAD_LEN_MAX {
            return refused(431);
        }
        if feed.is_none() {
            return Err(End::NeedsMore);
        }
        let Some(line) = input[at..end].strip_suffix(b"\r\n") else {
            return refused(400);
        };
        if is_first && let Some(status) = read_request_line(line, &mut Message::default()) {
            return refused(status);
        }
        if line.is_empty() && !is_first {
            return Ok(lines);
        }
        lines.push(line);
        at = end;
    }
}

/// Checks a request line that may be incomplete: the method is invalid, or the line is too long for any valid one.
fn check_begun_line(line: &[u8]) -> Refused<()> {
    let ends_method = |byte: &u8| b" \r\n".contains(byte);
    let method_len = line.iter().position(ends_method).unwrap_or(line.len());
    if method_len > 32 || !is_token(&line[..method_len]) {
        return refused(400);
    }
    if line.len() > method_len + " ".len() + 8192 + " HTTP/1.1\r\n".len() {
        return refused(414);
    }
    Ok(())
}

/// RFC 9112 §3. The status of a fault in the line.
fn read_request_line(line: &[u8], head: &mut Message) -> Option<u16> {
    // One character per byte: no byte above 0x7f passes the checks below.
    let line: String = line.iter().copied().map(char::from).collect();
    let parts: Vec<&str> = line.split(' ').collect();
    let [method, target, version] = parts[..] else {
        return Some(400);
    };
    if !is_token(method.as_bytes()) || method.len() > 32 || target.is_empty() {
        return Some(400);
    }
    if target.len() > 8192 {
        return Some(414);
    }
    let digits: Vec<char> = version
        .strip_prefix("HTTP/")
        .unwrap_or("")
        .chars()
        .collect();
    head.version = match digits[..] {
        ['1', '.', '0'] => "HTTP/1.0".to_owned(),
        ['1', '.', '1'..='9'] => "HTTP/1.1".to_owned(),
        [major, '.', minor] if major.is_ascii_digit() && minor.is_ascii_digit() => {
            return Some(505);
        }
        _ => return Some(400),
    };
    if target.chars().any(|it| !it.is_ascii_graphic() || it == '#') {
        return Some(400);
    }
    head.method = method.to_owned();
    head.target = target.to_owned();
    head.path = target.to_owned();
    if method == "CONNECT" {
        let (host, port) = target.rsplit_once(':').unwrap_or_default();
        head.authority = Some(target.to_owned());
        let is_good =
            !host.is_empty() && is_host(target) && port.parse::<u16>().is_ok_and(|port| port > 0);
        return (!is_good).then_some(400);
    }
    if target.starts_with('/') || (target == "*" && method == "OPTIONS") {
        return None;
    }
    let lower = target.to_ascii_lowercase();
    let scheme = ["http://", "https://"]
        .into_iter()
        .find(|scheme| lower.starts_with(scheme));
    let rest = &target[scheme.map_or(target.len(), str::len)..];
    let path_start = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(path_start);
    head.authority = Some(authority.to_owned());
    head.path = path.to_owned();
    (authority.is_empty() || authority.starts_with(':') || !is_host(authority)).then_some(400)
}

/// RFC 9112 §5. The fields of the lines, or the status of a fault.
fn read_fields(lines: &[&[u8]]) -> Result<Vec<(String, Vec<u8>)>, u16> {
    let mut fields = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        if number == 100 {
            return Err(431);
        }
        let colon = line.iter().position(|byte| *byte == b':').ok_or(400_u16)?;
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        let is_value = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f);
        if !is_token(name) || !value.iter().all(is_value) {
            return Err(400);
        }
        let name = String::from_utf8_lossy(name).into_owned();
        fields.push((name, trim(value).to_vec()));
    }
    Ok(fields)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    Length(u64),
    Chunked,
}

fn values<'a>(head: &'a Message, name: &str) -> Vec<&'a [u8]> {
    let named = head
        .fields
        .iter()
        .filter(|field| field.0.eq_ignore_ascii_case(name));
    named.map(|(_, value)| value.as_slice()).collect()
}

/// RFC 9112 §3.2 and §6, RFC 9110 §10.1.1: the statuses of all faults in `Host`, the framing fields and `Expect`.
fn faults_of(head: &Message) -> Vec<u16> {
    let is_old = head.version == "HTTP/1.0";
    let mut faults = Vec::new();
    let hosts = values(head, "host");
    let is_named = |host: &&[u8]| is_host(&String::from_utf8_lossy(host));
    if hosts.len() > 1 || !hosts.iter().all(is_named) || (hosts.is_empty() && !is_old) {
        faults.push(400);
    }
    let lengths = values(head, "content-length");
    if lengths.len() > 1 || lengths.iter().any(|value| number(value).is_none()) {
        faults.push(400);
    }
    let codings = values(head, "transfer-encoding");
    if !codings.is_empty() && (is_old || !lengths.is_empty() || codings.len() > 1) {
        faults.push(400);
    }
    for coding in codings {
        let list: Vec<&[u8]> = coding.split(|byte| *byte == b',').map(trim).collect();
        let chunked = list
            .iter()
            .position(|one| one.eq_ignore_ascii_case(b"chunked"));
        if list.iter().any(|one| !is_token(one)) || chunked.is_some_and(|at| at + 1 < list.len()) {
            faults.push(400);
        } else if list.len() > 1 || chunked.is_none() {
            faults.push(501);
        }
    }
    let expectations = values(head, "expect");
    let is_met = |value: &&[u8]| value.eq_ignore_ascii_case(b"100-continue");
    if !is_old && (expectations.len() > 1 || !expectations.iter().all(is_met)) {
        faults.push(417);
    }
    faults
}

fn number(value: &[u8]) -> Option<u64> {
    let is_digits = value.iter().all(u8::is_ascii_digit);
    let digits = std::str::from_utf8(value).ok().filter(|_| is_digits)?;
    digits.parse().ok()
}

/// RFC 9112 §6.3, for a head without faults.
fn body_of(head: &Message) -> Body {
    if values(head, "transfer-encoding").is_empty() {
        let length = values(head, "content-length")
            .first()
            .copied()
            .and_then(number);
        Body::Length(length.unwrap_or(0))
    } else {
        Body::Chunked
    }
}

/// RFC 9112 §9.3.
fn is_last(head: &Message) -> bool {
    let lines = values(head, "connection");
    let has = |option: &[u8]| {
        let mut options = lines
            .iter()
            .flat_map(|line| line.split(|byte| *byte == b','));
        options.any(|found| trim(found).eq_ignore_ascii_case(option))
    };
    has(b"close") || (head.version == "HTTP/1.0" && !has(b"keep-alive"))
}

fn read_length<'a>(input: &'a [u8], len: u64, message: &mut Message) -> Refused<&'a [u8]> {
    if len > BODY_LEN_MAX {
        return refused(413);
    }
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    message
        .body
        .extend_from_slice(&input[..len.min(input.len())]);
    input.get(len..).ok_or(End::NeedsMore)
}

/// RFC 9112 §7.1.
fn read_chunks<'a>(mut input: &'a [u8], message: &mut Message) -> Refused<&'a [u8]> {
    let mut extensions_len = 0;
    loop {
        let (size, after) = read_size(input, &mut extensions_len)?;
        if size == 0 {
            let lines = read_section(after, Section::Trailers)?;
            let trailers = read_fields(&lines).or_else(refused)?;
            let forbidden =
                "content-length transfer-encoding connection host expect upgrade trailer te";
            let is_forbidden = |name: &str| {
                forbidden
                    .split(' ')
                    .any(|field| field.eq_ignore_ascii_case(name))
            };
            if trailers.iter().any(|(name, _)| is_forbidden(name)) {
                return refused(400);
            }
            message.trailers = trailers;
            let len: usize = lines.iter().map(|line| line.len() + 2).sum();
            return Ok(&after[len + 2..]);
        }
        if message.body.len() as u64 + size > BODY_LEN_MAX {
            return refused(413);
        }
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        message
            .body
            .extend_from_slice(&after[..size.min(after.len())]);
        input = match after.get(size..) {
            None | Some([] | [b'\r']) => return Err(End::NeedsMore),
            Some([b'\r', b'\n', next @ ..]) => next,
            Some(_) => return refused(400),
        };
    }
}

/// A chunk's size line: 1 to 16 hexadecimal digits of at most 2^63, and extensions after a semicolon, which whitespace
/// may precede, up to a CRLF.
fn read_size<'a>(input: &'a [u8], extensions_len: &mut usize) -> Refused<(u64, &'a [u8])> {
    let digits = input
        .iter()
        .take_while(|byte| byte.is_ascii_hexdigit())
        .count();
    if digits > 16 {
        return refused(400);
    }
    let size = std::str::from_utf8(&input[..digits]).unwrap_or_default();
    let size = u64::from_str_radix(size, 16).unwrap_or(0);
    if size > 1 << 63 {
        return refused(400);
    }
    let rest = &input[digits..];
    let is_space = |byte: &&u8| matches!(**byte, b' ' | b'\t');
    let spaces = rest.iter().take_while(is_space).count();
    let in_extension = |byte: &&u8| **byte == b'\t' || (**byte >= b' ' && **byte != 0x7f);
    let extension = match rest.get(spaces) {
        Some(b';') => rest.iter().take_while(in_extension).count(),
        Some(_) if spaces > 0 => return refused(400),
        Some(_) | None => spaces,
    };
    *extensions_len += extension;
    if *extensions_len > 4096 || (digits == 0 && !rest.is_empty()) {
        return refused(400);
    }
    match &rest[extension..] {
        [] | [b'\r'] => Err(End::NeedsMore),
        [b'\r', b'\n', after @ ..] => Ok((size, after)),
        _ => refused(400),
    }
}

fn is_token(bytes: &[u8]) -> bool {
    let is_token_byte =
        |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !bytes.is_empty() && bytes.iter().all(is_token_byte)
}

fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// RFC 9110 §7.2: a name, an address or an IP literal, and optionally a port; or empty.
fn is_host(text: &str) -> bool {
    let (host, port) = match text.rfind(']') {
        Some(end) => text.split_at(end + 1),
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let is_port = port.is_empty()
        || port
            .strip_prefix(':')
            .is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
    let is_name = match host.strip_prefix('[') {
        Some(literal) => {
            let address = literal.strip_suffix(']').unwrap_or("");
            let is_good = |it: char| it.is_ascii_hexdigit() || ":.vV-_~".contains(it);
            !address.is_empty() && address.chars().all(is_good)
        }
        None => host.split('%').enumerate().all(|(number, part)| {
            let is_good = |it: char| it.is_ascii_alphanumeric() || "-._~!$&'()*+,;=".contains(it);
            let encoded = part.chars().take(2).filter(char::is_ascii_hexdigit).count();
            part.chars().all(is_good) && (number == 0 || encoded == 2)
        }),
    };
    is_port && is_name
}
