//! One connection: bytes in, events out; the parts of a response in, bytes out.

mod arrival;
mod empty_line;
mod switch;
mod usual;

use super::byteset::is_token_byte;
use super::cursor::Cursor;
use super::decode::{Decoded, Decoder};
use super::encode::{
    self, BodyFraming, Due, HeadContext, RequestMethod, ResponseHead, body_framing, encode_head,
};
use super::framing::{BodyLength, TrailerUse, UpgradeOffer};
use super::head::{self, HeadIndex, HeadLimits, HeadView, Scan, Version};
use super::refusal::Refusal;
use super::state::{Close, Continuation, Next, Recv, RecvFact, Send, SendFact, next};
use empty_line::EmptyLine;

/// After an early response, up to this many bytes of the body are discarded, so that the connection persists.
pub(crate) const DISCARD_LEN_MAX: u64 = 64 * 1024;

/// What one step over the input yields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    /// More bytes are needed. Bytes that were not taken must be passed again.
    NeedInput,
    /// The empty line that is allowed before a request line, or a part of it.
    EmptyLine,
    /// A head: the bytes just taken, which are now indexed.
    Head { body: BodyLength },
    /// A piece of the body; never empty.
    Body(&'a [u8]),
    /// The body is complete. The trailer section is as received, but checked; empty if there is none.
    End { trailers: &'a [u8] },
}

/// How a handler's response broke the framing that its head announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Misuse {
    /// More bytes than the announced length.
    BodyTooLong,
    /// Fewer bytes than the announced length.
    BodyTooShort,
}

/// The protocol state of one connection.
#[derive(Debug)]
pub(crate) struct Connection {
    decoder: Decoder,
    response: BodyFraming,
    scan: Scan,
    recv: Recv,
    send: Send,
    close: Close,
    version: Version,
    method: RequestMethod,
    continuation: Continuation,
    empty_line: EmptyLine,
    upgrade: UpgradeOffer,
    trailers: TrailerUse,
}

// Each slot of the table has one of these, idle connections included.
const _: () = assert!(
    size_of::<Connection>() <= 42,
    "an idle connection takes more memory"
);

impl Connection {
    pub(crate) const fn new() -> Self {
        Self {
            decoder: Decoder::new(BodyLength::None),
            response: BodyFraming::Absent,
            scan: Scan::NEW,
            recv: Recv::Idle,
            send: Send::Waiting,
            close: Close::Unset,
            version: Version::Http11,
            method: RequestMethod::Other,
            continuation: Continuation::Unasked,
            empty_line: EmptyLine::None,
            upgrade: UpgradeOffer::None,
            trailers: TrailerUse::Unknown,
        }
    }

