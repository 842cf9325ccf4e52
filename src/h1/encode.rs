//! Encodes responses: status line, fields, chunks. Their framing is decided only here.

use super::byteset::{is_named, is_token};
use super::cursor::Cursor;
use super::date::DateLine;
use super::framing::is_framing_field;
use super::head::Version;
use super::reason::reason_phrase;
use super::state::Close;
use super::vector::{is_field_value, padded};
use crate::limits::COPY_LEN_MAX;

/// An upper bound for the framing lines of one head, in bytes.
const FRAMING_LEN_MAX: usize = 160;
/// Bytes around one chunk: at most 16 digits and two CRLFs.
const CHUNK_FRAME_LEN_MAX: usize = 20;

/// The length of a response's body, as far as it is known when the head is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResponseLength {
    /// Exactly this many bytes.
    Known(u64),
    /// Not known before the body ends.
    Unknown,
}

/// How the body after an encoded head is framed (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyFraming {
    /// There is none: HEAD, 204, 205, 304.
    Absent,
    /// By its length: this many bytes must follow.
    Length(Due),
    /// In chunks.
    Chunked,
    /// By the end of the connection: HTTP/1.0 has no chunks.
    UntilClose,
    /// The same, and it is no body: HTTP has ended on this connection.
    Switched,
}

/// Bytes of a body that must follow. Packed: each connection has such a number, and no padding for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(Rust, packed)]
pub(crate) struct Due(pub(crate) u64);

/// What a head says, apart from the handler's other fields.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResponseHead<'a> {
    pub(crate) status: u16,
    pub(crate) length: ResponseLength,
    /// Apart from the other fields: nearly every response has it, and its name needs no checks.
    pub(crate) content_type: Option<&'a [u8]>,
    pub(crate) date: &'a DateLine,
}

/// The request's method, as far as it matters for the response's framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestMethod {
    /// HEAD: the response has the head that GET would have, and no body.
    Head,
    /// Any other method.
    Other,
}

/// What the connection contributes to a head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadContext {
    pub(crate) method: RequestMethod,
    pub(crate) version: Version,
    pub(crate) close: Close,
}

/// How the body of this response is framed.
pub(crate) const fn body_framing(head: &ResponseHead<'_>, context: &HeadContext) -> BodyFraming {
    match (context.method, head.status, head.length, context.version) {
        (RequestMethod::Head, _, _, _) | (_, 204 | 205 | 304, _, _) => BodyFraming::Absent,
        (RequestMethod::Other, _, ResponseLength::Known(length), _) => {
            BodyFraming::Length(Due(length))
        }
        (RequestMethod::Other, _, ResponseLength::Unknown, Version::Http11) => BodyFraming::Chunked,
        (RequestMethod::Other, _, ResponseLength::Unknown, Version::Http10) => {
            BodyFraming::UntilClose
        }
    }
}

/// Writes the status line, the handler's fields and the framing of a final response. Returns how many fields were left out
/// because only the server may set them, or because they are malformed.
pub(crate) fn encode_head<'f>(
    out: &mut Vec<u8>,
    head: &ResponseHead<'_>,
    context: &HeadContext,
    fields: impl Iterator<Item = (&'f str, &'f [u8])>,
) -> usize {
    out.reserve(FRAMING_LEN_MAX);
    let mut left_out = encode_start(out, head);
    for (name, value) in fields {
        let is_server_field = is_server_field(name) && !is_announcement(name, head, context);
        if is_server_field || !is_sendable(name, value) {
            left_out = left_out.saturating_add(1);
        } else {
            encode_field(out, name, value);
            if is_named(name.as_bytes(), b"upgrade") {
                // RFC 9110 §7.8: a sender of Upgrade must also send this.
                out.extend_from_slice(b"Connection: Upgrade\r\n");
            }
        }
    }
    match (head.status, head.length, context.version) {
        // RFC 9110 §8.6: no Content-Length on 204; on 304 it would be that of the representation that is not sent.
        (204 | 304, _, _) => {}
        // RFC 9110 §15.3.6: 205 has no content either, but unlike the others it has to say so.
        (205, _, _) => out.extend_from_slice(b"Content-Length: 0\r\n"),
        (_, ResponseLength::Unknown, Version::Http10) => {}
        (_, ResponseLength::Known(length), _) => {
            out.extend_from_slice(b"Content-Length: ");
            encode_length(out, length);
        }
        (_, ResponseLength::Unknown, Version::Http11) => {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
        }
    }
    encode_end_of_head(out, head.date, context);
    left_out
}

