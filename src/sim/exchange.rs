//! The protocol with a test site: bytes in, events and response bytes out, without a loop or a socket.

use crate::h1::{
    BodyLength, Close, Connection, Cursor, DateLine, Event, HeadIndex, HeadLimits, HeadView,
    Misuse, Next, Refusal, ResponseHead, ResponseLength, UpgradeOffer, Version, trailer_fields,
};

const DATE: &DateLine = &DateLine::new(b"Sun, 06 Nov 1994 08:49:37 GMT");
const LIMITS: HeadLimits = HeadLimits {
    head_len_max: 16 * 1024,
    target_len_max: 8 * 1024,
    headers_max: 100,
};
const BODY_LEN_MAX: u64 = 32 * 1024 * 1024;

/// What `/fields` sets: all but the first and the last would break a response or change its framing.
const FIELDS: &[(&str, &[u8])] = &[
    ("X-Before", b"kept"),
    ("Content-Length", b"99"),
    ("transfer-encoding", b"chunked"),
    ("Connection", b"keep-alive"),
    ("Date", b"yesterday"),
    ("Keep-Alive", b"timeout=5"),
    ("Trailer", b"X-Later"),
    ("X-Split", b"a\r\nSet-Cookie: b"),
    ("X-Nul", b"a\0b"),
    ("X-Escape", b"a\x1b[2J"),
    ("X-Delete", b"a\x7f"),
    ("X Name", b"a"),
    ("X-Name\r\nY", b"a"),
    ("", b"a"),
    ("X-After", b"kept,\t\xe9 too"),
];

/// How the input is cut into reads.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Cuts {
    /// All of it at once.
    Whole,
    /// This many bytes per read.
    Every(usize),
    /// Reads of 1 to 64 bytes, from a seed.
    Seeded(u64),
}

impl Cuts {
    /// The length of the next read.
    pub(super) fn take(&mut self) -> usize {
        match self {
            Self::Whole => usize::MAX,
            Self::Every(len) => (*len).max(1),
            Self::Seeded(state) => {
                // Splitmix64.
                *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mut mixed = *state;
                mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                usize::try_from((mixed ^ (mixed >> 31)) % 64).unwrap_or(0) + 1
            }
        }
    }
}

/// What happens after the last byte of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ending {
    /// The peer ends its side.
    EndOfInput,
    /// The peer sends nothing more until the time-out.
    Timeout,
}

/// Which responses the test site gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Site {
    /// As documented at [`exchange`].
    ByTarget,
    /// 200 with the request's body, for every target.
    Echo,
}

/// One request, as far as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// The method.
    pub method: String,
    /// The request target as sent.
    pub target: String,
    /// The authority in the target, which replaces `Host`.
    pub authority: Option<String>,
    /// Path and query.
    pub path: String,
    /// `HTTP/1.0` or `HTTP/1.1`: the version that it is served as.
    pub version: String,
    /// The names as sent, the values trimmed.
    pub fields: Vec<(String, Vec<u8>)>,
    /// The body, as far as it came.
    pub body: Vec<u8>,
    /// The trailer fields.
    pub trailers: Vec<(String, Vec<u8>)>,
    /// Whether its end was received.
    pub is_whole: bool,
}

/// The result of an input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exchange {
    /// One line per event: `head GET /x HTTP/1.1`, `authority host` if the target names one, `field Name: value`,
    /// `body "…"`, `trailer Name: value`, `end`, `refused 400 why`, `misuse What`, and finally what the loop would do:
    /// `next Read`.
    pub events: Vec<String>,
    /// The bytes of all responses.
    pub output: Vec<u8>,
    /// The requests. The last one may be incomplete.
    pub messages: Vec<Message>,
    /// The status of the refusal, if there was one.
    pub refused: Option<u16>,
    /// The offset in the input at which each complete request ends.
    pub ends: Vec<usize>,
}

/// Runs `input` through the protocol and responds to each request:
///
/// - `/status/<code>` with that status and a text;
/// - `/stream` with a body of unknown length;
/// - `/both` with a response that begins before the body and ends after it; `/leave` with one that ends before the body;
/// - `/refuse` with 403 before the body is read; `/upload-limit` takes bodies up to 8 bytes;
/// - `/short` and `/long` with a body shorter and longer than announced;
/// - `/fields` with fields that a handler must not set; `/close` closes the connection;
/// - `/later` after all of `input` has been read;
/// - any other target with 200 and the request's body.
#[must_use]
pub fn exchange(input: &[u8], cuts: Cuts, ending: Ending) -> Exchange {
    run(input, cuts, ending, Site::ByTarget)
}

/// The same, but responds to every target with 200 and the request's body.
#[must_use]
pub fn exchange_echo(input: &[u8], cuts: Cuts, ending: Ending) -> Exchange {
    run(input, cuts, ending, Site::Echo)
}

