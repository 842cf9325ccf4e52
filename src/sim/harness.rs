//! The harness: a server in a simulation, run turn by turn, with bounds checked after each turn.
#![expect(clippy::expect_used, reason = "the simulation needs a temporary file")]

use core::sync::atomic::{AtomicUsize, Ordering};
use std::cell::RefCell;
use std::fs::File;
use std::io::Write as _;
use std::rc::Rc;
use std::sync::{Arc, Mutex, Once, OnceLock, PoisonError};

use super::background::Background;
use super::fairness::MostWork;
use super::faults::FaultRates;
use super::handler::SimulatedHandler;
use super::kernel::{Kernel, Tracing};
use super::plan::{FILE_LEN, IntendedPanic, pattern};
use super::prng::Prng;
use super::world::{PollEnd, SimulatedOs, World};
use crate::limits::Limits;
use crate::observe::{Observer, ServerEvent};
use crate::reactor::{Drive, Gauge, Reactor, Settings, Setup, drives};
use crate::sync::memory::Memory;
use crate::task::count_timers;

/// More turns than this in succession without any work are a busy loop.
const IDLE_TURNS_MAX: u32 = 30;
/// More time-outs than this in succession without any work are needless wake-ups.
const IDLE_WAKES_MAX: u32 = 4;

/// Keeps the events that the loop reports.
#[derive(Clone, Debug, Default)]
pub(super) struct EventLog(Arc<Mutex<Vec<ServerEvent>>>);

impl Observer for EventLog {
    fn on(&mut self, event: ServerEvent) {
        let mut events = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        events.push(event);
    }
}

impl EventLog {
    pub(super) fn events(&self) -> Vec<ServerEvent> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// The highest measurements.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Peaks {
    pub(super) gauge: Gauge,
    pub(super) idle_turns: u32,
    pub(super) idle_wakes: u32,
    pub(super) work: MostWork,
}

/// A server, its simulated operating system, and what is measured of them.
pub(super) struct Harness {
    pub(super) reactor: Reactor<SimulatedOs, SimulatedHandler>,
    pub(super) world: Rc<RefCell<World>>,
    pub(super) background: Rc<RefCell<Background>>,
    pub(super) event_log: EventLog,
    pub(super) limits: Limits,
    /// The largest complete response that a request asks for, in bytes.
    pub(super) response_len_max: usize,
    pub(super) peaks: Peaks,
    pub(super) turns: u64,
    found: Vec<crate::os::Occurrence>,
    idle_turns: u32,
    idle_wakes: u32,
    work: u64,
}

impl Harness {
    pub(super) fn new(prng: Prng, rates: FaultRates, settings: Settings, tracing: Tracing) -> Self {
        silence_intended_panics();
        let background = Rc::new(RefCell::new(Background::default()));
        let kernel = Kernel::new(prng, rates, tracing);
        let world = World::new(kernel, Rc::clone(&background));
        let wakes = Arc::clone(&world.wakes);
        let world = Rc::new(RefCell::new(world));
        let handler = SimulatedHandler {
            background: Rc::clone(&background),
            file: shared_file(),
        };
        let event_log = EventLog::default();
        let memory = Arc::new(Memory::new(settings.limits.memory_max, || None));
        let reactor = Reactor::new(
            SimulatedOs(Rc::clone(&world)),
            handler,
            Setup {
                settings,
                memory: Arc::clone(&memory),
                observer: Box::new(event_log.clone()),
            },
            move || wake(&wakes),
        );
        Self {
            reactor,
            world,
            background,
            event_log,
            limits: settings.limits,
            response_len_max: 700_000,
            peaks: Peaks::default(),
            turns: 0,
            found: Vec::new(),
            idle_turns: 0,
            idle_wakes: 0,
            work: 0,
        }
    }

    /// Runs one turn of the loop; a violation is an error.
    pub(super) fn turn(&mut self) -> Result<(), String> {
        self.turns += 1;
        let _guard = self.reactor.enter();
        self.reactor
            .turn(&mut self.found)
            .map_err(|fault| format!("the loop failed: {fault:?}"))?;
        let mut violations = std::mem::take(&mut self.world.borrow_mut().kernel.record.violations);
        violations.append(&mut self.background.borrow_mut().violations);
        if let Some(violation) = violations.into_iter().next() {
            return Err(violation);
        }
        let drives = drives();
        self.peaks.work.check(&drives, &self.limits)?;
        self.watch_for_busy_loops(&drives)?;
        self.measure()
    }

