//! Lines on stdout and stderr, which never wait for a reader: what does not fit is kept up to a bound, then dropped and counted.

use core::mem;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::io::{self, Write as _};
use std::panic;
use std::sync::PoisonError;
use std::thread;

use crate::current_request::CurrentRequest;
use crate::limits::{LINES_FINISH_ROUNDS, LINES_FINISH_WAIT, LINES_KEPT_LEN_MAX};
use crate::os::number::decimal;
use crate::os::stream::Stream;
use crate::sync::elsewhere::WorkElsewhere;
use crate::sync::loop_thread::is_loop_thread;
use crate::sync::{StaticMutex, StaticMutexGuard};

/// The function's log lines.
pub(crate) static STDOUT: Output = Output::new(Stream::stdout(), "stdout");
/// The server's lines for the operator.
pub(crate) static STDERR: Output = Output::new(Stream::stderr(), "stderr");

/// How many of the two outputs have lines that wait for room, or lines to report as dropped.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// A stream, and the lines for which it had no room.
pub(crate) struct Output {
    stream: Stream,
    name: &'static str,
    /// Nothing waits under this lock, so that no thread keeps the loop from it.
    backlog: StaticMutex<Backlog>,
}

/// Lines that wait for room.
struct Backlog {
    text: Vec<u8>,
    /// Lines for which there was no room here either. While there are any, no line is added to the text: their number is
    /// reported in their place.
    dropped: usize,
}

impl Backlog {
    const EMPTY: Self = Self {
        text: Vec::new(),
        dropped: 0,
    };

    const fn is_empty(&self) -> bool {
        self.text.is_empty() && self.dropped == 0
    }

    /// Keeps the line if it may.
    fn add(&mut self, line: &[u8]) {
        let len = self.text.len().saturating_add(line.len());
        let has_room = self.dropped == 0 && len <= LINES_KEPT_LEN_MAX;
        if has_room && self.text.try_reserve(line.len()).is_ok() {
            self.begin();
            self.text.extend_from_slice(line);
        } else {
            self.drop_line();
        }
    }

    fn drop_line(&mut self) {
        self.begin();
        self.dropped = self.dropped.saturating_add(1);
    }

