//! Futures of responses: polled by the thread that made them, once at once and then each time they are woken.

use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::sync::Arc;

use crate::current_request::CurrentRequest;
use crate::sync::alarm::Alarm;
use crate::sync::notify::Notify;
use crate::sync::oneshot::Polled;
#[cfg(feature = "_sim")]
use crate::sync::tally::count;
use crate::sync::thread;
use crate::task::parked::{Parked, start};
use crate::task::turn_of_waiter;

use super::outcome::{
    Async, Awaited, Ending, Eventual, IntoOutcome, Outcome, Pending, PollParked, WhenHalfClosed,
    Wire,
};

impl Outcome {
    /// A response that a future of this thread yields: what an async closure returns, for handlers that return an outcome. The
    /// future may itself yield an outcome, such as one with a [local body](Self::local); what that says of
    /// [half-closes](Self::when_half_closed) counts from then on.
    ///
    /// The future is polled here, and then on the loop that called the handler each time it is woken. While it waits,
    /// the loop serves other connections, and later requests of the same connection wait for their turn. It is dropped when
    /// the peer is gone. See [async handlers](crate::handler#async-handlers).
    ///
    /// ```
    /// use coldstart::handler::Outcome;
    /// use coldstart::{Request, Response, TestRequest};
    ///
    /// fn greet(request: &Request<'_>) -> Outcome {
    ///     if request.query().is_none() {
    ///         return Response::text("hello\n").into();
    ///     }
    ///     let request = request.to_owned();
    ///     Outcome::future(async move {
    ///         // Here it may wait for something.
    ///         format!("hello, {}\n", request.as_request().query().unwrap_or_default())
    ///     })
    /// }
    ///
    /// assert_eq!(TestRequest::get("/?you").run(greet).text(), "hello, you\n");
    /// ```
    #[must_use]
    pub fn future(future: impl Future<Output: IntoOutcome> + 'static) -> Self {
        begin(future)
    }
}

impl<F: Future<Output: IntoOutcome> + 'static> IntoOutcome<Async> for F {
    fn into_outcome(self) -> Outcome {
        Outcome::future(self)
    }
}

/// A future of an outcome. (An `async` block that converts its result would be as large as two of it.)
trait PollOutcome {
    fn poll_outcome(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome>;
}

impl<F: Future<Output: IntoOutcome>> PollOutcome for Option<F> {
    fn poll_outcome(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        match self.as_pin_mut() {
            Some(future) => poll_outcome(future, context),
            None => Poll::Pending,
        }
    }
}

#[inline]
fn poll_outcome(
    future: Pin<&mut impl Future<Output: IntoOutcome>>,
    context: &mut Context<'_>,
) -> Poll<Outcome> {
    #[cfg(feature = "_sim")]
    count(|tally| tally.futures += 1);
    future.poll(context).map(IntoOutcome::into_outcome)
}

/// Polls a future that a handler returns, still in the handler's call. If it is ready, it costs what a value costs.
#[inline]
fn begin<F: Future<Output: IntoOutcome> + 'static>(future: F) -> Outcome {
    start(
        future,
        (),
        |(), future, context| poll_outcome(future, context),
        |(), future, alarm| park(future, alarm),
    )
}

fn park(future: Pin<Box<dyn PollOutcome>>, alarm: Arc<Alarm>) -> Outcome {
    Outcome::new(Eventual::Awaited(Some(Awaited::Future(Box::new(
        ParkedResponse {
            future: Parked::new(future, alarm),
            next: None,
            ending: Ending::Regular,
            note: None,
        },
    )))))
}

/// The response, or the promise of one that another thread completes: a future is polled here until it is ready. `wait` returns
/// once what `notify` makes was called, or the time is over that it is given, if any: then a timer fires. `None` if it says that
/// nothing waits for the response any more, or if the future panics.
pub(crate) fn finish(
    outcome: Outcome,
    notify: impl Fn() -> Notify,
    mut wait: impl FnMut(Option<Duration>) -> Interest,
) -> Option<Pending> {
    let mut future = match outcome.eventual {
        Eventual::Response(response) => return Some(Pending::Response(response)),
        Eventual::Awaited(None) => return None,
        Eventual::Awaited(Some(Awaited::Promise(promise))) => {
            return Some(Pending::Promise(promise));
        }
        Eventual::Awaited(Some(Awaited::Future(future))) => future,
    };
    // Woken or not, it is polled at once.
    let _ = future.attach(notify());
    loop {
        match future.poll(&mut 1, None) {
            Polled::Filled(pending) => return Some(pending),
            Polled::Broken => return None,
            Polled::Pending => {}
        }
        if wait(turn_of_waiter(&notify)) == Interest::Lost {
            return None;
        }
    }
}

