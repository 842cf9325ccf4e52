//! The simulated operating system: an [`Os`] over the simulated kernel, the clocks, the peers and background jobs.

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use core::time::Duration;
use std::cell::{RefCell, RefMut};
use std::collections::BTreeSet;
use std::io::{IoSlice, Write as _};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;

use super::background::Background;
use super::disturbance::{AtStep, Steps, disturb};
use super::faults::Syscall;
use super::kernel::{Kernel, LinkId};
use super::oracle::check_reading;
use super::peer::Peer;
use super::wall_clock::WallClock;
use crate::os::{Fault, Instant, Interest, Key, Occurrence, Os, Outlet, PeerAddress};
use crate::sync::loop_thread;
use crate::sync::tally::count;

/// What a scheduled event belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Actor {
    Peer(usize),
    Background(u64),
    /// The signal that stops the server.
    Stop,
}

/// Why the last poll returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PollEnd {
    /// It found events, or was not to wait.
    Returned,
    /// Its time-out passed.
    TimedOut,
    /// Nothing is scheduled before the horizon.
    Horizon,
    /// Nothing is scheduled at all: a real poll would never return.
    Quiescent,
}

/// The whole state of a simulation, apart from the server.
#[derive(Debug)]
pub(super) struct World {
    pub(super) kernel: Kernel,
    pub(super) peers: Vec<Peer>,
    pub(super) background: Rc<RefCell<Background>>,
    schedule: BTreeSet<(u64, u64, Actor)>,
    scheduled: u64,
    /// The simulated time does not pass it.
    pub(super) horizon: u64,
    pub(super) poll_end: PollEnd,
    pub(super) timeout: Option<Duration>,
    pub(super) wall: WallClock,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) wakes: Arc<AtomicUsize>,
    pub(super) steps: Steps,
}

impl World {
    pub(super) fn new(kernel: Kernel, background: Rc<RefCell<Background>>) -> Self {
        let wall = WallClock::new(kernel.now);
        Self {
            kernel,
            peers: Vec::new(),
            background,
            schedule: BTreeSet::new(),
            scheduled: 0,
            horizon: u64::MAX,
            poll_end: PollEnd::Returned,
            timeout: None,
            wall,
            stop: Arc::default(),
            wakes: Arc::default(),
            steps: Steps::default(),
        }
    }

    pub(super) fn at(&mut self, time: u64, actor: Actor) {
        self.scheduled += 1;
        self.schedule.insert((time, self.scheduled, actor));
    }

    /// Another step begins: what is to happen before it happens now.
    fn step(&mut self) {
        for what in self.steps.begin(&self.peers, &self.kernel) {
            match what {
                AtStep::Peer(number, disturbance) => {
                    disturb(&mut self.peers[number], disturbance, &mut self.kernel);
                }
                AtStep::Stop => self.stop(),
            }
        }
    }

    fn stop(&mut self) {
        self.kernel.note(|| "stop".to_owned());
        self.kernel.ask_to_stop();
        self.stop.store(true, Ordering::Release);
        self.wakes.fetch_add(1, Ordering::AcqRel);
    }

    /// After the end of the server: its peers read what is left, and what wakes its code comes too late.
    pub(super) fn outlive_the_server(&mut self) {
        self.schedule_new_work();
        while let Some((time, _, _)) = self.schedule.first().copied() {
            self.kernel.now = self.kernel.now.max(time);
            self.run_due();
        }
    }

    fn schedule_new_work(&mut self) {
        let new_jobs = std::mem::take(&mut self.background.borrow_mut().new_jobs);
        for (delay, job) in new_jobs {
            self.at(self.kernel.now + delay, Actor::Background(job));
        }
        for link in std::mem::take(&mut self.kernel.touched) {
            if let Some(peer) = self.peers.iter().position(|peer| peer.link == Some(link)) {
                let at = self.kernel.now + self.kernel.faults.prng.millis(0, 20);
                self.at(at, Actor::Peer(peer));
            }
        }
    }

