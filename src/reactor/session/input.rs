//! Reading from the socket, and keeping what cannot be parsed yet.

use crate::h1::{Cursor, Next};
use crate::handler::Handler;
use crate::os::{Fault, Os};

use super::action::Received;
use super::driver::Driver;
use super::work::InputState;
use super::{ReadState, Session, State};

impl<S> Session<S> {
    /// Reads into `buffer` if the session only waits for its next request. The session must then be driven with the
    /// outcome.
    pub(in crate::reactor) fn receive_between_requests<O: Os<Socket = S>>(
        &mut self,
        os: &mut O,
        buffer: &mut [u8],
    ) -> Option<Result<usize, Fault>> {
        let is_at_rest = self.state == State::Open
            && self.read_state == ReadState::Drained
            && self.work.is_none()
            && self.connection.is_idle();
        if !is_at_rest {
            return None;
        }
        debug_assert_eq!(
            self.connection.next(),
            Next::Read,
            "an idle connection reads"
        );
        // A second event for this session in the same turn must not read a second time.
        self.read_state = ReadState::Ready;
        Some(os.receive(&self.socket, buffer))
    }

    /// Whether received bytes are still of interest: after a refusal or the last request they are not.
    fn is_input_wanted(&self) -> bool {
        match self.connection.next() {
            Next::Read | Next::Both | Next::End | Next::Write | Next::Wait => true,
            Next::Linger | Next::Close => false,
        }
    }

    pub(super) fn has_unparsed_input(&self) -> bool {
        self.work
            .as_ref()
            .is_some_and(|work| work.input_state == InputState::Unparsed)
    }
}

impl<O: Os, H: Handler> Driver<'_, O, H> {
    /// Reads once, and parses what was read as far as possible.
    pub(super) fn read(&mut self) -> Result<(), Fault> {
        let mut own = None;
        let Received { buffer, outcome } = self.received.take().unwrap_or_else(|| {
            let own = own.insert(self.context.scratch.take_read_buffer());
            let outcome = self.context.os.receive(&self.session.socket, own);
            Received {
                buffer: own,
                outcome,
            }
        });
        // One call, so that it is compiled in place.
        let done = self.on_received(outcome, buffer);
        if let Some(own) = own {
            self.context.scratch.put_read_buffer(own);
        }
        done
    }

    /// A read into `buffer` has ended.
    fn on_received(&mut self, outcome: Result<usize, Fault>, buffer: &[u8]) -> Result<(), Fault> {
        let session = &mut *self.session;
        match outcome {
            Ok(0) => session.read_state = ReadState::Ended,
            Ok(len) => {
                self.received_len += len;
                // A short read has drained the socket, unless the end is known to follow.
                if O::LEAVES_AFTER_SHORT
                    && len < buffer.len()
                    && session.read_state == ReadState::Ready
                {
                    session.read_state = ReadState::Drained;
                }
                self.on_input(Cursor::new(buffer).take(len));
            }
            Err(Fault::Again) => session.read_state = ReadState::Drained,
            Err(fault @ (Fault::Gone | Fault::Exhausted | Fault::Other(_))) => return Err(fault),
        }
        Ok(())
    }

    fn on_input(&mut self, bytes: &[u8]) {
        if let Some(work) = &mut self.session.work
            && !work.input.is_empty()
        {
            work.input.extend_from_slice(bytes);
            work.input_state = InputState::Unparsed;
            self.process_kept_input();
            return;
        }
        let mut input = Cursor::new(bytes);
        let state = self.process_input(&mut input);
        let is_over = input.is_empty() && state == InputState::NeedsMore;
        if !is_over && self.session.is_input_wanted() {
            let work = self.session.work();
            work.input.extend_from_slice(input.rest());
            work.input_state = state;
        }
    }

    #[inline(never)]
    pub(super) fn process_kept_input(&mut self) {
        if self.is_paused() {
            return;
        }
        let mut kept = std::mem::take(&mut self.session.work().input);
        let mut input = Cursor::new(&kept);
        let mut state = self.process_input(&mut input);
        let parsed_len = input.position();
        kept.drain(..parsed_len);
        if !self.session.is_input_wanted() {
            kept.clear();
            state = InputState::NeedsMore;
        }
        if kept.is_empty() {
            kept = Vec::new();
        }
        let work = self.session.work();
        work.input = kept;
        work.input_state = state;
    }
}
