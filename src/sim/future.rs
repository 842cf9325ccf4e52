//! The simulated future: it waits as its plan says, and checks how the loop polls and drops it.
#![expect(clippy::panic, reason = "some plans ask for a panic")]

use core::cell::Cell;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::cell::RefCell;
use std::rc::Rc;

use super::background::{Background, Due, Job};
use super::plan::{FutureEnd, IntendedPanic, WakeKind, pattern};
use crate::handler::Outcome;
use crate::message::response::Response;
use crate::task::{Interval, JoinHandle, Sleep, interval, sleep, spawn};

/// Whether a future may be polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    New,
    Waiting,
    Over,
}

/// What a future waits for beside its waker, and when that may come.
enum Timed {
    Nothing,
    Sleep(Sleep, u64),
    /// The second tick is the first that takes time.
    Ticks(Interval, u64),
    Task(JoinHandle<()>, u64),
}

/// Milliseconds of a tick.
const PERIOD: u64 = 50;

/// Milliseconds of each other wait.
fn delay(id: u64, waits: usize) -> u64 {
    [30, 0, 700, 1][usize::try_from(id).unwrap_or(0).wrapping_add(waits) % 4]
}

/// Counts a task that is not dropped yet.
struct Running(Rc<RefCell<Background>>);

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(mut background) = self.0.try_borrow_mut() {
            background.handled.tasks -= 1;
        }
    }
}

pub(super) struct SimulatedFuture {
    background: Rc<RefCell<Background>>,
    id: u64,
    waits: usize,
    wake: WakeKind,
    end: FutureEnd,
    stage: Stage,
    is_woken: Rc<Cell<bool>>,
    timed: Timed,
}

impl SimulatedFuture {
    pub(super) fn new(
        background: &Rc<RefCell<Background>>,
        (id, waits): (u64, usize),
        wake: WakeKind,
        end: FutureEnd,
    ) -> Self {
        background.borrow_mut().handled.futures += 1;
        Self {
            background: Rc::clone(background),
            id,
            waits,
            wake,
            end,
            stage: Stage::New,
            is_woken: Rc::default(),
            timed: Timed::Nothing,
        }
    }

    fn check_poll(&mut self, context: &mut Context<'_>) {
        let is_due = self.is_due(context);
        let is_woken = self.is_woken.replace(false) || is_due;
        let violation = match self.stage {
            Stage::New => return,
            Stage::Waiting if is_woken => return,
            Stage::Waiting => "was polled although nothing had woken it",
            Stage::Over => "was polled after its end",
        };
        let violation = format!("the future of request {} {violation}", self.id);
        self.background.borrow_mut().violations.push(violation);
    }

    /// Whether what it waits for has come, which must not be early.
    fn is_due(&mut self, context: &mut Context<'_>) -> bool {
        let (polled, due) = match &mut self.timed {
            Timed::Nothing => return false,
            Timed::Sleep(sleep, due) => (Pin::new(sleep).poll(context), *due),
            Timed::Ticks(ticks, due) => (ticks.poll_tick(context), *due),
            Timed::Task(task, due) => (Pin::new(task).poll(context).map(drop), *due),
        };
        let mut background = self.background.borrow_mut();
        let now = background.clock.now;
        if polled.is_ready() && now < due {
            let violation = format!("request {}: a timer of {due} fired at {now}", self.id);
            background.violations.push(violation);
        }
        polled.is_ready()
    }

    fn await_timer(&mut self, context: &mut Context<'_>) {
        let now = self.background.borrow().clock.now;
        let delay = delay(self.id, self.waits);
        let (time, due) = (Duration::from_millis(delay), now + delay);
        self.timed = match (
            self.wake,
            std::mem::replace(&mut self.timed, Timed::Nothing),
        ) {
            (WakeKind::Timer, _) => Timed::Sleep(sleep(time), due),
            // Ticks keep their rhythm, also after one that was late.
            (WakeKind::Tick, Timed::Ticks(ticks, due)) => Timed::Ticks(ticks, due + PERIOD),
            (WakeKind::Tick, _) => {
                let mut ticks = interval(Duration::from_millis(PERIOD));
                let first = ticks.poll_tick(context);
                debug_assert!(first.is_ready(), "the first tick comes at once");
                Timed::Ticks(ticks, now + PERIOD)
            }
            (WakeKind::Task, _) => self.begin_task(time, due),
            (WakeKind::Elsewhere | WakeKind::Own | WakeKind::Several | WakeKind::Late, timed) => {
                timed
            }
        };
        let is_due = self.is_due(context);
        debug_assert!(!is_due, "each wait takes a turn");
    }

    fn begin_task(&self, time: Duration, due: u64) -> Timed {
        let running = Running(Rc::clone(&self.background));
        running.0.borrow_mut().handled.tasks += 1;
        let task = spawn(async move {
            let _running = running;
            sleep(time).await;
        });
        match task {
            Ok(task) => Timed::Task(task, due),
            Err(_) => Timed::Sleep(sleep(time), due),
        }
    }

    fn await_wake(&mut self, context: &mut Context<'_>) {
        if matches!(self.wake, WakeKind::Timer | WakeKind::Tick | WakeKind::Task) {
            return self.await_timer(context);
        }
        let job = || Job::Wake(context.waker().clone(), Rc::clone(&self.is_woken));
        let mut background = self.background.borrow_mut();
        match self.wake {
            WakeKind::Elsewhere => background.add(job(), Due::After(30)),
            WakeKind::Own => {
                self.is_woken.set(true);
                context.waker().wake_by_ref();
            }
            WakeKind::Several => {
                for delay in [20, 20, 25, 900] {
                    background.add(job(), Due::After(delay));
                }
            }
            WakeKind::Late => background.add(job(), Due::Late),
            WakeKind::Timer | WakeKind::Tick | WakeKind::Task => {}
        }
    }
}

impl Future for SimulatedFuture {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        self.check_poll(context);
        if self.waits > 0 {
            self.waits -= 1;
            self.stage = Stage::Waiting;
            self.await_wake(context);
            return Poll::Pending;
        }
        self.stage = Stage::Over;
        let response = Response::bytes(pattern(self.id, 99));
        Poll::Ready(match self.end {
            FutureEnd::Panic => std::panic::panic_any(IntendedPanic),
            FutureEnd::Another => {
                let of = (self.id, 1);
                Outcome::future(Self::new(
                    &self.background,
                    of,
                    self.wake,
                    FutureEnd::Response,
                ))
            }
            FutureEnd::Informed => Outcome::informed(async |informer| {
                let sent = informer.early_hints([("link", "</a.css>; rel=preload")]);
                debug_assert!(sent.is_ok(), "these fields are valid");
                response
            }),
            FutureEnd::Response | FutureEnd::PanicInDrop => response.into(),
        })
    }
}

impl Drop for SimulatedFuture {
    fn drop(&mut self) {
        if let Ok(mut background) = self.background.try_borrow_mut() {
            background.handled.futures -= 1;
        }
        if self.end == FutureEnd::PanicInDrop && self.stage == Stage::Over {
            std::panic::panic_any(IntendedPanic);
        }
    }
}
