//! Chance from a seed.

/// A sequence of numbers that a seed decides: splitmix64, small and good enough for a made-up world.
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) const fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Another sequence, so that what one actor draws does not move what the others draw.
    pub(super) const fn fork(&mut self) -> Self {
        Self(self.roll())
    }

    /// From `low` to `high`, both included.
    pub(super) fn between(&mut self, low: usize, high: usize) -> usize {
        let span = (high - low) as u64 + 1;
        low + usize::try_from(self.roll() % span).unwrap_or(0)
    }

    /// Milliseconds from `low` to `high`, both included.
    pub(super) const fn millis(&mut self, low: u64, high: u64) -> u64 {
        low + self.roll() % (high - low + 1)
    }

    /// True so many times in a thousand.
    pub(super) const fn is_hit(&mut self, per_mille: u64) -> bool {
        self.roll() % 1000 < per_mille
    }

    pub(super) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.between(0, choices.len() - 1)]
    }

    /// Small numbers far more often than large ones, from 1 to `high`.
    pub(super) fn skewed(&mut self, high: usize) -> usize {
        let bits = usize::BITS - high.leading_zeros();
        let bound = 1_usize << self.between(0, bits as usize - 1);
        self.between(1, bound.min(high).max(1))
    }

    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.between(0, at));
        }
    }
}
