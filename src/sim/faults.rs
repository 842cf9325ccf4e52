//! What goes wrong: at random so often in a thousand, or once at an exact call.

use super::dice::Dice;
use crate::os::Fault;

/// A call of the loop's to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Poll,
    Accept,
    Watch,
    Receive,
    Send,
    EndOutput,
    Close,
    Detach,
}

impl Call {
    /// The faults that the manual page allows (`epoll_wait`(2), accept(2), `epoll_ctl`(2), recv(2), send(2), fcntl(2)).
    pub(super) const fn faults(self) -> &'static [Fault] {
        match self {
            // EINTR: the loop is told of nothing.
            Self::Poll => &[Fault::Again],
            Self::Accept => &[Fault::Again, Fault::Gone, Fault::Exhausted],
            Self::Watch => &[Fault::Exhausted],
            Self::Receive | Self::Send => &[Fault::Again, Fault::Gone, Fault::Exhausted],
            Self::Detach => &[Fault::Other(22)],
            Self::EndOutput | Self::Close => &[],
        }
    }
}

/// How often what goes wrong, in a thousand calls.
#[derive(Clone, Copy, Debug)]
pub(super) struct FaultRates {
    /// Reads and writes that move fewer bytes than they could.
    pub(super) short: u64,
    /// Polls that return with nothing, as after a signal.
    pub(super) interrupted: u64,
    pub(super) spurious: u64,
    pub(super) accept: u64,
    pub(super) transfer: u64,
    pub(super) watch: u64,
    /// Sleeps during which the whole machine is frozen for minutes.
    pub(super) freeze: u64,
    pub(super) wall_leap: u64,
    pub(super) events_a_poll: usize,
}

impl FaultRates {
    /// A world in which everything works.
    pub(super) const CALM: Self = Self {
        short: 0,
        interrupted: 0,
        spurious: 0,
        accept: 0,
        transfer: 0,
        watch: 0,
        freeze: 0,
        wall_leap: 0,
        events_a_poll: 256,
    };

    /// Each kind of fault is absent from some worlds, so that no kind hides another.
    pub(super) fn drawn(dice: &mut Dice) -> Self {
        Self {
            short: dice.pick(&[0, 50, 300, 900]),
            interrupted: dice.pick(&[0, 20, 200]),
            spurious: dice.pick(&[0, 20, 200]),
            accept: dice.pick(&[0, 0, 100, 400]),
            transfer: dice.pick(&[0, 0, 2, 10]),
            watch: dice.pick(&[0, 0, 10]),
            freeze: dice.pick(&[0, 0, 5, 30]),
            wall_leap: dice.pick(&[0, 20]),
            events_a_poll: dice.pick(&[1, 3, 16, 256]),
        }
    }

    pub(super) fn on_call(&self, call: Call, dice: &mut Dice) -> Option<Fault> {
        let rate = match call {
            Call::Poll | Call::EndOutput | Call::Close | Call::Detach => 0,
            Call::Accept => self.accept,
            Call::Watch => self.watch,
            Call::Receive | Call::Send => self.transfer,
        };
        dice.is_hit(rate).then(|| dice.pick(call.faults()))
    }
}

/// One fault at one call, counted from the first; and what each call was.
#[derive(Clone, Debug, Default)]
pub(super) struct Injection {
    pub(super) at: Option<(usize, Fault)>,
    pub(super) calls: Vec<Call>,
}

impl Injection {
    pub(super) fn interrupt_next_poll(&mut self) {
        self.at = Some((self.calls.len(), Fault::Again));
    }

    pub(super) fn on_call(&mut self, call: Call) -> Option<Fault> {
        let number = self.calls.len();
        self.calls.push(call);
        self.at
            .filter(|(at, _)| *at == number)
            .map(|(_, fault)| fault)
    }
}
