//! Counts of what the simulated kernel did.

/// Counts of what happened.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::sim) struct Counts {
    pub(in crate::sim) accepts: u64,
    pub(in crate::sim) opened: u64,
    pub(in crate::sim) closed: u64,
    pub(in crate::sim) receives: u64,
    pub(in crate::sim) sends: u64,
    pub(in crate::sim) watches: u64,
    pub(in crate::sim) edges: u64,
    /// Events of sockets that had no edge.
    pub(in crate::sim) spurious: u64,
    pub(in crate::sim) bytes_in: u64,
    pub(in crate::sim) bytes_out: u64,
    /// Those of them that the kernel sent from files.
    pub(in crate::sim) bytes_of_files: u64,
    /// Files that the kernel did not send itself, or not to their end.
    pub(in crate::sim) files_refused: u64,
}

impl Counts {
    /// Grows whenever the server does anything to a connection.
    pub(in crate::sim) const fn work(&self) -> u64 {
        self.accepts
            + self.opened
            + self.closed
            + self.receives
            + self.sends
            + self.watches
            + self.edges
    }
}
