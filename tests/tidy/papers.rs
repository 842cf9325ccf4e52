//! What the papers say is so: files that they name, the ids of `coldstart check`, the limits, the server's dependencies.
#![expect(
    clippy::expect_used,
    reason = "outside of #[test] functions too, a test may end itself"
)]

use std::fs;
use std::path::Path;

use super::source::{Finding, Source};
use super::{Rule, keep};

/// Where a path in backticks begins, so that it is one of ours.
const FOLDERS: &[&str] = &[
    "src/",
    "tests/",
    "platform/",
    "tower/",
    "benches/",
    "examples/",
    "fuzz/",
    "docs/",
    ".ci/",
    ".cargo/",
    ".github/",
];

/// What exists only after something has run.
const MADE: &[&str] = &["fuzz/artifacts", "benches/report/"];

#[test]
fn files_that_are_named_exist() {
    keep(&Rule {
        why: "this names a file that is not there",
        applies: |path| {
            let is_text = path.ends_with(".rs") || path.ends_with(".md");
            is_text && !path.starts_with("tests/tidy") && path != "CHANGELOG.md"
        },
        find: missing_files,
        bad: ("README.md", "`cargo test`; see `src/elsewhere/lost.rs`"),
        good: (
            "README.md",
            "`src/lib.rs`, `.ci/run quick`, `src/h1/`, `tests/wire/*.md`, `fuzz/artifacts/<target>/` and `lost.rs`",
        ),
    });
}

fn missing_files(source: &Source) -> Vec<Finding> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut start = 0;
    for line in source.text.split_inclusive('\n') {
        let mut at = start;
        for (number, part) in line.split('`').enumerate() {
            let path = part.split([' ', ':', ',']).next().unwrap_or_default();
            let is_ours = FOLDERS.iter().any(|folder| path.starts_with(folder));
            let is_pattern = path.contains(['*', '<', '…', '{', '\\', '"', '(']);
            let is_made = MADE.iter().any(|made| path.starts_with(made));
            // In `platform/` a path may start there.
            let exists = || root.join(path).exists() || root.join("platform").join(path).exists();
            if number % 2 == 1 && is_ours && !is_pattern && !is_made && !exists() {
                found.push((at, path.to_owned()));
            }
            at += part.len() + 1;
        }
        start += line.len();
    }
    found
}

#[test]
fn the_checks_have_the_same_ids_in_code_contract_and_readme() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(root.join(path)).expect("a file of ours");
    let catalogue = read("platform/src/check/catalogue.rs");
    let ids = catalogue
        .lines()
        .filter_map(|line| line.trim().strip_prefix("id: \""));
    let coded: Vec<&str> = ids.filter_map(|id| id.strip_suffix("\",")).collect();
    assert!(coded.len() > 30, "{coded:?}");
    assert_eq!(listed(&read("docs/contract.md"), "### Checks"), coded);
    assert_eq!(listed(&read("platform/README.md"), "## Checks"), coded);
}

/// The ids in the first column of the table under a heading; a row may have several.
fn listed(page: &str, heading: &str) -> Vec<String> {
    let (_, section) = page
        .split_once(&format!("\n{heading}\n"))
        .expect("the heading");
    let rows = section.lines().skip_while(|line| !line.starts_with('|'));
    let rows = rows.take_while(|line| line.starts_with('|')).skip(2);
    let cells = rows.filter_map(|row| row.split('|').nth(1));
    cells
        .flat_map(|cell| cell.split(','))
        .map(|id| id.trim().to_owned())
        .collect()
}

#[test]
fn the_threat_model_names_each_limit() {
    let limits = include_str!("../../src/limits.rs");
    let (_, fields) = limits
        .split_once("pub struct Limits {\n")
        .expect("the struct");
    let (fields, _) = fields.split_once("\n}").expect("its end");
    let names = fields
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pub(crate) "))
        .filter_map(|line| line.split(':').next());
    let names: Vec<&str> = names.collect();
    assert!(names.len() > 5, "{names:?}");
    let table = include_str!("../../SECURITY.md")
        .lines()
        .filter(|line| line.starts_with('|'));
    let table: String = table.collect();
    for name in names {
        let is_named = ["`Limits::", "`"]
            .iter()
            .any(|start| table.contains(&format!("{start}{name}`")));
        assert!(is_named, "SECURITY.md has no row for {name}");
    }
}

#[test]
fn the_server_has_five_dependencies_by_default() {
    let manifest = include_str!("../../Cargo.toml");
    let (_, section) = manifest
        .split_once("\n[dependencies]\n")
        .expect("the section");
    let lines = section.lines().take_while(|line| !line.starts_with('['));
    let needed = lines.filter(|line| !line.trim().is_empty() && !line.contains("optional = true"));
    let names: Vec<&str> = needed.filter_map(|line| line.split(' ').next()).collect();
    let expected = ["bytes", "httparse", "libc", "mio", "socket2"];
    assert_eq!(
        names, expected,
        "another one needs an argument: see CONTRIBUTING.md"
    );
}
