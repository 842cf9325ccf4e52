//! What a measurement depends on besides the servers: the machine, the date, the versions.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use crate::clock::stamp_millis;
use crate::instance::process::eventually;
use crate::project::{Project, Start};
use crate::system;

/// How long an interpreter may take to print its version.
const VERSION_PATIENCE: Duration = Duration::from_secs(10);
const VERSION_LEN_MAX: u64 = 4096;
/// Programs that print their version when asked to. Any other program might start to serve.
const INTERPRETERS: [&str; 9] = [
    "bun", "deno", "dotnet", "java", "node", "perl", "php", "python", "ruby",
];

/// The machine at the time of the measurement.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) kernel: String,
    /// In UTC.
    pub(crate) date: String,
    /// The version of this program.
    pub(crate) coldstart: &'static str,
    /// Runnable processes in the last minute, on average, before the measurement began.
    pub(crate) load: String,
}

impl Machine {
    /// Describes the machine that this runs on.
    pub(crate) fn of_now() -> Self {
        let kernel = rustix::system::uname();
        let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
        Self {
            processor: system::processor().unwrap_or_else(|| text(kernel.machine())),
            kernel: format!("{} {}", text(kernel.sysname()), text(kernel.release())),
            date: format!("{} UTC", minute(&stamp_millis(SystemTime::now()))),
            coldstart: env!("CARGO_PKG_VERSION"),
            load: system::load().unwrap_or_else(|| "not seen".to_owned()),
        }
    }
}

/// `2026-01-31 08:09` of a timestamp.
fn minute(stamp: &str) -> String {
    stamp.chars().take(16).collect::<String>().replace('T', " ")
}

/// The version of the interpreter that a command starts with, or the size of its executable.
pub(crate) fn version(project: &Project) -> Option<String> {
    let Start::Command(words) = &project.start else {
        return None;
    };
    let program = find(words.first()?, project)?;
    let name = program.file_name()?.to_string_lossy().into_owned();
    let stem = name.trim_end_matches(|letter: char| letter.is_ascii_digit() || letter == '.');
    if INTERPRETERS.contains(&stem) {
        let line = first_line(&program)?;
        let is_named = line.to_lowercase().contains(stem);
        return Some(if is_named {
            line
        } else {
            format!("{stem} {line}")
        });
    }
    let size = fs::metadata(&program).ok()?.len();
    Some(format!("{name}, {} KB", size.div_ceil(1024)))
}

/// Where a shell would find the program.
#[expect(
    clippy::disallowed_methods,
    reason = "the program is searched in the PATH of the user"
)]
fn find(word: &str, project: &Project) -> Option<PathBuf> {
    if word.contains('/') {
        return Some(project.code.join(word));
    }
    let path = std::env::var_os("PATH")?;
    let is_program = |path: &PathBuf| {
        fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 > 0)
    };
    std::env::split_paths(&path)
        .map(|folder| folder.join(word))
        .find(is_program)
}

fn first_line(program: &PathBuf) -> Option<String> {
    let mut child = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let deadline = Instant::now() + VERSION_PATIENCE;
    if !eventually(deadline, || !matches!(child.try_wait(), Ok(None))) {
        child.kill().ok();
        child.wait().ok();
        return None;
    }
    let mut text = String::new();
    let mut output = child.stdout.take()?.take(VERSION_LEN_MAX);
    output.read_to_string(&mut text).ok()?;
    let line = text.lines().next()?.trim();
    (!line.is_empty()).then(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_exact_to_the_minute() {
        assert_eq!(minute("2026-01-31T08:09:10.123"), "2026-01-31 08:09");
    }
}