/// The same on a thread that has nothing else to do: it sleeps meanwhile. `interest` is called after each wake.
pub(crate) fn finish_parked(
    outcome: Outcome,
    mut interest: impl FnMut() -> Interest,
) -> Option<Pending> {
    finish(outcome, unpark_here, |time| {
        wait_here(time);
        interest()
    })
}

/// Ends a [`wait_here`] of this thread.
pub(crate) fn unpark_here() -> Notify {
    let here = thread::current();
    Notify::new(move || here.unpark())
}

/// Sleeps until a wake-up, or until the time is over that is given, if any.
pub(crate) fn wait_here(time: Option<Duration>) {
    match time {
        Some(time) => thread::park_timeout(time),
        None => thread::park(),
    }
}

/// Whether a response is still of interest after its thread has waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    Kept,
    Lost,
}

/// A future of a response that waits to be woken.
struct ParkedResponse {
    future: Parked<dyn PollOutcome>,
    /// What the future has yielded, if that is a future, too.
    next: Option<Box<dyn PollParked>>,
    ending: Ending,
    /// Notes the end.
    note: Option<fn(&CurrentRequest, Ending)>,
}

impl PollParked for ParkedResponse {
    fn attach(&mut self, notify: Notify) -> bool {
        self.future.attach(notify)
    }

    fn poll(&mut self, polls_left: &mut usize, wire: Option<Wire<'_>>) -> Polled<Pending> {
        let polled = match &mut self.next {
            Some(next) => next.poll(polls_left, wire),
            None => match self.future.poll(polls_left, PollOutcome::poll_outcome) {
                Polled::Pending => Polled::Pending,
                Polled::Filled(outcome) => self.settle(outcome, wire),
                Polled::Broken => Polled::Broken,
            },
        };
        if matches!(polled, Polled::Broken) {
            self.ending = Ending::Panicked;
        }
        polled
    }

    fn at_end(&mut self, note: fn(&CurrentRequest, Ending)) {
        self.note = Some(note);
    }
}

impl ParkedResponse {
    /// Takes what the future has yielded.
    fn settle(&mut self, outcome: Outcome, wire: Option<Wire<'_>>) -> Polled<Pending> {
        if let Some(wire) = wire
            && outcome.half_closed == WhenHalfClosed::Cancel
        {
            *wire.half_closed = WhenHalfClosed::Cancel;
        }
        match outcome.eventual {
            Eventual::Response(response) => Polled::Filled(Pending::Response(response)),
            Eventual::Awaited(Some(Awaited::Promise(promise))) => {
                Polled::Filled(Pending::Promise(promise))
            }
            Eventual::Awaited(Some(Awaited::Future(mut next))) => {
                // It was polled when it was made. If that has woken it, it is polled in the next turn.
                if let Some(notify) = self.future.notify()
                    && next.attach(notify.clone())
                {
                    notify.notify();
                }
                self.next = Some(next);
                Polled::Pending
            }
            Eventual::Awaited(None) => Polled::Broken,
        }
    }
}

impl Drop for ParkedResponse {
    fn drop(&mut self) {
        let current = self.future.current();
        let _scope = current.enter();
        let _noted = Noted(self.note, &current, self.ending);
        self.future.end();
        self.next = None;
    }
}

/// Notes the end when it is dropped, even by a panic in the drop of a future.
struct Noted<'a>(
    Option<fn(&CurrentRequest, Ending)>,
    &'a CurrentRequest,
    Ending,
);

impl Drop for Noted<'_> {
    fn drop(&mut self) {
        if let Some(note) = self.0 {
            note(self.1, self.2);
        }
    }
}

#[cfg(test)]
mod tests {
    use core::future::{pending, poll_fn};
    use core::task::{Poll, Waker};
    use std::cell::{Cell, RefCell};
    use std::rc::Rc;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::{Awaited, Ending, Eventual, Notify, Outcome, PollParked, Polled, begin};
    use crate::Status;
    use crate::current_request::{CurrentRequest, leave_afterwards};

    fn parked(outcome: Outcome) -> Box<dyn PollParked> {
        match outcome.eventual {
            Eventual::Awaited(Some(Awaited::Future(future))) => future,
            Eventual::Awaited(_) | Eventual::Response(_) => panic!("it waits"),
        }
    }

