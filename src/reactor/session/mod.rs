//! One socket's life, from accept to close: when to read, when to write, what to wait for.

pub(super) mod context;
mod dispatch;
pub(super) mod fate;
mod input;
mod supply;
pub(super) mod work;

use crate::h1::{Close, Connection, Next};
use crate::handler::Handler;
use crate::limits::{BODY_QUOTA_LEN, LINGER_LEN_MAX, READS_A_TURN_MAX};
use crate::os::{Fault, Interest, Os, Readiness};

use super::deadlines::{Renewal, Waiting};

use context::Context;
use fate::{Fate, Trigger, Written};
use work::{HandOver, ResponseSource, Work};

/// Batches of an answer's supply that are written in one turn before others have theirs.
const SUPPLIES_A_TURN_MAX: usize = 8;

/// What is known of the bytes that the peer has sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inflow {
    /// None wait: an event will tell of the next.
    Drained,
    /// Some may wait.
    Ready,
    /// Some may wait, and behind them lies the end.
    Ending,
    /// The end was read.
    Ended,
}

/// Whether somebody is left to take an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Peer {
    There,
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Open,
    /// Our side has ended; so many bytes of the peer's are still thrown away.
    Lingering(usize),
}

/// A connection's socket and all that is known of it.
pub(super) struct Session<S> {
    pub(super) connection: Connection,
    pub(super) socket: S,
    pub(super) work: Option<Box<Work>>,
    pub(super) stage: Stage,
    pub(super) inflow: Inflow,
    interest: Interest,
    renewal: Renewal,
}

impl<S> Session<S> {
    pub(super) const fn new(socket: S) -> Self {
        Self {
            connection: Connection::new(),
            socket,
            work: None,
            stage: Stage::Open,
            // Read right after accept: the request is often there already.
            inflow: Inflow::Ready,
            interest: Interest::Nothing,
            renewal: Renewal::Same,
        }
    }

    pub(super) fn into_socket(self) -> S {
        self.socket
    }

    pub(super) fn work(&mut self) -> &mut Work {
        self.work.get_or_insert_default()
    }

    /// A new wait begins, of whichever kind.
    pub(super) const fn renew(&mut self) {
        self.renewal = Renewal::New;
    }

    /// What to do once all pending bytes have gone. Where an answer is promised before all of its request has come, the
    /// rest of that waits: it may not be wanted.
    pub(super) fn next(&self) -> Next {
        match &self.work {
            Some(work) if matches!(work.source, ResponseSource::Promise(_)) => Next::Wait,
            Some(_) | None => self.connection.next(),
        }
    }

    /// Whether a request is under way that a stop of the server would cut.
    pub(super) fn is_busy(&self) -> bool {
        self.stage == Stage::Open && !(self.connection.is_idle() && self.work.is_none())
    }

    /// Does what the trigger calls for.
    pub(super) fn on<O: Os<Socket = S>, H: Handler>(
        &mut self,
        trigger: Trigger,
        context: &mut Context<'_, O, H>,
    ) -> Fate {
        match trigger {
            Trigger::GoOn => {}
            Trigger::Ready(readiness) => {
                if self.on_ready(readiness, context) == Peer::Gone {
                    return Fate::Free;
                }
            }
            Trigger::Received(received) => context.received = Some(received),
            Trigger::Deadline(_) => self.on_deadline(),
            Trigger::Drain => self.on_drain(),
        }
        let mut late = trigger.deadline();
        // Driven from this one place, so that it need not be a call: behind a system call the processor has forgotten
        // where calls return to.
        loop {
            let fate = self.drive(context);
            let Some(waiting) = late.take() else {
                return fate;
            };
            return match (fate, waiting) {
                (Fate::Wait(still, Renewal::Same), Waiting::Head | Waiting::Body)
                    if still == waiting && context.received_len == 0 =>
                {
                    self.time_out(context);
                    continue;
                }
                (Fate::Wait(still, _), Waiting::Head | Waiting::Body) if still == waiting => {
                    Fate::Wait(still, Renewal::New)
                }
                (Fate::Wait(Waiting::Write, Renewal::Same), Waiting::Write)
                | (Fate::Wait(Waiting::Linger, _), Waiting::Linger) => Fate::Free,
                (fate, _) => fate,
            };
        }
    }

