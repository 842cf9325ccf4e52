//! How `coldstart` fails: one line for the user, and an exit status.

use std::fmt;
use std::io;
use std::path::Path;
use std::process::ExitCode;

/// The documented exit statuses; `--help` and the README list them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// Success.
    Done = 0,
    /// A check failed, or the function reported an error to `invoke`.
    Unmet = 1,
    /// The source cannot be used: missing, malformed, unsafe.
    Input = 3,
    /// The function did not start.
    NotStarted = 4,
    /// A required port is in use.
    PortTaken = 5,
    /// A local operation failed: a file, a process, a build.
    Machine = 6,
    /// Interrupted by a signal.
    Interrupted = 130,
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status as u8)
    }
}

/// The exit statuses, as `--help` lists them.
pub(crate) const STATUSES: &str = "Exit status:
  0    done; every check passed
  1    a check failed; the invoked function reported an error
  2    the command line was wrong
  3    the source cannot be used: missing, malformed or unsafe file, ZIP or s.yaml
  4    the function did not start
  5    a required port is in use
  6    a local operation failed: a file, a process, a build
  130  interrupted";

/// Why `coldstart` stops, and what would fix it.
#[derive(Debug)]
pub(crate) struct Failure {
    status: Status,
    message: String,
    fix: Option<String>,
}

impl Failure {
    /// The source named on the command line cannot be used.
    pub(crate) fn input(message: impl Into<String>) -> Self {
        Self::new(Status::Input, message)
    }

    /// A local operation failed.
    pub(crate) fn machine(message: impl Into<String>) -> Self {
        Self::new(Status::Machine, message)
    }

    /// A file operation failed.
    pub(crate) fn file(verb: &str, path: &Path, error: &io::Error) -> Self {
        Self::machine(format!("cannot {verb} {}: {error}", path.display()))
    }

    /// A failure with any status.
    pub(crate) fn new(status: Status, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            fix: None,
        }
    }

    /// Adds what to do about it.
    pub(crate) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// The status that the process ends with.
    pub(crate) const fn status(&self) -> Status {
        self.status
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A parser's or the kernel's message may have several lines.
        let line = self
            .message
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        out.write_str(&line)?;
        self.fix
            .as_ref()
            .map_or(Ok(()), |fix| write!(out, "; {fix}"))
    }
}
