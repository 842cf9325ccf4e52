//! What is configured when a server starts, and never changes.

use std::sync::Arc;

use crate::h1::{HeadLimits, WANTED, Wanted};
use crate::limits::{BACKLOG, Limits, Timeouts};
use crate::observe::Observer;
use crate::sync::memory::Memory;

/// What a loop gets from its server.
pub(crate) struct Setup {
    pub(crate) settings: Settings,
    pub(crate) memory: Arc<Memory>,
    pub(crate) observer: Box<dyn Observer>,
}

/// The configuration of a server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) limits: Limits,
    pub(crate) timeouts: Timeouts,
    /// Connections that a drain takes from the backlog at most.
    pub(crate) backlog: usize,
    pub(crate) idle: IdlePolicy,
    /// The fields that are looked for in each head.
    pub(crate) wanted: &'static Wanted,
}

/// What happens to idle connections when there is no room for another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum IdlePolicy {
    /// They stay, and accepting pauses.
    #[default]
    Keep,
    /// The one that has been idle for longest is closed.
    Evict,
}

impl Settings {
    pub(crate) const fn new() -> Self {
        Self {
            limits: Limits::new(),
            timeouts: Timeouts::new(),
            backlog: BACKLOG.unsigned_abs() as usize,
            idle: IdlePolicy::Keep,
            wanted: &WANTED,
        }
    }

    pub(super) const fn head_limits(&self) -> HeadLimits {
        HeadLimits {
            head_len_max: self.limits.head_len_max,
            target_len_max: self.limits.target_len_max,
            headers_max: self.limits.headers_max,
        }
    }
}
