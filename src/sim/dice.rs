//! Chance from a seed, or from bytes that a fuzzer chooses.

use std::rc::Rc;

/// A sequence of numbers that is decided beforehand.
#[derive(Clone, Debug)]
pub(super) struct Dice {
    chosen: Chosen,
    state: u64,
}

/// Bytes that decide the numbers, until they run out.
#[derive(Clone, Debug)]
struct Chosen {
    bytes: Rc<[u8]>,
    /// Of them, from the front.
    taken: usize,
}

impl Dice {
    /// Splitmix64, small and good enough for a made-up world.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            chosen: Chosen {
                bytes: Rc::new([]),
                taken: 0,
            },
            state: seed,
        }
    }

    /// Each number is made of as few of `bytes` as it needs, so that a change to one moves one decision. Once they have
    /// run out, chance is the same for all.
    pub(super) fn chosen(bytes: &[u8]) -> Self {
        let mut dice = Self::new(0);
        dice.chosen.bytes = bytes.into();
        dice
    }

    /// A number below `bound`, which is not 0.
    fn below(&mut self, bound: u64) -> u64 {
        let len = (u64::BITS - (bound - 1).leading_zeros()).div_ceil(8) as usize;
        let Chosen { bytes, taken } = &mut self.chosen;
        let chosen = bytes.get(*taken..*taken + len);
        let Some(chosen) = chosen.filter(|_| !bytes.is_empty()) else {
            return self.roll() % bound;
        };
        *taken += len;
        let number = chosen
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte));
        number % bound
    }

    const fn roll(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Another sequence, so that what one actor draws does not move what the others draw. Of bytes it takes those at the
    /// end first: long before the two meet, they have enough.
    pub(super) fn fork(&mut self) -> Self {
        let left = self.chosen.bytes.get(self.chosen.taken..);
        Self {
            chosen: Chosen {
                bytes: left.unwrap_or_default().iter().rev().copied().collect(),
                taken: 0,
            },
            state: self.roll(),
        }
    }

    /// From `low` to `high`, both included.
    pub(super) fn between(&mut self, low: usize, high: usize) -> usize {
        let span = (high - low) as u64 + 1;
        low + usize::try_from(self.below(span)).unwrap_or(0)
    }

    /// Milliseconds from `low` to `high`, both included.
    pub(super) fn millis(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True so many times in a thousand.
    pub(super) fn is_hit(&mut self, per_mille: u64) -> bool {
        // What never happens needs no decision.
        let is_decided = per_mille == 0 && !self.chosen.bytes.is_empty();
        !is_decided && self.below(1000) < per_mille
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

#[cfg(test)]
mod tests {
    use super::Dice;

    #[test]
    fn chosen_bytes_decide_and_then_chance_is_the_same_for_all() {
        let mut dice = Dice::chosen(&[7, 1, 0, 3, 200, 9]);
        let mut fork = dice.fork();
        assert_eq!((fork.between(0, 255), fork.between(0, 255)), (9, 200));
        assert_eq!(dice.between(0, 9), 7);
        assert_eq!(dice.between(10, 1000), 10 + 256);
        assert!(!dice.is_hit(0), "what never happens takes no byte");
        assert_eq!(dice.pick(&[1, 2, 3, 4]), 4);
        let mut other = Dice::chosen(&[1, 2]);
        other.fork();
        assert_eq!(other.between(0, 65_535), 0x0102);
        let chance = [dice.between(0, 1 << 20), dice.between(0, 1 << 20)];
        assert_eq!(
            chance,
            [other.between(0, 1 << 20), other.between(0, 1 << 20)]
        );
    }
}
