//! Between the protocol's events and the handler: requests in, answers out. No byte is looked at here.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;

use crate::h1::{
    AnswerHead, AnswerLength, BodyLength, Close, Event, HeadIndex, HeadView, Next, Refusal,
    UpgradeOffer,
};
use crate::handler::{Accept, Demand, Handler, Upload};
use crate::limits::FILE_PIECE_LEN;
use crate::message::body::{Body, Content};
use crate::message::request::{Head, Request, RequestBody};
use crate::message::response::{Afterwards, Response, Source, Status};
use crate::observe;
use crate::os::Os;

use super::Session;
use super::context::{Context, Phase};
use super::work::{Appetite, RequestSink, ResponseSource};

/// Runs code of the user's. A panic is its own affair: the hook has reported it, and nothing of ours was half done.
fn shielded<T>(run: impl FnOnce() -> T) -> Option<T> {
    let mut outcome = None;
    shield(|| outcome = Some(run()));
    outcome
}

/// The same for outcomes that are written where they are read: an answer is long to move.
fn shield(run: impl FnOnce()) {
    drop(catch_unwind(AssertUnwindSafe(run)));
}

impl<S> Session<S> {
    /// Takes what can be taken of `input` now: how many bytes that was, and whether a rest is worth another look.
    pub(super) fn take<O: Os<Socket = S>, H: Handler>(
        &mut self,
        input: &[u8],
        context: &mut Context<'_, O, H>,
    ) -> (usize, Appetite) {
        let mut index = std::mem::take(&mut context.scratch.index);
        let limits = context.settings.head_limits();
        let mut at = 0_usize;
        while !self.is_held(context) {
            let rest = input.get(at..).unwrap_or_default();
            match self.connection.poll(rest, &mut index, &limits) {
                Ok((taken, Event::NeedInput)) => {
                    self.connection.encode_continue(context.scratch.out.run());
                    context.scratch.index = index;
                    return (at.saturating_add(taken), Appetite::Starved);
                }
                Ok((taken, Event::EmptyLine)) => at = at.saturating_add(taken),
                Ok((taken, Event::Head { body })) => {
                    let (head, behind) = rest.split_at_checked(taken).unwrap_or_default();
                    let more = self.on_head(HeadView::new(head, &index), body, behind, context);
                    at = at.saturating_add(taken).saturating_add(more);
                }
                Ok((taken, Event::Body(piece))) => {
                    at = at.saturating_add(taken);
                    self.on_piece(piece, context);
                }
                Ok((taken, Event::End { trailers })) => {
                    at = at.saturating_add(taken);
                    self.on_end(trailers, &mut index, context);
                }
                Err(refusal) => self.refuse(refusal, context),
            }
        }
        context.scratch.index = index;
        let is_over = at == input.len() && !self.connection.is_body_pending();
        let appetite = if is_over {
            Appetite::Starved
        } else {
            Appetite::Untried
        };
        (at, appetite)
    }

    /// Whether something else has to happen before more input is taken.
    fn is_held<O: Os, H: Handler>(&mut self, context: &Context<'_, O, H>) -> bool {
        self.next() != Next::Read
            || context.requests_left == 0
            || context.scratch.out.len() > context.settings.limits.pending_out_len_max
            || self.is_paused(context)
    }

    /// A head has come. Returns how many bytes behind it were taken along: a body that is all there.
    fn on_head<O: Os<Socket = S>, H: Handler>(
        &mut self,
        view: HeadView<'_>,
        body: BodyLength,
        behind: &[u8],
        context: &mut Context<'_, O, H>,
    ) -> usize {
        context.requests_left = context.requests_left.saturating_sub(1);
        self.renew();
        if context.phase != Phase::Serving {
            self.connection.on_close(Close::ServerStopping);
        }
        let whole = self.whole_body(body, behind, context);
        let content = RequestBody::Borrowed(whole.unwrap_or_default());
        let request = Request::new(Head::new(view), content, &[]);
        let mut accept = None;
        shield(|| {
            accept = Some(match whole {
                Some(_) => context.handler.accept_whole(&request),
                None => context.handler.accept(request.head_by_reference()),
            });
        });
        if matches!(accept, Some(Accept::Refuse(_)) | None) {
            let len = whole.map_or(0, |whole| self.pass_over(whole));
            match &mut accept {
                // Where it lies: an answer is long.
                Some(Accept::Refuse(response)) => self.answer(response, context),
                Some(_) | None => self.answer_panic(context),
            }
            return len;
        }
        let Some(accept) = accept else { return 0 };
        match self.accepted(accept, body, context) {
            None => 0,
            Some(RequestSink::Nothing) => {
                self.call(&request, context);
                0
            }
            Some(RequestSink::Buffer(_)) => self.on_buffered_head(&request, behind, context),
            Some(RequestSink::Upload(upload) | RequestSink::Paused(upload, _)) => {
                if body == BodyLength::None {
                    self.end_upload(upload, context);
                } else {
                    self.work().sink = RequestSink::Upload(upload);
                }
                0
            }
        }
    }

