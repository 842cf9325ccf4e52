//! Fault injection: random faults at a rate, or one fault at an exact system call.

use super::prng::Prng;
use crate::os::Fault;

/// A system call of the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Syscall {
    Poll,
    Accept,
    Watch,
    Receive,
    Send,
    SendFile,
    EndOutput,
    Close,
    Detach,
}

impl Syscall {
    /// The faults that the manual page allows (`epoll_wait`(2), accept(2), `epoll_ctl`(2), recv(2), send(2), sendfile(2), fcntl(2)).
    pub(super) const fn faults(self) -> &'static [Fault] {
        match self {
            // EINTR: no event is returned.
            Self::Poll => &[Fault::Again],
            Self::Accept => &[Fault::Again, Fault::Gone, Fault::Exhausted],
            Self::Watch => &[Fault::Exhausted],
            Self::Receive | Self::Send => &[Fault::Again, Fault::Gone, Fault::Exhausted],
            // EINVAL: not such a file.
            Self::SendFile => &[
                Fault::Again,
                Fault::Gone,
                Fault::Exhausted,
                Fault::Other(22),
            ],
            Self::Detach => &[Fault::Other(22)],
            Self::EndOutput | Self::Close => &[],
        }
    }
}

/// How often each fault happens, per thousand calls.
#[derive(Clone, Copy, Debug)]
pub(super) struct FaultRates {
    /// Short reads and writes.
    pub(super) short: u64,
    /// Polls that return no event, as after a signal.
    pub(super) interrupted: u64,
    pub(super) spurious: u64,
    pub(super) accept: u64,
    pub(super) transfer: u64,
    pub(super) watch: u64,
    /// Files that the kernel does not send itself.
    pub(super) refused: u64,
    /// Sleeps in which the whole machine freezes for minutes.
    pub(super) freeze: u64,
    pub(super) wall_leap: u64,
    pub(super) events_a_poll: usize,
}

impl FaultRates {
    /// No faults.
    pub(super) const NONE: Self = Self {
        short: 0,
        interrupted: 0,
        spurious: 0,
        accept: 0,
        transfer: 0,
        watch: 0,
        refused: 0,
        freeze: 0,
        wall_leap: 0,
        events_a_poll: 256,
    };

    /// Each kind of fault is absent from some runs, so that no kind hides another.
    pub(super) fn random(prng: &mut Prng) -> Self {
        Self {
            short: prng.choose(&[0, 50, 300, 900]),
            interrupted: prng.choose(&[0, 20, 200]),
            spurious: prng.choose(&[0, 20, 200]),
            accept: prng.choose(&[0, 0, 100, 400]),
            transfer: prng.choose(&[0, 0, 2, 10]),
            watch: prng.choose(&[0, 0, 10]),
            freeze: prng.choose(&[0, 0, 5, 30]),
            wall_leap: prng.choose(&[0, 20]),
            events_a_poll: prng.choose(&[1, 3, 16, 256]),
            // From a copy, so that the seeds of earlier failures keep their worlds.
            refused: prng.clone().choose(&[0, 0, 200, 1000]),
        }
    }

    pub(super) fn on_call(&self, call: Syscall, prng: &mut Prng) -> Option<Fault> {
        let rate = match call {
            Syscall::Poll | Syscall::EndOutput | Syscall::Close | Syscall::Detach => 0,
            Syscall::Accept => self.accept,
            Syscall::Watch => self.watch,
            Syscall::Receive | Syscall::Send | Syscall::SendFile => self.transfer,
        };
        prng.chance(rate).then(|| prng.choose(call.faults()))
    }
}

/// One fault at one call, counted from the first, and a log of all calls.
#[derive(Clone, Debug, Default)]
pub(super) struct Injection {
    pub(super) at: Option<(usize, Fault)>,
    pub(super) calls: Vec<Syscall>,
}

impl Injection {
    pub(super) fn interrupt_next_poll(&mut self) {
        self.at = Some((self.calls.len(), Fault::Again));
    }

    pub(super) fn on_call(&mut self, call: Syscall) -> Option<Fault> {
        let number = self.calls.len();
        self.calls.push(call);
        self.at
            .filter(|(at, _)| *at == number)
            .map(|(_, fault)| fault)
    }
}
