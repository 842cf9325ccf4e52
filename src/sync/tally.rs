//! Counts what this thread's loop does, so that the simulation can bound it. Feature `_sim`, never shipped.

use core::cell::Cell;

/// Counts since the thread began.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// System calls that read from a socket.
    pub(crate) receives: u64,
    /// System calls that write to a socket.
    pub(crate) sends: u64,
    /// Those that send from a file, and the bytes that they sent.
    pub(crate) file_sends: u64,
    pub(crate) file_len: u64,
    /// Heads that the handler was shown.
    pub(crate) requests: u64,
    /// Steps of the protocol over the input, and those of them that took bytes.
    pub(crate) polls: u64,
    pub(crate) steps: u64,
    /// Pieces of bodies: taken from a channel, or given to an upload.
    pub(crate) pieces: u64,
    /// Locks of channels.
    pub(crate) locks: u64,
    /// Polls of futures.
    pub(crate) futures: u64,
    /// Polls of tasks.
    pub(crate) tasks: u64,
}

thread_local! {
    static TALLY: Cell<Tally> = const {
        Cell::new(Tally {
            receives: 0,
            sends: 0,
            file_sends: 0,
            file_len: 0,
            requests: 0,
            polls: 0,
            steps: 0,
            pieces: 0,
            locks: 0,
            futures: 0,
            tasks: 0,
        })
    };
}

/// The counts now.
pub(crate) fn tally() -> Tally {
    TALLY.get()
}

/// Counts something.
pub(crate) fn count(add: impl FnOnce(&mut Tally)) {
    let mut tally = TALLY.get();
    add(&mut tally);
    TALLY.set(tally);
}

impl Tally {
    /// What was counted after `earlier`.
    pub(crate) const fn since(self, earlier: Self) -> Self {
        Self {
            receives: self.receives - earlier.receives,
            sends: self.sends - earlier.sends,
            file_sends: self.file_sends - earlier.file_sends,
            file_len: self.file_len - earlier.file_len,
            requests: self.requests - earlier.requests,
            polls: self.polls - earlier.polls,
            steps: self.steps - earlier.steps,
            pieces: self.pieces - earlier.pieces,
            locks: self.locks - earlier.locks,
            futures: self.futures - earlier.futures,
            tasks: self.tasks - earlier.tasks,
        }
    }
}
