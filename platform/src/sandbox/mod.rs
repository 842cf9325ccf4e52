//! Starts a function under a supervisor, in namespaces of its own where the kernel allows it.
//!
//! Every stage is this same executable, chosen by the name that it is called with:
//!
//! ```text
//! coldstart ──▶ coldstart-supervisor: creates the namespaces, then waits for the function's end
//!                └─▶ coldstart-starter: arranges the mounts, then becomes the start command (process 1)
//! ```
//! The supervisor reads orders from `coldstart`. When that ends, however it ends, the supervisor reads the end of the
//! stream and kills everything that descends from it.

mod channel;
mod identities;
mod network;
mod room;
mod starter;
mod supervisor;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use serde::{Deserialize, Serialize};

pub(crate) use channel::{Channel, Closer};

/// Where the platform mounts the code.
pub(crate) const CODE: &str = "/code";
const SUPERVISOR: &str = "coldstart-supervisor";
const STARTER: &str = "coldstart-starter";
/// The kernel resolves it even after the file was replaced, as a rebuild does.
const SELF: &str = "/proc/self/exe";

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
    /// The directory that is mounted at [`CODE`].
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
    fn new(step: Step, error: &io::Error) -> Self {
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

/// Runs a stage, if this process was started as one.
pub(crate) fn stage() -> Option<ExitCode> {
    let name = std::env::args_os().next()?;
    if name == SUPERVISOR {
        Some(supervisor::main())
    } else if name == STARTER {
        Some(starter::main())
    } else {
        None
    }
}

/// Starts a supervisor that waits for its first order. Both streams of the function go to `output`.
pub(crate) fn supervisor(output: [Stdio; 2]) -> io::Result<(Child, Channel)> {
    let (channel, theirs) = Channel::pair()?;
    let mut command = stage_command(SUPERVISOR);
    let [stdout, stderr] = output;
    let child = command
        .stdin(theirs)
        .stdout(stdout)
        .stderr(stderr)
        .spawn()?;
    Ok((child, channel))
}

/// Gives the supervisor its spec, and waits until the start command runs. Returns the command's process id.
pub(crate) fn start(channel: &mut Channel, supervisor: i32, spec: Spec) -> Result<i32, Refusal> {
    let lost = |error: &io::Error| Refusal::spawn(error);
    channel
        .send(&Order::Start(spec))
        .map_err(|error| lost(&error))?;
    loop {
        match channel.receive().map_err(|error| lost(&error))? {
            Some(Report::MapIdentities) => {
                let map = |error| Refusal::new(Step::Arrange("map user ids".to_owned()), &error);
                identities::map(supervisor).map_err(map)?;
                channel
                    .send(&Order::IdentitiesMapped)
                    .map_err(|error| lost(&error))?;
            }
            Some(Report::Started { process }) => return Ok(process),
            Some(Report::Refused(refusal)) => return Err(refusal),
            Some(Report::Done | Report::Failed { .. } | Report::Ended { .. }) => {}
            None => return Err(lost(&io::Error::from_raw_os_error(0))),
        }
    }
}

/// Arranges a sandbox without a function in it, to find out whether this kernel allows it.
pub(crate) fn rehearse(code: &Path, network: Network) -> Result<(), Refusal> {
    let lost = |error: io::Error| Refusal::spawn(&error);
    let (mut child, mut channel) = supervisor([Stdio::null(), Stdio::null()]).map_err(lost)?;
    let supervisor = i32::try_from(child.id()).unwrap_or_default();
    let spec = Spec {
        words: Vec::new(),
        environment: BTreeMap::new(),
        directory: CODE.into(),
        user: None,
        room: Some(Room {
            code: absolute(code).into(),
            network,
            kept: Vec::new(),
        }),
    };
    let started = start(&mut channel, supervisor, spec);
    drop(channel);
    child.wait().map_err(lost)?;
    started.map(drop)
}

/// Returns the path from the root, which does not depend on the working directory.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

fn stage_command(name: &str) -> Command {
    let mut command = Command::new(SELF);
    command.arg0(name).env_clear();
    command
}
