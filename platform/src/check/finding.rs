//! A finished check: the verdict over what it saw, and which other finding explains it.

use super::catalogue::Check;
use super::observation::{Cause, Fix, Observation, Severity};
use crate::caller_error::Style;
use crate::fix::{Language, fix_for};

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pass,
    Warn,
    Fail,
    Skip,
}

impl Verdict {
    /// The word in JSON.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Skip => "skip",
        }
    }

    /// Is there something to fix?
    pub(crate) const fn is_broken(self) -> bool {
        match self {
            Self::Warn | Self::Fail => true,
            Self::Pass | Self::Skip => false,
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
    /// The check whose finding explains this one.
    pub(crate) because: Option<&'static Check>,
    is: Option<Cause>,
    follows: &'static [Cause],
    ended: Option<i32>,
}

impl Finding {
    /// Judges what was seen.
    pub(crate) fn of(
        check: &'static Check,
        observation: Observation,
        language: Language,
        seconds: f64,
    ) -> Self {
        let mut finding = Self {
            check,
            verdict: Verdict::Pass,
            seen: String::new(),
            caller: None,
            fix: None,
            seconds,
            because: None,
            is: None,
            follows: &[],
            ended: None,
        };
        match observation {
            Observation::Held(seen) => finding.seen = seen,
            Observation::Unseen(why) => {
                finding.verdict = Verdict::Skip;
                finding.seen = why;
            }
            Observation::Broken(broken) => {
                finding.verdict = match broken.severity.unwrap_or(check.severity) {
                    Severity::Fail => Verdict::Fail,
                    Severity::Warn => Verdict::Warn,
                };
                finding.seen = broken.seen;
                finding.caller = broken.caller.map(|error| {
                    format!("{} {}", error.status(), error.body("1-…", Style::Current))
                });
                finding.fix = match broken.fix {
                    Fix::Unknown => None,
                    Fix::Words(words) => Some(words).filter(|words| !words.is_empty()),
                    Fix::Trouble(trouble) => Some(fix_for(language, trouble).to_owned()),
                };
                finding.is = broken.is;
                finding.follows = broken.follows;
                finding.ended = broken.ended;
            }
        }
        finding
    }

    /// A finding to act on: neither explained by another one, nor in order.
    pub(crate) const fn is_root(&self) -> bool {
        self.verdict.is_broken() && self.because.is_none()
    }
}

/// Folds each finding under the one that is its cause. A cause that no check reported explains nothing.
pub(crate) fn fold(findings: &mut [Finding]) {
    let causes: Vec<(Cause, &'static Check)> = findings
        .iter()
        .filter(|finding| finding.verdict.is_broken())
        .filter_map(|finding| Some((finding.is?, finding.check)))
        .collect();
    let crashes: Vec<(i32, &'static Check)> = findings
        .iter()
        .filter_map(|finding| Some((finding.ended?, finding.check)))
        .collect();
    for finding in findings.iter_mut() {
        let check = finding.check;
        let explained = |cause: &Cause| causes.iter().find(|(known, _)| known == cause);
        let because = finding.follows.iter().find_map(explained);
        let crash = crashes
            .iter()
            .find(|(code, _)| Some(*code) == finding.ended);
        finding.because = because
            .map(|(_, check)| *check)
            .or_else(|| crash.map(|(_, check)| *check))
            .filter(|because| !std::ptr::eq(*because, check));
    }
    // A cause may itself be explained: show the first one of the chain.
    for _ in 0..findings.len() {
        let links: Vec<(&'static Check, Option<&'static Check>)> = findings
            .iter()
            .map(|finding| (finding.check, finding.because))
            .collect();
        let above = |check: &'static Check| {
            let link = links.iter().find(|(known, _)| std::ptr::eq(*known, check));
            link.and_then(|(_, because)| *because)
        };
        for finding in findings.iter_mut() {
            finding.because = finding.because.map(|check| above(check).unwrap_or(check));
        }
    }
    // What fails for this reason makes the reason a failure.
    let failed: Vec<&'static Check> = findings
        .iter()
        .filter(|finding| finding.verdict == Verdict::Fail)
        .filter_map(|finding| finding.because)
        .collect();
    for finding in findings.iter_mut() {
        if failed
            .iter()
            .any(|check| std::ptr::eq(*check, finding.check))
        {
            finding.verdict = Verdict::Fail;
        }
    }
}

/// The findings that this one explains.
pub(crate) fn consequences<'a>(
    root: &Finding,
    findings: &'a [Finding],
) -> impl Iterator<Item = &'a Finding> {
    let check = root.check;
    findings.iter().filter(move |finding| {
        finding
            .because
            .is_some_and(|because| std::ptr::eq(because, check))
    })
}
