//! The event loop: it moves bytes and never looks at one.
//!
//! A turn has six phases in a fixed order: poll, accept, mail, receive, flush, expire. Receiving comes before expiry on
//! purpose: a process that was frozen for minutes finds every deadline passed, and must not close a connection whose
//! request has arrived.

mod deadlines;
mod drain;
#[cfg(feature = "_sim")]
mod gauge;
#[cfg(all(test, loom))]
mod interleavings;
mod mailbox;
#[cfg(feature = "_sim")]
mod meter;
mod read_buffer;
mod reports;
mod scratch;
mod send_queue;
mod session;
mod settings;
mod table;
mod tasks;
mod thread;
mod unfinished;

use core::time::Duration;
use std::sync::Arc;

use crate::handler::Handler;
use crate::limits::{
    ACCEPTS_A_TURN_MAX, EXHAUSTED_RETRY, READ_TOGETHER_LEN_MAX, READS_TOGETHER_MAX, SLOTS_KEPT,
};
use crate::observe::{Reporter, ServerEvent};
use crate::os::{Fault, Instant, Key, LEAVES_HOLES, Occurrence, Os, Readiness, give_back_memory};
use crate::sync::contain::contain;
use crate::sync::loop_thread::Runner;

use deadlines::{Deadlines, Waiting};

#[cfg(feature = "_sim")]
pub(crate) use gauge::Gauge;
use mailbox::Mailbox;
#[cfg(feature = "_sim")]
pub(crate) use meter::{Drive, drives};
use reports::{Report, Reports};
use scratch::Scratch;
use session::Session;
use session::action::{Action, Received, Trigger};
use session::context::{Context, Phase, Shared};
use session::driver::Driver;
pub(crate) use settings::{IdlePolicy, Settings, Setup};
use table::Table;
pub(crate) use thread::OnThread;

/// Events for which a loop has room from the start.
const EVENTS_KEPT: usize = 16;

/// Whether connections are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Accepting {
    /// The backlog is empty: an event will report the next connection.
    Drained,
    /// There may be connections in the backlog.
    Ready,
    /// There was no descriptor for another connection. Tried again at this instant.
    Exhausted(Instant),
    /// `connections_max` are open. Tried again after the next close.
    Full,
    /// The server is draining.
    Stopped,
}

/// One loop over one operating system, real or simulated.
pub(crate) struct Reactor<O: Os, H> {
    os: O,
    handler: H,
    settings: Settings,
    observer: Reporter,
    table: Table<Session<O::Socket>>,
    deadlines: Deadlines,
    scratch: Scratch,
    shared: Shared,
    /// Sessions that have more to do, although no event will report them.
    unfinished: Vec<Key>,
    accepting: Accepting,
    phase: Phase,
    reports: Reports,
}