    /// The kernel has news.
    fn on_ready<O: Os<Socket = S>, H: Handler>(
        &mut self,
        readiness: Readiness,
        context: &Context<'_, O, H>,
    ) -> Peer {
        if readiness.has(Readiness::BROKEN) && !readiness.has(Readiness::READABLE) {
            return Peer::Gone;
        }
        self.inflow = match self.inflow {
            Inflow::Ended => Inflow::Ended,
            Inflow::Drained | Inflow::Ready | Inflow::Ending
                if readiness.has(Readiness::ENDED) || readiness.has(Readiness::BROKEN) =>
            {
                Inflow::Ending
            }
            Inflow::Drained | Inflow::Ready if readiness.has(Readiness::READABLE) => Inflow::Ready,
            inflow @ (Inflow::Drained | Inflow::Ready | Inflow::Ending) => inflow,
        };
        // Behind our own end the peer's is no break: bytes left unread would reset the connection, and the last answer.
        let is_open = self.stage == Stage::Open;
        if is_open
            && readiness.has(Readiness::BROKEN)
            && (self.next() != Next::Read || self.is_paused(context))
        {
            // It is not the peer's turn, and nobody is left to take an answer.
            return Peer::Gone;
        }
        Peer::There
    }

    /// The server stops: a request that has no answer yet is the last one of its connection. Where none is under way, one
    /// may have come since the last look.
    fn on_drain(&mut self) {
        if self.stage == Stage::Open {
            if self.connection.is_idle() {
                if self.inflow == Inflow::Drained {
                    self.inflow = Inflow::Ready;
                }
            } else if self.connection.is_unanswered() {
                self.connection.on_close(Close::ServerStopping);
            }
        }
    }

    /// A deadline is past. The clock may have leapt over it while the process was frozen: what waits in the socket, or
    /// has room in it, counts first.
    fn on_deadline(&mut self) {
        if self.inflow == Inflow::Drained {
            self.inflow = Inflow::Ready;
        }
    }

    /// Goes on until the peer, the handler or the budget has to be waited for.
    pub(super) fn drive<O: Os<Socket = S>, H: Handler>(
        &mut self,
        context: &mut Context<'_, O, H>,
    ) -> Fate {
        if let Stage::Lingering(left) = self.stage {
            return self.linger(left, context);
        }
        if let Some(work) = &mut self.work
            && !work.out.is_empty()
        {
            debug_assert!(
                context.scratch.out.is_empty(),
                "bytes that were written before those that wait to be sent"
            );
            std::mem::swap(&mut work.out, &mut context.scratch.out);
        }
        let fate = self.drive_open(context);
        if !context.scratch.out.is_empty() {
            let pending = std::mem::take(&mut context.scratch.out);
            self.work().out = pending;
        }
        if self.work.as_ref().is_some_and(|work| work.is_over()) {
            self.work = None;
        }
        match fate {
            Fate::Wait(..) if self.watch(context).is_err() => Fate::Free,
            Fate::Wait(..) | Fate::Again(..) | Fate::Free | Fate::HandOver(_) => fate,
        }
    }

    fn drive_open<O: Os<Socket = S>, H: Handler>(
        &mut self,
        context: &mut Context<'_, O, H>,
    ) -> Fate {
        let mut reads_left = READS_A_TURN_MAX;
        context.requests_left = context.settings.limits.pipeline_max;
        loop {
            if self.has_untried_input() {
                self.take_kept_input(context);
            }
            match self.write(context) {
                Written::All => {}
                Written::Blocked => return self.wait(Waiting::Write),
                Written::Enough => return self.again(),
                Written::Gone => return Fate::Free,
            }
            match self.next() {
                Next::Close => return Fate::Free,
                Next::Linger => return self.begin_linger(context),
                Next::Wait | Next::Write => {
                    return match self.take_upgrade() {
                        Some(hand_over) => Fate::HandOver(Box::new(hand_over)),
                        None => self.wait(Waiting::Handler),
                    };
                }
                Next::Read => {}
            }
            if self.has_untried_input() {
                if context.requests_left == 0 {
                    return self.again();
                }
                if !self.is_paused(context) {
                    continue;
                }
            }
            if self.is_paused(context) {
                return self.wait(Waiting::Handler);
            }
            match self.inflow {
                Inflow::Drained => return self.wait_for_input(),
                Inflow::Ended => self.connection.on_end_of_input(),
                Inflow::Ready | Inflow::Ending if reads_left == 0 => return self.again(),
                Inflow::Ready | Inflow::Ending => {
                    reads_left -= 1;
                    if self.read(context).is_err() {
                        return Fate::Free;
                    }
                }
            }
        }
    }

    /// Whether an upload does not want more yet.
    pub(super) fn is_paused<O: Os, H: Handler>(&mut self, context: &Context<'_, O, H>) -> bool {
        match &mut self.work {
            Some(work) => work.is_paused(&mut self.renewal, || context.notify()),
            None => false,
        }
    }

