//! The terminal output of each call: the function's lines with the request id, and one summary line.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::clock::{human, stamp_millis};
use crate::console::{Tone, give, say};
use crate::instance::launch::Witness;

/// Prints the function's output and the outcome of its calls.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reporter {
    lines: Lines,
    active: Arc<Mutex<Vec<String>>>,
}

/// Where the function's output goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Lines {
    /// It is the result.
    #[default]
    Stdout,
    /// The result is something else.
    Stderr,
}

/// One finished call.
#[derive(Debug)]
pub(crate) struct Outcome<'a> {
    pub(crate) request_id: &'a str,
    pub(crate) what: &'a str,
    pub(crate) status: u16,
    pub(crate) verdict: Verdict,
    pub(crate) took: Duration,
    /// None where it is not seen.
    pub(crate) memory_kb: Option<u64>,
    pub(crate) memory_max_mb: u64,
}

/// How the platform counts a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Success,
    /// The function reported a failure with `x-fc-status: 404`.
    FunctionError,
    /// The platform sent an error response in the function's place.
    Platform(String),
}

impl Reporter {
    /// A reporter that leaves standard output to the response of a call.
    pub(crate) fn beside_response() -> Self {
        Self {
            lines: Lines::Stderr,
            ..Self::default()
        }
    }

    /// A call begins. Its id marks the lines that the function writes until the call ends.
    pub(crate) fn begin(&self, request_id: &str) {
        self.lock().push(request_id.to_owned());
    }

    /// A call has ended.
    pub(crate) fn end(&self, outcome: &Outcome<'_>) {
        self.lock().retain(|id| id != outcome.request_id);
        let tone = match outcome.verdict {
            Verdict::Success if outcome.status < 500 => Tone::Good,
            Verdict::Success => Tone::Caution,
            Verdict::FunctionError | Verdict::Platform(_) => Tone::Bad,
        };
        let remark = match &outcome.verdict {
            Verdict::Success => String::new(),
            Verdict::FunctionError => ", function error".to_owned(),
            Verdict::Platform(message) => format!(", {message}"),
        };
        let limit = outcome.memory_max_mb;
        let memory = outcome.memory_kb.map_or_else(String::new, |used| {
            let tenths = used % 1024 * 10 / 1024;
            format!(", memory {}.{tenths} of {limit} MB", used / 1024)
        });
        say(format!(
            "{} {} {} {} in {}{memory}{remark}",
            Tone::Quiet.paint(stamp_millis(SystemTime::now())),
            outcome.request_id,
            outcome.what,
            tone.paint(outcome.status),
            human(outcome.took),
        ));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Witness for Reporter {
    fn on_line(&self, line: &str) {
        let active = self.lock();
        // With several calls in progress a line cannot be attributed to one; the platform's log cannot either.
        let id = match active.as_slice() {
            [only] => only.clone(),
            [] | [_, ..] => "-".to_owned(),
        };
        drop(active);
        let line = format!("{} {id} {line}", stamp_millis(SystemTime::now()));
        match self.lines {
            Lines::Stdout => give(line),
            Lines::Stderr => say(line),
        }
    }

    fn on_remark(&self, remark: &str) {
        say(format!("{} {remark}", Tone::Caution.paint("note:")));
    }
}
