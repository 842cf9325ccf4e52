//! What a check saw, and what follows from it.

use std::time::Duration;

use crate::caller_error::{CallerError, Style};
use crate::fix::{Language, Trouble, fix_for};
use crate::instance::launch::NotStarted;
use crate::wire::Fault;

use super::catalogue::{Check, Severity};

/// The platform's default for a function.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What a check saw.
#[derive(Debug)]
pub(crate) enum Observation {
    /// The rule holds.
    Held(String),
    /// It does not.
    Broken(Break),
    /// The rule does not apply to this server, or nothing could be seen.
    Unseen(String),
}

/// A broken rule.
#[derive(Debug)]
pub(crate) struct Break {
    seen: String,
    caller: Option<CallerError>,
    fix: Fix,
    severity: Option<Severity>,
}

#[derive(Debug)]
enum Fix {
    Unknown,
    Known(String),
    Trouble(Trouble),
}

impl Break {
    /// Something was seen.
    pub(crate) fn new(seen: impl Into<String>) -> Self {
        Self {
            seen: seen.into(),
            caller: None,
            fix: Fix::Unknown,
            severity: None,
        }
    }

    /// A request ended in a fault; callers of the platform get what the router makes of it.
    pub(crate) fn fault(context: &str, fault: &Fault) -> Self {
        let caller = match fault {
            Fault::Malformed(why) => CallerError::BadResponse { why: why.clone() },
            Fault::UnsupportedVersion | Fault::BodyTooLong => CallerError::BadResponse {
                why: fault.to_string(),
            },
            Fault::HeadTooLong => CallerError::BadResponse {
                why: "response headers too long".to_owned(),
            },
            Fault::CallerLeft => CallerError::Canceled,
            Fault::TimedOut => CallerError::TimedOut { after: TIMEOUT },
            Fault::Refused(_) | Fault::Closed | Fault::ClosedMidway | Fault::Broken(_) => {
                CallerError::ProcessExited
            }
        };
        Self::new(format!("{context}: {fault}")).caller(caller)
    }

    /// The instance did not start.
    pub(crate) fn not_started(not_started: NotStarted) -> Self {
        let mut this = Self::new(not_started.seen.join("; ")).caller(not_started.error);
        this.fix = Fix::Known(not_started.fixes.join("; "));
        this
    }

    /// Something else was seen as well.
    pub(crate) fn add(mut self, seen: &str) -> Self {
        self.seen = format!("{}; {seen}", self.seen);
        self
    }

    /// What the caller gets.
    pub(crate) fn caller(mut self, error: CallerError) -> Self {
        self.caller = Some(error);
        self
    }

    /// How to fix it, in the server's language.
    pub(crate) fn trouble(mut self, trouble: Trouble) -> Self {
        self.fix = Fix::Trouble(trouble);
        self
    }

    /// How to fix it, in words.
    pub(crate) fn fix(mut self, words: impl Into<String>) -> Self {
        self.fix = Fix::Known(words.into());
        self
    }

    /// Not as bad as the rule makes it.
    pub(crate) const fn only_warn(mut self) -> Self {
        self.severity = Some(Severity::Warn);
        self
    }
}

impl From<Break> for Observation {
    fn from(broken: Break) -> Self {
        Self::Broken(broken)
    }
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pass,
    Warn,
    Fail,
    Skip,
}

impl Verdict {
    /// As machines read it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Skip => "skip",
        }
    }
}

/// A finished check.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) check: &'static Check,
    pub(crate) verdict: Verdict,
    pub(crate) seen: String,
    pub(crate) caller: Option<String>,
    pub(crate) fix: Option<String>,
    pub(crate) seconds: f64,
}

impl Finding {
    /// Judges what was seen.
    pub(crate) fn of(
        check: &'static Check,
        observation: Observation,
        language: Language,
        seconds: f64,
    ) -> Self {
        let (verdict, seen, broken) = match observation {
            Observation::Held(seen) => (Verdict::Pass, seen, None),
            Observation::Unseen(why) => (Verdict::Skip, why, None),
            Observation::Broken(broken) => {
                let verdict = match broken.severity.unwrap_or(check.severity) {
                    Severity::Fail => Verdict::Fail,
                    Severity::Warn => Verdict::Warn,
                };
                (verdict, broken.seen.clone(), Some(broken))
            }
        };
        let caller = broken
            .as_ref()
            .and_then(|broken| broken.caller.as_ref())
            .map(|error| format!("{} {}", error.status(), error.body("1-…", Style::Current)));
        let fix = broken.and_then(|broken| match broken.fix {
            Fix::Unknown => None,
            Fix::Known(words) => Some(words),
            Fix::Trouble(trouble) => Some(fix_for(language, trouble).to_owned()),
        });
        Self {
            check,
            verdict,
            seen,
            caller,
            fix,
            seconds,
        }
    }
}
