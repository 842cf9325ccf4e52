//! Finds out which commit the command is built from, for `coldstart --version`. Without git, and in a package that has
//! no commit, the version is all.
#![expect(
    clippy::disallowed_methods,
    reason = "cargo passes everything to a build script in the environment"
)]

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use git::git;

#[path = "src/git.rs"]
mod git;

/// What cargo writes into a package that it publishes.
const PACKAGED: &str = ".cargo_vcs_info.json";
/// Set by `.ci/release`.
const RELEASE: &str = "COLDSTART_RELEASE";
/// Letters of the commit that are shown.
const SHOWN_LEN: usize = 12;

/// `other` builds what is for systems other than Linux, so that it can be tested on Linux.
const SYSTEM: &str = "COLDSTART_SYSTEM";
const NO_WINDOWS: &str =
    "coldstart runs on Linux, and on macOS for development; on Windows, build and run it in WSL 2";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={SYSTEM}");
    println!("cargo::rustc-check-cfg=cfg(on_linux)");
    if env::var_os("CARGO_CFG_UNIX").is_none() {
        // Of this package alone: its sources would add an error for each name that is not there.
        println!("cargo::error={NO_WINDOWS}");
        return;
    }
    let is_linux = env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "linux");
    if is_linux && env::var(SYSTEM).as_deref() != Ok("other") {
        println!("cargo::rustc-cfg=on_linux");
    }
    let version = env::var("CARGO_PKG_VERSION").unwrap_or_default();
    // While the command is developed, a commit changes nothing that would have to be built again.
    let is_for_users = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let folder = env::var("CARGO_MANIFEST_DIR")
        .map(PathBuf::from)
        .unwrap_or_default();
    let commit = if is_for_users { commit(&folder) } else { None };
    let known = commit.map_or_else(String::new, |commit| format!(" ({commit})"));
    println!("cargo::rustc-env=COLDSTART_VERSION={version}{known}");
    // `new` looks for the library there. A program that is built to be taken elsewhere names no folder of this machine.
    println!("cargo::rerun-if-env-changed={RELEASE}");
    let built_in = if env::var_os(RELEASE).is_some() {
        PathBuf::new()
    } else {
        folder
    };
    println!("cargo::rustc-env=COLDSTART_BUILT_IN={}", built_in.display());
}

/// The commit of the sources in this folder, with `-dirty` if files there differ from it.
pub(crate) fn commit(folder: &Path) -> Option<String> {
    let packaged = fs::read_to_string(folder.join(PACKAGED)).ok();
    if let Some(commit) = packaged.as_deref().and_then(packaged_commit) {
        return Some(commit);
    }
    // Another repository may have this folder in one that it ignores, such as one of vendored packages.
    git(folder, &["ls-files", "--error-unmatch", "build.rs"])?;
    let commit = git(folder, &["rev-parse", "--verify", "HEAD"])?;
    for watched in ["HEAD", "logs/HEAD"] {
        let path = git(folder, &["rev-parse", "--git-path", watched])?;
        println!("cargo::rerun-if-changed={}", folder.join(path).display());
    }
    for watched in ["Cargo.toml", "src"] {
        println!("cargo::rerun-if-changed={watched}");
    }
    let changes = git(
        folder,
        &["status", "--porcelain", "--untracked-files=no", "--", "."],
    )?;
    let mark = if changes.is_empty() { "" } else { "-dirty" };
    Some(format!("{}{mark}", commit.get(..SHOWN_LEN)?))
}

fn packaged_commit(text: &str) -> Option<String> {
    let after = text.split_once("\"sha1\"")?.1.split_once('"')?.1;
    let commit = after.split_once('"')?.0;
    commit.get(..SHOWN_LEN).map(str::to_owned)
}
