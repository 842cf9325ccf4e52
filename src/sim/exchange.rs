//! The protocol alone, answering itself: bytes in, events and bytes out, no loop and no socket.

use crate::h1::{
    AnswerHead, AnswerLength, BodyLength, Close, Connection, Event, HeadIndex, HeadLimits,
    HeadView, Misuse, Next, Refusal, UpgradeOffer, trailer_fields,
};

const DATE: &[u8; 29] = b"Sun, 06 Nov 1994 08:49:37 GMT";
const LIMITS: HeadLimits = HeadLimits {
    head_len_max: 16 * 1024,
    target_len_max: 8 * 1024,
    headers_max: 100,
};
const BODY_LEN_MAX: u64 = 32 * 1024 * 1024;

/// How the input is cut into reads.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Cuts {
    /// All of it at once.
    Whole,
    /// So many bytes a read.
    Every(usize),
    /// Reads of 1 to 64 bytes, drawn from a seed.
    Seeded(u64),
}

impl Cuts {
    /// The length of the next read.
    pub(super) fn take(&mut self) -> usize {
        match self {
            Self::Whole => usize::MAX,
            Self::Every(len) => (*len).max(1),
            Self::Seeded(state) => {
                // A step of splitmix64: small, and every seed gives another sequence.
                *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mut mixed = *state;
                mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                usize::try_from((mixed ^ (mixed >> 31)) % 64).unwrap_or(0) + 1
            }
        }
    }
}

/// What came of an input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exchange {
    /// A line an event: `head GET /x HTTP/1.1`, `field Name: value`, `body "…"`, `trailer Name: value`, `end`,
    /// `refused 400 why`, and at the last what the loop would do: `next Read`.
    pub events: Vec<String>,
    /// All bytes of the answers.
    pub output: Vec<u8>,
}

/// Runs `input` through the protocol and answers each request:
/// `/status/<code>` with that status and a text; `/stream` with a body of unknown length; `/refuse` with 403 before
/// the body is read; `/short` with a body shorter than announced; `/upload-limit` takes bodies up to 8 bytes;
/// any other target with 200 and the request's own body. The end of `input` is the end of the peer's side.
#[must_use]
pub fn exchange(input: &[u8], mut cuts: Cuts) -> Exchange {
    let mut peer = Peer::default();
    let mut pending = Vec::new();
    let mut at = 0;
    while at < input.len() && !peer.is_over() {
        let end = at.saturating_add(cuts.take()).min(input.len());
        pending.extend_from_slice(&input[at..end]);
        at = end;
        let taken = peer.advance(&pending);
        pending.drain(..taken);
    }
    if !peer.is_over() {
        peer.connection.on_end_of_input();
    }
    peer.say(format!("next {:?}", peer.connection.next()));
    peer.merge_body_events();
    peer.exchange
}

#[derive(Debug)]
struct Peer {
    connection: Connection,
    index: HeadIndex,
    body: Vec<u8>,
    target: String,
    exchange: Exchange,
}

impl Default for Peer {
    fn default() -> Self {
        Self {
            connection: Connection::new(),
            index: HeadIndex::default(),
            body: Vec::new(),
            target: String::new(),
            exchange: Exchange::default(),
        }
    }
}

impl Peer {
    fn say(&mut self, event: String) {
        self.exchange.events.push(event);
    }

    fn is_over(&self) -> bool {
        matches!(self.connection.next(), Next::Linger | Next::Close)
    }

    /// Takes all that can be taken of `input`, and says how much that was.
    fn advance(&mut self, input: &[u8]) -> usize {
        let mut at = 0;
        while !self.is_over() {
            let rest = &input[at..];
            match self.connection.poll(rest, &mut self.index, &LIMITS) {
                Ok((taken, Event::NeedInput)) => {
                    self.connection.encode_continue(&mut self.exchange.output);
                    return at + taken;
                }
                Ok((taken, Event::EmptyLine)) => at += taken,
                Ok((taken, Event::Head { body })) => {
                    at += taken;
                    self.on_head(&rest[..taken], body);
                }
                Ok((taken, Event::Body(bytes))) => {
                    at += taken;
                    self.say(format!("body {}", bytes.escape_ascii()));
                    self.body.extend_from_slice(bytes);
                }
                Ok((taken, Event::End { trailers })) => {
                    at += taken;
                    self.on_end(trailers);
                }
                Err(refusal) => self.on_refusal(refusal),
            }
        }
        at
    }