    fn watch_for_busy_loops(&mut self, drives: &[Drive]) -> Result<(), String> {
        let world = self.world.borrow();
        let work = world.kernel.counts.work();
        // Input that was kept is handled without a system call.
        let mut works = drives.iter().map(|drive| drive.work);
        let has_stepped = works.any(|work| work.steps > 0 || work.futures > 0);
        let is_idle = work == self.work && self.found.is_empty() && !has_stepped;
        self.work = work;
        self.idle_turns = if is_idle && world.poll_end == PollEnd::Returned {
            self.idle_turns + 1
        } else {
            0
        };
        self.idle_wakes = match world.poll_end {
            _ if !is_idle => 0,
            PollEnd::TimedOut => self.idle_wakes + 1,
            PollEnd::Returned | PollEnd::Horizon | PollEnd::Quiescent => self.idle_wakes,
        };
        self.peaks.idle_turns = self.peaks.idle_turns.max(self.idle_turns);
        self.peaks.idle_wakes = self.peaks.idle_wakes.max(self.idle_wakes);
        if self.idle_turns > IDLE_TURNS_MAX {
            return Err("a busy loop: many turns without any work".to_owned());
        }
        if self.idle_wakes > IDLE_WAKES_MAX {
            return Err("needless wake-ups: many time-outs without any work".to_owned());
        }
        Ok(())
    }

    fn measure(&mut self) -> Result<(), String> {
        let gauge = self.reactor.gauge();
        let peak = &mut self.peaks.gauge;
        peak.sessions = peak.sessions.max(gauge.sessions);
        peak.sessions_with_work = peak.sessions_with_work.max(gauge.sessions_with_work);
        peak.input_max = peak.input_max.max(gauge.input_max);
        peak.head_max = peak.head_max.max(gauge.head_max);
        peak.body_max = peak.body_max.max(gauge.body_max);
        peak.out_max = peak.out_max.max(gauge.out_max);
        peak.unfinished = peak.unfinished.max(gauge.unfinished);
        let (futures, tasks) = {
            let handled = &self.background.borrow().handled;
            (handled.futures, handled.tasks)
        };
        let limits = &self.limits;
        // One piece may wait in each channel, whatever others hold.
        let charged_max = limits
            .memory_max
            .map_or(usize::MAX, |max| max + gauge.sessions * PIECE_LEN_MAX);
        // What a task reads counts until the task sees that the connection is gone.
        let charged_max = if gauge.sessions_with_work == 0 && tasks == 0 {
            0
        } else {
            charged_max
        };
        let read = crate::limits::READ_LEN_MAX;
        let bounds = [
            ("sessions", gauge.sessions, limits.connections_max),
            ("held and not counted", gauge.held, gauge.charged),
            ("counted", gauge.charged, charged_max),
            ("unfinished", gauge.unfinished, gauge.sessions),
            ("futures", futures, gauge.sessions_with_work),
            // Each waits for one at a time.
            ("timers", count_timers(), futures + tasks),
            ("input", gauge.input_max, 2 * (limits.head_len_max + read)),
            ("head", gauge.head_max, 2 * limits.head_len_max),
            ("body", gauge.body_max, 2 * MAX_BODY_LEN + read),
            (
                "out",
                gauge.out_max,
                2 * (limits.pending_out_len_max + self.response_len_max + read),
            ),
        ];
        match bounds.iter().find(|(_, held, bound)| held > bound) {
            Some((what, held, bound)) => Err(format!("{what}: {held} is over {bound}")),
            None => Ok(()),
        }
    }

    /// Runs turns until nothing is left to do before the horizon, or the server has stopped.
    pub(super) fn settle(&mut self, turns_max: u64) -> Result<PollEnd, String> {
        for _ in 0..turns_max {
            if self.reactor.is_stopped() {
                return Ok(PollEnd::Quiescent);
            }
            self.turn()?;
            let poll_end = self.world.borrow().poll_end;
            // What the turn itself started shows in the next poll.
            if matches!(poll_end, PollEnd::Quiescent | PollEnd::Horizon) && self.found.is_empty() {
                return Ok(poll_end);
            }
        }
        Err(format!("not quiescent after {turns_max} turns"))
    }
}

/// The longest piece that a handler sends over a channel, in bytes, and what it counts for beside them.
const PIECE_LEN_MAX: usize = 70_000;
/// The longest body that a peer sends, in bytes.
const MAX_BODY_LEN: usize = 80_000;

fn wake(wakes: &AtomicUsize) {
    wakes.fetch_add(1, Ordering::AcqRel);
}

/// Silences the panics that plans ask for; all others are still reported.
fn silence_intended_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !panic.payload().is::<IntendedPanic>() {
                hook(panic);
            }
        }));
    });
}

/// An unlinked file of [`FILE_LEN`] bytes.
fn shared_file() -> Rc<File> {
    static FILE: OnceLock<File> = OnceLock::new();
    let file = FILE.get_or_init(|| {
        let name = format!("coldstart-sim-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let made = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .and_then(|mut file| file.write_all(&pattern(0, FILE_LEN)).map(|()| file))
            .and_then(|file| std::fs::remove_file(&path).map(|()| file));
        made.expect("a temporary file can be written")
    });
    Rc::new(file.try_clone().expect("a descriptor is left"))
}
