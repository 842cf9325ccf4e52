//! Pseudo-random numbers from a seed, or from bytes that a fuzzer chooses.

use std::rc::Rc;

/// A deterministic sequence of numbers.
#[derive(Clone, Debug)]
pub(super) struct Prng {
    entropy: Entropy,
    state: u64,
}

/// A fuzzer's bytes, used before the generator.
#[derive(Clone, Debug)]
struct Entropy {
    bytes: Rc<[u8]>,
    taken: usize,
}

impl Prng {
    /// Splitmix64: small, and good enough for a simulation.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            entropy: Entropy {
                bytes: Rc::new([]),
                taken: 0,
            },
            state: seed,
        }
    }

    /// Each number takes as few of `bytes` as it needs, so that changing one byte changes one decision. Once the bytes
    /// have run out, the sequence is that of seed 0.
    pub(super) fn from_bytes(bytes: &[u8]) -> Self {
        let mut prng = Self::new(0);
        prng.entropy.bytes = bytes.into();
        prng
    }

    /// A number below `bound`, which is not 0.
    fn below(&mut self, bound: u64) -> u64 {
        let len = (u64::BITS - (bound - 1).leading_zeros()).div_ceil(8) as usize;
        let Entropy { bytes, taken } = &mut self.entropy;
        let chosen = bytes.get(*taken..*taken + len);
        let Some(chosen) = chosen.filter(|_| !bytes.is_empty()) else {
            return self.next_number() % bound;
        };
        *taken += len;
        let number = chosen
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte));
        number % bound
    }

    const fn next_number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// An independent sequence, so that the draws of one consumer do not shift those of another. A fork takes the
    /// fuzzer's bytes from the end, its parent from the front.
    pub(super) fn fork(&mut self) -> Self {
        let left = self.entropy.bytes.get(self.entropy.taken..);
        Self {
            entropy: Entropy {
                bytes: left.unwrap_or_default().iter().rev().copied().collect(),
                taken: 0,
            },
            state: self.next_number(),
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

    /// True with this probability, in thousandths.
    pub(super) fn chance(&mut self, per_mille: u64) -> bool {
        // A rate of 0 takes no byte of the fuzzer's.
        let is_free = per_mille == 0 && !self.entropy.bytes.is_empty();
        !is_free && self.below(1000) < per_mille
    }

    pub(super) fn choose<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.between(0, choices.len() - 1)]
    }

    /// From 1 to `high`, small numbers far more often than large ones.
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
    use super::Prng;

    #[test]
    fn bytes_decide_first_and_then_every_sequence_is_the_same() {
        let mut prng = Prng::from_bytes(&[7, 1, 0, 3, 200, 9]);
        let mut fork = prng.fork();
        assert_eq!((fork.between(0, 255), fork.between(0, 255)), (9, 200));
        assert_eq!(prng.between(0, 9), 7);
        assert_eq!(prng.between(10, 1000), 10 + 256);
        assert!(!prng.chance(0), "a rate of 0 takes no byte");
        assert_eq!(prng.choose(&[1, 2, 3, 4]), 4);
        let mut other = Prng::from_bytes(&[1, 2]);
        other.fork();
        assert_eq!(other.between(0, 65_535), 0x0102);
        let after = [prng.between(0, 1 << 20), prng.between(0, 1 << 20)];
        assert_eq!(
            after,
            [other.between(0, 1 << 20), other.between(0, 1 << 20)]
        );
    }
}
