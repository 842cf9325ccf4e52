//! Ctrl-C and SIGTERM: the first asks for an orderly stop, the second stops everything at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::exit::{Failure, Status};
use crate::remains;

/// Set while a signal ends the program. Errors that other threads see from then on are its consequences.
static LEAVING: AtomicBool = AtomicBool::new(false);
/// Longer than any sweep takes.
const LEAVE_PATIENCE: Duration = Duration::from_secs(30);

/// If a signal is ending the program, waits for that instead of reporting a result.
pub(crate) fn yield_to_signal() {
    if LEAVING.load(Ordering::SeqCst) {
        thread::sleep(LEAVE_PATIENCE);
    }
}

/// What a signal does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// The first signal asks the command to stop; the second is `AtOnce`.
    Orderly,
    /// Every signal kills the processes, removes the temporary folders and exits.
    AtOnce,
}

/// Whether a signal has arrived.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt {
    state: Arc<(Mutex<bool>, Condvar)>,
}

impl Interrupt {
    /// Starts listening for signals.
    pub(crate) fn listen(manner: Manner) -> Result<Self, Failure> {
        let interrupt = Self {
            state: Arc::new((Mutex::new(false), Condvar::new())),
        };
        let refused =
            |error: std::io::Error| Failure::machine(format!("cannot listen for signals: {error}"));
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(refused)?;
        let raised = interrupt.clone();
        let listening = move || {
            for _ in signals.forever() {
                if manner == Manner::AtOnce || raised.raise() {
                    LEAVING.store(true, Ordering::SeqCst);
                    remains::sweep();
                    leave();
                }
            }
        };
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(listening)
            .map_err(refused)?;
        Ok(interrupt)
    }

    /// Waits for a signal. Returns whether one arrived in time.
    pub(crate) fn wait(&self, patience: Duration) -> bool {
        let (raised, changed) = &*self.state;
        let guard = raised.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = changed.wait_timeout_while(guard, patience, |raised| !*raised);
        *waiting.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Acts on another thread. If a signal arrives first: takes leave, kills every process, and returns `None`.
    pub(crate) fn unless_raised<T: Send>(
        &self,
        act: impl FnOnce() -> T + Send,
        take_leave: impl FnOnce(),
    ) -> Result<Option<T>, Failure> {
        self.attend(act, || {}, take_leave)
    }

    /// The same, and looks at something else every few milliseconds.
    pub(crate) fn attend<T: Send>(
        &self,
        act: impl FnOnce() -> T + Send,
        mut meanwhile: impl FnMut(),
        take_leave: impl FnOnce(),
    ) -> Result<Option<T>, Failure> {
        thread::scope(|scope| {
            let acting = thread::Builder::new()
                .spawn_scoped(scope, act)
                .map_err(|error| Failure::machine(format!("cannot start a thread: {error}")))?;
            while !acting.is_finished() {
                if self.wait(Duration::from_millis(5)) {
                    take_leave();
                    // Killing the processes ends the closure, which waits for them.
                    remains::sweep();
                    acting.join().ok();
                    return Ok(None);
                }
                meanwhile();
            }
            Ok(acting.join().ok())
        })
    }

    /// Returns whether it was already raised.
    fn raise(&self) -> bool {
        let (raised, changed) = &*self.state;
        let before = std::mem::replace(
            &mut *raised.lock().unwrap_or_else(PoisonError::into_inner),
            true,
        );
        changed.notify_all();
        before
    }
}

#[expect(
    clippy::exit,
    reason = "the only exit that runs no destructors; `sweep` has done their work"
)]
fn leave() {
    std::process::exit(Status::Interrupted as i32);
}
