//! Ctrl-C and SIGTERM. The first one asks for an orderly end, the second ends everything at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::exit::{Failure, Status};
use crate::remains;

/// A signal ends the program right now; what other threads still see is its doing.
static LEAVING: AtomicBool = AtomicBool::new(false);
/// Longer than any sweep takes.
const LEAVE_PATIENCE: Duration = Duration::from_secs(30);

/// Waits for the end, if a signal has begun it: no result is worth telling any more.
pub(crate) fn yield_to_signal() {
    if LEAVING.load(Ordering::SeqCst) {
        thread::sleep(LEAVE_PATIENCE);
    }
}

/// What a signal does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// The first signal is told to the command, which ends in its own order.
    Orderly,
    /// Any signal removes what is left and ends the program.
    AtOnce,
}

/// Whether a signal has come.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt {
    state: Arc<(Mutex<bool>, Condvar)>,
}

impl Interrupt {
    /// Starts to listen for signals.
    pub(crate) fn listen(manner: Manner) -> Result<Self, Failure> {
        let interrupt = Self {
            state: Arc::new((Mutex::new(false), Condvar::new())),
        };
        let refused =
            |error: std::io::Error| Failure::machine(format!("cannot listen for signals: {error}"));
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(refused)?;
        let told = interrupt.clone();
        let listening = move || {
            for _ in signals.forever() {
                if manner == Manner::AtOnce || told.raise() {
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

    /// Waits for a signal; the answer says whether one came.
    pub(crate) fn wait(&self, patience: Duration) -> bool {
        let (raised, changed) = &*self.state;
        let guard = raised.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = changed.wait_timeout_while(guard, patience, |raised| !*raised);
        *waiting.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Does something on a thread of its own; none if a signal comes first.
    pub(crate) fn unless_raised<T: Send>(&self, act: impl FnOnce() -> T + Send) -> Option<T> {
        thread::scope(|scope| {
            let acting = scope.spawn(act);
            while !acting.is_finished() {
                if self.wait(Duration::from_millis(5)) {
                    // The processes that the act waits for end, and the act with them.
                    remains::sweep();
                    acting.join().ok();
                    return None;
                }
            }
            acting.join().ok()
        })
    }

    /// True when it was raised before.
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
    reason = "the one way out that runs no destructor; what they would do is done"
)]
fn leave() {
    std::process::exit(Status::Interrupted as i32);
}
