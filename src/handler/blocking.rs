//! Threads for handlers that block, started when the first request needs one.

use core::fmt;
use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};

use crate::current_request::{self, CurrentRequest};
use crate::handler::future::{Interest, finish};
use crate::handler::outcome::{IntoOutcome, Outcome, Pending, WhenHalfClosed};
use crate::handler::reply::Reply;
use crate::handler::{Accept, FunctionHandler, Handler};
use crate::limits::{POOL_QUEUE_LEN_MAX, POOL_QUEUE_MAX};
use crate::message::owned::OwnedRequest;
use crate::message::peer::PeerState;
use crate::message::request::{Head, Request};
use crate::message::response::{Response, Status};
use crate::output;
use crate::sync::contain::contain;
use crate::sync::notify::Notify;
use crate::sync::{Condvar, Mutex, MutexGuard, thread};

/// A handler whose [`call`](Handler::call) runs on a pool of threads and may block. Clones share the pool.
///
/// [`Server::threads`](crate::Server::threads) makes one; by itself it can be the handler of [`Server::workers`](crate::Server::workers).
///
/// Threads start when requests need them and stay. When all are busy, requests wait in a queue of at most 1024 requests and
/// 64 MiB; beyond that the response is 503 with `Retry-After: 1`.
pub struct Blocking<H> {
    handler: H,
    pool: Arc<Pool>,
    half_closed: WhenHalfClosed,
    /// Counts the clones: the last one ends the pool.
    lease: Arc<Lease>,
}

impl<H: Clone> Clone for Blocking<H> {
    fn clone(&self) -> Self {
        Self {
            handler: self.handler.clone(),
            pool: Arc::clone(&self.pool),
            half_closed: self.half_closed,
            lease: Arc::clone(&self.lease),
        }
    }
}

impl<H: Handler + Clone + Send + 'static> Blocking<H> {
    /// A handler of which up to `threads` clones run at once, each on a thread of its own; 0 counts as 1.
    #[must_use]
    pub fn new(handler: H, threads: usize) -> Self {
        let pool = Arc::new(Pool {
            state: Mutex::new(State {
                jobs: VecDeque::new(),
                len: 0,
                threads: 0,
                idle: 0,
                stage: Stage::Open,
            }),
            news: Condvar::new(),
            threads_max: threads.max(1),
        });
        let lease = Arc::new(Lease(Arc::clone(&pool)));
        Self {
            handler,
            pool,
            half_closed: WhenHalfClosed::Respond,
            lease,
        }
    }

    /// Says what to do for a client that ends its side before its response is sent; see
    /// [`Outcome::when_half_closed`]. By default it gets its response, unless its request waits in a full queue: there it
    /// gives way to a new one, with 503.
    #[must_use]
    pub fn when_half_closed(mut self, then: WhenHalfClosed) -> Self {
        self.half_closed = then;
        self
    }
}

/// A function or closure whose calls run on up to `threads` threads and may block; for one route of many.
///
/// ```
/// use coldstart::{Response, Router, blocking};
///
/// let report = blocking(|request| Response::text(format!("{} is done\n", request.path())), 4);
/// let router = Router::new().get("/report", move |request| report.respond(request));
/// ```
pub fn blocking<F, R, Kind: 'static>(
    function: F,
    threads: usize,
) -> Blocking<impl Handler + Clone + Send + Sync + 'static>
where
    F: FnMut(&Request<'_>) -> R + Clone + Send + Sync + 'static,
    R: IntoOutcome<Kind>,
{
    Blocking::new(FunctionHandler::new(function), threads)
}

impl<H: Handler + Clone + Send + 'static> Handler for Blocking<H> {
    /// Runs on the loop: it must not block.
    fn accept(&mut self, head: &Head<'_>) -> Accept {
        self.handler.accept(head)
    }

    fn call(&mut self, request: &Request<'_>) -> Outcome {
        self.respond(request)
    }

    fn before_send(&mut self) {
        self.handler.before_send();
    }

    fn failure(&self) -> Response {
        self.handler.failure()
    }
}

