//! What runs at the same time and what waits its turn: the catalogue's lanes, over two instances and those that some
//! checks start themselves.

use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::catalogue::{CHECKS, Check, Lane};
use super::finding::{Finding, fold};
use super::observation::{Break, Observation};
use super::opening::{Choice, Opening};
use super::subject::{Port, Subject};
use crate::caller_error::CallerError;
use crate::environment::Completeness;
use crate::instance::Instance;
use crate::instance::launch::NotStarted;
use crate::instance::process::exit_code;
use crate::shortage;

/// How often an instance that a check has ended is replaced for the checks after it.
const RESTARTS_MAX: u32 = 3;
/// How often the progress is drawn.
const TICK: Duration = Duration::from_millis(200);
/// A process that ended during a request is only seen as ended a little later.
const END_NOTICE: Duration = Duration::from_millis(300);

/// Runs the selected checks; the findings come in the catalogue's order.
pub(crate) fn run(
    subject: &mut Subject,
    selected: &[&'static Check],
    choice: Choice,
) -> Vec<Finding> {
    let progress = progress(selected.len());
    let Opening {
        first, response, ..
    } = Opening::of(subject, selected, choice);
    let desk = Desk {
        subject,
        selected,
        findings: Mutex::default(),
        progress,
    };
    desk.files();
    match first {
        Ok(first) => {
            desk.started(&first);
            if desk.responds(&first, response) {
                desk.examine(first);
                desk.record();
            } else {
                desk.skip("the process ends after it listens");
            }
        }
        Err(not_started) => {
            desk.not_started(not_started);
            desk.skip("the server did not start");
        }
    }
    desk.finish()
}

/// Drawn on a terminal only.
fn progress(checks: usize) -> ProgressBar {
    let progress = ProgressBar::new(checks as u64);
    let style = ProgressStyle::with_template("{bar:24.green} {pos}/{len} {elapsed} {msg}");
    progress.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let drawn = progress.downgrade();
    let ticking = move || {
        while let Some(progress) = drawn.upgrade() {
            progress.tick();
            thread::sleep(TICK);
        }
    };
    // Without a thread the time shown stands still.
    thread::Builder::new().spawn(ticking).ok();
    progress
}

/// Runs checks and collects what they found, from every lane.
struct Desk<'a> {
    subject: &'a Subject,
    selected: &'a [&'static Check],
    findings: Mutex<Vec<Finding>>,
    progress: ProgressBar,
}

impl Desk<'_> {
    fn files(&self) {
        for check in self.selected {
            if let Lane::Files(observe) = check.lane {
                self.note(check, || observe(self.subject));
            }
        }
    }

    fn started(&self, first: &Instance) {
        for check in self.selected {
            if let Lane::Start(observe) = check.lane {
                self.note(check, || observe(self.subject, first));
            }
        }
    }

    /// The first response; `false` if the process has ended after it.
    fn responds(
        &self,
        first: &Instance,
        response: Option<(&'static Check, Observation, Instant)>,
    ) -> bool {
        let Some((check, observation, began)) = response else {
            return true;
        };
        self.file(check, with_end(observation, first), began);
        first.process.ended().is_none()
    }

    /// The start's own check says why.
    fn not_started(&self, not_started: NotStarted) {
        let mut not_started = Some(not_started);
        for check in self.selected {
            if let Lane::Start(_) = check.lane
                && let Some(not_started) = not_started.take()
            {
                self.note(check, || Break::not_started(not_started).into());
            }
        }
    }

    /// The checks that have no finding yet have nothing to look at.
    fn skip(&self, why: &str) {
        for check in self.selected {
            let is_finished = |finding: &Finding| std::ptr::eq(finding.check, *check);
            if !self.findings().iter().any(is_finished) {
                self.note(check, || Observation::Unseen(why.to_owned()));
            }
        }
    }

    fn examine(&self, first: Instance) {
        let second = self.second();
        let first = Seat::new(self.subject, first);
        match second {
            Some(second) => {
                let second = Seat::new(self.subject, second);
                let lanes: [Box<dyn FnOnce() + Send>; 3] = [
                    Box::new(|| drop(self.work(first))),
                    Box::new(|| self.waits_and_ends(second)),
                    Box::new(|| self.starts()),
                ];
                shortage::at_once(lanes);
            }
            // One port, so one instance at a time: the first one serves every lane.
            None => {
                let first = self.work(first);
                self.waits_and_ends(first);
                self.starts();
            }
        }
    }

    /// The instance on another port, if a selected check needs it and the server can use another port.
    fn second(&self) -> Option<Instance> {
        self.selected.iter().find(|check| check.needs_another())?;
        let mut second = None;
        for check in CHECKS {
            if let Lane::Port(start) = check.lane {
                let began = Instant::now();
                let (observation, instance) = start(self.subject);
                second = instance;
                self.file(check, observation, began);
            }
        }
        self.subject.observed(if second.is_some() {
            Port::Movable
        } else {
            Port::Fixed
        });
        // A port that is built in does not matter where each instance has its own network.
        if second.is_none() && self.subject.has_own_network() {
            second = self.subject.start_another(Completeness::Full).ok();
        }
        second
    }

    /// Every check that sends requests and reads responses.
    fn work<'s>(&self, mut seat: Seat<'s>) -> Seat<'s> {
        for check in self.selected {
            if let Lane::Work(observe) = check.lane {
                self.note(check, || seat.observe(observe));
            }
        }
        seat
    }

    fn waits_and_ends(&self, mut seat: Seat<'_>) {
        let mut idle = Vec::new();
        for check in self.selected {
            if let Lane::Idle(observe) = check.lane {
                idle.push((*check, observe));
            }
        }
        if !idle.is_empty() {
            match seat.instance() {
                Ok(instance) => {
                    shortage::at_once(idle.into_iter().map(|(check, observe)| {
                        move || self.note(check, || observe(self.subject, instance))
                    }));
                }
                Err(why) => idle
                    .iter()
                    .for_each(|(check, _)| self.note(check, || Observation::Unseen(why.clone()))),
            }
        }
        for check in self.selected {
            if let Lane::Quiet(observe) = check.lane {
                self.note(check, || seat.observe(observe));
            }
        }
        for check in self.selected {
            if let Lane::Last(observe) = check.lane {
                self.note(check, || seat.observe_the_end(observe));
            }
        }
    }

    /// At the same time if each start can have a port or a network of its own.
    fn starts(&self) {
        let mut starts = Vec::new();
        for check in self.selected {
            if let Lane::Starts(observe) = check.lane {
                starts.push(move || self.note(check, || observe(self.subject)));
            }
        }
        if self.subject.can_run_beside() {
            shortage::at_once(starts);
        } else {
            starts.into_iter().for_each(|start| start());
        }
    }

    fn record(&self) {
        for check in self.selected {
            if let Lane::Record(observe) = check.lane {
                self.note(check, || observe(self.subject));
            }
        }
    }

    fn note(&self, check: &'static Check, observe: impl FnOnce() -> Observation) {
        self.progress
            .set_message(format!("{} {}", check.id, check.title));
        let began = Instant::now();
        // What this machine refuses to one check, it refuses to the next as well.
        let observation = match shortage::noted() {
            Some(refusal) => Observation::Unseen(refusal.to_owned()),
            None => observe(),
        };
        self.file(check, observation, began);
    }

    fn file(&self, check: &'static Check, observation: Observation, began: Instant) {
        if !self.selected.iter().any(|one| std::ptr::eq(*one, check)) {
            return;
        }
        let seconds = began.elapsed().as_secs_f64();
        let finding = Finding::of(check, observation, self.subject.language, seconds);
        self.findings().push(finding);
        self.progress.inc(1);
    }

    fn findings(&self) -> std::sync::MutexGuard<'_, Vec<Finding>> {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finish(self) -> Vec<Finding> {
        self.progress.finish_and_clear();
        let mut findings = self
            .findings
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        findings.sort_by_key(|finding| {
            CHECKS
                .iter()
                .position(|check| std::ptr::eq(check, finding.check))
        });
        fold(&mut findings);
        findings
    }
}

