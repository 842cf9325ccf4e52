//! The loop: it moves bytes and never reads one.
//!
//! `turn` has six phases in one order: poll, accept, mail, receive, flush, expire. Receiving comes before expiry on
//! purpose: a process that was frozen for minutes finds every deadline past, and must not close the connection whose
//! request is waiting.

mod deadlines;
#[cfg(feature = "sim")]
mod gauge;
#[cfg(all(test, loom))]
mod interleavings;
mod mailbox;
mod scratch;
mod send_queue;
mod session;
mod settings;
mod table;

use core::time::Duration;
use std::sync::Arc;

use crate::handler::Handler;
use crate::limits::{
    ACCEPTS_A_TURN_MAX, EXHAUSTED_REPORT, EXHAUSTED_RETRY, READ_TOGETHER_LEN_MAX,
    READS_TOGETHER_MAX,
};
use crate::observe::{Event, Observer};
use crate::os::{Fault, Instant, Key, Occurrence, Os, Readiness};

use deadlines::{Deadlines, Waiting};

#[cfg(feature = "sim")]
pub(crate) use gauge::Gauge;
use mailbox::Mailbox;
use scratch::Scratch;
use session::Session;
use session::context::{Context, Phase};
use session::fate::{Fate, Received, Trigger};
use session::work::HandOver;
pub(crate) use settings::Settings;
use table::Table;

/// Room for occurrences that a loop begins with.
const EVENTS_KEPT: usize = 16;

/// Whether connections are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Accepting {
    /// An event will tell of the next one.
    Drained,
    /// Some may wait in the backlog.
    Ready,
    /// There is no descriptor for one more; at this time it is tried again.
    Exhausted(Instant),
    /// `connections_max` are open; the next close makes room.
    Full,
    /// The server is draining.
    Over,
}

/// One loop over one world.
pub(crate) struct Reactor<O: Os, H> {
    os: O,
    handler: H,
    settings: Settings,
    observer: Box<dyn Observer>,
    table: Table<Session<O::Socket>>,
    deadlines: Deadlines,
    scratch: Scratch,
    mailbox: Arc<Mailbox>,
    /// Sessions that have more to do although no event will say so.
    unfinished: Vec<Key>,
    accepting: Accepting,
    phase: Phase,
    /// When exhausted descriptors were last reported.
    reported_at: Option<Instant>,
}

impl<O: Os, H: Handler> Reactor<O, H> {
    /// A loop that serves `os` with `handler`; `wake` makes its poll return, from any thread.
    #[inline(never)]
    pub(crate) fn new(
        os: O,
        handler: H,
        settings: Settings,
        observer: Box<dyn Observer>,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        Self {
            os,
            handler,
            observer,
            table: Table::new(),
            deadlines: Deadlines::new(&settings.timeouts),
            settings,
            scratch: Scratch::default(),
            mailbox: Arc::new(Mailbox::new(wake)),
            unfinished: Vec::new(),
            // The kernel tells of whoever came between `listen` and the first poll.
            accepting: Accepting::Drained,
            phase: Phase::Serving,
            reported_at: None,
        }
    }

    /// Serves until it is told to stop and nothing runs any more, or until the time to drain is over.
    ///
    /// # Errors
    ///
    /// The kernel's poll itself fails.
    pub(crate) fn run(&mut self) -> Result<(), Fault> {
        // It grows to as many as ever come at once; a few fit into the heap's first page.
        let mut found = Vec::with_capacity(EVENTS_KEPT);
        self.scratch.prepare();
        while self.phase != Phase::Stopped {
            self.turn(&mut found)?;
        }
        Ok(())
    }

    /// One turn: each phase is a method.
    pub(crate) fn turn(&mut self, found: &mut Vec<Occurrence>) -> Result<(), Fault> {
        found.clear();
        let looked_at = self.poll(found)?;
        self.accept();
        self.mail(found);
        self.receive(found);
        self.flush();
        if let Some(looked_at) = looked_at {
            self.expire(looked_at);
        }
        self.stop();
        Ok(())
    }

    /// Sleeps until something happens. With nothing armed there is no time-out: an idle function never wakes. Returns when
    /// it began to look, if a deadline was armed then.
    fn poll(&mut self, found: &mut Vec<Occurrence>) -> Result<Option<Instant>, Fault> {
        let looked_at = self.deadlines.next().map(|_| self.os.now());
        let timeout = self.timeout();
        self.os.poll(timeout, found)?;
        self.scratch.forget_time();
        if found.contains(&Occurrence::Listener) && self.accepting == Accepting::Drained {
            self.accepting = Accepting::Ready;
        }
        Ok(looked_at)
    }

