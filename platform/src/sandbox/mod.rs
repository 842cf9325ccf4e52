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
mod messages;
mod network;
mod room;
mod stage;
mod starter;
mod supervisor;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitCode, Stdio};

pub(crate) use channel::{Channel, Closer};
pub(crate) use messages::{Network, Order, Refusal, Report, Room, Spec, Step};
use stage::{STARTER, SUPERVISOR, stage_command};

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
