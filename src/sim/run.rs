//! One run of the simulation from a seed: faults while only safety is checked, then no faults while liveness is.

mod ends;

use core::any::Any;
use core::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::disturbance::AtStep;
use super::faults::{FaultRates, Syscall};
use super::harness::{Harness, Peaks};
use super::kernel::Tracing;
use super::oracle::outstanding;
use super::peer::Peer;
use super::prng::Prng;
use super::report::Report;
use super::workload::{closing_peer, healthy_peer, random_peer};
use super::world::{Actor, PollEnd};
use crate::limits::Limits;
use crate::os::Fault;
use crate::reactor::{IdlePolicy, Settings};

/// More turns than any run needs.
const TURNS_MAX: u64 = 400_000;

/// A run that failed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Failure {
    /// The seed of the run.
    pub seed: u64,
    /// The invariant that was violated, or the panic.
    pub what: String,
    /// One line for each step before it; empty unless the run was traced.
    pub trace: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}\nreplay: SIM_SEED={} cargo test --test sim",
            self.what, self.seed
        )
    }
}

/// Runs the simulation from this seed.
///
/// # Errors
///
/// The first invariant that is violated.
pub fn run_seed(seed: u64, tracing: Tracing) -> Result<Report, Failure> {
    let mut trace = Vec::new();
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let mut run = Run::random(Prng::new(seed), tracing);
        let outcome = run.run_to_end();
        trace = run.take_trace();
        outcome
    }));
    let what = match outcome {
        Ok(Ok(report)) => return Ok(report),
        Ok(Err(what)) => what,
        Err(panic) => message_of(&*panic),
    };
    Err(Failure { seed, what, trace })
}

/// Runs a simulation that these bytes decide: the peers and their requests from the front, the faults from the end.
///
/// # Panics
///
/// If an invariant is violated; the message has the trace.
pub fn check_simulation(bytes: &[u8]) {
    let run = |tracing| {
        let mut run = Run::random(Prng::from_bytes(bytes), tracing);
        let outcome = run.run_to_end();
        (outcome.err(), run.take_trace())
    };
    if let (Some(what), _) = run(Tracing::Off) {
        let (again, trace) = run(Tracing::On);
        let trace = trace.join("\n");
        assert!(again.is_none(), "{trace}\n{what}");
        assert!(again.is_some(), "it does not fail when traced: {what}");
    }
}

/// The message of a panic.
pub(super) fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("a panic: {}", text.unwrap_or("no message"))
}

/// A harness and its workload.
pub(super) struct Run {
    harness: Harness,
    prng: Prng,
    ids: u64,
}

impl Run {
    /// Draws the faults, the limits and the peers.
    fn random(mut prng: Prng, tracing: Tracing) -> Self {
        let rates = FaultRates::random(&mut prng);
        let limits = Limits::new()
            .pending_out_len_max(prng.choose(&[0, 1000, 64 * 1024, 1024 * 1024]))
            .pipeline_max(prng.choose(&[1, 2, 10, 128]))
            .connections_max(prng.choose(&[1, 3, 10_000, 10_000]));
        // From a sequence of its own: the other draws of each seed stay the same.
        let memory_max = prng
            .clone()
            .fork()
            .choose(&[None, None, Some(100_000), Some(1_000_000)]);
        let limits = memory_max.map_or(limits, |max| limits.memory_max(max));
        let tasks_max = prng.clone().fork().choose(&[10_000, 10_000, 1, 0]);
        let limits = limits.tasks_max(tasks_max);
        let settings = Settings {
            limits,
            idle: prng.choose(&[IdlePolicy::Keep, IdlePolicy::Keep, IdlePolicy::Evict]),
            ..Settings::new()
        };
        let harness = Harness::new(prng.fork(), rates, settings, tracing);
        {
            let kernel = &mut harness.world.borrow_mut().kernel;
            kernel.idle = settings.idle;
            kernel.memory_max = memory_max;
        }
        let mut run = Self {
            harness,
            prng,
            ids: 0,
        };
        for _ in 0..run.prng.between(1, 16) {
            let peer = random_peer(&mut run.prng, &mut run.ids);
            let at = run.now() + run.prng.millis(0, 20_000);
            run.add_peer(at, peer);
        }
        if run.prng.chance(400) {
            let at = run.now() + run.prng.millis(0, 40_000);
            run.stop_at(at);
        }
        run
    }

    /// Has no peers yet, and the default limits.
    pub(super) fn scripted(mut prng: Prng, rates: FaultRates, tracing: Tracing) -> Self {
        let harness = Harness::new(prng.fork(), rates, Settings::new(), tracing);
        Self {
            harness,
            prng,
            ids: 0,
        }
    }

    /// Adds peers that connect a millisecond apart.
    pub(super) fn add_peers(&mut self, peers: Vec<Peer>, ids: u64) {
        self.ids = ids;
        for (number, peer) in peers.into_iter().enumerate() {
            let at = self.now() + number as u64;
            self.add_peer(at, peer);
        }
    }

    pub(super) fn inject(&self, injection: Option<(usize, Fault)>) {
        self.harness.world.borrow_mut().kernel.faults.injection.at = injection;
    }

    /// Lets this happen at these steps, and notes who is there at each step.
    pub(super) fn disturb(&self, due: &[(usize, AtStep)]) {
        let steps = &mut self.harness.world.borrow_mut().steps;
        steps.due = due.to_vec();
        steps.present = due.is_empty().then(Vec::new);
    }

    /// The peers that could be disturbed, before each step so far.
    pub(super) fn take_present(&self) -> Vec<Vec<usize>> {
        let present = self.harness.world.borrow_mut().steps.present.take();
        present.unwrap_or_default()
    }

