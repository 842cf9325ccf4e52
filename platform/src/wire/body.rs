//! Message framing: where a body ends, and its bytes piece by piece.

use std::time::Instant;

use super::fields::Fields;
use super::grammar::{self, Scan, is_token, malformed};
use super::head::{Request, Response};
use super::{Fault, Wire};

const SIZE_LINE_LEN_MAX: usize = 4096;
/// Chunk extensions of one body, in bytes: they carry no content, so a body must not consist of them.
const EXTENSIONS_LEN_MAX: usize = 64 * 1024;
const TRAILERS_LEN_MAX: usize = 16 * 1024;
const SIZE_DIGITS_MAX: usize = 16;

/// How the end of a body is determined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Empty,
    Length(u64),
    Chunked,
    UntilClose,
}

impl Framing {
    /// The framing of a request's body (RFC 9112 §6.3). Whatever is ambiguous is an error.
    pub(crate) fn of_request(request: &Request) -> Result<Self, Fault> {
        let codings: Vec<_> = request.fields.all("transfer-encoding").collect();
        let lengths: Vec<_> = request.fields.all("content-length").collect();
        match (codings.as_slice(), lengths.as_slice()) {
            ([], []) => Ok(Self::Empty),
            ([], [length]) => content_length(length).map(Self::Length),
            ([], _) => Err(malformed("more than one Content-Length")),
            (_, [_, ..]) => Err(malformed("both Transfer-Encoding and Content-Length")),
            (_, []) if request.minor_version == 0 => {
                Err(malformed("Transfer-Encoding in HTTP/1.0"))
            }
            (_, []) => chunked(&codings),
        }
    }

    /// The framing of a response's body, given the request's method (RFC 9112 §6.3).
    pub(crate) fn of_response(response: &Response, method: &str) -> Result<Self, Fault> {
        if method == "HEAD" || response.status < 200 || matches!(response.status, 204 | 304) {
            return Ok(Self::Empty);
        }
        let codings: Vec<_> = response.fields.all("transfer-encoding").collect();
        if !codings.is_empty() {
            // It overrides Content-Length, which is not forwarded then.
            return chunked(&codings);
        }
        let mut lengths = response.fields.all("content-length");
        let Some(first) = lengths.next() else {
            return Ok(Self::UntilClose);
        };
        if lengths.any(|other| other != first) {
            return Err(malformed("two different values of Content-Length"));
        }
        content_length(first).map(Self::Length)
    }
}

/// A reader of one body.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    state: State,
    scan: Scan,
    extensions_len: usize,
    trailers: Fields,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Left(u64),
    UntilClose,
    ChunkSize,
    ChunkLeft(u64),
    ChunkEnd,
    Trailers,
    Done,
}

/// What a body holds of the bytes that have arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Arrived {
    Piece(Vec<u8>),
    NeedInput,
    End,
}

/// What the next bytes are.
enum Step {
    Content(usize),
    Framing(usize),
    NeedInput,
    End,
}