impl<O: Os, H: Handler> Reactor<O, H> {
    /// As [`new`](Self::new), to be dropped where it is. To pass it to what drops it would be to move it, which takes as much of the
    /// stack again, beneath each request.
    #[inline(never)]
    pub(crate) fn in_place(
        os: O,
        handler: H,
        setup: Setup,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Option<Self> {
        Some(Self::new(os, handler, setup, wake))
    }

    /// A loop that serves `os` with `handler`; `wake` makes its poll return, from any thread.
    pub(crate) fn new(
        os: O,
        handler: H,
        setup: Setup,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        let Setup {
            settings,
            memory,
            observer,
        } = setup;
        Self {
            os,
            handler,
            observer: Reporter::new(observer),
            table: Table::new(),
            deadlines: Deadlines::new(&settings.timeouts, settings.idle),
            scratch: Scratch::new(settings.wanted),
            settings,
            shared: Shared {
                mailbox: Arc::new(Mailbox::new(wake)),
                memory,
            },
            unfinished: Vec::new(),
            // The first poll reports a connection that was made since `listen`.
            accepting: Accepting::Drained,
            phase: Phase::Serving,
            reports: Reports::default(),
        }
    }

    /// Serves until a stop is requested and all connections are closed, or until the drain's time-out.
    ///
    /// # Errors
    ///
    /// The kernel's poll itself fails.
    pub(crate) fn run(&mut self) -> Result<(), Fault> {
        let _guard = self.enter();
        // Grows as needed; a few fit into the heap's first page.
        let mut found = Vec::with_capacity(EVENTS_KEPT);
        self.scratch.prepare(|| self.os.unix_seconds());
        self.table.prepare();
        while self.phase != Phase::Stopped {
            self.turn(&mut found)?;
        }
        Ok(())
    }

    /// This thread runs the loop until the guard is dropped.
    pub(crate) fn enter(&self) -> OnThread {
        OnThread::enter(Runner {
            id: self.shared.mailbox.id(),
            tasks_max: self.settings.limits.tasks_max,
            timers_max: self.settings.limits.timers_max,
        })
    }

    /// One turn: each phase is a method.
    pub(crate) fn turn(&mut self, found: &mut Vec<Occurrence>) -> Result<(), Fault> {
        found.clear();
        #[cfg(feature = "_sim")]
        meter::begin_turn();
        let polled_at = self.poll(found)?;
        if !found.is_empty() {
            self.reports.begin_turn();
        }
        self.accept();
        self.mail(found);
        self.receive(found);
        self.flush();
        if let Some(polled_at) = polled_at {
            self.expire(polled_at);
        }
        self.stop();
        Ok(())
    }

    /// Sleeps until something happens. With no deadline armed there is no time-out: an idle function never wakes. Returns
    /// when the poll began, if a deadline was armed then.
    fn poll(&mut self, found: &mut Vec<Occurrence>) -> Result<Option<Instant>, Fault> {
        let timer = self.run_tasks();
        let deadline = self.deadlines.next();
        let polled_at = deadline.map(|_| self.os.now());
        let timeout = self.timeout(earliest(deadline, timer));
        self.os.poll(timeout, found)?;
        self.scratch.forget_time();
        if found.contains(&Occurrence::Listener)
            && matches!(self.accepting, Accepting::Drained | Accepting::Full)
        {
            self.accepting = Accepting::Ready;
        }
        Ok(polled_at)
    }

    fn timeout(&self, deadline: Option<Instant>) -> Option<Duration> {
        if !self.unfinished.is_empty()
            || self.accepting == Accepting::Ready
            || self.shared.mailbox.is_posted_here()
        {
            return Some(Duration::ZERO);
        }
        let retry = match self.accepting {
            Accepting::Exhausted(at) => Some(at),
            Accepting::Drained | Accepting::Ready | Accepting::Full | Accepting::Stopped => None,
        };
        let drained = match self.phase {
            Phase::Stopping(until) | Phase::Draining(until) => Some(until),
            Phase::Serving | Phase::Stopped => None,
        };
        let next = earliest(earliest(deadline, retry), drained);
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
            if self.is_full() && !(self.os.has_backlog() && self.evict_idle()) {
                self.accepting = Accepting::Full;
                return;
            }
            match self.os.accept() {
                Ok(socket) => {
                    let key = self.table.insert(Session::new(socket));
                    if LEAVES_HOLES && key.slot == SLOTS_KEPT {
                        self.begin_burst();
                    }
                    self.drive(key, Trigger::Resume);
                }
                Err(Fault::Again) => self.accepting = Accepting::Drained,
                // That peer left while it was in the backlog.
                Err(Fault::Gone) => {}
                // The place that an eviction makes is taken in this turn.
                Err(Fault::Exhausted) if self.evict_idle() => {}
                Err(fault @ (Fault::Exhausted | Fault::Other(_))) => self.on_exhausted(fault),
            }
        }
    }

