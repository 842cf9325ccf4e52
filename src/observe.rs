//! Events for the operator.

use core::fmt::{self, Write as _};
use core::time::Duration;
use std::net::SocketAddr;

use crate::os::address::DisplayAddress;
use crate::os::number::decimal;
use crate::output;
use crate::sync::contain::contain;

/// Something that the operator should know. A peer's mistakes get a response, but no line: anyone can send garbage.
///
/// ```
/// use coldstart::server::ServerEvent;
///
/// /// The figure that an event adds to, if it is one that is watched.
/// fn figure(event: ServerEvent) -> Option<&'static str> {
///     match event {
///         ServerEvent::HandlerPanicked | ServerEvent::TaskPanicked => Some("panics"),
///         ServerEvent::Refused(413, _) => Some("too large"),
///         ServerEvent::LoopBlocked(time) if time.as_millis() > 500 => Some("blocked"),
///         _ => None,
///     }
/// }
///
/// assert_eq!(figure(ServerEvent::Refused(413, "why")), Some("too large"));
/// assert_eq!(figure(ServerEvent::Draining(3)), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerEvent {
    /// The server accepts connections here.
    Listening(SocketAddr),
    /// A request was refused with this status; the text says why. Silent by default.
    Refused(u16, &'static str),
    /// A handler panicked; its request gets 500. The panic hook has already printed why.
    HandlerPanicked,
    /// A task panicked; it is over, and its handle yields an error. The panic hook has already printed why.
    TaskPanicked,
    /// A handler's response had more or fewer bytes than it announced; the connection was closed.
    BodyLengthWrong,
    /// A handler set this field to text that is not a field value, such as one with a line end; the request got 500. No name:
    /// the name itself was not valid. At most one in ten seconds is reported: the text may be a peer's.
    FieldInvalid(FieldName),
    /// A handler set this many fields that only the server may set, or trailers where there can be none; they were left out. At most
    /// one in ten seconds is reported.
    FieldsLeftOut(usize),
    /// No descriptor, or no memory, for one more connection; new ones wait in the backlog.
    DescriptorsExhausted,
    /// Accepting fails with this error number, and not for lack of descriptors or memory.
    AcceptFailed(i32),
    /// A call of the handler, or a poll of a task, took this long: it has blocked the loop, and every other connection has waited.
    /// The code that blocks belongs in a closure for [`Blocking::run`](crate::handler::Blocking::run), or its route in
    /// [`blocking`](crate::blocking). Release builds time one busy turn of the loop in 64. Calls are timed, and not the whole turn,
    /// since a function is frozen as soon as its response is sent.
    LoopBlocked(Duration),
    /// A thread could not be started.
    ThreadNotStarted,
    /// All peers together hold this many bytes, and a request that needs more was refused; see
    /// [`Limits::memory_max`](crate::server::Limits::memory_max).
    MemoryExhausted(usize),
    /// The server is stopping; this many connections have a running request.
    Draining(usize),
    /// The time to stop is over: this many tasks had not ended and were dropped. See [`draining`](crate::draining()).
    TasksDropped(usize),
    /// The server has stopped; this many connections were cut because the time was up.
    Stopped(usize),
}

/// The name of a field, as far as it has room.
///
/// ```
/// use coldstart::server::ServerEvent;
///
/// fn line(event: ServerEvent) -> Option<String> {
///     match event {
///         ServerEvent::FieldInvalid(name) => Some(format!("{} has a line end", name.as_str())),
///         _ => None,
///     }
/// }
///
/// assert_eq!(line(ServerEvent::HandlerPanicked), None);
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct FieldName {
    bytes: [u8; Self::LEN_MAX],
    len: u8,
}

impl FieldName {
    const LEN_MAX: usize = 32;

    pub(crate) fn new(name: &[u8]) -> Self {
        let mut bytes = [0; Self::LEN_MAX];
        let mut len = 0;
        for (place, byte) in bytes.iter_mut().zip(name) {
            *place = *byte;
            len += 1;
        }
        Self { bytes, len }
    }

