//! The trace of a run, and the invariants that it violated.

use super::LinkId;

/// Whether each step is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tracing {
    /// No step is.
    Off,
    /// Every step is.
    On,
}

/// What the harness reads after each turn.
#[derive(Debug)]
pub(in crate::sim) struct Record {
    /// What the server did and must never do.
    pub(in crate::sim) violations: Vec<String>,
    /// The link whose end is to follow the bytes that were sent last.
    pub(super) owing: Option<LinkId>,
    pub(in crate::sim) trace: Vec<String>,
    tracing: Tracing,
}

impl Record {
    pub(in crate::sim) const fn new(tracing: Tracing) -> Self {
        Self {
            violations: Vec::new(),
            owing: None,
            trace: Vec::new(),
            tracing,
        }
    }

    pub(in crate::sim) fn note(&mut self, millis: u64, what: impl FnOnce() -> String) {
        if self.tracing == Tracing::On {
            self.trace.push(format!("{millis:>9} ms  {}", what()));
        }
    }
}