impl<H: Handler + Clone + Send + 'static> Blocking<H> {
    /// Passes the request to the pool. The response is promised, or 503 if too many requests wait.
    pub fn respond(&self, request: &Request<'_>) -> Outcome {
        let (outcome, reply) = Outcome::promised();
        let outcome = outcome.when_half_closed(self.half_closed);
        let job = Job {
            request: request.to_owned(),
            current: CurrentRequest::current().waiting(),
            reply,
        };
        match self.pool.push(job) {
            Pushed::Taken => outcome,
            Pushed::NeedsThread => {
                if self.start_thread() {
                    outcome
                } else {
                    self.overloaded().into()
                }
            }
            Pushed::Replaced(job) => {
                job.reply.settle(Pending::Response(self.overloaded()));
                outcome
            }
            Pushed::Full => self.overloaded().into(),
        }
    }

    fn overloaded(&self) -> Response {
        self.handler
            .failure()
            .status(Status::SERVICE_UNAVAILABLE)
            .header("retry-after", "1")
            .body("all threads are busy\n")
    }

    /// Starts one more thread. Without any thread the waiting jobs would never run.
    fn start_thread(&self) -> bool {
        let pool = Arc::clone(&self.pool);
        let thread = thread::Builder::new().name("handler".to_owned());
        // The clone is the user's code.
        let is_started = contain(|| self.handler.clone())
            .is_some_and(|mut handler| thread.spawn(move || pool.work(&mut handler)).is_ok());
        is_started || self.pool.on_thread_not_started()
    }
}

impl<H> fmt::Debug for Blocking<H> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Blocking")
            .field("threads_max", &self.pool.threads_max)
            .finish_non_exhaustive()
    }
}

/// Ends the pool when its last handler is gone.
struct Lease(Arc<Pool>);

impl Drop for Lease {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.stage = Stage::Closed;
        // Dropped outside the lock: each reply then sends a 500.
        let jobs = std::mem::take(&mut state.jobs);
        drop(state);
        drop(jobs);
        self.0.news.notify_all();
    }
}

struct Pool {
    state: Mutex<State>,
    news: Condvar,
    threads_max: usize,
}

struct State {
    jobs: VecDeque<Job>,
    /// Bytes of all waiting jobs.
    len: usize,
    threads: usize,
    idle: usize,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    Closed,
}

struct Job {
    request: OwnedRequest,
    current: CurrentRequest,
    reply: Reply,
}

impl Job {
    fn run(self, handler: &mut impl Handler) {
        let Self {
            request,
            current,
            reply,
        } = self;
        if reply.is_peer_gone() {
            return;
        }
        let _scope = current.enter();
        let outcome = handler.call(&request.as_request());
        let is_future = outcome.is_future();
        let here = thread::current();
        let finished = finish(
            outcome,
            || Notify::new(move || here.unpark()),
            || {
                thread::park();
                if reply.is_peer_gone() {
                    Interest::Lost
                } else {
                    Interest::Kept
                }
            },
        );
        if is_future {
            // What it printed since its first poll.
            output::flush_printed();
        }
        if let Some(pending) = finished {
            reply.settle(pending);
        }
    }
}