    /// Runs everything that is due, each at its own time.
    fn run_due(&mut self) {
        // Jobs and peers stand for other threads and other machines.
        let _elsewhere = loop_thread::enter(loop_thread::Runner::NONE);
        self.schedule_new_work();
        while let Some((time, number, actor)) = self.schedule.first().copied()
            && time <= self.kernel.now
        {
            self.schedule.remove(&(time, number, actor));
            self.step();
            let again = match actor {
                Actor::Peer(peer) => self.run_peer(peer, time),
                Actor::Background(job) => {
                    let delay = self.background.borrow_mut().run(job);
                    delay.map(|delay| time + delay)
                }
                Actor::Stop => {
                    self.stop();
                    None
                }
            };
            if let Some(again) = again {
                self.at(again, actor);
            }
            self.schedule_new_work();
        }
    }

    /// Lets a peer read, checks what it read, and goes on with its script; returns when to wake it again.
    fn run_peer(&mut self, number: usize, at: u64) -> Option<u64> {
        let (peer, kernel) = (&mut self.peers[number], &mut self.kernel);
        let link = peer.wake(at, kernel)?;
        if let Some(reading) = peer.read(at, link, kernel)
            && let Err(what) = check_reading(peer, reading, at, kernel, &self.wall)
        {
            kernel.violate(format!("{}: {what}", peer.name()));
        }
        if peer.goes_on() {
            peer.run_script(at, link, kernel, &self.wall);
        }
        peer.next_alarm(at, link, kernel)
    }

    fn poll(&mut self, timeout: Option<Duration>, found: &mut Vec<Occurrence>) {
        self.timeout = timeout;
        self.kernel.check_last_bytes();
        self.poll_end = PollEnd::Returned;
        self.spend_busy_time();
        self.advance_clocks();
        self.run_due();
        self.step();
        let is_interrupted = self
            .kernel
            .faults
            .prng
            .chance(self.kernel.faults.rates.interrupted);
        if is_interrupted
            || self
                .kernel
                .faults
                .injection
                .on_call(Syscall::Poll)
                .is_some()
        {
            return;
        }
        let now = self.kernel.now;
        let until = timeout.map(|timeout| Instant(now).after(timeout).0);
        loop {
            if self.wakes.swap(0, Ordering::AcqRel) > 0 {
                found.push(Occurrence::Wake);
            }
            if self.kernel.has_events() {
                self.kernel.report_events(found);
            }
            if !found.is_empty() || timeout == Some(Duration::ZERO) {
                break;
            }
            if !self.sleep(until) {
                break;
            }
            self.run_due();
        }
        self.kernel.add_spurious_events(found);
        self.kernel.on_reported(found);
    }

    /// Lets time pass until the next scheduled event. False if there is none, or the time-out passes first.
    fn sleep(&mut self, until: Option<u64>) -> bool {
        let event_at = self.schedule.first().map(|(time, _, _)| *time);
        let Some(next) = [event_at, until].into_iter().flatten().min() else {
            self.poll_end = PollEnd::Quiescent;
            return false;
        };
        if next > self.horizon {
            self.poll_end = PollEnd::Horizon;
            self.kernel.now = self.kernel.now.max(self.horizon);
            return false;
        }
        if self.kernel.now >= next && event_at.is_none_or(|at| at > self.kernel.now) {
            self.poll_end = PollEnd::TimedOut;
            return false;
        }
        self.kernel.now = self.kernel.now.max(next);
        if self
            .kernel
            .faults
            .prng
            .chance(self.kernel.faults.rates.freeze)
        {
            let minutes = self.kernel.faults.prng.millis(1, 30);
            self.kernel.now += minutes * 60_000;
            self.kernel.frozen += minutes * 60_000;
            self.kernel
                .note(|| format!("thawed after {minutes} minutes"));
        }
        true
    }

    /// Advances the clock by the time that busy handlers have used.
    fn spend_busy_time(&mut self) {
        let busy = std::mem::take(&mut self.background.borrow_mut().clock.busy);
        self.kernel.now += busy;
        if self.horizon != u64::MAX {
            self.horizon = self.horizon.max(self.kernel.now);
        }
    }

    /// The handler sees the time.
    fn show_time(&self) {
        self.background.borrow_mut().clock.now = self.kernel.now;
    }

