//! A wait for some time.

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use super::local::{NoTimer, Timer};
use super::timers::Start;
use crate::os::Instant;

/// Waits for at least this long.
///
/// The time counts from the first poll, on the monotonic clock in milliseconds: the wait is never shorter, and up to a few
/// milliseconds longer, or as long as something else keeps the loop busy. Zero lets everything else run once. After a thaw, each
/// timer that is due fires once. Only a timer that waits wakes an idle loop: without one, it sleeps until something happens.
///
/// The timer lives as long as the future that is returned, which belongs to the thread that polls it first. On another thread it
/// begins anew.
///
/// ```
/// use std::time::Duration;
///
/// use coldstart::{Router, TestRequest, sleep};
///
/// let mut router = Router::new().get("/slow", |_| async {
///     sleep(Duration::from_millis(2)).await;
///     "done\n"
/// });
/// assert_eq!(TestRequest::get("/slow").run_handler(&mut router).text(), "done\n");
/// ```
///
/// # Panics
///
/// The future panics when it is polled where no loop would wake it: on a thread that is neither a loop, nor of a pool, nor a
/// test that runs a [`TestRequest`](crate::TestRequest). It also panics if [`Limits::timers_max`](crate::server::Limits::timers_max)
/// timers wait already.
#[must_use = "it waits when it is awaited"]
pub fn sleep(duration: Duration) -> Sleep {
    Sleep {
        start: Start::After(duration),
        stage: Stage::New,
    }
}

/// The future that [`sleep`] returns.
///
/// Polled by hand, beside something else:
///
/// ```
/// use std::future::poll_fn;
/// use std::pin::pin;
/// use std::task::Poll;
/// use std::time::Duration;
///
/// use coldstart::{TestRequest, sleep};
///
/// let response = TestRequest::get("/").run(|_| async {
///     let mut pause = pin!(sleep(Duration::from_millis(1)));
///     let mut polls = 0;
///     poll_fn(|context| {
///         polls += 1;
///         pause.as_mut().poll(context)
///     })
///     .await;
///     format!("{}\n", if polls > 1 { "it has waited" } else { "it was over" })
/// });
/// assert!(response.text().starts_with("it "));
/// ```
pub struct Sleep {
    start: Start,
    stage: Stage,
}

enum Stage {
    New,
    Waiting(Timer),
    Over,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.poll_fired(context).map(|_| ())
    }
}

impl Sleep {
    /// The tick after the previous one.
    pub(super) const fn tick(previous: Option<Instant>, period: Duration) -> Self {
        Self {
            start: Start::Tick { previous, period },
            stage: Stage::New,
        }
    }

    /// Whether it is over, and if it is a tick, for when it was due.
    pub(super) fn poll_fired(&mut self, context: &Context<'_>) -> Poll<Option<Instant>> {
        let polled = match &self.stage {
            Stage::New => None,
            Stage::Waiting(timer) => timer.poll(context),
            Stage::Over => Some(Poll::Ready(None)),
        };
        match polled {
            None => {
                self.stage = Stage::Waiting(begin(self.start, context));
                Poll::Pending
            }
            Some(Poll::Pending) => Poll::Pending,
            Some(Poll::Ready(at)) => {
                self.stage = Stage::Over;
                Poll::Ready(at)
            }
        }
    }
}

#[expect(
    clippy::panic,
    reason = "a wait that cannot end is a mistake of its author, and the panic ends only that wait"
)]
fn begin(start: Start, context: &Context<'_>) -> Timer {
    match Timer::start(start, context) {
        Ok(timer) => timer,
        Err(NoTimer::NoLoop) => panic!(
            "no loop runs on this thread, so nothing would end this wait: coldstart's timers are for \
             handlers, their futures and tasks"
        ),
        Err(NoTimer::TooMany) => panic!("too many timers wait already: see Limits::timers_max"),
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Sleep").finish_non_exhaustive()
    }
}
