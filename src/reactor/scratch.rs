//! Buffers that a worker has once, and its sessions use in turn.

use crate::h1::{DateLine, HeadIndex, Wanted, imf_fixdate};
use crate::limits::{FIRST_BLOCK_LEN, READ_TOGETHER_LEN_MAX, READS_TOGETHER_MAX};
use crate::os::Key;

use super::read_buffer::ReadBuffer;
use super::send_queue::SendQueue;

/// Buffers that are in use only while a session is driven.
#[derive(Debug)]
pub(super) struct Scratch {
    /// Of the head that is being parsed. It is taken meanwhile: as a pointer, since to move it costs as much as to parse a line.
    pub(super) index: Option<Box<HeadIndex>>,
    pub(super) out: SendQueue,
    /// Memory of an empty list, which the mailbox and the phases use in turn.
    pub(super) keys: Vec<Key>,
    pub(super) date: Date,
    read: Option<ReadBuffer>,
    /// What was read from several sessions in one go, until each is driven. Not `read`: the sessions driven before may read
    /// again.
    pieces: Vec<u8>,
}

impl Scratch {
    /// For heads in each of which these fields are looked for, with memory for a first request and its response.
    pub(super) fn new(wanted: &'static Wanted) -> Self {
        let mut index = Box::new(HeadIndex::noting(wanted));
        let mut out = SendQueue::default();
        // The smallest build has no room for it.
        if cfg!(not(smallest)) {
            index.prepare();
            out.run().reserve_exact(FIRST_BLOCK_LEN);
        }
        Self {
            index: Some(index),
            out,
            keys: Vec::new(),
            date: Date::default(),
            read: None,
            pieces: Vec::new(),
        }
    }

    /// Gets the read buffer, touches its first page and writes the date, while there is no request yet that would have to wait for it.
    pub(super) fn prepare(&mut self, unix_seconds: impl FnOnce() -> u64) {
        let mut buffer = self.take_read_buffer();
        if let Some(first) = buffer.first_mut() {
            *first = 1;
        }
        self.put_read_buffer(buffer);
        // The smallest build has no room for it.
        if cfg!(not(smallest)) {
            self.date.line(unix_seconds);
            self.forget_time();
        }
    }

    /// Takes the read buffer. The caller gives it back with [`put_read_buffer`](Self::put_read_buffer).
    pub(super) fn take_read_buffer(&mut self) -> ReadBuffer {
        self.read.take().unwrap_or_else(ReadBuffer::new)
    }

    pub(super) fn put_read_buffer(&mut self, buffer: ReadBuffer) {
        self.read = Some(buffer);
    }

    /// Takes the buffer for reading from several sessions, [`READ_TOGETHER_LEN_MAX`] bytes each. The caller gives it back
    /// with [`put_pieces`](Self::put_pieces).
    pub(super) fn take_pieces(&mut self) -> Vec<u8> {
        if self.pieces.is_empty() {
            vec![0; READ_TOGETHER_LEN_MAX * READS_TOGETHER_MAX]
        } else {
            std::mem::take(&mut self.pieces)
        }
    }

    pub(super) fn put_pieces(&mut self, buffer: Vec<u8>) {
        self.pieces = buffer;
    }

    /// Has the next date read the clock again.
    pub(super) const fn forget_time(&mut self) {
        self.date.freshness = Freshness::Stale;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Freshness {
    Stale,
    OfThisTurn,
}

/// The value of the field `Date`.
#[derive(Debug)]
pub(super) struct Date {
    second: u64,
    line: DateLine,
    freshness: Freshness,
}

impl Date {
    /// Reads the wall clock at most once per turn. A timer in its place could be late after a freeze.
    pub(super) fn line(&mut self, unix_seconds: impl FnOnce() -> u64) -> &DateLine {
        if self.freshness == Freshness::Stale {
            let second = unix_seconds();
            if second != self.second {
                self.renew(second);
            }
            self.freshness = Freshness::OfThisTurn;
        }
        &self.line
    }

    /// Once a second, so the callers do not each have the code for it.
    #[cold]
    #[inline(never)]
    fn renew(&mut self, second: u64) {
        self.second = second;
        self.line = DateLine::new(&imf_fixdate(second));
    }
}

impl Default for Date {
    fn default() -> Self {
        Self {
            second: 0,
            line: DateLine::new(&imf_fixdate(0)),
            freshness: Freshness::Stale,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Freshness, Scratch};
    use crate::h1::{DateLine, WANTED, imf_fixdate};

    #[test]
    fn the_date_is_written_before_a_first_request_which_reads_the_clock_nevertheless() {
        let mut scratch = Scratch::new(&WANTED);
        scratch.prepare(|| 7);
        assert_eq!(scratch.date.second, 7);
        assert_eq!(scratch.date.freshness, Freshness::Stale);
        let line = *scratch.date.line(|| 8).with_empty_line();
        assert_eq!(line, *DateLine::new(&imf_fixdate(8)).with_empty_line());
    }
}