    fn advance_clocks(&mut self) {
        let rates = self.kernel.faults.rates;
        if self.horizon == u64::MAX {
            self.kernel.now += self.kernel.faults.prng.millis(0, 2) / 2;
        }
        if self.kernel.faults.prng.chance(rates.wall_leap) {
            self.wall.leap(&mut self.kernel.faults.prng);
        }
        self.wall.advance(self.kernel.now);
    }
}

/// The operating system that the loop sees.
#[derive(Clone, Debug)]
pub(super) struct SimulatedOs(pub(super) Rc<RefCell<World>>);

/// The server's end of a link. Not `Copy`: it is closed once.
#[derive(Debug)]
pub(super) struct Socket(LinkId);

impl SimulatedOs {
    /// The server calls the system.
    fn begin_step(&self) -> RefMut<'_, World> {
        let mut world = self.0.borrow_mut();
        world.step();
        world
    }
}

impl Os for SimulatedOs {
    type Socket = Socket;

    fn poll(
        &mut self,
        timeout: Option<Duration>,
        found: &mut Vec<Occurrence>,
    ) -> Result<(), Fault> {
        let mut world = self.0.borrow_mut();
        world.poll(timeout, found);
        world.show_time();
        Ok(())
    }

    fn accept(&mut self) -> Result<Socket, Fault> {
        self.begin_step().kernel.accept().map(Socket)
    }

    fn has_backlog(&mut self) -> bool {
        self.0.borrow().kernel.has_backlog()
    }

    fn stop_listening(&mut self) {
        self.begin_step().kernel.stop_listening();
    }

    fn watch(
        &mut self,
        socket: &mut Socket,
        key: Key,
        before: Interest,
        now: Interest,
    ) -> Result<(), Fault> {
        self.begin_step().kernel.watch(socket.0, key, before, now)
    }

    fn receive(&mut self, socket: &Socket, buffer: &mut [u8]) -> Result<usize, Fault> {
        count(|tally| tally.receives += 1);
        self.begin_step().kernel.receive(socket.0, buffer)
    }

    fn send(&mut self, socket: &Socket, slices: &[IoSlice<'_>]) -> Result<usize, Fault> {
        count(|tally| tally.sends += 1);
        self.begin_step().kernel.send(socket.0, slices)
    }

    fn send_last(&mut self, socket: &Socket, slices: &[IoSlice<'_>]) -> Result<usize, Fault> {
        count(|tally| tally.sends += 1);
        self.begin_step().kernel.send_last(socket.0, slices)
    }

    fn outlet(&mut self, socket: &Socket) -> Outlet {
        let (os, link) = (self.clone(), socket.0);
        Outlet::Simulated(Box::new(move |file, at, len| {
            count(|tally| tally.file_sends += 1);
            os.begin_step().kernel.send_file(link, file, (at, len))
        }))
    }

    fn on_full(&mut self, _: &Socket) {}

    fn end_output(&mut self, socket: &Socket) {
        self.begin_step().kernel.end_output(socket.0);
    }

    fn close(&mut self, socket: Socket) {
        self.begin_step().kernel.close(socket.0);
    }

    /// The stream is one end of a pair. The other end has sent the link's unread input and is closed.
    fn peer_address(_: &Self::Socket) -> PeerAddress<'static> {
        PeerAddress::Unknown
    }

    fn detach(&mut self, socket: Socket) -> Result<TcpStream, Fault> {
        let waiting = self.begin_step().kernel.detach(socket.0)?;
        let (ours, mut theirs) = UnixStream::pair().map_err(|_| Fault::Exhausted)?;
        theirs.write_all(&waiting).map_err(|_| Fault::Gone)?;
        Ok(TcpStream::from(OwnedFd::from(ours)))
    }

    fn is_stop_wanted(&self) -> bool {
        self.0.borrow().stop.load(Ordering::Acquire)
    }

    fn now(&self) -> Instant {
        let mut world = self.0.borrow_mut();
        world.spend_busy_time();
        world.show_time();
        Instant(world.kernel.now)
    }

    fn unix_seconds(&self) -> u64 {
        self.0.borrow().wall.unix_seconds()
    }
}
