//! Replays the transcripts in `tests/wire/`: bytes in, their meaning, bytes out.
#![expect(
    clippy::expect_used,
    reason = "a file that cannot be read must fail its test"
)]

#[path = "support/grammar.rs"]
mod grammar;
#[path = "support/mutation.rs"]
mod mutation;
#[path = "support/random.rs"]
mod random;
#[path = "support/transcript.rs"]
mod transcript;

use std::fmt::Write as _;
use std::panic;
use std::path::{Path, PathBuf};

use coldstart::sim::{
    Cuts, End, Exchange, Meaning, Message, check_against_reference, exchange, meaning, scaled,
};
use grammar::{Made, MadeBody};
use mutation::{MUTATIONS, damage};
use random::Random;
use transcript::{Case, cases, one_case_in};

/// With fewer cases than this, the files were not parsed as intended.
const CASES_MIN: usize = 600;
/// Seeds per property; a few seconds in an unoptimised build.
const SEEDS: usize = 4000;
/// Under Miri: this many seeds, and one transcript in 60, whole and byte by byte.
const SEEDS_UNDER_MIRI: usize = 2;
const STRIDE_UNDER_MIRI: usize = 60;
const CUTS_UNDER_MIRI: usize = 2;

#[test]
fn each_transcript_holds_at_every_cut() {
    let (stride, mut count, mut failures) = (stride(), 0, String::new());
    for path in files() {
        let file = std::fs::read_to_string(&path).expect("a transcript");
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        for case in one_case_in(stride, &file) {
            count += 1;
            if let Err(why) = replay(&case) {
                let _ = write!(failures, "\n{name}: {}\n{why}", case.title);
            }
        }
    }
    assert!(failures.is_empty(), "{failures}");
    let count_min = CASES_MIN / stride;
    assert!(count >= count_min, "only {count} cases were found");
}

/// Replays one transcript in this many.
fn stride() -> usize {
    scaled("one transcript in", 1, STRIDE_UNDER_MIRI)
}

fn seeds_by_default() -> u64 {
    scaled("seeds", SEEDS, SEEDS_UNDER_MIRI) as u64
}

#[test]
fn no_title_appears_twice_in_a_file() {
    for path in files() {
        let file = std::fs::read_to_string(&path).expect("a transcript");
        let mut titles: Vec<String> = cases(&file).into_iter().map(|case| case.title).collect();
        titles.sort_unstable();
        let twice = titles.windows(2).find(|pair| pair[0] == pair[1]);
        assert_eq!(twice, None, "{}", path.display());
    }
}

#[test]
fn each_file_is_listed_in_the_readme() {
    let readme = include_str!("wire/README.md");
    for path in files() {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        assert!(readme.contains(&format!("[{name}]({name})")), "{name}");
    }
}

