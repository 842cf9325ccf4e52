//! Back-pressure on an upload: a pause that another thread ends.

use core::fmt;
use std::sync::{Arc, PoisonError};

use crate::sync::elsewhere::WorkElsewhere;
use crate::sync::notify::Notify;
use crate::sync::{Mutex, MutexGuard};

#[derive(Default)]
enum State {
    #[default]
    Paused,
    Awaited(Notify),
    Over,
}

/// A pause in the reading of an upload, for [`Demand::Pause`](crate::handler::Demand::Pause).
///
/// ```
/// use coldstart::handler::{Accept, Demand, Outcome, Pause, Upload};
/// use coldstart::{Response, Router, TestRequest};
///
/// struct Stored;
///
/// impl Upload for Stored {
///     fn on_piece(&mut self, piece: &[u8]) -> Demand {
///         let (pause, resume) = Pause::new();
///         let piece = piece.to_vec();
///         std::thread::spawn(move || {
///             drop(piece); // Here it writes the piece to a slow disk.
///             resume.resume();
///         });
///         Demand::Pause(pause)
///     }
///
///     fn on_end(self: Box<Self>) -> Outcome {
///         Response::text("stored\n").into()
///     }
/// }
///
/// let mut router = Router::new().accept("PUT", "/", |_| Accept::Stream(Box::new(Stored)));
/// assert_eq!(TestRequest::new("PUT", "/").body("abc").run_handler(&mut router).text(), "stored\n");
/// ```
pub struct Pause {
    state: Arc<Mutex<State>>,
}

/// Ends the [`Pause`] it was made with, from any thread; so does dropping it.
///
/// ```
/// use coldstart::handler::{Pause, Resume};
///
/// fn store(piece: Vec<u8>, resume: Resume) {
///     std::thread::spawn(move || {
///         drop(piece); // Stands for a write that takes long.
///         resume.resume();
///     });
/// }
///
/// let (pause, resume) = Pause::new();
/// store(vec![1, 2, 3], resume);
/// # drop(pause);
/// ```
pub struct Resume {
    state: Arc<Mutex<State>>,
    work: Option<WorkElsewhere>,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // No code of others runs under this lock; a poisoned one is whole.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pause {
    /// A pause, and what ends it.
    #[must_use]
    pub fn new() -> (Self, Resume) {
        let state = Arc::<Mutex<State>>::default();
        (
            Self {
                state: Arc::clone(&state),
            },
            Resume {
                state,
                work: Some(WorkElsewhere::begin()),
            },
        )
    }

    /// Whether it is over; if not, `notify` is called once it is.
    pub(crate) fn is_over(&self, notify: impl FnOnce() -> Notify) -> bool {
        let mut state = lock(&self.state);
        match &*state {
            State::Paused => {
                *state = State::Awaited(notify());
                false
            }
            State::Awaited(_) => false,
            State::Over => true,
        }
    }
}

impl Resume {
    /// Ends the pause.
    pub fn resume(self) {
        drop(self);
    }
}

impl Drop for Resume {
    fn drop(&mut self) {
        self.work = None;
        let before = std::mem::replace(&mut *lock(&self.state), State::Over);
        match before {
            State::Awaited(notify) => notify.notify(),
            State::Paused | State::Over => {}
        }
    }
}

impl fmt::Debug for Pause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Pause").finish_non_exhaustive()
    }
}

impl fmt::Debug for Resume {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Resume").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::{Notify, Pause};

    #[test]
    fn whoever_pauses_is_told_when_it_is_over() {
        let (pause, resume) = Pause::new();
        let (tell, told) = channel();
        std::thread::scope(|scope| {
            scope.spawn(|| resume.resume());
            let notify = || Notify::new(move || tell.send(()).expect("somebody listens"));
            if !pause.is_over(notify) {
                told.recv().expect("news comes");
            }
            assert!(
                pause.is_over(|| Notify::new(|| {})),
                "once over, always over"
            );
        });
    }
}
