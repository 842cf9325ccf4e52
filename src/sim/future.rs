//! The simulated future: it waits as its plan says, and checks how the loop polls and drops it.
#![expect(clippy::panic, reason = "some plans ask for a panic")]

use core::cell::Cell;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::cell::RefCell;
use std::rc::Rc;

use super::background::{Background, Due, Job};
use super::plan::{FutureEnd, IntendedPanic, WakeKind, pattern};
use crate::message::response::Response;

/// Whether a future may be polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    New,
    Waiting,
    Over,
}

pub(super) struct SimulatedFuture {
    background: Rc<RefCell<Background>>,
    id: u64,
    waits: usize,
    wake: WakeKind,
    end: FutureEnd,
    stage: Stage,
    is_woken: Rc<Cell<bool>>,
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
        }
    }

    fn check_poll(&self) {
        let is_woken = self.is_woken.replace(false);
        let violation = match self.stage {
            Stage::New => return,
            Stage::Waiting if is_woken => return,
            Stage::Waiting => "was polled although nothing had woken it",
            Stage::Over => "was polled after its end",
        };
        let violation = format!("the future of request {} {violation}", self.id);
        self.background.borrow_mut().violations.push(violation);
    }

    fn await_wake(&self, context: &Context<'_>) {
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
        }
    }
}

impl Future for SimulatedFuture {
    type Output = Response;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Response> {
        self.check_poll();
        if self.waits > 0 {
            self.waits -= 1;
            self.stage = Stage::Waiting;
            self.await_wake(context);
            return Poll::Pending;
        }
        self.stage = Stage::Over;
        if self.end == FutureEnd::Panic {
            std::panic::panic_any(IntendedPanic);
        }
        Poll::Ready(Response::bytes(pattern(self.id, 99)))
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