#[test]
fn each_transcript_means_the_same_to_the_reference() {
    let (stride, mut failures) = (stride(), String::new());
    for path in files() {
        let file = std::fs::read_to_string(&path).expect("a transcript");
        for case in one_case_in(stride, &file) {
            if let Err(why) = check_against_reference(&case.request, Cuts::Whole) {
                let _ = write!(failures, "\n{}: {}\n{why}\n", path.display(), case.title);
            }
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn a_request_from_the_grammar_is_read_as_it_was_generated() {
    for_each_seed(|random| {
        let made: Vec<Made> = (0..=random.below(3)).map(|_| Made::new(random)).collect();
        let input: Vec<u8> = made.iter().flat_map(Made::bytes).collect();
        let Meaning { messages, end, .. } = meaning(&input);
        let is_read = end == End::Clean
            && messages.len() == made.len()
            && made
                .iter()
                .zip(&messages)
                .all(|(made, message)| is_same(made, message));
        (
            input,
            is_read
                .then_some(())
                .ok_or_else(|| format!("{end:?}, {messages:#?}")),
        )
    });
}

#[test]
fn a_request_broken_in_a_known_way_is_refused_with_the_status_of_that_way() {
    for_each_seed(|random| {
        let before: Vec<Made> = (0..random.below(3)).map(|_| Made::new(random)).collect();
        let mut input: Vec<u8> = before.iter().flat_map(Made::bytes).collect();
        let (name, statuses, broken) = loop {
            let (name, mutate, statuses) = random.pick(MUTATIONS);
            let made = Made::new(random);
            if let Some(broken) = mutate(random, &made) {
                break (name, statuses, broken);
            }
        };
        input.extend(broken);
        input.extend(b"GET /after HTTP/1.1\r\nHost: a\r\n\r\n");
        let Meaning { messages, end, .. } = meaning(&input);
        let is_known = matches!(&end, End::Refused(found) if found == statuses)
            && messages.len() >= before.len()
            && messages.iter().filter(|message| message.is_whole).count() == before.len();
        (
            input,
            is_known
                .then_some(())
                .ok_or_else(|| format!("{name}: {end:?}, {messages:#?}")),
        )
    });
}

#[test]
fn damage_of_any_kind_means_the_same_to_the_reference() {
    for_each_seed(|random| {
        let made: Vec<Made> = (0..=random.below(2)).map(|_| Made::new(random)).collect();
        let mut input: Vec<u8> = made.iter().flat_map(Made::bytes).collect();
        for _ in 0..=random.below(4) {
            damage(random, &mut input);
        }
        (input, Ok(()))
    });
}

/// Makes an input from each seed. It must mean the same to `h1` and the reference at several cuts, and pass its own
/// check. `WIRE_SEED` repeats one seed, `WIRE_SEEDS` runs this many.
fn for_each_seed(make: impl Fn(&mut Random) -> (Vec<u8>, Result<(), String>)) {
    let number = |text: &str| text.parse().expect("a number of seeds, or a seed");
    let seeds = match option_env!("WIRE_SEED").map(number) {
        Some(seed) => seed..seed + 1,
        None => 0..option_env!("WIRE_SEEDS").map_or_else(seeds_by_default, number),
    };
    for seed in seeds {
        let (input, promise) = make(&mut Random(seed));
        let shown = input.escape_ascii();
        assert_eq!(promise, Ok(()), "WIRE_SEED={seed}: {shown}");
        for cuts in [Cuts::Whole, Cuts::Every(1), Cuts::Seeded(seed)] {
            let check = panic::catch_unwind(|| check_against_reference(&input, cuts));
            let check = check.unwrap_or_else(|_| Err("it panicked, see above".to_owned()));
            let why = check.err().unwrap_or_default();
            assert!(why.is_empty(), "WIRE_SEED={seed}: {shown}\n{why}");
        }
    }
}

fn is_same(made: &Made, message: &Message) -> bool {
    let trimmed = |fields: &[(Vec<u8>, Vec<u8>)]| -> Vec<(String, Vec<u8>)> {
        let own = |(name, value): &(Vec<u8>, Vec<u8>)| {
            (
                String::from_utf8_lossy(name).into_owned(),
                value.trim_ascii().to_vec(),
            )
        };
        fields.iter().map(own).collect()
    };
    let trailers = match &made.body {
        MadeBody::None | MadeBody::Length(_) => Vec::new(),
        MadeBody::Chunked { trailers, .. } => trimmed(trailers),
    };
    message.is_whole
        && message.method.as_bytes() == made.method
        && message.target.as_bytes() == made.target
        && message.fields == trimmed(&made.fields)
        && message.body == content(&made.body)
        && message.trailers == trailers
}

/// The body that a reader must see.
fn content(body: &MadeBody) -> Vec<u8> {
    match body {
        MadeBody::None => Vec::new(),
        MadeBody::Length(content) => content.clone(),
        MadeBody::Chunked { chunks, .. } => {
            chunks.iter().flat_map(|chunk| chunk.1.clone()).collect()
        }
    }
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("the folder of transcripts")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .filter(|path| !path.ends_with("README.md"))
        .collect();
    files.sort();
    files
}

/// Replays a case at all cuts and reports the first that differs.
fn replay(case: &Case) -> Result<(), String> {
    let fixed = [
        Cuts::Whole,
        Cuts::Every(1),
        Cuts::Every(2),
        Cuts::Every(3),
        Cuts::Every(61),
    ];
    let all = fixed.into_iter().chain((1..=8).map(Cuts::Seeded));
    for cuts in all.take(if cfg!(miri) {
        CUTS_UNDER_MIRI
    } else {
        usize::MAX
    }) {
        let run = || exchange(&case.request, cuts, case.ending);
        let Ok(exchange) = panic::catch_unwind(run) else {
            return Err(format!("  at cut {cuts:?}: panicked, see above\n"));
        };
        // Byte by byte, the head is always read before the body.
        let responses = if matches!(cuts, Cuts::Every(1)) {
            [&case.response; 2]
        } else {
            [&case.response, &case.response_at_once]
        };
        compare(case, &exchange, responses).map_err(|why| format!("  at cut {cuts:?}:\n{why}"))?;
    }
    Ok(())
}

fn compare(case: &Case, exchange: &Exchange, responses: [&Vec<u8>; 2]) -> Result<(), String> {
    if exchange.events != case.events {
        return Err(difference(&case.events, &exchange.events));
    }
    if responses.contains(&&exchange.output) {
        return Ok(());
    }
    Err(difference(&lines(&case.response), &lines(&exchange.output)))
}

fn lines(bytes: &[u8]) -> Vec<String> {
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    lines.map(|line| line.escape_ascii().to_string()).collect()
}

/// The expected lines (`-`) and those found (`+`), from the first difference on, with long lines cut.
fn difference(expected: &[String], found: &[String]) -> String {
    let same = expected
        .iter()
        .zip(found)
        .take_while(|(one, other)| one == other)
        .count();
    let mut text = String::new();
    for (sign, lines) in [
        (' ', &expected[..same]),
        ('-', &expected[same..]),
        ('+', &found[same..]),
    ] {
        for line in lines {
            let _ = writeln!(text, "    {sign} {line:.200}");
        }
    }
    text
}
