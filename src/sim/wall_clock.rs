//! The wall clock, which may leap, unlike the monotonic clock of the simulated kernel.

use super::prng::Prng;

/// The wall clock at the start of a run: the date of the RFCs' examples.
const START: u64 = 784_111_777;

/// The wall clock and its history.
#[derive(Debug)]
pub(super) struct WallClock {
    offset: u64,
    /// Every second that it has shown, so that a `Date` field can be checked.
    pub(super) shown: Vec<u64>,
}

impl WallClock {
    /// A clock whose monotonic companion shows `now` milliseconds.
    pub(super) fn new(now: u64) -> Self {
        Self {
            offset: START,
            shown: vec![START + now / 1000],
        }
    }

    /// Moves the clock by up to 115 days, forward or back.
    pub(super) fn leap(&mut self, prng: &mut Prng) {
        let leap = prng.millis(0, 20_000_000);
        self.offset = (self.offset + leap).saturating_sub(10_000_000);
    }

    pub(super) fn advance(&mut self, now: u64) {
        let second = self.offset + now / 1000;
        if self.shown.last() != Some(&second) {
            self.shown.push(second);
        }
    }

    pub(super) fn unix_seconds(&self) -> u64 {
        self.shown.last().copied().unwrap_or(0)
    }

    /// How many seconds it has shown before the present one.
    pub(super) fn index(&self) -> usize {
        self.shown.len() - 1
    }
}