impl Body {
    /// Starts right after the head.
    pub(crate) fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::Empty | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Left(length),
            Framing::Chunked => State::ChunkSize,
            Framing::UntilClose => State::UntilClose,
        };
        Self {
            state,
            scan: Scan::default(),
            extensions_len: 0,
            trailers: Fields::default(),
        }
    }

    /// The next piece, as soon as it arrives; `None` at the end.
    pub(crate) fn next(
        &mut self,
        wire: &mut Wire,
        deadline: Instant,
    ) -> Result<Option<Vec<u8>>, Fault> {
        loop {
            match self.arrived(wire)? {
                Arrived::Piece(piece) => return Ok(Some(piece)),
                Arrived::End => return Ok(None),
                Arrived::NeedInput if wire.fill(deadline)? => {}
                Arrived::NeedInput if self.state == State::UntilClose => self.state = State::Done,
                Arrived::NeedInput => return Err(Fault::ClosedMidway),
            }
        }
    }

    /// The next piece of what has already been read, without waiting for more.
    pub(crate) fn arrived(&mut self, wire: &mut Wire) -> Result<Arrived, Fault> {
        loop {
            match self.step(wire.unread())? {
                Step::Content(length) => return Ok(Arrived::Piece(wire.take(length))),
                Step::Framing(length) => drop(wire.take(length)),
                Step::NeedInput => return Ok(Arrived::NeedInput),
                Step::End => return Ok(Arrived::End),
            }
        }
    }

    /// Reads the rest of the body, up to a limit.
    pub(crate) fn read_all(
        &mut self,
        wire: &mut Wire,
        length_max: usize,
        deadline: Instant,
    ) -> Result<Vec<u8>, Fault> {
        let mut all = Vec::new();
        while let Some(piece) = self.next(wire, deadline)? {
            all.extend_from_slice(&piece);
            if all.len() > length_max {
                return Err(Fault::BodyTooLong);
            }
        }
        Ok(all)
    }

    /// The trailer fields, complete at the end of the body.
    pub(crate) const fn trailers(&self) -> &Fields {
        &self.trailers
    }

    fn step(&mut self, input: &[u8]) -> Result<Step, Fault> {
        match self.state {
            State::Done => Ok(Step::End),
            _ if input.is_empty() => Ok(Step::NeedInput),
            State::UntilClose => Ok(Step::Content(input.len())),
            State::Left(left) => {
                let (length, left) = content(input, left);
                self.state = if left == 0 {
                    State::Done
                } else {
                    State::Left(left)
                };
                Ok(Step::Content(length))
            }
            State::ChunkLeft(left) => {
                let (length, left) = content(input, left);
                self.state = if left == 0 {
                    State::ChunkEnd
                } else {
                    State::ChunkLeft(left)
                };
                Ok(Step::Content(length))
            }
            State::ChunkEnd => match input {
                [b'\r', b'\n', ..] => {
                    self.state = State::ChunkSize;
                    Ok(Step::Framing(2))
                }
                [b'\r'] => Ok(Step::NeedInput),
                _ => Err(malformed("a chunk that does not end after its size")),
            },
            State::ChunkSize => self.chunk_size(input),
            State::Trailers => self.trailer_section(input),
        }
    }

    /// RFC 9112 §7.1: `chunk-size [ chunk-ext ] CRLF`.
    fn chunk_size(&mut self, input: &[u8]) -> Result<Step, Fault> {
        let digits = input
            .iter()
            .take_while(|byte| byte.is_ascii_hexdigit())
            .count();
        if digits == 0 || digits > SIZE_DIGITS_MAX {
            return Err(malformed("a chunk size that is not a number"));
        }
        let Some(end) = input.iter().position(|byte| *byte == b'\n') else {
            let may_grow = input.len() <= SIZE_LINE_LEN_MAX;
            return match &input[digits..] {
                [] | [b'\r'] | [b';', ..] if may_grow => Ok(Step::NeedInput),
                _ => Err(malformed("a malformed or endless chunk size")),
            };
        };
        let Some(line) = input[..end].strip_suffix(b"\r") else {
            return Err(malformed("a chunk size ends in LF without CR"));
        };
        let (size, extensions) = line.split_at(digits);
        self.extensions_len += extensions.len();
        if self.extensions_len > EXTENSIONS_LEN_MAX || line.len() > SIZE_LINE_LEN_MAX {
            return Err(malformed("endless chunk extensions"));
        }
        if !are_extensions(extensions) {
            return Err(malformed("a malformed chunk extension"));
        }
        let size = str::from_utf8(size).ok();
        let size = size.and_then(|size| i64::from_str_radix(size, 16).ok());
        let size = size.and_then(|size| u64::try_from(size).ok());
        let size = size.ok_or_else(|| malformed("a chunk size that is too large"))?;
        self.state = if size == 0 {
            State::Trailers
        } else {
            State::ChunkLeft(size)
        };
        Ok(Step::Framing(end + 1))
    }

    fn trailer_section(&mut self, input: &[u8]) -> Result<Step, Fault> {
        let Some(length) = grammar::section_len(input, &mut self.scan)? else {
            return if input.len() > TRAILERS_LEN_MAX {
                Err(malformed("endless trailers"))
            } else {
                Ok(Step::NeedInput)
            };
        };
        let section = &input[..length];
        if section != b"\r\n" {
            self.trailers = grammar::fields(section)?;
        }
        let mut names = self.trailers.0.iter();
        if let Some((name, _)) = names.find(|(name, _)| grammar::is_forbidden_in_trailers(name)) {
            return Err(malformed(&format!("{name} in the trailers")));
        }
        self.state = State::Done;
        Ok(Step::Framing(length))
    }
}