    /// The system calls so far.
    pub(super) fn calls(&self) -> Vec<Syscall> {
        let world = self.harness.world.borrow();
        world.kernel.faults.injection.calls.clone()
    }

    pub(super) fn take_trace(&self) -> Vec<String> {
        std::mem::take(&mut self.harness.world.borrow_mut().kernel.record.trace)
    }

    fn add_peer(&self, at: u64, peer: Peer) {
        let mut world = self.harness.world.borrow_mut();
        let number = world.peers.len();
        world.peers.push(peer);
        world.at(at, Actor::Peer(number));
    }

    fn stop_at(&self, at: u64) {
        self.harness.world.borrow_mut().at(at, Actor::Stop);
    }

    fn now(&self) -> u64 {
        self.harness.world.borrow().kernel.now
    }

    /// Runs both phases and ends the server; nothing may be left.
    pub(super) fn run_to_end(&mut self) -> Result<Report, String> {
        self.harness.settle(TURNS_MAX)?;
        self.enter_liveness();
        self.reach_quiescence()?;
        self.check_handled()?;
        if !self.harness.reactor.is_stopped() {
            self.serve_healthy_peers()?;
            self.end()?;
        }
        self.check_stop()?;
        if self.harness.reactor.is_stopped() {
            self.outlive_the_server()?;
        }
        self.check_handled()?;
        self.check_end()?;
        Ok(self.report())
    }

    /// From now on there are no faults, and everything delayed comes.
    fn enter_liveness(&self) {
        let mut world = self.harness.world.borrow_mut();
        world.kernel.note(|| "liveness phase".to_owned());
        world.kernel.faults.rates = FaultRates::NONE;
        self.harness.background.borrow_mut().enter_liveness();
        let now = world.kernel.now;
        for number in 0..world.peers.len() {
            world.peers[number].enter_liveness();
            world.at(now, Actor::Peer(number));
        }
    }

    /// Runs until nothing is left to do. A peer that still waits then waits forever.
    fn reach_quiescence(&mut self) -> Result<(), String> {
        let poll_end = self.harness.settle(TURNS_MAX)?;
        if poll_end != PollEnd::Quiescent {
            return Err(format!("{poll_end:?}, and must become quiescent"));
        }
        if self.harness.reactor.is_stopped() {
            return Ok(());
        }
        let world = self.harness.world.borrow();
        let waiting = world
            .peers
            .iter()
            .find_map(|peer| outstanding(peer, &world.kernel));
        drop(world);
        if let Some(waiting) = waiting {
            // It may wait for the limit on connections.
            let is_full =
                self.harness.reactor.gauge().sessions >= self.harness.limits.connections_max;
            if !is_full {
                return Err(format!("a lost wake-up: {waiting}"));
            }
        }
        let gauge = self.harness.reactor.gauge();
        if gauge.sessions_with_work > 0 {
            return Err(format!(
                "{} idle sessions hold memory",
                gauge.sessions_with_work
            ));
        }
        match self.harness.background.borrow().handled.tasks {
            0 => Ok(()),
            left => Err(format!("a lost wake-up: {left} tasks wait for nothing")),
        }
    }

    fn serve_healthy_peers(&mut self) -> Result<(), String> {
        if self.harness.limits.connections_max < 100 {
            self.close_all()?;
        }
        for number in 0..3 {
            let peer = if number == 1 {
                closing_peer(&mut self.prng, &mut self.ids)
            } else {
                healthy_peer(&mut self.prng, &mut self.ids)
            };
            let now = self.now();
            self.add_peer(now, peer);
        }
        self.reach_quiescence()
    }

    /// Closes all connections.
    fn close_all(&mut self) -> Result<(), String> {
        let mut world = self.harness.world.borrow_mut();
        for number in 0..world.peers.len() {
            if let Some(link) = world.peers[number].link {
                world.peers[number].leave();
                world.kernel.peer_close(link);
            }
        }
        drop(world);
        self.reach_quiescence()?;
        match self.harness.reactor.gauge().sessions {
            0 => Ok(()),
            left => Err(format!("{left} sessions are left without a peer")),
        }
    }

    /// Closes all connections, or stops the server; nothing may be left.
    fn end(&mut self) -> Result<(), String> {
        if self.prng.chance(500) {
            return self.close_all();
        }
        let at = self.now();
        self.stop_at(at);
        self.harness.settle(TURNS_MAX)?;
        let took = self.now() - at;
        if took > 2_000 {
            return Err(format!(
                "idle connections kept the server from stopping for {took} ms"
            ));
        }
        Ok(())
    }

    fn report(&self) -> Report {
        let world = self.harness.world.borrow();
        let counts = world.kernel.counts;
        let responses = world
            .peers
            .iter()
            .map(|peer| peer.reader.responses.len() as u64);
        let Peaks { gauge, work, .. } = self.harness.peaks;
        let links = 0..world.kernel.links_len();
        Report {
            connections: counts.opened,
            responses: responses.sum(),
            turns: self.harness.turns,
            bytes: counts.bytes_in + counts.bytes_out,
            bytes_of_files: counts.bytes_of_files,
            files_refused: counts.files_refused,
            calls: counts.receives + counts.sends + counts.watches,
            held_max: [
                gauge.input_max,
                gauge.head_max,
                gauge.body_max,
                gauge.out_max,
            ],
            needless_reads_max: links
                .map(|id| world.kernel.needless_reads(id))
                .max()
                .unwrap_or(0),
            work_max: [
                work.receives,
                work.sends,
                work.requests,
                work.polls,
                work.pieces,
                work.locks,
            ],
            drives_max: work.drives,
            budgets_spent: work.budgets_spent,
        }
    }
}
