//! What `coldstart`, the supervisor and the starter tell each other.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

use super::network;

/// Which network an instance sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub(crate) enum Network {
    /// This machine's: the function reaches databases and APIs
    Host,
    /// One of its own, without a way out: any number of functions can use one port
    Own,
}

impl Network {
    /// Returns the address that the router dials: one that only a server bound to every address accepts on.
    pub(crate) const fn router_address(self) -> IpAddr {
        IpAddr::V4(match self {
            Self::Host => Ipv4Addr::new(127, 0, 0, 2),
            Self::Own => network::ADDRESS,
        })
    }
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
    /// The directory that is mounted at [`super::CODE`].
    pub(crate) code: OsString,
    pub(crate) network: Network,
    /// Directories below this machine's `/tmp` that stay visible.
    pub(crate) kept: Vec<OsString>,
}

/// What `coldstart` tells the supervisor.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    Start(Spec),
    /// The user and group ids of the new namespace are mapped.
    IdentitiesMapped,
    /// Send SIGTERM to the start command.
    Terminate,
    /// Stop every process of the function.
    Freeze,
    /// Let every process of the function continue.
    Thaw,
    /// Make a TCP socket in the function's network.
    Socket,
}

/// What the supervisor reports.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    /// The user namespace needs its mappings, which only a process outside can write.
    MapIdentities,
    Started {
        process: i32,
    },
    Refused(Refusal),
    /// An order was carried out. A socket comes as a descriptor.
    Done,
    Failed {
        errno: i32,
    },
    /// The start command has ended with this wait status, and nothing that it started is left.
    Ended {
        status: i32,
    },
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
    pub(super) fn new(step: Step, error: &io::Error) -> Self {
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
