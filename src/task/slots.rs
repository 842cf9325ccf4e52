//! The tasks of a thread, by their numbers.

use core::mem;
use std::collections::BTreeMap;

use crate::sync::notify::Notify;
use crate::sync::oneshot::Polled;

/// A task that waits to be woken.
pub(super) trait PollTask {
    /// Sets what to call when it is woken. It is woken at first.
    fn attach(&self, notify: Notify);

    /// Polls it if it was woken since the last poll.
    fn poll(&mut self) -> Polled<()>;
}

/// Why there is no task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    NoLoop,
    TooMany,
}

#[derive(Default)]
pub(super) struct Tasks {
    pub(super) tasks: BTreeMap<u64, Slot>,
    next: u64,
    stage: Stage,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Open,
    /// The loop has ended.
    Closed,
}

pub(super) enum Slot {
    Parked(Box<dyn PollTask>),
    /// It is being polled, or begun.
    Busy,
    /// The same, and it is to be dropped afterwards.
    Aborted,
}

impl Tasks {
    pub(super) fn len(&self) -> usize {
        self.tasks.len()
    }

    pub(super) fn reserve(&mut self, max: u32) -> Result<u64, Refused> {
        if self.stage == Stage::Closed {
            return Err(Refused::NoLoop);
        }
        if self.len() >= max as usize {
            return Err(Refused::TooMany);
        }
        let id = self.next;
        self.next += 1;
        self.tasks.insert(id, Slot::Busy);
        Ok(id)
    }

    /// A task that is to be polled.
    pub(super) fn take(&mut self, id: u64) -> Option<Box<dyn PollTask>> {
        let slot = self.tasks.get_mut(&id)?;
        match mem::replace(slot, Slot::Busy) {
            Slot::Parked(task) => Some(task),
            busy @ (Slot::Busy | Slot::Aborted) => {
                *slot = busy;
                None
            }
        }
    }

    /// Returns a task that was aborted meanwhile.
    pub(super) fn put_back(
        &mut self,
        id: u64,
        task: Box<dyn PollTask>,
    ) -> Option<Box<dyn PollTask>> {
        match self.tasks.get_mut(&id) {
            Some(slot @ Slot::Busy) => {
                *slot = Slot::Parked(task);
                None
            }
            Some(Slot::Parked(_) | Slot::Aborted) | None => {
                self.remove(id);
                Some(task)
            }
        }
    }

    pub(super) fn remove(&mut self, id: u64) {
        // It has been taken out.
        drop(self.tasks.remove(&id));
    }

    pub(super) fn abort(&mut self, id: u64) -> Option<Box<dyn PollTask>> {
        match self.tasks.get_mut(&id)? {
            slot @ Slot::Busy => {
                *slot = Slot::Aborted;
                None
            }
            Slot::Aborted => None,
            Slot::Parked(_) => match self.tasks.remove(&id) {
                Some(Slot::Parked(task)) => Some(task),
                Some(Slot::Busy | Slot::Aborted) | None => None,
            },
        }
    }

    pub(super) fn close(&mut self) {
        self.stage = Stage::Closed;
    }

    pub(super) fn pop(&mut self) -> Option<Box<dyn PollTask>> {
        loop {
            match self.tasks.pop_first()? {
                (_, Slot::Parked(task)) => return Some(task),
                (_, Slot::Busy | Slot::Aborted) => {}
            }
        }
    }
}
