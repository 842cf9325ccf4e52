//! The life cycle of an instance. Every transition is in this file.
//!
//! ```text
//! Packed ─accepted▶ Launching ─spawned▶ Probing ─port answered▶ Initializing ─initialized▶ CheckingHealth
//!                                                                                   │healthy
//!      Killed ◀ended─ Stopping ◀stop asked─ Ready ⇄ Active(n), Ready ⇄ Frozen ◀─────┘ (Ready)
//! ```
//! `ended` leads to `Killed` from every phase.

/// Where an instance is in its life cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Packed,
    Launching,
    Probing,
    Initializing,
    CheckingHealth,
    Ready,
    Frozen,
    Active(u32),
    Stopping,
    Killed,
}

/// A fact that advances the life cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    FileAccepted,
    Spawned,
    PortAnswered,
    Initialized,
    Healthy,
    CallBegan,
    CallEnded,
    Froze,
    Thawed,
    StopAsked,
    Ended,
}

impl Phase {
    /// Returns the next phase, or `None` where the step is impossible.
    pub(crate) const fn next(self, step: Step) -> Option<Self> {
        match (self, step) {
            (_, Step::Ended) => Some(Self::Killed),
            (Self::Packed, Step::FileAccepted) => Some(Self::Launching),
            (Self::Launching, Step::Spawned) => Some(Self::Probing),
            (Self::Probing, Step::PortAnswered) => Some(Self::Initializing),
            (Self::Initializing, Step::Initialized) => Some(Self::CheckingHealth),
            (Self::CheckingHealth, Step::Healthy) | (Self::Frozen | Self::Ready, Step::Thawed) => {
                Some(Self::Ready)
            }
            (Self::Ready, Step::CallBegan) => Some(Self::Active(1)),
            (Self::Active(calls), Step::CallBegan) => Some(Self::Active(calls + 1)),
            (Self::Active(1), Step::CallEnded) => Some(Self::Ready),
            (Self::Active(calls), Step::CallEnded) => Some(Self::Active(calls.saturating_sub(1))),
            (Self::Ready | Self::Frozen, Step::Froze) => Some(Self::Frozen),
            // Thawing a running instance changes nothing. The exit path thaws unconditionally.
            (Self::Active(calls), Step::Thawed) => Some(Self::Active(calls)),
            (Self::Ready | Self::Frozen | Self::Active(_), Step::StopAsked) => Some(Self::Stopping),
            (Self::Stopping, Step::CallEnded | Step::Thawed) => Some(Self::Stopping),
            (
                Self::Packed
                | Self::Launching
                | Self::Probing
                | Self::Initializing
                | Self::CheckingHealth
                | Self::Ready
                | Self::Frozen
                | Self::Active(_)
                | Self::Stopping
                | Self::Killed,
                Step::FileAccepted
                | Step::Spawned
                | Step::PortAnswered
                | Step::Initialized
                | Step::Healthy
                | Step::CallBegan
                | Step::CallEnded
                | Step::Froze
                | Step::Thawed
                | Step::StopAsked,
            ) => None,
        }
    }
}

/// The current phase, advanced by steps.
#[derive(Debug)]
pub(crate) struct Life {
    phase: Phase,
}

impl Life {
    /// Starts with a package that has not been checked.
    pub(crate) const fn new() -> Self {
        Self {
            phase: Phase::Packed,
        }
    }

    /// Applies a step. A call may end after its instance did: such late steps change nothing.
    pub(crate) fn on(&mut self, step: Step) {
        debug_assert!(
            self.phase.next(step).is_some()
                || matches!(self.phase, Phase::Killed | Phase::Stopping),
            "{step:?} in {:?}",
            self.phase
        );
        self.phase = self.phase.next(step).unwrap_or(self.phase);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_lead_through_the_phases_in_order() {
        use Step::*;
        let mut life = Life::new();
        let way = [
            FileAccepted,
            Spawned,
            PortAnswered,
            Initialized,
            Healthy,
            Froze,
            Thawed,
            CallBegan,
            CallBegan,
            CallEnded,
            CallEnded,
            StopAsked,
            Ended,
        ];
        let seen: Vec<String> = way
            .into_iter()
            .map(|step| {
                life.on(step);
                format!("{:?}", life.phase)
            })
            .collect();
        let expected = "Launching Probing Initializing CheckingHealth Ready Frozen Ready Active(1) Active(2) \
                        Active(1) Ready Stopping Killed";
        assert_eq!(seen.join(" "), expected);
    }

    #[test]
    fn a_frozen_instance_takes_no_call_and_a_killed_one_no_step() {
        assert_eq!(Phase::Frozen.next(Step::CallBegan), None);
        assert_eq!(Phase::Active(1).next(Step::Froze), None);
        assert_eq!(Phase::Active(2).next(Step::Thawed), Some(Phase::Active(2)));
        assert_eq!(Phase::Killed.next(Step::Thawed), None);
    }
}
