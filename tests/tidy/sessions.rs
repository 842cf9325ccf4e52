//! What the pages show to be typed: each console session and each block of commands is played by a test, or says here why none plays it.

use std::fs;
use std::path::Path;

use super::source::walk;

/// Pages whose blocks without a language are Rust, as rustdoc has it.
const OF_RUSTDOC: &[&str] = &[
    "docs/contract.md",
    "docs/guide.md",
    "docs/migrating.md",
    "tower/docs/migrating.md",
];
/// How commands begin, in a block of another kind too.
const TYPED: &[&str] = &[
    "$ ",
    "./",
    ".ci/",
    "cargo ",
    "coldstart ",
    "curl ",
    "git ",
    "rustup ",
    "sh ",
];

enum Held {
    /// By a test: its file and its name.
    Played(&'static str, &'static str),
    /// By nothing, since.
    Because(&'static str),
}

use Held::{Because, Played};

/// Each block by its page and its first command, in the order of the pages.
const SESSIONS: &[(&str, &str, Held)] = &[
    (
        "CONTRIBUTING.md",
        "cargo test --workspace",
        Because("it is the tests, and `.ci/run` is the gate, which runs them"),
    ),
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
        "benches/README.md",
        "benches/measure",
        Because("it measures for twenty minutes; `what_the_pages_run_exists` knows each bench"),
    ),
    (
        "benches/README.md",
        "cargo build --profile dist --target x86_64-unknown-linux-musl --bin bootstrap",
        Because(
            "it serves until it is stopped; `.ci/check-dist` builds the file, and `tests/bootstrap.rs` has its arguments",
        ),
    ),
    (
        "benches/README.md",
        "wrk -t1 -c64 -d5 http://127.0.0.1:9000/hello",
        Because("a load for fifteen seconds; `benches/versus.rs` applies the same"),
    ),
    (
        "docs/deploy.md",
        "coldstart new demo --deploy fc-image,knative,cloud-run,kubernetes",
        Played(
            "platform/tests/contract/pages.rs",
            "the_page_about_deploying_can_be_typed_as_it_stands",
        ),
    ),
    (
        "docs/deploy.md",
        "coldstart pack && s deploy",
        Played(
            "platform/tests/contract/pages.rs",
            "the_page_about_deploying_can_be_typed_as_it_stands",
        ),
    ),
    (
        "docs/deploy.md",
        "coldstart pack --image demo.tar --tag demo:1.0",
        Played(
            "platform/tests/contract/pages.rs",
            "the_page_about_deploying_can_be_typed_as_it_stands",
        ),
    ),
    (
        "docs/deploy.md",
        "skopeo login registry.example",
        Played(
            "platform/tests/contract/pages.rs",
            "the_page_about_deploying_can_be_typed_as_it_stands",
        ),
    ),
    (
        "docs/deploy.md",
        "coldstart pack --image demo.tar --target x86_64-unknown-linux-musl,aarch64-unknown-linux-musl",
        Played(
            "platform/tests/contract/pages.rs",
            "the_page_about_deploying_can_be_typed_as_it_stands",
        ),
    ),
    (
        "docs/deploy.md",
        "skopeo inspect --override-arch arm64 oci-archive:demo.tar",
        Played(
            "platform/tests/contract/pages.rs",
            "the_page_about_deploying_can_be_typed_as_it_stands",
        ),
    ),
    (
        "docs/deploy.md",
        "coldstart pack --image-dir demo",
        Played(
            "platform/tests/contract/pages.rs",
            "the_page_about_deploying_can_be_typed_as_it_stands",
        ),
    ),
    (
        "docs/deploy.md",
        "nsenter --net --target \"$(runc ps --format json demo | tr -d '[]')\" curl localhost:9000",
        Because(
            "the container runs in a terminal; `our_bootstrap_serves_from_an_image_as_nobody_without_rights` calls and stops one",
        ),
    ),
    (
        "docs/first-deployment.md",
        "cargo install --locked --path platform",
        Because("it installs; `a_new_http_project_works` tries what it writes then"),
    ),
    (
        "docs/first-deployment.md",
        "coldstart pack && coldstart check",
        Because("its end needs an account of the platform"),
    ),
    (
        "docs/other-languages.md",
        "sh install.sh FROM",
        Played(
            "platform/tests/contract/release.rs",
            "what_was_released_is_installed_from_an_address_and_from_a_folder",
        ),
    ),
    (
        "docs/other-languages.md",
        ".ci/setup-tools long && .ci/release",
        Because(
            "it builds for two machines, for an hour on one that has none of the tools; `what_was_released_is_installed_from_an_address_and_from_a_folder` runs its `install.sh`",
        ),
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
    (
        "fuzz/README.md",
        ".ci/fuzz differential 600",
        Because("ten minutes; `.ci/run` runs each target for less"),
    ),
    (
        "platform/README.md",
        "cargo install --locked --path platform",
        Played(
            "platform/tests/contract/pages.rs",
            "completions_and_man_pages_are_written_where_the_readme_says",
        ),
    ),
    (
        "platform/README.md",
        "mkdir -p ~/.local/share/bash-completion/completions ~/.local/share/man/man1",
        Played(
            "platform/tests/contract/pages.rs",
            "completions_and_man_pages_are_written_where_the_readme_says",
        ),
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
        "platform/templates/README.md.txt",
        "cargo test",
        Played(
            "platform/tests/contract/packages.rs",
            "a_new_http_project_works",
        ),
    ),
    (
        "tower/README.md",
        "cargo add coldstart-tower",
        Played(
            "platform/tests/contract/pages.rs",
            "the_first_program_of_coldstart_tower_builds_with_what_its_page_adds",
        ),
    ),
    (
        "tower/README.md",
        "cargo run -p coldstart-tower --example axum -- todos",
        Played(
            "tower/tests/examples.rs",
            "todos_are_made_changed_listed_and_removed",
        ),
    ),
    (
        "tower/README.md",
        "cargo add coldstart-tower --features tokio",
        Played(
            "platform/tests/contract/pages.rs",
            "the_first_program_of_coldstart_tower_builds_with_what_its_page_adds",
        ),
    ),
];

/// The blocks of a page that are to be typed: their first commands.
fn sessions(page: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(language) = line.trim_start().strip_prefix("```") else {
            continue;
        };
        let block = lines.by_ref();
        let block = block.take_while(|line| !line.trim_start().starts_with("```"));
        let mut commands = block.filter(|line| !line.starts_with("# "));
        let first = commands.next().unwrap_or_default();
        // The end of the block.
        commands.for_each(drop);
        let is_typed = match language {
            "console" | "sh" | "bash" => true,
            "" if OF_RUSTDOC.contains(&page) => false,
            _ => TYPED.iter().any(|start| first.starts_with(start)) || language.is_empty(),
        };
        if is_typed {
            let is_right = (language == "console") == first.starts_with("$ ");
            assert!(
                is_right && matches!(language, "console" | "sh"),
                "{page}: `{first}`: ```console has `$ ` before what is typed, and ```sh has nothing but that"
            );
            let command = first.trim_start_matches("$ ");
            let command = command.split(" #").next().unwrap_or_default();
            found.push(command.trim().to_owned());
        }
    }
    found
}