/// Writes the date, whether the connection persists, and the empty line.
fn encode_end_of_head(out: &mut Vec<u8>, date: &DateLine, context: &HeadContext) {
    out.extend_from_slice(date.with_empty_line());
    let end = match (context.close.is_set(), context.version) {
        (false, Version::Http11) => return,
        // The response must repeat it (RFC 9112 §9.3).
        (false, Version::Http10) => &b"Connection: keep-alive\r\n\r\n"[..],
        (true, _) => b"Connection: close\r\n\r\n",
    };
    out.truncate(out.len().saturating_sub(2));
    out.extend_from_slice(end);
}

/// Writes a `101 Switching Protocols` (RFC 9110 §15.2.2).
pub(crate) fn encode_switch<'f>(
    out: &mut Vec<u8>,
    protocol: &[u8],
    fields: impl Iterator<Item = (&'f str, &'f [u8])>,
) {
    encode_status_line(out, 101);
    if is_field_value(protocol) {
        encode_field(out, "Upgrade", protocol);
    }
    encode_fields_of_switch(out, fields);
    out.extend_from_slice(b"Connection: Upgrade\r\n\r\n");
}

/// Writes the 2xx that turns a connection into a tunnel (RFC 9110 §9.3.6): nothing frames a body, since there is none.
pub(crate) fn encode_tunnel<'f>(
    out: &mut Vec<u8>,
    date: &DateLine,
    fields: impl Iterator<Item = (&'f str, &'f [u8])>,
) {
    encode_status_line(out, 200);
    encode_fields_of_switch(out, fields);
    out.extend_from_slice(date.with_empty_line());
}

fn encode_fields_of_switch<'f>(
    out: &mut Vec<u8>,
    fields: impl Iterator<Item = (&'f str, &'f [u8])>,
) {
    for (name, value) in fields {
        let is_own = is_server_field(name) || is_named(name.as_bytes(), b"upgrade");
        if !is_own && is_sendable(name, value) {
            encode_field(out, name, value);
        }
    }
}

/// Writes `103 Early Hints` (RFC 8297 §2). Fields that only the server sets are left out.
pub(crate) fn encode_early_hints<'f>(
    out: &mut Vec<u8>,
    fields: impl Iterator<Item = (&'f str, &'f [u8])>,
) {
    out.extend_from_slice(b"HTTP/1.1 103 Early Hints\r\n");
    encode_fields_of_switch(out, fields);
    out.extend_from_slice(b"\r\n");
}

/// Writes `100 Continue` (RFC 9110 §15.2.1).
pub(crate) fn encode_continue(out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
}

/// Writes what precedes a chunk of `len` bytes. `len` must not be 0, which would end the body.
pub(crate) fn encode_chunk_start(out: &mut Vec<u8>, len: usize) {
    debug_assert!(len > 0, "an empty chunk ends the body");
    out.reserve(CHUNK_FRAME_LEN_MAX);
    let digits = (usize::BITS.saturating_sub(len.leading_zeros())).div_ceil(4);
    for place in (0..digits).rev() {
        let nibble = u8::try_from(len >> place.saturating_mul(4) & 15).unwrap_or(0);
        out.push(if nibble < 10 {
            b'0'.wrapping_add(nibble)
        } else {
            b'a'.wrapping_add(nibble).wrapping_sub(10)
        });
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes what follows a chunk.
pub(crate) fn encode_chunk_end(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}

/// Writes the last chunk and an empty trailer section.
pub(crate) fn encode_last_chunk(out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n\r\n");
}

/// Adds trailers to the end of a body in chunks, which was just written (RFC 9112 §7.1.2): those that are wanted. Returns how many
/// were left out because they must not be there, or because they are malformed.
pub(crate) fn encode_trailers<'f>(
    out: &mut Vec<u8>,
    fields: impl Iterator<Item = (&'f str, &'f [u8])>,
    is_wanted: impl Fn(&str) -> bool,
) -> usize {
    let mut left_out = 0_usize;
    out.truncate(out.len().saturating_sub(2));
    for (name, value) in fields {
        if is_server_field(name) || !may_trail(name) || !is_sendable(name, value) {
            left_out = left_out.saturating_add(1);
        } else if is_wanted(name) {
            encode_field(out, name, value);
        }
    }
    out.extend_from_slice(b"\r\n");
    left_out
}

/// Whether a response may have the field in its trailer section: not if it frames or routes, controls how the response is cached,
/// authenticates, or says how its content is processed (RFC 9110 §6.5.1).
fn may_trail(name: &str) -> bool {
    const OTHERS: [&str; 18] = [
        "age",
        "authorization",
        "cache-control",
        "content-encoding",
        "content-range",
        "content-type",
        "expires",
        "location",
        "max-forwards",
        "pragma",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "range",
        "retry-after",
        "set-cookie",
        "vary",
        "www-authenticate",
    ];
    !is_framing_field(name) && !OTHERS.iter().any(|other| name.eq_ignore_ascii_case(other))
}

/// Whether it is the name of the field that announces trailers (RFC 9110 §6.6.2).
pub(crate) const fn is_trailer_field(name: &str) -> bool {
    name.eq_ignore_ascii_case("trailer")
}

fn encode_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.reserve(name.len().wrapping_add(value.len()).wrapping_add(4));
    put(out, name.as_bytes());
    out.extend_from_slice(b": ");
    put(out, value);
    out.extend_from_slice(b"\r\n");
}