/// How much of the input is content, and how much is left after it.
fn content(input: &[u8], left: u64) -> (usize, u64) {
    let length = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
    (length, left - length as u64)
}

/// `*( ";" OWS token [ "=" ( token / quoted-string ) ] )`. No extension is known, so all are dropped; but one that another
/// implementation could end elsewhere is an error.
fn are_extensions(mut rest: &[u8]) -> bool {
    while let [b';', after @ ..] = rest {
        let name_end = |byte: &u8| matches!(byte, b';' | b'=');
        let after = after.trim_ascii_start();
        let (name, after) = after.split_at(after.iter().position(name_end).unwrap_or(after.len()));
        if !is_token(name.trim_ascii_end()) {
            return false;
        }
        rest = match after {
            [b'=', value @ ..] => match after_value(value.trim_ascii_start()) {
                Some(after) => after.trim_ascii_start(),
                None => return false,
            },
            after => after,
        };
    }
    rest.is_empty()
}

/// What follows a token or a quoted string (RFC 9110 §5.6.4).
fn after_value(value: &[u8]) -> Option<&[u8]> {
    let Some(mut quoted) = value.strip_prefix(b"\"") else {
        let end = value.iter().position(|byte| *byte == b';');
        let (token, after) = value.split_at(end.unwrap_or(value.len()));
        return is_token(token.trim_ascii_end()).then_some(after);
    };
    loop {
        quoted = match quoted {
            [b'"', after @ ..] => return Some(after),
            [b'\\', b'\t' | b' '..=b'~' | 0x80.., after @ ..] => after,
            [b'\\', ..] => return None,
            [b'\t' | b' '..=b'~' | 0x80.., after @ ..] => after,
            _ => return None,
        };
    }
}

fn chunked(codings: &[&[u8]]) -> Result<Framing, Fault> {
    match codings {
        [coding] if coding.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
        _ => Err(malformed("a Transfer-Encoding other than `chunked`")),
    }
}