/// A place for one instance at a time. Checks take turns on it; one that ends the instance does not take it from the
/// others.
struct Seat<'a> {
    subject: &'a Subject,
    instance: Option<Instance>,
    restarts: u32,
}

impl<'a> Seat<'a> {
    const fn new(subject: &'a Subject, instance: Instance) -> Self {
        Self {
            subject,
            instance: Some(instance),
            restarts: 0,
        }
    }

    /// The instance, started again if it has ended; the error says why there is none.
    fn instance(&mut self) -> Result<&Instance, String> {
        let instance = match self.instance.take() {
            Some(instance) if instance.process.ended().is_none() => instance,
            ended => {
                drop(ended);
                self.start()?
            }
        };
        Ok(self.instance.insert(instance))
    }

    fn start(&mut self) -> Result<Instance, String> {
        if self.restarts == RESTARTS_MAX {
            return Err("the process had ended before".to_owned());
        }
        self.restarts += 1;
        let started = self.subject.start_another(Completeness::Full);
        started.map_err(|not_started| {
            format!(
                "another instance did not start: {}",
                not_started.seen.join("; ")
            )
        })
    }

    fn observe(&mut self, observe: fn(&Subject, &Instance) -> Observation) -> Observation {
        let subject = self.subject;
        match self.instance() {
            Ok(instance) => with_end(observe(subject, instance), instance),
            Err(why) => Observation::Unseen(why),
        }
    }

    /// The instance is used up afterwards.
    fn observe_the_end(&mut self, observe: fn(&Subject, &Instance) -> Observation) -> Observation {
        let subject = self.subject;
        let observation = match self.instance() {
            Ok(instance) => observe(subject, instance),
            Err(why) => Observation::Unseen(why),
        };
        if self.instance.take().is_some() {
            // Meant to end, so the next check's instance is no restart.
            self.restarts = self.restarts.saturating_sub(1);
        }
        observation
    }
}

/// A fault that ended the process is reported with its exit code and last line. Nothing holds of a process that ended
/// while a check looked at it.
fn with_end(observation: Observation, instance: &Instance) -> Observation {
    let patience = match observation {
        Observation::Broken(_) => END_NOTICE,
        Observation::Held(_) | Observation::Unseen(_) => Duration::ZERO,
    };
    let Some(status) = instance.process.notice_end(patience) else {
        return observation;
    };
    let broken = match observation {
        Observation::Broken(broken) => broken,
        Observation::Held(_) | Observation::Unseen(_) => Break::new("the process ended")
            .caller(CallerError::ProcessExited)
            .fix("find in the function's log why it ended: a function goes on until SIGTERM"),
    };
    let last = instance.logs.lines().pop();
    broken
        .must_fail()
        .ended(exit_code(status), last.as_deref())
        .into()
}