/// Up to this length bytes are copied without calling the C library.
const SHORT_LEN_MAX: usize = if cfg!(smallest) { 128 } else { COPY_LEN_MAX };

/// Appends bytes that are mostly few, in steps whose size is known at compile time. A copy of unknown length calls `memcpy`,
/// and musl's begins with a string instruction that takes longer than the whole copy of a short run.
#[inline(never)] // Several callers.
pub(crate) fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    let room = out.capacity().wrapping_sub(out.len());
    match bytes.len() {
        // Where memory may be made, registers are saved first. The smallest build has no room for a second way.
        8..16 if cfg!(not(smallest)) && room >= 16 => {
            let end = out.len().wrapping_add(bytes.len());
            out.extend_from_slice(&padded(bytes));
            out.truncate(end);
        }
        _ => put_any(out, bytes),
    }
}

#[cfg_attr(not(smallest), inline(never))]
fn put_any(out: &mut Vec<u8>, bytes: &[u8]) {
    let end = out.len().wrapping_add(bytes.len());
    match bytes.len() {
        // Writes sixteen; the surplus is truncated below.
        ..16 => out.extend_from_slice(&padded(bytes)),
        64..=SHORT_LEN_MAX if cfg!(not(smallest)) => put_steps::<64>(out, bytes),
        16..=SHORT_LEN_MAX => put_steps::<16>(out, bytes),
        _ => out.extend_from_slice(bytes),
    }
    out.truncate(end);
}

/// Appends at least `STEP` bytes, in steps of as many. The last step ends where `bytes` ends and writes some of them twice, which is
/// cheaper than to count what is left.
fn put_steps<const STEP: usize>(out: &mut Vec<u8>, bytes: &[u8]) {
    let end = out.len().wrapping_add(bytes.len());
    let (steps, _) = bytes.as_chunks::<STEP>();
    for step in steps {
        out.extend_from_slice(step);
    }
    if let Some(last) = bytes.last_chunk::<STEP>() {
        out.truncate(end.wrapping_sub(STEP));
        out.extend_from_slice(last);
    }
}

/// Fields that only the server sets: those about framing and the connection, and `Date`.
fn is_server_field(name: &str) -> bool {
    let name = name.as_bytes();
    is_named(name, b"date")
        || is_named(name, b"trailer")
        || is_named(name, b"connection")
        || is_named(name, b"keep-alive")
        || is_named(name, b"content-length")
        || is_named(name, b"transfer-encoding")
}

/// Whether the field announces trailers, of a body that can have them (RFC 9110 §6.6.2).
#[cold]
fn is_announcement(name: &str, head: &ResponseHead<'_>, context: &HeadContext) -> bool {
    is_trailer_field(name) && body_framing(head, context) == BodyFraming::Chunked
}

/// The last check before the wire: no line end inside a line, and no control byte inside a value (RFC 9110 §5.5).
fn is_sendable(name: &str, value: &[u8]) -> bool {
    is_field_value(value) && is_token(name.as_bytes())
}