#[test]
fn what_is_typed_is_played_or_has_a_reason() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = Vec::new();
    walk(root, root, &mut |path, text| {
        let is_page = path.ends_with(".md") || path == "platform/templates/README.md.txt";
        // Transcripts have blocks of their own kinds, and a test for each.
        if is_page && !path.starts_with("tests/wire/") {
            pages.push((path, text));
        }
    });
    pages.sort();
    let mut written = Vec::new();
    for (page, text) in &pages {
        let firsts = sessions(page, text).into_iter();
        written.extend(firsts.map(|first| (page.clone(), first)));
    }
    let listed: Vec<(String, String)> = SESSIONS
        .iter()
        .map(|(page, first, _)| ((*page).to_owned(), (*first).to_owned()))
        .collect();
    assert_eq!(
        written, listed,
        "what the pages show to be typed (left) is not what the list has (right)"
    );
    let read = |path: &str| fs::read_to_string(root.join(path)).expect("a file of ours");
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

#[test]
fn a_block_of_commands_is_found_whatever_it_is_called() {
    let page =
        "```console\n$ a b # why\nprinted\n```\n```sh\n# first\nc\n```\n```rust\nlet d;\n```\n";
    assert_eq!(sessions("README.md", page), ["a b", "c"]);
    assert!(sessions("docs/guide.md", "```\nlet a;\n```\n").is_empty());
    let hidden = std::panic::catch_unwind(|| sessions("README.md", "```text\ncargo test\n```\n"));
    assert!(hidden.is_err(), "its kind is wrong");
}
