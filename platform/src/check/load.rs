//! Requests in numbers: how many a check sends, and the sending of them.

use std::time::{Duration, Instant};

use super::subject::{Subject, dial};
use crate::instance::Instance;
use crate::wire::Fault;
use crate::wire::exchange::Call;

/// How much longer than planned a load may take on a busy machine.
const SLOWDOWN_MAX: u32 = 10;

/// At most this many requests. A function that is slow itself gets as many as fit into this time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) requests: u32,
    pub(crate) time: Duration,
}

/// Counts the requests of a load. What a check sees must depend on the function and not on the machine, so the quickest
/// response decides how many requests fit into the load's time: other programs delay some responses, not all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quota {
    load: Load,
    sent: u32,
    quickest: Option<Duration>,
}

impl Quota {
    /// Nothing was sent yet.
    pub(crate) const fn of(load: Load) -> Self {
        Self {
            load,
            sent: 0,
            quickest: None,
        }
    }

    /// How many requests were sent.
    pub(crate) const fn sent(&self) -> u32 {
        self.sent
    }

    /// Whether another request belongs to the load, this long after its begin.
    pub(crate) fn has_room(&self, elapsed: Duration) -> bool {
        let planned = self.load.time;
        let sent_at_its_best = self.quickest.map(|time| time * self.sent);
        self.sent < self.load.requests
            && (elapsed < planned
                || elapsed < planned * SLOWDOWN_MAX
                    && sent_at_its_best.is_some_and(|time| time < planned))
    }

    /// One more was sent, and got its response after this time.
    pub(crate) fn on_response(&mut self, took: Duration) {
        self.sent += 1;
        self.quickest = Some(self.quickest.map_or(took, |known| known.min(took)));
    }

    /// One more was sent, without a response.
    pub(crate) const fn on_fault(&mut self) {
        self.sent += 1;
    }
}

/// A load that was sent.
#[derive(Debug)]
pub(crate) struct Sent {
    /// How many requests, those without a response included.
    pub(crate) requests: u32,
    /// Why a request of its own connection got no response. Nothing was sent after it. A connection that is kept may
    /// close between two requests; other checks look at that.
    pub(crate) lost: Option<Fault>,
}

/// Sends a request again and again, on one connection if the server keeps it.
pub(crate) fn send(subject: &Subject, instance: &Instance, call: &Call, load: Load) -> Sent {
    let began = Instant::now();
    let mut quota = Quota::of(load);
    let mut wire = None;
    let mut lost = None;
    while lost.is_none() && quota.has_room(began.elapsed()) {
        let asking = Instant::now();
        let kept = wire.take();
        let is_kept = kept.is_some();
        let asked = kept
            .map_or_else(|| dial(instance), Ok)
            .and_then(|mut open| {
                let reply = subject.ask(&mut open, call)?;
                Ok(reply.head.keeps_alive().then_some(open))
            });
        match asked {
            Ok(open) => {
                quota.on_response(asking.elapsed());
                wire = open;
            }
            Err(fault) => {
                quota.on_fault();
                lost = (!is_kept).then_some(fault);
            }
        }
    }
    Sent {
        requests: quota.sent(),
        lost,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOAD: Load = Load {
        requests: 1000,
        time: Duration::from_secs(2),
    };

    /// How many requests are sent, and how long that takes, if the responses take these times in turn.
    fn run(times: &[Duration]) -> (u32, Duration) {
        let mut quota = Quota::of(LOAD);
        let mut elapsed = Duration::ZERO;
        for took in times.iter().cycle() {
            if !quota.has_room(elapsed) {
                break;
            }
            quota.on_response(*took);
            elapsed += *took;
        }
        (quota.sent(), elapsed)
    }

    #[test]
    fn a_busy_machine_does_not_change_the_number_of_requests() {
        let [quick, delayed] = [1, 15].map(Duration::from_millis);
        assert_eq!(run(&[quick]).0, LOAD.requests);
        assert_eq!(run(&[delayed, quick, delayed]).0, LOAD.requests);
    }

    #[test]
    fn a_slow_function_gets_what_fits_into_the_time() {
        let slow = Duration::from_millis(100);
        assert_eq!(run(&[slow]), (20, LOAD.time));
        assert_eq!(run(&[slow, slow * 3]).0, 20);
    }

    #[test]
    fn a_load_ends_whatever_happens() {
        let (sent, elapsed) = run(&[Duration::from_millis(1), Duration::from_secs(1)]);
        assert!(sent < 60, "{sent}");
        assert!(elapsed <= LOAD.time * SLOWDOWN_MAX + Duration::from_secs(1));
        let mut quota = Quota::of(LOAD);
        quota.on_fault();
        assert!(quota.has_room(Duration::ZERO) && !quota.has_room(LOAD.time));
    }
}
