//! What the operator hears.

use std::net::SocketAddr;

use std::io::Write as _;

/// Something worth telling the operator. The peer's faults are not: they are answered, and anybody can send garbage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The server accepts connections here.
    Listening(SocketAddr),
    /// A request was refused with this status; the text says why. Silent by default.
    Refused(u16, &'static str),
    /// A handler panicked; its request is answered 500. The panic hook has already printed why.
    HandlerPanicked,
    /// A handler's answer had more or fewer bytes than it announced; the connection was closed.
    BodyLengthWrong,
    /// A handler set this many fields that are the server's own; they were left out.
    FieldsLeftOut(usize),
    /// No descriptor, or no memory, for one more connection; those who wait stay in the backlog.
    DescriptorsExhausted,
    /// A thread could not be started.
    ThreadNotStarted,
    /// The server stops; so many connections have a request running.
    Draining(usize),
    /// The server has stopped; so many connections were cut because their time was up.
    Stopped(usize),
}

/// Hears of events, on the loop's thread.
pub trait Observer: Send + core::fmt::Debug {
    /// Something has happened.
    fn on(&mut self, event: Event);
}

/// One line on stderr for each event that asks for somebody's attention.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct StderrObserver;

impl Observer for StderrObserver {
    fn on(&mut self, event: Event) {
        let line = match event {
            Event::Listening(address) => format!("listening on {address}"),
            Event::BodyLengthWrong => "a handler's body differs from its announced length; \
                 the connection was closed"
                .to_owned(),
            Event::FieldsLeftOut(count) => format!(
                "{count} field(s) of a handler left out: framing, Connection and Date are the server's"
            ),
            Event::DescriptorsExhausted => "no descriptor left for a new connection; \
                 raise `ulimit -n` or lower connections_max"
                .to_owned(),
            Event::ThreadNotStarted => "the kernel starts no further thread; \
                 see `ulimit -u` and the memory limit"
                .to_owned(),
            Event::Stopped(cut) if cut > 0 => {
                format!("stopped; {cut} connection(s) were cut in the middle of a request")
            }
            Event::Refused(..)
            | Event::HandlerPanicked
            | Event::Draining(_)
            | Event::Stopped(_) => return,
        };
        // One write a line, so that no other thread's output gets into it. Nobody can be told that stderr is closed.
        drop(std::io::stderr().write_all(format!("coldstart: {line}\n").as_bytes()));
    }
}
