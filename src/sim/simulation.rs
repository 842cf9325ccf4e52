//! A server in a made-up world, turn by turn, with a watchdog over each.
#![expect(
    clippy::expect_used,
    reason = "a machine without a temporary file can't play this"
)]

use core::sync::atomic::{AtomicUsize, Ordering};
use std::cell::RefCell;
use std::fs::File;
use std::io::Write as _;
use std::rc::Rc;
use std::sync::{Arc, Mutex, Once, OnceLock, PoisonError};

use super::dice::Dice;
use super::elsewhere::{Elsewhere, StagedHandler, StagedPanic};
use super::faults::FaultRates;
use super::kernel::Kernel;
use super::run::Tracing;
use super::task::{FILE_LEN, pattern};
use super::world::{State, Stir, World};
use crate::limits::Limits;
use crate::observe::{Observer, ServerEvent};
use crate::reactor::{Gauge, Reactor, Settings};

/// Turns without any work at all that are taken for a busy loop.
const IDLE_TURNS_MAX: u32 = 30;
/// Time-outs in succession behind which there was nothing to do.
const IDLE_WAKES_MAX: u32 = 4;

/// Hears what the loop reports.
#[derive(Clone, Debug, Default)]
pub(super) struct Ear(Arc<Mutex<Vec<ServerEvent>>>);

impl Observer for Ear {
    fn on(&mut self, event: ServerEvent) {
        let mut events = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        events.push(event);
    }
}

impl Ear {
    pub(super) fn events(&self) -> Vec<ServerEvent> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// The highest that was measured.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Peaks {
    pub(super) gauge: Gauge,
    pub(super) idle_turns: u32,
    pub(super) idle_wakes: u32,
}

pub(super) struct Stage {
    pub(super) reactor: Reactor<World, StagedHandler>,
    pub(super) state: Rc<RefCell<State>>,
    pub(super) elsewhere: Rc<RefCell<Elsewhere>>,
    pub(super) ear: Ear,
    pub(super) limits: Limits,
    /// The largest whole answer that a request asks for.
    pub(super) answer_len_max: usize,
    pub(super) peaks: Peaks,
    pub(super) turns: u64,
    found: Vec<crate::os::Occurrence>,
    idle_turns: u32,
    idle_wakes: u32,
    work: u64,
}

impl Stage {
    pub(super) fn new(dice: Dice, rates: FaultRates, settings: Settings, tracing: Tracing) -> Self {
        hush_staged_panics();
        let elsewhere = Rc::new(RefCell::new(Elsewhere::default()));
        let kernel = Kernel::new(dice, rates, tracing);
        let state = State::new(kernel, Rc::clone(&elsewhere));
        let wakes = Arc::clone(&state.wakes);
        let state = Rc::new(RefCell::new(state));
        let handler = StagedHandler {
            elsewhere: Rc::clone(&elsewhere),
            file: shared_file(),
        };
        let ear = Ear::default();
        let reactor = Reactor::new(
            World(Rc::clone(&state)),
            handler,
            settings,
            Box::new(ear.clone()),
            move || wake(&wakes),
        );
        Self {
            reactor,
            state,
            elsewhere,
            ear,
            limits: settings.limits,
            answer_len_max: 700_000,
            peaks: Peaks::default(),
            turns: 0,
            found: Vec::new(),
            idle_turns: 0,
            idle_wakes: 0,
            work: 0,
        }
    }

    /// One turn of the loop; what it must not have done is an error.
    pub(super) fn turn(&mut self) -> Result<(), String> {
        self.turns += 1;
        self.reactor
            .turn(&mut self.found)
            .map_err(|fault| format!("the loop gave up: {fault:?}"))?;
        let mut violations = std::mem::take(&mut self.state.borrow_mut().kernel.record.violations);
        violations.append(&mut self.elsewhere.borrow_mut().violations);
        if let Some(violation) = violations.into_iter().next() {
            return Err(violation);
        }
        self.watch_for_busy_loops()?;
        self.measure()
    }

    fn watch_for_busy_loops(&mut self) -> Result<(), String> {
        let state = self.state.borrow();
        let work = state.kernel.counts.work();
        let is_idle = work == self.work && self.found.is_empty();
        self.work = work;
        self.idle_turns = if is_idle && state.stir == Stir::Busy {
            self.idle_turns + 1
        } else {
            0
        };
        self.idle_wakes = match state.stir {
            _ if !is_idle => 0,
            Stir::TimedOut => self.idle_wakes + 1,
            Stir::Busy | Stir::Horizon | Stir::Quiet => self.idle_wakes,
        };
        self.peaks.idle_turns = self.peaks.idle_turns.max(self.idle_turns);
        self.peaks.idle_wakes = self.peaks.idle_wakes.max(self.idle_wakes);
        if self.idle_turns > IDLE_TURNS_MAX {
            return Err("a busy loop: turns in which nothing happens".to_owned());
        }
        if self.idle_wakes > IDLE_WAKES_MAX {
            return Err("the loop wakes again and again for nothing".to_owned());
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
        let limits = &self.limits;
        let read = crate::limits::READ_LEN_MAX;
        let bounds = [
            ("sessions", gauge.sessions, limits.connections_max),
            ("unfinished", gauge.unfinished, 2 * gauge.sessions),
            ("input", gauge.input_max, 2 * (limits.head_len_max + read)),
            ("head", gauge.head_max, 2 * limits.head_len_max),
            ("body", gauge.body_max, 2 * MAX_BODY_LEN + read),
            (
                "out",
                gauge.out_max,
                2 * (limits.pending_out_len_max + self.answer_len_max + read),
            ),
        ];
        match bounds.iter().find(|(_, held, bound)| held > bound) {
            Some((what, held, bound)) => Err(format!("{what}: {held} is over {bound}")),
            None => Ok(()),
        }
    }

    /// Turns until nothing happens any more before the horizon, or the server has stopped.
    pub(super) fn settle(&mut self, turns_max: u64) -> Result<Stir, String> {
        for _ in 0..turns_max {
            if self.reactor.is_stopped() {
                return Ok(Stir::Quiet);
            }
            self.turn()?;
            let stir = self.state.borrow().stir;
            // Whatever the turn itself has set going is seen by the next poll.
            if matches!(stir, Stir::Quiet | Stir::Horizon) && self.found.is_empty() {
                return Ok(stir);
            }
        }
        Err(format!("no quiet in {turns_max} turns"))
    }
}

/// The longest body that a scripted peer sends.
const MAX_BODY_LEN: usize = 80_000;

fn wake(wakes: &AtomicUsize) {
    wakes.fetch_add(1, Ordering::AcqRel);
}

/// Panics that a scenario asks for say nothing; all others are reported as ever.
fn hush_staged_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !panic.payload().is::<StagedPanic>() {
                hook(panic);
            }
        }));
    });
}

/// A file of [`FILE_LEN`] bytes that no directory names any more.
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
