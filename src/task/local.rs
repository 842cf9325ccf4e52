//! The timers and tasks of a thread.

use core::cell::{Cell, RefCell};
use core::mem;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::task::{Context, Poll};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, PoisonError};

use crate::limits::{
    BLOCKED_MIN, BLOCKED_SAMPLE, POLL_TIME_MAX, REPORT_INTERVAL, TASKS_A_TURN_MAX,
};
use crate::observe::{Reporter, ServerEvent};
use crate::os::Instant;
use crate::sync::contain::contain;
use crate::sync::loop_thread::{self, Runner};
use crate::sync::notify::Notify;
use crate::sync::oneshot::Polled;
#[cfg(feature = "_sim")]
use crate::sync::tally::count;
use crate::sync::{Mutex, MutexGuard};

use super::hook::{self, Hook, Turn};
use super::notice::{Notice, ServerStage};
use super::slots::{PollTask, Refused, Slot, Tasks};
use super::timers::{Found, Start, TimerId, Timers};

#[cfg(not(all(test, loom)))]
thread_local! {
    static LOCALS: RefCell<Vec<Rc<Local>>> = const { RefCell::new(Vec::new()) };
}
#[cfg(all(test, loom))]
loom::thread_local! {
    static LOCALS: RefCell<Vec<Rc<Local>>> = RefCell::new(Vec::new());
}

/// Tasks that may be listed after their end, beside as many as there are.
const STALE_MAX: usize = 64;

/// What one loop, or a thread that waits for one response, has on its thread.
pub(super) struct Local {
    runner: Runner,
    /// Different from that of every other one, also of those that have ended.
    number: usize,
    timers: RefCell<Timers>,
    tasks: RefCell<Tasks>,
    /// Whether the server stops.
    notice: Arc<Notice>,
    /// Turns in which a task was polled.
    busy_turns: Cell<u8>,
    /// When a task that blocked the loop was last reported.
    blocked_at: Cell<Option<Instant>>,
    woken: Arc<Woken>,
}

impl Local {
    /// That of the loop, or of the waiting thread, that called the caller. It is made when it is used first.
    fn current() -> Option<Rc<Self>> {
        let runner = loop_thread::runner();
        if runner.id == loop_thread::NO_LOOP {
            return None;
        }
        let found = Self::find(|local| local.runner.id == runner.id);
        Some(found.unwrap_or_else(|| Self::begin(runner)))
    }

    fn find(is_it: impl FnMut(&&Rc<Self>) -> bool) -> Option<Rc<Self>> {
        let find = |locals: &RefCell<Vec<Rc<Self>>>| locals.borrow().iter().find(is_it).cloned();
        // At the end of a thread there are none.
        LOCALS.try_with(find).ok().flatten()
    }

    fn by_number(number: usize) -> Option<Rc<Self>> {
        Self::find(|local| local.number == number)
    }

    #[cold]
    fn begin(runner: Runner) -> Rc<Self> {
        static NUMBERS: AtomicUsize = AtomicUsize::new(0);
        hook::set(&ThisThread);
        let local = Rc::new(Self {
            runner,
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            timers: RefCell::new(Timers::new()),
            tasks: RefCell::default(),
            notice: Arc::new(Notice::new()),
            busy_turns: Cell::new(0),
            blocked_at: Cell::new(None),
            woken: Arc::new(Woken {
                runner,
                state: Mutex::new(State {
                    tasks: Vec::new(),
                    notify: None,
                }),
            }),
        });
        let kept = Rc::clone(&local);
        let _ = LOCALS.try_with(|locals| locals.borrow_mut().push(kept));
        local
    }

    fn turn(&self, mut turn: Turn<'_>) -> Option<Instant> {
        self.woken.attach(turn.notify);
        let has_timers = self.timers.borrow().len() > 0;
        if has_timers {
            self.fire((turn.now)());
        }
        if turn.stage == ServerStage::Draining {
            self.notice.enter(ServerStage::Draining);
        }
        let before = self.tasks.borrow().len();
        self.poll_woken(&mut turn);
        // The tasks may have taken long: the clock is read again for the timers that they have begun.
        let has_fresh = self.timers.borrow().has_fresh();
        if has_fresh {
            self.timers.borrow_mut().arm((turn.now)());
        }
        let has_ended = before > 0 && self.tasks.borrow().len() == 0;
        if has_ended || self.woken.is_any() {
            // A loop that waits for its tasks looks again.
            return Some(Instant(0));
        }
        let next = self.timers.borrow().next()?;
        // What the kernel's poll takes is bounded.
        Some(next.min((turn.now)().after(POLL_TIME_MAX)))
    }