    fn begin(&self) {
        if self.is_empty() {
            WAITING.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Output {
    const fn new(stream: Stream, name: &'static str) -> Self {
        Self {
            stream,
            name,
            backlog: StaticMutex::new(Backlog::EMPTY),
        }
    }

    /// Writes a line, or several that belong together, with their ends: in one system call if there is room.
    pub(crate) fn write(&self, line: &[u8]) {
        let mut backlog = self.lock();
        let written = if self.send(&mut backlog) {
            self.stream.write_now(line)
        } else {
            0
        };
        if let Some(rest) = line.get(written..)
            && !rest.is_empty()
        {
            backlog.add(rest);
        }
    }

    /// Sends what waits for room. Whether that is all of it now.
    fn send(&self, backlog: &mut Backlog) -> bool {
        backlog.is_empty() || self.send_some(backlog)
    }

    #[cold]
    #[inline(never)]
    fn send_some(&self, backlog: &mut Backlog) -> bool {
        loop {
            let written = self.stream.write_now(&backlog.text);
            let left = backlog.text.len().saturating_sub(written);
            if left > 0 {
                backlog.text.copy_within(written.., 0);
                backlog.text.truncate(left);
                return false;
            }
            match mem::take(&mut backlog.dropped) {
                0 => break,
                count => {
                    let name = self.name;
                    let line = format!(
                        "coldstart: {} log line(s) were dropped, since nothing read {name}\n",
                        decimal(count)
                    );
                    backlog.text = line.into_bytes();
                }
            }
        }
        *backlog = Backlog::EMPTY;
        WAITING.fetch_sub(1, Ordering::Relaxed);
        true
    }

    #[inline(never)]
    fn send_now(&self) -> bool {
        self.send(&mut self.lock())
    }

    /// Whether there is room for a line that other code writes. If not, it counts as dropped.
    fn admits_line_of_others(&self) -> bool {
        let mut backlog = self.lock();
        let has_room = self.send(&mut backlog) && self.stream.has_room();
        if !has_room {
            backlog.drop_line();
        }
        has_room
    }

    fn lock(&self) -> StaticMutexGuard<'_, Backlog> {
        // No foreign code runs under this lock, so a poisoned one is consistent.
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes what was not written yet, before responses are sent: also what handlers have printed by std without the line's end.
///
/// std has one lock for stdout, and a thread that prints to a full pipe holds it until somebody reads. So the loop takes it
/// only while no other thread works for a request; until then nothing is frozen, and a later response flushes.
pub(crate) fn flush() {
    if (WAITING.load(Ordering::Relaxed) == 0 || send_all()) && !WorkElsewhere::is_any() {
        flush_std();
    }
}

/// The same on a thread that may wait, after its handler has returned.
pub(crate) fn flush_printed() {
    if WAITING.load(Ordering::Relaxed) == 0 {
        flush_std();
    }
}

#[inline(never)]
fn flush_std() {
    drop(io::stdout().flush());
}

/// Whether stdout has room again.
#[cold]
fn send_all() -> bool {
    STDERR.send_now();
    STDOUT.send_now()
}

/// At the end of a server: waits for room for what is left, but not for long.
pub(crate) fn finish() {
    let mut rounds = LINES_FINISH_ROUNDS;
    for output in [&STDOUT, &STDERR] {
        while !output.send_now() && rounds > 0 {
            rounds -= 1;
            output.stream.wait_for_room(LINES_FINISH_WAIT);
        }
    }
}

/// From here on, panics on threads that work on a request are not printed while stderr has no room, and counted: std's hook
/// would wait. Called after the first one: a start needs no hook. A message that is longer than the room that is left still
/// waits.
#[cold]
pub(crate) fn guard_panics() {
    static IS_GUARDED: AtomicBool = AtomicBool::new(false);
    // Without unwinding, a panic ends the process anyway.
    if cfg!(not(panic = "unwind"))
        || thread::panicking()
        || IS_GUARDED.swap(true, Ordering::Relaxed)
    {
        return;
    }
    let print = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        let is_ours = is_loop_thread() || CurrentRequest::is_current_known();
        if !is_ours || STDERR.admits_line_of_others() {
            print(panic);
        }
    }));
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::fd::AsRawFd as _;

    use super::{LINES_KEPT_LEN_MAX, Output, Stream};

    /// An output over a pipe that is full of `x`.
    fn full() -> (Output, std::io::PipeReader, std::io::PipeWriter, usize) {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let stream = Stream::new(writer.as_raw_fd());
        let mut filled = 0;
        loop {
            match stream.write_now(&[b'x'; 4096]) {
                0 => break,
                len => filled += len,
            }
        }
        (Output::new(stream, "a pipe"), reader, writer, filled)
    }

    fn read(reader: &mut std::io::PipeReader, len: usize) -> String {
        let mut text = vec![0; len];
        reader.read_exact(&mut text).expect("so much was written");
        String::from_utf8(text).expect("text")
    }

    #[test]
    fn what_does_not_fit_waits_for_room_and_keeps_its_order() {
        let (output, mut reader, writer, filled) = full();
        output.write(b"first\n");
        output.write(b"second\n");
        read(&mut reader, filled);
        output.write(b"third\n");
        drop(writer);
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("all of it");
        assert_eq!(text, "first\nsecond\nthird\n");
        assert!(output.lock().is_empty());
    }

    #[test]
    fn beyond_the_bound_lines_are_dropped_and_counted_where_they_are_missing() {
        let (output, mut reader, _writer, filled) = full();
        let line = [b'a'; 1024];
        let kept = LINES_KEPT_LEN_MAX / line.len();
        for _ in 0..kept + 3 {
            output.write(&line);
        }
        assert!(!output.admits_line_of_others(), "there is no room");
        // It is shorter, and would fit: but it is later than the dropped ones.
        output.write(b"b\n");
        assert_eq!(output.lock().text.len(), LINES_KEPT_LEN_MAX);
        read(&mut reader, filled);
        assert!(!output.send_now(), "the report waits for room");
        read(&mut reader, LINES_KEPT_LEN_MAX);
        output.write(b"c\n");
        let report = "coldstart: 5 log line(s) were dropped, since nothing read a pipe\nc\n";
        assert_eq!(read(&mut reader, report.len()), report);
        assert!(output.admits_line_of_others(), "there is room again");
    }

    #[test]
    fn the_rest_of_a_line_that_was_cut_is_kept() {
        let (output, mut reader, _writer, filled) = full();
        read(&mut reader, 4096);
        let line = "0123456789abcdef".repeat(1024);
        output.write(line.as_bytes());
        assert_eq!(output.lock().text.len(), line.len() - 4096);
        read(&mut reader, filled - 4096);
        output.send_now();
        assert!(read(&mut reader, line.len()) == line, "no byte is lost");
    }
}
