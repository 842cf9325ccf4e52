//! Closures that run on a thread of a pool, and the futures of what they return.

use core::error::Error;
use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;

use crate::message::response::{Response, Status};
use crate::output;
use crate::sync::oneshot::{Polled, Receiver, Sender, oneshot};

use super::outcome::IntoResponse;

/// A future of what a closure returns on a thread of a pool; see [`Blocking::run`](super::Blocking::run).
///
/// A panic of the closure goes on in the code that awaits it. Dropped, the future gives up the value: a closure that has begun
/// goes on, and one that still waits for a thread never begins.
///
/// ```
/// use coldstart::TestRequest;
/// use coldstart::handler::{Blocking, Busy, Running};
///
/// let threads = Blocking::threads(2);
/// let response = TestRequest::get("/").run(|_| {
///     // Both may run from now on, at the same time.
///     let sum: Running<u32> = threads.run(|| (1..=5).sum());
///     let product: Running<u32> = threads.run(|| (1..=5).product());
///     async move { Ok::<_, Busy>(format!("{} {}\n", sum.await?, product.await?)) }
/// });
/// assert_eq!(response.text(), "15 120\n");
/// ```
#[must_use = "dropped, it gives up the closure's value"]
pub struct Running<T>(Receiver<thread::Result<T>>);

impl<T> Future for Running<T> {
    type Output = Result<T, Busy>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.0.poll_in_task(context) {
            Polled::Pending => Poll::Pending,
            Polled::Filled(Ok(value)) => Poll::Ready(Ok(value)),
            // The hook has reported it on the other thread.
            Polled::Filled(Err(panic)) => resume_unwind(panic),
            Polled::Broken => Poll::Ready(Err(Busy(()))),
        }
    }
}

impl<T> fmt::Debug for Running<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Running").finish_non_exhaustive()
    }
}

/// No thread of the pool could take a closure: too many wait already, or the kernel starts no thread. As a response it is 503
/// with `Retry-After: 1`.
///
/// ```
/// use coldstart::TestRequest;
/// use coldstart::handler::{Blocking, Busy};
///
/// let threads = Blocking::threads(1);
/// let response = TestRequest::get("/").run(|_| {
///     let fresh = threads.run(|| "made anew\n");
///     async move {
///         // In place of a 503, something that is there already.
///         fresh.await.unwrap_or_else(|_: Busy| "an hour old\n")
///     }
/// });
/// assert_eq!(response.text(), "made anew\n");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy(());

impl Busy {
    /// The response to a request that needs a thread.
    pub(super) fn refuse(response: Response) -> Response {
        response
            .status(Status::SERVICE_UNAVAILABLE)
            .header("retry-after", "1")
            .body("all threads are busy\n")
    }
}

impl fmt::Display for Busy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("all threads are busy")
    }
}

impl Error for Busy {}

impl IntoResponse for Busy {
    fn into_response(self) -> Response {
        Self::refuse(Response::text(""))
    }
}

/// A closure that waits for a thread.
pub(super) trait Closure: Send {
    /// Whether its future still waits for the value.
    fn is_awaited(&self) -> bool;

    fn run(self: Box<Self>);

    /// The bytes that it has captured.
    fn len(&self) -> usize;
}

/// A closure, and the future of its value.
pub(super) fn awaited<T: Send + 'static>(
    closure: impl FnOnce() -> T + Send + 'static,
) -> (Box<dyn Closure>, Running<T>) {
    let (sender, receiver) = oneshot();
    (Box::new(Awaited { closure, sender }), Running(receiver))
}

struct Awaited<F, T> {
    closure: F,
    sender: Sender<thread::Result<T>>,
}

impl<T: Send, F: FnOnce() -> T + Send> Closure for Awaited<F, T> {
    fn is_awaited(&self) -> bool {
        !self.sender.is_abandoned()
    }

    fn run(self: Box<Self>) {
        let Self { closure, sender } = *self;
        let returned = catch_unwind(AssertUnwindSafe(closure));
        if returned.is_err() {
            output::guard_panics();
        }
        output::flush_printed();
        sender.send(returned);
    }

    fn len(&self) -> usize {
        size_of::<F>()
    }
}
