//! The findings for people, for programs and for build servers.

use serde_json::{Value, json};

use super::catalogue::Severity;
use super::observation::{Finding, Verdict};
use super::subject::Depth;
use crate::console::{Tone, give};

/// A line a check, and what to know about those that did not pass.
pub(crate) fn table(title: &str, findings: &[Finding], depth: Depth) {
    give(Tone::Strong.paint(title));
    let widest = findings
        .iter()
        .map(|finding| finding.check.title.chars().count())
        .max()
        .unwrap_or(0);
    for finding in findings {
        let (mark, tone) = match finding.verdict {
            Verdict::Pass => ("ok  ", Tone::Good),
            Verdict::Warn => ("warn", Tone::Caution),
            Verdict::Fail => ("FAIL", Tone::Bad),
            Verdict::Skip => ("-   ", Tone::Quiet),
        };
        let title = finding.check.title;
        give(format!(
            "  {} {:<3} {title:<widest$}  {}",
            tone.paint(mark),
            finding.check.id,
            finding.seen
        ));
        if matches!(finding.verdict, Verdict::Fail | Verdict::Warn) {
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
        }
    }
    give(summary(findings));
    let remark = match depth {
        Depth::Quick => {
            "idle connections were held for 6 s; --idle goes to 131 s, --full to 16 min"
        }
        Depth::Idle => "idle connections were held for 131 s; --full goes to 16 min",
        Depth::Full => "idle connections were held for 16 min",
    };
    give(Tone::Quiet.paint(remark));
}

/// How many of each.
pub(crate) fn summary(findings: &[Finding]) -> String {
    let [passed, warned, failed, skipped] =
        [Verdict::Pass, Verdict::Warn, Verdict::Fail, Verdict::Skip]
            .map(|verdict| count(findings, verdict));
    format!("{passed} passed, {failed} failed, {warned} warnings, {skipped} not applicable")
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
        "skipped": count(findings, Verdict::Skip),
        "checks": checks,
    });
    format!("{whole:#}")
}

/// One suite for build servers. A warning is no failure there; its text stands in the case's output.
pub(crate) fn junit(title: &str, findings: &[Finding]) -> String {
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"coldstart check {}\" tests=\"{}\" failures=\"{}\" skipped=\"{}\">\n",
        escape(title),
        findings.len(),
        count(findings, Verdict::Fail),
        count(findings, Verdict::Skip)
    );
    for finding in findings {
        let seen = escape(&finding.seen);
        let inside = match finding.verdict {
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
        .filter(|finding| finding.verdict == verdict)
        .count()
}

fn escape(text: &str) -> String {
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