    fn on_head(&mut self, head: &[u8], body: BodyLength) {
        let index = std::mem::take(&mut self.index);
        let view = HeadView::new(head, &index);
        self.say(format!(
            "head {} {} {:?}",
            view.method(),
            view.target(),
            view.version()
        ));
        for (name, value) in view.fields() {
            self.say(format!("field {name}: {}", value.escape_ascii()));
        }
        self.target = view.path_and_query().to_owned();
        self.index = index;
        self.body.clear();
        if self.connection.upgrade() == UpgradeOffer::Tunnel {
            self.connection.on_close(Close::PeerRefused);
            self.answer(
                Refusal::Connect.status(),
                Refusal::Connect.reason().as_bytes(),
            );
        } else if self.target == "/refuse" {
            self.answer(403, b"no");
        } else if body == BodyLength::None {
            self.say("end".to_owned());
            self.answer_request();
        } else {
            let limit = if self.target == "/upload-limit" {
                8
            } else {
                BODY_LEN_MAX
            };
            if let Err(refusal) = self.connection.limit_body(limit) {
                self.on_refusal(refusal);
            }
        }
    }

    fn on_end(&mut self, trailers: &[u8]) {
        for (name, value) in trailer_fields(trailers, &LIMITS).unwrap_or_default() {
            self.say(format!("trailer {name}: {}", value.escape_ascii()));
        }
        self.say("end".to_owned());
        if self.connection.is_unanswered() {
            self.answer_request();
        }
    }

    fn on_refusal(&mut self, refusal: Refusal) {
        self.say(format!("refused {} {refusal}", refusal.status()));
        if self.connection.is_unanswered() {
            self.answer(refusal.status(), refusal.reason().as_bytes());
        }
    }

    fn answer_request(&mut self) {
        let body = std::mem::take(&mut self.body);
        match self.target.strip_prefix("/status/").map(str::parse) {
            Some(Ok(status)) => self.answer(status, b"text"),
            Some(Err(_)) => self.answer(404, b""),
            None if self.target == "/stream" => self.answer_in_pieces(AnswerLength::Unknown),
            None if self.target == "/short" => self.answer_in_pieces(AnswerLength::Known(99)),
            None => self.answer(200, &body),
        }
    }

    fn answer(&mut self, status: u16, body: &[u8]) {
        self.head(status, AnswerLength::Known(body.len() as u64));
        if self.piece(body).is_ok() {
            let _ = self.connection.encode_end(&mut self.exchange.output);
        }
    }

    fn answer_in_pieces(&mut self, length: AnswerLength) {
        self.head(200, length);
        for piece in [&b"first "[..], b"second "] {
            let _ = self.piece(piece);
        }
        if let Err(misuse) = self.connection.encode_end(&mut self.exchange.output) {
            self.say(format!("misuse {misuse:?}"));
        }
    }

    fn head(&mut self, status: u16, length: AnswerLength) {
        let head = AnswerHead {
            status,
            length,
            date: DATE,
        };
        self.connection
            .encode_head(&mut self.exchange.output, &head, std::iter::empty());
    }

    fn piece(&mut self, piece: &[u8]) -> Result<(), Misuse> {
        let out = &mut self.exchange.output;
        if piece.is_empty() || self.connection.has_no_body() {
            return Ok(());
        }
        self.connection.encode_piece_start(out, piece.len())?;
        out.extend_from_slice(piece);
        self.connection.encode_piece_end(out);
        Ok(())
    }

    /// Where a body is cut says nothing: neighbouring pieces become one line.
    fn merge_body_events(&mut self) {
        let mut merged: Vec<String> = Vec::new();
        for event in self.exchange.events.drain(..) {
            match (merged.last_mut(), event.strip_prefix("body ")) {
                (Some(last), Some(piece)) if last.starts_with("body ") => last.push_str(piece),
                _ => merged.push(event),
            }
        }
        self.exchange.events = merged;
    }
}
