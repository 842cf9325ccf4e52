//! Bodies that are passed on as they arrive: to an upload, or to a reader that pulls them while the response may be sent.

use crate::handler::{Handler, Pulled, Upload};
use crate::os::Os;
use crate::sync::contain::contain;

use super::Session;
use super::driver::Driver;
use super::work::RequestSink;

impl<S> Session<S> {
    /// Notifies the upload that its body will never be complete. Bytes without a framing are complete when their peer ends them.
    #[inline(never)]
    pub(in crate::reactor) fn cut_upload(&mut self) {
        let Some(work) = &mut self.work else { return };
        match std::mem::take(&mut work.sink) {
            RequestSink::Upload(upload) | RequestSink::Paused(upload, _) => {
                // The hook has reported a panic in it, and no request waits for a response.
                let _ = contain(|| upload.on_cut());
            }
            RequestSink::Pulled(sink) if self.connection.is_switched() => sink.end(&[]),
            // A reader learns it when the sink is dropped.
            RequestSink::Nothing | RequestSink::Buffer(_) | RequestSink::Pulled(_) => {}
        }
        work.head = Vec::new();
    }
}

impl<O: Os, H: Handler> Driver<'_, O, H> {
    /// The body is complete.
    pub(super) fn end_upload(&mut self, upload: Box<dyn Upload>) {
        let mut returned = contain(|| upload.on_end());
        self.settle_returned(&mut returned);
    }

    /// Calls the code that pulls the body. From then on, neither direction waits for the other.
    #[inline(never)]
    pub(super) fn pull_body(&mut self, pulled: Pulled) {
        let is_pending = self.session.connection.is_body_pending();
        let arrival = is_pending.then(|| (self.context.notify(), &self.context.shared.memory));
        let (sink, mut returned) = pulled.0.begin(arrival);
        if is_pending {
            self.session.connection.pull_body();
            self.session.work().sink = RequestSink::Pulled(sink);
        }
        self.settle_returned(&mut returned);
    }
}
