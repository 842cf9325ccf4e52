//! Which checks run beside which: those that wait have an instance of their own, so that they disturb nobody.

use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::catalogue::{self, CHECKS};
use super::observation::{Break, Finding, Observation, Verdict};
use super::subject::{Port, Subject};
use super::{ending, hooks, keepalive, logs, parallel, payload, resources, start};
use crate::environment::Completeness;
use crate::instance::Instance;
use crate::instance::launch::NotStarted;

/// Runs what was asked for; the findings come in the catalogue's order.
pub(crate) fn run(subject: &Subject, only: &[String]) -> Vec<Finding> {
    let desk = Desk::new(subject, only);
    desk.note("S1", || start::file(subject));
    desk.note("S2", || start::content(subject));
    match subject.start() {
        Ok(instance) => {
            desk.note("S3", || start::listens(&instance));
            examine(subject, &desk, &instance);
        }
        Err(not_started) => desk.note("S3", || Break::not_started(not_started).into()),
    }
    desk.note("P5", || payload::answer_heads(subject));
    desk.note("K3", || keepalive::never_closes(subject));
    desk.note("L2", || logs::secrets(subject));
    desk.note("L3", || logs::markers(subject));
    desk.finish()
}

fn examine(subject: &Subject, desk: &Desk<'_>, main: &Instance) {
    let port = desk.follow_port(subject, main);
    match port {
        Port::Movable => thread::scope(|scope| {
            scope.spawn(|| work(subject, desk, main));
            scope.spawn(|| waiting(subject, desk, port));
            scope.spawn(|| {
                desk.on_instance("K4", subject, port, keepalive::freeze);
            });
            beginnings_and_ends(subject, desk, port);
        }),
        // One port, one instance at a time.
        Port::Fixed => {
            work(subject, desk, main);
            main.kill();
            waiting(subject, desk, port);
            desk.on_instance("K4", subject, port, keepalive::freeze);
            beginnings_and_ends(subject, desk, port);
        }
    }
    main.kill();
}

/// Everything that asks and gets an answer.
fn work(subject: &Subject, desk: &Desk<'_>, instance: &Instance) {
    type Examination = fn(&Subject, &Instance) -> Observation;
    let examinations: [(&str, Examination); 16] = [
        ("S5", start::survives_probes),
        ("P2", payload::methods_and_paths),
        ("P3", payload::user_route),
        ("P4", payload::largest_head),
        ("P6", payload::streams),
        ("P7", payload::bodiless),
        ("P1", payload::events),
        ("K2", keepalive::many_requests),
        ("H1", hooks::initializer),
        ("H4", hooks::health),
        ("C1", parallel::at_a_time),
        ("C3", parallel::leavers),
        ("C2", parallel::one_fails),
        ("E1", logs::failures),
        ("R1", resources::memory),
        ("R2", |_, instance| resources::handles(instance)),
    ];
    for (id, examination) in examinations {
        desk.note(id, || {
            alive(instance).unwrap_or_else(|| examination(subject, instance))
        });
    }
    // Last, because it may end the process.
    desk.note("L1", || {
        alive(instance).unwrap_or_else(|| logs::flushed(subject, instance))
    });
}

fn alive(instance: &Instance) -> Option<Observation> {
    instance
        .process
        .ended()
        .map(|_| Observation::Unseen("the process had ended before".to_owned()))
}

/// Both kinds of idle connections wait at the same time.
fn waiting(subject: &Subject, desk: &Desk<'_>, port: Port) {
    if !desk.wants("K1") && !desk.wants("K1b") {
        return;
    }
    match subject.start_beside(port, Completeness::Full) {
        Ok(instance) => {
            thread::scope(|scope| {
                scope.spawn(|| desk.note("K1b", || keepalive::unused(subject, &instance)));
                desk.note("K1", || keepalive::idle(subject, &instance));
            });
            instance.kill();
        }
        Err(not_started) => {
            desk.note("K1", || again(&not_started));
            desk.note("K1b", || again(&not_started));
        }
    }
}

fn beginnings_and_ends(subject: &Subject, desk: &Desk<'_>, port: Port) {
    desk.note("S6", || start::without_rights(subject, port));
    desk.note("S7", || start::bare_environment(subject, port));
    desk.note("X2", || ending::bad_port(subject, port));
    desk.on_instance("H2", subject, port, hooks::pre_stop);
    desk.on_instance("X1", subject, port, ending::on_sigterm);
}

