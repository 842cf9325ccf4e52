//! The made-up world as the loop sees it: an [`Os`] over the kernel, the clock, the peers and what goes on elsewhere.

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use core::time::Duration;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::{IoSlice, Write as _};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;

use super::elsewhere::Elsewhere;
use super::faults::Call;
use super::kernel::{Kernel, LinkId};
use super::peer::Peer;
use crate::os::{Fault, Instant, Interest, Key, Occurrence, Os};

/// Whose turn it is at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Actor {
    Peer(usize),
    Elsewhere(u64),
    /// The process is told to stop.
    Stopper,
}

/// Why the last poll returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stir {
    /// Something happened, or was looked for without waiting.
    Busy,
    /// Its time-out passed.
    TimedOut,
    /// Nothing would happen before the horizon.
    Horizon,
    /// Nothing would ever happen: a real poll would have slept for good.
    Quiet,
}

/// What the wall clock says beside the one that never goes back.
#[derive(Debug)]
pub(super) struct WallClock {
    offset: u64,
    /// Every second that it has shown, so that a date can be judged.
    pub(super) shown: Vec<u64>,
}

/// All of the world.
#[derive(Debug)]
pub(super) struct State {
    pub(super) kernel: Kernel,
    pub(super) peers: Vec<Peer>,
    pub(super) elsewhere: Rc<RefCell<Elsewhere>>,
    schedule: BTreeSet<(u64, u64, Actor)>,
    scheduled: u64,
    /// Time does not go beyond it.
    pub(super) horizon: u64,
    pub(super) stir: Stir,
    pub(super) timeout: Option<Duration>,
    pub(super) wall: WallClock,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) wakes: Arc<AtomicUsize>,
}

impl State {
    pub(super) fn new(kernel: Kernel, elsewhere: Rc<RefCell<Elsewhere>>) -> Self {
        Self {
            kernel,
            peers: Vec::new(),
            elsewhere,
            schedule: BTreeSet::new(),
            scheduled: 0,
            horizon: u64::MAX,
            stir: Stir::Busy,
            timeout: None,
            wall: WallClock {
                offset: 784_111_777,
                shown: vec![784_111_777 + 1000],
            },
            stop: Arc::default(),
            wakes: Arc::default(),
        }
    }

    pub(super) fn at(&mut self, time: u64, actor: Actor) {
        self.scheduled += 1;
        self.schedule.insert((time, self.scheduled, actor));
    }

    fn take_fresh_jobs(&mut self) {
        let fresh = std::mem::take(&mut self.elsewhere.borrow_mut().fresh);
        for (delay, job) in fresh {
            self.at(self.kernel.now + delay, Actor::Elsewhere(job));
        }
        for link in std::mem::take(&mut self.kernel.touched) {
            if let Some(peer) = self.peers.iter().position(|peer| peer.link == Some(link)) {
                let at = self.kernel.now + self.kernel.chance.dice.millis(0, 20);
                self.at(at, Actor::Peer(peer));
            }
        }
    }

    /// All that is to happen until now happens, each at its own time.
    fn act(&mut self) {
        self.take_fresh_jobs();
        while let Some((time, number, actor)) = self.schedule.first().copied()
            && time <= self.kernel.now
        {
            self.schedule.remove(&(time, number, actor));
            let again = match actor {
                Actor::Peer(peer) => self.peers[peer].act(time, &mut self.kernel, &self.wall),
                Actor::Elsewhere(job) => {
                    let delay = self.elsewhere.borrow_mut().act(job);
                    delay.map(|delay| time + delay)
                }
                Actor::Stopper => {
                    self.kernel.note(|| "stop".to_owned());
                    self.stop.store(true, Ordering::Release);
                    self.wakes.fetch_add(1, Ordering::AcqRel);
                    None
                }
            };
            if let Some(again) = again {
                self.at(again, actor);
            }
            self.take_fresh_jobs();
        }
    }

    fn poll(&mut self, timeout: Option<Duration>, found: &mut Vec<Occurrence>) {
        self.timeout = timeout;
        self.stir = Stir::Busy;
        self.spend_busy_time();
        self.let_clocks_run();
        self.act();
        let is_interrupted = self
            .kernel
            .chance
            .dice
            .is_hit(self.kernel.chance.rates.interrupted);
        if is_interrupted || self.kernel.chance.injection.on_call(Call::Poll).is_some() {
            return;
        }
        let now = self.kernel.now;
        let until = timeout.map(|timeout| Instant(now).after(timeout).0);
        loop {
            if self.wakes.swap(0, Ordering::AcqRel) > 0 {
                found.push(Occurrence::Wake);
            }
            if self.kernel.has_news() {
                self.kernel.tell(found);
            }
            if !found.is_empty() || timeout == Some(Duration::ZERO) {
                break;
            }
            if !self.sleep(until) {
                break;
            }
            self.act();
        }
        self.kernel.mislead(found);
        self.kernel.on_told(found);
    }

