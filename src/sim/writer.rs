//! The simulated writer of a body: it waits as its plan says, and checks how the loop polls and drops it.
#![expect(clippy::panic, reason = "some plans ask for a panic")]

use core::cell::Cell;
use core::future::{pending, poll_fn};
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Wake;

use super::background::{Background, Due, Job};
use super::plan::{IntendedPanic, WakeKind, pattern};
use super::writer_plan::{WriterEnd, WriterPlan};
use crate::message::body::Body;
use crate::message::response::Response;
use crate::message::trailers::Trailers;
use crate::message::writer::{BodyWriter, Written};
use crate::task::sleep;

thread_local! {
    /// What the code of a body reaches on its loop: what makes it must be `Send`.
    static BACKGROUND: RefCell<Weak<RefCell<Background>>> = const { RefCell::new(Weak::new()) };
}

/// A response whose body async code writes.
pub(super) fn written(background: &Rc<RefCell<Background>>, id: u64, plan: WriterPlan) -> Response {
    BACKGROUND.set(Rc::downgrade(background));
    let body = Body::bounded_writer(plan.room, move |out| Watched::new(out, id, plan));
    match plan.announced() {
        Some(len) => Response::bytes(body.with_len(len)),
        None => Response::bytes(body).header("trailer", "x-id"),
    }
}

/// Writes the body.
async fn write(out: BodyWriter, id: u64, plan: WriterPlan) -> Written {
    let bytes = pattern(id, plan.len());
    for piece in bytes.chunks(plan.len.max(1)) {
        wait(plan.wake).await;
        out.send(piece.to_vec()).await?;
    }
    wait(plan.wake).await;
    match plan.end {
        WriterEnd::Finish => {
            out.finish();
            pending().await
        }
        WriterEnd::Trailers | WriterEnd::ExactTrailers => {
            out.finish_with(Trailers::new().field("x-id", id).field("x-unannounced", id));
            Ok(())
        }
        WriterEnd::DropWriter => {
            drop(out);
            pending().await
        }
        WriterEnd::Error => Err("an error".into()),
        WriterEnd::Panic => std::panic::panic_any(IntendedPanic),
        WriterEnd::Return
        | WriterEnd::Exact
        | WriterEnd::Short
        | WriterEnd::Long
        | WriterEnd::PanicInDrop => Ok(()),
    }
}

/// Waits once, or not at all.
async fn wait(wake: Option<WakeKind>) {
    let Some(wake) = wake else { return };
    match wake {
        WakeKind::Timer | WakeKind::Tick | WakeKind::Task => {
            return sleep(Duration::from_millis(30)).await;
        }
        WakeKind::Elsewhere | WakeKind::Own | WakeKind::Several | WakeKind::Late => {}
    }
    let mut is_waiting = false;
    poll_fn(|context| {
        if is_waiting {
            return Poll::Ready(());
        }
        is_waiting = true;
        await_wake(wake, context.waker());
        Poll::Pending
    })
    .await;
}

fn await_wake(wake: WakeKind, waker: &Waker) {
    let Some(background) = BACKGROUND.with_borrow(Weak::upgrade) else {
        return;
    };
    let mut background = background.borrow_mut();
    // The waker itself notes the wake.
    let job = || Job::Wake(waker.clone(), Rc::new(Cell::new(false)));
    match wake {
        WakeKind::Elsewhere => background.add(job(), Due::After(30)),
        WakeKind::Own => waker.wake_by_ref(),
        WakeKind::Several => {
            for delay in [20, 20, 25, 900] {
                background.add(job(), Due::After(delay));
            }
        }
        WakeKind::Late => background.add(job(), Due::Late),
        WakeKind::Timer | WakeKind::Tick | WakeKind::Task => {}
    }
}

/// Whether the code may be polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    New,
    Waiting,
    Over,
}

/// The code of a body, watched.
struct Watched {
    code: Pin<Box<dyn Future<Output = Written>>>,
    background: Weak<RefCell<Background>>,
    id: u64,
    end: WriterEnd,
    stage: Stage,
    woken: Arc<AtomicBool>,
}

impl Watched {
    fn new(out: BodyWriter, id: u64, plan: WriterPlan) -> Self {
        let background = BACKGROUND.with_borrow(Weak::clone);
        if let Some(background) = background.upgrade() {
            background.borrow_mut().handled.futures += 1;
        }
        Self {
            code: Box::pin(write(out, id, plan)),
            background,
            id,
            end: plan.end,
            stage: Stage::New,
            woken: Arc::default(),
        }
    }

    fn check_poll(&self) {
        let is_woken = self.woken.swap(false, Ordering::Relaxed);
        let violation = match self.stage {
            Stage::New => return,
            Stage::Waiting if is_woken => return,
            Stage::Waiting => "was polled although nothing had woken it",
            Stage::Over => "was polled after its end",
        };
        if let Some(background) = self.background.upgrade() {
            let violation = format!("the writer of request {} {violation}", self.id);
            background.borrow_mut().violations.push(violation);
        }
    }
}

impl Future for Watched {
    type Output = Written;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Written> {
        self.check_poll();
        self.stage = Stage::Waiting;
        let noting = Noting {
            woken: Arc::clone(&self.woken),
            waker: context.waker().clone(),
        };
        let waker = Waker::from(Arc::new(noting));
        let polled = self.code.as_mut().poll(&mut Context::from_waker(&waker));
        if polled.is_ready() {
            self.stage = Stage::Over;
        }
        polled
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(background) = self.background.upgrade()
            && let Ok(mut background) = background.try_borrow_mut()
        {
            background.handled.futures -= 1;
        }
        if self.end == WriterEnd::PanicInDrop && self.stage == Stage::Over {
            std::panic::panic_any(IntendedPanic);
        }
    }
}

/// A waker that notes each wake.
struct Noting {
    woken: Arc<AtomicBool>,
    waker: Waker,
}

impl Wake for Noting {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Relaxed);
        self.waker.wake_by_ref();
    }
}
