//! The notice that the server stops, for code that waits.

use core::fmt;
use core::future::poll_fn;
use core::pin::{Pin, pin};
use core::task::{Context, Poll};
use std::sync::Arc;

use super::local::notice;
use super::notice::{Notice, ServerStage};

/// A future that is ready once the server stops: from then on, what is left has
/// [`Timeouts::drain`](crate::server::Timeouts::drain).
///
/// For code that would go on for ever: an endless stream, a periodic task, a thread that works in steps. Once it knows, it ends as it
/// likes, and the server with it, instead of being cut when the time is over. [`before_drain`] waits for something else at the same time.
///
/// It is made on the loop: in a handler, in its future, in the code that writes a body, or in a task. From there it may move to another
/// thread, such as with the closure of [`Blocking::run`](crate::handler::Blocking::run), and can be cloned. It still waits for the
/// loop on which it was made. In a test, [`TestResponse::begin_drain`](crate::testing::TestResponse::begin_drain) stops the server.
///
/// ```
/// use std::time::Duration;
///
/// use coldstart::{Request, Router, TestRequest, draining, spawn, timeout};
///
/// fn begin(_: &Request<'_>) -> &'static str {
///     let task = spawn(async {
///         let mut drain = draining();
///         // Each minute, until the server stops.
///         while timeout(Duration::from_secs(60), &mut drain).await.is_err() {
///             // Here it sends figures.
///         }
///         // And here the last ones.
///     });
///     if task.is_ok() { "begun\n" } else { "too many tasks\n" }
/// }
///
/// let mut router = Router::new().post("/begin", begin);
/// let response = TestRequest::post("/begin").run_handler(&mut router);
/// response.begin_drain();
/// assert_eq!(response.text(), "begun\n");
/// ```
///
/// # Panics
///
/// No loop runs on this thread: it is one of a pool, or the program's own.
#[must_use = "it waits when it is awaited"]
#[expect(
    clippy::panic,
    reason = "a wait that cannot end is a mistake of its author, and the panic ends only that wait"
)]
pub fn draining() -> Draining {
    let Some(notice) = notice() else {
        panic!(
            "no loop runs on this thread, so it cannot know when the server stops: make the Draining in the \
             handler, on the loop, and move it here"
        )
    };
    Draining { notice, id: None }
}

/// Awaits a future until the server stops: yields its output, or `None`.
///
/// The future is polled first, so one that is ready wins. When the server stops, it is dropped.
///
/// ```
/// use std::time::Duration;
///
/// use coldstart::message::ServerSentEvent;
/// use coldstart::{Response, TestRequest, before_drain, sleep};
///
/// let clock = |_: &coldstart::Request<'_>| {
///     Response::events(async |events| {
///         while before_drain(sleep(Duration::from_millis(1))).await.is_some() {
///             events.send(&ServerSentEvent::new("tick")).await?;
///         }
///         // The browser reconnects to another server.
///         Ok(())
///     })
/// };
/// let mut response = TestRequest::get("/").run(clock);
/// assert_eq!(response.next_piece().as_deref(), Some(&b"data: tick\n\n"[..]));
/// response.begin_drain();
/// while response.next_piece().is_some() {} // It ends.
/// ```
///
/// # Panics
///
/// As [`draining`], when it is first polled.
pub async fn before_drain<F: IntoFuture>(future: F) -> Option<F::Output> {
    // Boxed: pinned here, it would take its place twice.
    let mut future = Box::pin(future.into_future());
    let mut drain = pin!(draining());
    poll_fn(move |context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => drain.as_mut().poll(context).map(|()| None),
    })
    .await
}

/// The future that [`draining`] returns.
///
/// For code that works in steps:
///
/// ```
/// use coldstart::{TestRequest, draining, yield_now};
///
/// let response = TestRequest::get("/").run(|_| async {
///     let drain = draining();
///     let mut steps = 0;
///     while steps < 1000 && !drain.has_begun() {
///         steps += 1; // Here it does a step.
///         yield_now().await;
///     }
///     format!("{steps} steps\n")
/// });
/// assert_eq!(response.text(), "1000 steps\n");
/// ```
pub struct Draining {
    notice: Arc<Notice>,
    /// Of what it has left to be woken.
    id: Option<u64>,
}

impl Draining {
    /// Whether the server stops: for code that works in steps and does not wait.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.notice.lock().stage == ServerStage::Draining
    }
}

impl Future for Draining {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        // A waker is foreign code: it is cloned and dropped outside the lock.
        let waker = context.waker().clone();
        let mut state = self.notice.lock();
        if state.stage == ServerStage::Draining {
            return Poll::Ready(());
        }
        let id = self.id.unwrap_or(state.next_id);
        state.next_id = state.next_id.max(id.wrapping_add(1));
        let before = state.waiting.insert(id, waker);
        drop(state);
        drop(before);
        self.id = Some(id);
        Poll::Pending
    }
}

/// The copy waits for itself.
impl Clone for Draining {
    fn clone(&self) -> Self {
        Self {
            notice: Arc::clone(&self.notice),
            id: None,
        }
    }
}

impl Drop for Draining {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            let waker = self.notice.lock().waiting.remove(&id);
            drop(waker);
        }
    }
}

impl fmt::Debug for Draining {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Draining")
            .field("has_begun", &self.has_begun())
            .finish_non_exhaustive()
    }
}
