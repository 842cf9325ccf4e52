//! What `coldstart`, the supervisor and the starter tell each other.

use serde::{Deserialize, Serialize};

use crate::sandbox::{Refusal, Spec};

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
