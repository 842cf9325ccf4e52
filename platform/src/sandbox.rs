//! What is started, and how far it is separated from this machine.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Where the platform mounts the code.
pub(crate) const CODE: &str = "/code";

/// How far an instance is separated from this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isolation {
    /// A plain child, for measurements: nothing runs between this program and the function.
    Direct,
    /// A supervisor, but no namespaces.
    Supervised,
    /// A supervisor and namespaces.
    Sandboxed(Network),
}

/// Which network an instance sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub(crate) enum Network {
    /// This machine's: the function reaches databases and APIs
    Host,
    /// One of its own, without a way out: any number of functions can use one port
    Own,
}

/// What the supervisor starts.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Spec {
    /// The start command. If it is empty, everything is arranged and nothing is started.
    pub(crate) words: Vec<OsString>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) directory: OsString,
    /// A user to switch to, for tests without privileges.
    pub(crate) user: Option<u32>,
    /// The namespaces, if any.
    pub(crate) room: Option<Room>,
}

/// What a function in namespaces of its own sees.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Room {
    /// The directory that is mounted at [`CODE`].
    pub(crate) code: OsString,
    pub(crate) network: Network,
    /// Directories below this machine's `/tmp` that stay visible.
    pub(crate) kept: Vec<OsString>,
}

/// Why nothing was started.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Refusal {
    pub(crate) step: Step,
    pub(crate) errno: i32,
}

/// The part of the start that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Step {
    /// A supervisor or starter could not be run: this machine is out of something.
    Spawn,
    /// The sandbox could not be arranged.
    Arrange(String),
    /// The kernel did not execute the start command.
    Execute,
}

impl Refusal {
    /// This step failed with this error.
    pub(crate) fn new(step: Step, error: &io::Error) -> Self {
        Self {
            step,
            errno: error.raw_os_error().unwrap_or(0),
        }
    }

    /// No process could be started.
    pub(crate) fn spawn(error: &io::Error) -> Self {
        Self::new(Step::Spawn, error)
    }

    /// The start command could not be executed.
    pub(crate) fn execute(error: &io::Error) -> Self {
        Self::new(Step::Execute, error)
    }

    /// The system's error.
    pub(crate) fn error(&self) -> io::Error {
        io::Error::from_raw_os_error(self.errno)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.step {
            Step::Spawn => write!(out, "cannot start a process: {}", self.error()),
            Step::Arrange(step) => write!(out, "cannot {step}: {}", self.error()),
            Step::Execute => write!(out, "cannot execute the start command: {}", self.error()),
        }
    }
}

/// Returns the path from the root, which does not depend on the working directory.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}