fn content_length(value: &[u8]) -> Result<u64, Fault> {
    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let text = str::from_utf8(value).ok().filter(|_| is_number);
    let length = text.and_then(|text| text.parse().ok());
    length.ok_or_else(|| {
        malformed(&format!(
            "Content-Length `{}`",
            String::from_utf8_lossy(value)
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(minor_version: u8, lines: &[(&str, &str)]) -> Request {
        let mut fields = Fields::default();
        for (name, value) in lines {
            fields.push(name, value);
        }
        Request {
            method: "POST".to_owned(),
            target: "/".to_owned(),
            minor_version,
            fields,
            fields_len: 0,
        }
    }

    /// Decodes the input when it arrives `step` bytes at a time; the number is what is left of it.
    fn decode(input: &[u8], step: usize) -> Result<(Vec<u8>, Fields, usize), Fault> {
        let mut body = Body::new(Framing::Chunked);
        let (mut content, mut at, mut visible) = (Vec::new(), 0, 0);
        loop {
            match body.step(&input[at..visible])? {
                Step::Content(length) => {
                    content.extend_from_slice(&input[at..at + length]);
                    at += length;
                }
                Step::Framing(length) => at += length,
                Step::NeedInput if visible == input.len() => return Err(Fault::ClosedMidway),
                Step::NeedInput => visible = (visible + step).min(input.len()),
                Step::End => return Ok((content, body.trailers, input.len() - at)),
            }
        }
    }

    #[test]
    fn ambiguous_request_framing_is_refused() {
        let length = ("Content-Length", "5");
        let chunked = ("Transfer-Encoding", "chunked");
        for fields in [
            &[length, ("content-length", "6")][..],
            &[length, length],
            &[length, chunked],
            &[("Content-Length", "5, 5")],
            &[("Content-Length", "+5")],
            &[("Content-Length", "0x5")],
            &[("Content-Length", "")],
            &[("Content-Length", "18446744073709551616")],
            &[chunked, chunked],
            &[("Transfer-Encoding", "gzip, chunked")],
            &[("Transfer-Encoding", "chunked, chunked")],
            &[("Transfer-Encoding", "identity")],
            &[("Transfer-Encoding", "xchunked")],
            &[("Transfer-Encoding", "")],
        ] {
            assert!(
                Framing::of_request(&request(1, fields)).is_err(),
                "{fields:?}"
            );
        }
        assert!(
            Framing::of_request(&request(0, &[chunked])).is_err(),
            "HTTP/1.0 has no codings"
        );
        let framing = Framing::of_request(&request(1, &[("Transfer-Encoding", "Chunked")]));
        assert_eq!(framing.ok(), Some(Framing::Chunked));
        assert_eq!(
            Framing::of_request(&request(0, &[length])).ok(),
            Some(Framing::Length(5))
        );
    }

    #[test]
    fn chunks_are_decoded_at_every_cut() {
        let input = b"3\r\nabc\r\n0A; a ; b=c;d=\"e\\\";f\"\r\n0123456789\r\n0\r\nX: y\r\n\r\nGET";
        for step in 1..=input.len() {
            let (content, trailers, left) = decode(input, step).expect("well-formed");
            assert_eq!(content, b"abc0123456789", "{step}");
            assert_eq!(trailers.first("x"), Some(&b"y"[..]), "{step}");
            assert_eq!(left, 3, "{step}");
        }
    }

    #[test]
    fn malformed_chunks_are_refused_at_every_cut() {
        for input in [
            &b"g\r\n"[..],
            b"\r\n\r\n",
            b"+3\r\nabc\r\n0\r\n\r\n",
            b" 3\r\nabc\r\n0\r\n\r\n",
            b"3 \r\nabc\r\n0\r\n\r\n",
            b"3 ;a\r\nabc\r\n0\r\n\r\n",
            b"0x3\r\nabc\r\n0\r\n\r\n",
            b"3\nabc\r\n0\r\n\r\n",
            b"3\r\nabcd\r\n0\r\n\r\n",
            b"3\r\nabc0\r\n\r\n",
            b"3\r\nabc\n0\r\n\r\n",
            b"3;\r\nabc\r\n0\r\n\r\n",
            b"3;a\rb\r\nabc\r\n0\r\n\r\n",
            b"3;a\nabc\r\n0\r\n\r\n",
            b"3;a=\"b\r\nabc\r\n0\r\n\r\n",
            b"3;a=\r\nabc\r\n0\r\n\r\n",
            b"3;\0\r\nabc\r\n0\r\n\r\n",
            b"3_0\r\n",
            b"8000000000000000\r\n",
            b"00000000000000003\r\nabc\r\n0\r\n\r\n",
            b"0\r\nContent-Length: 3\r\n\r\n",
            b"0\r\nHost: a\r\n\r\n",
            b"0\r\nA : b\r\n\r\n",
            b"0\r\nA: b\n\r\n",
        ] {
            for step in 1..=input.len() {
                let seen = decode(input, step);
                let text = String::from_utf8_lossy(input);
                assert!(
                    matches!(seen, Err(Fault::Malformed(_))),
                    "{text:?} by {step}: {seen:?}"
                );
            }
        }
    }
}