    /// There are more sessions than an empty table has room for.
    #[cold]
    fn begin_burst(&mut self) {
        let len_max = self.settings.limits.connections_max;
        self.table.reserve(len_max);
        if self.settings.idle == IdlePolicy::Evict {
            self.deadlines.reserve(len_max);
        }
    }

    const fn is_full(&self) -> bool {
        self.table.len() >= self.settings.limits.connections_max
    }

    /// Closes a connection that waits for a request, where that is wanted: one that has never sent anything, else the one
    /// that has been idle for longest. Its socket is read once more, so that a request that has arrived is not lost.
    #[cold]
    fn evict_idle(&mut self) -> bool {
        let mut kept = None;
        while let Some(slot) = self.deadlines.oldest_idle()
            && kept != Some(slot)
        {
            self.deadlines.disarm(slot);
            let len = self.table.len();
            if let Some(key) = self.table.key_of(slot) {
                self.drive(key, Trigger::Deadline(Waiting::FirstByte));
            }
            if self.table.len() < len {
                return true;
            }
            // A request had arrived; this connection is now the last of the idle ones.
            kept.get_or_insert(slot);
        }
        false
    }

    /// Readiness is reported once per edge, so no event will follow: accepting is tried again on each close, and after a
    /// while.
    #[cold]
    fn on_exhausted(&mut self, fault: Fault) {
        let now = self.os.now();
        self.accepting = Accepting::Exhausted(now.after(EXHAUSTED_RETRY));
        if self.reports.is_due(Report::Shortage, now) {
            self.observer.on(match fault {
                Fault::Other(number) => ServerEvent::AcceptFailed(number),
                Fault::Again | Fault::Gone | Fault::Exhausted => ServerEvent::DescriptorsExhausted,
            });
        }
    }

    /// Drives the sessions that the kernel reports. All responses to one read are sent in one write, before the next
    /// session.
    fn receive(&mut self, found: &[Occurrence]) {
        for batch in found.chunks(READS_TOGETHER_MAX) {
            match batch {
                // It may use the whole read buffer.
                [only] => self.receive_one(*only, None),
                _ => self.receive_batch(batch),
            }
        }
    }

    /// Reads from all sessions that wait for a request, each into its own piece of a buffer, and then drives each.
    #[inline(never)]
    fn receive_batch(&mut self, batch: &[Occurrence]) {
        let mut received = [None; READS_TOGETHER_MAX];
        let mut buffer = self.scratch.take_pieces();
        let pieces = buffer.chunks_exact_mut(READ_TOGETHER_LEN_MAX);
        for ((occurrence, piece), outcome) in batch.iter().zip(pieces).zip(&mut received) {
            if let Occurrence::Socket(key, Readiness::READABLE) = *occurrence
                && let Some(session) = self.table.find(key)
            {
                *outcome = session.receive_between_requests(&mut self.os, piece);
            }
        }
        let pieces = buffer.chunks_exact(READ_TOGETHER_LEN_MAX);
        for ((occurrence, outcome), buffer) in batch.iter().zip(received).zip(pieces) {
            let received = outcome.map(|outcome| Received { buffer, outcome });
            self.receive_one(*occurrence, received);
        }
        self.scratch.put_pieces(buffer);
    }

    fn receive_one(&mut self, occurrence: Occurrence, received: Option<Received<'_>>) {
        if let Occurrence::Socket(key, readiness) = occurrence {
            let trigger = received.map_or(Trigger::Ready(readiness), Trigger::Received);
            self.drive(key, trigger);
        }
    }

    /// Drives the sessions whose deadlines have passed, after all events: a process that was frozen must not close a
    /// connection with a request. Therefore only deadlines count that had passed when the poll began. A poll may also
    /// report only some of the events, or be interrupted, so each session looks at its socket again before it gives up.
    #[inline(never)]
    fn expire(&mut self, polled_at: Instant) {
        while let Some((slot, waiting)) = self.deadlines.expired(polled_at) {
            // Disarmed first: the session arms its next deadline.
            self.deadlines.disarm(slot);
            if let Some(key) = self.table.key_of(slot) {
                self.drive(key, Trigger::Deadline(waiting));
            }
        }
    }