    /// The body, if it stays with HTTP, is no longer than it may be, and all there; an empty one if there is none.
    fn whole_body<'b, O, H>(
        &self,
        body: BodyLength,
        behind: &'b [u8],
        context: &Context<'_, O, H>,
    ) -> Option<&'b [u8]> {
        if self.connection.upgrade() != UpgradeOffer::None {
            return None;
        }
        match body {
            BodyLength::None => Some(&[]),
            BodyLength::Length(len) if len > context.settings.limits.body_len_max => None,
            BodyLength::Length(len) => behind.get(..usize::try_from(len).ok()?),
            BodyLength::Chunked => None,
        }
    }

    /// The body was handed over where it lies.
    fn pass_over(&mut self, body: &[u8]) -> usize {
        if !body.is_empty() {
            let is_taken = self.connection.take_whole_body(body.len() as u64);
            debug_assert!(is_taken, "a body that is all there is as long as announced");
        }
        body.len()
    }

    /// Where the request's body is to go; `None` if the request is answered already, or leaves HTTP.
    #[inline(never)]
    fn accepted<O: Os<Socket = S>, H: Handler>(
        &mut self,
        accept: Accept,
        body: BodyLength,
        context: &mut Context<'_, O, H>,
    ) -> Option<RequestSink> {
        let offer = self.connection.upgrade();
        let limit = match &accept {
            Accept::BufferUpTo(limit) => *limit,
            Accept::Stream(upload) => upload.body_len_max(),
            Accept::Buffer | Accept::Upgrade(_) | Accept::Refuse(_) => {
                context.settings.limits.body_len_max
            }
        };
        let sink = match accept {
            // It is answered already.
            Accept::Refuse(_) => return None,
            Accept::Upgrade(upgrade) if offer != UpgradeOffer::None && body == BodyLength::None => {
                self.work().source = ResponseSource::Upgrade(upgrade);
                return None;
            }
            _ if offer == UpgradeOffer::Tunnel => {
                self.connection.on_close(Close::PeerRefused);
                self.answer_refusal(Refusal::Connect, context);
                return None;
            }
            Accept::Stream(upload) => RequestSink::Upload(upload),
            Accept::Buffer | Accept::BufferUpTo(_) | Accept::Upgrade(_) => match body {
                BodyLength::None => RequestSink::Nothing,
                BodyLength::Length(_) | BodyLength::Chunked => RequestSink::Buffer(Vec::new()),
            },
        };
        if body != BodyLength::None
            && let Err(refusal) = self.connection.limit_body(limit)
        {
            self.refuse(refusal, context);
            return None;
        }
        Some(sink)
    }

    /// A body that lies whole behind its head is handed over where it lies, or in one piece of memory if it has come in
    /// chunks; any other is collected.
    #[inline(never)]
    fn on_buffered_head<O: Os<Socket = S>, H: Handler>(
        &mut self,
        request: &Request<'_>,
        behind: &[u8],
        context: &mut Context<'_, O, H>,
    ) -> usize {
        let mut unused = HeadIndex::default();
        let limits = context.settings.head_limits();
        let announced = self.connection.announced();
        let len = announced.and_then(|len| usize::try_from(len).ok());
        if let Some(body) = len.and_then(|len| behind.get(..len)) {
            self.pass_over(body);
            self.call(
                &request.with_body(RequestBody::Borrowed(body), &[]),
                context,
            );
            return body.len();
        }
        let mut body = Vec::new();
        let mut at = 0_usize;
        loop {
            let rest = behind.get(at..).unwrap_or_default();
            let (taken, event) = match self.connection.poll(rest, &mut unused, &limits) {
                Ok(step) => step,
                Err(refusal) => {
                    self.refuse(refusal, context);
                    return at;
                }
            };
            at = at.saturating_add(taken);
            match event {
                Event::Body(piece) => self.collect(piece, rest.len(), &mut body),
                Event::End { trailers } => {
                    let body = RequestBody::Shared(&Bytes::from(body));
                    self.call(&request.with_body(body, trailers), context);
                    return at;
                }
                Event::NeedInput | Event::EmptyLine | Event::Head { .. } => break,
            }
        }
        let work = self.work();
        work.head
            .extend_from_slice(request.head_by_reference().as_bytes());
        work.quota_len = u32::try_from(body.len()).unwrap_or(u32::MAX);
        work.sink = RequestSink::Buffer(body);
        at
    }

    /// Appends a piece to a body. With it or behind it came `input_len` bytes.
    fn collect(&self, piece: &[u8], input_len: usize, body: &mut Vec<u8>) {
        if body.is_empty() {
            // What is announced is trusted up to one read; beyond that memory follows the bytes.
            let room = self.connection.announced().map_or(input_len, |left| {
                let left = usize::try_from(left).unwrap_or(usize::MAX);
                piece.len().saturating_add(left.min(FILE_PIECE_LEN))
            });
            body.reserve_exact(room);
        }
        body.extend_from_slice(piece);
    }

    #[inline(never)]
    fn on_piece<O: Os<Socket = S>, H: Handler>(
        &mut self,
        piece: &[u8],
        context: &mut Context<'_, O, H>,
    ) {
        let Some(work) = &mut self.work else { return };
        work.quota_len = work
            .quota_len
            .saturating_add(u32::try_from(piece.len()).unwrap_or(u32::MAX));
        match std::mem::take(&mut work.sink) {
            RequestSink::Nothing => {}
            RequestSink::Buffer(mut body) => {
                self.collect(piece, piece.len(), &mut body);
                self.work().sink = RequestSink::Buffer(body);
            }
            // Nothing is taken while an upload is paused.
            RequestSink::Upload(mut upload) | RequestSink::Paused(mut upload, _) => {
                match shielded(|| upload.on_piece(piece)) {
                    Some(Demand::More) => work.sink = RequestSink::Upload(upload),
                    Some(Demand::Pause(pause)) => work.sink = RequestSink::Paused(upload, pause),
                    Some(Demand::Answer(mut response)) => self.answer(&mut response, context),
                    None => self.answer_panic(context),
                }
            }
        }
    }

    #[inline(never)]
    fn on_end<O: Os<Socket = S>, H: Handler>(
        &mut self,
        trailers: &[u8],
        index: &mut HeadIndex,
        context: &mut Context<'_, O, H>,
    ) {
        let Some(work) = &mut self.work else { return };
        work.quota_len = 0;
        match std::mem::take(&mut work.sink) {
            // The rest behind an early answer.
            RequestSink::Nothing => {}
            RequestSink::Buffer(body) => {
                let head = std::mem::take(&mut work.head);
                let is_indexed = index.index_again(&head, &context.settings.head_limits());
                debug_assert!(is_indexed, "a head that was taken once is taken again");
                let head = Head::new(HeadView::new(&head, index));
                let body = RequestBody::Shared(&Bytes::from(body));
                self.call(&Request::new(head, body, trailers), context);
            }
            RequestSink::Upload(upload) | RequestSink::Paused(upload, _) => {
                self.end_upload(upload, context);
            }
        }
    }

    fn end_upload<O: Os<Socket = S>, H: Handler>(
        &mut self,
        upload: Box<dyn Upload>,
        context: &mut Context<'_, O, H>,
    ) {
        match shielded(|| upload.on_end()) {
            Some(mut response) => self.answer(&mut response, context),
            None => self.answer_panic(context),
        }
    }

    fn call<O: Os<Socket = S>, H: Handler>(
        &mut self,
        request: &Request<'_>,
        context: &mut Context<'_, O, H>,
    ) {
        match shielded(|| context.handler.call(request)) {
            Some(mut response) => self.answer(&mut response, context),
            None => self.answer_panic(context),
        }
    }

    /// The peer's fault: it is told, and the connection ends.
    #[inline(never)]
    pub(super) fn refuse<O: Os<Socket = S>, H: Handler>(
        &mut self,
        refusal: Refusal,
        context: &mut Context<'_, O, H>,
    ) {
        context
            .observer
            .on(observe::Event::Refused(refusal.status(), refusal.reason()));
        self.cut_upload();
        if self.connection.is_unanswered() {
            self.answer_refusal(refusal, context);
        }
    }

    /// The request did not come in its time.
    pub(super) fn time_out<O: Os<Socket = S>, H: Handler>(
        &mut self,
        context: &mut Context<'_, O, H>,
    ) {
        let begun = self.work.as_ref().map_or(&[][..], |work| &work.input);
        let refusal = self.connection.refuse(Refusal::Timeout, begun);
        self.refuse(refusal, context);
    }

    fn answer_refusal<O: Os<Socket = S>, H: Handler>(
        &mut self,
        refusal: Refusal,
        context: &mut Context<'_, O, H>,
    ) {
        let Some(status) = Status::new(refusal.status()) else {
            return;
        };
        let mut response = Response::text(refusal.reason()).status(status);
        self.answer(&mut response, context);
    }

    #[inline(never)]
    fn answer_panic<O: Os<Socket = S>, H: Handler>(&mut self, context: &mut Context<'_, O, H>) {
        context.observer.on(observe::Event::HandlerPanicked);
        self.answer_failure(context);
    }

    pub(super) fn answer_failure<O: Os<Socket = S>, H: Handler>(
        &mut self,
        context: &mut Context<'_, O, H>,
    ) {
        let failure = shielded(|| context.handler.failure());
        let bare = || Response::new(Status::INTERNAL_SERVER_ERROR);
        self.answer(&mut failure.unwrap_or_else(bare), context);
    }

    /// Answers are about to leave.
    pub(super) fn tell_of_send<O, H: Handler>(context: &mut Context<'_, O, H>) {
        // A panic in it has been reported by the hook, and takes nobody's answer.
        shield(|| context.handler.before_send());
    }

    /// An upload whose body will never be whole hears of it.
    #[inline(never)]
    pub(in crate::reactor) fn cut_upload(&mut self) {
        let Some(work) = &mut self.work else { return };
        match std::mem::take(&mut work.sink) {
            RequestSink::Upload(upload) | RequestSink::Paused(upload, _) => {
                // A panic in it has been reported by the hook, and there is nobody to answer.
                let _ = shielded(|| upload.on_cut());
            }
            RequestSink::Nothing | RequestSink::Buffer(_) => {}
        }
        work.head = Vec::new();
    }

    /// Writes an answer, or as much of it as is here.
    pub(super) fn answer<O: Os<Socket = S>, H: Handler>(
        &mut self,
        response: &mut Response,
        context: &mut Context<'_, O, H>,
    ) {
        let length = match response.source() {
            Source::Promise(_) => return self.supply_from(response.take_source(), context),
            Source::Body(body) => body.len(),
        };
        if let Some(work) = &mut self.work {
            // An early answer: nothing of the request is wanted any more.
            work.head = Vec::new();
        }
        if response.afterwards() == Afterwards::Close {
            self.connection.on_close(Close::HandlerAsked);
        }
        self.encode_head(response, length, context);
        if self.connection.has_no_body() {
            return;
        }
        if let Source::Body(Body(Content::Whole(bytes))) = response.source() {
            // Where it lies: most are small, and are copied from there.
            self.encode_piece(bytes, context);
            self.encode_end(context);
        } else {
            self.supply_from(response.take_source(), context);
        }
    }

    fn encode_head<O: Os, H>(
        &mut self,
        response: &Response,
        length: Option<u64>,
        context: &mut Context<'_, O, H>,
    ) {
        let (os, scratch) = (&*context.os, &mut *context.scratch);
        let head = AnswerHead {
            status: response.status_code(),
            length: length.map_or(AnswerLength::Unknown, AnswerLength::Known),
            content_type: response.content_type_bytes(),
            date: scratch.date.line(|| os.unix_seconds()),
        };
        let left_out = self
            .connection
            .encode_head(scratch.out.run(), &head, response.fields());
        if left_out > 0 {
            context.observer.on(observe::Event::FieldsLeftOut(left_out));
        }
    }

    pub(super) fn encode_piece<O: Os, H>(
        &mut self,
        piece: &mut Bytes,
        context: &mut Context<'_, O, H>,
    ) {
        if piece.is_empty() {
            return;
        }
        let out = &mut context.scratch.out;
        if self
            .connection
            .encode_piece_start(out.run(), piece.len())
            .is_err()
        {
            self.on_wrong_length(context);
            return;
        }
        out.push(piece);
        self.connection.encode_piece_end(out.run());
    }

    pub(super) fn encode_end<O: Os, H>(&mut self, context: &mut Context<'_, O, H>) {
        if self
            .connection
            .encode_end(context.scratch.out.run())
            .is_err()
        {
            self.on_wrong_length(context);
        }
    }

    #[inline(never)]
    pub(super) fn on_wrong_length<O: Os, H>(&mut self, context: &mut Context<'_, O, H>) {
        context.observer.on(observe::Event::BodyLengthWrong);
        self.connection.cut();
    }
}
