//! Drives one session: reads, has its requests handled, writes, until it has to wait.

use crate::h1::Next;
use crate::handler::Handler;
use crate::handler::outcome::WhenHalfClosed;
use crate::limits::{LINGER_TIME_MAX, PIECES_A_TURN_MAX, READS_A_TURN_MAX, WRITES_A_TURN_MAX};
use crate::message::incoming::Appetite;
use crate::observe::ServerEvent;
use crate::os::{Fault, Instant, Interest, Os, Readiness};
use crate::reactor::deadlines::{Renewal, Waiting};
use crate::reactor::send_queue::Follows;
use crate::sync::contain::contain;

use super::action::{Action, Received, Trigger, Written};
use super::context::{Context, Phase};
use super::work::{RequestSink, ResponseSource};
use super::{ReadState, Session, State};

/// Whether the peer can still take a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Peer {
    Present,
    Gone,
}

/// A session while it is driven: borrowed together with its loop, for one run.
pub(in crate::reactor) struct Driver<'a, O: Os, H> {
    pub(super) session: &'a mut Session<O::Socket>,
    pub(super) context: Context<'a, O, H>,
    /// Requests that may still be handled in this turn.
    pub(super) requests_left: usize,
    /// Pieces of bodies that may still be received or sent in this turn.
    pub(super) pieces_left: usize,
    /// Polls of the code that sends the response's body, in this turn.
    pub(super) polls_left: usize,
    /// Reads that may still be done in this turn.
    reads_left: usize,
    /// Writes that may still be done in this turn.
    writes_left: usize,
    /// What the loop has read for this session, until it is parsed.
    pub(super) received: Option<Received<'a>>,
    /// Bytes that were read in this turn.
    pub(super) received_len: usize,
    /// What the session was waiting for when its deadline passed.
    overdue: Option<Waiting>,
}

impl<'a, O: Os, H: Handler> Driver<'a, O, H> {
    pub(in crate::reactor) const fn new(
        session: &'a mut Session<O::Socket>,
        context: Context<'a, O, H>,
    ) -> Self {
        Self {
            session,
            context,
            requests_left: 0,
            pieces_left: PIECES_A_TURN_MAX,
            polls_left: 1,
            reads_left: READS_A_TURN_MAX,
            writes_left: WRITES_A_TURN_MAX,
            received: None,
            received_len: 0,
            overdue: None,
        }
    }

    /// Does what the trigger calls for.
    pub(in crate::reactor) fn run(mut self, trigger: Trigger<'a>) -> Action {
        match trigger {
            Trigger::Resume => {}
            Trigger::Ready(readiness) => {
                if self.on_ready(readiness) == Peer::Gone {
                    return Action::Close;
                }
            }
            Trigger::Received(received) => self.received = Some(received),
            Trigger::Deadline(waiting) => {
                // The deadline may have passed while the process was frozen. What the peer did meanwhile counts: read
                // and write once more.
                self.overdue = Some(waiting);
                self.session.read_again();
            }
            Trigger::Drain => self.session.on_drain(),
        }
        let action = self.drive();
        debug_assert!(
            self.received.is_none(),
            "bytes that the loop read were not parsed"
        );
        match self.overdue {
            None => action,
            Some(waiting) => Self::after_deadline(action, waiting),
        }
    }

    /// A session whose deadline has passed, and that still waits for the same, is closed unless its peer has made progress.
    /// An overdue request has already been refused, in `drive_open`.
    fn after_deadline(action: Action, overdue: Waiting) -> Action {
        match (action, overdue) {
            (Action::Wait(still, _), Waiting::Head | Waiting::Body) if still == overdue => {
                Action::Wait(still, Renewal::New)
            }
            (Action::Wait(Waiting::Write, Renewal::Same), Waiting::Write)
            | (Action::Wait(Waiting::FirstByte, Renewal::Same), Waiting::FirstByte)
            | (Action::Wait(Waiting::Linger, Renewal::Same), Waiting::Linger) => Action::Close,
            (action, _) => action,
        }
    }

