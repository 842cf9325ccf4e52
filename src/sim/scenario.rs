//! Scenarios: a test drives the simulation step by step.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a scenario is a test, and each step of it may fail"
)]

use core::sync::atomic::Ordering;
use core::time::Duration;

use super::faults::FaultRates;
use super::harness::Harness;
use super::kernel::{Flow, LinkId, Tracing};
use super::prng::Prng;
use super::world::Actor;
use crate::limits::Limits;
use crate::observe::ServerEvent;
use crate::reactor::{IdlePolicy, Settings};

/// More turns than any step of a scenario needs.
const TURNS_MAX: u64 = 10_000;

/// A peer of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerId(LinkId);

/// What a peer has received since its last read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Received {
    /// These bytes; the connection is open.
    Bytes(String),
    /// These bytes, then the end of the stream.
    Ended(String),
    /// These bytes, then a reset.
    Reset(String),
}

impl Received {
    /// The bytes, whatever followed them.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Bytes(text) | Self::Ended(text) | Self::Reset(text) => text,
        }
    }

    /// The status codes of all responses in it.
    #[must_use]
    pub fn statuses(&self) -> Vec<u16> {
        let codes = self.text().split("HTTP/1.1 ").skip(1);
        codes
            .filter_map(|rest| rest.get(..3)?.parse().ok())
            .collect()
    }

    /// Whether the connection is open.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self, Self::Bytes(_))
    }
}

