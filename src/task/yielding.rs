//! A break, for futures that have much to do.

use core::pin::Pin;
use core::task::{Context, Poll};

/// Lets everything else that has something to do run once: a future that computes for long should await it now and then.
///
/// ```
/// use coldstart::{TestRequest, yield_now};
///
/// let response = TestRequest::get("/").run(|_| async {
///     let mut sum = 0_u64;
///     for number in 0..10_000_u64 {
///         sum += number;
///         if number % 1000 == 0 {
///             yield_now().await;
///         }
///     }
///     sum.to_string()
/// });
/// assert_eq!(response.text(), "49995000");
/// ```
#[must_use = "it yields when it is awaited"]
pub const fn yield_now() -> YieldNow {
    YieldNow { polls: 0 }
}

/// The future that [`yield_now`] returns. A future by hand can hold one:
///
/// ```
/// use std::pin::Pin;
/// use std::task::{Context, Poll};
///
/// use coldstart::task::YieldNow;
/// use coldstart::{TestRequest, yield_now};
///
/// /// Gives way once, then has its value.
/// struct Later(YieldNow);
///
/// impl Future for Later {
///     type Output = &'static str;
///
///     fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
///         Pin::new(&mut self.0).poll(context).map(|()| "later\n")
///     }
/// }
///
/// assert_eq!(TestRequest::get("/").run(|_| Later(yield_now())).text(), "later\n");
/// ```
#[derive(Debug)]
pub struct YieldNow {
    polls: u8,
}

impl Future for YieldNow {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.polls > 0 {
            return Poll::Ready(());
        }
        self.polls = 1;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}
