//! The findings for people, for programs and for build servers.

use serde_json::{Value, json};

use super::finding::{Finding, Verdict, consequences};
use super::observation::Severity;
use super::subject::Depth;
use crate::console::{Tone, give};

/// More skipped checks than this with one reason share a line.
const SKIPS_APART_MAX: usize = 3;

/// A line for each check, and the details of those to act on. What follows from one of them is named there.
pub(crate) fn table(title: &str, findings: &[Finding], depth: Depth) {
    give(Tone::Strong.paint(title));
    let widest = findings
        .iter()
        .map(|finding| finding.check.title.chars().count())
        .max()
        .unwrap_or(0);
    for finding in findings.iter().filter(|finding| finding.because.is_none()) {
        let (mark, tone) = match finding.verdict {
            Verdict::Pass => ("ok  ", Tone::Good),
            Verdict::Warn => ("warn", Tone::Caution),
            Verdict::Fail => ("FAIL", Tone::Bad),
            Verdict::Skip => ("-   ", Tone::Quiet),
        };
        let mark = tone.paint(mark);
        let alike = skipped_alike(finding, findings);
        let (id, title, seen) = (finding.check.id, finding.check.title, &finding.seen);
        if alike.len() <= SKIPS_APART_MAX {
            give(format!("  {mark} {id:<3} {title:<widest$}  {seen}"));
        } else if alike.first().is_some_and(|first| first.check.id == id) {
            give(format!("  {mark} {}", ids(&alike)));
            give(format!("           {seen}"));
        }
        if finding.is_root() {
            details(finding, findings);
        }
    }
    give(summary(findings));
    give(Tone::Quiet.paint(remark(depth)));
}

/// How long connections were held idle.
pub(crate) const fn remark(depth: Depth) -> &'static str {
    match depth {
        Depth::Quick => {
            "idle connections were held for 7 s; --idle goes to 131 s, --full to 16 min"
        }
        Depth::Idle => "idle connections were held for 131 s; --full goes to 16 min",
        Depth::Full => "idle connections were held for 16 min",
    }
}

fn details(finding: &Finding, findings: &[Finding]) {
    let detail = |name: &str, text: &str| {
        give(format!("           {} {text}", Tone::Quiet.paint(name)));
    };
    detail("rule:  ", finding.check.rule);
    if let Some(caller) = &finding.caller {
        detail("caller:", caller);
    }
    if let Some(fix) = &finding.fix {
        detail("fix:   ", fix);
    }
    let follow: Vec<&Finding> = consequences(finding, findings).collect();
    if !follow.is_empty() {
        detail("also:  ", &format!("{} for the same reason", ids(&follow)));
    }
}

/// The skipped checks with the reason of this one.
pub(crate) fn skipped_alike<'a>(finding: &Finding, findings: &'a [Finding]) -> Vec<&'a Finding> {
    findings
        .iter()
        .filter(|other| other.verdict == Verdict::Skip && finding.verdict == Verdict::Skip)
        .filter(|other| other.seen == finding.seen)
        .collect()
}

/// The ids of the findings' checks.
pub(crate) fn ids(findings: &[&Finding]) -> String {
    let ids: Vec<&str> = findings.iter().map(|finding| finding.check.id).collect();
    ids.join(" ")
}

/// How many of each verdict. What follows from a finding is not counted as one of its own.
pub(crate) fn summary(findings: &[Finding]) -> String {
    let [passed, warned, failed, skipped] =
        [Verdict::Pass, Verdict::Warn, Verdict::Fail, Verdict::Skip]
            .map(|verdict| count(findings, verdict));
    let follow = match consequences_count(findings) {
        0 => String::new(),
        follow => format!(" ({follow} more for the same reasons)"),
    };
    format!("{passed} passed, {failed} failed, {warned} warnings{follow}, {skipped} not applicable")
}

/// One object for programs.
pub(crate) fn json(title: &str, findings: &[Finding]) -> String {
    let checks: Vec<Value> = findings
        .iter()
        .map(|finding| {
            json!({
                "id": finding.check.id,
                "title": finding.check.title,
                "rule": finding.check.rule,
                "severity": match finding.check.severity { Severity::Fail => "fail", Severity::Warn => "warn" },
                "verdict": finding.verdict.word(),
                "because": finding.because.map(|check| check.id),
                "seen": finding.seen,
                "caller": finding.caller,
                "fix": finding.fix,
                "seconds": finding.seconds,
            })
        })
        .collect();
    let whole = json!({
        "function": title,
        "passed": count(findings, Verdict::Pass),
        "failed": count(findings, Verdict::Fail),
        "warnings": count(findings, Verdict::Warn),
        "consequences": consequences_count(findings),
        "skipped": count(findings, Verdict::Skip),
        "checks": checks,
    });
    format!("{whole:#}")
}

/// One suite for build servers. A warning does not fail there: its text is in the case's output. What follows from
/// another finding is skipped, with that one as the reason.
pub(crate) fn junit(title: &str, findings: &[Finding]) -> String {
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"coldstart check {}\" tests=\"{}\" failures=\"{}\" skipped=\"{}\">\n",
        escape(title),
        findings.len(),
        count(findings, Verdict::Fail),
        count(findings, Verdict::Skip) + consequences_count(findings)
    );
    for finding in findings {
        let seen = escape(&finding.seen);
        let inside = match finding.verdict {
            Verdict::Warn | Verdict::Fail if let Some(because) = finding.because => {
                format!("<skipped message=\"because of {}: {seen}\"/>", because.id)
            }
            Verdict::Pass => String::new(),
            Verdict::Skip => format!("<skipped message=\"{seen}\"/>"),
            Verdict::Warn => format!("<system-out>warning: {seen}</system-out>"),
            Verdict::Fail => {
                let fix = escape(finding.fix.as_deref().unwrap_or_default());
                let caller = escape(finding.caller.as_deref().unwrap_or_default());
                let rule = escape(finding.check.rule);
                format!(
                    "<failure message=\"{seen}\">rule: {rule}\ncaller: {caller}\nfix: {fix}</failure>"
                )
            }
        };
        out.push_str(&format!(
            "  <testcase classname=\"contract\" name=\"{} {}\" time=\"{:.3}\">{inside}</testcase>\n",
            finding.check.id,
            escape(finding.check.title),
            finding.seconds
        ));
    }
    out.push_str("</testsuite>\n");
    out
}

fn count(findings: &[Finding], verdict: Verdict) -> usize {
    findings
        .iter()
        .filter(|finding| finding.verdict == verdict && finding.because.is_none())
        .count()
}

fn consequences_count(findings: &[Finding]) -> usize {
    findings
        .iter()
        .filter(|finding| finding.because.is_some())
        .count()
}

/// Text as XML and HTML take it.
pub(crate) fn escape(text: &str) -> String {
    let printable = text
        .chars()
        .filter(|letter| !letter.is_control() || matches!(letter, '\n' | '\t'));
    let mut out = String::new();
    for letter in printable {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
    out
}
