//! The wire, as documented in `tests/wire/`: what comes in, what it means, what goes out.
#![expect(
    clippy::expect_used,
    reason = "a file that can't be read must fail its test"
)]

#[path = "support/transcript.rs"]
mod transcript;

use std::fmt::Write as _;
use std::panic;
use std::path::{Path, PathBuf};

use coldstart::sim::{Cuts, Exchange, exchange};
use transcript::{Case, cases};

/// Fewer cases than this mean that the files were not read as they were written.
const CASES_MIN: usize = 300;

#[test]
fn each_transcript_holds_at_every_cut() {
    let (mut count, mut failures) = (0, String::new());
    for path in files() {
        let file = std::fs::read_to_string(&path).expect("a transcript");
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        for case in cases(&file) {
            count += 1;
            if let Err(why) = replay(&case) {
                let _ = write!(failures, "\n{name}: {}\n{why}", case.title);
            }
        }
    }
    assert!(failures.is_empty(), "{failures}");
    assert!(count >= CASES_MIN, "only {count} cases were found");
}

#[test]
fn no_title_stands_twice_in_a_file() {
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

/// Replays a case at all cuts; the first that differs is told.
fn replay(case: &Case) -> Result<(), String> {
    let fixed = [
        Cuts::Whole,
        Cuts::Every(1),
        Cuts::Every(2),
        Cuts::Every(3),
        Cuts::Every(61),
    ];
    for cuts in fixed.into_iter().chain((1..=8).map(Cuts::Seeded)) {
        let run = || exchange(&case.request, cuts, case.ending);
        let Ok(exchange) = panic::catch_unwind(run) else {
            return Err(format!("  at cut {cuts:?}: it panicked, see above\n"));
        };
        // Byte by byte, the head is always read before the body.
        let answers = if matches!(cuts, Cuts::Every(1)) {
            [&case.answer; 2]
        } else {
            [&case.answer, &case.answer_at_once]
        };
        compare(case, &exchange, answers).map_err(|why| format!("  at cut {cuts:?}:\n{why}"))?;
    }
    Ok(())
}

fn compare(case: &Case, exchange: &Exchange, answers: [&Vec<u8>; 2]) -> Result<(), String> {
    if exchange.events != case.events {
        return Err(difference(&case.events, &exchange.events));
    }
    if answers.contains(&&exchange.output) {
        return Ok(());
    }
    Err(difference(&lines(&case.answer), &lines(&exchange.output)))
}

fn lines(bytes: &[u8]) -> Vec<String> {
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    lines.map(|line| line.escape_ascii().to_string()).collect()
}

/// What was expected (`-`) and what came (`+`), from the first line on that differs, long lines cut.
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
