//! A made-up world by hand: each step is a test's own.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a scenario is a test, and each step of it may fail"
)]

use core::time::Duration;

use super::dice::Dice;
use super::faults::FaultRates;
use super::kernel::{Flow, LinkId};
use super::run::Tracing;
use super::simulation::Stage;
use super::world::Actor;
use crate::limits::Limits;
use crate::observe::ServerEvent;
use crate::reactor::{IdlePolicy, Settings};

/// Turns that no step of a scenario needs.
const TURNS_MAX: u64 = 10_000;

/// A peer of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerId(LinkId);

/// What a peer has read since it last looked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Heard {
    /// These bytes, and there may be more.
    Bytes(String),
    /// These bytes, and then the end.
    Ended(String),
    /// These bytes, and then a reset.
    Reset(String),
}

impl Heard {
    /// The bytes, whatever came behind them.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Bytes(text) | Self::Ended(text) | Self::Reset(text) => text,
        }
    }

    /// The status codes of all answers in it.
    #[must_use]
    pub fn statuses(&self) -> Vec<u16> {
        let codes = self.text().split("HTTP/1.1 ").skip(1);
        codes
            .filter_map(|rest| rest.get(..3)?.parse().ok())
            .collect()
    }

    /// Whether the connection stands.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self, Self::Bytes(_))
    }
}

/// A server and its world. Whatever it does that it must not is a panic.
///
/// The handler does what the path says; `sim/task.rs` lists the paths.
pub struct Scenario {
    stage: Stage,
}

impl core::fmt::Debug for Scenario {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.debug_struct("Scenario").finish_non_exhaustive()
    }
}

impl Default for Scenario {
    fn default() -> Self {
        Self::new(Limits::new())
    }
}

