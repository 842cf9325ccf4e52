//! This server and hyper end each message at the same byte. Both read the same bytes in memory, without a socket.
//!
//! `HYPER_SEED=7 cargo test --test hyper` repeats one seed; `HYPER_SEEDS=100000` runs this many.
#![expect(
    clippy::disallowed_methods,
    reason = "the environment selects the seeds"
)]

#[path = "support/corpus.rs"]
mod corpus;
#[path = "hyper/differential.rs"]
mod differential;
#[path = "support/grammar.rs"]
mod grammar;
#[path = "hyper/known.rs"]
mod known;
#[path = "support/mutation.rs"]
mod mutation;
#[path = "support/random.rs"]
mod random;

use differential::difference;
use grammar::Made;
use known::{KNOWN, check, compare};
use mutation::{MUTATIONS, damage};
use random::Random;

/// Seeds per property; a few seconds in an unoptimised build.
const SEEDS: u64 = 2000;

#[test]
fn a_request_from_the_grammar_is_read_alike() {
    for_each_seed(|random| {
        let made = (0..=random.below(3)).map(|_| plain(random));
        made.flat_map(|made| made.bytes()).collect()
    });
}

#[test]
fn a_request_broken_in_a_known_way_is_read_alike() {
    for_each_seed(|random| {
        let before = (0..random.below(3)).map(|_| plain(random));
        let mut input: Vec<u8> = before.flat_map(|made| made.bytes()).collect();
        let broken = loop {
            let (_, mutate, _) = random.pick(MUTATIONS);
            let made = plain(random);
            if let Some(broken) = mutate(random, &made) {
                break broken;
            }
        };
        input.extend(broken);
        input.extend(b"GET /after HTTP/1.1\r\nHost: a\r\n\r\n");
        input
    });
}

#[test]
fn damage_of_any_kind_is_read_alike() {
    for_each_seed(|random| {
        let made = (0..=random.below(2)).map(|_| plain(random));
        let mut input: Vec<u8> = made.flat_map(|made| made.bytes()).collect();
        for _ in 0..=random.below(4) {
            damage(random, &mut input);
        }
        input
    });
}

#[test]
fn the_fuzzing_corpus_is_read_alike() {
    for target in ["connection", "differential"] {
        corpus::run(target, check);
    }
}

/// An entry that no longer holds must be removed: either hyper has changed, or this server has.
#[test]
fn each_known_difference_still_holds_for_its_own_reason_alone() {
    for known in KNOWN {
        let example = known
            .example
            .iter()
            .map(|(text, count)| text.repeat(*count));
        let example: String = example.collect();
        let found = difference(example.as_bytes());
        let found = found.unwrap_or_else(|| panic!("{}: the two now agree", known.name));
        let reasons = KNOWN.iter().filter(|known| known.explains(&found));
        let reasons: Vec<_> = reasons.map(|known| known.name).collect();
        assert_eq!(reasons, [known.name], "{found:?}");
        assert!(
            known.why.starts_with("RFC "),
            "{} has no reason",
            known.name
        );
    }
}

/// A request without the rare bytes and versions that hyper refuses: its refusal would hide everything after them.
/// One in eight requests keeps them.
fn plain(random: &mut Random) -> Made {
    let mut made = Made::new(random);
    if random.below(8) > 0 {
        if made.version == "HTTP/1.4" {
            made.version = "HTTP/1.1";
        }
        let rare = made
            .target
            .iter_mut()
            .filter(|byte| b"<>\"`".contains(byte));
        rare.for_each(|byte| *byte = b'-');
    }
    made
}

/// Makes an input from each seed. `HYPER_SEED` repeats one seed, `HYPER_SEEDS` runs this many.
fn for_each_seed(make: impl Fn(&mut Random) -> Vec<u8>) {
    let number = |variable| std::env::var(variable).ok()?.parse().ok();
    let seeds = match number("HYPER_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("HYPER_SEEDS").unwrap_or(SEEDS),
    };
    for seed in seeds {
        let input = make(&mut Random(seed));
        let why = compare(&input).err().unwrap_or_default();
        assert!(why.is_empty(), "HYPER_SEED={seed}: {why}");
    }
}
