//! Measures the memory that sessions hold, for the simulation. Feature `_sim`, never shipped.

use crate::handler::Handler;
use crate::os::Os;

use super::session::work::WorkSize;
use super::{Phase, Reactor};

/// Bytes of memory: capacity, not only what is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gauge {
    pub(crate) sessions: usize,
    /// Sessions that own memory beside their slot.
    pub(crate) sessions_with_work: usize,
    /// What all of them hold.
    pub(crate) held: usize,
    /// What counts as held.
    pub(crate) charged: usize,
    /// The most that one session holds, by kind.
    pub(crate) input_max: usize,
    pub(crate) head_max: usize,
    pub(crate) body_max: usize,
    pub(crate) out_max: usize,
    /// Entries in the list of sessions to drive in the next turn; a session in it twice counts twice.
    pub(crate) unfinished: usize,
}

impl Gauge {
    fn count(&mut self, work: WorkSize) {
        self.sessions_with_work += 1;
        self.held += work.input + work.head + work.body + work.out;
        self.input_max = self.input_max.max(work.input);
        self.head_max = self.head_max.max(work.head);
        self.body_max = self.body_max.max(work.body);
        self.out_max = self.out_max.max(work.out);
    }
}

impl<O: Os, H: Handler> Reactor<O, H> {
    pub(crate) fn gauge(&mut self) -> Gauge {
        let mut gauge = Gauge {
            sessions: self.table.len(),
            charged: self.shared.memory.held(),
            ..Gauge::default()
        };
        for key in &self.unfinished {
            gauge.unfinished += usize::from(self.table.find(*key).is_some());
        }
        for key in self.table.keys() {
            if let Some(work) = self.table.find(key).and_then(|session| session.work_size()) {
                gauge.count(work);
            }
        }
        gauge
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.phase == Phase::Stopped
    }
}
