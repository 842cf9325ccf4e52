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
pub(super) mod network;
mod room;
mod stage;
mod starter;
mod supervision;
mod supervisor;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::process::{ExitCode, Stdio};

use crate::sandbox::{CODE, Network, Refusal, Room, Spec, absolute};
use stage::{STARTER, SUPERVISOR};
pub(crate) use supervision::Supervision;

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

/// Arranges a sandbox without a function in it, to find out whether this kernel allows it.
pub(crate) fn rehearse(code: &Path, network: Network) -> Result<(), Refusal> {
    let lost = |error: io::Error| Refusal::spawn(&error);
    let output = [Stdio::null(), Stdio::null()];
    let (mut child, supervision) = Supervision::begin(output, Some(network)).map_err(lost)?;
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
    let started = supervision.start(spec);
    drop(supervision);
    child.wait().map_err(lost)?;
    started.map(drop)
}
