//! What the loop reports about itself, and how often.

use core::time::Duration;

use crate::limits::{BLOCKED_MIN, BLOCKED_SAMPLE, REPORT_INTERVAL};
use crate::os::Instant;

/// When each kind of report was last made. A condition that lasts is reported once per [`REPORT_INTERVAL`].
#[derive(Debug, Default)]
pub(super) struct Reports {
    shortage_at: Option<Instant>,
    blocked_at: Option<Instant>,
    busy_turns: u8,
}

impl Reports {
    /// Whether a shortage of descriptors is due for a report.
    pub(super) fn is_shortage_due(&mut self, now: Instant) -> bool {
        is_due(&mut self.shortage_at, now)
    }

    /// Whether the turn that begins is to be timed: every one in debug builds, else every [`BLOCKED_SAMPLE`]th busy one,
    /// since reading the clock costs as much as the rest of a small turn.
    pub(super) const fn is_turn_timed(&mut self) -> bool {
        self.busy_turns = self.busy_turns.wrapping_add(1);
        cfg!(debug_assertions) || self.busy_turns.is_multiple_of(BLOCKED_SAMPLE)
    }

    /// How long the turn has kept the loop, if that is worth a report and one is due.
    pub(super) fn blocked_for(&mut self, began_at: Instant, now: Instant) -> Option<Duration> {
        let time = now.since(began_at);
        (time >= BLOCKED_MIN && is_due(&mut self.blocked_at, now)).then_some(time)
    }
}

fn is_due(last: &mut Option<Instant>, now: Instant) -> bool {
    let is_due = last.is_none_or(|at| at.after(REPORT_INTERVAL) <= now);
    if is_due {
        *last = Some(now);
    }
    is_due
}