    /// Takes one step over `input`, which begins after the bytes that the last step took. Returns how many bytes were taken.
    ///
    /// # Errors
    ///
    /// The reason why the request is refused. No byte after it is ever taken.
    pub(crate) fn poll<'a>(
        &mut self,
        input: &'a [u8],
        index: &mut HeadIndex,
        limits: &HeadLimits,
    ) -> Result<(usize, Event<'a>), Refusal> {
        self.begin_next_cycle();
        // The smallest build has no room for a second way.
        let is_at_head = cfg!(not(smallest)) && matches!(self.recv, Recv::Idle | Recv::Head);
        if is_at_head && self.scan == Scan::NEW && self.empty_line != EmptyLine::Half {
            // Nearly always a whole head is here, and a plain one.
            if let Some(len) = head::parse_at_once(input, limits, index) {
                return self.take_plain_head(HeadView::new(Cursor::new(input).take(len), index));
            }
        }
        self.poll_carefully(input, index, limits)
    }

    /// The same for what is not a plain head.
    #[inline(never)]
    fn poll_carefully<'a>(
        &mut self,
        input: &'a [u8],
        index: &mut HeadIndex,
        limits: &HeadLimits,
    ) -> Result<(usize, Event<'a>), Refusal> {
        match self.recv {
            Recv::Idle | Recv::Head => self
                .poll_head(input, index, limits)
                .inspect_err(|_| self.on_refused_head(input)),
            Recv::Body | Recv::Pulled => self
                .poll_body(input, limits)
                .inspect_err(|_| self.on_refused()),
            Recv::Tunnel if !input.is_empty() => Ok((input.len(), Event::Body(input))),
            Recv::Tunnel => Ok((0, Event::NeedInput)),
            Recv::Done | Recv::Closed | Recv::Refused | Recv::Failed => Ok((0, Event::NeedInput)),
        }
    }

    fn poll_head<'a>(
        &mut self,
        input: &'a [u8],
        index: &mut HeadIndex,
        limits: &HeadLimits,
    ) -> Result<(usize, Event<'a>), Refusal> {
        match input.first() {
            None => return Ok((0, Event::NeedInput)),
            Some(byte) if is_token_byte(*byte) && self.empty_line != EmptyLine::Half => {}
            Some(_) => {
                // A head begins with a token, so none has begun.
                let skipped = self.empty_line.skip(input)?;
                return match skipped {
                    0 => Err(Refusal::Method),
                    _ => Ok((skipped, Event::EmptyLine)),
                };
            }
        }
        let parse = if cfg!(smallest) {
            head::parse
        } else {
            head::parse_carefully
        };
        let Some(len) = parse(input, &mut self.scan, limits, index)? else {
            self.recv = self.recv.on(RecvFact::Bytes);
            return Ok((0, Event::NeedInput));
        };
        let head = HeadView::new(Cursor::new(input).take(len), index);
        self.take_head(head)
    }

    fn poll_body<'a>(
        &mut self,
        input: &'a [u8],
        limits: &HeadLimits,
    ) -> Result<(usize, Event<'a>), Refusal> {
        let (taken, decoded) = self.decoder.decode(input, &mut self.scan, limits)?;
        if taken > 0 && self.continuation == Continuation::Asked {
            // The peer sends the body without waiting any longer.
            self.continuation = Continuation::Unasked;
        }
        let event = match decoded {
            Decoded::NeedInput => Event::NeedInput,
            Decoded::Bytes(bytes) => Event::Body(bytes),
            Decoded::End { trailers } => {
                self.recv = self.recv.on(RecvFact::BodyEnd);
                Event::End { trailers }
            }
        };
        Ok((taken, event))
    }

    /// Takes a complete body and its end in one step, as [`poll`](Self::poll) would in two. False if `len` is not the
    /// announced length.
    pub(crate) fn take_whole_body(&mut self, len: u64) -> bool {
        let is_whole = self.recv == Recv::Body && self.decoder.take_whole(len);
        if is_whole {
            self.continuation = Continuation::Unasked;
            self.recv = self.recv.on(RecvFact::BodyEnd);
        }
        is_whole
    }

    /// Takes chunks of a body of which the last step has taken one, as [`poll`](Self::poll) would: at most `chunks_max`, and only what
    /// `body` has room for. Returns how many it has appended to `body`; the rest is left to that.
    pub(crate) fn take_chunks(
        &mut self,
        input: &mut Cursor<'_>,
        body: &mut Vec<u8>,
        chunks_max: usize,
    ) -> usize {
        debug_assert!(self.recv == Recv::Body, "chunks of no body");
        self.decoder.take_chunks(input, body, chunks_max)
    }

    /// The head did not parse, so assume nothing but the method: any client must understand the response. What may become HEAD
    /// counts as HEAD: a response without content is one to every method.
    fn forget_request(&mut self, begun: &[u8]) {
        self.version = Version::Http11;
        let may_be_head = begun.iter().zip(b"HEAD ").all(|(byte, part)| byte == part);
        self.method = if may_be_head && !begun.is_empty() {
            RequestMethod::Head
        } else {
            RequestMethod::Other
        };
    }

    fn on_refused_head(&mut self, begun: &[u8]) {
        self.forget_request(begun);
        self.on_refused();
    }

    fn on_refused(&mut self) {
        self.recv = self.recv.on(RecvFact::Refused);
        self.close = self.close.or(Close::PeerRefused);
    }

    fn begin_next_cycle(&mut self) {
        if self.is_exchange_over() && !self.close.is_set() {
            self.recv = self.recv.on(RecvFact::NextCycle);
            self.send = self.send.on(SendFact::NextCycle);
            self.empty_line = EmptyLine::None;
        }
    }

    fn is_exchange_over(&self) -> bool {
        self.recv == Recv::Done && self.send == Send::Done
    }

    /// Refuses a request for a reason that is not in its bytes. `begun` is what was received of an incomplete head.
    pub(crate) fn refuse(&mut self, refusal: Refusal, begun: &[u8]) -> Refusal {
        if self.recv == Recv::Idle || self.recv == Recv::Head {
            self.forget_request(begun);
        }
        self.on_refused();
        refusal
    }

    /// Bounds the body whose head was just received.
    ///
    /// # Errors
    ///
    /// `BodyTooLarge` if the peer has announced more: the request is refused.
    pub(crate) fn limit_body(&mut self, body_len_max: u64) -> Result<(), Refusal> {
        self.decoder
            .limit(body_len_max)
            .inspect_err(|_| self.on_refused())
    }

    /// The peer will send no more. After a whole request, this must be called again once its response was sent.
    pub(crate) fn on_end_of_input(&mut self) {
        self.begin_next_cycle();
        self.recv = self.recv.on(RecvFact::EndOfInput);
    }

    /// The connection is to end after this exchange.
    pub(crate) fn on_close(&mut self, reason: Close) {
        // A complete exchange is not affected: the reason applies to the next one.
        self.begin_next_cycle();
        self.close = self.close.or(reason);
    }

    /// What to do once all pending bytes were sent.
    pub(crate) fn next(&self) -> Next {
        next(self.recv, self.send, self.close)
    }

    /// No request has begun, and no response is being sent.
    pub(crate) fn is_idle(&self) -> bool {
        (self.recv == Recv::Idle && self.send == Send::Waiting) || self.is_exchange_over()
    }

    /// The body has not been received completely.
    pub(crate) fn is_body_pending(&self) -> bool {
        matches!(self.recv, Recv::Body | Recv::Pulled)
    }

    /// The handler takes the body as it arrives: its response may begin, and end, before the body does.
    pub(crate) fn pull_body(&mut self) {
        self.recv = self.recv.on(RecvFact::Pulled);
    }

    /// The handler takes no more of a body that it has pulled. A short rest is discarded, and of a tunnel nothing more is read.
    pub(crate) fn leave_body(&mut self) {
        self.recv = self.recv.on(RecvFact::Left);
        // Else the head of the response decides.
        if self.send != Send::Waiting && !self.is_rest_worth_reading() {
            self.close = self.close.or(Close::BodyUnread);
        }
    }

    /// The head of the final response was not written yet.
    pub(crate) fn is_response_due(&self) -> bool {
        self.send == Send::Waiting
    }

    /// An interim response may be sent now. HTTP/1.0 has none (RFC 9110 §15.2).
    pub(crate) fn takes_interim(&self) -> bool {
        self.is_response_due() && self.version == Version::Http11
    }

    /// The length of the rest of the body, if the peer has announced it.
    pub(crate) fn announced(&self) -> Option<u64> {
        self.decoder.announced()
    }

    /// Writes `100 Continue` if the peer waits for it, at most once per request.
    pub(crate) fn encode_continue(&mut self, out: &mut Vec<u8>) {
        let is_asked = self.continuation == Continuation::Asked;
        if is_asked && self.is_body_pending() && self.send == Send::Waiting {
            self.continuation = Continuation::Given;
            encode::encode_continue(out);
        }
    }

    /// Writes the head of the final response. Returns how many of the handler's fields were left out.
    pub(crate) fn encode_head<'f>(
        &mut self,
        out: &mut Vec<u8>,
        head: &ResponseHead<'_>,
        fields: impl Iterator<Item = (&'f str, &'f [u8])>,
    ) -> usize {
        debug_assert!(
            self.send == Send::Waiting,
            "a second response to one request"
        );
        if self.is_body_pending() {
            self.on_early_head(out);
        }
        let refusal;
        let head = if self.upgrade == UpgradeOffer::Tunnel {
            refusal = self.without_tunnel(head);
            &refusal
        } else {
            head
        };
        let framing = body_framing(head, &self.head_context());
        if framing == BodyFraming::UntilClose {
            self.close = self.close.or(Close::HandlerAsked);
        }
        self.response = framing;
        self.send = self.send.on(match framing {
            BodyFraming::Absent | BodyFraming::Length(Due(0)) => SendFact::HeadAlone,
            BodyFraming::Length(_)
            | BodyFraming::Chunked
            | BodyFraming::UntilClose
            | BodyFraming::Switched => SendFact::HeadAndBody,
        });
        encode_head(out, head, &self.head_context(), fields)
    }

    /// The response begins before the body has ended.
    #[cold]
    fn on_early_head(&mut self, out: &mut Vec<u8>) {
        if self.recv == Recv::Pulled {
            // The body is still wanted, and after this head it is too late to say so.
            self.encode_continue(out);
        } else if !self.is_rest_worth_reading() {
            self.close = self.close.or(Close::BodyUnread);
        }
    }

    /// The head of a response to CONNECT that opens no tunnel. What follows the request may be meant for the tunnel, so none of it
    /// is read as a request; and a 2xx would promise a tunnel (RFC 9110 §9.3.6).
    #[cold]
    fn without_tunnel<'h>(&mut self, head: &ResponseHead<'h>) -> ResponseHead<'h> {
        self.close = self.close.or(Close::PeerRefused);
        let status = match head.status {
            200..300 => Refusal::Connect.status(),
            status => status,
        };
        ResponseHead { status, ..*head }
    }

    const fn head_context(&self) -> HeadContext {
        HeadContext {
            method: self.method,
            version: self.version,
            close: self.close,
        }
    }

    /// After an early response, a short rest of the body is discarded. A peer that waits for `100 Continue` may never send
    /// it.
    fn is_rest_worth_reading(&self) -> bool {
        self.continuation != Continuation::Asked
            && self
                .decoder
                .announced()
                .is_some_and(|left| left <= DISCARD_LEN_MAX)
    }

    /// Writes what precedes a piece of the body, and counts its `len` bytes; `len` must not be 0. The piece itself must
    /// follow, and then [`encode_piece_end`](Self::encode_piece_end).
    ///
    /// # Errors
    ///
    /// The body is longer than announced: nothing is written, and the piece must not be sent.
    pub(crate) fn encode_piece_start(
        &mut self,
        out: &mut Vec<u8>,
        len: usize,
    ) -> Result<(), Misuse> {
        match &mut self.response {
            BodyFraming::Absent => return Err(Misuse::BodyTooLong),
            BodyFraming::Length(left) => {
                let rest = left.0.checked_sub(len as u64);
                *left = Due(rest.ok_or(Misuse::BodyTooLong)?);
            }
            BodyFraming::Chunked => encode::encode_chunk_start(out, len),
            BodyFraming::UntilClose | BodyFraming::Switched => {}
        }
        Ok(())
    }

    /// The whole body follows its head, with the length that is announced there.
    pub(crate) fn on_whole_body(&mut self) {
        self.response = BodyFraming::Length(Due(0));
        if self.send == Send::Body {
            self.send = self.send.on(SendFact::BodyEnd);
        }
    }

    /// Writes what follows a piece of the body.
    pub(crate) fn encode_piece_end(&mut self, out: &mut Vec<u8>) {
        match self.response {
            BodyFraming::Chunked => encode::encode_chunk_end(out),
            BodyFraming::Length(Due(0)) if self.send == Send::Body => {
                self.send = self.send.on(SendFact::BodyEnd);
            }
            BodyFraming::Absent
            | BodyFraming::Length(_)
            | BodyFraming::UntilClose
            | BodyFraming::Switched => {}
        }
    }

    /// Writes the end of the response's body.
    ///
    /// # Errors
    ///
    /// The body is shorter than announced: the response is cut.
    pub(crate) fn encode_end(&mut self, out: &mut Vec<u8>) -> Result<(), Misuse> {
        if matches!(self.send, Send::Done | Send::Ended) {
            return Ok(());
        }
        match self.response {
            BodyFraming::Length(due) if due.0 > 0 => {
                self.send = self.send.on(SendFact::Cut);
                return Err(Misuse::BodyTooShort);
            }
            BodyFraming::Chunked => encode::encode_last_chunk(out),
            BodyFraming::Absent
            | BodyFraming::Length(_)
            | BodyFraming::UntilClose
            | BodyFraming::Switched => {}
        }
        self.send = self.send.on(SendFact::BodyEnd);
        Ok(())
    }

    /// What the peer does with trailers, if the response's body is in chunks and its end is next.
    pub(crate) fn trailer_use(&self) -> Option<TrailerUse> {
        let has_place = self.response == BodyFraming::Chunked && self.send == Send::Body;
        has_place.then_some(self.trailers)
    }

    /// The response cannot be completed. It ends here, in a way that the peer can tell from a complete one.
    pub(crate) fn cut(&mut self) {
        if !matches!(self.send, Send::Done | Send::Ended) {
            self.send = self.send.on(SendFact::Cut);
        }
    }

    /// The response's head was written, and its body is neither complete nor cut. After HTTP, the code of the connection may go on
    /// when its output has ended.
    pub(crate) fn is_body_due(&self) -> bool {
        match self.send {
            Send::Body => true,
            Send::Done | Send::Ended => self.is_switched(),
            Send::Waiting | Send::Failed => false,
        }
    }

    /// No body may follow the head that was just written: HEAD, 204, 205, 304.
    pub(crate) const fn has_no_body(&self) -> bool {
        matches!(self.response, BodyFraming::Absent)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Close, Connection, Event, HeadIndex, HeadLimits, HeadView, Misuse, Next, Refusal,
        ResponseHead, TrailerUse,
    };
    use crate::h1::DateLine;
    use crate::h1::encode::ResponseLength;

    const LIMITS: HeadLimits = HeadLimits {
        head_len_max: 1024,
        target_len_max: 64,
        headers_max: 9,
    };
    const EXPECTING: &str =
        "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n";

    fn poll<'a>(connection: &mut Connection, input: &'a str) -> Result<Event<'a>, Refusal> {
        let polled = connection.poll(input.as_bytes(), &mut HeadIndex::default(), &LIMITS);
        polled.map(|(_, event)| event)
    }

    /// A connection that has received this head.
    fn received(head: &str) -> Connection {
        let mut connection = Connection::new();
        let polled = poll(&mut connection, head);
        assert!(matches!(polled, Ok(Event::Head { .. })), "{polled:?}");
        connection
    }

    /// A connection that has received a plain request and written the head of its response.
    fn responded(length: ResponseLength) -> Connection {
        let mut connection = received("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        write_head(&mut connection, length);
        connection
    }

    const DATE: &DateLine = &DateLine::new(b"Sun, 06 Nov 1994 08:49:37 GMT");

    fn write_head(connection: &mut Connection, length: ResponseLength) {
        drop(write_head_with(connection, 200, length));
    }

    fn write_head_with(connection: &mut Connection, status: u16, length: ResponseLength) -> String {
        let head = ResponseHead {
            status,
            length,
            date: DATE,
            content_type: None,
        };
        let mut out = Vec::new();
        connection.encode_head(&mut out, &head, core::iter::empty());
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn after_the_last_exchange_no_request_is_parsed() {
        let mut connection = responded(ResponseLength::Known(0));
        connection.close = Close::PeerAsked;
        assert_eq!(
            poll(&mut connection, "GET / HTTP/1.1\r\n"),
            Ok(Event::NeedInput)
        );
        assert_eq!(connection.next(), Next::Linger);
    }

    #[test]
    fn a_connection_is_idle_before_its_first_request_and_between_two() {
        assert!(Connection::new().is_idle());
        assert!(!received("GET / HTTP/1.1\r\nHost: a\r\n\r\n").is_idle());
        assert!(!responded(ResponseLength::Known(1)).is_idle());
        assert!(responded(ResponseLength::Known(0)).is_idle());
        let mut cut = Connection::new();
        cut.cut();
        assert!(!cut.is_idle());
        assert_eq!(cut.next(), Next::Close);
    }

    #[test]
    fn a_refusal_without_a_request_has_a_response_that_any_client_understands() {
        let mut connection = Connection::new();
        connection.refuse(Refusal::Timeout, b"");
        assert_eq!(connection.next(), Next::Wait);
        write_head(&mut connection, ResponseLength::Known(0));
        assert_eq!(connection.next(), Next::Linger);
    }

    #[test]
    fn the_previous_request_does_not_affect_the_response_to_a_refused_one() {
        let mut connection = received("HEAD / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        write_head(&mut connection, ResponseLength::Known(0));
        assert!(connection.has_no_body());
        assert_eq!(poll(&mut connection, "GET /"), Ok(Event::NeedInput));
        connection.refuse(Refusal::Timeout, b"GET /");
        let head = ResponseHead {
            status: 408,
            length: ResponseLength::Unknown,
            date: DATE,
            content_type: None,
        };
        let mut out = Vec::new();
        connection.encode_head(&mut out, &head, core::iter::empty());
        assert!(!connection.has_no_body());
        let text = String::from_utf8_lossy(&out);
        assert!(text.contains("Transfer-Encoding: chunked\r\n"), "{text}");
        assert!(text.ends_with("Connection: close\r\n\r\n"), "{text}");
    }

    #[test]
    fn the_response_to_a_refused_request_depends_on_its_method_once_its_head_was_received() {
        let mut begun = received("HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n");
        begun.refuse(Refusal::Timeout, b"");
        write_head(&mut begun, ResponseLength::Known(9));
        assert!(
            begun.has_no_body(),
            "its head was received, and it was HEAD"
        );
        let mut next = received("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
        write_head(&mut next, ResponseLength::Known(9));
        assert_eq!(poll(&mut next, "\r"), Ok(Event::EmptyLine));
        next.refuse(Refusal::Timeout, b"\r");
        write_head(&mut next, ResponseLength::Known(9));
        assert!(!next.has_no_body(), "no head was received");
    }

    #[test]
    fn what_may_become_head_is_refused_without_content() {
        let has_content = |begun: &str| {
            let mut connection = Connection::new();
            assert_eq!(poll(&mut connection, begun), Ok(Event::NeedInput));
            connection.refuse(Refusal::Memory, begun.as_bytes());
            write_head(&mut connection, ResponseLength::Known(9));
            !connection.has_no_body()
        };
        for begun in ["H", "HE", "HEA", "HEAD", "HEAD ", "HEAD /a"] {
            assert!(!has_content(begun), "{begun:?}");
        }
        for begun in ["G", "GET", "HELLO", "HEADER", "HEADS /"] {
            assert!(has_content(begun), "{begun:?}");
        }
    }

    #[test]
    fn continue_is_sent_once_and_only_before_the_response() {
        let mut out = Vec::new();
        let mut connection = received(EXPECTING);
        connection.encode_continue(&mut out);
        connection.encode_continue(&mut out);
        assert_eq!(out, b"HTTP/1.1 100 Continue\r\n\r\n");
        out.clear();
        let mut responded = received(EXPECTING);
        write_head(&mut responded, ResponseLength::Known(0));
        responded.encode_continue(&mut out);
        let mut refused = received(EXPECTING);
        assert_eq!(refused.limit_body(8), Err(Refusal::BodyTooLarge));
        refused.encode_continue(&mut out);
        let mut unasked = received("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n");
        unasked.encode_continue(&mut out);
        assert_eq!(out, b"");
    }

    #[test]
    fn continue_is_not_sent_once_the_body_has_begun() {
        let mut out = Vec::new();
        let mut connection = received(EXPECTING);
        assert_eq!(poll(&mut connection, "x"), Ok(Event::Body(b"x")));
        assert_eq!(poll(&mut connection, ""), Ok(Event::NeedInput));
        connection.encode_continue(&mut out);
        assert_eq!(out, b"");
    }

    #[test]
    fn a_body_is_read_while_its_response_is_written_until_it_is_left() {
        let mut pulled = received(EXPECTING);
        pulled.pull_body();
        assert_eq!(pulled.next(), Next::Both);
        let head = write_head_with(&mut pulled, 200, ResponseLength::Unknown);
        assert!(
            head.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 "),
            "{head}"
        );
        assert!(!head.contains("Connection"), "{head}");
        assert_eq!(poll(&mut pulled, "abc"), Ok(Event::Body(b"abc")));
        assert_eq!(
            (pulled.next(), pulled.is_body_pending()),
            (Next::Both, true)
        );
        pulled.leave_body();
        assert_eq!(pulled.next(), Next::Write);
        assert_eq!(pulled.encode_end(&mut Vec::new()), Ok(()));
        assert_eq!(pulled.next(), Next::Read, "the rest is short");
        let mut endless =
            received("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        endless.pull_body();
        write_head(&mut endless, ResponseLength::Known(0));
        assert_eq!(
            endless.next(),
            Next::Both,
            "its reader goes on after the response"
        );
        endless.leave_body();
        assert_eq!(endless.next(), Next::Linger);
    }

    #[test]
    fn the_announced_rest_of_a_body_shrinks_as_it_is_received() {
        let mut connection = received("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n");
        assert_eq!(connection.announced(), Some(9));
        assert_eq!(poll(&mut connection, "abc"), Ok(Event::Body(b"abc")));
        assert_eq!(connection.announced(), Some(6));
        let chunked = received("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        assert_eq!(chunked.announced(), None);
    }

    fn switch(connection: &mut Connection) -> String {
        let mut out = Vec::new();
        let fields = [("X", &b"y"[..])];
        connection.encode_switch(&mut out, b"a", DATE, fields.into_iter());
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn the_switch_is_written_once_and_only_if_the_peer_offered_it() {
        let mut unasked = received("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(switch(&mut unasked), "");
        let offer = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: a\r\n";
        let mut offered = received(&format!("{offer}\r\n"));
        let response =
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: a\r\nX: y\r\nConnection: Upgrade\r\n\r\n";
        assert_eq!(switch(&mut offered), response);
        assert_eq!(switch(&mut offered), "");
        let mut expecting = received(&format!("{offer}Expect: 100-continue\r\n\r\n"));
        let response = format!("HTTP/1.1 100 Continue\r\n\r\n{response}");
        assert_eq!(switch(&mut expecting), response);
    }

    #[test]
    fn after_the_switch_all_bytes_pass_until_each_side_ends() {
        let offer = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: a\r\n\r\n";
        let switched = || {
            let mut connection = received(offer);
            switch(&mut connection);
            connection.switch();
            assert_eq!(connection.next(), Next::Both);
            assert_eq!(poll(&mut connection, ""), Ok(Event::NeedInput));
            let raw = "GET / HTTP/1.1\r\n\r\n\0";
            let passed = poll(&mut connection, raw);
            assert_eq!(passed, Ok(Event::Body(raw.as_bytes())));
            connection
        };
        let mut out = Vec::new();
        let mut ours_first = switched();
        assert_eq!(ours_first.encode_piece_start(&mut out, 3), Ok(()));
        ours_first.encode_piece_end(&mut out);
        assert_eq!(ours_first.encode_end(&mut out), Ok(()));
        assert_eq!(ours_first.next(), Next::End);
        ours_first.on_output_ended();
        assert_eq!(ours_first.next(), Next::Read);
        assert_eq!(poll(&mut ours_first, "b"), Ok(Event::Body(b"b")));
        ours_first.on_end_of_input();
        assert_eq!(ours_first.next(), Next::Linger);
        let mut theirs_first = switched();
        theirs_first.on_end_of_input();
        assert_eq!(theirs_first.next(), Next::Write);
        assert_eq!(theirs_first.encode_end(&mut out), Ok(()));
        assert_eq!(theirs_first.next(), Next::Linger);
        let mut cut = switched();
        cut.cut();
        assert_eq!(cut.next(), Next::Linger);
        assert_eq!(out, b"", "there are no frames");
    }

    #[test]
    fn connect_opens_a_tunnel_or_closes_and_never_gets_another_2xx() {
        for version in ["1.0", "1.1"] {
            let connect = format!("CONNECT a:1 HTTP/{version}\r\nHost: a\r\n\r\n");
            let mut tunnel = received(&connect);
            let response = "HTTP/1.1 200 OK\r\nX: y\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n";
            assert_eq!(switch(&mut tunnel), response, "{version}");
            for (status, line) in [(200, "501 "), (204, "501 "), (404, "404 "), (302, "302 ")] {
                let mut refused = received(&connect);
                let head = write_head_with(&mut refused, status, ResponseLength::Known(0));
                assert!(head.starts_with(&format!("HTTP/1.1 {line}")), "{head}");
                assert!(head.contains("Connection: close\r\n"), "{head}");
                assert_eq!(refused.next(), Next::Linger);
            }
        }
    }

    #[test]
    fn only_an_offered_protocol_without_a_body_can_be_switched_to() {
        let can_switch = |head: &str| {
            let (mut connection, mut index) = (Connection::new(), HeadIndex::default());
            let polled = connection.poll(head.as_bytes(), &mut index, &LIMITS);
            let (len, _) = polled.expect("a head");
            connection.can_switch(HeadView::new(&head.as_bytes()[..len], &index), b"a")
        };
        let offer = "Host: a\r\nConnection: Upgrade\r\nUpgrade: b, A\r\n";
        for (head, expected) in [
            (format!("GET / HTTP/1.1\r\n{offer}\r\n"), true),
            (format!("GET / HTTP/1.0\r\n{offer}\r\n"), false),
            (
                format!("GET / HTTP/1.1\r\n{offer}Content-Length: 1\r\n\r\n"),
                false,
            ),
            (
                format!("GET / HTTP/1.1\r\n{}\r\n", offer.replace('A', "c")),
                false,
            ),
            ("CONNECT a:1 HTTP/1.0\r\n\r\n".to_owned(), true),
            (
                "CONNECT a:1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n".to_owned(),
                false,
            ),
        ] {
            assert_eq!(can_switch(&head), expected, "{head}");
        }
    }

    #[test]
    fn a_byte_that_begins_no_method_is_refused_at_once() {
        for begun in [" ", "\t", "(", "\0"] {
            let mut connection = Connection::new();
            let refused = poll(&mut connection, begun);
            assert_eq!(refused, Err(Refusal::Method), "{begun:?}");
        }
    }

    #[test]
    fn a_response_has_the_announced_length() {
        let mut out = Vec::new();
        let mut connection = responded(ResponseLength::Known(2));
        assert_eq!(
            connection.encode_piece_start(&mut out, 3),
            Err(Misuse::BodyTooLong)
        );
        assert_eq!(connection.encode_piece_start(&mut out, 1), Ok(()));
        connection.encode_piece_end(&mut out);
        assert_eq!(connection.next(), Next::Write);
        assert_eq!(connection.encode_end(&mut out), Err(Misuse::BodyTooShort));
        assert_eq!(connection.next(), Next::Linger);
        let mut whole = responded(ResponseLength::Known(2));
        assert_eq!(whole.encode_piece_start(&mut out, 2), Ok(()));
        whole.encode_piece_end(&mut out);
        assert_eq!(
            whole.next(),
            Next::Read,
            "the last announced byte ends the body"
        );
        let mut ended = responded(ResponseLength::Known(2));
        assert_eq!(ended.encode_piece_start(&mut out, 2), Ok(()));
        assert_eq!(ended.encode_end(&mut out), Ok(()));
        assert_eq!(ended.next(), Next::Read);
        assert_eq!(out, b"", "a body with a length has no frames");
    }

    #[test]
    fn a_response_without_a_body_accepts_none() {
        let mut out = Vec::new();
        let mut connection = received("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
        write_head(&mut connection, ResponseLength::Known(2));
        assert_eq!(
            connection.encode_piece_start(&mut out, 1),
            Err(Misuse::BodyTooLong)
        );
        let mut empty = responded(ResponseLength::Known(0));
        assert_eq!(
            empty.encode_piece_start(&mut out, 1),
            Err(Misuse::BodyTooLong)
        );
        for mut connection in [connection, empty] {
            connection.encode_piece_end(&mut out);
            assert_eq!(connection.encode_end(&mut out), Ok(()));
            assert_eq!(connection.next(), Next::Read);
        }
        assert_eq!(out, b"");
    }

    #[test]
    fn trailers_have_a_place_only_at_the_end_of_chunks() {
        let mut chunks = responded(ResponseLength::Unknown);
        assert_eq!(chunks.trailer_use(), Some(TrailerUse::Unknown));
        assert_eq!(chunks.encode_end(&mut Vec::new()), Ok(()));
        assert_eq!(chunks.trailer_use(), None, "the body is over");
        assert_eq!(responded(ResponseLength::Known(1)).trailer_use(), None);
        let mut asked = received("GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n");
        assert_eq!(asked.trailer_use(), None, "no head is written yet");
        write_head(&mut asked, ResponseLength::Unknown);
        assert_eq!(asked.trailer_use(), Some(TrailerUse::Kept));
    }

    #[test]
    fn a_complete_response_cannot_be_cut() {
        let mut connection = responded(ResponseLength::Known(0));
        connection.cut();
        assert_eq!(connection.next(), Next::Read);
        let mut begun = responded(ResponseLength::Unknown);
        begun.cut();
        assert_eq!(begun.next(), Next::Linger);
    }

    #[test]
    fn a_complete_body_is_taken_in_one_step_and_only_as_a_whole() {
        let mut connection = received("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n");
        for len in [2, 4] {
            assert!(!connection.take_whole_body(len), "{len} of 3");
        }
        assert!(connection.is_body_pending());
        assert!(connection.take_whole_body(3));
        assert!(!connection.is_body_pending());
        assert_eq!(connection.announced(), Some(0));
        assert!(!connection.take_whole_body(0), "the body was taken");
        write_head(&mut connection, ResponseLength::Known(0));
        assert_eq!(poll(&mut connection, "GET /"), Ok(Event::NeedInput));
        let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert!(
            !received(chunked).take_whole_body(0),
            "its length is unknown"
        );
    }
}
