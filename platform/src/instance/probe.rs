//! The readiness probe: repeated bare TCP connects, until one of the function's own listeners accepts.

use std::hint;
use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{connect, sockopt};

use super::cores::Cores;
use super::process::Process;
use crate::listeners::{Dialed, Obstacle};
use crate::sandbox::Network;
use crate::system::{self, Punctual};

const CONNECT_TIMEOUT: Duration = Duration::from_millis(200);
const PAUSE_MIN: Duration = Duration::from_micros(500);
const PAUSE_MAX: Duration = Duration::from_millis(20);
/// In a measurement, a pause between probes may be this part of the time so far, which bounds the error.
const DENSE_PART: u32 = 5000;
/// The pause between dense probes on the processor that the server runs on.
const SHARED_PAUSE: Duration = Duration::from_micros(30);
/// Sleeping is not precise below this.
const SPUN_MAX: Duration = Duration::from_micros(200);
/// How long an obstacle that time cannot remove must last before the probe gives up.
const CERTAIN_AFTER: Duration = Duration::from_millis(1500);
/// A debugger or a metrics endpoint often opens its port first, so another port is only remarked on.
const REMARK_AFTER: Duration = Duration::from_millis(1500);
/// How often the function's listeners are searched.
const SEARCH_PERIOD: Duration = Duration::from_millis(20);
const SEARCH_PERIOD_MAX: Duration = Duration::from_millis(500);
/// A pause between searches is this part of the time so far.
const SEARCH_PART: u32 = 20;

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
    /// The process ended; this was the last attempt.
    ProcessEnded(Dialed),
    Blocked(Obstacle),
}

/// What is probed, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) port: u16,
    /// A listener on this port instead is final.
    pub(crate) former_port: Option<u16>,
    pub(crate) limit: Duration,
    pub(crate) pace: Pace,
}

/// Probes until the port accepts, the process ends or the time is over. `opened` is called whenever a connect succeeds,
/// before it is known whether the function itself accepted: to look that up takes milliseconds.
pub(crate) fn probe(
    process: &Process,
    target: Target,
    remark: impl FnMut(&Obstacle),
    mut opened: impl FnMut(),
) -> Outcome {
    let Target {
        port, limit, pace, ..
    } = target;
    let began = Instant::now();
    let _punctual = (pace == Pace::DenseShared).then(Punctual::begin);
    let mut probes = Probes::default();
    let mut search = Search::new(target, remark);
    let mut refused = began;
    let mut has_accepted = false;
    loop {
        let dialing = Instant::now();
        let dialed = dial(process, port);
        let now = Instant::now();
        probes.count += 1;
        probes.spent += now - dialing;
        if dialed == Dialed::Accepted {
            opened();
            if process.serves(port) {
                probes.gap = now - refused;
                probes.took = now - process.began;
                return Outcome::Accepted(probes);
            }
        }
        refused = now;
        has_accepted |= dialed == Dialed::Accepted;
        if process.ended().is_some() {
            // It may have ended right after it accepted, before it was looked up, and refused the last dial.
            return Outcome::ProcessEnded(if has_accepted {
                Dialed::Accepted
            } else {
                dialed
            });
        }
        if began.elapsed() >= limit {
            return Outcome::Blocked(process.obstacle(port, dialed));
        }
        if let Some(obstacle) = search.obstacle(process, began, dialed) {
            return Outcome::Blocked(obstacle);
        }
        let pause = pace.pause(probes.count - 1, process.began.elapsed());
        wait(pause.min(limit.saturating_sub(began.elapsed())));
    }
}

/// Looks for what keeps the port from serving.
struct Search<T> {
    target: Target,
    remark: T,
    has_remarked: bool,
    final_since: Option<Instant>,
    next: Instant,
    period: Duration,
}