fn again(not_started: &NotStarted) -> Observation {
    Observation::Unseen(format!(
        "a second instance did not start: {}",
        not_started.seen.join("; ")
    ))
}

/// Where findings are put down, from every lane.
struct Desk<'a> {
    subject: &'a Subject,
    only: &'a [String],
    findings: Mutex<Vec<Finding>>,
    progress: ProgressBar,
}

impl<'a> Desk<'a> {
    fn new(subject: &'a Subject, only: &'a [String]) -> Self {
        let count = if only.is_empty() {
            CHECKS.len()
        } else {
            only.len()
        };
        // Drawn on a terminal only.
        let progress = ProgressBar::new(count as u64);
        let style = ProgressStyle::with_template("{bar:24.green} {pos}/{len} {elapsed} {msg}");
        progress.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        progress.enable_steady_tick(Duration::from_millis(200));
        Self {
            subject,
            only,
            findings: Mutex::default(),
            progress,
        }
    }

    fn wants(&self, id: &str) -> bool {
        self.only.is_empty()
            || self
                .only
                .iter()
                .any(|wanted| wanted.eq_ignore_ascii_case(id))
    }

    fn note(&self, id: &str, observe: impl FnOnce() -> Observation) {
        let Some(check) = catalogue::find(id).filter(|_| self.wants(id)) else {
            return;
        };
        self.progress.set_message(format!("{id} {}", check.title));
        let began = Instant::now();
        let observation = observe();
        let finding = Finding::of(
            check,
            observation,
            self.subject.language,
            began.elapsed().as_secs_f64(),
        );
        self.findings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(finding);
        self.progress.inc(1);
    }

    fn on_instance(
        &self,
        id: &str,
        subject: &Subject,
        port: Port,
        examine: impl FnOnce(&Subject, &Instance) -> Observation,
    ) {
        self.note(id, || {
            match subject.start_beside(port, Completeness::Full) {
                Ok(instance) => {
                    let observation = examine(subject, &instance);
                    instance.kill();
                    observation
                }
                Err(not_started) => again(&not_started),
            }
        });
    }

    /// S4 runs in any case: whether the port can be moved decides how everything else is run.
    fn follow_port(&self, subject: &Subject, main: &Instance) -> Port {
        let mut port = Port::Fixed;
        let mut observation = None;
        let is_needed = self.only.iter().any(|id| !is_served_by_main(id));
        if self.only.is_empty() || is_needed {
            let (seen, found) = start::follows_port(subject, main);
            port = found;
            observation = Some(seen);
        }
        if let Some(observation) = observation {
            self.note("S4", || observation);
        }
        port
    }

    fn finish(self) -> Vec<Finding> {
        self.progress.finish_and_clear();
        let mut findings = self
            .findings
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        for check in &CHECKS {
            let is_wanted = self.only.is_empty()
                || self.only.iter().any(|id| id.eq_ignore_ascii_case(check.id));
            if is_wanted && !findings.iter().any(|finding| finding.check.id == check.id) {
                let unseen = Observation::Unseen("the server did not start".to_owned());
                findings.push(Finding::of(check, unseen, self.subject.language, 0.0));
            }
        }
        let has_started = !findings
            .iter()
            .any(|finding| finding.check.id == "S3" && finding.verdict == Verdict::Fail);
        if !has_started {
            findings
                .iter_mut()
                .filter(|finding| finding.verdict == Verdict::Pass)
                .for_each(forget_empty);
        }
        findings
            .sort_by_key(|finding| CHECKS.iter().position(|check| check.id == finding.check.id));
        findings
    }
}

/// What is judged over all answers holds of none trivially; say so.
fn forget_empty(finding: &mut Finding) {
    if matches!(finding.check.id, "P5" | "K3" | "L2" | "L3") {
        finding.verdict = Verdict::Skip;
        "the server did not start".clone_into(&mut finding.seen);
    }
}

fn is_served_by_main(id: &str) -> bool {
    !["S4", "S6", "S7", "K1", "K1B", "K4", "H2", "X1", "X2"]
        .contains(&id.to_ascii_uppercase().as_str())
}
