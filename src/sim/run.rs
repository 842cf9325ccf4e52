//! One run over a made-up world: chaos from a seed, then healing, then quiet.

use core::any::Any;
use core::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::cast::{closing_peer, draw_peer, healthy_peer};
use super::dice::Dice;
use super::faults::{Call, FaultRates};
use super::kernel::Custody;
use super::oracle::outstanding;
use super::peer::Peer;
use super::simulation::{Peaks, Stage};
use super::world::{Actor, Stir};
use crate::limits::Limits;
use crate::os::Fault;
use crate::reactor::{IdlePolicy, Settings};

/// The time-outs that all worlds have, in milliseconds: those of [`Timeouts::new`](crate::server::Timeouts::new).
pub(super) const REQUEST_TIMEOUT: u64 = 30_000;
pub(super) const DRAIN_TIMEOUT: u64 = 10_000;

/// Turns that no run needs.
const TURNS_MAX: u64 = 400_000;

/// Reads of one connection although nothing was said to wait: a look before a time-out, and one when the server stops.
const NEEDLESS_READS_MAX: u32 = 4;

/// Whether each step is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tracing {
    /// Nothing is.
    Off,
    /// Everything is.
    On,
}

/// What a run that failed has to say.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Failure {
    /// The seed it happened under.
    pub seed: u64,
    /// What is wrong.
    pub what: String,
    /// What happened until then, a line a step; empty unless it was traced.
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

/// What a run was like, in numbers.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// Connections that were accepted.
    pub connections: u64,
    /// Final answers that peers have read.
    pub answers: u64,
    /// Turns of the loop.
    pub turns: u64,
    /// Bytes both ways.
    pub bytes: u64,
    /// Calls of receive, send and watch.
    pub calls: u64,
    /// The most that one session held: input, head, body, output.
    pub held_max: [usize; 4],
    /// Reads of one connection although nothing had been said to wait.
    pub needless_reads_max: u32,
}

impl Report {
    /// The two together: sums of what was counted, the higher of what was measured.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.connections += other.connections;
        self.answers += other.answers;
        self.turns += other.turns;
        self.bytes += other.bytes;
        self.calls += other.calls;
        for (own, others) in self.held_max.iter_mut().zip(other.held_max) {
            *own = others.max(*own);
        }
        self.needless_reads_max = self.needless_reads_max.max(other.needless_reads_max);
        self
    }
}

/// Runs the world of this seed.
///
/// # Errors
///
/// Whatever is not true of it that must be true of all.
pub fn run_seed(seed: u64, tracing: Tracing) -> Result<Report, Failure> {
    let mut trace = Vec::new();
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let mut play = Play::drawn(Dice::new(seed), tracing);
        let outcome = play.run_to_the_end();
        trace = play.take_trace();
        outcome
    }));
    let what = match outcome {
        Ok(Ok(report)) => return Ok(report),
        Ok(Err(what)) => what,
        Err(panic) => words_of(&*panic),
    };
    Err(Failure { seed, what, trace })
}

/// A world in which these bytes decide: who comes and what they want from the front, what goes wrong from the end.
///
/// # Panics
///
/// Whatever is not true of it that must be true of all, with the steps that led there.
pub fn check_simulation(bytes: &[u8]) {
    let run = |tracing| {
        let mut play = Play::drawn(Dice::chosen(bytes), tracing);
        let outcome = play.run_to_the_end();
        (outcome.err(), play.take_trace())
    };
    if let (Some(what), _) = run(Tracing::Off) {
        let (again, trace) = run(Tracing::On);
        let trace = trace.join("\n");
        assert!(again.is_none(), "{trace}\n{what}");
        assert!(again.is_some(), "it is not so when it is watched: {what}");
    }
}

/// What a panic said.
pub(super) fn words_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("a panic: {}", text.unwrap_or("without words"))
}

/// A stage and those who come to it.
pub(super) struct Play {
    stage: Stage,
    dice: Dice,
    ids: u64,
}

impl Play {
    /// Everything in it is drawn.
    fn drawn(mut dice: Dice, tracing: Tracing) -> Self {
        let rates = FaultRates::drawn(&mut dice);
        let limits = Limits::new()
            .pending_out_len_max(dice.pick(&[0, 1000, 64 * 1024, 1024 * 1024]))
            .pipeline_max(dice.pick(&[1, 2, 10, 128]))
            .connections_max(dice.pick(&[1, 3, 10_000, 10_000]));
        let settings = Settings {
            limits,
            idle: dice.pick(&[IdlePolicy::Keep, IdlePolicy::Keep, IdlePolicy::Evict]),
            ..Settings::new()
        };
        let stage = Stage::new(dice.fork(), rates, settings, tracing);
        stage.state.borrow_mut().kernel.idle = settings.idle;
        let mut play = Self {
            stage,
            dice,
            ids: 0,
        };
        for _ in 0..play.dice.between(1, 16) {
            let peer = draw_peer(&mut play.dice, &mut play.ids);
            let at = play.now() + play.dice.millis(0, 20_000);
            play.add_peer(at, peer);
        }
        if play.dice.is_hit(400) {
            let at = play.now() + play.dice.millis(0, 40_000);
            play.stop_at(at);
        }
        play
    }