    /// The name; empty if there is none.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let name = self.bytes.get(..usize::from(self.len)).unwrap_or_default();
        core::str::from_utf8(name).unwrap_or_default()
    }
}

impl fmt::Debug for FieldName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(formatter)
    }
}

/// Is notified of events, on the loop's thread.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU32, Ordering};
///
/// use coldstart::Server;
/// use coldstart::server::{Observer, ServerEvent, StderrObserver};
///
/// /// Counts events, and prints those that need attention.
/// #[derive(Debug)]
/// struct Counting(Arc<AtomicU32>, StderrObserver);
///
/// impl Observer for Counting {
///     fn on(&mut self, event: ServerEvent) {
///         self.0.fetch_add(1, Ordering::Relaxed);
///         self.1.on(event);
///     }
/// }
///
/// # fn main() -> Result<(), coldstart::server::StartError> {
/// let events = Arc::new(AtomicU32::new(0));
/// let observer = Counting(Arc::clone(&events), StderrObserver::default());
/// let bound = Server::new().port(0).without_signals().bind()?.observer(observer);
/// bound.stopper().stop();
/// bound.run(|_| "hello\n")?;
/// assert!(events.load(Ordering::Relaxed) >= 2, "it has listened and stopped");
/// # Ok(())
/// # }
/// ```
pub trait Observer: Send + fmt::Debug {
    /// Called for each event.
    fn on(&mut self, event: ServerEvent);
}

/// An observer whose panics do no harm.
pub(crate) struct Reporter(Box<dyn Observer>);

impl Reporter {
    pub(crate) fn new(observer: Box<dyn Observer>) -> Self {
        Self(observer)
    }

    pub(crate) fn on(&mut self, event: ServerEvent) {
        if matches!(
            event,
            ServerEvent::HandlerPanicked | ServerEvent::TaskPanicked
        ) {
            output::guard_panics();
        }
        let _ = contain(|| self.0.on(event));
    }
}

/// Prints one line on stderr for each event that needs attention. It never waits: where nothing reads stderr, 64 KiB of lines
/// are kept, and further ones are counted and reported once there is room.
///
/// ```
/// use coldstart::Server;
/// use coldstart::server::StderrObserver;
///
/// # fn main() -> Result<(), coldstart::server::StartError> {
/// // As without the call: it is the default.
/// let bound = Server::new().port(0).bind()?.observer(StderrObserver::default());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct StderrObserver;

impl Observer for StderrObserver {
    fn on(&mut self, event: ServerEvent) {
        let mut line = Line::default();
        let written = line.report(event);
        debug_assert!(written.is_ok(), "a line has room for the longest message");
        // One write per line, so that no other thread's output gets into it. Without a line, older ones may have room now.
        output::STDERR.write(line.as_bytes());
    }
}

/// More than the longest line: the one about memory, with a count of 20 digits.
const LINE_LEN_MAX: usize = 160;

/// A line that is being written, on the stack: the first one is written at the start, where an allocation costs a page.
struct Line {
    bytes: [u8; LINE_LEN_MAX],
    len: usize,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            bytes: [0; LINE_LEN_MAX],
            len: 0,
        }
    }
}

