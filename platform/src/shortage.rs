//! Threads and processes that this machine refuses. That is no fault of the function, so it must not become a finding.

use std::fmt::Display;
use std::io;
use std::panic::resume_unwind;
use std::sync::OnceLock;
use std::thread::{self, Builder, Scope, ScopedJoinHandle};

static FIRST: OnceLock<String> = OnceLock::new();

/// Remembers what this machine refused.
pub(crate) fn note(refusal: impl Display) {
    FIRST.get_or_init(|| refusal.to_string());
}

/// What this machine refused first.
pub(crate) fn noted() -> Option<&'static str> {
    FIRST.get().map(String::as_str)
}

/// Starts a thread in a scope. A refusal is noted.
pub(crate) fn spawn_scoped<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    act: impl FnOnce() -> T + Send + 'scope,
) -> io::Result<ScopedJoinHandle<'scope, T>> {
    Builder::new()
        .spawn_scoped(scope, act)
        .inspect_err(|error| note(format!("cannot start a thread: {error}")))
}

/// Runs the tasks at the same time, each on a thread of its own, and returns their results in order. Once a thread is
/// refused, the remaining tasks are left out.
pub(crate) fn at_once<T: Send>(
    tasks: impl IntoIterator<Item = impl FnOnce() -> T + Send>,
) -> Vec<T> {
    thread::scope(|scope| {
        let started = tasks
            .into_iter()
            .map_while(|task| spawn_scoped(scope, task).ok());
        let running: Vec<_> = started.collect();
        let results = running.into_iter().map(ScopedJoinHandle::join);
        results
            .map(|result| result.unwrap_or_else(|panic| resume_unwind(panic)))
            .collect()
    })
}
