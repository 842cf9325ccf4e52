//! What others take of a core, and which latencies that is to blame for. The host of a virtual machine stops its cores from time to
//! time, often for milliseconds, and other processes want to run. No server can respond meanwhile.

use std::time::{Duration, Instant};

/// Shorter stops stay in the figures: an interrupt takes as long.
const LEAST: Duration = Duration::from_micros(20);

/// A time in which a core ran none of the watched threads, although one was ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stop {
    pub(crate) from: Instant,
    pub(crate) until: Instant,
}

/// Finds the stops of a core that is never idle. The kernel leaves what the host takes out of CPU time, but not out of
/// the time of day.
pub(crate) struct Watch {
    looked_at: Instant,
    cpu: Duration,
    pub(crate) stops: Vec<Stop>,
}

impl Watch {
    /// `cpu` is the CPU time of all watched threads, read just after `now`.
    pub(crate) fn new(now: Instant, cpu: Duration) -> Self {
        Self {
            looked_at: now,
            cpu,
            stops: Vec::new(),
        }
    }

    /// Compares with the look before: both clocks were read as in [`Watch::new`].
    pub(crate) fn look(&mut self, now: Instant, cpu: Duration) {
        let used = cpu.saturating_sub(self.cpu);
        if now - self.looked_at > used + LEAST {
            self.stops.push(Stop {
                from: self.looked_at,
                until: now,
            });
        }
        (self.looked_at, self.cpu) = (now, cpu);
    }
}

/// When responses were late because of a stop: from its beginning until its backlog was gone.
pub(crate) struct Delays(Vec<(Instant, Option<Instant>)>);

impl Delays {
    /// `calms` are moments at which nothing was due or outstanding, in order. A backlog without one lasts until the end.
    pub(crate) fn new(stops: impl Iterator<Item = Stop>, calms: &[Instant]) -> Self {
        let with_backlog = |stop: Stop| {
            let next = calms.partition_point(|calm| *calm < stop.until);
            (stop.from, calms.get(next).copied())
        };
        Self(stops.map(with_backlog).collect())
    }

    /// Whether a response that was due and arrived at these moments had to wait for one of them.
    pub(crate) fn overlap(&self, due_at: Instant, arrived_at: Instant) -> bool {
        self.0
            .iter()
            .any(|(from, until)| *from < arrived_at && until.is_none_or(|until| due_at < until))
    }
}
