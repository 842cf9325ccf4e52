//! A start in progress, which can be called off: for a new version of the function, or at the end of this program.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::outcome::Reporter;
use crate::instance::launch::Witness;
use crate::instance::process::Process;
use crate::system;
use crate::watch::blame::Written;

/// The start in progress. It can be called off before its process exists.
#[derive(Clone, Debug, Default)]
pub(super) struct Launching {
    launch: Arc<Mutex<Launch>>,
    /// Bytes of output.
    logged: Arc<AtomicU64>,
}

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

    /// The processes so far.
    pub(super) fn processes(&self) -> Vec<i32> {
        self.process()
            .map_or_else(Vec::new, |process| process.members())
    }

    /// What the processes wrote to anything but their output, or `None` if some may not have been counted.
    pub(super) fn written(&self) -> Option<Written> {
        let process = self.process()?;
        let members = process.members();
        let written: Option<u64> = members.iter().map(|id| system::written(*id)).sum();
        // One that has ended is counted no more.
        let is_whole = !members.is_empty() && process.ended().is_none();
        let logged = self.logged.load(Ordering::Relaxed);
        written.filter(|_| is_whole).map(|written| Written {
            instance: process.id(),
            bytes: written.saturating_sub(logged),
        })
    }

    fn process(&self) -> Option<Arc<Process>> {
        match &*self.lock() {
            Launch::Running(process) => Some(Arc::clone(process)),
            Launch::Begun | Launch::CalledOff => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Launch> {
        self.launch.lock().unwrap_or_else(PoisonError::into_inner)
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
        // With the line's end.
        let bytes = line.len() as u64 + 1;
        self.launching.logged.fetch_add(bytes, Ordering::Relaxed);
        self.reporter.on_line(line);
    }

    fn on_remark(&self, remark: &str) {
        self.reporter.on_remark(remark);
    }
}