    /// Sends what is there, and what the answer's supply brings meanwhile.
    fn write<O: Os<Socket = S>, H: Handler>(&mut self, context: &mut Context<'_, O, H>) -> Written {
        for _ in 0..SUPPLIES_A_TURN_MAX {
            if context.scratch.out.is_empty() {
                if let Some(work) = &mut self.work {
                    let supply = std::mem::take(&mut work.source);
                    self.supply(supply, context);
                }
                if context.scratch.out.is_empty() {
                    return Written::All;
                }
            }
            Self::tell_of_send(context);
            let os = &mut *context.os;
            let socket = &self.socket;
            match context.scratch.out.write(|slices| os.send(socket, slices)) {
                Ok((offered, sent)) => {
                    self.renewal = Renewal::New;
                    // A short write has filled the socket: no second call to hear so.
                    if sent < offered {
                        return Written::Blocked;
                    }
                }
                Err(Fault::Again) => return Written::Blocked,
                Err(Fault::Gone | Fault::Exhausted | Fault::Other(_)) => return Written::Gone,
            }
        }
        Written::Enough
    }

    #[inline(never)]
    fn take_upgrade(&mut self) -> Option<HandOver> {
        let work = self.work.as_mut()?;
        match std::mem::take(&mut work.source) {
            ResponseSource::Upgrade(upgrade) => {
                let rest = std::mem::take(&mut work.input).into();
                Some(HandOver { upgrade, rest })
            }
            supply @ (ResponseSource::Nothing
            | ResponseSource::Promise(_)
            | ResponseSource::Channel(_)
            | ResponseSource::File(_)) => {
                work.source = supply;
                None
            }
        }
    }

    fn wait_for_input(&mut self) -> Fate {
        if self.connection.is_body_pending() {
            if let Some(work) = &mut self.work
                && work.quota_len >= BODY_QUOTA_LEN
            {
                work.quota_len = 0;
                self.renewal = Renewal::New;
            }
            self.wait(Waiting::Body)
        } else if self.connection.is_idle() {
            self.wait(Waiting::FirstByte)
        } else {
            self.wait(Waiting::Head)
        }
    }

    const fn wait(&mut self, waiting: Waiting) -> Fate {
        let renewal = std::mem::replace(&mut self.renewal, Renewal::Same);
        Fate::Wait(waiting, renewal)
    }

    const fn again(&mut self) -> Fate {
        let renewal = std::mem::replace(&mut self.renewal, Renewal::Same);
        Fate::Again(Waiting::Handler, renewal)
    }

    /// Tells the kernel what to tell us.
    fn watch<O: Os<Socket = S>, H: Handler>(
        &mut self,
        context: &mut Context<'_, O, H>,
    ) -> Result<(), Fault> {
        let is_blocked = self.work.as_ref().is_some_and(|work| !work.out.is_empty());
        let wanted = match (self.interest, is_blocked) {
            (Interest::Nothing | Interest::Input, true) => Interest::InputAndRoom,
            (Interest::Nothing, false) => Interest::Input,
            // Once asked for, room is told of only when it had run out: that costs nothing.
            (Interest::Input, false) | (Interest::InputAndRoom, _) => return Ok(()),
        };
        context
            .os
            .watch(&mut self.socket, context.key, self.interest, wanted)?;
        self.interest = wanted;
        Ok(())
    }

    #[inline(never)]
    fn begin_linger<O: Os<Socket = S>, H: Handler>(
        &mut self,
        context: &mut Context<'_, O, H>,
    ) -> Fate {
        self.work = None;
        context.os.end_output(&self.socket);
        self.stage = Stage::Lingering(LINGER_LEN_MAX);
        self.renewal = Renewal::New;
        self.linger(LINGER_LEN_MAX, context)
    }

    /// Throws away what still comes, so that no reset overtakes the last answer (RFC 9112 §9.6).
    #[inline(never)]
    fn linger<O: Os<Socket = S>, H: Handler>(
        &mut self,
        mut left: usize,
        context: &mut Context<'_, O, H>,
    ) -> Fate {
        let mut buffer = context.scratch.take_read_buffer();
        while left > 0 && matches!(self.inflow, Inflow::Ready | Inflow::Ending) {
            match context.os.receive(&self.socket, &mut buffer) {
                Ok(0) => self.inflow = Inflow::Ended,
                Ok(len) => {
                    left = left.saturating_sub(len);
                    if len < buffer.len() && self.inflow == Inflow::Ready {
                        self.inflow = Inflow::Drained;
                    }
                }
                Err(Fault::Again) => self.inflow = Inflow::Drained,
                Err(Fault::Gone | Fault::Exhausted | Fault::Other(_)) => left = 0,
            }
        }
        context.scratch.put_read_buffer(buffer);
        self.stage = Stage::Lingering(left);
        if left == 0 || self.inflow == Inflow::Ended || self.watch(context).is_err() {
            return Fate::Free;
        }
        self.wait(Waiting::Linger)
    }
}