    /// Polls the tasks that were woken. They are timed as the handler's calls are.
    fn poll_woken(&self, turn: &mut Turn<'_>) {
        let woken = self.woken.take();
        if woken.is_empty() {
            return;
        }
        self.busy_turns.set(self.busy_turns.get().wrapping_add(1));
        let is_timed =
            cfg!(debug_assertions) || self.busy_turns.get().is_multiple_of(BLOCKED_SAMPLE);
        let mut began_at = is_timed.then(|| (turn.now)());
        for id in woken {
            self.poll(id, &mut turn.reporter);
            if let Some(began_at) = &mut began_at {
                let now = (turn.now)();
                self.report_blocked(*began_at, now, &mut turn.reporter);
                *began_at = now;
            }
        }
    }

    /// Reports a task that has kept the loop for long, but not one after the other.
    fn report_blocked(
        &self,
        began_at: Instant,
        now: Instant,
        reporter: &mut Option<&mut Reporter>,
    ) {
        let (time, last) = (now.since(began_at), self.blocked_at.get());
        let is_due = last.is_none_or(|at| at.after(REPORT_INTERVAL) <= now);
        if time >= BLOCKED_MIN
            && is_due
            && let Some(reporter) = reporter
        {
            self.blocked_at.set(Some(now));
            reporter.on(ServerEvent::LoopBlocked(time));
        }
    }

    fn fire(&self, now: Instant) {
        self.timers.borrow_mut().arm(now);
        loop {
            // In a statement of its own: a waker is foreign code, which may begin or remove timers.
            let waker = self.timers.borrow_mut().fire(now);
            let Some(waker) = waker else { return };
            contain(|| waker.wake());
        }
    }

    fn poll(&self, id: u64, reporter: &mut Option<&mut Reporter>) {
        let task = self.tasks.borrow_mut().take(id);
        let Some(mut task) = task else { return };
        #[cfg(feature = "_sim")]
        count(|tally| tally.tasks += 1);
        let polled = task.poll();
        let over = match polled {
            Polled::Pending => self.tasks.borrow_mut().put_back(id, task),
            Polled::Filled(()) | Polled::Broken => {
                self.tasks.borrow_mut().remove(id);
                Some(task)
            }
        };
        let has_panicked = contain(|| drop(over)).is_none() || matches!(polled, Polled::Broken);
        if has_panicked && let Some(reporter) = reporter {
            reporter.on(ServerEvent::TaskPanicked);
        }
    }

    fn reserve(&self) -> Result<u64, Refused> {
        let mut tasks = self.tasks.borrow_mut();
        self.woken.forget_those_not_in(&tasks.tasks);
        tasks.reserve(self.runner.tasks_max)
    }

    /// Drops all tasks, and returns how many there were. Those that they begin meanwhile are refused.
    fn close(&self) -> usize {
        self.tasks.borrow_mut().close();
        // Other threads may still wait for it.
        self.notice.enter(ServerStage::Draining);
        let mut count = 0;
        loop {
            let task = self.tasks.borrow_mut().pop();
            match task {
                Some(task) => contain(|| drop(task)),
                None => return count,
            };
            count += 1;
        }
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.close();
    }
}

/// What tells those who wait on this thread that the server stops; `None` if no loop runs on it.
pub(super) fn notice() -> Option<Arc<Notice>> {
    if !loop_thread::runner().has_tasks() {
        return None;
    }
    Local::current().map(|local| Arc::clone(&local.notice))
}

/// Whether the server of a test stops from now on.
pub(crate) fn enter_stage(stage: ServerStage) {
    let id = loop_thread::runner().id;
    let local = match stage {
        ServerStage::Serving => Local::find(|local| local.runner.id == id),
        ServerStage::Draining => Local::current(),
    };
    if let Some(local) = local {
        local.notice.enter(stage);
    }
}

/// The timers of this thread's loop.
#[cfg(feature = "_sim")]
pub(crate) fn count_timers() -> usize {
    let id = loop_thread::runner().id;
    let local = Local::find(|local| local.runner.id == id);
    local.map_or(0, |local| local.timers.borrow().len())
}

/// Begins a task of this thread's loop.
pub(super) fn begin_task(make: impl FnOnce() -> Box<dyn PollTask>) -> Result<TaskId, Refused> {
    let local = Local::current().ok_or(Refused::NoLoop)?;
    if !local.runner.has_tasks() {
        return Err(Refused::NoLoop);
    }
    let id = local.reserve()?;
    let task = make();
    let woken = Arc::clone(&local.woken);
    task.attach(Notify::new(move || woken.push(id)));
    let over = local.tasks.borrow_mut().put_back(id, task);
    drop(over);
    Ok(TaskId {
        local: local.number,
        id,
    })
}

/// A task of one thread.
#[derive(Clone, Copy, Debug)]
pub(super) struct TaskId {
    local: usize,
    id: u64,
}