/// Writes the status line and the content type. Returns how many fields were left out.
#[inline]
fn encode_start(out: &mut Vec<u8>, head: &ResponseHead<'_>) -> usize {
    if head.status == 200 && encode_usual_start(out, head.content_type) {
        0
    } else {
        encode_other_start(out, head)
    }
}

/// What a 200 begins with that has no content type, or one of those that most responses have. Each is one piece, so that it takes one
/// copy: `$after` comes after the content type.
macro_rules! usual_start {
    ($out:ident, $content_type:ident, $after:literal) => {
        usual_start!($out, $content_type, $after, "text/plain; charset=utf-8" "application/json")
    };
    ($out:ident, $content_type:ident, $after:literal, $($usual:literal)*) => {
        match $content_type {
            None => {
                $out.extend_from_slice(concat!("HTTP/1.1 200 OK\r\n", $after).as_bytes());
                true
            }
            $(Some(content_type) if content_type == $usual.as_bytes() => {
                let lines = concat!("HTTP/1.1 200 OK\r\nContent-Type: ", $usual, "\r\n", $after);
                $out.extend_from_slice(lines.as_bytes());
                true
            })*
            Some(_) => false,
        }
    };
}

/// Writes the status line and the content type of a usual 200. False if its content type is another: then nothing is written.
#[inline]
fn encode_usual_start(out: &mut Vec<u8>, content_type: Option<&[u8]>) -> bool {
    usual_start!(out, content_type, "")
}

/// Writes a whole response that is usual: a 200 with such a start, no other fields, and a short body, on a connection that persists.
/// False if its content type is another: then nothing is written.
pub(super) fn encode_usual(
    out: &mut Vec<u8>,
    content_type: Option<&[u8]>,
    content: &[u8],
    date: &DateLine,
) -> bool {
    let is_usual = usual_start!(out, content_type, "Content-Length: ");
    if is_usual {
        encode_length(out, content.len() as u64);
        out.extend_from_slice(date.with_empty_line());
        put(out, content);
    }
    is_usual
}

#[inline(never)]
fn encode_other_start(out: &mut Vec<u8>, head: &ResponseHead<'_>) -> usize {
    encode_status_line(out, head.status);
    match head.content_type {
        None => 0,
        Some(value) if is_field_value(value) => {
            out.extend_from_slice(b"Content-Type: ");
            put(out, value);
            out.extend_from_slice(b"\r\n");
            0
        }
        Some(_) => 1,
    }
}

#[inline]
fn encode_status_line(out: &mut Vec<u8>, status: u16) {
    if status == 200 {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    } else {
        encode_other_status_line(out, status);
    }
}

