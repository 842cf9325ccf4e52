//! Sessions that go on although no event reports them: they were woken, or have used up their budget.

use crate::handler::Handler;
use crate::os::{Key, Occurrence, Os};

use super::Reactor;
use super::session::Session;
use super::session::action::Trigger;

impl<O: Os, H: Handler> Reactor<O, H> {
    /// Lists the sessions that were woken, each once, however often: `flush` drives them.
    pub(super) fn mail(&mut self, found: &[Occurrence]) {
        if found.contains(&Occurrence::Wake) || self.shared.mailbox.is_posted_here() {
            self.take_mail();
        }
    }

    #[inline(never)]
    fn take_mail(&mut self) {
        let mut keys = std::mem::take(&mut self.scratch.keys);
        self.shared.mailbox.take(&mut keys);
        for key in keys.drain(..) {
            self.list(key);
        }
        self.scratch.keys = keys;
    }

    #[inline(never)]
    pub(super) fn list(&mut self, key: Key) {
        if self.table.find(key).is_some_and(Session::list) {
            self.unfinished.push(key);
        }
    }

    /// Drives the sessions that were woken, and those whose budget was used up, after all others had their turn.
    pub(super) fn flush(&mut self) {
        if !self.unfinished.is_empty() {
            self.drive_unfinished();
        }
    }

    #[inline(never)]
    fn drive_unfinished(&mut self) {
        let spare = std::mem::take(&mut self.scratch.keys);
        let mut keys = std::mem::replace(&mut self.unfinished, spare);
        for key in keys.drain(..) {
            if let Some(session) = self.table.find(key) {
                session.unlist();
            }
            self.drive(key, Trigger::Resume);
        }
        self.scratch.keys = keys;
    }
}
