//! What a run of the simulation did, in numbers.

/// Statistics of a run.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// Connections that were accepted.
    pub connections: u64,
    /// Final responses that peers have read.
    pub responses: u64,
    /// Turns of the loop.
    pub turns: u64,
    /// Bytes in both directions.
    pub bytes: u64,
    /// Bytes that the kernel sent from files.
    pub bytes_of_files: u64,
    /// Files that the kernel did not send itself, or not to their end.
    pub files_refused: u64,
    /// Calls of receive, send and watch.
    pub calls: u64,
    /// The most bytes that one session held: input, head, body, output.
    pub held_max: [usize; 4],
    /// The most reads of one connection without an event.
    pub needless_reads_max: u32,
    /// The most that one session did in one go: receives, sends, requests, steps of the protocol, pieces
    /// of bodies, locks of channels.
    pub work_max: [u64; 6],
    /// The most times that one session was driven in one turn.
    pub drives_max: usize,
    /// How often a session used up its budget for pieces of bodies.
    pub budgets_spent: u64,
}

impl Report {
    /// Combines two reports: the sums of counts, and the higher of each maximum.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.connections += other.connections;
        self.responses += other.responses;
        self.turns += other.turns;
        self.bytes += other.bytes;
        self.bytes_of_files += other.bytes_of_files;
        self.files_refused += other.files_refused;
        self.calls += other.calls;
        for (own, others) in self.held_max.iter_mut().zip(other.held_max) {
            *own = others.max(*own);
        }
        self.needless_reads_max = self.needless_reads_max.max(other.needless_reads_max);
        for (own, others) in self.work_max.iter_mut().zip(other.work_max) {
            *own = others.max(*own);
        }
        self.drives_max = self.drives_max.max(other.drives_max);
        self.budgets_spent += other.budgets_spent;
        self
    }
}
