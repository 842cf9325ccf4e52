//! What a session borrows from its loop while it is driven.

use std::sync::Arc;

use crate::observe::Reporter;
use crate::os::{Instant, Key};
use crate::reactor::mailbox::Mailbox;
use crate::reactor::reports::Reports;
use crate::reactor::scratch::Scratch;
use crate::reactor::settings::Settings;
use crate::sync::memory::Memory;
use crate::sync::notify::Notify;

/// Serving ─stop▶ Draining ─none left, deadline▶ Stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::reactor) enum Phase {
    Serving,
    /// A stop was requested during this turn. It drains from the end of the turn until this instant.
    Stopping(Instant),
    /// Open connections may finish until this instant; then they are closed.
    Draining(Instant),
    Stopped,
}

/// What the loop shares with other threads.
pub(in crate::reactor) struct Shared {
    pub(in crate::reactor) mailbox: Arc<Mailbox>,
    pub(in crate::reactor) memory: Arc<Memory>,
}

impl Shared {
    /// A wake-up for what has this key.
    pub(in crate::reactor) fn notify(&self, key: Key) -> Notify {
        let mailbox = Arc::clone(&self.mailbox);
        Notify::new(move || mailbox.post(key))
    }
}

/// The loop's parts that a session uses while it is driven.
pub(in crate::reactor) struct Context<'a, O, H> {
    pub(in crate::reactor) os: &'a mut O,
    pub(in crate::reactor) handler: &'a mut H,
    pub(in crate::reactor) scratch: &'a mut Scratch,
    pub(in crate::reactor) settings: &'a Settings,
    pub(in crate::reactor) shared: &'a Shared,
    pub(in crate::reactor) observer: &'a mut Reporter,
    pub(in crate::reactor) reports: &'a mut Reports,
    pub(in crate::reactor) phase: Phase,
    pub(in crate::reactor) key: Key,
}

impl<O, H> Context<'_, O, H> {
    /// A wake-up for this session, for a promise, channel or pause.
    pub(super) fn notify(&self) -> Notify {
        self.shared.notify(self.key)
    }
}
