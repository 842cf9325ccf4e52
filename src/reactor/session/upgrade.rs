//! Connections that leave HTTP: their response, and the way of their socket out of the loop, unless their code stays on it.

use bytes::Bytes;

use crate::handler::upgrade::{Place, SocketCode};
use crate::handler::{Handler, Upgrade};
use crate::message::body::Attachment;
use crate::message::response::{Response, Status};
use crate::observe::ServerEvent;
use crate::os::Os;
use crate::reactor::reports::Report;
use crate::sync::contain::contain;

use super::Session;
use super::driver::Driver;
use super::work::{RequestSink, ResponseSource};

impl<S> Session<S> {
    /// Whether the response has said so, and the socket is to leave the loop.
    pub(super) fn is_upgraded(&self) -> bool {
        matches!(self.source(), Some(ResponseSource::Upgrade(_)))
    }

    /// What the socket is given to, and the bytes that were received after the request.
    pub(in crate::reactor) fn take_upgrade(&mut self) -> Option<(Upgrade, Bytes)> {
        let work = self.work.as_mut()?;
        let rest = std::mem::take(&mut work.input).into();
        match std::mem::take(&mut work.source) {
            ResponseSource::Upgrade(upgrade) => Some((upgrade, rest)),
            ResponseSource::Nothing | ResponseSource::Awaited(_) | ResponseSource::Arriving(_) => {
                None
            }
        }
    }
}

impl<O: Os, H: Handler> Driver<'_, O, H> {
    /// Finds a place for an upgraded connection, and its thread if it has one; then the response says so.
    pub(super) fn upgrade(&mut self, mut to: Upgrade) {
        if let Some(place) = Place::take(self.context.settings.limits.upgrades_max) {
            if contain(|| to.start(place)) == Some(true) {
                self.change_switch(&mut to);
                self.session.work().source = ResponseSource::Upgrade(to);
                return;
            }
            self.on_thread_not_started();
        }
        let _ = contain(|| drop(to));
        let response = Response::text("no thread for another upgraded connection\n");
        let response = response.status(Status::SERVICE_UNAVAILABLE);
        self.respond(&mut response.header("retry-after", "1"));
    }

    /// The response has said so: from now on the connection is what its code reads and writes.
    #[inline(never)]
    pub(super) fn stay(&mut self, code: Box<dyn SocketCode>) {
        let (sink, source) = code.begin(Attachment {
            notify: self.context.notify(),
            memory: &self.context.shared.memory,
            fields: &[],
        });
        self.session.connection.switch();
        self.session.work().sink = RequestSink::Pulled(sink);
        self.polls_left = 1;
        self.pull_arriving(source);
    }

    #[cold]
    fn on_thread_not_started(&mut self) {
        let now = self.context.os.now();
        if self.context.reports.is_due(Report::Thread, now) {
            self.context.observer.on(ServerEvent::ThreadNotStarted);
        }
    }
}
