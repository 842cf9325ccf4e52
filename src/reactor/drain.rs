//! The drain: from the request to stop until the last connection is closed, within its time whatever arrives.

use crate::handler::Handler;
use crate::limits::DRAIN_ACCEPT;
use crate::observe::ServerEvent;
use crate::os::{Fault, Instant, Key, Os};

use super::session::Session;
use super::session::action::Trigger;
use super::session::context::Phase;
use super::{Accepting, Reactor};

impl<O: Os, H: Handler> Reactor<O, H> {
    /// Begins to drain when a stop is requested, and stops when all connections are closed or time is up.
    pub(super) fn stop(&mut self) {
        if self.phase != Phase::Serving || self.os.is_stop_wanted() {
            self.go_on_stopping();
        }
    }

    /// After a stop was requested.
    #[cfg_attr(not(smallest), inline(never))]
    fn go_on_stopping(&mut self) {
        match self.phase {
            Phase::Serving => {
                self.begin_drain(self.os.now().after(self.settings.timeouts.drain));
            }
            Phase::Stopping(until) => self.begin_drain(until),
            Phase::Draining(_) | Phase::Stopped => {}
        }
        if self.is_idle() || self.is_drain_over() {
            let cut = self.count_busy();
            for key in self.table.keys() {
                self.close(key);
            }
            self.leave_tasks();
            self.phase = Phase::Stopped;
            self.observer.on(ServerEvent::Stopped(cut));
        }
    }

    fn begin_drain(&mut self, until: Instant) {
        self.phase = Phase::Draining(until);
        self.accept_backlog(self.os.now().after(DRAIN_ACCEPT).min(until));
        // Closed before any handler runs: a client that reconnects for each request must not keep this server alive.
        self.accepting = Accepting::Stopped;
        self.os.stop_listening();
        let busy = self.count_busy();
        self.observer.on(ServerEvent::Draining(busy));
        for key in self.table.keys() {
            self.drive(key, Trigger::Drain);
        }
    }

    /// Takes the connections that the kernel accepted before the stop: at most one backlog of them, and no longer than
    /// `until`. Their requests are handled after that.
    fn accept_backlog(&mut self, until: Instant) {
        for _ in 0..self.settings.backlog {
            if self.is_full() || until <= self.os.now() {
                return;
            }
            match self.os.accept() {
                Ok(socket) => {
                    self.table.insert(Session::new(socket));
                }
                Err(Fault::Gone) => {}
                Err(Fault::Again | Fault::Exhausted | Fault::Other(_)) => return,
            }
        }
    }

    pub(super) fn is_drain_over(&self) -> bool {
        match self.phase {
            Phase::Stopping(until) | Phase::Draining(until) => until <= self.os.now(),
            Phase::Serving | Phase::Stopped => false,
        }
    }

    fn count_busy(&mut self) -> usize {
        let keys = self.table.keys().into_iter();
        let is_busy = |key: &Key| {
            self.table
                .find(*key)
                .is_some_and(|session| session.is_busy())
        };
        keys.filter(is_busy).count()
    }
}
