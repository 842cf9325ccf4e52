//! Threads for handlers that block, started when the first request needs one.

use core::fmt;
use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};

use crate::current_request::{self, CurrentRequest};
use crate::handler::carried::Carried;
use crate::handler::closure::{Busy, Closure, Running, awaited};
use crate::handler::future::{Interest, finish_parked};
use crate::handler::outcome::{IntoOutcome, Outcome, Pending, WhenHalfClosed};
use crate::handler::reply::Reply;
use crate::handler::{Accept, FunctionHandler, Handler, Watch};
use crate::limits::{Limits, POOL_QUEUE_LEN_MAX, POOL_QUEUE_MAX};
use crate::message::owned::OwnedRequest;
use crate::message::peer::PeerState;
use crate::message::request::{Head, Request};
use crate::message::response::Response;
use crate::output;
use crate::sync::contain::contain;
use crate::sync::loop_thread::{self, Runner};
use crate::sync::thread::{self, ThreadId};
use crate::sync::{Condvar, Mutex, MutexGuard};

/// A pool of threads, for code that blocks: the [`call`](Handler::call) of a handler, or closures that an async handler awaits
/// with [`run`](Self::run). Clones share the pool.
///
/// [`Server::threads`](crate::Server::threads) makes one; by itself it can be the handler of [`Server::workers`](crate::Server::workers).
/// [`Blocking::threads`] makes one without a handler.
///
/// Threads start when requests need them and stay. When all are busy, requests and closures wait in a queue of at most 1024 of
/// them and 64 MiB; beyond that the response is 503 with `Retry-After: 1`, and a closure's future yields [`Busy`].
///
/// ```
/// use coldstart::handler::Blocking;
/// use coldstart::{Router, TestRequest};
///
/// let slow = Router::new().get("/words", |_| "from a slow disk\n");
/// let mut router = Router::new()
///     .get("/", |_| "at once\n")
///     .any_handler("/words", Blocking::new(slow, 4));
/// assert_eq!(TestRequest::get("/words").run_handler(&mut router).text(), "from a slow disk\n");
/// ```
pub struct Blocking<H = NoHandler> {
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

impl Blocking {
    /// Up to `count` threads for closures; 0 counts as 1.
    ///
    /// ```
    /// use coldstart::handler::{Blocking, Busy};
    /// use coldstart::{Router, TestRequest};
    ///
    /// fn count_words(text: &str) -> usize {
    ///     text.split_whitespace().count() // Or what takes long.
    /// }
    ///
    /// let threads = Blocking::threads(4);
    /// let mut router = Router::new().post("/words", move |request| {
    ///     let text = String::from_utf8_lossy(request.body()).into_owned();
    ///     let words = threads.run(move || count_words(&text));
    ///     async move { Ok::<_, Busy>(format!("{} words\n", words.await?)) }
    /// });
    /// let request = TestRequest::post("/words").body("as few as these");
    /// assert_eq!(request.run_handler(&mut router).text(), "4 words\n");
    /// ```
    #[must_use]
    pub fn threads(count: usize) -> Self {
        Self::new(NoHandler, count)
    }
}

impl<H: Handler + Clone + Send + 'static> Blocking<H> {
    /// A handler of which up to `threads` clones run at once, each on a thread of its own; 0 counts as 1.
    ///
    /// Two loops for what is quick, and eight threads for what blocks:
    ///
    /// ```no_run
    /// use coldstart::handler::Blocking;
    /// use coldstart::{Router, Server};
    ///
    /// # fn main() -> Result<(), coldstart::server::StartError> {
    /// let router = Router::new().get("/words", |_| std::fs::read_to_string("words.txt").ok());
    /// Server::new().workers(2).run_handler(Blocking::new(router, 8))
    /// # }
    /// ```
    #[must_use]
    pub fn new(handler: H, threads: usize) -> Self {
        let pool = Arc::new(Pool {
            state: Mutex::new(State {
                jobs: VecDeque::new(),
                len: 0,
                threads: 0,
                ids: Vec::new(),
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
    ///
    /// ```
    /// use coldstart::handler::WhenHalfClosed;
    /// use coldstart::{Router, TestRequest, blocking};
    ///
    /// // A client that has ended its side no longer waits for its report.
    /// let report = blocking(|_| "a slow report\n", 4).when_half_closed(WhenHalfClosed::Cancel);
    /// let mut router = Router::new().get("/report", move |request| report.respond(request));
    /// assert_eq!(TestRequest::get("/report").run_handler(&mut router).text(), "a slow report\n");
    /// ```
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

    fn has_middleware(&self) -> bool {
        self.handler.has_middleware()
    }

    fn on_refused(&mut self, head: &Head<'_>, watch: &mut Watch) {
        self.handler.on_refused(head, watch);
    }
}

impl<H: Handler + Clone + Send + 'static> Blocking<H> {
    /// Passes the request to the pool. The response is promised, or 503 if too many requests wait.
    pub fn respond(&self, request: &Request<'_>) -> Outcome {
        let (outcome, reply) = Outcome::promised();
        let outcome = outcome.when_half_closed(self.half_closed);
        match self.submit(Work::Call(request.to_owned(), reply)) {
            Submitted::Taken => outcome,
            Submitted::Refused => self.overloaded().into(),
        }
    }

    /// Runs the closure on a thread of the pool, where it may block. The future yields what it returns, or [`Busy`] at once if
    /// too many wait; see [`Running`]. What the closure logs carries the name of the request that this is called for.
    ///
    /// On a thread of this very pool the closure runs in this call, since all threads could otherwise wait for each other.
    ///
    /// A closure that can fail needs two `?`: the first sends a 503 if too many wait, the second sends the closure's error as a
    /// response, which is 500 for an [`io::Error`](std::io::Error). A pool in a `static` needs no place in a router's state:
    ///
    /// ```
    /// use std::fs;
    /// use std::sync::LazyLock;
    ///
    /// use coldstart::handler::Blocking;
    /// use coldstart::{Response, Router, TestRequest};
    ///
    /// static THREADS: LazyLock<Blocking> = LazyLock::new(|| Blocking::threads(4));
    ///
    /// async fn note() -> Result<String, Response> {
    ///     Ok(THREADS.run(|| fs::read_to_string("no-such-note")).await??)
    /// }
    ///
    /// let mut router = Router::new().get("/note", |_| note());
    /// assert_eq!(TestRequest::get("/note").run_handler(&mut router).status(), 500);
    /// ```
    pub fn run<T: Send + 'static>(
        &self,
        closure: impl FnOnce() -> T + Send + 'static,
    ) -> Running<T> {
        let (closure, running) = awaited(closure);
        if self.pool.is_own_thread() {
            closure.run();
        } else {
            // If it is refused, it is dropped, and the future yields `Busy`.
            self.submit(Work::Run(closure));
        }
        running
    }

    fn submit(&self, work: Work) -> Submitted {
        let current = CurrentRequest::current().waiting();
        match self.pool.push(Job { work, current }) {
            Pushed::Taken => Submitted::Taken,
            Pushed::NeedsThread if self.start_thread() => Submitted::Taken,
            Pushed::NeedsThread | Pushed::Full => Submitted::Refused,
            Pushed::Replaced(job) => {
                if let Work::Call(_, reply) = job.work {
                    reply.settle(Pending::Response(self.overloaded()));
                }
                Submitted::Taken
            }
        }
    }

    fn overloaded(&self) -> Response {
        Busy::refuse(self.handler.failure())
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

/// Takes the place of the handler of a pool that only runs closures.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct NoHandler;

impl Handler for NoHandler {
    fn call(&mut self, _: &Request<'_>) -> Outcome {
        self.failure().into()
    }

    fn has_middleware(&self) -> bool {
        false
    }
}

/// Whether work got into the pool.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Submitted {
    Taken,
    Refused,
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
    /// Those of them that run.
    ids: Vec<ThreadId>,
    idle: usize,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    Closed,
}

struct Job {
    work: Work,
    current: CurrentRequest,
}

enum Work {
    Call(OwnedRequest, Reply),
    Run(Box<dyn Closure>),
}

impl Job {
    fn len(&self) -> usize {
        match &self.work {
            Work::Call(request, _) => request.len(),
            Work::Run(closure) => closure.len(),
        }
    }

    /// Whether a peer waits for it that has not ended its side.
    fn is_wanted(&self) -> bool {
        match &self.work {
            Work::Call(_, reply) => reply.peer() == PeerState::Open,
            Work::Run(closure) => closure.is_awaited(),
        }
    }

    fn run(self, handler: &mut impl Handler) {
        let _scope = self.current.enter();
        match self.work {
            Work::Call(request, reply) if !reply.is_peer_gone() => call(handler, &request, reply),
            Work::Run(closure) if closure.is_awaited() => closure.run(),
            Work::Call(..) | Work::Run(_) => {}
        }
    }
}

/// Calls the handler for a request, waits for the response if it is a future's, and sends its body if that stays on this thread.
fn call(handler: &mut impl Handler, request: &OwnedRequest, reply: Reply) {
    let outcome = handler.call(&request.as_request());
    let is_future = outcome.is_future();
    let finished = finish_parked(outcome, || {
        if reply.is_peer_gone() {
            Interest::Lost
        } else {
            Interest::Kept
        }
    });
    if is_future {
        // What it printed since its first poll.
        output::flush_printed();
    }
    if let Some(mut pending) = finished {
        let carried = Carried::begin(&mut pending);
        reply.settle(pending);
        if let Some(carried) = carried {
            carried.send();
            output::flush_printed();
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
        let len = state.len.saturating_add(job.len());
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
        let Some(place) = state.jobs.iter().position(|queued| !queued.is_wanted()) else {
            // A closure is foreign code, so it must not be dropped under the lock.
            drop(state);
            return Pushed::Full;
        };
        let len = state.len.saturating_add(job.len());
        match state.jobs.remove(place) {
            Some(replaced) if len.saturating_sub(replaced.len()) <= POOL_QUEUE_LEN_MAX => {
                state.len = len.saturating_sub(replaced.len());
                state.jobs.push_back(job);
                Pushed::Replaced(Box::new(replaced))
            }
            replaced => {
                // It would not make enough room.
                if let Some(replaced) = replaced {
                    state.jobs.insert(place, replaced);
                }
                drop(state);
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
        let _guard = loop_thread::enter(Runner::of_waiter(Limits::new().timers_max));
        let _leave = current_request::leave_afterwards();
        self.lock().ids.push(thread::current().id());
        while let Some(job) = self.next() {
            // A panic drops the reply, which sends 500; the hook has reported it. What is dropped is the user's, too.
            if contain(|| job.run(handler)).is_none() {
                output::guard_panics();
            }
        }
    }

    fn is_own_thread(&self) -> bool {
        self.lock().ids.contains(&thread::current().id())
    }

    fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                state.len = state.len.saturating_sub(job.len());
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
    use core::pin::Pin;
    use core::sync::atomic::{AtomicUsize, Ordering};
    use core::task::{Context, Poll, Waker};
    use std::sync::{Arc, Mutex, PoisonError};

    use super::{Blocking, Busy, Handler as _, Outcome, Running, blocking};
    use crate::handler::FunctionHandler;
    use crate::handler::IntoResponse as _;
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

    fn resolve<T>(running: &mut Running<T>) -> Poll<Result<T, Busy>> {
        Pin::new(running).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn beyond_the_queue_closures_that_are_not_awaited_give_way_and_others_are_refused() {
        let gate = Arc::new(Mutex::new(()));
        let closed = gate.lock().unwrap_or_else(PoisonError::into_inner);
        let pool = Blocking::threads(1);
        let waits = Arc::clone(&gate);
        let running = pool.run(move || drop(waits.lock()));
        while !pool.pool.lock().jobs.is_empty() {
            std::thread::yield_now();
        }
        let runs = Arc::new(AtomicUsize::new(0));
        let submit = || {
            let runs = Arc::clone(&runs);
            pool.run(move || runs.fetch_add(1, Ordering::Relaxed))
        };
        let mut queued: Vec<_> = (0..POOL_QUEUE_MAX).map(|_| submit()).collect();
        let refused = resolve(&mut submit());
        let Poll::Ready(Err(busy)) = refused else {
            panic!("the queue is full: {refused:?}")
        };
        let response = busy.into_response();
        assert_eq!(response.head().status(), 503);
        assert_eq!(response.head().header("retry-after"), Some("1"));
        drop(queued.pop());
        let mut last = submit();
        assert!(resolve(&mut last).is_pending(), "it is queued in its place");
        assert!(resolve(&mut submit()).is_ready());
        // The one that runs goes on, and of those in the queue two are not awaited.
        drop((running, queued.pop()));
        drop(closed);
        while resolve(&mut last).is_pending() {
            std::thread::yield_now();
        }
        assert_eq!(runs.load(Ordering::Relaxed), POOL_QUEUE_MAX - 1);
    }

    #[test]
    fn a_closure_on_a_thread_of_its_own_pool_runs_at_once() {
        let pool = Blocking::threads(1);
        let inner = pool.clone();
        let run = move |_: &Request<'_>| {
            let running = inner.run(|| "inner");
            async move { running.await.unwrap_or("busy") }
        };
        let mut outer = Blocking::new(FunctionHandler::new(run), 1);
        assert_eq!(
            TestRequest::get("/").run_handler(&mut outer).text(),
            "inner"
        );
        let inner = pool.clone();
        let mut nested = pool.run(move || resolve(&mut inner.run(|| 1)));
        let nested = loop {
            match resolve(&mut nested) {
                Poll::Ready(nested) => break nested,
                Poll::Pending => std::thread::yield_now(),
            }
        };
        assert_eq!(nested, Ok(Poll::Ready(Ok(1))));
    }

    #[test]
    fn a_panic_of_a_closure_goes_on_where_it_is_awaited_and_costs_no_thread() {
        let pool = Blocking::threads(1);
        let threads = pool.clone();
        let mut router = Router::new().get("/{path}", move |request| {
            let path = request.parameter("path").unwrap_or_default().into_owned();
            let running = threads.run(move || {
                assert_ne!(path, "panic", "the closure's panic");
                path
            });
            async move {
                // In the first poll, which is the handler's own call, the panic would be the test's.
                crate::yield_now().await;
                running.await.unwrap_or_default()
            }
        });
        let failed = TestRequest::get("/panic").run_handler(&mut router);
        assert_eq!(failed.status(), 500);
        let well = TestRequest::get("/well").run_handler(&mut router);
        assert_eq!(well.text(), "well");
        assert_eq!(pool.pool.lock().threads, 1);
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