    /// Counts its calls.
    fn counting() -> (impl Fn() -> Notify, impl Fn() -> usize) {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let notify = move || {
            let count = Arc::clone(&count);
            Notify::new(move || {
                count.fetch_add(1, Ordering::Relaxed);
            })
        };
        (notify, move || counted.swap(0, Ordering::Relaxed))
    }

    #[test]
    fn a_future_is_polled_only_when_woken_and_notifies_once_until_then() {
        let (polls, waker) = (Rc::new(Cell::new(0)), Rc::new(RefCell::new(None::<Waker>)));
        let (polled, kept) = (Rc::clone(&polls), Rc::clone(&waker));
        let mut future = parked(begin(poll_fn(move |context| {
            polled.set(polled.get() + 1);
            kept.replace(Some(context.waker().clone()));
            Poll::<Status>::Pending
        })));
        let waker = waker.take().expect("it was polled at once");
        let (notify, notified) = counting();
        assert!(!future.attach(notify()));
        assert!(matches!(future.poll(&mut 1, None), Polled::Pending));
        assert_eq!((polls.get(), notified()), (1, 0));
        waker.wake_by_ref();
        waker.wake_by_ref();
        assert_eq!((polls.get(), notified()), (1, 1));
        assert!(matches!(future.poll(&mut 1, None), Polled::Pending));
        assert!(matches!(future.poll(&mut 1, None), Polled::Pending));
        assert_eq!((polls.get(), notified()), (2, 0));
        drop(future);
        waker.wake();
        assert_eq!(notified(), 0, "it is over");
    }

    #[test]
    fn a_wake_in_the_first_poll_is_not_lost() {
        let mut is_woken = false;
        let mut future = parked(begin(poll_fn(move |context| {
            if is_woken {
                return Poll::Ready(Status::GONE);
            }
            is_woken = true;
            context.waker().wake_by_ref();
            Poll::Pending
        })));
        let (notify, notified) = counting();
        assert!(future.attach(notify()), "it is to be polled");
        assert_eq!(notified(), 0, "the caller polls it");
        assert!(matches!(future.poll(&mut 1, None), Polled::Filled(_)));
    }

    #[test]
    fn each_poll_and_the_drop_belong_to_the_request() {
        let _leave = leave_afterwards();
        let names = Rc::new(RefCell::new(Vec::new()));
        let name = || CurrentRequest::current().name().map(str::to_owned);
        /// Notes the name when it is dropped.
        struct Noting(Rc<RefCell<Vec<Option<String>>>>);
        impl Drop for Noting {
            fn drop(&mut self) {
                let name = CurrentRequest::current().name().map(str::to_owned);
                self.0.borrow_mut().push(name);
            }
        }
        let (noting, polled) = (Noting(Rc::clone(&names)), Rc::clone(&names));
        let scope = CurrentRequest::current().named("a").enter();
        let mut future = parked(begin(async move {
            let _noting = noting;
            poll_fn(|context| {
                polled.borrow_mut().push(name());
                context.waker().wake_by_ref();
                Poll::<()>::Pending
            })
            .await;
            Status::OK
        }));
        drop(scope);
        drop(future.poll(&mut 1, None));
        drop(future);
        assert_eq!(*names.borrow(), vec![Some("a".to_owned()); 3]);
        assert_eq!(CurrentRequest::current().name(), None);
    }

    #[test]
    fn the_end_is_noted_once_and_so_is_a_panic() {
        thread_local! {
            static NOTED: RefCell<Vec<(Option<String>, Ending)>> = const { RefCell::new(Vec::new()) };
        }
        fn note(current: &CurrentRequest, ending: Ending) {
            let name = current.name().map(str::to_owned);
            NOTED.with_borrow_mut(|noted| noted.push((name, ending)));
        }
        let _leave = leave_afterwards();
        let mut polls = 0;
        let scope = CurrentRequest::current().named("a").enter();
        let mut future = parked(begin(poll_fn(move |context| {
            polls += 1;
            assert_eq!(polls, 1, "the second poll fails");
            context.waker().wake_by_ref();
            Poll::<Status>::Pending
        })));
        drop(scope);
        future.at_end(note);
        assert!(matches!(future.poll(&mut 1, None), Polled::Broken));
        assert!(
            matches!(future.poll(&mut 1, None), Polled::Pending),
            "it is over"
        );
        drop(future);
        let mut future = parked(begin(pending::<Status>()));
        future.at_end(note);
        drop(future);
        let noted = [
            (Some("a".to_owned()), Ending::Panicked),
            (None, Ending::Regular),
        ];
        assert_eq!(NOTED.take(), noted);
    }
}