    fn timeout(&self) -> Option<Duration> {
        if !self.unfinished.is_empty() || self.accepting == Accepting::Ready {
            return Some(Duration::ZERO);
        }
        let retry = match self.accepting {
            Accepting::Exhausted(at) => Some(at),
            Accepting::Drained | Accepting::Ready | Accepting::Full | Accepting::Over => None,
        };
        let drained = match self.phase {
            Phase::Draining(until) => Some(until),
            Phase::Serving | Phase::Stopped => None,
        };
        let mut next = self.deadlines.next();
        for other in [retry, drained].into_iter().flatten() {
            next = Some(next.map_or(other, |next| next.min(other)));
        }
        next.map(|next| next.since(self.os.now()))
    }

    fn accept(&mut self) {
        if let Accepting::Exhausted(at) = self.accepting
            && at <= self.os.now()
        {
            self.accepting = Accepting::Ready;
        }
        let mut left = ACCEPTS_A_TURN_MAX;
        while self.accepting == Accepting::Ready && left > 0 {
            left -= 1;
            if self.table.len() >= self.settings.limits.connections_max {
                self.accepting = Accepting::Full;
                return;
            }
            match self.os.accept() {
                Ok(socket) => {
                    let key = self.table.insert(Session::new(socket));
                    self.drive(key, Trigger::GoOn);
                }
                Err(Fault::Again) => self.accepting = Accepting::Drained,
                // That one peer left while it waited.
                Err(Fault::Gone) => {}
                Err(Fault::Exhausted | Fault::Other(_)) => self.on_exhausted(),
            }
        }
    }

    /// Edges come once: the backlog is tried again on each close and now and then, and no event is waited for.
    fn on_exhausted(&mut self) {
        let now = self.os.now();
        self.accepting = Accepting::Exhausted(now.after(EXHAUSTED_RETRY));
        if self
            .reported_at
            .is_none_or(|at| at.after(EXHAUSTED_REPORT) <= now)
        {
            self.reported_at = Some(now);
            self.observer.on(Event::DescriptorsExhausted);
        }
    }

    /// Sessions whose promises and channels have news.
    fn mail(&mut self, found: &[Occurrence]) {
        if !found.contains(&Occurrence::Wake) {
            return;
        }
        let mut keys = std::mem::take(&mut self.scratch.keys);
        self.mailbox.take(&mut keys);
        for key in keys.drain(..) {
            self.drive(key, Trigger::GoOn);
        }
        self.scratch.keys = keys;
    }

    /// Sessions of which the kernel has news. All answers to one read leave in one write before the next session.
    fn receive(&mut self, found: &[Occurrence]) {
        for some in found.chunks(READS_TOGETHER_MAX) {
            match some {
                // It has the whole buffer.
                [alone] => self.receive_in_turn(*alone, None),
                _ => self.receive_together(some),
            }
        }
    }

    /// Reads from those that wait for a request, each into a piece of its own; then each has its turn.
    fn receive_together(&mut self, some: &[Occurrence]) {
        let mut received = [None; READS_TOGETHER_MAX];
        let pieces = self
            .scratch
            .pieces()
            .chunks_exact_mut(READ_TOGETHER_LEN_MAX);
        for ((occurrence, piece), outcome) in some.iter().zip(pieces).zip(&mut received) {
            if let Occurrence::Socket(key, Readiness::READABLE) = *occurrence
                && let Some(session) = self.table.find(key)
            {
                *outcome = session.receive_between_requests(&mut self.os, piece);
            }
        }
        for (piece, (occurrence, outcome)) in some.iter().zip(received).enumerate() {
            let received = outcome.map(|outcome| Received { piece, outcome });
            self.receive_in_turn(*occurrence, received);
        }
    }

    fn receive_in_turn(&mut self, occurrence: Occurrence, received: Option<Received>) {
        if let Occurrence::Socket(key, readiness) = occurrence {
            let trigger = received.map_or(Trigger::Ready(readiness), Trigger::Received);
            self.drive(key, trigger);
        }
    }

    /// Sessions that were cut short, so that others had their turn.
    fn flush(&mut self) {
        if self.unfinished.is_empty() {
            return;
        }
        let spare = std::mem::take(&mut self.scratch.keys);
        let mut keys = std::mem::replace(&mut self.unfinished, spare);
        // One that was cut short again by its own news is here twice, and would have a larger share each turn.
        keys.sort_unstable();
        keys.dedup();
        for key in keys.drain(..) {
            self.drive(key, Trigger::GoOn);
        }
        self.scratch.keys = keys;
    }

