//! Bytes to be sent: small pieces copied into one run, large ones shared between its parts, partial writes remembered.

use std::io::IoSlice;

use bytes::Bytes;

use crate::h1::{Cursor, put};
use crate::limits::{COPY_LEN_MAX, SLICES_A_WRITE_MAX, SPARE_LEN_MAX};
use crate::sync::contain::contain;

/// Whether the end of the output follows the bytes of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follows {
    Nothing,
    End,
}

/// Bytes to be sent, in order.
#[derive(Debug, Default)]
pub(super) struct SendQueue {
    /// Heads, frames and small bodies, one after the other.
    run: Vec<u8>,
    /// Large pieces, and the position in the run at which each is sent. An empty one stands for the end of the output.
    pieces: Vec<(usize, Bytes)>,
    /// Bytes of the run that were sent.
    run_sent: usize,
    /// Pieces that were sent completely.
    pieces_sent: usize,
    /// Bytes that were sent of the piece after those.
    piece_sent: usize,
    /// Unsent bytes of all pieces.
    pieces_left: usize,
}

/// The pieces' memory may be the user's, and each drop of one may panic.
impl Drop for SendQueue {
    fn drop(&mut self) {
        self.drop_pieces();
    }
}

impl SendQueue {
    /// One by one: a second panic while the first unwinds would end the process.
    fn drop_pieces(&mut self) {
        while let Some((_, piece)) = self.pieces.pop() {
            let _ = contain(|| drop(piece));
        }
    }

    /// Unsent bytes.
    pub(super) const fn len(&self) -> usize {
        self.run.len() - self.run_sent + self.pieces_left
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.run.len() == self.run_sent && self.pieces_left == 0
    }

    /// Memory that it holds, sent or not.
    pub(super) fn memory_len(&self) -> usize {
        let pieces: usize = self.pieces.iter().map(|(_, piece)| piece.len()).sum();
        self.run.capacity() + pieces
    }

    /// The run, for appending to it.
    pub(super) const fn run(&mut self) -> &mut Vec<u8> {
        &mut self.run
    }

    /// Appends a piece: copied if it is small, else moved.
    pub(super) fn push(&mut self, piece: &mut Bytes) {
        if piece.len() <= COPY_LEN_MAX {
            put(&mut self.run, piece);
        } else {
            self.pieces_left += piece.len();
            self.pieces.push((self.run.len(), std::mem::take(piece)));
        }
    }

    /// What was appended are the last bytes.
    pub(super) fn end(&mut self) {
        self.pieces.push((self.run.len(), Bytes::new()));
    }