impl Line {
    /// Writes what the operator should read of an event: nothing of most.
    fn report(&mut self, event: ServerEvent) -> fmt::Result {
        match event {
            ServerEvent::Listening(address) => {
                writeln!(self, "coldstart: listening on {}", DisplayAddress(&address))
            }
            ServerEvent::BodyLengthWrong => self.write_str(
                "coldstart: a handler's body differs from its announced length; \
                 the connection was closed\n",
            ),
            ServerEvent::FieldInvalid(name) => writeln!(
                self,
                "coldstart: a handler's response has a field that is not valid: \"{}\"; the request got 500",
                name.as_str()
            ),
            ServerEvent::FieldsLeftOut(count) => writeln!(
                self,
                "coldstart: {} field(s) of a handler left out: \
                 framing, Connection and Date are the server's",
                decimal(count)
            ),
            ServerEvent::DescriptorsExhausted => self.write_str(
                "coldstart: no descriptor left for a new connection; \
                 raise `ulimit -n` or lower connections_max\n",
            ),
            ServerEvent::AcceptFailed(number) => writeln!(
                self,
                "coldstart: the kernel accepts no connection (os error {}); trying again",
                decimal(number)
            ),
            ServerEvent::LoopBlocked(time) => writeln!(
                self,
                "coldstart: a handler blocked the loop for {} ms; pass what blocks to blocking() or Blocking::run()",
                decimal(time.as_millis())
            ),
            ServerEvent::ThreadNotStarted => self.write_str(
                "coldstart: the kernel starts no further thread; \
                 see `ulimit -u` and the memory limit\n",
            ),
            ServerEvent::MemoryExhausted(held) => writeln!(
                self,
                "coldstart: peers hold {} MiB, and one that needs more was refused; \
                 raise memory_max, or the memory of the instance",
                decimal(held >> 20)
            ),
            // The smallest build has no room for it.
            ServerEvent::TasksDropped(count) if cfg!(not(smallest)) => writeln!(
                self,
                "coldstart: {} task(s) had not ended and were dropped; one that never ends by itself waits with before_drain()",
                decimal(count)
            ),
            ServerEvent::Stopped(cut) if cut > 0 => writeln!(
                self,
                "coldstart: stopped; {} connection(s) were cut in the middle of a request",
                decimal(cut)
            ),
            ServerEvent::Refused(..)
            | ServerEvent::HandlerPanicked
            | ServerEvent::TaskPanicked
            | ServerEvent::TasksDropped(_)
            | ServerEvent::Draining(_)
            | ServerEvent::Stopped(_) => Ok(()),
        }
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len.saturating_add(text.len());
        let room = self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{FieldName, Line, ServerEvent};
    use core::time::Duration;

    /// Events that are reported, with the highest numbers, and one that is not.
    const HIGHEST: [ServerEvent; 10] = [
        ServerEvent::FieldsLeftOut(usize::MAX),
        ServerEvent::AcceptFailed(i32::MIN),
        ServerEvent::LoopBlocked(Duration::MAX),
        ServerEvent::MemoryExhausted(usize::MAX),
        ServerEvent::TasksDropped(usize::MAX),
        ServerEvent::Stopped(usize::MAX),
        ServerEvent::BodyLengthWrong,
        ServerEvent::DescriptorsExhausted,
        ServerEvent::ThreadNotStarted,
        ServerEvent::HandlerPanicked,
    ];

    fn reported(event: ServerEvent) -> String {
        let mut line = Line::default();
        line.report(event).expect("a line has room for it");
        String::from_utf8(line.as_bytes().to_vec()).expect("text")
    }

    #[test]
    fn each_line_has_room_for_its_longest_text() {
        for event in HIGHEST {
            let text = reported(event);
            let lines = text.matches('\n').count();
            assert!(
                text.is_empty() || text.ends_with('\n') && lines == 1,
                "{text}"
            );
        }
        let name = FieldName::new(&[b'n'; 100]);
        assert!(
            reported(ServerEvent::FieldInvalid(name)).contains(&"n".repeat(FieldName::LEN_MAX))
        );
    }

    #[test]
    fn what_is_lost_at_the_end_is_reported() {
        assert!(reported(ServerEvent::TasksDropped(3)).starts_with("coldstart: 3 task(s) "));
        assert!(reported(ServerEvent::Stopped(2)).contains("2 connection(s) were cut"));
        assert_eq!(reported(ServerEvent::Stopped(0)), "", "nothing is lost");
    }
}
