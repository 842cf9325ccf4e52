//! What waits in a channel: pieces, and parts that become one piece when it is taken.

use core::mem;
use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::limits::{CHANNEL_PIECE_LEN, CHANNEL_PIECES_MIN};
use crate::sync::memory::Memory;

/// What waits in a channel.
#[derive(Default)]
pub(super) struct Pieces {
    pieces: VecDeque<Bytes>,
    /// What follows them: parts that become one piece when it is taken.
    tail: Vec<u8>,
    tail_parts: usize,
    /// Bytes of all that waits.
    len: usize,
    /// Where they count, once the body has reached the loop.
    memory: Option<Arc<Memory>>,
}

impl Pieces {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.tail.is_empty()
    }

    fn count(&self) -> usize {
        self.pieces.len() + usize::from(!self.tail.is_empty())
    }

    /// Whether a piece or a part of this length may wait as well, where `bytes_max` may. Anything may where nothing waits.
    pub(super) fn has_room(&self, len: usize, bytes_max: usize) -> bool {
        let pieces_max = (bytes_max / CHANNEL_PIECE_LEN).max(CHANNEL_PIECES_MIN);
        let memory = self.memory.as_ref();
        self.len == 0
            || self.len.saturating_add(len) <= bytes_max
                && self.pieces.len().saturating_add(self.tail_parts) < pieces_max
                && memory.is_none_or(|memory| memory.has_room(len))
    }

    /// From now on what waits counts in `memory`.
    pub(super) fn count_in(&mut self, memory: &Arc<Memory>) {
        memory.take_anyway(charge_of(self.count(), self.len));
        self.memory = Some(Arc::clone(memory));
    }

    pub(super) fn push(&mut self, piece: Bytes) {
        if !self.tail.is_empty() {
            let tail = self.take_tail();
            self.pieces.push_back(tail);
        }
        self.charge(1, piece.len());
        if self.pieces.capacity() == 0 {
            // Many streams never have more than one waiting.
            self.pieces.reserve_exact(1);
        }
        self.pieces.push_back(piece);
    }

    /// Adds a part of this length, which is not 0. `write` writes it.
    pub(super) fn append(&mut self, len: usize, write: impl FnOnce(&mut Vec<u8>)) {
        if self.tail.is_empty() {
            self.charge(1, len);
            // If it stays alone, it becomes a piece as it is.
            self.tail.reserve_exact(len);
        } else {
            self.charge(0, len);
        }
        write(&mut self.tail);
        self.tail_parts += 1;
    }

    fn take_tail(&mut self) -> Bytes {
        self.tail_parts = 0;
        mem::take(&mut self.tail).into()
    }

    pub(super) fn pop(&mut self) -> Option<Bytes> {
        let piece = match self.pieces.pop_front() {
            None if self.tail.is_empty() => return None,
            None => self.take_tail(),
            Some(piece) => piece,
        };
        self.len = self.len.saturating_sub(piece.len());
        self.give_back(1, piece.len());
        Some(piece)
    }

    /// What the loop will not take, to be dropped where foreign code may run.
    pub(super) fn take_all(&mut self) -> VecDeque<Bytes> {
        self.give_back(self.count(), self.len);
        self.len = 0;
        drop(self.take_tail());
        mem::take(&mut self.pieces)
    }

    fn charge(&mut self, pieces: usize, len: usize) {
        self.len = self.len.saturating_add(len);
        if let Some(memory) = &self.memory {
            memory.take_anyway(charge_of(pieces, len));
        }
    }

    fn give_back(&self, pieces: usize, len: usize) {
        if let Some(memory) = &self.memory {
            memory.give_back(charge_of(pieces, len));
        }
    }
}

/// What pieces take in memory: their bytes, their places in the queue, and what their owners keep beside them.
const fn charge_of(pieces: usize, len: usize) -> usize {
    len.saturating_add(pieces.saturating_mul(CHANNEL_PIECE_LEN))
}
