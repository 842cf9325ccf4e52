//! The first instance and its first responses, which decide in which network all instances run.

use std::time::Instant;

use super::catalogue::{CHECKS, Check, Lane};
use super::observation::Observation;
use super::payload;
use super::subject::Subject;
use crate::caller_error::CallerError;
use crate::console::{Tone, say};
use crate::instance::Instance;
use crate::instance::launch::NotStarted;
use crate::run::ensure_port_free;
use crate::sandbox::Network;

/// Whether this program may choose the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The user has chosen, or this kernel leaves no choice.
    Made,
    /// Each instance has a network of its own, unless the server needs what is outside.
    Open,
}

/// The first instance.
pub(super) struct Opening {
    pub(super) first: Result<Instance, NotStarted>,
    /// The check of the first response, what it saw, and when it began.
    pub(super) response: Option<(&'static Check, Observation, Instant)>,
    reach: Reach,
}

/// How far the first instance came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    NotStarted,
    Started,
    Responded,
    /// It took an event as well, or refused it as it should; not tried if there is no choice.
    TookEvent,
}

impl Opening {
    /// Starts the first instance; in this machine's network as well, if it may have failed for the lack of it.
    pub(super) fn of(subject: &mut Subject, selected: &[&'static Check], choice: Choice) -> Self {
        let apart = Self::attempt(subject, selected, choice);
        if choice == Choice::Made || !apart.may_need_the_outside() {
            return apart;
        }
        let measured = subject.move_to(Network::Host);
        // Another program on the port would be taken for the function.
        if ensure_port_free(&subject.project).is_ok() {
            let outside = Self::attempt(subject, selected, choice);
            if outside.reach > apart.reach {
                say(format!(
                    "{} it works in this machine's network only, so it is checked there",
                    Tone::Caution.paint("note:")
                ));
                return outside;
            }
        }
        subject.move_back(Network::Own, measured);
        apart
    }

    fn attempt(subject: &Subject, selected: &[&'static Check], choice: Choice) -> Self {
        let mut opening = Self {
            first: subject.start(),
            response: None,
            reach: Reach::NotStarted,
        };
        let Ok(first) = &opening.first else {
            return opening;
        };
        if !selected.iter().any(|check| check.sends_requests()) {
            opening.reach = Reach::TookEvent;
            return opening;
        }
        opening.reach = Reach::Started;
        for check in CHECKS {
            if let Lane::Pace(observe) = check.lane {
                let began = Instant::now();
                let observation = observe(subject, first);
                opening.reach = match observation {
                    Observation::Broken(_) => Reach::Started,
                    Observation::Held(_) | Observation::Unseen(_)
                        if choice == Choice::Made || payload::takes_event(subject, first) =>
                    {
                        Reach::TookEvent
                    }
                    Observation::Held(_) | Observation::Unseen(_) => Reach::Responded,
                };
                opening.response = Some((check, observation, began));
            }
        }
        opening
    }

    fn may_need_the_outside(&self) -> bool {
        match &self.first {
            Ok(_) => self.reach < Reach::TookEvent,
            Err(not_started) => {
                let is_files_fault = matches!(
                    not_started.error,
                    CallerError::FileNotFound
                        | CallerError::CommandNotFound { .. }
                        | CallerError::FilePermission
                );
                // What listens waits for nothing else.
                !is_files_fault && !not_started.listens
            }
        }
    }
}
