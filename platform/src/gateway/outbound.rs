//! A request on its way to the function: its head, and its body as far as it has arrived.

use std::time::{Duration, Instant};

use super::hop;
use super::precheck::body_too_long;
use crate::caller_error::CallerError;
use crate::wire::body::{Arrived, Body, Framing};
use crate::wire::fields::Fields;
use crate::wire::head::Request;
use crate::wire::{Fault, Wire, readable_within};

/// A body up to this length is read whole before it is forwarded, so that a retry can send it again.
const WHOLE_BODY_LEN: usize = 64 * 1024;
/// How long a chunked body may take to begin before the head is forwarded without it. A malformed first chunk is refused
/// before the function sees anything; a caller that waits for the response before it sends more is not held up for long.
const FIRST_CHUNK_PATIENCE: Duration = Duration::from_millis(100);

/// A request to forward: what the function gets, and how its body arrives.
#[derive(Debug)]
pub(crate) struct Outbound {
    pub(crate) request: Request,
    pub(crate) framing: Framing,
    pub(crate) content: Content,
    /// What the caller's `Connection` named, also for trailers.
    pub(crate) nominated: Vec<String>,
    pub(crate) extras: Extras,
    pub(crate) deadline: Instant,
    pub(crate) timeout: Duration,
}

/// A request body.
#[derive(Debug)]
pub(crate) enum Content {
    /// It has been read whole.
    Whole { bytes: Vec<u8>, trailers: Fields },
    /// Only its beginning has been read.
    Arriving { beginning: Vec<u8>, rest: Body },
}

/// What becomes of the function's interim responses and trailers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extras {
    Forward,
    /// HTTP/1.0 has none, and an API call returns only the body.
    Drop,
}

impl Outbound {
    /// Reads a short body whole, and of any other what has arrived.
    pub(crate) fn prepare(
        request: Request,
        framing: Framing,
        caller: &mut Wire,
        timeout: Duration,
    ) -> Result<Self, CallerError> {
        let deadline = Instant::now() + timeout;
        let content = match framing {
            Framing::Empty => Content::Whole {
                bytes: Vec::new(),
                trailers: Fields::default(),
            },
            Framing::Length(length) if length <= WHOLE_BODY_LEN as u64 => {
                let read = Body::new(framing).read_all(caller, WHOLE_BODY_LEN, deadline);
                Content::Whole {
                    bytes: read.map_err(of_body_fault)?,
                    trailers: Fields::default(),
                }
            }
            Framing::Length(_) => Content::Arriving {
                beginning: Vec::new(),
                rest: Body::new(framing),
            },
            Framing::Chunked | Framing::UntilClose => {
                arrived(framing, caller).map_err(of_body_fault)?
            }
        };
        Ok(Self {
            request,
            framing,
            content,
            nominated: Vec::new(),
            extras: Extras::Forward,
            deadline,
            timeout,
        })
    }

    /// For this caller's connection.
    pub(crate) fn of_caller(mut self, nominated: Vec<String>, extras: Extras) -> Self {
        self.nominated = nominated;
        self.extras = extras;
        self
    }

    /// The head with its own framing fields, and the body as far as it has been read.
    pub(crate) fn first_bytes(&self) -> Vec<u8> {
        let mut request = self.request.clone();
        match self.framing {
            Framing::Chunked => request.fields.push("Transfer-Encoding", "chunked"),
            Framing::Length(length) => request.fields.push("Content-Length", length.to_string()),
            Framing::Empty if matches!(request.method.as_str(), "POST" | "PUT" | "PATCH") => {
                request.fields.push("Content-Length", "0");
            }
            Framing::Empty | Framing::UntilClose => {}
        }
        let mut bytes = request.to_bytes();
        match &self.content {
            Content::Whole {
                bytes: whole,
                trailers,
            } => {
                bytes.extend(self.encoded(whole));
                if self.framing == Framing::Chunked {
                    let trailers = hop::forwarded_trailers(trailers, &self.nominated);
                    bytes.extend(last_chunk(&trailers));
                }
            }
            Content::Arriving { beginning, .. } => bytes.extend(self.encoded(beginning)),
        }
        bytes
    }

    /// Whether the request can be sent again on another connection.
    pub(crate) fn is_retried(&self) -> bool {
        let method = self.request.method.as_str();
        matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE")
            && matches!(self.content, Content::Whole { .. })
    }

    /// Whether the request offers to leave HTTP.
    pub(crate) fn offers_upgrade(&self) -> bool {
        self.request.fields.first("upgrade").is_some()
    }

    fn encoded(&self, piece: &[u8]) -> Vec<u8> {
        if self.framing == Framing::Chunked {
            chunk(piece)
        } else {
            piece.to_vec()
        }
    }
}

/// What has arrived of a chunked body, without waiting for the rest.
fn arrived(framing: Framing, caller: &mut Wire) -> Result<Content, Fault> {
    let mut rest = Body::new(framing);
    let mut beginning = Vec::new();
    let mut patience = FIRST_CHUNK_PATIENCE;
    loop {
        match rest.arrived(caller)? {
            Arrived::Piece(piece) => {
                beginning.extend_from_slice(&piece);
                patience = Duration::ZERO;
            }
            Arrived::End => {
                let trailers = rest.trailers().clone();
                return Ok(Content::Whole {
                    bytes: beginning,
                    trailers,
                });
            }
            Arrived::NeedInput => {
                let is_full = beginning.len() >= WHOLE_BODY_LEN;
                if is_full || !readable_within(caller.stream(), patience) {
                    return Ok(Content::Arriving { beginning, rest });
                }
                if !caller.fill(Instant::now() + FIRST_CHUNK_PATIENCE)? {
                    return Err(Fault::ClosedMidway);
                }
            }
        }
    }
}

/// One chunk, or nothing for an empty piece: an empty chunk would end the body.
pub(crate) fn chunk(piece: &[u8]) -> Vec<u8> {
    if piece.is_empty() {
        return Vec::new();
    }
    let mut bytes = format!("{:x}\r\n", piece.len()).into_bytes();
    bytes.extend_from_slice(piece);
    bytes.extend_from_slice(b"\r\n");
    bytes
}

/// The end of a chunked body.
pub(crate) fn last_chunk(trailers: &Fields) -> Vec<u8> {
    let mut bytes = b"0\r\n".to_vec();
    trailers.write(&mut bytes);
    bytes
}

/// The error for a request body that cannot be read.
pub(crate) fn of_body_fault(fault: Fault) -> CallerError {
    match fault {
        Fault::Malformed(why) => CallerError::InvalidArgument {
            what: format!("the request body is malformed: {why}"),
        },
        Fault::BodyTooLong => body_too_long(),
        Fault::TimedOut | Fault::Endless => CallerError::InvalidArgument {
            what: "the request body did not arrive in time".to_owned(),
        },
        Fault::Refused(_)
        | Fault::Closed
        | Fault::ClosedMidway
        | Fault::CallerLeft
        | Fault::UnsupportedVersion
        | Fault::HeadTooLong
        | Fault::Broken(_) => CallerError::Canceled,
    }
}
