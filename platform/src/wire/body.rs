//! Message framing: where a body ends, and its bytes piece by piece.

use std::time::Instant;

use super::head::{Request, Response};
use super::{Fault, Wire};

const SIZE_LINE_LEN_MAX: usize = 4096;
const TRAILERS_LEN_MAX: usize = 16 * 1024;

/// How the end of a body is determined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Empty,
    Length(u64),
    Chunked,
    UntilClose,
}

impl Framing {
    /// The framing of a request's body.
    pub(crate) fn of_request(request: &Request) -> Result<Self, Fault> {
        if request.fields.has_token("transfer-encoding", "chunked") {
            return Ok(Self::Chunked);
        }
        Ok(content_length(request.fields.first("content-length"))?
            .map_or(Self::Empty, Self::Length))
    }

    /// The framing of a response's body, given the request's method.
    pub(crate) fn of_response(response: &Response, method: &str) -> Result<Self, Fault> {
        if method == "HEAD" || response.status < 200 || matches!(response.status, 204 | 304) {
            return Ok(Self::Empty);
        }
        if response.fields.has_token("transfer-encoding", "chunked") {
            return Ok(Self::Chunked);
        }
        Ok(content_length(response.fields.first("content-length"))?
            .map_or(Self::UntilClose, Self::Length))
    }
}

/// A reader of one body.
#[derive(Debug)]
pub(crate) struct Body {
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Left(u64),
    UntilClose,
    ChunkSize,
    ChunkLeft(u64),
    ChunkEnd,
    Done,
}

impl Body {
    /// Starts right after the head.
    pub(crate) const fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::Empty | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Left(length),
            Framing::Chunked => State::ChunkSize,
            Framing::UntilClose => State::UntilClose,
        };
        Self { state }
    }

    /// The next piece, as soon as it arrives; `None` at the end.
    pub(crate) fn next(
        &mut self,
        wire: &mut Wire,
        deadline: Instant,
    ) -> Result<Option<Vec<u8>>, Fault> {
        loop {
            match self.state {
                State::Done => return Ok(None),
                State::Left(left) => {
                    let piece = piece(wire, left, deadline)?;
                    let left = left - piece.len() as u64;
                    self.state = if left == 0 {
                        State::Done
                    } else {
                        State::Left(left)
                    };
                    return Ok(Some(piece));
                }
                State::UntilClose => {
                    if wire.unread().is_empty() && !wire.fill(deadline)? {
                        self.state = State::Done;
                        return Ok(None);
                    }
                    return Ok(Some(wire.take(usize::MAX)));
                }
                State::ChunkSize => self.state = chunk_size(wire, deadline)?,
                State::ChunkLeft(left) => {
                    let piece = piece(wire, left, deadline)?;
                    let left = left - piece.len() as u64;
                    self.state = if left == 0 {
                        State::ChunkEnd
                    } else {
                        State::ChunkLeft(left)
                    };
                    return Ok(Some(piece));
                }
                State::ChunkEnd => {
                    if !line(wire, deadline)?.is_empty() {
                        return Err(Fault::Malformed(
                            "a chunk is longer than its size".to_owned(),
                        ));
                    }
                    self.state = State::ChunkSize;
                }
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
                return Err(Fault::Malformed(format!(
                    "a body longer than {length_max} bytes"
                )));
            }
        }
        Ok(all)
    }
}

fn piece(wire: &mut Wire, left: u64, deadline: Instant) -> Result<Vec<u8>, Fault> {
    if wire.unread().is_empty() && !wire.fill(deadline)? {
        return Err(Fault::ClosedMidway);
    }
    Ok(wire.take(usize::try_from(left).unwrap_or(usize::MAX)))
}

fn chunk_size(wire: &mut Wire, deadline: Instant) -> Result<State, Fault> {
    let text = line(wire, deadline)?;
    let digits = text.split(';').next().unwrap_or_default().trim();
    let is_hex = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let size = is_hex
        .then(|| u64::from_str_radix(digits, 16).ok())
        .flatten();
    let size = size.ok_or_else(|| Fault::Malformed(format!("chunk size `{digits}`")))?;
    if size > 0 {
        return Ok(State::ChunkLeft(size));
    }
    let mut trailers_len = 0;
    loop {
        let trailer = line(wire, deadline)?;
        trailers_len += trailer.len();
        if trailer.is_empty() {
            return Ok(State::Done);
        }
        if trailers_len > TRAILERS_LEN_MAX {
            return Err(Fault::Malformed("endless trailers".to_owned()));
        }
    }
}

fn line(wire: &mut Wire, deadline: Instant) -> Result<String, Fault> {
    loop {
        if let Some(at) = wire.unread().windows(2).position(|pair| pair == b"\r\n") {
            let mut bytes = wire.take(at + 2);
            bytes.truncate(at);
            return Ok(String::from_utf8_lossy(&bytes).into_owned());
        }
        if wire.unread().len() > SIZE_LINE_LEN_MAX {
            return Err(Fault::Malformed("an endless chunk size".to_owned()));
        }
        if !wire.fill(deadline)? {
            return Err(Fault::ClosedMidway);
        }
    }
}

fn content_length(value: Option<&[u8]>) -> Result<Option<u64>, Fault> {
    let Some(value) = value else { return Ok(None) };
    let text = String::from_utf8_lossy(value);
    let text = text.trim();
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let length = is_number.then(|| text.parse().ok()).flatten();
    length
        .map(Some)
        .ok_or_else(|| Fault::Malformed(format!("Content-Length `{text}`")))
}
