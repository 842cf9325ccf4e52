//! Whether the server stops, as a loop tells those who wait, on any thread.

use core::mem;
use core::task::Waker;
use std::collections::BTreeMap;
use std::sync::PoisonError;

use crate::sync::contain::contain;
use crate::sync::{Mutex, MutexGuard};

/// Whether the server stops, as a loop tells those who wait.
pub(super) struct Notice(Mutex<State>);

#[derive(Default)]
pub(super) struct State {
    pub(super) stage: ServerStage,
    /// What to wake. An entry belongs to a future, which is larger.
    pub(super) waiting: BTreeMap<u64, Waker>,
    pub(super) next_id: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ServerStage {
    #[default]
    Serving,
    Draining,
}

impl Notice {
    pub(super) fn new() -> Self {
        Self(Mutex::new(State::default()))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // No foreign code runs under this lock, so a poisoned one is still whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes all that wait, the first time.
    pub(super) fn enter(&self, stage: ServerStage) {
        let mut state = self.lock();
        state.stage = stage;
        if stage == ServerStage::Serving {
            return;
        }
        let waiting = mem::take(&mut state.waiting);
        drop(state);
        for waker in waiting.into_values() {
            contain(|| waker.wake());
        }
    }
}
