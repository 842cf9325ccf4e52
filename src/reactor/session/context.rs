//! What a session sees of its loop while it is driven.

use std::sync::Arc;

use crate::observe::Observer;
use crate::os::{Instant, Key};
use crate::reactor::mailbox::Mailbox;
use crate::reactor::scratch::Scratch;
use crate::reactor::settings::Settings;
use crate::sync::notify::Notify;

use super::fate::Received;

/// Serving ─stop▶ Draining ─none left, deadline▶ Stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::reactor) enum Phase {
    Serving,
    /// Until then; what runs after it is cut.
    Draining(Instant),
    Stopped,
}

/// What a session sees of its worker while it is driven.
pub(in crate::reactor) struct Context<'a, O, H> {
    pub(in crate::reactor) os: &'a mut O,
    pub(in crate::reactor) handler: &'a mut H,
    pub(in crate::reactor) scratch: &'a mut Scratch,
    pub(in crate::reactor) settings: &'a Settings,
    pub(in crate::reactor) mailbox: &'a Arc<Mailbox>,
    pub(in crate::reactor) observer: &'a mut dyn Observer,
    pub(in crate::reactor) phase: Phase,
    pub(in crate::reactor) key: Key,
    pub(in crate::reactor) requests_left: usize,
    /// What was read from this session's peer before it was its turn.
    pub(in crate::reactor) received: Option<Received>,
    /// Bytes that were read from this session's peer.
    pub(in crate::reactor) received_len: usize,
}

impl<O, H> Context<'_, O, H> {
    /// What a promise or channel of this session calls when it has news.
    pub(super) fn notify(&self) -> Notify {
        let (mailbox, key) = (Arc::clone(self.mailbox), self.key);
        Notify::new(move || mailbox.post(key))
    }
}
