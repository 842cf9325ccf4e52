//! Check functions for fuzzers and tests: they take any bytes, and panic if the result is wrong.

use super::exchange::{Cuts, Ending, exchange};
use super::reference::check_against_reference;
use crate::h1::{Connection, DateLine, Event, HeadIndex, HeadLimits, ResponseHead, ResponseLength};

const DATE: &DateLine = &DateLine::new(b"Sun, 06 Nov 1994 08:49:37 GMT");
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Checks a connection: the first 8 bytes are the seed of the cuts, the rest is the input.
///
/// # Panics
///
/// If the requests or the responses depend on the cuts, or differ from the reference.
pub fn check_connection(bytes: &[u8]) {
    let (seed, input) = bytes.split_at_checked(8).unwrap_or((&[], bytes));
    let seed = seed
        .iter()
        .fold(0, |seed, byte| seed << 8 | u64::from(*byte));
    for cuts in [Cuts::Whole, Cuts::Every(1), Cuts::Seeded(seed)] {
        assert_eq!(check_against_reference(input, cuts), Ok(()), "{cuts:?}");
    }
    for ending in [Ending::EndOfInput, Ending::Timeout] {
        let whole = exchange(input, Cuts::Whole, ending);
        let cut = exchange(input, Cuts::Seeded(seed), ending);
        assert_eq!(whole.events, cut.events, "the cuts change the requests");
        assert_eq!(
            without_continue(&whole.output),
            without_continue(&cut.output),
            "the cuts change the responses"
        );
    }
}

/// Whether `100 Continue` is sent depends on when the body comes; nothing else does.
fn without_continue(output: &[u8]) -> Vec<u8> {
    let mut rest = output;
    let mut kept = Vec::new();
    while let Some(byte) = rest.first() {
        if let Some(left) = rest.strip_prefix(CONTINUE) {
            rest = left;
        } else {
            kept.push(*byte);
            rest = rest.get(1..).unwrap_or_default();
        }
    }
    kept
}

/// Checks a head: the bytes alone, as field lines of a valid request, as its target, and as its host.
///
/// # Panics
///
/// As [`check_connection`].
pub fn check_head(bytes: &[u8]) {
    let seed = [0; 8];
    check_connection(&[&seed, bytes].concat());
    check_connection(
        &[
            &seed,
            &b"GET / HTTP/1.1\r\nHost: a\r\n"[..],
            bytes,
            b"\r\n\r\n",
        ]
        .concat(),
    );
    check_connection(&[&seed, &b"GET "[..], bytes, b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat());
    check_connection(&[&seed, &b"GET / HTTP/1.1\r\nHost: "[..], bytes, b"\r\n\r\n"].concat());
}

/// Checks a chunked body.
///
/// # Panics
///
/// As [`check_connection`].
pub fn check_chunked(bytes: &[u8]) {
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    check_connection(&[&[0; 8], &head[..], bytes].concat());
}

/// Checks a response with hostile fields: a byte for the status, one for the request, then names and values, each after a
/// byte with its length.
///
/// # Panics
///
/// If the fields change the response's framing, add a line, or leave an invalid byte in it.
pub fn check_response(bytes: &[u8]) {
    let (choice, mut rest) = bytes.split_at_checked(2).unwrap_or((&[0, 0], &[]));
    let mut texts = Vec::new();
    while let Some((len, after)) = rest.split_first() {
        let (text, after) = after
            .split_at_checked(usize::from(*len))
            .unwrap_or((after, &[]));
        texts.push(text);
        rest = after;
    }
    let names: Vec<_> = texts
        .chunks(2)
        .map(|pair| String::from_utf8_lossy(pair[0]))
        .collect();
    let values = texts
        .chunks(2)
        .map(|pair| pair.get(1).copied().unwrap_or_default());
    let fields: Vec<_> = names.iter().map(AsRef::as_ref).zip(values).collect();
    let status = [200, 204, 205, 304, 404, 500][usize::from(choice[0]) % 6];
    let request: &[u8] = [
        &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
        b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    ][usize::from(choice[1]) % 4];
    for length in [ResponseLength::Known(5), ResponseLength::Unknown] {
        let (output, refused) = respond(request, status, length, &fields);
        check_response_head(&output, status, fields.len() - refused);
    }
}

fn respond(
    request: &[u8],
    status: u16,
    length: ResponseLength,
    fields: &[(&str, &[u8])],
) -> (Vec<u8>, usize) {
    let limits = HeadLimits {
        head_len_max: 1024,
        target_len_max: 64,
        headers_max: 8,
    };
    let mut connection = Connection::new();
    let polled = connection.poll(request, &mut HeadIndex::default(), &limits);
    assert!(
        matches!(polled, Ok((_, Event::Head { .. }))),
        "the request is valid"
    );
    let mut output = Vec::new();
    let head = ResponseHead {
        status,
        length,
        content_type: None,
        date: DATE,
    };
    let refused = connection.encode_head(&mut output, &head, fields.iter().copied());
    (output, refused)
}

/// Parses a head as a strict client would, and counts the handler's fields.
fn check_response_head(output: &[u8], status: u16, kept: usize) {
    let lines = output
        .strip_suffix(b"\r\n\r\n")
        .map(|head| head.split(|byte| *byte == b'\n'));
    let mut lines = lines.into_iter().flatten();
    let status_line = lines.next().unwrap_or_default();
    assert!(
        status_line.starts_with(format!("HTTP/1.1 {status} ").as_bytes()),
        "not a status line: {}",
        status_line.escape_ascii()
    );
    let (mut own, mut handlers, mut before) = (Vec::new(), 0, &b""[..]);
    for line in lines {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let is_good = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
        assert!(
            line.iter().all(is_good),
            "an invalid byte: {}",
            line.escape_ascii()
        );
        let colon = line.iter().position(|byte| *byte == b':');
        let (name, _) = line.split_at(colon.unwrap_or(0));
        let is_token =
            |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
        assert!(
            !name.is_empty() && name.iter().all(is_token),
            "not a field name: {}",
            line.escape_ascii()
        );
        let is_offer = before.eq_ignore_ascii_case(b"upgrade") && line == b"Connection: Upgrade";
        before = name;
        match name.to_ascii_lowercase().as_slice() {
            // `Connection` may have several lines (RFC 9110 §7.6.1): this one belongs to the `Upgrade` before it.
            _ if is_offer => {}
            b"date" | b"content-length" | b"transfer-encoding" | b"connection" => own.push(name),
            _ => handlers += 1,
        }
    }
    assert_eq!(handlers, kept, "every field that was not refused is there");
    let mut sorted = own.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(
        sorted.len(),
        own.len(),
        "no field of the server is repeated"
    );
    assert!(
        own.contains(&&b"Date"[..]),
        "each final response has a date"
    );
    let framings = own
        .iter()
        .filter(|name| name.len() == 14 || name.len() == 17)
        .count();
    assert!(
        framings <= 1 && (status != 204 || framings == 0),
        "at most one framing field"
    );
}