impl TaskId {
    /// Drops the task; if this is its own code, when its poll has returned.
    pub(super) fn abort(self) {
        let Some(local) = Local::by_number(self.local) else {
            return;
        };
        let task = local.tasks.borrow_mut().abort(self.id);
        contain(|| drop(task));
    }
}

/// A timer of this thread. Dropping it removes it.
#[derive(Debug)]
pub(super) struct Timer {
    local: usize,
    id: TimerId,
}

/// Why there is no timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoTimer {
    /// Nothing on this thread would fire it.
    NoLoop,
    TooMany,
}

impl Timer {
    /// A timer that wakes the caller once.
    pub(super) fn start(start: Start, context: &Context<'_>) -> Result<Self, NoTimer> {
        let waker = context.waker().clone();
        let local = Local::current().ok_or(NoTimer::NoLoop)?;
        let mut timers = local.timers.borrow_mut();
        if timers.len() >= local.runner.timers_max as usize {
            return Err(NoTimer::TooMany);
        }
        Ok(Self {
            local: local.number,
            id: timers.insert(start, waker),
        })
    }

    /// Whether it has fired, and if it is a tick, for when. `None` if this is not its thread, or its loop has ended.
    pub(super) fn poll(&self, context: &Context<'_>) -> Option<Poll<Option<Instant>>> {
        let local = Local::by_number(self.local)?;
        let found = local.timers.borrow_mut().found(self.id, context.waker());
        let found = found.unwrap_or_else(|| {
            // A waker is foreign code: it is cloned and dropped while nothing is borrowed.
            let waker = context.waker().clone();
            let (found, unused) = local.timers.borrow_mut().poll(self.id, waker);
            drop(unused);
            found
        });
        Some(match found {
            Found::Waits => Poll::Pending,
            Found::Fired(at) => Poll::Ready(at),
        })
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        let Some(local) = Local::by_number(self.local) else {
            return;
        };
        let waker = local.timers.borrow_mut().remove(self.id);
        drop(waker);
    }
}

/// The tasks that were woken: each once, until it is polled.
struct Woken {
    runner: Runner,
    state: Mutex<State>,
}

struct State {
    tasks: Vec<u64>,
    /// `None` until the loop's first turn.
    notify: Option<Notify>,
}

impl Woken {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No foreign code runs under this lock, so a poisoned one is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn attach(&self, notify: &dyn Fn() -> Notify) {
        let mut state = self.lock();
        // Each response of a test is waited for in its own way.
        if state.notify.is_none() || !self.runner.is_loop() {
            state.notify = Some(notify());
        }
    }

    /// From any thread. The first one wakes the loop, unless this is its own thread: it looks before it sleeps.
    fn push(&self, id: u64) {
        let mut state = self.lock();
        let is_first = state.tasks.is_empty();
        state.tasks.push(id);
        if !is_first || (self.runner.is_loop() && loop_thread::is_thread_of(self.runner.id)) {
            return;
        }
        let notify = state.notify.clone();
        drop(state);
        if let Some(notify) = notify {
            notify.notify();
        }
    }

    /// The tasks to poll in this turn.
    fn take(&self) -> Vec<u64> {
        let mut state = self.lock();
        if state.tasks.len() <= TASKS_A_TURN_MAX {
            return mem::take(&mut state.tasks);
        }
        state.tasks.drain(..TASKS_A_TURN_MAX).collect()
    }

    /// Tasks that were aborted after they were woken are still listed: not more than there are tasks.
    fn forget_those_not_in(&self, tasks: &BTreeMap<u64, Slot>) {
        let listed = &mut self.lock().tasks;
        if listed.len() > 2 * tasks.len() + STALE_MAX {
            listed.retain(|id| tasks.contains_key(id));
        }
    }

    fn is_any(&self) -> bool {
        !self.lock().tasks.is_empty()
    }
}

/// The tasks and timers of the thread that calls it.
struct ThisThread;

impl Hook for ThisThread {
    fn turn(&self, turn: Turn<'_>) -> Option<Instant> {
        let id = loop_thread::runner().id;
        Local::find(|local| local.runner.id == id)?.turn(turn)
    }

    fn is_idle(&self) -> bool {
        let id = loop_thread::runner().id;
        let local = Local::find(|local| local.runner.id == id);
        local.is_none_or(|local| local.tasks.borrow().len() == 0)
    }

    fn leave(&self, id: usize, reporter: Option<&mut Reporter>) {
        let Some(local) = Local::find(|local| local.runner.id == id) else {
            return;
        };
        let dropped = local.close();
        if let Some(reporter) = reporter
            && dropped > 0
        {
            reporter.on(ServerEvent::TasksDropped(dropped));
        }
        let forget = |locals: &RefCell<Vec<Rc<Local>>>| {
            locals
                .borrow_mut()
                .retain(|other| other.number != local.number);
        };
        let _ = LOCALS.try_with(forget);
    }
}
