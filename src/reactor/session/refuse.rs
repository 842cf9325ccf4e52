//! The response in place of a handler's: to a request that is refused, or whose handler failed.

use crate::h1::Refusal;
use crate::handler::Handler;
use crate::message::body::Body;
use crate::message::response::{Response, Status};
use crate::observe::ServerEvent;
use crate::os::Os;
use crate::sync::contain::contain;

use super::driver::Driver;
use super::work::RequestSink;
use crate::reactor::reports::Report;

impl<O: Os, H: Handler> Driver<'_, O, H> {
    /// The peer broke the protocol: it gets one last response if none has begun, and the connection ends.
    #[inline(never)]
    pub(super) fn refuse(&mut self, refusal: Refusal) {
        self.context
            .observer
            .on(ServerEvent::Refused(refusal.status(), refusal.reason()));
        if let Some(work) = &self.session.work
            && let RequestSink::Pulled(sink) = &work.sink
        {
            sink.refuse(refusal);
        }
        self.session.cut_upload();
        // A handler that pulls the body learns why it ends, and responds to that.
        if self.session.connection.is_response_due() && !self.session.is_response_awaited() {
            self.respond_with_refusal(refusal);
        }
    }

    /// Refuses a request whose head was received, for a reason that is not in its bytes.
    pub(super) fn refuse_request(&mut self, refusal: Refusal) {
        let refusal = self.session.connection.refuse(refusal, &[]);
        self.refuse(refusal);
    }

    /// The request did not arrive in time.
    pub(super) fn time_out(&mut self) {
        let session = &mut *self.session;
        let begun = session.work.as_ref().map_or(&[][..], |work| &work.input);
        let refusal = session.connection.refuse(Refusal::Timeout, begun);
        self.refuse(refusal);
    }

    #[inline(never)]
    pub(super) fn respond_after_panic(&mut self) {
        self.context.observer.on(ServerEvent::HandlerPanicked);
        self.respond_with_failure();
    }

    pub(super) fn respond_with_failure(&mut self) {
        let failure = contain(|| self.context.handler.failure());
        let bare = || Response::new(Status::INTERNAL_SERVER_ERROR);
        self.respond(&mut failure.unwrap_or_else(bare));
    }

    /// A handler has set a field to what no field may be.
    #[cold]
    #[inline(never)]
    pub(super) fn respond_to_invalid_field(&mut self, body: &Body) {
        let mut response = self.response_to_invalid_field(body);
        self.respond(&mut response);
    }

    #[inline]
    pub(super) fn response_to_invalid_field(&mut self, body: &Body) -> Response {
        let now = self.context.os.now();
        // The text may be a peer's, who could fill the log with it.
        if self.context.reports.is_due(Report::InvalidField, now) {
            let name = body.invalid_field().unwrap_or_default();
            self.context.observer.on(ServerEvent::FieldInvalid(name));
        }
        Response::new(Status::INTERNAL_SERVER_ERROR)
    }

    #[inline(never)] // Several callers, and seldom.
    pub(super) fn respond_with_refusal(&mut self, refusal: Refusal) {
        if let Some(mut response) = Self::response_to_refused(refusal) {
            self.respond(&mut response);
        }
    }

    #[inline]
    pub(super) fn response_to_refused(refusal: Refusal) -> Option<Response> {
        let mut response = Response::text(refusal.reason()).status(Status::new(refusal.status())?);
        if refusal == Refusal::Memory {
            response = response.header("Retry-After", "1");
        }
        Some(response)
    }
}
