//! The examples in the order in which the front page has them: each curl line in the header of one prints what is shown there.
#![expect(clippy::expect_used, reason = "a failed set-up must fail the test")]

mod loopback;
#[path = "ladder/session.rs"]
mod session;

use std::fs;
use std::path::Path;

use loopback::process::can_run;
use session::play;

/// Examples for something else than to be read in this order.
const BESIDE: [&str; 3] = ["middleware", "minimal", "tour"];

/// The files that the front page links, in its order.
fn ladder() -> Vec<String> {
    let page = fs::read_to_string(root().join("README.md")).expect("the front page");
    let rows = page.lines().filter(|line| line.starts_with("| ["));
    let files = rows.filter_map(|row| row.split_once("](")?.1.split_once(')'));
    let names = files.map(|(file, _)| file.to_owned());
    names.filter(|file| file.contains("examples/")).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn each_curl_line_prints_what_its_example_shows() {
    if !can_run("curl lines", &["curl", "--version"]) {
        return;
    }
    // Cargo puts examples next to programs in all of its versions, but not tests.
    let program = Path::new(env!("CARGO_BIN_EXE_bootstrap"));
    // `tower/tests/ladder.rs` plays the others.
    for file in ladder() {
        if file.starts_with("examples/") {
            play(root(), &file, program);
        }
    }
}

#[test]
fn the_front_page_has_each_example() {
    let ladder = ladder();
    let entries = fs::read_dir(root().join("examples")).expect("the examples");
    for entry in entries {
        let path = entry.expect("an entry").path();
        let name = path
            .file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let is_listed = ladder
            .iter()
            .any(|file| file.starts_with(&format!("examples/{name}/")));
        assert_ne!(is_listed, BESIDE.contains(&name.as_str()), "{name}");
    }
    assert!(ladder.len() >= 12, "{ladder:?}");
}

#[test]
fn the_front_page_begins_with_the_first_example() {
    let read = |path: &str| fs::read_to_string(root().join(path)).expect("a file of ours");
    let (page, source) = (read("README.md"), read("examples/first/main.rs"));
    // Without its header, which is played as that of each example.
    let (header, code) = source.split_once("\n\n").expect("a header");
    let first = |begin: &str| {
        let (_, rest) = page.split_once(begin).expect("a block");
        rest.split_once("```").expect("its end").0
    };
    assert_eq!(first("```rust,no_run\n"), code);
    let lines = header.lines().map(|line| line.trim_start_matches("//!"));
    let lines: Vec<&str> = lines
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
        .collect();
    let session = lines.join("\n");
    let shown = first("```console\n");
    assert!(
        session.contains(&format!("```console\n{shown}```")),
        "{session}\n{shown}"
    );
}
