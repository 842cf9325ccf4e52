//! The console sessions of the pages: each is played by a test, or says here why none plays it.
#![expect(
    clippy::expect_used,
    reason = "outside of #[test] functions too, a test may end itself"
)]

use std::fs;
use std::path::Path;

/// The pages that users read.
const PAGES: &[&str] = &["README.md", "platform/README.md", "tower/README.md"];
/// The folders of such pages.
const FOLDERS: &[&str] = &["docs", "tower/docs"];

enum Held {
    /// By a test: its file and its name.
    Played(&'static str, &'static str),
    /// By nothing, since.
    Because(&'static str),
}

use Held::{Because, Played};

/// Each session by its page and its first command, in the order of the page.
const SESSIONS: &[(&str, &str, Held)] = &[
    (
        "README.md",
        "cargo run --example first",
        Played(
            "tests/ladder.rs",
            "the_front_page_begins_with_the_first_example",
        ),
    ),
    (
        "README.md",
        "cargo test --example first",
        Because("it runs the test of the example, as `tests/examples.rs` does"),
    ),
    (
        "README.md",
        "coldstart new hello && cd hello",
        Played(
            "platform/tests/contract/packages.rs",
            "a_new_http_project_works",
        ),
    ),
    (
        "README.md",
        "rustup target add x86_64-unknown-linux-musl",
        Played(
            "platform/tests/contract/packages.rs",
            "our_bootstrap_packs_and_passes_every_check",
        ),
    ),
    (
        "README.md",
        "cargo run --release",
        Because("it serves until it is stopped; `tests/bootstrap.rs` runs the program"),
    ),
    (
        "platform/README.md",
        "coldstart run -- python3 server.py",
        Played(
            "platform/tests/contract/readme.rs",
            "the_first_session_finds_the_loopback_bind",
        ),
    ),
    (
        "platform/README.md",
        "coldstart run -- python3 server.py",
        Played(
            "platform/tests/contract/readme.rs",
            "the_second_session_serves_a_call_and_an_event",
        ),
    ),
    (
        "platform/README.md",
        "coldstart check -- node server.js",
        Played(
            "platform/tests/contract/readme.rs",
            "the_third_session_checks_a_node_server",
        ),
    ),
    (
        "docs/first-deployment.md",
        "cargo install --path platform",
        Because("it installs; `a_new_http_project_works` tries what it writes then"),
    ),
    (
        "docs/first-deployment.md",
        "coldstart pack && coldstart check",
        Because("its end needs an account of the platform"),
    ),
    (
        "docs/other-languages.md",
        "coldstart check -- python3 server.py",
        Played(
            "platform/tests/contract/readme.rs",
            "the_page_for_other_languages_finds_the_loopback_bind",
        ),
    ),
    (
        "docs/other-languages.md",
        "coldstart check",
        Played(
            "platform/tests/contract/readme.rs",
            "the_server_of_the_page_for_other_languages_keeps_every_rule_and_is_packed",
        ),
    ),
];

/// The sessions of a page: their first commands.
fn sessions(text: &str) -> Vec<&str> {
    let mut blocks = text.split("```console\n").skip(1);
    let mut found = Vec::new();
    for block in &mut blocks {
        let first = block.lines().next().unwrap_or_default();
        let command = first
            .strip_prefix("$ ")
            .expect("a session begins with a command");
        let command = command.split(" # ").next().unwrap_or_default();
        found.push(command.trim());
    }
    found
}

#[test]
fn each_console_session_is_played_or_has_a_reason() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(root.join(path)).expect("a file of ours");
    let mut pages: Vec<String> = PAGES.iter().map(|page| (*page).to_owned()).collect();
    for folder in FOLDERS {
        let entries = fs::read_dir(root.join(folder)).expect("a folder of ours");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        let mut names: Vec<String> = names
            .map(|name| format!("{folder}/{}", name.to_string_lossy()))
            .collect();
        names.sort();
        pages.extend(names);
    }
    let mut written = Vec::new();
    for page in &pages {
        let text = read(page);
        written.extend(
            sessions(&text)
                .into_iter()
                .map(|first| (page.clone(), first.to_owned())),
        );
    }
    let listed: Vec<(String, String)> = SESSIONS
        .iter()
        .map(|(page, first, _)| ((*page).to_owned(), (*first).to_owned()))
        .collect();
    assert_eq!(
        written, listed,
        "the sessions of the pages (left) are not those of the list (right)"
    );
    for (page, first, held) in SESSIONS {
        match held {
            Played(file, test) => assert!(
                read(file).contains(&format!("fn {test}()")),
                "{page}, `{first}`: {file} has no test {test}"
            ),
            Because(reason) => assert!(!reason.is_empty(), "{page}, `{first}`: no reason"),
        }
    }
}