impl Scenario {
    /// A server with these bounds, and nobody there.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let settings = Settings {
            limits,
            ..Settings::new()
        };
        Self::with_settings(settings)
    }

    /// The same, and idle connections are closed when there is no room for another one.
    #[must_use]
    pub fn evicting(limits: Limits) -> Self {
        let settings = Settings {
            limits,
            idle: IdlePolicy::Evict,
            ..Settings::new()
        };
        Self::with_settings(settings)
    }

    fn with_settings(settings: Settings) -> Self {
        let stage = Stage::new(Dice::new(1), FaultRates::CALM, settings, Tracing::On);
        let mut state = stage.state.borrow_mut();
        state.horizon = state.kernel.now;
        drop(state);
        Self { stage }
    }

    /// A peer connects, and the kernel takes it.
    pub fn connect(&mut self) -> PeerId {
        self.connect_with_room(64 * 1024)
    }

    /// The same; so many bytes of answers have room between the two.
    pub fn connect_with_room(&mut self, len: usize) -> PeerId {
        let link = self.stage.state.borrow_mut().kernel.connect(len);
        PeerId(link.expect("the server listens"))
    }

    /// The peer sends; the server has not looked yet.
    pub fn send(&mut self, peer: PeerId, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        let taken = self
            .stage
            .state
            .borrow_mut()
            .kernel
            .peer_send(peer.0, bytes);
        assert_eq!(
            taken,
            bytes.len(),
            "a scenario sends what the kernel has room for"
        );
    }

    /// The peer ends its side and reads on.
    pub fn half_close(&mut self, peer: PeerId) {
        self.stage.state.borrow_mut().kernel.peer_end(peer.0);
    }

    /// The peer is gone with a reset.
    pub fn reset(&mut self, peer: PeerId) {
        self.stage.state.borrow_mut().kernel.reset(peer.0);
    }

    /// The peer closes.
    pub fn close(&mut self, peer: PeerId) {
        self.stage.state.borrow_mut().kernel.peer_close(peer.0);
    }

    /// At most so many bytes that the peer reads, without a turn of the server's.
    pub fn read_some(&mut self, peer: PeerId, len_max: usize) -> Heard {
        let (bytes, flow) = self
            .stage
            .state
            .borrow_mut()
            .kernel
            .peer_read(peer.0, len_max);
        let text: String = bytes.iter().copied().map(char::from).collect();
        match flow {
            Flow::Open => Heard::Bytes(text),
            Flow::Ended => Heard::Ended(text),
            Flow::Broken => Heard::Reset(text),
        }
    }

    /// The server does all it can now, and the peer reads all of it.
    pub fn read(&mut self, peer: PeerId) -> Heard {
        let mut all = String::new();
        loop {
            self.run();
            let heard = self.read_some(peer, usize::MAX);
            all.push_str(heard.text());
            match heard {
                Heard::Bytes(text) if !text.is_empty() => {}
                Heard::Bytes(_) => return Heard::Bytes(all),
                Heard::Ended(_) => return Heard::Ended(all),
                Heard::Reset(_) => return Heard::Reset(all),
            }
        }
    }

    /// The server does all it can without time passing.
    pub fn run(&mut self) {
        let outcome = self.stage.settle(TURNS_MAX).map(drop);
        self.accept(outcome);
    }

    /// One turn of the loop.
    pub fn turn(&mut self) {
        let outcome = self.stage.turn();
        self.accept(outcome);
    }

    fn accept(&self, outcome: Result<(), String>) {
        if let Err(what) = outcome {
            let trace = self.stage.state.borrow().kernel.record.trace.join("\n");
            panic!("{trace}\n{what}");
        }
    }

    /// Time passes, and the server does what there is to do meanwhile.
    pub fn wait(&mut self, time: Duration) {
        self.run();
        self.stage.state.borrow_mut().horizon += millis(time);
        self.run();
    }

    /// The machine is frozen: time passes, and the server sees nothing of it.
    pub fn freeze(&mut self, time: Duration) {
        let mut state = self.stage.state.borrow_mut();
        state.kernel.now += millis(time);
        state.horizon = state.horizon.max(state.kernel.now);
    }

    /// The next poll returns at once with nothing, as after a signal.
    pub fn interrupt(&mut self) {
        self.stage
            .state
            .borrow_mut()
            .kernel
            .chance
            .injection
            .interrupt_next_poll();
    }

    /// An accept fails for want of descriptors for so long.
    pub fn exhaust_descriptors(&mut self, time: Duration) {
        self.stage.state.borrow_mut().kernel.exhaust(millis(time));
    }

    /// The process is told to stop.
    pub fn stop(&mut self) {
        let mut state = self.stage.state.borrow_mut();
        let now = state.kernel.now;
        state.at(now, Actor::Stopper);
    }

    /// Whether new connections are taken.
    #[must_use]
    pub fn is_listening(&self) -> bool {
        self.stage.state.borrow().kernel.stopped_at().is_none()
    }

    /// The time, on the clock that never goes back.
    #[must_use]
    pub fn time(&self) -> Duration {
        Duration::from_millis(self.stage.state.borrow().kernel.now)
    }

    /// Whether the server has stopped.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stage.reactor.is_stopped()
    }

    /// Whatever other threads owed is done.
    pub fn settle_late_work(&mut self) {
        self.stage.elsewhere.borrow_mut().heal();
    }

    /// How long the last poll would have slept; `None` is for good.
    #[must_use]
    pub fn sleep(&self) -> Option<Duration> {
        self.stage.state.borrow().timeout
    }

    /// Turns so far.
    #[must_use]
    pub const fn turns(&self) -> u64 {
        self.stage.turns
    }

    /// Calls of receive, send and watch so far.
    #[must_use]
    pub fn calls(&self) -> u64 {
        let counts = self.stage.state.borrow().kernel.counts;
        counts.receives + counts.sends + counts.watches
    }

    /// Sessions, and how many of them own memory beside their slot.
    pub fn sessions(&mut self) -> (usize, usize) {
        let gauge = self.stage.reactor.gauge();
        (gauge.sessions, gauge.sessions_with_work)
    }

    /// The most output that one session has held, in bytes.
    #[must_use]
    pub const fn held_output_max(&self) -> usize {
        self.stage.peaks.gauge.out_max
    }

    /// What the operator was told.
    #[must_use]
    pub fn events(&self) -> Vec<ServerEvent> {
        self.stage.ear.events()
    }

    /// Uploads that heard that they were cut.
    #[must_use]
    pub fn uploads_cut(&self) -> u64 {
        self.stage.elsewhere.borrow().uploads_cut
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