    /// The kernel reports the socket as ready.
    fn on_ready(&mut self, readiness: Readiness) -> Peer {
        let is_broken = readiness.has(Readiness::BROKEN);
        if is_broken && !readiness.has(Readiness::READABLE) {
            return Peer::Gone;
        }
        self.session.on_readiness(readiness);
        // After we have ended our side, the peer's end is not an error: bytes left unread would reset the connection, and
        // the last response with it.
        if is_broken
            && self.session.state == State::Open
            // Both sides have ended: no fault, and there may be bytes left.
            && !self.session.connection.is_output_ended()
            && (self.session.next() != Next::Read || self.is_paused())
        {
            // It is not the peer's turn, and it can no longer take a response.
            return Peer::Gone;
        }
        Peer::Present
    }

    /// Goes on until the session has to wait for its peer or its handler, or its budget is used up.
    fn drive(&mut self) -> Action {
        if let State::Lingering(until) = self.session.state {
            return self.linger(until);
        }
        if let Some(work) = &mut self.session.work
            && !work.out.is_empty()
        {
            debug_assert!(
                self.context.scratch.out.is_empty(),
                "a session was driven while another one's output was pending"
            );
            std::mem::swap(&mut work.out, &mut self.context.scratch.out);
        }
        // One call, so that it is compiled in place. A second round is the last: its response has begun.
        let action = loop {
            let action = self.drive_open();
            self.keep_unsent();
            let is_kept = matches!(action, Action::Wait(..) | Action::Reschedule(..))
                && self.session.work.is_some();
            if !is_kept || self.reserve(0).is_ok() {
                break action;
            }
            if self.give_up().is_err() {
                return Action::Close;
            }
        };
        match action {
            Action::Wait(waiting, _) if self.watch(waiting).is_err() => Action::Close,
            Action::Wait(..) | Action::Reschedule(..) | Action::Close | Action::HandOver => action,
        }
    }

    /// Takes what was not sent out of the loop's queue, and frees the work if nothing is left of it.
    fn keep_unsent(&mut self) {
        if !self.context.scratch.out.is_empty() {
            self.keep_output();
        }
        let work = self.session.work.as_ref();
        if work.is_some_and(|work| work.is_over()) {
            self.session.work = None;
        }
    }

    #[cold]
    fn keep_output(&mut self) {
        let pending = std::mem::take(&mut self.context.scratch.out);
        self.session.work().out = pending;
    }

    fn drive_open(&mut self) -> Action {
        self.requests_left = self.context.settings.limits.pipeline_max;
        let mut written = Written::All;
        loop {
            if self.session.has_unparsed_input() {
                self.process_kept_input();
            }
            if written == Written::All {
                written = self.write();
            }
            // First: an upload that is over changes what is next.
            let is_paused = self.is_paused();
            let next = self.session.next();
            match written {
                Written::All => {}
                Written::Blocked if self.is_reading_meanwhile() => {}
                Written::Blocked => return self.session.wait(Waiting::Write),
                Written::BudgetSpent => return self.session.reschedule(),
                Written::PeerGone => return Action::Close,
            }
            match next {
                Next::Close => return Action::Close,
                Next::Linger => return self.begin_linger(),
                Next::Wait | Next::Write => {
                    if self.session.on_half_close() == WhenHalfClosed::Cancel {
                        return Action::Close;
                    }
                    return if self.session.is_upgraded() {
                        Action::HandOver
                    } else {
                        self.session.wait(Waiting::Handler)
                    };
                }
                Next::End if self.has_ended_output(written) => continue,
                Next::Read | Next::Both | Next::End => {}
            }
            if self.session.has_unparsed_input() {
                if self.requests_left == 0 || self.pieces_left == 0 {
                    return self.session.reschedule();
                }
                if !is_paused {
                    continue;
                }
            }
            if is_paused {
                return self.wait_for(written, Waiting::Handler);
            }
            match self.session.read_state {
                ReadState::Drained => {
                    let waiting = self.session.awaited_input();
                    if written == Written::Blocked || !self.is_overdue(waiting) {
                        return self.wait_for(written, waiting);
                    }
                    self.time_out();
                }
                ReadState::Ended => {
                    self.session.connection.on_end_of_input();
                    self.session.cut_upload();
                    // A future whose body is cut learns it before it is dropped.
                    self.polls_left = 1;
                }
                ReadState::Ready | ReadState::Ending if self.reads_left == 0 => {
                    return self.session.reschedule();
                }
                ReadState::Ready | ReadState::Ending => {
                    self.reads_left -= 1;
                    if self.read().is_err() {
                        return Action::Close;
                    }
                }
            }
        }
    }

