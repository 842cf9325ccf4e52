//! What is installed beside the program: its version, completions and man pages.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{coldstart, interpreter, stderr, stdout};

/// The commands that `--help` lists.
const COMMANDS: [&str; 6] = ["run", "invoke", "check", "bench", "pack", "new"];

#[path = "../../build.rs"]
#[expect(
    dead_code,
    clippy::print_stdout,
    reason = "cargo calls its main function, and reads what it prints"
)]
mod build_script;

#[test]
fn the_version_is_that_of_the_package() {
    let said = stdout(&coldstart(&["--version"]));
    let expected = concat!("coldstart ", env!("CARGO_PKG_VERSION"));
    assert!(
        said.trim_end() == expected || said.starts_with(&format!("{expected} (")),
        "{said}"
    );
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.args(["-c", "user.name=a", "-c", "user.email=a@example.invalid"]);
    command.args(["-c", "commit.gpgsign=false"]).args(arguments);
    let output = command.current_dir(folder).output().expect("git");
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output).trim().to_owned()
}

#[test]
fn the_commit_is_that_of_the_sources() {
    if interpreter(&["git"]).is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    fs::write(path.join("build.rs"), "one").expect("written");
    assert_eq!(build_script::commit(path), None, "no repository");
    git(path, &["init", "-q"]);
    assert_eq!(build_script::commit(path), None, "no commit");
    git(path, &["add", "."]);
    git(path, &["commit", "-q", "-m", "one"]);
    let commit = git(path, &["rev-parse", "--short=12", "HEAD"]);
    assert_eq!(build_script::commit(path).as_deref(), Some(&*commit));
    fs::write(path.join("build.rs"), "two").expect("written");
    let dirty = format!("{commit}-dirty");
    assert_eq!(build_script::commit(path), Some(dirty));
    // A folder that the repository does not know, and then a package with a commit of its own.
    let vendored = path.join("vendor");
    fs::create_dir(&vendored).expect("created");
    fs::write(vendored.join("build.rs"), "three").expect("written");
    assert_eq!(build_script::commit(&vendored), None);
    let packaged = "{\n  \"git\": {\n    \"sha1\": \"0123456789abcdef0123\"\n  }\n}";
    fs::write(vendored.join(".cargo_vcs_info.json"), packaged).expect("written");
    assert_eq!(
        build_script::commit(&vendored).as_deref(),
        Some("0123456789ab")
    );
}

#[test]
fn shells_complete_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let script = stdout(&coldstart(&["completions", shell]));
        for command in COMMANDS {
            assert!(script.contains(command), "{shell}: {command}");
        }
        assert!(script.contains("image-dir"), "{shell}");
    }
    assert_eq!(
        coldstart(&["completions", "no-such"]).status.code(),
        Some(2)
    );
    if interpreter(&["bash"]).is_none() {
        return;
    }
    let script = stdout(&coldstart(&["completions", "bash"]));
    let ask = "COMP_WORDS=(coldstart pack --ima); COMP_CWORD=2; _coldstart coldstart --ima pack; echo \"${COMPREPLY[@]}\"";
    let output = Command::new("bash")
        .args(["-c", &format!("{script}\n{ask}")])
        .output()
        .expect("bash");
    assert_eq!(
        stdout(&output).trim(),
        "--image --image-dir",
        "{}",
        stderr(&output)
    );
}

#[test]
fn every_command_has_a_man_page() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_str().expect("text");
    let output = coldstart(&["man", path]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    for command in COMMANDS {
        let page = fs::read_to_string(folder.path().join(format!("coldstart-{command}.1")));
        let page = page.expect("a page");
        assert!(
            page.contains(".SH OPTIONS") && page.contains("Exit status:"),
            "{page}"
        );
    }
    assert!(folder.path().join("coldstart.1").is_file());
    let refused = coldstart(&["man", "/no/such"]);
    assert_eq!(refused.status.code(), Some(6), "{}", stderr(&refused));
}