impl<T: FnMut(&Obstacle)> Search<T> {
    fn new(target: Target, remark: T) -> Self {
        // A search takes milliseconds, which a measurement must not contain.
        let (first, period) = match target.pace {
            Pace::Relaxed => (SEARCH_PERIOD, SEARCH_PERIOD),
            Pace::DenseApart | Pace::DenseShared => (REMARK_AFTER, CERTAIN_AFTER),
        };
        Self {
            target,
            remark,
            has_remarked: false,
            final_since: None,
            next: Instant::now() + first,
            period,
        }
    }

    /// Returns the obstacle once waiting any longer is useless.
    fn obstacle(&mut self, process: &Process, began: Instant, dialed: Dialed) -> Option<Obstacle> {
        if Instant::now() < self.next {
            return None;
        }
        let obstacle = process.obstacle(self.target.port, dialed);
        // Counted from the end: on a machine with many processes a search takes long. Rarer in a start that takes long.
        let pause = (began.elapsed() / SEARCH_PART).min(SEARCH_PERIOD_MAX);
        self.next = Instant::now() + self.period.max(pause);
        if obstacle.is_final() || self.is_built_in(&obstacle) {
            let since = *self.final_since.get_or_insert_with(Instant::now);
            return (since.elapsed() >= CERTAIN_AFTER).then_some(obstacle);
        }
        self.final_since = None;
        let is_worth_it = obstacle.is_listener() && began.elapsed() >= REMARK_AFTER;
        if is_worth_it && !self.has_remarked {
            self.has_remarked = true;
            (self.remark)(&obstacle);
        }
        None
    }

    fn is_built_in(&self, obstacle: &Obstacle) -> bool {
        matches!(obstacle, Obstacle::OtherPort { found, .. } if Some(*found) == self.target.former_port)
    }
}

/// One connect, whose connection is closed at once.
fn dial(process: &Process, port: u16) -> Dialed {
    match process.network() {
        Network::Host => dial_host(port),
        Network::Own => match process.connect(port, CONNECT_TIMEOUT) {
            Ok(_) => Dialed::Accepted,
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Dialed::Silent,
            Err(_) => Dialed::Refused,
        },
    }
}

/// The same in as few system calls as possible, since a measurement contains them.
fn dial_host(port: u16) -> Dialed {
    let Ok(socket) = system::socket() else {
        return Dialed::Refused;
    };
    let address = SocketAddr::new(system::router_address(Network::Host), port);
    match connect(&socket, &address) {
        Ok(()) => return Dialed::Accepted,
        Err(Errno::INPROGRESS) => {}
        Err(_) => return Dialed::Refused,
    }
    let mut polled = [PollFd::new(&socket, PollFlags::OUT)];
    let timeout = Timespec::try_from(CONNECT_TIMEOUT).ok();
    match poll(&mut polled, timeout.as_ref()) {
        Ok(0) => Dialed::Silent,
        Ok(_) if matches!(sockopt::socket_error(&socket), Ok(Ok(()))) => Dialed::Accepted,
        Ok(_) | Err(_) => Dialed::Refused,
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::TcpListener;
    use std::process::Stdio;

    use super::*;
    use crate::sandbox::Spec;

    #[test]
    fn an_open_port_is_told_before_its_owner_is_looked_up() {
        let spec = Spec {
            words: vec!["sleep".into(), "60".into()],
            environment: BTreeMap::new(),
            directory: "/".into(),
            user: None,
            room: None,
        };
        let process = Process::spawn(&spec, [Stdio::null(), Stdio::null()], None).unwrap();
        let foreign = TcpListener::bind("0.0.0.0:0").unwrap();
        let target = Target {
            port: foreign.local_addr().unwrap().port(),
            former_port: None,
            limit: Duration::from_millis(10),
            pace: Pace::Relaxed,
        };
        let mut opened = 0;
        let outcome = probe(&process, target, |_| {}, || opened += 1);
        process.kill();
        let is_blocked = matches!(outcome, Outcome::Blocked(_));
        assert_eq!(is_blocked, system::blindness().is_none(), "{outcome:?}");
        assert!(opened > 0);
    }
}
