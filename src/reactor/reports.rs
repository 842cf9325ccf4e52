//! What the loop reports about itself, and how often.

use core::time::Duration;

use crate::limits::{BLOCKED_MIN, BLOCKED_SAMPLE, REPORT_INTERVAL};
use crate::os::Instant;

/// What may be reported again and again.
#[derive(Clone, Copy, Debug)]
pub(super) enum Report {
    /// The kernel accepts no connection.
    Shortage,
    /// A turn took too long.
    Blocked,
    /// The kernel starts no thread.
    Thread,
    /// A handler set fields that are the server's.
    Fields,
    /// A handler set a field to what no field may be.
    InvalidField,
    /// Peers hold all the memory that they may.
    Memory,
}

/// When each kind of report was last made. A condition that lasts is reported once per [`REPORT_INTERVAL`].
#[derive(Debug, Default)]
pub(super) struct Reports {
    last: [Option<Instant>; 6],
    busy_turns: u8,
}

impl Reports {
    /// Whether this report is due. If so, the next one is not before [`REPORT_INTERVAL`] has passed.
    pub(super) fn is_due(&mut self, report: Report, now: Instant) -> bool {
        let Some(last) = self.last.get_mut(report as usize) else {
            return false;
        };
        let is_due = last.is_none_or(|at| at.after(REPORT_INTERVAL) <= now);
        if is_due {
            *last = Some(now);
        }
        is_due
    }

    /// Chooses whether the handler's calls of the turn that begins are timed: in every turn in debug builds, else in every
    /// [`BLOCKED_SAMPLE`]th busy one, since reading the clock costs as much as the rest of a small turn.
    pub(super) const fn begin_turn(&mut self) {
        self.busy_turns = self.busy_turns.wrapping_add(1);
    }

    /// Whether the handler's calls of this turn are timed.
    pub(super) const fn is_turn_timed(&self) -> bool {
        cfg!(debug_assertions) || self.busy_turns.is_multiple_of(BLOCKED_SAMPLE)
    }

    /// How long a call of the handler has kept the loop, if that is worth a report and one is due.
    pub(super) fn blocked_for(&mut self, began_at: Instant, now: Instant) -> Option<Duration> {
        let time = now.since(began_at);
        (time >= BLOCKED_MIN && self.is_due(Report::Blocked, now)).then_some(time)
    }
}
