//! Bytes on their way out: small ones copied into one run, large ones shared in between, partial writes remembered.

use std::io::IoSlice;

use bytes::Bytes;

use crate::h1::put;
use crate::limits::{COPY_LEN_MAX, SLICES_A_WRITE_MAX, SPARE_LEN_MAX};

/// What waits to be sent, in order.
#[derive(Debug, Default)]
pub(super) struct SendQueue {
    /// Heads, frames and small bodies, one behind the other.
    run: Vec<u8>,
    /// Larger pieces, and the place in the run before which each one goes out.
    pieces: Vec<(usize, Bytes)>,
    /// Bytes of the run that have gone.
    run_sent: usize,
    /// Pieces that have gone whole.
    pieces_sent: usize,
    /// Bytes that have gone of the piece behind those.
    piece_sent: usize,
    /// Bytes of all pieces that have not gone.
    pieces_left: usize,
}

impl SendQueue {
    /// Bytes that have not gone.
    pub(super) const fn len(&self) -> usize {
        self.run
            .len()
            .saturating_sub(self.run_sent)
            .saturating_add(self.pieces_left)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Memory that it keeps alive, sent or not.
    #[cfg(feature = "sim")]
    pub(super) fn memory_len(&self) -> usize {
        let pieces: usize = self.pieces.iter().map(|(_, piece)| piece.len()).sum();
        self.run.capacity().saturating_add(pieces)
    }

    /// The run, for writing behind all that is in it.
    pub(super) const fn run(&mut self) -> &mut Vec<u8> {
        &mut self.run
    }

    /// Appends a piece: copied if it is small, else taken.
    pub(super) fn push(&mut self, piece: &mut Bytes) {
        if piece.len() <= COPY_LEN_MAX {
            put(&mut self.run, piece);
        } else {
            self.pieces_left = self.pieces_left.saturating_add(piece.len());
            self.pieces.push((self.run.len(), std::mem::take(piece)));
        }
    }

    /// Hands the next pieces of memory to `write`, which says how many of their bytes went.
    ///
    /// Gives the bytes offered and the bytes that went.
    pub(super) fn write<E>(
        &mut self,
        write: impl FnOnce(&[IoSlice<'_>]) -> Result<usize, E>,
    ) -> Result<(usize, usize), E> {
        let (offered, sent) = if self.pieces.is_empty() {
            let run = self.run.get(self.run_sent..).unwrap_or_default();
            (run.len(), write(&[IoSlice::new(run)])?)
        } else {
            self.write_pieces(write)?
        };
        self.advance(sent.min(offered));
        Ok((offered, sent))
    }

    fn write_pieces<E>(
        &self,
        write: impl FnOnce(&[IoSlice<'_>]) -> Result<usize, E>,
    ) -> Result<(usize, usize), E> {
        let mut slices = [IoSlice::new(&[]); SLICES_A_WRITE_MAX];
        let (count, offered) = self.fill(&mut slices);
        let sent = write(slices.get(..count).unwrap_or_default())?;
        Ok((offered, sent))
    }

    fn fill<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES_A_WRITE_MAX]) -> (usize, usize) {
        let (mut count, mut offered) = (0, 0_usize);
        let mut offer = |bytes: &'a [u8]| {
            let Some(slot) = slices.get_mut(count) else {
                return;
            };
            if !bytes.is_empty() {
                *slot = IoSlice::new(bytes);
                count += 1;
                offered = offered.saturating_add(bytes.len());
            }
        };
        let mut at = self.run_sent;
        let mut skip = self.piece_sent;
        for (before, piece) in self.pieces.iter().skip(self.pieces_sent) {
            offer(self.run.get(at..*before).unwrap_or_default());
            offer(piece.get(skip..).unwrap_or_default());
            at = *before;
            skip = 0;
        }
        offer(self.run.get(at..).unwrap_or_default());
        (count, offered)
    }

    /// `len` more bytes have gone.
    fn advance(&mut self, mut len: usize) {
        while len > 0 {
            let Some((before, piece)) = self.pieces.get_mut(self.pieces_sent) else {
                self.run_sent = self.run_sent.saturating_add(len).min(self.run.len());
                break;
            };
            let run = before.saturating_sub(self.run_sent).min(len);
            self.run_sent = self.run_sent.saturating_add(run);
            len = len.saturating_sub(run);
            let of_piece = piece.len().saturating_sub(self.piece_sent).min(len);
            self.piece_sent = self.piece_sent.saturating_add(of_piece);
            self.pieces_left = self.pieces_left.saturating_sub(of_piece);
            len = len.saturating_sub(of_piece);
            if self.run_sent == *before && self.piece_sent == piece.len() {
                *piece = Bytes::new();
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

    /// Forgets what has gone, once it is more than what has not: a reader that is never done must not make us keep all
    /// that it ever read.
    fn release(&mut self) {
        if self.pieces_sent > self.pieces.len() / 2 {
            self.pieces.drain(..self.pieces_sent);
            self.pieces_sent = 0;
        }
        if self.run_sent > self.run.len() / 2 {
            self.run.drain(..self.run_sent);
            for (before, _) in &mut self.pieces {
                *before = before.saturating_sub(self.run_sent);
            }
            self.run_sent = 0;
        }
    }

    /// Forgets everything, and gives memory back beyond what an idle worker keeps.
    fn clear(&mut self) {
        self.run.clear();
        if self.run.capacity() > SPARE_LEN_MAX {
            self.run.shrink_to(SPARE_LEN_MAX);
        }
        self.pieces.clear();
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
    use super::{Bytes, COPY_LEN_MAX, SendQueue};

    #[test]
    fn bytes_go_out_in_order_whatever_a_write_takes() {
        let steps = [20_000, 4_097, 100, 7, 1];
        let looked_at = crate::sim::scaled("lengths of a write", steps.len(), 3);
        let pieces = crate::sim::scaled("pieces", 60, 13);
        for step in &steps[..looked_at] {
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
                let taken: Result<_, ()> = send_queue.write(|slices| {
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
}
