//! The function's output: kept for error texts, and passed on line by line.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use crate::caller_error::LogTail;

/// When the log grows past this, the oldest lines go: a chatty function must not eat the developer's memory.
const KEPT_LEN_MAX: usize = 4 * 1024 * 1024;
/// The platform splits longer records, too.
const LINE_LEN_MAX: u64 = 32 * 1024;
/// How much of the log's end an error text shows.
const TAIL_LEN_MAX: usize = 2048;

type Listener = Box<dyn Fn(&str) + Send + Sync>;

/// The output of one instance: stdout and stderr in the order of their writes.
pub(crate) struct Logs {
    kept: Mutex<Kept>,
    closed: Condvar,
    listener: Listener,
}

#[derive(Debug, Default)]
struct Kept {
    lines: std::collections::VecDeque<(SystemTime, String)>,
    length: usize,
    total: u64,
    is_closed: bool,
}

impl std::fmt::Debug for Logs {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Logs").finish_non_exhaustive()
    }
}

impl Logs {
    /// Creates an empty log. The listener is called with each line as it arrives.
    pub(crate) fn new(listener: Listener) -> Arc<Self> {
        Arc::new(Self {
            kept: Mutex::new(Kept::default()),
            closed: Condvar::new(),
            listener,
        })
    }

    /// Reads lines until every writer has closed the pipe.
    pub(crate) fn collect(
        self: &Arc<Self>,
        from: impl Read + Send + 'static,
    ) -> std::io::Result<()> {
        let logs = Arc::clone(self);
        let reading = move || {
            let mut from = BufReader::new(from);
            let mut line = Vec::new();
            while (&mut from)
                .take(LINE_LEN_MAX)
                .read_until(b'\n', &mut line)
                .is_ok_and(|length| length > 0)
            {
                let text = String::from_utf8_lossy(&line);
                logs.push(text.trim_end_matches(['\n', '\r']));
                line.clear();
            }
            logs.lock().is_closed = true;
            logs.closed.notify_all();
        };
        thread::Builder::new()
            .name("logs".to_owned())
            .spawn(reading)
            .map(drop)
    }

    /// Waits until every writer has closed the pipe, so that the tail is complete.
    pub(crate) fn wait_closed(&self, patience: Duration) {
        let waiting = self
            .closed
            .wait_timeout_while(self.lock(), patience, |kept| !kept.is_closed);
        drop(waiting);
    }

    /// Returns the last lines.
    pub(crate) fn tail(&self) -> LogTail {
        let kept = self.lock();
        let mut length = 0;
        let fits = |line: &&(SystemTime, String)| {
            length += line.1.len() + 1;
            length <= TAIL_LEN_MAX
        };
        let mut lines: Vec<_> = kept.lines.iter().rev().take_while(fits).cloned().collect();
        lines.reverse();
        LogTail(lines)
    }

    /// Returns the number of lines so far.
    pub(crate) fn total(&self) -> u64 {
        self.lock().total
    }

    /// Returns all lines that are still kept.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lock()
            .lines
            .iter()
            .map(|(_, text)| text.clone())
            .collect()
    }

    fn push(&self, text: &str) {
        (self.listener)(text);
        let mut kept = self.lock();
        kept.length += text.len();
        kept.total += 1;
        kept.lines.push_back((SystemTime::now(), text.to_owned()));
        while kept.length > KEPT_LEN_MAX {
            let Some((_, oldest)) = kept.lines.pop_front() else {
                break;
            };
            kept.length -= oldest.len();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