pub(super) fn run(input: &[u8], mut cuts: Cuts, ending: Ending, site: Site) -> Exchange {
    // So a comparison with other cuts compares the two ways as well.
    let chunks = match cuts {
        Cuts::Whole => Chunks::Together,
        Cuts::Every(_) | Cuts::Seeded(_) => Chunks::OneByOne,
    };
    let mut test = TestSite::new(site, chunks);
    let mut pending = Vec::new();
    let mut at = 0;
    while at < input.len() && !test.is_over() {
        let end = at.saturating_add(cuts.take()).min(input.len());
        pending.extend_from_slice(&input[at..end]);
        at = end;
        let taken = test.advance(&pending);
        pending.drain(..taken);
        // Readiness may be spurious: polling the same bytes again changes nothing.
        let taken = test.advance(&pending);
        debug_assert_eq!(taken, 0, "the first call took everything it could");
    }
    while test.connection.next() == Next::Wait {
        test.respond_to_request();
        let taken = test.advance(&pending);
        pending.drain(..taken);
    }
    if !test.is_over() {
        match ending {
            Ending::EndOfInput => test.connection.on_end_of_input(),
            Ending::Timeout if test.connection.is_idle() => {}
            Ending::Timeout => {
                let refusal = test.connection.refuse(Refusal::Timeout, &pending);
                test.on_refusal(refusal);
            }
        }
    }
    test.say(format!("next {:?}", test.connection.next()));
    test.exchange
}

/// How the chunks after a piece of a body are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chunks {
    OneByOne,
    /// As a body that is buffered takes them.
    Together,
}

/// The protocol and the site that uses it.
#[derive(Debug)]
struct TestSite {
    connection: Connection,
    index: HeadIndex,
    site: Site,
    chunks: Chunks,
    path: String,
    taken: usize,
    exchange: Exchange,
}

impl TestSite {
    fn new(site: Site, chunks: Chunks) -> Self {
        Self {
            connection: Connection::new(),
            index: HeadIndex::default(),
            site,
            chunks,
            path: String::new(),
            taken: 0,
            exchange: Exchange::default(),
        }
    }

    fn say(&mut self, event: String) {
        self.exchange.events.push(event);
    }

    fn say_fields(&mut self, kind: &str, fields: &[(String, Vec<u8>)]) {
        for (name, value) in fields {
            let line = format!("{kind} {name}: {}", value.escape_ascii());
            self.say(line.trim_end().to_owned());
        }
    }

    fn is_over(&self) -> bool {
        matches!(self.connection.next(), Next::Linger | Next::Close)
    }

    /// Takes as much of `input` as possible; returns how much.
    fn advance(&mut self, input: &[u8]) -> usize {
        let before = self.taken;
        while !self.is_over() {
            let at = self.taken - before;
            let rest = &input[at..];
            match self.connection.poll(rest, &mut self.index, &LIMITS) {
                Ok((taken, event)) => {
                    self.taken += taken;
                    match event {
                        Event::NeedInput => {
                            self.connection.encode_continue(&mut self.exchange.output);
                            return at + taken;
                        }
                        Event::EmptyLine => {}
                        Event::Head { body } => self.on_head(&rest[..taken], body),
                        Event::Body(bytes) => {
                            self.on_body(bytes);
                            self.take_chunks(&rest[taken..]);
                        }
                        Event::End { trailers } => {
                            self.on_trailers(trailers);
                            self.on_end();
                        }
                    }
                }
                Err(refusal) => self.on_refusal(refusal),
            }
        }
        self.taken - before
    }

    fn on_head(&mut self, head: &[u8], body: BodyLength) {
        let view = HeadView::new(head, &self.index);
        let message = Message {
            method: view.method().to_owned(),
            target: view.target().to_owned(),
            authority: view.authority().map(str::to_owned),
            path: view.path_and_query().to_owned(),
            version: match view.version() {
                Version::Http10 => "HTTP/1.0".to_owned(),
                Version::Http11 => "HTTP/1.1".to_owned(),
            },
            fields: owned(view.fields()),
            ..Message::default()
        };
        self.path.clone_from(&message.path);
        let authority = message.authority.as_deref();
        let authority = authority.map(|host| format!("authority {host}"));
        self.say(format!(
            "head {} {} {}",
            message.method, message.target, message.version
        ));
        self.exchange.events.extend(authority);
        self.say_fields("field", &message.fields);
        self.exchange.messages.push(message);
        if self.connection.upgrade() == UpgradeOffer::Tunnel {
            self.connection.on_close(Close::PeerRefused);
            self.respond(
                Refusal::Connect.status(),
                Refusal::Connect.reason().as_bytes(),
            );
        } else if self.is_for("/refuse") {
            self.respond(403, b"no");
        } else if body != BodyLength::None {
            self.pull_body();
        }
        if body == BodyLength::None {
            self.on_end();
        } else if self.connection.is_response_due() {
            let limit = if self.is_for("/upload-limit") {
                8
            } else {
                BODY_LEN_MAX
            };
            if let Err(refusal) = self.connection.limit_body(limit) {
                self.on_refusal(refusal);
            }
        }
    }