    /// Whether to read although pending bytes can't be sent. This does not ask what is next for the code of a connection whose
    /// directions have both ended.
    fn is_reading_meanwhile(&self) -> bool {
        self.session.connection.next().is_reading_meanwhile() && self.has_room_for_responses()
    }

    /// Ends our side, and nothing else of the connection, once all is sent.
    #[inline(never)]
    fn has_ended_output(&mut self, written: Written) -> bool {
        if written != Written::All {
            return false;
        }
        self.context.os.end_output(&self.session.socket);
        self.session.connection.on_output_ended();
        true
    }

    /// Waits for the peer to read, if it has to do that first: what it has sent meanwhile counts, too.
    fn wait_for(&mut self, written: Written, waiting: Waiting) -> Action {
        if written == Written::Blocked {
            if !self.session.connection.is_switched() {
                self.session.count_quota();
            }
            return self.session.wait(Waiting::Write);
        }
        self.session.wait(waiting)
    }

    /// Whether more responses may be made although the peer has not read those before.
    pub(super) fn has_room_for_responses(&self) -> bool {
        self.context.scratch.out.len() <= self.context.settings.limits.pending_out_len_max
    }

    /// Calls the handler on the loop; `None` if it panics. In some turns the call is timed.
    pub(super) fn call_handler<T>(&mut self, run: impl FnOnce(&mut H) -> T) -> Option<T> {
        let began_at = self.begin_call();
        let returned = contain(|| run(self.context.handler));
        self.end_call(began_at);
        returned
    }

    /// When a call of the user's code begins, if it is timed.
    pub(super) fn begin_call(&self) -> Option<Instant> {
        let is_timed = self.context.reports.is_turn_timed();
        is_timed.then(|| self.context.os.now())
    }

    pub(super) fn end_call(&mut self, began_at: Option<Instant>) {
        if let Some(began_at) = began_at {
            self.end_timed_call(began_at);
        }
    }

    #[inline(never)]
    fn end_timed_call(&mut self, began_at: Instant) {
        let now = self.context.os.now();
        if let Some(time) = self.context.reports.blocked_for(began_at, now) {
            self.context.observer.on(ServerEvent::LoopBlocked(time));
        }
    }

    /// Whether the deadline for this request has passed, and no byte has arrived since. An idle connection has sent none
    /// of a request: if it is to be closed, then without a response.
    fn is_overdue(&self, waiting: Waiting) -> bool {
        waiting != Waiting::FirstByte
            && self.overdue == Some(waiting)
            && self.session.renewal == Renewal::Same
            && self.received_len == 0
    }

    /// Whether an upload does not take more yet. One that never will is over.
    #[inline]
    pub(super) fn is_paused(&mut self) -> bool {
        // Most requests have no upload, and their check is then two instructions.
        self.session.work.is_some() && self.is_upload_paused()
    }

    #[inline(never)]
    fn is_upload_paused(&mut self) -> bool {
        let Some(work) = &mut self.session.work else {
            return false;
        };
        match work.appetite(|| self.context.notify(), || self.context.os.now()) {
            Appetite::More => false,
            Appetite::Full => true,
            Appetite::Gone => {
                work.sink = RequestSink::Nothing;
                self.session.connection.leave_body();
                false
            }
        }
    }

