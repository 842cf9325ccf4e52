//! What is configured when a server starts, and never changes.

use crate::h1::HeadLimits;
use crate::limits::{Limits, Timeouts};

/// The configuration of a server.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Settings {
    pub(crate) limits: Limits,
    pub(crate) timeouts: Timeouts,
}

impl Settings {
    pub(super) const fn head_limits(&self) -> HeadLimits {
        HeadLimits {
            head_len_max: self.limits.head_len_max,
            target_len_max: self.limits.target_len_max,
            headers_max: self.limits.headers_max,
        }
    }
}