    /// Deadlines, behind all that has happened: a thaw must not close a connection with a request. So only those count
    /// that were past when the poll began to look; and as a poll may bring a part of the news, or be interrupted and
    /// bring none, each session looks once more itself before it gives its peer up.
    fn expire(&mut self, looked_at: Instant) {
        while let Some((slot, waiting)) = self.deadlines.expired(looked_at) {
            // Disarmed first: whatever comes of it arms anew.
            self.deadlines.disarm(slot);
            if let Some(key) = self.table.key_of(slot) {
                self.drive(key, Trigger::Deadline(waiting));
            }
        }
    }

    /// Begins to drain when told to, and ends it when nothing is left to wait for.
    fn stop(&mut self) {
        if self.phase == Phase::Serving && self.os.is_stop_wanted() {
            self.begin_drain();
        }
        if let Phase::Draining(until) = self.phase {
            let is_time_up = until <= self.os.now();
            if self.table.is_empty() || is_time_up {
                let cut = self.count_busy();
                for key in self.table.keys() {
                    self.free(key);
                }
                self.phase = Phase::Stopped;
                self.observer.on(Event::Stopped(cut));
            }
        }
    }

    fn begin_drain(&mut self) {
        self.phase = Phase::Draining(self.os.now().after(self.settings.timeouts.drain));
        // Whoever was let in by the kernel before the stop is still served.
        if self.accepting == Accepting::Drained {
            self.accepting = Accepting::Ready;
        }
        while self.accepting == Accepting::Ready {
            self.accept();
        }
        // Nobody who sees an idle connection end may be let in again.
        self.accepting = Accepting::Over;
        self.os.stop_listening();
        let busy = self.count_busy();
        self.observer.on(Event::Draining(busy));
        for key in self.table.keys() {
            self.drive(key, Trigger::Drain);
        }
    }

    fn count_busy(&mut self) -> usize {
        let keys = self.table.keys().into_iter();
        let busy = keys.filter(|key| self.table.find(*key).is_some_and(|one| one.is_busy()));
        busy.count()
    }

    /// Lets a session do what it can, and sees to what it says. One body for all occasions: a copy for each, which a
    /// closure would make, is a tenth of the smallest build.
    fn drive(&mut self, key: Key, trigger: Trigger) {
        let Some(session) = self.table.find(key) else {
            return;
        };
        let mut context = Context {
            os: &mut self.os,
            handler: &mut self.handler,
            scratch: &mut self.scratch,
            settings: &self.settings,
            mailbox: &self.mailbox,
            observer: &mut *self.observer,
            phase: self.phase,
            key,
            requests_left: 0,
            received: None,
            received_len: 0,
        };
        let fate = session.on(trigger, &mut context);
        debug_assert!(
            context.received.is_none(),
            "what was read for a session at rest is taken"
        );
        debug_assert!(
            self.scratch.out.is_empty(),
            "what is not sent is the session's"
        );
        let os = &self.os;
        match fate {
            // Nobody waits for a request that may never come while the server stops.
            Fate::Wait(Waiting::FirstByte, _) if self.phase != Phase::Serving => self.free(key),
            Fate::Wait(waiting, renewal) => {
                self.deadlines.arm(key.slot, waiting, renewal, || os.now());
            }
            Fate::Again(waiting, renewal) => {
                self.deadlines.arm(key.slot, waiting, renewal, || os.now());
                self.unfinished.push(key);
            }
            Fate::Free => self.free(key),
            Fate::HandOver(hand_over) => self.hand_over(key, *hand_over),
        }
    }

    /// The one place where a session ends.
    fn free(&mut self, key: Key) {
        if let Some(socket) = self.remove(key) {
            self.os.close(socket);
        }
    }

    fn remove(&mut self, key: Key) -> Option<O::Socket> {
        let mut session = self.table.remove(key)?;
        session.cut_upload();
        self.deadlines.disarm(key.slot);
        if self.table.shrink() {
            self.deadlines.truncate(0);
        }
        match self.accepting {
            Accepting::Full | Accepting::Exhausted(_) => self.accepting = Accepting::Ready,
            Accepting::Drained | Accepting::Ready | Accepting::Over => {}
        }
        Some(session.into_socket())
    }

    /// An upgraded socket goes to a thread of its own.
    fn hand_over(&mut self, key: Key, hand_over: HandOver) {
        let HandOver { upgrade, rest } = hand_over;
        let Some(socket) = self.remove(key) else {
            return;
        };
        let Ok(stream) = self.os.detach(socket) else {
            return;
        };
        if !(upgrade.start)(stream, rest) {
            self.observer.on(Event::ThreadNotStarted);
        }
    }
}
