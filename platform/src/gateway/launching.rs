//! A start in progress, which can be called off: for a new version of the function, or at the end of this program.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::outcome::Reporter;
use crate::instance::launch::Witness;
use crate::instance::process::Process;

/// The start in progress. It can be called off before its process exists.
#[derive(Clone, Debug, Default)]
pub(super) struct Launching(Arc<Mutex<Launch>>);

#[derive(Debug, Default)]
enum Launch {
    /// Nothing runs yet.
    #[default]
    Begun,
    Running(Arc<Process>),
    CalledOff,
}

impl Launching {
    /// Ends the start: its process is killed, or will be.
    pub(super) fn call_off(&self) {
        let before = std::mem::replace(&mut *self.lock(), Launch::CalledOff);
        if let Launch::Running(process) = before {
            process.kill();
        }
    }

    /// Whether the start failed because it was called off.
    pub(super) fn is_called_off(&self) -> bool {
        matches!(*self.lock(), Launch::CalledOff)
    }

    fn lock(&self) -> MutexGuard<'_, Launch> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reports a start, and receives its process.
#[derive(Clone, Debug)]
pub(super) struct Starter {
    pub(super) reporter: Reporter,
    pub(super) launching: Launching,
}

impl Witness for Starter {
    fn on_process(&self, process: &Arc<Process>) {
        let mut launch = self.launching.lock();
        match *launch {
            Launch::Begun | Launch::Running(_) => *launch = Launch::Running(Arc::clone(process)),
            Launch::CalledOff => {
                drop(launch);
                process.kill();
            }
        }
    }

    fn on_line(&self, line: &str) {
        self.reporter.on_line(line);
    }

    fn on_remark(&self, remark: &str) {
        self.reporter.on_remark(remark);
    }
}