    /// Passes the next slices to `write`, which returns how many of their bytes it sent, and whether the end follows them.
    ///
    /// Returns the bytes offered and the bytes sent.
    pub(super) fn write<E>(
        &mut self,
        write: impl FnOnce(&[IoSlice<'_>], Follows) -> Result<usize, E>,
    ) -> Result<(usize, usize), E> {
        let (offered, sent) = if self.pieces.is_empty() {
            let run = Cursor::at(&self.run, self.run_sent).rest();
            let sent = write(&[IoSlice::new(run)], Follows::Nothing)?;
            (run.len(), sent)
        } else {
            self.write_pieces(write)?
        };
        self.advance(sent.min(offered));
        Ok((offered, sent))
    }

    // Not in place: its slices would be in the frame of all that a session does.
    #[cfg_attr(not(smallest), inline(never))]
    fn write_pieces<E>(
        &self,
        write: impl FnOnce(&[IoSlice<'_>], Follows) -> Result<usize, E>,
    ) -> Result<(usize, usize), E> {
        let mut slices = [IoSlice::new(&[]); SLICES_A_WRITE_MAX];
        let (filled, offered) = self.fill(&mut slices);
        let is_end = cfg!(not(smallest))
            && self
                .pieces
                .last()
                .is_some_and(|(_, piece)| piece.is_empty());
        let follows = if is_end && offered == self.len() {
            Follows::End
        } else {
            Follows::Nothing
        };
        let sent = write(filled, follows)?;
        Ok((offered, sent))
    }

    /// Fills `slices` with what comes next. Returns those that were filled, and their bytes.
    fn fill<'s, 'a>(
        &'a self,
        slices: &'s mut [IoSlice<'a>; SLICES_A_WRITE_MAX],
    ) -> (&'s [IoSlice<'a>], usize) {
        let (mut free, mut offered) = (slices.iter_mut(), 0_usize);
        let mut offer = |bytes: &'a [u8]| {
            if !bytes.is_empty()
                && let Some(slot) = free.next()
            {
                *slot = IoSlice::new(bytes);
                offered += bytes.len();
            }
        };
        let mut run = Cursor::at(&self.run, self.run_sent);
        let mut piece_sent = self.piece_sent;
        for (position, piece) in self.pieces.iter().skip(self.pieces_sent) {
            offer(run.take(position - run.position()));
            offer(Cursor::at(piece, piece_sent).rest());
            piece_sent = 0;
        }
        offer(run.rest());
        let filled_len = SLICES_A_WRITE_MAX - free.len();
        let (filled, _) = slices.split_at(filled_len);
        (filled, offered)
    }

    /// `len` more bytes were sent.
    fn advance(&mut self, mut len: usize) {
        while len > 0 {
            let Some((position, piece)) = self.pieces.get_mut(self.pieces_sent) else {
                self.run_sent += len;
                break;
            };
            let run = (*position - self.run_sent).min(len);
            self.run_sent += run;
            len -= run;
            let of_piece = (piece.len() - self.piece_sent).min(len);
            self.piece_sent += of_piece;
            self.pieces_left -= of_piece;
            len -= of_piece;
            if self.run_sent == *position && self.piece_sent == piece.len() {
                let sent = std::mem::take(piece);
                let _ = contain(|| drop(sent));
                self.pieces_sent += 1;
                self.piece_sent = 0;
            }
        }
        if self.is_empty() {
            self.clear();
        } else {
            self.release();
        }
    }

    /// Frees what was sent once it is more than what was not: for a peer that keeps reading, memory must not grow with all
    /// that it ever read.
    fn release(&mut self) {
        if self.pieces_sent > self.pieces.len() / 2 {
            for (_, piece) in self.pieces.drain(..self.pieces_sent) {
                let _ = contain(|| drop(piece));
            }
            self.pieces_sent = 0;
        }
        if self.run_sent > self.run.len() / 2 {
            self.run.drain(..self.run_sent);
            for (position, _) in &mut self.pieces {
                // Of a piece that was sent, it may be less.
                *position = position.saturating_sub(self.run_sent);
            }
            self.run_sent = 0;
        }
    }

    /// Empties the queue, and frees the memory beyond what an idle worker keeps.
    fn clear(&mut self) {
        self.run.clear();
        if self.run.capacity() > SPARE_LEN_MAX {
            self.run.shrink_to(SPARE_LEN_MAX);
        }
        self.drop_pieces();
        (
            self.run_sent,
            self.pieces_sent,
            self.piece_sent,
            self.pieces_left,
        ) = (0, 0, 0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::{Bytes, COPY_LEN_MAX, Follows, SLICES_A_WRITE_MAX, SendQueue};

    #[test]
    fn bytes_are_sent_in_order_however_short_each_write_is() {
        let steps = [20_000, 4_097, 100, 7, 1];
        let steps_len = crate::sim::scaled("lengths of a write", steps.len(), 3);
        let pieces = crate::sim::scaled("pieces", 60, 13);
        for step in &steps[..steps_len] {
            let mut send_queue = SendQueue::default();
            let mut expected = Vec::new();
            for number in (0..60_u8).take(pieces) {
                let small = vec![number; usize::from(number)];
                send_queue.run().extend_from_slice(&small);
                expected.extend_from_slice(&small);
                if number % 3 == 0 {
                    let large = vec![number ^ 0xff; COPY_LEN_MAX + usize::from(number)];
                    send_queue.push(&mut Bytes::from(large.clone()));
                    expected.extend_from_slice(&large);
                }
            }
            let mut sent = Vec::new();
            while !send_queue.is_empty() {
                assert_eq!(send_queue.len(), expected.len() - sent.len());
                let taken: Result<_, ()> = send_queue.write(|slices, _| {
                    let before = sent.len();
                    for slice in slices {
                        let len = slice.len().min(*step - (sent.len() - before));
                        sent.extend_from_slice(&slice[..len]);
                    }
                    Ok(sent.len() - before)
                });
                assert!(taken.is_ok());
            }
            assert_eq!(sent, expected);
        }
    }

    #[test]
    fn the_end_follows_the_last_bytes_and_no_others() {
        let mut send_queue = SendQueue::default();
        for pieces in [0, 1, SLICES_A_WRITE_MAX] {
            for _ in 0..pieces {
                send_queue.push(&mut Bytes::from(vec![b'a'; COPY_LEN_MAX + 1]));
            }
            send_queue.run().extend_from_slice(b"bc");
            send_queue.end();
            while !send_queue.is_empty() {
                let left = send_queue.len();
                let taken: Result<_, ()> = send_queue.write(|slices, follows| {
                    let offered: usize = slices.iter().map(|slice| slice.len()).sum();
                    assert_eq!(follows == Follows::End, offered == left);
                    Ok((offered / 2).max(1))
                });
                assert!(taken.is_ok());
            }
            // The next response is another connection's.
            send_queue.run().extend_from_slice(b"d");
            let taken: Result<_, ()> = send_queue.write(|_, follows| {
                assert_eq!(follows, Follows::Nothing);
                Ok(1)
            });
            assert_eq!(taken, Ok((1, 1)));
        }
    }
}