    /// Drives a session, and does what it asks for. Not generic over the trigger: one copy for each would add a tenth to the
    /// smallest build.
    fn drive(&mut self, key: Key, trigger: Trigger<'_>) {
        if self.phase == Phase::Serving && self.os.is_stop_wanted() {
            // The time to drain counts from here, although handlers of this turn may still use it up.
            self.phase = Phase::Stopping(self.os.now().after(self.settings.timeouts.drain));
        }
        if self.is_drain_over() {
            return;
        }
        let Some(session) = self.table.find(key) else {
            return;
        };
        #[cfg(feature = "_sim")]
        let begun = meter::begin(key);
        let context = Context {
            os: &mut self.os,
            handler: &mut self.handler,
            scratch: &mut self.scratch,
            settings: &self.settings,
            shared: &self.shared,
            observer: &mut self.observer,
            reports: &mut self.reports,
            phase: self.phase,
            key,
        };
        // Calls of the user's code are contained one by one. Its values are dropped in many places of a session, and a drop
        // may panic as well.
        let driven = contain(|| Driver::new(session, context).run(trigger));
        #[cfg(feature = "_sim")]
        meter::end(begun);
        let Some(action) = driven else {
            self.on_panic(key);
            return;
        };
        debug_assert!(
            self.scratch.out.is_empty(),
            "a session keeps its own unsent output"
        );
        let os = &self.os;
        let is_rescheduled = matches!(action, Action::Reschedule(..));
        match action {
            // While the server stops, it does not wait for another request.
            Action::Wait(waiting, renewal) | Action::Reschedule(waiting, renewal)
                if is_rescheduled
                    || waiting != Waiting::FirstByte
                    || self.phase == Phase::Serving =>
            {
                self.deadlines.arm(key.slot, waiting, renewal, || os.now());
                if is_rescheduled {
                    self.list(key);
                } else if self.accepting == Accepting::Full
                    && self.deadlines.oldest_idle().is_some()
                {
                    // This connection can now make room for one that waits.
                    self.accepting = Accepting::Ready;
                }
            }
            Action::Wait(..) | Action::Reschedule(..) | Action::Close => self.close(key),
            Action::HandOver => self.hand_over(key),
        }
    }

    /// A user's value panicked when it was dropped: only its own connection ends.
    #[cold]
    fn on_panic(&mut self, key: Key) {
        self.observer.on(ServerEvent::HandlerPanicked);
        // The session's output may be in it, and its buffers may be lost.
        self.scratch = Scratch::new(self.settings.wanted);
        self.close(key);
    }

    /// The only place where a session ends.
    fn close(&mut self, key: Key) {
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
            give_back_memory();
        }
        match self.accepting {
            Accepting::Full | Accepting::Exhausted(_) => self.accepting = Accepting::Ready,
            Accepting::Drained | Accepting::Ready | Accepting::Stopped => {}
        }
        Some(session.into_socket())
    }

    /// Gives an upgraded socket to a thread of its own.
    #[cold]
    fn hand_over(&mut self, key: Key) {
        let upgraded = self.table.find(key).and_then(Session::take_upgrade);
        if let Some(socket) = self.remove(key)
            && let Some((upgrade, rest)) = upgraded
            && let Ok(stream) = self.os.detach(socket)
        {
            let _ = contain(|| upgrade.deliver(stream, rest));
        }
    }
}

fn earliest(first: Option<Instant>, second: Option<Instant>) -> Option<Instant> {
    match (first, second) {
        (Some(first), Some(second)) => Some(first.min(second)),
        (first, None) => first,
        (None, second) => second,
    }
}
