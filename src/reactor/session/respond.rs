//! Responses out, each as much of it as is available.

use bytes::Bytes;

use crate::h1::{Close, Next, ResponseHead, ResponseLength};
use crate::handler::Handler;
use crate::limits::COPY_LEN_MAX;
use crate::message::body::{Body, Content};
use crate::message::response::{Afterwards, Response};
use crate::message::trailers::EndWithTrailers;
use crate::observe::ServerEvent;
use crate::os::Os;
use crate::reactor::reports::Report;
use crate::sync::memory::SMALL_LEN_MAX;

use super::driver::Driver;

impl<O: Os, H: Handler> Driver<'_, O, H> {
    /// Encodes a response, or as much of it as is available.
    pub(super) fn respond(&mut self, response: &mut Response) {
        self.change_response(response);
        // The smallest build has no room for a second way.
        if cfg!(smallest) || !self.respond_at_once(response) {
            self.respond_in_steps(response);
        }
    }

    /// Encodes a usual response, if this is one.
    fn respond_at_once(&mut self, response: &Response) -> bool {
        let Some((content_type, content)) = response.usual() else {
            return false;
        };
        if content.len() > COPY_LEN_MAX || self.session.work.is_some() {
            return false;
        }
        let (os, scratch) = (&*self.context.os, &mut *self.context.scratch);
        let date = scratch.date.line(|| os.unix_seconds());
        let connection = &mut self.session.connection;
        connection.encode_usual(scratch.out.run(), content_type, content, date)
    }

    #[inline(never)] // It needs more stack and registers than a usual response.
    fn respond_in_steps(&mut self, response: &mut Response) {
        let length = response.content().len();
        if let Some(bytes) = response.content().as_bytes()
            && bytes.len() > SMALL_LEN_MAX
            && let Err(refusal) = self.reserve(bytes.len())
        {
            return self.respond_with_refusal(refusal);
        }
        if let Some(work) = &mut self.session.work {
            // After an early response the request is of no more interest.
            work.head = Vec::new();
            // Its reader may have left.
            self.is_paused();
        }
        match response.afterwards() {
            Afterwards::Persist => {}
            Afterwards::Close => self.session.connection.on_close(Close::HandlerAsked),
            Afterwards::Fail => return self.respond_to_invalid_field(response.content()),
        }
        self.encode_head(response, length);
        if !self.session.connection.has_no_body() {
            let Body(Content::Whole(bytes)) = response.body_mut() else {
                return self.attach(response);
            };
            // By reference: most bodies are small and copied from there.
            self.context.scratch.out.push(bytes);
            self.session.connection.on_whole_body();
        }
        // The smallest build has no room for it.
        if cfg!(not(smallest)) && self.session.connection.next() == Next::Linger {
            self.context.scratch.out.end();
        }
    }

    fn encode_head(&mut self, response: &Response, length: Option<u64>) {
        let (os, scratch) = (&*self.context.os, &mut *self.context.scratch);
        let head = ResponseHead {
            status: response.head().status().code(),
            length: length.map_or(ResponseLength::Unknown, ResponseLength::Known),
            content_type: response.content_type_bytes(),
            date: scratch.date.line(|| os.unix_seconds()),
        };
        let connection = &mut self.session.connection;
        let left_out = connection.encode_head(scratch.out.run(), &head, response.fields());
        self.report_fields_left_out(left_out);
    }

    fn report_fields_left_out(&mut self, left_out: usize) {
        if left_out > 0
            && self
                .context
                .reports
                .is_due(Report::Fields, self.context.os.now())
        {
            self.context
                .observer
                .on(ServerEvent::FieldsLeftOut(left_out));
        }
    }

    pub(super) fn encode_piece(&mut self, piece: &mut Bytes) {
        if piece.is_empty() {
            return;
        }
        let (connection, out) = (&mut self.session.connection, &mut self.context.scratch.out);
        if connection
            .encode_piece_start(out.run(), piece.len())
            .is_err()
        {
            self.on_wrong_length();
            return;
        }
        out.push(piece);
        connection.encode_piece_end(out.run());
    }

    pub(super) fn encode_end(&mut self) {
        let out = self.context.scratch.out.run();
        if self.session.connection.encode_end(out).is_err() {
            self.on_wrong_length();
        }
    }

    pub(super) fn encode_end_with(&mut self, end: &dyn EndWithTrailers) {
        let out = self.context.scratch.out.run();
        match end.encode(&mut self.session.connection, out) {
            Ok(left_out) => self.report_fields_left_out(left_out),
            Err(_) => self.on_wrong_length(),
        }
    }

    #[inline(never)]
    pub(super) fn on_wrong_length(&mut self) {
        self.context.observer.on(ServerEvent::BodyLengthWrong);
        self.session.connection.cut();
    }
}
