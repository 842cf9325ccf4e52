//! What the sessions hold, measured: a window for the made-up world. Feature `sim`, never shipped.

use crate::handler::Handler;
use crate::os::Os;

use super::session::work::{RequestSink, Work};
use super::{Phase, Reactor};

/// Bytes of memory, capacity and not only use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gauge {
    pub(crate) sessions: usize,
    /// Sessions that own memory beside their slot.
    pub(crate) sessions_with_work: usize,
    /// The most that one session holds, by kind.
    pub(crate) input_max: usize,
    pub(crate) head_max: usize,
    pub(crate) body_max: usize,
    pub(crate) out_max: usize,
    /// Sessions that are driven again without an event, counted as often as they are.
    pub(crate) unfinished: usize,
}

impl Gauge {
    fn count(&mut self, work: &Work) {
        self.sessions_with_work += 1;
        self.input_max = self.input_max.max(work.input.capacity());
        self.head_max = self.head_max.max(work.head.capacity());
        self.out_max = self.out_max.max(work.out.memory_len());
        let body = match &work.sink {
            RequestSink::Buffer(body) => body.capacity(),
            RequestSink::Nothing | RequestSink::Upload(_) | RequestSink::Paused(..) => 0,
        };
        self.body_max = self.body_max.max(body);
    }
}

impl<O: Os, H: Handler> Reactor<O, H> {
    pub(crate) fn gauge(&mut self) -> Gauge {
        let mut gauge = Gauge {
            sessions: self.table.len(),
            ..Gauge::default()
        };
        for key in &self.unfinished {
            gauge.unfinished += usize::from(self.table.find(*key).is_some());
        }
        for key in self.table.keys() {
            if let Some(session) = self.table.find(key)
                && let Some(work) = &session.work
            {
                gauge.count(work);
            }
        }
        gauge
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.phase == Phase::Stopped
    }
}
