//! Between the protocol's events and the handler: requests in, and what becomes of them. It looks at no byte.

use bytes::Bytes;

use crate::h1::{
    BodyLength, Close, Cursor, Event, HeadIndex, HeadView, Next, Refusal, UpgradeOffer,
};
use crate::handler::outcome::{Eventual, Outcome};
use crate::handler::{Accept, Demand, Handler};
use crate::message::request::{Request, RequestBody};
use crate::os::Os;
use crate::sync::contain::contain;

use super::Session;
use super::context::Phase;
use super::driver::Driver;
use super::work::{InputState, RequestSink};
use crate::reactor::deadlines::Renewal;

impl<S> Session<S> {
    /// The body if it is complete, within its bound and not an upgrade's; empty if the request has none.
    fn whole_body<'b>(
        &self,
        body: BodyLength,
        input: &Cursor<'b>,
        body_len_max: u64,
    ) -> Option<&'b [u8]> {
        if self.connection.upgrade() != UpgradeOffer::None {
            return None;
        }
        match body {
            BodyLength::None => Some(&[]),
            BodyLength::Length(len) if len > body_len_max => None,
            BodyLength::Length(len) => input.peek(usize::try_from(len).ok()?),
            BodyLength::Chunked => None,
        }
    }

    /// Skips a body that the handler got as a whole, without a copy.
    fn skip_whole_body(&mut self, body: &[u8], input: &mut Cursor<'_>) {
        if !body.is_empty() {
            let is_taken = self.connection.take_whole_body(body.len() as u64);
            debug_assert!(is_taken, "a whole body has the announced length");
            input.skip(body.len());
        }
    }
}