enum Pushed {
    Taken,
    /// Queued, and there is room for one more thread.
    NeedsThread,
    Full,
    /// Taken in place of this job, whose peer has ended its side or gone.
    Replaced(Box<Job>),
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No foreign code runs under this lock, so a poisoned one is consistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, job: Job) -> Pushed {
        let mut state = self.lock();
        let len = state.len.saturating_add(job.request.len());
        if state.jobs.len() >= POOL_QUEUE_MAX
            || (len > POOL_QUEUE_LEN_MAX && !state.jobs.is_empty())
        {
            return Self::replace(state, job);
        }
        state.len = len;
        state.jobs.push_back(job);
        if state.idle < state.jobs.len() && state.threads < self.threads_max {
            state.threads += 1;
            return Pushed::NeedsThread;
        }
        drop(state);
        self.news.notify_one();
        Pushed::Taken
    }

    /// The queue is full: a job whose peer may not even read the response gives way.
    fn replace(mut state: MutexGuard<'_, State>, job: Job) -> Pushed {
        let is_open = |job: &Job| job.reply.peer() == PeerState::Open;
        let Some(place) = state.jobs.iter().position(|queued| !is_open(queued)) else {
            return Pushed::Full;
        };
        let len = state.len.saturating_add(job.request.len());
        match state.jobs.remove(place) {
            Some(replaced) if len.saturating_sub(replaced.request.len()) <= POOL_QUEUE_LEN_MAX => {
                state.len = len.saturating_sub(replaced.request.len());
                state.jobs.push_back(job);
                Pushed::Replaced(Box::new(replaced))
            }
            replaced => {
                // It would not make enough room.
                if let Some(replaced) = replaced {
                    state.jobs.insert(place, replaced);
                }
                Pushed::Full
            }
        }
    }

    /// Whether a running thread will take the job that needed the new one. If no thread runs, all jobs are dropped, and their
    /// replies send 500.
    fn on_thread_not_started(&self) -> bool {
        let mut state = self.lock();
        state.threads -= 1;
        if state.threads > 0 {
            return true;
        }
        state.len = 0;
        let jobs = std::mem::take(&mut state.jobs);
        drop(state);
        drop(jobs);
        false
    }

    /// The work of a thread until the pool is closed.
    fn work(&self, handler: &mut impl Handler) {
        let _leave = current_request::leave_afterwards();
        while let Some(job) = self.next() {
            // A panic drops the reply, which sends 500; the hook has reported it. What is dropped is the user's, too.
            if contain(|| job.run(handler)).is_none() {
                output::guard_panics();
            }
        }
    }

    fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                state.len = state.len.saturating_sub(job.request.len());
                return Some(job);
            }
            if state.stage == Stage::Closed {
                return None;
            }
            state.idle += 1;
            state = self
                .news
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, PoisonError};

    use super::{Blocking, Handler as _, Outcome, blocking};
    use crate::handler::FunctionHandler;
    use crate::handler::outcome::{Awaited, Eventual, Pending};
    use crate::limits::POOL_QUEUE_MAX;
    use crate::sync::notify::Notify;
    use crate::sync::oneshot::Polled;
    use crate::{Request, Response, Router, TestRequest};

    fn with_request<T>(mut see: impl FnMut(&Request<'_>) -> T) -> T {
        let mut seen = None;
        drop(TestRequest::get("/").run(|request| {
            seen = Some(see(request));
            Response::text("")
        }));
        seen.expect("the handler was called")
    }

    #[test]
    fn no_thread_runs_before_the_first_request() {
        let mut pool = Blocking::new(
            FunctionHandler::new(|_: &Request<'_>| Response::text("a")),
            4,
        );
        assert_eq!(pool.pool.lock().threads, 0);
        assert_eq!(TestRequest::get("/").run_handler(&mut pool).text(), "a");
        assert_eq!(pool.pool.lock().threads, 1);
    }

    #[test]
    fn beyond_the_queue_half_closed_requests_give_way_and_others_get_503() {
        let gate = Arc::new(Mutex::new(()));
        let closed = gate.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = Arc::clone(&gate);
        let function = move |_: &Request<'_>| {
            drop(waits.lock());
            Response::text("done")
        };
        let mut pool = Blocking::new(FunctionHandler::new(function), 1);
        let running = with_request(|request| pool.call(request));
        while !pool.pool.lock().jobs.is_empty() {
            std::thread::yield_now();
        }
        let mut queued: Vec<Outcome> = (0..POOL_QUEUE_MAX)
            .map(|_| with_request(|request| pool.call(request)))
            .collect();
        assert!(queued.iter().all(|outcome| outcome.response().is_none()));
        let assert_refused = |outcome: &Outcome| {
            let response = outcome.response().expect("no promise").head();
            assert_eq!(response.status(), 503);
            assert_eq!(response.header("retry-after"), Some("1"));
        };
        assert_refused(&with_request(|request| pool.call(request)));
        let leaver = queued.pop().expect("many are queued");
        let Eventual::Awaited(Some(Awaited::Promise(promise))) = leaver.eventual else {
            panic!("it is queued")
        };
        promise.half_close();
        let next = with_request(|request| pool.call(request));
        assert!(next.response().is_none(), "it is queued in its place");
        match promise.poll(|| Notify::new(|| {})) {
            Polled::Filled(Pending::Response(response)) => {
                assert_eq!(response.head().status(), 503);
            }
            Polled::Filled(Pending::Promise(_)) | Polled::Pending | Polled::Broken => {
                panic!("the peer that left gets a 503")
            }
        }
        assert_refused(&with_request(|request| pool.call(request)));
        drop(closed);
        drop((running, queued, next));
        // The jobs of peers that have left are skipped, and the next one runs.
        let next = TestRequest::get("/").run_handler(&mut pool).text();
        assert!(next == "done" || next == "all threads are busy\n", "{next}");
    }

    #[test]
    fn a_pool_of_one_route_sees_the_parameters() {
        let show = blocking(
            |request| request.parameter("id").unwrap_or_default().into_owned(),
            1,
        );
        let mut router = Router::new().get("/{id}", move |request| show.respond(request));
        assert_eq!(TestRequest::get("/7").run_handler(&mut router).text(), "7");
    }

    #[test]
    fn a_panic_costs_its_own_request_and_no_thread() {
        let calls = Arc::new(Mutex::new(0));
        let function = move |_: &Request<'_>| {
            let mut calls = calls.lock().unwrap_or_else(PoisonError::into_inner);
            *calls += 1;
            assert!(*calls > 1, "the first call fails");
            Response::text("well")
        };
        let mut pool = Blocking::new(FunctionHandler::new(function), 1);
        assert_eq!(TestRequest::get("/").run_handler(&mut pool).status(), 500);
        assert_eq!(TestRequest::get("/").run_handler(&mut pool).text(), "well");
        assert_eq!(pool.pool.lock().threads, 1);
    }
}
