//! What is read: of whom, where to, and what becomes of it.

use crate::h1::Next;
use crate::handler::Handler;
use crate::limits::READ_TOGETHER_LEN_MAX;
use crate::os::{Fault, Os};

use super::context::Context;
use super::fate::Received;
use super::work::Appetite;
use super::{Inflow, Session, Stage};

impl<S> Session<S> {
    /// Reads the next request, if that is all that it waits for; it is to be driven with what this gives.
    pub(in crate::reactor) fn receive_between_requests<O: Os<Socket = S>>(
        &mut self,
        os: &mut O,
        buffer: &mut [u8],
    ) -> Option<Result<usize, Fault>> {
        let is_at_rest = self.stage == Stage::Open
            && self.inflow == Inflow::Drained
            && self.work.is_none()
            && self.connection.is_idle();
        if !is_at_rest {
            return None;
        }
        debug_assert_eq!(self.connection.next(), Next::Read, "at rest");
        // Not twice, though there be two events.
        self.inflow = Inflow::Ready;
        Some(os.receive(&self.socket, buffer))
    }

    /// One read, and all that can be taken of it.
    pub(super) fn read<O: Os<Socket = S>, H: Handler>(
        &mut self,
        context: &mut Context<'_, O, H>,
    ) -> Result<(), Fault> {
        if let Some(Received { piece, outcome }) = context.received.take() {
            let pieces = std::mem::take(context.scratch.pieces());
            let mut each = pieces.chunks_exact(READ_TOGETHER_LEN_MAX);
            let done = self.on_received(outcome, each.nth(piece).unwrap_or_default(), context);
            context.scratch.pieces = pieces;
            return done;
        }
        let mut buffer = context.scratch.take_read_buffer();
        let outcome = context.os.receive(&self.socket, &mut buffer);
        let done = self.on_received(outcome, &buffer, context);
        context.scratch.put_read_buffer(buffer);
        done
    }

    /// A read into `buffer` has ended.
    fn on_received<O: Os<Socket = S>, H: Handler>(
        &mut self,
        outcome: Result<usize, Fault>,
        buffer: &[u8],
        context: &mut Context<'_, O, H>,
    ) -> Result<(), Fault> {
        match outcome {
            Ok(0) => self.inflow = Inflow::Ended,
            Ok(len) => {
                context.received_len = context.received_len.saturating_add(len);
                // A short read has drained the socket, unless the end is known to lie behind it.
                if len < buffer.len() && self.inflow == Inflow::Ready {
                    self.inflow = Inflow::Drained;
                }
                self.on_input(buffer.get(..len).unwrap_or_default(), context);
            }
            Err(Fault::Again) => self.inflow = Inflow::Drained,
            Err(fault @ (Fault::Gone | Fault::Exhausted | Fault::Other(_))) => return Err(fault),
        }
        Ok(())
    }

    fn on_input<O: Os<Socket = S>, H: Handler>(
        &mut self,
        bytes: &[u8],
        context: &mut Context<'_, O, H>,
    ) {
        if let Some(work) = &mut self.work
            && !work.input.is_empty()
        {
            work.input.extend_from_slice(bytes);
            work.appetite = Appetite::Untried;
            self.take_kept_input(context);
            return;
        }
        let (taken, appetite) = self.take(bytes, context);
        let rest = bytes.get(taken..).unwrap_or_default();
        let is_over = rest.is_empty() && appetite == Appetite::Starved;
        if !is_over && self.is_wanted() {
            let work = self.work();
            work.input.extend_from_slice(rest);
            work.appetite = appetite;
        }
    }

    #[inline(never)]
    pub(super) fn take_kept_input<O: Os<Socket = S>, H: Handler>(
        &mut self,
        context: &mut Context<'_, O, H>,
    ) {
        if self.is_paused(context) {
            return;
        }
        let mut input = std::mem::take(&mut self.work().input);
        let (taken, mut appetite) = self.take(&input, context);
        input.drain(..taken);
        if !self.is_wanted() {
            input.clear();
            appetite = Appetite::Starved;
        }
        if input.is_empty() {
            input = Vec::new();
        }
        let work = self.work();
        work.input = input;
        work.appetite = appetite;
    }

    /// Whether bytes that came are still of interest: behind a refusal or the last request they are not.
    fn is_wanted(&self) -> bool {
        match self.connection.next() {
            Next::Read | Next::Write | Next::Wait => true,
            Next::Linger | Next::Close => false,
        }
    }

    pub(super) fn has_untried_input(&self) -> bool {
        self.work
            .as_ref()
            .is_some_and(|work| work.appetite == Appetite::Untried)
    }
}