/// A server in a simulation without random faults. It panics if the server violates an invariant.
///
/// The handler does what the path says; `sim/plan.rs` lists the paths.
pub struct Scenario {
    harness: Harness,
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
    /// A server with these limits and no peers.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let settings = Settings {
            limits,
            ..Settings::new()
        };
        Self::with_settings(settings)
    }

    /// The same, but the server closes idle connections when it is full.
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
        let harness = Harness::new(Prng::new(1), FaultRates::NONE, settings, Tracing::On);
        let mut world = harness.world.borrow_mut();
        world.horizon = world.kernel.now;
        drop(world);
        Self { harness }
    }

    /// Connects a peer.
    pub fn connect(&mut self) -> PeerId {
        self.connect_with_room(64 * 1024)
    }

    /// The same, with this many bytes of buffer between the server and the peer.
    pub fn connect_with_room(&mut self, len: usize) -> PeerId {
        let link = self.harness.world.borrow_mut().kernel.connect(len);
        PeerId(link.expect("the server listens"))
    }

    /// Sends bytes; the server does not run yet.
    pub fn send(&mut self, peer: PeerId, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        let taken = self
            .harness
            .world
            .borrow_mut()
            .kernel
            .peer_send(peer.0, bytes);
        assert_eq!(
            taken,
            bytes.len(),
            "a scenario sends no more than the kernel has room for"
        );
    }

    /// The peer ends its side and still reads.
    pub fn half_close(&mut self, peer: PeerId) {
        self.harness.world.borrow_mut().kernel.peer_end(peer.0);
    }

    /// The peer resets the connection.
    pub fn reset(&mut self, peer: PeerId) {
        self.harness.world.borrow_mut().kernel.reset(peer.0);
    }

    /// The peer closes the connection.
    pub fn close(&mut self, peer: PeerId) {
        self.harness.world.borrow_mut().kernel.peer_close(peer.0);
    }

    /// The peer reads at most this many bytes; the server does not run.
    pub fn read_some(&mut self, peer: PeerId, len_max: usize) -> Received {
        let (bytes, flow) = self
            .harness
            .world
            .borrow_mut()
            .kernel
            .peer_read(peer.0, len_max);
        let text: String = bytes.iter().copied().map(char::from).collect();
        match flow {
            Flow::Open => Received::Bytes(text),
            Flow::Ended => Received::Ended(text),
            Flow::Broken => Received::Reset(text),
        }
    }

    /// Alternates between the server and a peer that reads everything, until nothing more comes.
    pub fn read(&mut self, peer: PeerId) -> Received {
        let mut all = String::new();
        loop {
            self.run();
            let received = self.read_some(peer, usize::MAX);
            all.push_str(received.text());
            match received {
                Received::Bytes(text) if !text.is_empty() => {}
                Received::Bytes(_) => return Received::Bytes(all),
                Received::Ended(_) => return Received::Ended(all),
                Received::Reset(_) => return Received::Reset(all),
            }
        }
    }

    /// Runs the server until it has nothing more to do without time passing.
    pub fn run(&mut self) {
        let outcome = self.harness.settle(TURNS_MAX).map(drop);
        self.accept(outcome);
    }

    /// Runs one turn of the loop.
    pub fn turn(&mut self) {
        let outcome = self.harness.turn();
        self.accept(outcome);
    }

    fn accept(&self, outcome: Result<(), String>) {
        if let Err(what) = outcome {
            let trace = self.harness.world.borrow().kernel.record.trace.join("\n");
            panic!("{trace}\n{what}");
        }
    }

    /// Lets time pass while the server runs.
    pub fn wait(&mut self, time: Duration) {
        self.run();
        self.harness.world.borrow_mut().horizon += millis(time);
        self.run();
    }

    /// Freezes the machine: time passes, but the server does not run.
    pub fn freeze(&mut self, time: Duration) {
        let mut world = self.harness.world.borrow_mut();
        world.kernel.now += millis(time);
        world.horizon = world.horizon.max(world.kernel.now);
    }

    /// Makes the next poll return at once without events, as after a signal.
    pub fn interrupt(&mut self) {
        self.harness
            .world
            .borrow_mut()
            .kernel
            .faults
            .injection
            .interrupt_next_poll();
    }

    /// Makes accept fail for want of descriptors for this long.
    pub fn exhaust_descriptors(&mut self, time: Duration) {
        self.harness.world.borrow_mut().kernel.exhaust(millis(time));
    }

    /// Asks the server to stop.
    pub fn stop(&mut self) {
        let mut world = self.harness.world.borrow_mut();
        let now = world.kernel.now;
        world.at(now, Actor::Stop);
    }

    /// Whether the server accepts new connections.
    #[must_use]
    pub fn is_listening(&self) -> bool {
        self.harness.world.borrow().kernel.stopped_at().is_none()
    }

    /// The monotonic time.
    #[must_use]
    pub fn time(&self) -> Duration {
        Duration::from_millis(self.harness.world.borrow().kernel.now)
    }

    /// Whether the server has stopped.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.harness.reactor.is_stopped()
    }

    /// The time-out of the last poll.
    #[must_use]
    pub fn sleep(&self) -> Option<Duration> {
        self.harness.world.borrow().timeout
    }

    /// The turns so far.
    #[must_use]
    pub const fn turns(&self) -> u64 {
        self.harness.turns
    }

    /// The calls of receive, send and watch so far.
    #[must_use]
    pub fn calls(&self) -> u64 {
        let counts = self.harness.world.borrow().kernel.counts;
        counts.receives + counts.sends + counts.watches
    }

    /// The number of sessions, and of those that own memory beside their slot.
    pub fn sessions(&mut self) -> (usize, usize) {
        let gauge = self.harness.reactor.gauge();
        (gauge.sessions, gauge.sessions_with_work)
    }

    /// The most output that one session has held, in bytes.
    #[must_use]
    pub const fn held_output_max(&self) -> usize {
        self.harness.peaks.gauge.out_max
    }

    /// The events that the server has reported.
    #[must_use]
    pub fn events(&self) -> Vec<ServerEvent> {
        self.harness.event_log.events()
    }

    /// How many wake-ups other threads have sent that no poll has reported yet.
    #[must_use]
    pub fn wakes(&self) -> usize {
        self.harness.world.borrow().wakes.load(Ordering::Acquire)
    }

    /// How many futures that handlers returned are not dropped yet.
    #[must_use]
    pub fn futures(&self) -> usize {
        self.harness.background.borrow().handled.futures
    }

    /// How many tasks that handlers have spawned are not dropped yet.
    #[must_use]
    pub fn tasks(&self) -> usize {
        self.harness.background.borrow().handled.tasks
    }

    /// How many values that panic when they are dropped are not dropped yet.
    #[must_use]
    pub fn volatile(&self) -> usize {
        self.harness.background.borrow().handled.volatile
    }

    /// How many uploads were notified that they were cut.
    #[must_use]
    pub fn uploads_cut(&self) -> u64 {
        self.harness.background.borrow().handled.uploads_cut
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