    /// Sends what is pending, and what the response's source yields meanwhile.
    fn write(&mut self) -> Written {
        loop {
            if self.context.scratch.out.is_empty() {
                let Some(work) = &mut self.session.work else {
                    return Written::All;
                };
                if self.pieces_left == 0 && matches!(work.source, ResponseSource::Arriving(_)) {
                    return Written::BudgetSpent;
                }
                let source = std::mem::take(&mut work.source);
                let written = self.pull(source);
                if self.context.scratch.out.is_empty() {
                    return written;
                }
            }
            if self.writes_left == 0 {
                return Written::BudgetSpent;
            }
            self.writes_left -= 1;
            self.notify_before_send();
            let Context { os, scratch, .. } = &mut self.context;
            let socket = &self.session.socket;
            let sent = scratch.out.write(|slices, follows| match follows {
                Follows::Nothing => os.send(socket, slices),
                Follows::End => os.send_last(socket, slices),
            });
            match sent {
                Ok((offered, sent)) => {
                    self.session.renewal = Renewal::New;
                    // A short write has filled the socket: a second call would only confirm it.
                    if O::LEAVES_AFTER_SHORT && sent < offered {
                        return Written::Blocked;
                    }
                }
                Err(Fault::Again) => return Written::Blocked,
                Err(Fault::Gone | Fault::Exhausted | Fault::Other(_)) => return Written::PeerGone,
            }
        }
    }

    /// Tells the kernel which events to report.
    fn watch(&mut self, waiting: Waiting) -> Result<(), Fault> {
        let session = &mut *self.session;
        let is_blocked = waiting == Waiting::Write;
        let wanted = match (session.interest, is_blocked) {
            (Interest::Nothing | Interest::Input, true) => Interest::InputAndRoom,
            (Interest::Nothing, false) => Interest::Input,
            // Interest in room is kept: the kernel reports it only after it has run out, so it costs nothing.
            (Interest::Input, false) | (Interest::InputAndRoom, _) => return Ok(()),
        };
        let (socket, key) = (&mut session.socket, self.context.key);
        self.context
            .os
            .watch(socket, key, session.interest, wanted)?;
        session.interest = wanted;
        Ok(())
    }

    #[inline(never)]
    fn begin_linger(&mut self) -> Action {
        self.session.work = None;
        self.context.os.end_output(&self.session.socket);
        let time_max = match self.context.phase {
            Phase::Serving => LINGER_TIME_MAX,
            // A server that stops waits for no peer that sends on.
            Phase::Stopping(_) | Phase::Draining(_) | Phase::Stopped => {
                self.context.settings.timeouts.linger
            }
        };
        let until = self.context.os.now().after(time_max);
        self.session.state = State::Lingering(until);
        self.session.renewal = Renewal::New;
        self.linger(until)
    }

    /// Discards what still arrives, so that no reset overtakes the last response (RFC 9112 §9.6). A peer that sends on may do
    /// so until it has read the response, as far as time allows: many clients read nothing before all is sent.
    #[inline(never)]
    fn linger(&mut self, until: Instant) -> Action {
        let mut buffer = self.context.scratch.take_read_buffer();
        let session = &mut *self.session;
        while self.reads_left > 0
            && matches!(session.read_state, ReadState::Ready | ReadState::Ending)
        {
            self.reads_left -= 1;
            match self.context.os.receive(&session.socket, &mut buffer) {
                Ok(0) => session.read_state = ReadState::Ended,
                Ok(len) => {
                    session.renewal = Renewal::New;
                    if O::LEAVES_AFTER_SHORT
                        && len < buffer.len()
                        && session.read_state == ReadState::Ready
                    {
                        session.read_state = ReadState::Drained;
                    }
                }
                Err(Fault::Again) => session.read_state = ReadState::Drained,
                // The peer is gone: there is no end to wait for.
                Err(Fault::Gone | Fault::Exhausted | Fault::Other(_)) => {
                    session.read_state = ReadState::Ended;
                }
            }
        }
        let read_state = session.read_state;
        self.context.scratch.put_read_buffer(buffer);
        if read_state == ReadState::Ended
            || self.context.os.now() >= until
            || self.watch(Waiting::Linger).is_err()
        {
            return Action::Close;
        }
        match read_state {
            ReadState::Ready | ReadState::Ending => self.session.reschedule(),
            ReadState::Drained | ReadState::Ended => self.session.wait(Waiting::Linger),
        }
    }
}
