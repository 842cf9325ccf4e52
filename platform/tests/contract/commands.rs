//! The pages name commands and options that exist.

use std::collections::BTreeMap;

use crate::support::{coldstart, stdout};

/// The pages that name commands of `coldstart`.
const PAGES: &[(&str, &str)] = &[
    ("README.md", include_str!("../../../README.md")),
    ("platform/README.md", include_str!("../../README.md")),
    ("docs/deploy.md", include_str!("../../../docs/deploy.md")),
    ("docs/faq.md", include_str!("../../../docs/faq.md")),
    (
        "docs/first-deployment.md",
        include_str!("../../../docs/first-deployment.md"),
    ),
    ("docs/guide.md", include_str!("../../../docs/guide.md")),
    (
        "docs/other-languages.md",
        include_str!("../../../docs/other-languages.md"),
    ),
];

/// The code of a page: its lines in blocks, and what stands in backticks, in one line each.
fn code(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (number, part) in page.split("```").enumerate() {
        if number % 2 == 1 {
            found.extend(part.lines().map(str::to_owned));
        } else {
            let quoted = part.split('`').skip(1).step_by(2);
            found.extend(quoted.map(|text| text.replace('\n', " ")));
        }
    }
    found
}

/// The commands of `coldstart` in a line of code: the name of each, and its options.
fn commands(line: &str) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    for command in line.trim_start_matches("$ ").split(" && ") {
        let mut words = command.split_whitespace();
        if words.next() != Some("coldstart") {
            continue;
        }
        let Some(name) = words.next() else {
            continue;
        };
        // What follows belongs to another program, or to the shell, or is a remark.
        let words = words.take_while(|word| !["--", "|", ">", "#"].contains(word));
        let options = words.filter(|word| word.starts_with("--"));
        let options = options.map(|option| option.trim_end_matches([',', ';', ']']).to_owned());
        found.push((name.to_owned(), options.collect()));
    }
    found
}

#[test]
fn the_pages_name_commands_and_options_that_exist() {
    let mut help: BTreeMap<String, String> = BTreeMap::new();
    let mut seen = 0;
    for (page, text) in PAGES {
        let lines = code(text);
        for (name, options) in lines.iter().flat_map(|line| commands(line)) {
            if name.starts_with("--") {
                assert_eq!(name, "--version", "{page}: coldstart {name}");
                continue;
            }
            let help = help.entry(name.clone()).or_insert_with(|| {
                let asked = coldstart(&[&name, "--help"]);
                assert_eq!(asked.status.code(), Some(0), "{page}: coldstart {name}");
                stdout(&asked)
            });
            let has = |option: &String| {
                let known = help.split(|letter: char| letter != '-' && !letter.is_alphanumeric());
                known.into_iter().any(|word| word == option)
            };
            for option in &options {
                assert!(has(option), "{page}: coldstart {name} has no {option}");
            }
            seen += 1;
        }
    }
    assert!(seen > 30, "{seen} commands");
}

#[test]
fn a_command_ends_where_another_program_begins() {
    for (line, expected) in [
        (
            "$ coldstart check -- python3 --a",
            &[("check", &[][..])][..],
        ),
        (
            "coldstart pack --image a.tar && coldstart run --watch | tail --lines 2",
            &[("pack", &["--image"]), ("run", &["--watch"])],
        ),
        ("coldstart new d --kind http|sse", &[("new", &["--kind"])]),
        ("cargo run -p coldstart-cli -- pack", &[]),
        ("coldstart", &[]),
    ] {
        let found = commands(line);
        let found: Vec<(&str, Vec<&str>)> = found
            .iter()
            .map(|(name, options)| (&**name, options.iter().map(|option| &**option).collect()))
            .collect();
        let expected: Vec<(&str, Vec<&str>)> = expected
            .iter()
            .map(|(name, options)| (*name, options.to_vec()))
            .collect();
        assert_eq!(found, expected, "{line}");
    }
}