    /// An empty one, with the usual bounds.
    pub(super) fn staged(mut dice: Dice, rates: FaultRates, tracing: Tracing) -> Self {
        let stage = Stage::new(dice.fork(), rates, Settings::new(), tracing);
        Self {
            stage,
            dice,
            ids: 0,
        }
    }

    /// These peers come, one shortly behind the other.
    pub(super) fn enter(&mut self, peers: Vec<Peer>, ids: u64) {
        self.ids = ids;
        for (number, peer) in peers.into_iter().enumerate() {
            let at = self.now() + number as u64;
            self.add_peer(at, peer);
        }
    }

    pub(super) fn inject(&self, injection: Option<(usize, Fault)>) {
        self.stage.state.borrow_mut().kernel.chance.injection.at = injection;
    }

    /// The calls that the loop has made.
    pub(super) fn calls(&self) -> Vec<Call> {
        let state = self.stage.state.borrow();
        state.kernel.chance.injection.calls.clone()
    }

    pub(super) fn take_trace(&self) -> Vec<String> {
        std::mem::take(&mut self.stage.state.borrow_mut().kernel.record.trace)
    }

    fn add_peer(&self, at: u64, peer: Peer) {
        let mut state = self.stage.state.borrow_mut();
        let number = state.peers.len();
        state.peers.push(peer);
        state.at(at, Actor::Peer(number));
    }

    fn stop_at(&self, at: u64) {
        self.stage.state.borrow_mut().at(at, Actor::Stopper);
    }

    fn now(&self) -> u64 {
        self.stage.state.borrow().kernel.now
    }

    /// Chaos, then healing, then quiet; and at the last nothing is left.
    pub(super) fn run_to_the_end(&mut self) -> Result<Report, String> {
        self.stage.settle(TURNS_MAX)?;
        self.heal();
        self.be_quiet()?;
        self.audit()?;
        if !self.stage.reactor.is_stopped() {
            self.serve_healthy_peers()?;
            self.end()?;
        }
        self.audit()?;
        self.check_end()?;
        Ok(self.report())
    }

    /// From here on everything works, and nobody is late.
    fn heal(&self) {
        let mut state = self.stage.state.borrow_mut();
        state.kernel.note(|| "the world is healed".to_owned());
        state.kernel.chance.rates = FaultRates::CALM;
        self.stage.elsewhere.borrow_mut().heal();
        let now = state.kernel.now;
        for number in 0..state.peers.len() {
            state.peers[number].heal();
            state.at(now, Actor::Peer(number));
        }
    }

    /// Whatever still waits now waits for good.
    fn be_quiet(&mut self) -> Result<(), String> {
        let stir = self.stage.settle(TURNS_MAX)?;
        if stir != Stir::Quiet {
            return Err(format!("{stir:?} where quiet was due"));
        }
        if self.stage.reactor.is_stopped() {
            return Ok(());
        }
        let state = self.stage.state.borrow();
        let waiting = state
            .peers
            .iter()
            .find_map(|peer| outstanding(peer, &state.kernel));
        drop(state);
        if let Some(waiting) = waiting {
            // Where only the bound on connections keeps it out, that is no fault.
            let is_full = self.stage.reactor.gauge().sessions >= self.stage.limits.connections_max;
            if !is_full {
                return Err(format!("a lost wake-up: {waiting}"));
            }
        }
        let gauge = self.stage.reactor.gauge();
        if gauge.sessions_with_work > 0 {
            return Err(format!(
                "{} idle sessions hold memory",
                gauge.sessions_with_work
            ));
        }
        Ok(())
    }

    fn serve_healthy_peers(&mut self) -> Result<(), String> {
        if self.stage.limits.connections_max < 100 {
            self.close_all()?;
        }
        for number in 0..3 {
            let peer = if number == 1 {
                closing_peer(&mut self.dice, &mut self.ids)
            } else {
                healthy_peer(&mut self.dice, &mut self.ids)
            };
            let now = self.now();
            self.add_peer(now, peer);
        }
        self.be_quiet()
    }

    /// All peers leave.
    fn close_all(&mut self) -> Result<(), String> {
        let mut state = self.stage.state.borrow_mut();
        for number in 0..state.peers.len() {
            if let Some(link) = state.peers[number].link {
                state.peers[number].leave();
                state.kernel.peer_close(link);
            }
        }
        drop(state);
        self.be_quiet()?;
        match self.stage.reactor.gauge().sessions {
            0 => Ok(()),
            left => Err(format!("{left} sessions are left, and no peer")),
        }
    }

