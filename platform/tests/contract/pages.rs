//! Plays the shell blocks of the pages, with the command that was built here. What needs an account, an engine or a cluster is left
//! out, line by line and with its reason. `tests/tidy/sessions.rs` lists the blocks of all pages.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::images::{ARM64, X86_64, executable};
use crate::packages::BUILDS;
use crate::sandbox;
use crate::support::{file, interpreter, missing, stderr, stdout};

const DEPLOY: &str = include_str!("../../../docs/deploy.md");
const README: &str = include_str!("../../README.md");
const TOWER: &str = include_str!("../../../tower/README.md");
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// The second target of the page about deploying.
const ARM_TARGET: &str = "aarch64-unknown-linux-musl";

/// What is not played: how the command begins, and what it needs.
const ELSEWHERE: &[(&str, &str)] = &[
    ("s deploy", "an account of the platform"),
    ("gcloud run ", "an account of Google's"),
    ("kubectl ", "a cluster"),
    ("skopeo login ", "an account of a registry"),
    ("podman ", "Podman"),
    ("docker ", "Docker"),
    (
        "runc ",
        "a terminal; `images.rs` runs an image with fewer rights",
    ),
    ("nsenter ", "the container that runs in the terminal"),
];

/// The shell block with this number, its commands one by one.
fn block(page: &str, number: usize) -> Vec<&str> {
    let block = page.split("```sh\n").nth(number + 1).expect("a block");
    let lines = block.lines().take_while(|line| *line != "```");
    let commands = lines.filter(|line| !line.starts_with('#'));
    commands.flat_map(|line| line.split(" && ")).collect()
}

/// Whether a test can run it.
fn is_played(command: &&str) -> bool {
    let mut left_out = ELSEWHERE.iter();
    !left_out.any(|(start, _)| command.starts_with(start))
}

/// Runs the lines in one shell, where `coldstart` is the program under test, up to the first that fails.
fn play(folder: &Path, script: &str) -> Output {
    let program = Path::new(env!("CARGO_BIN_EXE_coldstart"));
    let programs = program.parent().expect("its folder").display();
    let script = format!("PATH='{programs}':$PATH\nset -x\n{script}");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("projects");
    let _one_at_a_time = BUILDS.lock();
    let mut shell = Command::new("sh");
    let shell = shell.args(["-eu", "-c", &script]).current_dir(folder);
    let shell = shell.env("CARGO_TARGET_DIR", target).stdin(Stdio::null());
    let output = shell.output().expect("a shell");
    assert!(output.status.success(), "{script}\n{}", stderr(&output));
    output
}

/// Whether rustc has the standard library of a target.
fn has_target(name: &str) -> bool {
    let mut rustc = Command::new("rustc");
    let rustc = rustc.args(["--print", "target-libdir", "--target", name]);
    let folder = rustc.current_dir(ROOT).output().expect("rustc runs");
    Path::new(stdout(&folder).trim()).is_dir()
}

#[test]
fn the_page_about_deploying_can_be_typed_as_it_stands() {
    if interpreter(&["skopeo"]).is_none() {
        return;
    }
    let has_target = has_target(ARM_TARGET) || missing::<()>(ARM_TARGET).is_some();
    let can_unpack = interpreter(&["umoci"]).is_some() && sandbox::runs_containers();
    let folder = tempfile::tempdir().expect("a folder");
    // A folder takes the place of the registry.
    let registry = folder.path().join("registry");
    fs::create_dir_all(registry.join("team")).expect("a folder");
    let mut work = folder.path().to_owned();
    let blocks = DEPLOY.matches("```sh\n").count();
    assert!(blocks > 6, "{blocks} blocks");
    for number in 0..blocks {
        let commands = block(DEPLOY, number);
        let needs = |command: &&str| {
            (has_target || !command.contains(ARM_TARGET))
                && (can_unpack || !command.starts_with("umoci "))
        };
        let played: Vec<&str> = commands
            .iter()
            .copied()
            .filter(is_played)
            .filter(needs)
            .collect();
        let script = played.join("\n");
        let place = format!("oci:{}/", registry.display());
        play(&work, &script.replace("docker://registry.example/", &place));
        if number == 0 {
            work.push("demo");
            // What the page says comes from elsewhere.
            for (architecture, machine) in [("amd64", X86_64), ("arm64", ARM64)] {
                let place = format!("build/{architecture}/server");
                file(&work, &place, executable(machine), 0o755);
            }
        }
        let left_out = commands.iter().filter(|command| !is_played(command));
        let words = left_out.flat_map(|command| command.split(' '));
        for name in words.filter(|word| word.ends_with(".yaml") || word.ends_with(".tar")) {
            assert!(work.join(name).is_file(), "there is no {name}");
        }
    }
    assert!(registry.join("team/demo/index.json").is_file());
    assert!(work.join("demo-docker.tar").is_file());
    assert_eq!(work.join("bundle/config.json").is_file(), can_unpack);
}

#[test]
fn completions_and_man_pages_are_written_where_the_readme_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let home = folder.path().display();
    play(
        folder.path(),
        &format!("HOME='{home}'\n{}", block(README, 1).join("\n")),
    );
    let share = folder.path().join(".local/share");
    let completions = share.join("bash-completion/completions/coldstart");
    let text = fs::read_to_string(completions).expect("the completions");
    assert!(text.contains("complete -F"), "{text}");
    assert!(share.join("man/man1/coldstart.1").is_file());
    // The block before it installs, which takes minutes; what it ends with is played.
    let version = play(folder.path(), block(README, 0)[1]);
    assert!(stdout(&version).starts_with("coldstart "));
}

#[test]
fn the_first_program_of_coldstart_tower_builds_with_what_its_page_adds() {
    let folder = tempfile::tempdir().expect("a folder");
    let local = format!("cargo add --offline --path '{ROOT}/tower'");
    let add = |number: usize| {
        let lines = block(TOWER, number).join("\n");
        let lines = lines.replace("cargo add axum", "cargo add --offline axum");
        // Nothing is published yet.
        lines.replace("cargo add coldstart-tower", &local)
    };
    play(
        folder.path(),
        &format!("cargo init --name page\n{}", add(0)),
    );
    let (_, rest) = TOWER.split_once("```rust,no_run\n").expect("a program");
    let (program, _) = rest.split_once("```").expect("its end");
    file(folder.path(), "src/main.rs", program, 0o644);
    play(folder.path(), "cargo check --offline");
    play(folder.path(), &add(2));
    let manifest = fs::read_to_string(folder.path().join("Cargo.toml")).expect("it is written");
    assert!(manifest.contains("features = [\"tokio\"]"), "{manifest}");
}
