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
use crate::message::trailers::Trailers;
use crate::message::writer::{BodyWriter, Written};
use crate::task::sleep;

thread_local! {
    /// What the code of a body reaches on its loop: what makes it must be `Send`.
    static BACKGROUND: RefCell<Weak<RefCell<Background>>> = const { RefCell::new(Weak::new()) };
}

/// From now on, code that is made on this thread reaches it.
pub(super) fn enter(background: &Rc<RefCell<Background>>) {
    BACKGROUND.set(Rc::downgrade(background));
}

/// What code reaches that was made on this thread.
pub(super) fn reached() -> Option<Rc<RefCell<Background>>> {
    BACKGROUND.with_borrow(Weak::upgrade)
}

/// Makes the future of a body.
pub(super) fn watched(id: u64, plan: WriterPlan) -> impl FnOnce(BodyWriter) -> Watched + Send {
    move |out| Watched {
        code: Box::pin(write(out, id, plan)),
        watch: Watch::begin(id, plan.end),
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
            out.finish_with(trailers(id));
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

/// Of these the response has announced one.
pub(super) fn trailers(id: u64) -> Trailers {
    Trailers::new().field("x-id", id).field("x-unannounced", id)
}

/// Waits once, or not at all.
pub(super) async fn wait(wake: Option<WakeKind>) {
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

/// Has this wake the code once. What has no timer of its own is woken from elsewhere.
pub(super) fn await_wake(wake: WakeKind, waker: &Waker) {
    let Some(background) = reached() else {
        return;
    };
    let mut background = background.borrow_mut();
    // The waker itself notes the wake.
    let job = || Job::Wake(waker.clone(), Rc::new(Cell::new(false)));
    match wake {
        WakeKind::Elsewhere | WakeKind::Timer | WakeKind::Tick | WakeKind::Task => {
            background.add(job(), Due::After(30));
        }
        WakeKind::Own => waker.wake_by_ref(),
        WakeKind::Several => {
            for delay in [20, 20, 25, 900] {
                background.add(job(), Due::After(delay));
            }
        }
        WakeKind::Late => background.add(job(), Due::Late),
    }
}

/// Whether the code may be polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    New,
    Waiting,
    Over,
}

/// Watches the code of a body: it counts as a future until it is dropped.
pub(super) struct Watch {
    id: u64,
    end: WriterEnd,
    stage: Stage,
    woken: Arc<AtomicBool>,
}

impl Watch {
    pub(super) fn begin(id: u64, end: WriterEnd) -> Self {
        if let Some(background) = reached() {
            background.borrow_mut().handled.futures += 1;
        }
        Self {
            id,
            end,
            stage: Stage::New,
            woken: Arc::default(),
        }
    }

    /// Checks and does a poll, with a waker that notes its wakes.
    pub(super) fn poll<T>(
        &mut self,
        context: &Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
        is_end: impl FnOnce(&T) -> bool,
    ) -> Poll<T> {
        self.check_poll();
        let noting = Noting {
            woken: Arc::clone(&self.woken),
            waker: context.waker().clone(),
        };
        let waker = Waker::from(Arc::new(noting));
        let polled = poll(&mut Context::from_waker(&waker));
        self.stage = match &polled {
            Poll::Pending => Stage::Waiting,
            Poll::Ready(value) if is_end(value) => Stage::Over,
            // What has yielded something is asked for more at once.
            Poll::Ready(_) => Stage::New,
        };
        polled
    }

    fn check_poll(&self) {
        let is_woken = self.woken.swap(false, Ordering::Relaxed);
        let violation = match self.stage {
            Stage::New => return,
            Stage::Waiting if is_woken => return,
            Stage::Waiting => "was polled although nothing had woken it",
            Stage::Over => "was polled after its end",
        };
        if let Some(background) = reached() {
            let violation = format!("the body of request {} {violation}", self.id);
            background.borrow_mut().violations.push(violation);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(background) = reached()
            && let Ok(mut background) = background.try_borrow_mut()
        {
            background.handled.futures -= 1;
        }
        if self.end == WriterEnd::PanicInDrop && self.stage == Stage::Over {
            std::panic::panic_any(IntendedPanic);
        }
    }
}

/// The code of a body, watched.
pub(super) struct Watched {
    code: Pin<Box<dyn Future<Output = Written>>>,
    watch: Watch,
}

impl Future for Watched {
    type Output = Written;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Written> {
        let Self { code, watch } = &mut *self;
        watch.poll(context, |context| code.as_mut().poll(context), |_| true)
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