    /// The peers leave, or the server stops: either way nothing is left.
    fn end(&mut self) -> Result<(), String> {
        if self.dice.is_hit(500) {
            return self.close_all();
        }
        let at = self.now();
        self.stop_at(at);
        self.stage.settle(TURNS_MAX)?;
        let took = self.now() - at;
        if took > 2_000 {
            return Err(format!(
                "idle connections kept the server from stopping for {took} ms"
            ));
        }
        Ok(())
    }

    /// What is true of all that was handled.
    fn audit(&self) -> Result<(), String> {
        let state = self.stage.state.borrow();
        let elsewhere = self.stage.elsewhere.borrow();
        for peer in &state.peers {
            let answered = peer.reader.whole.len();
            let is_closed = peer
                .reader
                .whole
                .last()
                .is_some_and(|last| last.says_close());
            for asked in peer.asked.iter().skip(answered) {
                if let Some(errand) = asked.errand
                    && is_closed
                    && elsewhere.accepted.contains_key(&errand.id)
                {
                    return Err(format!(
                        "{}: {errand} was handled behind the end",
                        peer.name()
                    ));
                }
            }
        }
        Ok(())
    }

    fn check_end(&self) -> Result<(), String> {
        let state = self.stage.state.borrow();
        let counts = state.kernel.counts;
        if counts.opened != counts.closed {
            return Err(format!(
                "{} opened, {} closed",
                counts.opened, counts.closed
            ));
        }
        // A read for each piece of news, each connection and each bufferful; what is asked in vain is counted below.
        let receives_max = 3 * (counts.edges + counts.opened) + counts.bytes_in / 16_384 + 50;
        if counts.receives > receives_max {
            return Err(format!(
                "{} reads, and {receives_max} at the most",
                counts.receives
            ));
        }
        if let Some(stopped_at) = state.kernel.stopped_at() {
            let took = state.kernel.now - stopped_at;
            if !self.stage.reactor.is_stopped() {
                return Err("it was told to stop and has not".to_owned());
            }
            if took > DRAIN_TIMEOUT + 1000 + state.kernel.frozen {
                return Err(format!("it took {took} ms to stop"));
            }
        }
        for id in 0..state.kernel.links_len() {
            if state.kernel.custody(id) == Custody::Server {
                return Err(format!("connection {id} is still held"));
            }
        }
        for id in 0..state.kernel.links_len() {
            let needless = state.kernel.needless_reads(id);
            if needless > NEEDLESS_READS_MAX {
                return Err(format!(
                    "{needless} reads of connection {id} that nobody asked for"
                ));
            }
        }
        drop(state);
        self.check_upgrades()
    }

    /// What upgraded peers sent has reached whoever took their sockets.
    fn check_upgrades(&self) -> Result<(), String> {
        let state = self.stage.state.borrow();
        let elsewhere = self.stage.elsewhere.borrow();
        let detached: Vec<&Peer> = state
            .peers
            .iter()
            .filter(|peer| {
                peer.link
                    .is_some_and(|link| state.kernel.custody(link) == Custody::Detached)
            })
            .collect();
        for _ in &detached {
            let (id, bytes) = elsewhere
                .upgrades
                .recv_timeout(core::time::Duration::from_secs(10))
                .map_err(|_| "an upgraded connection reached nobody".to_owned())?;
            let ends: Vec<usize> = detached
                .iter()
                .flat_map(|peer| peer.asked.iter().map(move |asked| (peer, asked)))
                .filter(|(_, asked)| asked.errand.is_some_and(|errand| errand.id == id))
                .map(|(peer, asked)| peer.sent - asked.end)
                .collect();
            if ends != [bytes.len()] || bytes.iter().any(|byte| *byte != b'u') {
                return Err(format!(
                    "{} bytes behind upgrade {id}, not {ends:?}",
                    bytes.len()
                ));
            }
        }
        Ok(())
    }

    fn report(&self) -> Report {
        let state = self.stage.state.borrow();
        let counts = state.kernel.counts;
        let answers = state
            .peers
            .iter()
            .map(|peer| peer.reader.whole.len() as u64);
        let Peaks { gauge, .. } = self.stage.peaks;
        let links = 0..state.kernel.links_len();
        Report {
            connections: counts.opened,
            answers: answers.sum(),
            turns: self.stage.turns,
            bytes: counts.bytes_in + counts.bytes_out,
            calls: counts.receives + counts.sends + counts.watches,
            held_max: [
                gauge.input_max,
                gauge.head_max,
                gauge.body_max,
                gauge.out_max,
            ],
            needless_reads_max: links
                .map(|id| state.kernel.needless_reads(id))
                .max()
                .unwrap_or(0),
        }
    }
}
