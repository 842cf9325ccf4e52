//! `run --watch`: builds and starts the function again after each edit. An edit while that goes on calls it off, and all
//! begins anew with the newest code.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::arguments::RunArguments;
use crate::build::Recipe;
use crate::console::{Tone, say};
use crate::exit::{Failure, Status};
use crate::gateway::fleet::{Fleet, Hold};
use crate::instance::timeline::Timeline;
use crate::interrupt::Interrupt;
use crate::starting::{Attempt, Started, finish, restart, warm_up};
use crate::watch::blame::Writer;
use crate::watch::files::Built;
use crate::watch::{Activity, Watch};

const PERIOD: Duration = Duration::from_millis(300);
/// A line about changes names this many files.
const NAMES_MAX: usize = 3;

/// The running function and its watched files.
#[derive(Debug)]
pub(crate) struct EditLoop<'a> {
    pub(crate) fleet: &'a Fleet,
    pub(crate) arguments: &'a RunArguments,
    pub(crate) recipe: &'a Recipe,
    pub(crate) interrupt: &'a Interrupt,
    pub(crate) watch: Watch,
}

impl<'a> EditLoop<'a> {
    /// Starts the function for the first time. `None` if a signal arrived.
    pub(crate) fn begin(&mut self, timeline: Timeline) -> Result<Option<Started>, Failure> {
        let fleet = self.fleet;
        let attempt = Attempt::default();
        let act = || {
            if attempt.proceed() {
                warm_up(fleet, timeline, &attempt)
            } else {
                Started::Not
            }
        };
        let started = self.attend(&attempt, act)?;
        if started.is_some() && attempt.is_outdated() {
            return self.again(None);
        }
        Ok(started)
    }

    /// Follows the edits until a signal arrives.
    pub(crate) fn follow(&mut self) -> Result<Status, Failure> {
        let fleet = self.fleet;
        let mut traffic = fleet.traffic();
        loop {
            if self.interrupt.wait(PERIOD) {
                finish(fleet);
                return Ok(Status::Done);
            }
            let activity = activity(fleet, &mut traffic);
            let changes = self.watch.poll(activity, || fleet.processes());
            if !changes.is_empty() {
                // Before it is said, so that who calls after that gets the new code. A build takes long: the old code
                // serves meanwhile.
                let hold = (self.recipe.built() == Built::Elsewhere).then(|| fleet.hold());
                self.announce(&changes);
                if self.again(hold)?.is_none() {
                    return Ok(Status::Done);
                }
            }
        }
    }

    /// Builds and starts the function until no edit calls that off. `None` if a signal arrived.
    ///
    /// Calls are held from the first start on at the latest: after it was called off there is nothing that could serve
    /// them.
    fn again(&mut self, mut hold: Option<Hold<'a>>) -> Result<Option<Started>, Failure> {
        let (fleet, arguments, recipe) = (self.fleet, self.arguments, self.recipe);
        loop {
            let attempt = Attempt::default();
            let act = || restart(fleet, (arguments, recipe), &attempt, &mut hold);
            let started = self.attend(&attempt, act)?;
            if started.is_none() || !attempt.is_outdated() {
                return Ok(started);
            }
        }
    }

    fn attend(
        &mut self,
        attempt: &Attempt,
        act: impl FnOnce() -> Started + Send,
    ) -> Result<Option<Started>, Failure> {
        let (fleet, interrupt, built) = (self.fleet, self.interrupt, self.recipe.built());
        let writer = || match built {
            Built::Here if !attempt.is_starting() => Writer::Build,
            Built::Here | Built::Elsewhere => Writer::Function(fleet.written()),
        };
        let mut looked = Instant::now();
        let meanwhile = || {
            if !attempt.is_outdated() && looked.elapsed() >= PERIOD {
                let changes = self.watch.poll_start(writer, || fleet.processes());
                if !changes.is_empty() {
                    self.announce(&changes);
                    say("the start is called off: it begins anew");
                    attempt.outdate();
                }
                looked = Instant::now();
            }
            // Again and again: the start may only be about to begin.
            if attempt.is_outdated() && attempt.is_starting() {
                fleet.call_off_start();
            }
        };
        let started = interrupt.attend(act, meanwhile, || finish(fleet))?;
        if attempt.is_outdated() {
            self.watch.called_off();
        } else if started.is_some() {
            self.watch.started(writer, || fleet.processes());
        }
        Ok(started)
    }

    fn announce(&self, changes: &[PathBuf]) {
        let names = names(&self.watch, changes);
        say(Tone::Strong.paint(format!("changed: {names}")));
    }
}

/// What may have written files since the last look.
fn activity(fleet: &Fleet, traffic: &mut (u64, u32)) -> Activity {
    let before = std::mem::replace(traffic, fleet.traffic());
    if before == *traffic && traffic.1 == 0 {
        Activity::Quiet
    } else {
        Activity::Serving
    }
}

fn names(watch: &Watch, changes: &[PathBuf]) -> String {
    let shown: Vec<String> = changes
        .iter()
        .take(NAMES_MAX)
        .map(|path| watch.shown(path))
        .collect();
    let rest = changes.len() - shown.len();
    let rest = if rest > 0 {
        format!(" and {rest} more")
    } else {
        String::new()
    };
    shown.join(", ") + &rest
}