#[inline(never)]
fn encode_other_status_line(out: &mut Vec<u8>, status: u16) {
    out.extend_from_slice(b"HTTP/1.1 ");
    encode_decimal(out, u64::from(status));
    out.push(b' ');
    out.extend_from_slice(reason_phrase(status).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Writes the rest of a `Content-Length` line.
#[inline]
fn encode_length(out: &mut Vec<u8>, length: u64) {
    match length {
        0..10 => out.extend_from_slice(&[digit(length), b'\r', b'\n']),
        10..100 => out.extend_from_slice(&[digit(length / 10), digit(length), b'\r', b'\n']),
        _ => encode_long_length(out, length),
    }
}

#[inline(never)]
fn encode_long_length(out: &mut Vec<u8>, length: u64) {
    match length {
        // The smallest build has no room for these.
        100..10_000 if cfg!(not(smallest)) => {
            if length >= 1000 {
                out.push(digit(length / 1000));
            }
            let [hundreds, tens, ones] = [length / 100, length / 10, length].map(digit);
            out.extend_from_slice(&[hundreds, tens, ones, b'\r', b'\n']);
        }
        _ => {
            encode_decimal(out, length);
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// The last digit of a number.
fn digit(number: u64) -> u8 {
    b'0'.wrapping_add(u8::try_from(number % 10).unwrap_or(0))
}

fn encode_decimal(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    for place in digits.iter_mut().rev() {
        *place = digit(number);
        start = start.saturating_sub(1);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    put(out, Cursor::at(&digits, start).rest());
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &DateLine = &DateLine::new(b"Sun, 06 Nov 1994 08:49:37 GMT");

    #[test]
    fn a_length_is_written_in_decimal_digits() {
        let last = crate::sim::scaled("lengths", 11_000, 110);
        let powers = (0..20).map(|power| 10_u64.pow(power));
        let others = powers.flat_map(|power| [power - 1, power, power + 1]);
        for length in (0..last as u64).chain(others).chain([u64::MAX]) {
            let mut out = Vec::new();
            encode_length(&mut out, length);
            assert_eq!(out, format!("{length}\r\n").as_bytes());
        }
    }

    #[test]
    fn what_frames_or_routes_is_no_trailer() {
        for name in ["Host", "content-length", "Set-Cookie", "Cache-Control"] {
            assert!(!may_trail(name), "{name}");
        }
        for name in ["Digest", "Server-Timing", "grpc-status"] {
            assert!(may_trail(name), "{name}");
        }
    }

    fn head(
        status: u16,
        length: ResponseLength,
        context: HeadContext,
        fields: &[(&str, &[u8])],
    ) -> (String, usize) {
        let mut out = Vec::new();
        let head = ResponseHead {
            status,
            length,
            content_type: None,
            date: DATE,
        };
        let left_out = encode_head(&mut out, &head, &context, fields.iter().copied());
        (String::from_utf8(out).expect("ASCII"), left_out)
    }

    const CONTEXT: HeadContext = HeadContext {
        method: RequestMethod::Other,
        version: Version::Http11,
        close: Close::Unset,
    };

    #[test]
    fn early_hints_have_no_fields_of_the_servers() {
        let mut out = Vec::new();
        let fields = [
            ("Link", &b"</a.css>; rel=preload"[..]),
            ("Content-Length", b"3"),
            ("Connection", b"close"),
            ("X-Split", b"a\r\nb: c"),
        ];
        encode_early_hints(&mut out, fields.into_iter());
        assert_eq!(
            out,
            b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"
        );
    }

    #[test]
    fn trailers_are_sent_if_wanted_and_allowed() {
        let fields: [(&str, &[u8]); 9] = [
            ("X-Kept", b"a"),
            ("X-Unwanted", b"b"),
            ("X-Split", b"c\r\nd"),
            ("", b"e"),
            ("Content-Length", b"5"),
            ("DATE", b"now"),
            ("set-cookie", b"f"),
            ("Trailer", b"g"),
            ("x-kept", b""),
        ];
        let mut out = Vec::new();
        encode_last_chunk(&mut out);
        let left_out = encode_trailers(&mut out, fields.into_iter(), |name| name != "X-Unwanted");
        assert_eq!(left_out, 6);
        assert_eq!(out, b"0\r\nX-Kept: a\r\nx-kept: \r\n\r\n");
    }

    #[test]
    fn a_body_in_chunks_may_announce_trailers() {
        let old = HeadContext {
            version: Version::Http10,
            ..CONTEXT
        };
        for (status, length, context, left_out) in [
            (200, ResponseLength::Unknown, CONTEXT, 0),
            (200, ResponseLength::Known(1), CONTEXT, 1),
            (204, ResponseLength::Unknown, CONTEXT, 1),
            (200, ResponseLength::Unknown, old, 1),
        ] {
            let head = head(status, length, context, &[("Trailer", b"x")]);
            assert_eq!(head.1, left_out);
            assert_eq!(head.0.contains("Trailer: x\r\n"), left_out == 0);
        }
    }

    #[test]
    fn framing_follows_from_the_length_and_the_version() {
        let (text, _) = head(200, ResponseLength::Known(5), CONTEXT, &[("A", b"b")]);
        assert_eq!(
            text,
            "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 5\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n"
        );
        assert!(
            head(200, ResponseLength::Unknown, CONTEXT, &[])
                .0
                .contains("Transfer-Encoding: chunked")
        );
        let old = HeadContext {
            version: Version::Http10,
            ..CONTEXT
        };
        let (text, _) = head(200, ResponseLength::Known(0), old, &[]);
        assert!(
            text.contains("Content-Length: 0\r\n") && text.contains("Connection: keep-alive\r\n")
        );
        assert!(
            !head(204, ResponseLength::Known(0), CONTEXT, &[])
                .0
                .contains("Content-Length")
        );
        let closing = HeadContext {
            close: Close::PeerAsked,
            ..CONTEXT
        };
        assert!(
            head(404, ResponseLength::Known(0), closing, &[])
                .0
                .ends_with("Connection: close\r\n\r\n")
        );
    }

    #[test]
    fn a_handler_can_neither_set_framing_nor_split_a_line() {
        let hostile: &[(&str, &[u8])] = &[
            ("content-length", b"1"),
            ("Transfer-Encoding", b"chunked"),
            ("CONNECTION", b"close"),
            ("Date", b"today"),
            ("x", b"a\r\nb: c"),
            ("x\r\ny", b""),
            ("", b""),
            ("x y", b""),
            ("x", b"\0"),
        ];
        let (text, left_out) = head(200, ResponseLength::Known(0), CONTEXT, hostile);
        assert_eq!(left_out, hostile.len());
        assert_eq!(text.matches("\r\n").count(), 4, "{text}");
    }

    #[test]
    fn a_content_type_cannot_split_a_line_either() {
        for (value, expected) in [
            (&b"text/plain"[..], 0),
            (b"", 0),
            (b"text/plain; charset=utf-8\t\xff", 0),
            (b"a\r\nb: c", 1),
            (b"text/plain; charset=utf-8\n", 1),
            (b"\0text/plain; charset=utf-8; a=b", 1),
            (b"text/plain; charset=\x7f-8; a=b", 1),
        ] {
            let head = ResponseHead {
                status: 200,
                length: ResponseLength::Known(0),
                content_type: Some(value),
                date: DATE,
            };
            let mut out = Vec::new();
            let left_out = encode_head(&mut out, &head, &CONTEXT, core::iter::empty());
            assert_eq!(left_out, expected, "{}", value.escape_ascii());
            let line = [b"\r\nContent-Type: ", value, b"\r\n"].concat();
            let is_present = out.windows(line.len()).any(|window| window == line);
            assert_eq!(is_present, expected == 0, "{}", value.escape_ascii());
        }
    }

    #[test]
    fn bytes_of_any_length_are_appended_whole() {
        let bytes: Vec<u8> = (0..=250).cycle().take(SHORT_LEN_MAX + 2).collect();
        for len in (0..300).chain(SHORT_LEN_MAX - 65..bytes.len()) {
            for room in [0, 15, 16, bytes.len()] {
                let mut out = b"before".to_vec();
                out.reserve_exact(room);
                put(&mut out, &bytes[..len]);
                assert_eq!(out, [b"before", &bytes[..len]].concat());
            }
        }
    }

    #[test]
    fn an_offer_to_upgrade_is_named_in_connection() {
        let offer: &[(&str, &[u8])] = &[("Upgrade", b"websocket")];
        let (text, left_out) = head(426, ResponseLength::Known(0), CONTEXT, offer);
        assert_eq!(left_out, 0);
        assert!(
            text.contains("Upgrade: websocket\r\nConnection: Upgrade\r\n"),
            "{text}"
        );
    }

    #[test]
    fn a_switch_has_the_handlers_fields_except_those_that_frame_or_split() {
        let fields: &[(&str, &[u8])] = &[
            ("Upgrade", b"another"),
            ("Content-Length", b"1"),
            ("Connection", b"close"),
            ("x", b"a\r\nb: c"),
            ("Sec-WebSocket-Accept", b"key"),
        ];
        let mut out = Vec::new();
        encode_switch(&mut out, b"websocket", fields.iter().copied());
        let expected = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
            Sec-WebSocket-Accept: key\r\nConnection: Upgrade\r\n\r\n";
        assert_eq!(out, expected.as_bytes());
        out.clear();
        encode_tunnel(&mut out, DATE, fields.iter().copied());
        let expected = "HTTP/1.1 200 OK\r\nSec-WebSocket-Accept: key\r\n\
            Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n";
        assert_eq!(out, expected.as_bytes());
    }

    #[test]
    fn numbers_are_written_in_full() {
        for number in [0, 9, 10, 99, 100, 999, 1_000, 1_024, 10_000, u64::MAX] {
            let mut out = Vec::new();
            encode_decimal(&mut out, number);
            assert_eq!(out, number.to_string().into_bytes());
        }
        for len in [1, 9, 10, 15, 16, 255, 4_096, 0xabcd_ef01, usize::MAX] {
            let mut out = Vec::new();
            encode_chunk_start(&mut out, len);
            assert_eq!(out, format!("{len:x}\r\n").into_bytes());
        }
    }
}
