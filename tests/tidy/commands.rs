//! What the pages tell to run exists: packages, tests, benches, examples, features, scripts and what these take.
#![expect(
    clippy::expect_used,
    reason = "outside of #[test] functions too, a test may end itself"
)]

use std::fs;
use std::path::{Path, PathBuf};

use super::source::{Finding, Source};
use super::{Rule, keep};

/// The options of cargo that name something, the folder in which that is found, and the section of a manifest that may list it.
const NAMED: &[(&str, &str, &str)] = &[
    ("--test", "tests", "test"),
    ("--bench", "benches", "bench"),
    ("--example", "examples", "example"),
    ("--bin", "src/bin", "bin"),
];

#[test]
fn what_the_pages_run_exists() {
    keep(&Rule {
        why: "this tells to run what is not there",
        applies: |path| {
            let is_page = path.ends_with(".md") || path.ends_with(".md.txt");
            is_page && path != "CHANGELOG.md" && !path.starts_with("tests/wire/")
        },
        find: lost,
        bad: ("README.md", "```sh\ncargo test --test lost\n```\n"),
        good: (
            "README.md",
            "```console\n$ SEED=7 cargo test -q -p coldstart-cli --test contract verdicts\n```\n`.ci/sanitize miri`, `.ci/fuzz connection 600`, \
             `cargo run -p coldstart-tower --example shop --features tokio -- --lost`, `cargo add axum --features a`",
        ),
    });
}

#[test]
fn each_kind_of_name_is_looked_up() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (command, is_right) in [
        ("cargo bench --bench turn", true),
        ("cargo bench --bench turns", false),
        ("cargo run --example todos --features json", true),
        ("cargo run --example todos --features jsons", false),
        (
            "cargo run -p coldstart-tower --example axum -- --bench lost",
            true,
        ),
        ("cargo run -p coldstart-towers", false),
        ("cargo build --bin bootstrap --profile dist", true),
        ("cargo build --bin bootstrap --profile lost", false),
        ("cargo add coldstart-tower --features tokio", true),
        ("cargo add coldstart-tower --features json", false),
        ("cargo add coldstart --features websocket", true),
        ("cargo add axum --features anything", true),
        (".ci/run quick", true),
        (".ci/run slowly", false),
        (".ci/lost", false),
        ("tower/ci-setup", true),
        ("SEED=7 .ci/fuzz connection 600 # a remark", true),
        (".ci/check-dist --min", true),
        (".ci/check-dist --max", false),
        ("coldstart run --lost", true),
        ("", true),
    ] {
        let found = unknown(root, command);
        assert_eq!(found.is_none(), is_right, "{command}: {found:?}");
    }
}

fn lost(source: &Source) -> Vec<Finding> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for (at, line) in code(&source.text) {
        for command in line.split(" && ") {
            found.extend(unknown(root, command).map(|what| (at, what)));
        }
    }
    found
}

/// The code of a page, each piece with its place: the lines of blocks, and what stands in backticks.
fn code(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut at = 0;
    for (number, part) in text.split("```").enumerate() {
        if number % 2 == 1 {
            found.extend(part.lines().map(|line| (at, line.to_owned())));
        } else {
            let quoted = part.split('`').skip(1).step_by(2);
            found.extend(quoted.map(|text| (at, text.replace('\n', " "))));
        }
        at += part.len() + 3;
    }
    found
}

/// What a command names that is not there.
fn unknown(root: &Path, command: &str) -> Option<String> {
    let words = command.split_whitespace();
    let words = words.skip_while(|word| *word == "$" || word.contains('='));
    let words = words.take_while(|word| !["--", "#", "|", ">", "…"].contains(word));
    let words: Vec<&str> = words.collect();
    let (program, arguments) = words.split_first()?;
    match *program {
        "cargo" => unknown_to_cargo(root, arguments),
        script if script.starts_with(".ci/") || script.ends_with("/ci-setup") => {
            unknown_to_script(root, script, arguments)
        }
        _ => None,
    }
}

/// A script has each of its arguments in its text, but for numbers, and names of what it is to work on.
fn unknown_to_script(root: &Path, script: &str, arguments: &[&str]) -> Option<String> {
    let Ok(text) = fs::read_to_string(root.join(script)) else {
        return Some(format!("there is no {script}"));
    };
    let is_named = |word: &&&str| {
        let mut letters = word.chars();
        letters.all(|letter| letter.is_ascii_lowercase() || letter == '-')
    };
    let is_target = |word: &str| root.join(format!("fuzz/fuzz_targets/{word}.rs")).is_file();
    let mut arguments = arguments.iter().filter(is_named);
    let lost = arguments.find(|word| !text.contains(**word) && !is_target(word))?;
    Some(format!("{script} takes no {lost}"))
}

fn unknown_to_cargo(root: &Path, words: &[&str]) -> Option<String> {
    let values = |option: &'static str| {
        let pairs = words.windows(2).filter(move |pair| pair[0] == option);
        pairs.map(|pair| pair[1])
    };
    let package = match words {
        ["add", name, ..] if name.starts_with("coldstart") => name,
        ["add", ..] => return None,
        _ => values("-p").next().unwrap_or("coldstart"),
    };
    let Some((folder, manifest)) = manifest(root, package) else {
        return Some(format!("there is no package {package}"));
    };
    for (option, place, section) in NAMED {
        for name in values(option) {
            let listed = format!("name = \"{name}\"\n");
            let sections = manifest.split("\n[").map(|text| format!("[{text}"));
            let mut sections = sections.filter(|text| text.starts_with(&format!("[[{section}]]")));
            let file = folder.join(place).join(name);
            let is_there = sections.any(|text| text.contains(&listed))
                || file.with_extension("rs").is_file()
                || file.join("main.rs").is_file();
            if !is_there {
                return Some(format!("{package} has no {section} {name}"));
            }
        }
    }
    for profile in values("--profile") {
        let root = fs::read_to_string(root.join("Cargo.toml")).expect("the manifest");
        if !root.contains(&format!("\n[profile.{profile}]")) {
            return Some(format!("there is no profile {profile}"));
        }
    }
    let mut features = values("--features").flat_map(|list| list.split(','));
    let lost = features.find(|feature| !manifest.contains(&format!("\n{feature} = [")))?;
    Some(format!("{package} has no feature {lost}"))
}

/// The folder of a package of ours, and its manifest.
fn manifest(root: &Path, package: &str) -> Option<(PathBuf, String)> {
    let folder = match package {
        "coldstart" => root.to_owned(),
        "coldstart-cli" => root.join("platform"),
        _ => root.join(package.strip_prefix("coldstart-")?),
    };
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).ok()?;
    Some((folder, manifest))
}
