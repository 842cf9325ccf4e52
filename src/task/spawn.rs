//! Futures that run on their own.

use core::cell::RefCell;
use core::error::Error;
use core::fmt;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::rc::Rc;

use super::local::{TaskId, begin_task};
use super::parked::Parked;
use super::slots::{PollTask, Refused};
use crate::sync::contain::contain;
use crate::sync::notify::Notify;
use crate::sync::oneshot::Polled;

/// Runs a future on this thread's loop, beside the connections: for the producer of a stream, or work after the response.
///
/// It need not be `Send`. It is polled for the first time after the caller has returned to the loop, and then once after each wake.
/// Between two polls all connections that have something to do are served, even if it wakes itself. It must not block. Log lines
/// carry the request that it was spawned for.
///
/// It runs until it is ready, also when the handle is dropped. Its panic is contained, and reported as
/// [`ServerEvent::TaskPanicked`](crate::server::ServerEvent::TaskPanicked). A server that stops waits for its tasks, like for its
/// connections, within [`Timeouts::drain`](crate::server::Timeouts::drain); then it drops them, and reports how many as
/// [`ServerEvent::TasksDropped`](crate::server::ServerEvent::TasksDropped). One that never ends by itself waits with
/// [`before_drain`](crate::before_drain()). On the platform, an instance may be
/// frozen as soon as no request is running, and a task then waits for the next request
/// ([contract §4](crate::contract#4-keep-alive-freeze-end-of-life)).
///
/// ```
/// use coldstart::{Body, Response, TestRequest, spawn, yield_now};
///
/// let response = TestRequest::get("/").run(|_| async {
///     let task = match spawn(async {
///         yield_now().await;
///         6 * 7
///     }) {
///         Ok(task) => task,
///         Err(error) => return error.to_string(),
///     };
///     // Here it may do something else.
///     task.await.map_or_else(|error| error.to_string(), |number| number.to_string())
/// });
/// assert_eq!(response.text(), "42");
/// ```
///
/// # Errors
///
/// No loop runs on this thread, such as on a thread of a pool; or it has
/// [`Limits::tasks_max`](crate::server::Limits::tasks_max) tasks. The future is dropped.
pub fn spawn<F: Future + 'static>(future: F) -> Result<JoinHandle<F::Output>, SpawnError> {
    let join = Rc::new(Join(RefCell::new(State::Running(None))));
    let of_task = Rc::clone(&join);
    let task = begin_task(|| {
        Box::new(Task {
            future: Parked::woken(Box::pin(future)),
            join: of_task,
        })
    });
    match task {
        Ok(task) => Ok(JoinHandle { join, task }),
        Err(Refused::NoLoop) => Err(SpawnError::NoLoop),
        Err(Refused::TooMany) => Err(SpawnError::TooMany),
    }
}

/// Why [`spawn`] has not begun a task.
///
/// ```
/// use coldstart::{spawn, task::SpawnError};
///
/// assert_eq!(spawn(async {}).err(), Some(SpawnError::NoLoop), "this is no handler");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpawnError {
    /// No loop runs on this thread: it does not run a handler, its future or a task, or it belongs to a pool.
    NoLoop,
    /// The loop has as many tasks as [`Limits::tasks_max`](crate::server::Limits::tasks_max) says.
    TooMany,
}

impl fmt::Display for SpawnError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NoLoop => {
                "no loop runs on this thread: call spawn in a handler, its future or a task, and not on a thread of a pool"
            }
            Self::TooMany => "too many tasks: await some of them, or raise Limits::tasks_max",
        })
    }
}

impl Error for SpawnError {}

