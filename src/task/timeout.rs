//! A bound on how long a future may take.

use core::error::Error;
use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use super::sleep::{Sleep, sleep};

/// Awaits a future for at most this long: yields its output, or [`Elapsed`].
///
/// The future is polled first. After a thaw, one that is ready is therefore never late. When the time is over, the future is
/// dropped together with what is returned here.
///
/// ```
/// use std::time::Duration;
///
/// use coldstart::{Response, Status, TestRequest, sleep, timeout};
///
/// let slow = |_: &coldstart::Request<'_>| async {
///     let answer = async {
///         sleep(Duration::from_secs(3600)).await;
///         "never seen\n"
///     };
///     timeout(Duration::from_millis(2), answer).await.map_err(|_| Status::GATEWAY_TIMEOUT)
/// };
/// assert_eq!(TestRequest::get("/").run(slow).status(), 504);
/// ```
///
/// # Panics
///
/// As [`sleep`], unless the future is ready at once.
#[must_use = "it runs when it is awaited"]
pub fn timeout<F: IntoFuture>(duration: Duration, future: F) -> Timeout<F::IntoFuture> {
    Timeout {
        future: Box::pin(future.into_future()),
        sleep: sleep(duration),
    }
}

/// The future that [`timeout`] returns.
///
/// A function of yours may return it:
///
/// ```
/// use std::time::Duration;
///
/// use coldstart::task::Timeout;
/// use coldstart::{TestRequest, timeout};
///
/// fn at_once<F: Future>(future: F) -> Timeout<F> {
///     timeout(Duration::from_millis(50), future)
/// }
///
/// let response = TestRequest::get("/").run(|_| async {
///     let answer = at_once(async { "quick\n" }).await;
///     answer.unwrap_or("too slow\n")
/// });
/// assert_eq!(response.text(), "quick\n");
/// ```
pub struct Timeout<F> {
    /// Boxed: an `async` block that pins it would be as large as two of it.
    future: Pin<Box<F>>,
    sleep: Sleep,
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(output) = self.future.as_mut().poll(context) {
            return Poll::Ready(Ok(output));
        }
        Pin::new(&mut self.sleep)
            .poll(context)
            .map(|()| Err(Elapsed(())))
    }
}

impl<F> fmt::Debug for Timeout<F> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Timeout").finish_non_exhaustive()
    }
}

/// The time of a [`timeout`] is over.
///
/// ```
/// use std::time::Duration;
///
/// use coldstart::{TestRequest, timeout};
///
/// let response = TestRequest::get("/").run(|_| async {
///     let never = std::future::pending::<()>();
///     let elapsed = timeout(Duration::from_millis(1), never).await.expect_err("it never ends");
///     elapsed.to_string()
/// });
/// assert_eq!(response.text(), "the time is over");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed(());

impl fmt::Display for Elapsed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the time is over")
    }
}

impl Error for Elapsed {}
