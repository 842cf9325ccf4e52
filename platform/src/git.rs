//! What git says about a folder. The build script uses this file as well.

use std::path::Path;
use std::process::{Command, Stdio};

/// The output of a git command that only reads. None outside of a repository, or without git.
pub(crate) fn git(folder: &Path, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new("git");
    // Another git may be at work in the folder.
    command
        .env("GIT_OPTIONAL_LOCKS", "0")
        .arg("-C")
        .arg(folder)
        .args(arguments);
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
