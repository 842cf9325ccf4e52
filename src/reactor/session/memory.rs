//! What a session may hold: reserved before it arrives, and counted anew whenever the session has to wait.

use crate::h1::{Cursor, Refusal};
use crate::handler::Handler;
use crate::limits::{FILE_PIECE_LEN, READ_LEN_MAX};
use crate::observe::ServerEvent;
use crate::os::Os;
use crate::reactor::reports::Report;
use crate::sync::memory::{Charge, Exhausted};

use super::Session;
use super::driver::Driver;
use super::work::{RequestSink, ResponseSource};

impl<S> Session<S> {
    /// Bytes that it holds, a body counted with what its peer has announced.
    fn held_len(&self) -> usize {
        let Some(work) = &self.work else { return 0 };
        let size = work.size();
        let body = match &work.sink {
            RequestSink::Buffer(body) => size.body.max(self.whole_len(body.len())),
            RequestSink::Nothing
            | RequestSink::Upload(_)
            | RequestSink::Paused(..)
            | RequestSink::Pulled(_) => 0,
        };
        (size.input + size.head + size.out).saturating_add(body)
    }

    /// The length of a body of which `len` bytes have arrived, as far as it is announced.
    pub(super) fn whole_len(&self, len: usize) -> usize {
        let left = self.connection.announced().unwrap_or_default();
        len.saturating_add(usize::try_from(left).unwrap_or(usize::MAX))
    }
}

impl<O: Os, H: Handler> Driver<'_, O, H> {
    /// Counts what the session holds, and `more` that is to come. If that is too much, nothing changes.
    pub(super) fn reserve(&mut self, more: usize) -> Result<(), Refusal> {
        let unsent = self.context.scratch.out.memory_len();
        let held = self.session.held_len().saturating_add(unsent);
        let mut len = held.saturating_add(more);
        let memory = &self.context.shared.memory;
        let work = self.session.work();
        let charge = work.charge.get_or_insert_with(|| Charge::new(memory));
        if matches!(work.source, ResponseSource::Awaited(_)) {
            // The code that promised the response, or the future of it, has the request.
            len = len.max(charge.len());
        }
        charge.set(len).map_err(|_| self.on_exhausted())
    }

    #[cold]
    fn on_exhausted(&mut self) -> Refusal {
        let now = self.context.os.now();
        if self.context.reports.is_due(Report::Memory, now) {
            let held = self.context.shared.memory.held();
            self.context.observer.on(ServerEvent::MemoryExhausted(held));
        }
        Refusal::Memory
    }

    /// Appends a piece to a body. `input_len` bytes have arrived, the piece included.
    pub(super) fn buffer(
        &mut self,
        piece: &[u8],
        input_len: usize,
        body: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        let len = body.len() + piece.len();
        if len > body.capacity() {
            let capacity = self.next_capacity(len, input_len, body.capacity());
            // What one read has brought may be gone before the turn ends; what is left then is counted.
            if capacity > READ_LEN_MAX {
                self.reserve(self.session.whole_len(len).max(capacity))?;
            }
            let room = capacity - body.len();
            body.try_reserve_exact(room).map_err(|_| Refusal::Memory)?;
        }
        body.extend_from_slice(piece);
        Ok(())
    }

    /// Appends the chunks after a piece that was buffered: there is room for all that have arrived with it.
    pub(super) fn buffer_chunks(&mut self, input: &mut Cursor<'_>, body: &mut Vec<u8>) {
        let connection = &mut self.session.connection;
        self.pieces_left -= connection.take_chunks(input, body, self.pieces_left);
    }

    /// Room for a body of at least `len` bytes. An announced length is trusted up to one piece; beyond that, memory grows with the
    /// bytes that arrive, and never beyond what is announced.
    fn next_capacity(&self, len: usize, input_len: usize, capacity: usize) -> usize {
        let grown = len.max(capacity.saturating_mul(2));
        match self.session.connection.announced() {
            Some(_) => {
                let whole_len = self.session.whole_len(len);
                whole_len.min(grown.max(len.saturating_add(FILE_PIECE_LEN)))
            }
            None if capacity == 0 => input_len.max(len),
            None => grown,
        }
    }

    /// The session is about to wait, and would hold more than it may. A request without a response gets 503; a response that has
    /// begun is cut, since only that frees its memory: an error, upon which the session is to be closed.
    #[cold]
    pub(super) fn give_up(&mut self) -> Result<(), Exhausted> {
        let session = &mut *self.session;
        // An upgrade's response may be out already, and its thread waits for the socket.
        let is_promised = session.work.as_ref().is_some_and(|work| {
            matches!(
                work.source,
                ResponseSource::Awaited(_) | ResponseSource::Upgrade(_)
            )
        });
        let connection = &mut session.connection;
        if is_promised || connection.is_idle() || !connection.is_response_due() {
            return Err(Exhausted);
        }
        let work = session.work.get_or_insert_default();
        std::mem::swap(&mut work.out, &mut self.context.scratch.out);
        let begun = std::mem::take(&mut work.input);
        let refusal = connection.refuse(Refusal::Memory, &begun);
        self.refuse(refusal);
        Ok(())
    }
}