impl<O: Os, H: Handler> Driver<'_, O, H> {
    /// Parses as much of `input` as possible now, and says whether the rest is worth another try.
    pub(super) fn process_input(&mut self, input: &mut Cursor<'_>) -> InputState {
        let Some(mut index) = self.context.scratch.index.take() else {
            debug_assert!(false, "input is parsed while other input is parsed");
            return InputState::NeedsMore;
        };
        let state = self.parse_input(input, &mut index);
        self.context.scratch.index = Some(index);
        state
    }

    fn parse_input(&mut self, input: &mut Cursor<'_>, index: &mut HeadIndex) -> InputState {
        let limits = self.context.settings.head_limits();
        while !self.is_input_blocked() {
            let is_body = self.is_watched_body();
            let polled = self.session.poll(input.rest(), index, &limits);
            match polled {
                Ok((taken, Event::NeedInput)) => {
                    let out = self.context.scratch.out.run();
                    self.session.connection.encode_continue(out);
                    input.skip(taken);
                    return InputState::NeedsMore;
                }
                Ok((taken, Event::EmptyLine)) => input.skip(taken),
                Ok((taken, Event::Head { body })) => {
                    let head = input.take(taken);
                    self.on_head(HeadView::new(head, index), body, input);
                    if input.is_empty() && !self.session.connection.is_body_pending() {
                        // The usual end, without a step over nothing.
                        return InputState::NeedsMore;
                    }
                }
                Ok((taken, Event::Body(piece))) => {
                    input.skip(taken);
                    self.on_piece(piece);
                }
                Ok((taken, Event::End { trailers })) => {
                    input.skip(taken);
                    self.on_end(trailers, index);
                }
                Err(refusal) if is_body => self.refuse(refusal),
                Err(refusal) => self.refuse_head(refusal, input.rest(), index),
            }
        }
        if input.is_empty() && !self.session.connection.is_body_pending() {
            InputState::NeedsMore
        } else {
            InputState::Unparsed
        }
    }

    /// Whether something else has to happen before more input is parsed.
    fn is_input_blocked(&mut self) -> bool {
        !matches!(self.session.next(), Next::Read | Next::Both | Next::End)
            || self.requests_left == 0
            || self.pieces_left == 0
            || !self.has_room_for_responses()
            || self.is_paused()
    }

    /// A head has arrived. `input` is what follows it; a body that is already complete is taken from there.
    fn on_head(&mut self, view: HeadView<'_>, body: BodyLength, input: &mut Cursor<'_>) {
        self.requests_left -= 1;
        if self.context.scratch.out.is_empty() {
            // Otherwise the peer has responses to read first, and only that it reads renews its deadline.
            self.session.renewal = Renewal::New;
        }
        if self.context.phase != Phase::Serving {
            self.session.connection.on_close(Close::ServerStopping);
        }
        let body_len_max = self.context.settings.limits.body_len_max;
        let whole = self.session.whole_body(body, input, body_len_max);
        let content = whole.unwrap_or_default();
        let peer = O::peer_address(&self.session.socket);
        let request = Request::received(view, peer, RequestBody::Borrowed(content), &[]);
        // It is replaced by what the handler returns, and not returned itself: a response is costly to move.
        let mut accept = Accept::Discard;
        let returned = self.call_handler(|handler| {
            let accepted = match whole {
                Some(_) => handler.accept_whole(&request),
                None => handler.accept(request.head_by_reference()),
            };
            // What is replaced has nothing to drop.
            std::mem::forget(std::mem::replace(&mut accept, accepted));
        });
        if returned.is_none() {
            self.session.skip_whole_body(content, input);
            return self.respond_after_panic();
        }
        self.watch_accepted(&mut accept);
        if let Accept::Respond(outcome) = &mut accept {
            self.session.skip_whole_body(content, input);
            self.settle(outcome);
            // To drop what has nothing left in it would be to find that out.
            return std::mem::forget(accept);
        }
        match self.accepted(accept, view) {
            None | Some(RequestSink::Pulled(_)) => {}
            Some(RequestSink::Nothing) => self.call(&request),
            Some(RequestSink::Buffer(_)) => self.on_buffered_head(&request, input),
            Some(RequestSink::Upload(upload) | RequestSink::Paused(upload, _)) => {
                if body == BodyLength::None {
                    self.end_upload(upload);
                } else {
                    self.session.work().sink = RequestSink::Upload(upload);
                }
            }
        }
    }

    /// Where the request's body is to go; `None` if the request already has its response, or is upgraded.
    #[inline(never)]
    fn accepted(&mut self, accept: Accept, head: HeadView<'_>) -> Option<RequestSink> {
        let connection = &self.session.connection;
        let limit = match &accept {
            Accept::BufferUpTo(limit) => *limit,
            Accept::Stream(upload) => upload.body_len_max(),
            // A pulled body has its own.
            Accept::Discard | Accept::Pull(_) => u64::MAX,
            Accept::Buffer | Accept::Upgrade(_) | Accept::Respond(_) | Accept::Watched(_) => {
                self.context.settings.limits.body_len_max
            }
        };
        let sink = match accept {
            // The caller has sent this response, and knows who watches.
            Accept::Respond(_) | Accept::Watched(_) => return None,
            Accept::Upgrade(to) if connection.can_switch(head, to.protocol.as_bytes()) => {
                self.upgrade(to);
                return None;
            }
            _ if connection.upgrade() == UpgradeOffer::Tunnel => {
                self.respond_with_refusal(Refusal::Connect);
                return None;
            }
            Accept::Pull(pulled) => {
                self.pull_body(pulled);
                return None;
            }
            Accept::Stream(upload) => RequestSink::Upload(upload),
            Accept::Discard => RequestSink::Nothing,
            Accept::Buffer | Accept::BufferUpTo(_) | Accept::Upgrade(_) => {
                if connection.is_body_pending() {
                    RequestSink::Buffer(Vec::new())
                } else {
                    RequestSink::Nothing
                }
            }
        };
        if let Err(refusal) = self.session.connection.limit_body(limit) {
            self.refuse(refusal);
            return None;
        }
        Some(sink)
    }

    /// Calls the handler if the whole body follows its head: without a copy if it is contiguous, else put together from its
    /// chunks. A body that is not complete is buffered.
    #[inline(never)]
    fn on_buffered_head(&mut self, request: &Request<'_>, input: &mut Cursor<'_>) {
        let mut unused = HeadIndex::default();
        let limits = self.context.settings.head_limits();
        let announced = self.session.connection.announced();
        let len = announced.and_then(|len| usize::try_from(len).ok());
        if let Some(body) = len.and_then(|len| input.peek(len)) {
            self.session.skip_whole_body(body, input);
            self.call(&request.with_body(RequestBody::Borrowed(body), &[]));
            return;
        }
        let mut body = Vec::new();
        loop {
            let rest = input.rest();
            let (taken, event) = match self.session.poll(rest, &mut unused, &limits) {
                Ok(polled) => polled,
                Err(refusal) => return self.refuse(refusal),
            };
            input.skip(taken);
            match event {
                Event::Body(piece) => {
                    if let Err(refusal) = self.buffer(piece, rest.len(), &mut body) {
                        return self.refuse_request(refusal);
                    }
                    self.pieces_left -= 1;
                    self.buffer_chunks(input, &mut body);
                    if self.pieces_left == 0 {
                        break;
                    }
                }
                Event::End { trailers } => {
                    let body = RequestBody::Shared(&Bytes::from(body));
                    return self.call(&request.with_body(body, trailers));
                }
                Event::NeedInput | Event::EmptyLine | Event::Head { .. } => break,
            }
        }
        // Before the peer gets `100 Continue`.
        if let Err(refusal) = self.reserve(self.session.whole_len(body.len())) {
            return self.refuse_request(refusal);
        }
        let work = self.session.work();
        work.head
            .extend_from_slice(request.head_by_reference().as_bytes());
        work.quota_len = u32::try_from(body.len()).unwrap_or(u32::MAX);
        work.sink = RequestSink::Buffer(body);
    }

    #[inline(never)]
    fn on_piece(&mut self, piece: &[u8]) {
        self.pieces_left -= 1;
        let Some(work) = &mut self.session.work else {
            return;
        };
        work.quota_len = work
            .quota_len
            .saturating_add(u32::try_from(piece.len()).unwrap_or(u32::MAX));
        match std::mem::take(&mut work.sink) {
            RequestSink::Nothing => {}
            RequestSink::Pulled(sink) => {
                sink.push(piece);
                work.sink = RequestSink::Pulled(sink);
            }
            RequestSink::Buffer(mut body) => match self.buffer(piece, piece.len(), &mut body) {
                Ok(()) => self.session.work().sink = RequestSink::Buffer(body),
                Err(refusal) => self.refuse_request(refusal),
            },
            // While an upload is paused, no input is parsed.
            RequestSink::Upload(mut upload) | RequestSink::Paused(mut upload, _) => {
                match contain(|| upload.on_piece(piece)) {
                    Some(Demand::More) => work.sink = RequestSink::Upload(upload),
                    Some(Demand::Pause(pause)) => {
                        work.sink = RequestSink::Paused(upload, pause);
                        let timeout = self.context.settings.timeouts.body;
                        if work.has_stalled(self.context.os.now(), timeout) {
                            self.time_out();
                        }
                    }
                    Some(Demand::Respond(mut outcome)) => self.settle(&mut outcome),
                    None => self.respond_after_panic(),
                }
            }
        }
    }

    #[inline(never)]
    fn on_end(&mut self, trailers: &[u8], index: &mut HeadIndex) {
        let Some(work) = &mut self.session.work else {
            return;
        };
        work.begin_quota();
        match std::mem::take(&mut work.sink) {
            // The rest of a body whose response was early.
            RequestSink::Nothing => {}
            RequestSink::Buffer(body) => {
                let head = std::mem::take(&mut work.head);
                let is_indexed = index.index_again(&head, &self.context.settings.head_limits());
                debug_assert!(is_indexed, "a head that parsed once parses again");
                let peer = O::peer_address(&self.session.socket);
                let view = HeadView::new(&head, index);
                let body = RequestBody::Shared(&Bytes::from(body));
                self.call(&Request::received(view, peer, body, trailers));
            }
            RequestSink::Pulled(sink) => sink.end(trailers),
            RequestSink::Upload(upload) | RequestSink::Paused(upload, _) => self.end_upload(upload),
        }
    }

    fn call(&mut self, request: &Request<'_>) {
        let mut returned = self.call_handler(|handler| handler.call(request));
        self.settle_returned(&mut returned);
    }

    /// Responses are about to be sent.
    pub(super) fn notify_before_send(&mut self) {
        // The hook has reported a panic in it, and the responses are sent all the same.
        contain(|| self.context.handler.before_send());
    }

    /// Takes what a call returned; `None` if it panicked.
    pub(super) fn settle_returned(&mut self, returned: &mut Option<Outcome>) {
        match returned {
            Some(outcome) => self.settle(outcome),
            None => self.respond_after_panic(),
        }
    }

    /// Takes all that a handler returned: encodes a response, waits for a promise or a future.
    #[inline]
    fn settle(&mut self, outcome: &mut Outcome) {
        match &mut outcome.eventual {
            Eventual::Response(response) => {
                self.respond(response);
                response.clear();
            }
            Eventual::Awaited(awaited) => {
                if let Some(awaited) = awaited.take() {
                    self.await_response(awaited);
                }
            }
        }
        // A response that is sent whole leaves nothing to cancel.
        if let Some(work) = &mut self.session.work {
            work.half_closed = outcome.half_closed;
        }
    }
}