/// A task that was spawned: a future of its output. Dropping it detaches the task, which runs on.
///
/// ```
/// use std::time::Duration;
///
/// use coldstart::task::JoinError;
/// use coldstart::{TestRequest, sleep, spawn};
///
/// let response = TestRequest::get("/").run(|_| async {
///     let task = spawn(sleep(Duration::from_secs(3600))).expect("there are not many tasks");
///     task.abort();
///     assert_eq!(task.await, Err(JoinError::Aborted));
///     "aborted\n"
/// });
/// assert_eq!(response.text(), "aborted\n");
/// ```
#[must_use = "to let the task run on its own, drop it"]
pub struct JoinHandle<T> {
    join: Rc<Join<T>>,
    task: TaskId,
}

impl<T> JoinHandle<T> {
    /// Drops the task's future now, or after its poll if this is its own code. A task that is over stays so.
    pub fn abort(&self) {
        self.task.abort();
    }

    /// Whether the task is over.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        !matches!(*self.join.0.borrow(), State::Running(_))
    }
}

/// The output is there once: later polls are pending.
impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let waker = context.waker().clone();
        let before = mem::replace(&mut *self.join.0.borrow_mut(), State::Taken);
        let (state, polled) = match before {
            State::Running(_) => (State::Running(Some(waker)), Poll::Pending),
            State::Over(output) => (State::Taken, Poll::Ready(output)),
            State::Taken => (State::Taken, Poll::Pending),
        };
        *self.join.0.borrow_mut() = state;
        polled
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("JoinHandle")
            .field("is_finished", &self.is_finished())
            .finish_non_exhaustive()
    }
}

/// Why a task has no output.
///
/// ```
/// use coldstart::task::JoinError;
/// use coldstart::{TestRequest, spawn};
///
/// let response = TestRequest::get("/").run(|_| async {
///     let task = spawn(async { panic!("a mistake") }).expect("there are not many tasks");
///     let error: JoinError = task.await.expect_err("it panics");
///     error.to_string()
/// });
/// assert_eq!(response.text(), "the task panicked");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JoinError {
    /// A poll of it panicked.
    Panicked,
    /// It was aborted, or the server has stopped.
    Aborted,
}

impl fmt::Display for JoinError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Panicked => "the task panicked",
            Self::Aborted => "the task was aborted",
        })
    }
}

impl Error for JoinError {}

/// What a task shares with its handle.
struct Join<T>(RefCell<State<T>>);

enum State<T> {
    /// What to wake at its end.
    Running(Option<Waker>),
    Over(Result<T, JoinError>),
    Taken,
}

impl<T> Join<T> {
    /// The task is over, unless it was before.
    fn finish(&self, output: Result<T, JoinError>) {
        let mut state = self.0.borrow_mut();
        let State::Running(waker) = &mut *state else {
            return;
        };
        let waker = waker.take();
        *state = State::Over(output);
        drop(state);
        if let Some(waker) = waker {
            // It is foreign code, and the loop is the caller.
            let _ = contain(|| waker.wake());
        }
    }
}

struct Task<F: Future> {
    future: Parked<F>,
    join: Rc<Join<F::Output>>,
}

impl<F: Future> PollTask for Task<F> {
    fn attach(&self, notify: Notify) {
        if self.future.attach(notify.clone()) {
            notify.notify();
        }
    }

    fn poll(&mut self) -> Polled<()> {
        match self.future.poll(&mut 1, F::poll) {
            Polled::Pending => Polled::Pending,
            Polled::Filled(output) => {
                self.join.finish(Ok(output));
                Polled::Filled(())
            }
            Polled::Broken => {
                self.join.finish(Err(JoinError::Panicked));
                Polled::Broken
            }
        }
    }
}

impl<F: Future> Drop for Task<F> {
    fn drop(&mut self) {
        self.join.finish(Err(JoinError::Aborted));
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::{Join, State};
    use crate::sync::contain::foreign::alarming_waker;

    #[test]
    fn a_waker_that_panics_is_no_fault_of_the_task_that_ends() {
        let join = Join(RefCell::new(State::Running(Some(alarming_waker()))));
        join.finish(Ok(1));
        assert!(matches!(*join.0.borrow(), State::Over(Ok(1))));
    }
}
