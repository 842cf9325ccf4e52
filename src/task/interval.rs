//! Ticks at a constant rate.

use core::fmt;
use core::future::poll_fn;
use core::task::{Context, Poll};
use core::time::Duration;

use super::sleep::Sleep;
use crate::os::Instant;

/// Ticks: the first one at once, then one after each period. The first period begins when the second tick is awaited.
///
/// Ticks that were missed, because the code between two of them took longer or the process was frozen, are left out, as with
/// tokio's `MissedTickBehavior::Skip`: one comes at once, and the next one keeps the rhythm. No tick is early. Between
/// two calls of [`tick`](Interval::tick) no timer waits. A period below a millisecond counts as one.
///
/// ```
/// use std::time::Duration;
///
/// use coldstart::{Body, Response, TestRequest, interval, spawn};
///
/// let response = TestRequest::get("/").run(|_| {
///     let (sender, body) = Body::channel(1024);
///     let task = spawn(async move {
///         let mut ticks = interval(Duration::from_millis(2));
///         for _ in 0..3 {
///             ticks.tick().await;
///             // The peer may have left.
///             if sender.try_send("tick\n").is_err() {
///                 return;
///             }
///         }
///         sender.finish();
///     });
///     assert!(task.is_ok(), "there are not many tasks");
///     Response::text(body)
/// });
/// assert_eq!(response.text(), "tick\n".repeat(3));
/// ```
#[must_use = "it does nothing until a tick is awaited"]
pub const fn interval(period: Duration) -> Interval {
    Interval {
        period,
        stage: Stage::New,
    }
}

/// The ticks of an [`interval`].
///
/// A value of yours may keep them:
///
/// ```
/// use std::time::Duration;
///
/// use coldstart::task::Interval;
/// use coldstart::{TestRequest, interval};
///
/// struct Pulse {
///     ticks: Interval,
///     count: u32,
/// }
///
/// impl Pulse {
///     async fn next(&mut self) -> u32 {
///         self.ticks.tick().await;
///         self.count += 1;
///         self.count
///     }
/// }
///
/// let response = TestRequest::get("/").run(|_| async {
///     let mut pulse = Pulse { ticks: interval(Duration::from_millis(1)), count: 0 };
///     pulse.next().await;
///     format!("{}\n", pulse.next().await)
/// });
/// assert_eq!(response.text(), "2\n");
/// ```
pub struct Interval {
    period: Duration,
    stage: Stage,
}

enum Stage {
    /// Before the first tick.
    New,
    Waiting(Sleep),
    /// After the tick that was due then; `None` after the first one.
    Ticked(Option<Instant>),
}

impl Interval {
    /// Waits for the next tick. Nothing is lost when the future that is returned is dropped.
    ///
    /// # Panics
    ///
    /// As [`sleep`](super::sleep()), except for the first tick.
    #[must_use = "it waits when it is awaited"]
    pub fn tick(&mut self) -> impl Future<Output = ()> {
        poll_fn(|context| self.poll_tick(context))
    }

    /// As [`tick`](Self::tick), for implementations of futures.
    ///
    /// ```
    /// use std::future::poll_fn;
    /// use std::time::Duration;
    ///
    /// use coldstart::{TestRequest, interval};
    ///
    /// let response = TestRequest::get("/").run(|_| async {
    ///     let mut ticks = interval(Duration::from_millis(1));
    ///     poll_fn(|context| ticks.poll_tick(context)).await; // The first one comes at once.
    ///     "ticked\n"
    /// });
    /// assert_eq!(response.text(), "ticked\n");
    /// ```
    ///
    /// # Panics
    ///
    /// As [`tick`](Self::tick).
    pub fn poll_tick(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &self.stage {
            Stage::New => {
                self.stage = Stage::Ticked(None);
                return Poll::Ready(());
            }
            Stage::Waiting(_) => {}
            Stage::Ticked(at) => self.stage = Stage::Waiting(Sleep::tick(*at, self.period)),
        }
        let Stage::Waiting(sleep) = &mut self.stage else {
            return Poll::Ready(());
        };
        sleep.poll_fired(context).map(|at| {
            self.stage = Stage::Ticked(at);
        })
    }

    /// The time between two ticks.
    #[must_use]
    pub const fn period(&self) -> Duration {
        self.period
    }
}

impl fmt::Debug for Interval {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Interval")
            .field("period", &self.period)
            .finish_non_exhaustive()
    }
}
