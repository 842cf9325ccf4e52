//! Writes to the standard streams that do not wait for a reader. An island of unsafe code, for `pwritev2` and `write`.
//!
//! The streams are shared with other processes, and so is `O_NONBLOCK`: it must not be set on them. `RWF_NOWAIT` holds for one
//! write only. Linux has it for pipes and sockets since 6.4. Elsewhere the stream is polled, and then takes [`PIECE_LEN`]
//! bytes: a pipe with room has room for a page (pipe(7)). What remains is the case that another writer takes this page in
//! between, and a terminal with less room than a piece.
#![expect(unsafe_code, reason = "each write of std waits for room")]

use core::sync::atomic::{AtomicBool, Ordering};
use std::io;

use super::descriptors::poll;

/// Bytes that are written after a poll; `PIPE_BUF` on Linux.
const PIECE_LEN: usize = 4096;

/// A standard stream.
pub(crate) struct Stream {
    descriptor: i32,
    /// `RWF_NOWAIT` is not supported for what is open here.
    is_polled: AtomicBool,
}

impl Stream {
    pub(crate) const fn stdout() -> Self {
        Self::new(libc::STDOUT_FILENO)
    }

    pub(crate) const fn stderr() -> Self {
        Self::new(libc::STDERR_FILENO)
    }

    pub(crate) const fn new(descriptor: i32) -> Self {
        Self {
            descriptor,
            is_polled: AtomicBool::new(cfg!(any(miri, not(target_os = "linux")))),
        }
    }

    /// Writes as much as there is room for, and returns how many bytes that was. If the stream is closed or its disk is full,
    /// the text is lost and counts as written.
    pub(crate) fn write_now(&self, text: &[u8]) -> usize {
        let mut written = 0;
        loop {
            let rest = text.get(written..).unwrap_or_default();
            if rest.is_empty() {
                return written;
            }
            let mut len = self.write_without_waiting(rest);
            // A file may have room all the same.
            if len < 0 && self.has_room() {
                let piece = rest.get(..PIECE_LEN).unwrap_or(rest);
                // SAFETY: the pointer and the length are those of a slice.
                len = unsafe { libc::write(self.descriptor, piece.as_ptr().cast(), piece.len()) };
                let is_broken = len < 0 && errno() != libc::EAGAIN;
                if is_broken {
                    return text.len();
                }
            }
            match usize::try_from(len) {
                Ok(len) if len > 0 => written = written.saturating_add(len),
                Ok(_) | Err(_) => return written,
            }
        }
    }

    /// Writes all of it, and waits for room where there is none: for programs that print a text and end. False if it cannot be
    /// written.
    pub(crate) fn write_all(&self, mut text: &[u8]) -> bool {
        while !text.is_empty() {
            // SAFETY: the pointer and the length are those of a slice.
            let len = unsafe { libc::write(self.descriptor, text.as_ptr().cast(), text.len()) };
            match usize::try_from(len) {
                Ok(len) => text = text.get(len..).unwrap_or_default(),
                Err(_) if errno() == libc::EINTR => {}
                Err(_) => return false,
            }
        }
        true
    }

    /// As `write`, but returns -1 in place of waiting.
    fn write_without_waiting(&self, text: &[u8]) -> libc::ssize_t {
        if self.is_polled.load(Ordering::Relaxed) {
            return -1;
        }
        let len = write_if_it_fits(self.descriptor, text);
        if len < 0 && errno() != libc::EAGAIN {
            self.is_polled.store(true, Ordering::Relaxed);
        }
        libc::ssize_t::try_from(len).unwrap_or(-1)
    }

    /// Whether a write of a piece would return at once. So it would on a closed stream, with an error.
    pub(crate) fn has_room(&self) -> bool {
        self.wait_for_room(0)
    }

    /// The same after at most this time.
    pub(crate) fn wait_for_room(&self, milliseconds: i32) -> bool {
        poll(self.descriptor, libc::POLLOUT, milliseconds) != 0
    }
}

#[cfg(target_os = "linux")]
fn write_if_it_fits(descriptor: i32, text: &[u8]) -> libc::c_long {
    let slice = libc::iovec {
        iov_base: text.as_ptr().cast_mut().cast(),
        iov_len: text.len(),
    };
    // -1 is the current position, in its two halves.
    let (call, here) = (libc::SYS_pwritev2, -1 as libc::c_long);
    // SAFETY: `slice` is one valid entry, whose memory the call reads.
    unsafe {
        libc::syscall(
            call,
            descriptor,
            &raw const slice,
            1_usize,
            here,
            here,
            libc::RWF_NOWAIT,
        )
    }
}

/// No other kernel has such a call.
#[cfg(not(target_os = "linux"))]
const fn write_if_it_fits(_: i32, _: &[u8]) -> libc::c_long {
    -1
}

fn errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::fd::AsRawFd as _;

    use super::{Ordering, PIECE_LEN, Stream};

    #[test]
    fn a_full_pipe_takes_no_more_and_keeps_nobody_waiting() {
        for is_polled in [false, true] {
            let (mut reader, writer) = std::io::pipe().expect("a pipe");
            let stream = Stream::new(writer.as_raw_fd());
            stream.is_polled.fetch_or(is_polled, Ordering::Relaxed);
            let text = [b'x'; 3 * PIECE_LEN];
            let mut sent = 0;
            loop {
                let len = stream.write_now(&text);
                sent += len;
                if len < text.len() {
                    break;
                }
            }
            assert!(sent >= PIECE_LEN, "it had room");
            assert_eq!(stream.write_now(b"more"), 0);
            assert!(!stream.has_room());
            assert!(!stream.wait_for_room(1));
            let mut page = vec![0; PIECE_LEN];
            reader.read_exact(&mut page).expect("it is full");
            assert_eq!(stream.write_now(b"more"), 4, "polled: {is_polled}");
        }
    }

    #[test]
    fn a_text_that_must_be_written_waits_for_room_and_a_failure_is_said() {
        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        let stream = Stream::new(writer.as_raw_fd());
        // More than a pipe holds.
        let text = vec![b'x'; 100 * PIECE_LEN];
        std::thread::scope(|scope| {
            scope.spawn(|| assert!(stream.write_all(&text), "it is read"));
            let mut read = vec![0; text.len()];
            reader.read_exact(&mut read).expect("all of it");
            assert!(read == text, "in order");
        });
        assert!(stream.write_all(b""));
        // Not to the closed pipe: a child that another test starts has its other end until it executes its program.
        assert!(!Stream::new(reader.as_raw_fd()).write_all(b"text"));
    }

    #[test]
    fn a_text_for_a_closed_stream_is_lost_and_nobody_waits() {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let stream = Stream::new(writer.as_raw_fd());
        drop(reader);
        assert_eq!(stream.write_now(b"text"), 4);
        assert_eq!(Stream::new(i32::MAX).write_now(b"text"), 4);
    }

    #[test]
    fn a_file_takes_all_of_a_long_text() {
        let path = std::env::temp_dir().join(format!("coldstart-stream-{}", std::process::id()));
        let file = std::fs::File::create(&path).expect("a file");
        let stream = Stream::new(file.as_raw_fd());
        let text = vec![b'x'; 5 * PIECE_LEN + 1];
        assert_eq!(stream.write_now(&text), text.len());
        assert_eq!(std::fs::read(&path).expect("a file"), text);
        std::fs::remove_file(&path).expect("it was there");
    }
}
