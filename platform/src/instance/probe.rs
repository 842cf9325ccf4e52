//! The readiness probe: repeated bare TCP connects to an address outside 127.0.0.1.

use std::hint;
use std::num::NonZeroU64;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt};
use rustix::thread::set_current_timer_slack;

use super::cores::Cores;
use super::process::Process;
use super::router_address;
use crate::listeners::{self, Listener, Scope};

const CONNECT_TIMEOUT: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 200_000_000,
};
const PAUSE_MIN: Duration = Duration::from_micros(500);
const PAUSE_MAX: Duration = Duration::from_millis(20);
/// A dense pause may be this part of the time so far: what a measurement may be too long by.
const DENSE_PART: u32 = 5000;
/// The pause between dense probes on the processor that the server runs on.
const SHARED_PAUSE: Duration = Duration::from_micros(30);
/// Sleeping is not precise below this.
const SPUN_MAX: Duration = Duration::from_micros(200);
/// A server that has bound the right port on loopback alone does not bind it again: no need to wait for the limit.
const CERTAIN_AFTER: Duration = Duration::from_millis(1500);
/// A debugger's or a metrics port often opens first, so another port alone proves nothing: it is only told.
const TELL_AFTER: Duration = Duration::from_millis(1500);
/// How often the function's listeners are searched.
const SEARCH_PERIOD: Duration = Duration::from_millis(20);

/// How close together the probes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// As on a developer's machine that has other work to do.
    Relaxed,
    /// For measurements, from a processor that the server does not run on.
    DenseApart,
    /// For measurements, on the only processor.
    DenseShared,
}

impl Pace {
    /// The pace of a start on these processors; dense if it is measured.
    pub(crate) fn of(cores: Option<&'static Cores>) -> Self {
        match cores {
            None => Self::Relaxed,
            Some(cores) if cores.are_apart() => Self::DenseApart,
            Some(_) => Self::DenseShared,
        }
    }

    fn pause(self, probes: u32, elapsed: Duration) -> Duration {
        let part = elapsed / DENSE_PART;
        match self {
            Self::Relaxed => (PAUSE_MIN * (1 << probes.min(6))).min(PAUSE_MAX),
            Self::DenseApart => part.min(PAUSE_MAX),
            Self::DenseShared => part.clamp(SHARED_PAUSE, PAUSE_MAX),
        }
    }
}

/// What the probes of a start saw and cost.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Probes {
    /// How many connects it took.
    pub(crate) count: u32,
    /// The time that the connects took together.
    pub(crate) spent: Duration,
    /// From the last connect that was refused to the one that succeeded. The port opened in between.
    pub(crate) gap: Duration,
    /// From the creation of the process to the connect that succeeded.
    pub(crate) took: Duration,
}

/// How the probe ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    Accepted(Probes),
    ProcessEnded,
    NobodyThere { listeners: Vec<Listener> },
}

/// Probes until the port accepts, the process ends or the time is over.
pub(crate) fn probe(
    process: &Process,
    port: u16,
    limit: Duration,
    pace: Pace,
    tell: impl FnMut(String),
) -> Outcome {
    let began = Instant::now();
    let _punctual = (pace == Pace::DenseShared).then(Punctual::begin);
    let mut probes = Probes::default();
    let mut search = Search::new(port, pace, tell);
    let mut refused = began;
    loop {
        let dialled = Instant::now();
        let is_accepted = dial(port);
        let now = Instant::now();
        probes.count += 1;
        probes.spent += now - dialled;
        if is_accepted {
            probes.gap = now - refused;
            probes.took = now - process.began;
            return Outcome::Accepted(probes);
        }
        refused = now;
        if process.ended().is_some() {
            return Outcome::ProcessEnded;
        }
        if began.elapsed() >= limit {
            return Outcome::NobodyThere {
                listeners: listeners::of(&process.members()),
            };
        }
        if let Some(listeners) = search.is_hopeless(process, began) {
            return Outcome::NobodyThere { listeners };
        }
        let pause = pace.pause(probes.count - 1, process.began.elapsed());
        wait(pause.min(limit.saturating_sub(began.elapsed())));
    }
}

/// Looks for listeners on other ports and addresses.
struct Search<T> {
    port: u16,
    tell: T,
    has_told: bool,
    loopback_since: Option<Instant>,
    next: Instant,
    period: Duration,
}

impl<T: FnMut(String)> Search<T> {
    fn new(port: u16, pace: Pace, tell: T) -> Self {
        // A search takes milliseconds, which a measurement must not contain.
        let (first, period) = match pace {
            Pace::Relaxed => (SEARCH_PERIOD, SEARCH_PERIOD),
            Pace::DenseApart | Pace::DenseShared => (TELL_AFTER, CERTAIN_AFTER),
        };
        Self {
            port,
            tell,
            has_told: false,
            loopback_since: None,
            next: Instant::now() + first,
            period,
        }
    }

    /// Returns the listeners once waiting any longer is useless.
    fn is_hopeless(&mut self, process: &Process, began: Instant) -> Option<Vec<Listener>> {
        if Instant::now() < self.next {
            return None;
        }
        let found = listeners::of(&process.members());
        // Counted from the end: on a machine with many processes a search takes long.
        self.next = Instant::now() + self.period;
        let on_loopback = Listener {
            scope: Scope::LoopbackOnly,
            port: self.port,
        };
        if found.contains(&on_loopback) {
            let since = *self.loopback_since.get_or_insert_with(Instant::now);
            return (since.elapsed() >= CERTAIN_AFTER).then_some(found);
        }
        if !found.is_empty() && !self.has_told && began.elapsed() >= TELL_AFTER {
            self.has_told = true;
            (self.tell)(listeners::explain(&found, self.port));
        }
        None
    }
}

/// One connect, whose connection is closed at once. Refused and failed are the same.
fn dial(port: u16) -> bool {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let Ok(socket) = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None) else {
        return false;
    };
    match connect(&socket, &router_address(port)) {
        Ok(()) => true,
        Err(Errno::INPROGRESS) => {
            let mut polled = [PollFd::new(&socket, PollFlags::OUT)];
            poll(&mut polled, Some(&CONNECT_TIMEOUT)).is_ok_and(|ready| ready > 0)
                && matches!(sockopt::socket_error(&socket), Ok(Ok(())))
        }
        Err(_) => false,
    }
}

/// Lets the calling thread's sleeps end on time, until it is dropped.
struct Punctual;

impl Punctual {
    fn begin() -> Self {
        set_current_timer_slack(Some(NonZeroU64::MIN)).ok();
        Self
    }
}

impl Drop for Punctual {
    fn drop(&mut self) {
        // A process that this thread creates inherits the slack.
        set_current_timer_slack(None).ok();
    }
}

fn wait(pause: Duration) {
    if pause >= SPUN_MAX || pause == SHARED_PAUSE {
        return thread::sleep(pause);
    }
    let began = Instant::now();
    while began.elapsed() < pause {
        hint::spin_loop();
    }
}