    /// Lets time pass until something is to happen. False: nothing is, or the time-out has passed.
    fn sleep(&mut self, until: Option<u64>) -> bool {
        let act_at = self.schedule.first().map(|(time, _, _)| *time);
        let Some(next) = [act_at, until].into_iter().flatten().min() else {
            self.stir = Stir::Quiet;
            return false;
        };
        if next > self.horizon {
            self.stir = Stir::Horizon;
            self.kernel.now = self.kernel.now.max(self.horizon);
            return false;
        }
        if self.kernel.now >= next && act_at.is_none_or(|at| at > self.kernel.now) {
            self.stir = Stir::TimedOut;
            return false;
        }
        self.kernel.now = self.kernel.now.max(next);
        if self
            .kernel
            .chance
            .dice
            .is_hit(self.kernel.chance.rates.freeze)
        {
            let minutes = self.kernel.chance.dice.millis(1, 30);
            self.kernel.now += minutes * 60_000;
            self.kernel.frozen += minutes * 60_000;
            self.kernel
                .note(|| format!("thawed after {minutes} minutes"));
        }
        true
    }

    /// Handlers that keep the loop take time, in which the loop sees nothing.
    fn spend_busy_time(&mut self) {
        let busy = std::mem::take(&mut self.elsewhere.borrow_mut().busy);
        self.kernel.now += busy;
        if self.horizon != u64::MAX {
            self.horizon = self.horizon.max(self.kernel.now);
        }
    }

    fn let_clocks_run(&mut self) {
        let rates = self.kernel.chance.rates;
        if self.horizon == u64::MAX {
            self.kernel.now += self.kernel.chance.dice.millis(0, 2) / 2;
        }
        if self.kernel.chance.dice.is_hit(rates.wall_leap) {
            let leap = self.kernel.chance.dice.millis(0, 20_000_000);
            self.wall.offset = (self.wall.offset + leap).saturating_sub(10_000_000);
        }
        let second = self.wall.offset + self.kernel.now / 1000;
        if self.wall.shown.last() != Some(&second) {
            self.wall.shown.push(second);
        }
    }
}

/// The world, as the loop owns it.
#[derive(Clone, Debug)]
pub(super) struct World(pub(super) Rc<RefCell<State>>);

/// The server's end of a link. Not to be copied: it is closed once.
#[derive(Debug)]
pub(super) struct Socket(LinkId);

impl Os for World {
    type Socket = Socket;

    fn poll(
        &mut self,
        timeout: Option<Duration>,
        found: &mut Vec<Occurrence>,
    ) -> Result<(), Fault> {
        self.0.borrow_mut().poll(timeout, found);
        Ok(())
    }

    fn accept(&mut self) -> Result<Socket, Fault> {
        self.0.borrow_mut().kernel.accept().map(Socket)
    }

    fn has_backlog(&mut self) -> bool {
        self.0.borrow().kernel.has_backlog()
    }

    fn stop_listening(&mut self) {
        self.0.borrow_mut().kernel.stop_listening();
    }

    fn watch(
        &mut self,
        socket: &mut Socket,
        key: Key,
        before: Interest,
        now: Interest,
    ) -> Result<(), Fault> {
        let kernel = &mut self.0.borrow_mut().kernel;
        kernel.watch(socket.0, key, before, now)
    }

    fn receive(&mut self, socket: &Socket, buffer: &mut [u8]) -> Result<usize, Fault> {
        self.0.borrow_mut().kernel.receive(socket.0, buffer)
    }

    fn send(&mut self, socket: &Socket, slices: &[IoSlice<'_>]) -> Result<usize, Fault> {
        self.0.borrow_mut().kernel.send(socket.0, slices)
    }

    fn end_output(&mut self, socket: &Socket) {
        self.0.borrow_mut().kernel.end_output(socket.0);
    }

    fn close(&mut self, socket: Socket) {
        self.0.borrow_mut().kernel.close(socket.0);
    }

    /// The stream is one end of a pair: what waits in the link lies in it, and its other end is closed behind that.
    fn detach(&mut self, socket: Socket) -> Result<TcpStream, Fault> {
        let waiting = self.0.borrow_mut().kernel.detach(socket.0)?;
        let (ours, mut theirs) = UnixStream::pair().map_err(|_| Fault::Exhausted)?;
        theirs.write_all(&waiting).map_err(|_| Fault::Gone)?;
        Ok(TcpStream::from(OwnedFd::from(ours)))
    }

    fn is_stop_wanted(&self) -> bool {
        self.0.borrow().stop.load(Ordering::Acquire)
    }

    fn now(&self) -> Instant {
        let mut state = self.0.borrow_mut();
        state.spend_busy_time();
        Instant(state.kernel.now)
    }

    fn unix_seconds(&self) -> u64 {
        self.0.borrow().wall.shown.last().copied().unwrap_or(0)
    }
}
