//! What a check saw: the rule held, it was broken, or there was nothing to see.
//! Also what a broken rule means.

use crate::caller_error::CallerError;
use crate::fix::Trouble;
use crate::instance::launch::NotStarted;

/// What a check saw.
#[derive(Debug)]
pub(crate) enum Observation {
    /// The rule held.
    Held(String),
    /// The rule was broken.
    Broken(Break),
    /// The rule does not apply to this server, or it could not be tested.
    Unseen(String),
}

/// A broken rule.
#[derive(Debug)]
pub(crate) struct Break {
    pub(super) seen: String,
    pub(super) caller: Option<Box<CallerError>>,
    pub(super) fix: Fix,
    pub(super) severity: Option<Severity>,
    pub(super) is: Option<Cause>,
    pub(super) follows: &'static [Cause],
    /// The exit code, if the process ended.
    pub(super) ended: Option<i32>,
}

/// What a broken rule means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Severity {
    Fail,
    Warn,
}

/// What to change about the server.
#[derive(Debug)]
pub(super) enum Fix {
    Unknown,
    Words(String),
    Trouble(Trouble),
}

/// A fault of the server that breaks several rules. The check that looks right at it reports it; what other checks see
/// of it follows from that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The start file or command cannot run.
    StartFile,
    /// A plain request gets no response in time.
    NoResponse,
    /// A connection that is waiting keeps all others waiting.
    OneWorker,
    /// Requests are handled one after the other.
    Serial,
    /// The connection is closed after each response.
    ClosesEach,
    /// A connection is closed after a number of requests.
    MaxRequests,
    /// A connection is closed some time after it was opened.
    MaxAge,
    /// A connection that is idle for a while is closed.
    IdleTimer,
}

impl Break {
    /// A rule was broken.
    pub(crate) fn new(seen: impl Into<String>) -> Self {
        Self {
            seen: seen.into(),
            caller: None,
            fix: Fix::Unknown,
            severity: None,
            is: None,
            follows: &[],
            ended: None,
        }
    }

    /// The instance did not start.
    pub(crate) fn not_started(not_started: NotStarted) -> Self {
        let is_files_fault = matches!(
            not_started.error,
            CallerError::FileNotFound
                | CallerError::CommandNotFound { .. }
                | CallerError::FilePermission
                | CallerError::Exited { .. }
        );
        Self::new(not_started.seen.join("; "))
            .caller(not_started.error)
            .fix(not_started.fixes.join("; "))
            .follows(if is_files_fault {
                &[Cause::StartFile]
            } else {
                &[]
            })
    }

    /// The process ended while this was seen. Several checks may see one crash: the same exit code means the same.
    pub(crate) fn ended(mut self, code: i32, last_line: Option<&str>) -> Self {
        let last = last_line.map_or_else(String::new, |line| format!(", its last line: {line}"));
        self.seen = format!("{}; exit code {code}{last}", self.seen);
        self.ended = Some(code);
        self
    }

    /// What the platform's caller gets.
    pub(crate) fn caller(mut self, error: CallerError) -> Self {
        self.caller = Some(Box::new(error));
        self
    }

    /// How to fix it, in the server's language.
    pub(crate) fn trouble(mut self, trouble: Trouble) -> Self {
        self.fix = Fix::Trouble(trouble);
        self
    }

    /// How to fix it, in words.
    pub(crate) fn fix(mut self, words: impl Into<String>) -> Self {
        self.fix = Fix::Words(words.into());
        self
    }

    /// As severe as can be, whatever the rule says.
    pub(crate) const fn must_fail(mut self) -> Self {
        self.severity = Some(Severity::Fail);
        self
    }

    /// Less severe than the rule says.
    pub(crate) const fn only_warn(mut self) -> Self {
        self.severity = Some(Severity::Warn);
        self
    }

    /// This is the cause itself, and other breaks may follow from it.
    pub(crate) const fn is(mut self, cause: Cause) -> Self {
        self.is = Some(cause);
        self
    }

    /// This follows from the first of these causes that another check found.
    pub(crate) const fn follows(mut self, causes: &'static [Cause]) -> Self {
        self.follows = causes;
        self
    }
}

impl From<Break> for Observation {
    fn from(broken: Break) -> Self {
        Self::Broken(broken)
    }
}