    /// Begins a response, or sends all of it, while the body arrives.
    fn pull_body(&mut self) {
        if self.is_for("/both") {
            self.connection.pull_body();
            self.head(200, ResponseLength::Unknown);
            let sent = self.piece(b"first ");
            debug_assert_eq!(sent, Ok(()), "a body of unknown length takes any piece");
        } else if self.is_for("/leave") {
            self.connection.pull_body();
            self.respond(200, b"enough");
            self.connection.leave_body();
        }
    }

    fn is_for(&self, path: &str) -> bool {
        self.site == Site::ByTarget && self.path == path
    }

    fn on_body(&mut self, bytes: &[u8]) {
        let events = &mut self.exchange.events;
        // The pieces of a body depend on the cuts: adjacent pieces become one line.
        match events.last_mut() {
            Some(last) if last.starts_with("body \"") => {
                last.pop();
                last.push_str(&format!("{}\"", bytes.escape_ascii()));
            }
            _ => events.push(format!("body \"{}\"", bytes.escape_ascii())),
        }
        if let Some(message) = self.exchange.messages.last_mut() {
            message.body.extend_from_slice(bytes);
        }
    }

    /// Takes what may be taken of the chunks that follow a piece, with room for some of them.
    fn take_chunks(&mut self, input: &[u8]) {
        if self.chunks == Chunks::OneByOne || self.is_for("/both") {
            return;
        }
        let mut body = Vec::with_capacity(self.taken % 64);
        let mut input = Cursor::new(input);
        let count = self.connection.take_chunks(&mut input, &mut body, 3);
        self.taken += input.position();
        debug_assert_eq!(count == 0, body.is_empty(), "a chunk has a byte");
        if count > 0 {
            self.on_body(&body);
        }
    }

    fn on_trailers(&mut self, section: &[u8]) {
        let fields = trailer_fields(section, &LIMITS).unwrap_or_default();
        let trailers = owned(fields.into_iter());
        self.say_fields("trailer", &trailers);
        if let Some(message) = self.exchange.messages.last_mut() {
            message.trailers = trailers;
        }
    }

    fn on_end(&mut self) {
        self.say("end".to_owned());
        if let Some(message) = self.exchange.messages.last_mut() {
            message.is_whole = true;
            self.exchange.ends.push(self.taken);
        }
        if !self.connection.is_response_due() && self.is_for("/both") {
            let ended = self
                .piece(b"second ")
                .and_then(|()| self.connection.encode_end(&mut self.exchange.output));
            self.on_ended(ended);
        } else if self.connection.is_response_due() && !self.is_for("/later") {
            self.respond_to_request();
        }
    }

    fn on_refusal(&mut self, refusal: Refusal) {
        self.say(format!("refused {} {refusal}", refusal.status()));
        self.exchange.refused = Some(refusal.status());
        if self.connection.is_response_due() {
            self.respond(refusal.status(), refusal.reason().as_bytes());
        }
    }

    fn respond_to_request(&mut self) {
        let message = self.exchange.messages.last();
        let body = message.map_or_else(Vec::new, |message| message.body.clone());
        if self.is_for("/stream") {
            self.respond_in_pieces(ResponseLength::Unknown);
        } else if self.is_for("/short") {
            self.respond_in_pieces(ResponseLength::Known(99));
        } else if self.is_for("/long") {
            self.respond_in_pieces(ResponseLength::Known(8));
        } else {
            if self.is_for("/close") {
                self.connection.on_close(Close::HandlerAsked);
            }
            let status = match self.site {
                Site::ByTarget => self.path.strip_prefix("/status/").map(str::parse),
                Site::Echo => None,
            };
            match status {
                Some(Ok(status)) => self.respond(status, b"text"),
                Some(Err(_)) => self.respond(404, b""),
                None => self.respond(200, &body),
            }
        }
    }

    fn respond(&mut self, status: u16, body: &[u8]) {
        self.head(status, ResponseLength::Known(body.len() as u64));
        let ended = self
            .piece(body)
            .and_then(|()| self.connection.encode_end(&mut self.exchange.output));
        self.on_ended(ended);
    }

    fn respond_in_pieces(&mut self, length: ResponseLength) {
        self.head(200, length);
        let ended = self
            .piece(b"first ")
            .and_then(|()| self.piece(b"second "))
            .and_then(|()| self.connection.encode_end(&mut self.exchange.output));
        self.on_ended(ended);
    }

    fn on_ended(&mut self, ended: Result<(), Misuse>) {
        if let Err(misuse) = ended {
            self.say(format!("misuse {misuse:?}"));
            self.connection.cut();
        }
    }

    fn head(&mut self, status: u16, length: ResponseLength) {
        let head = ResponseHead {
            status,
            length,
            content_type: None,
            date: DATE,
        };
        let fields = if self.is_for("/fields") { FIELDS } else { &[] };
        self.connection
            .encode_head(&mut self.exchange.output, &head, fields.iter().copied());
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
}

fn owned<'a>(fields: impl Iterator<Item = (&'a str, &'a [u8])>) -> Vec<(String, Vec<u8>)> {
    fields
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}
