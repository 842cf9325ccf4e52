//! The report as one page without links to anything outside, for a pull request or an archive.

use std::time::SystemTime;

use super::finding::{Finding, Verdict, consequences};
use super::report::{escape, ids, remark, skipped_alike, summary};
use super::subject::Depth;
use crate::clock;

const STYLE: &str = "\
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { max-width: 60rem; margin: 1.5rem auto; padding: 0 1rem; overflow-wrap: anywhere }
h1 { font-size: 1.3rem } h2 { font-size: 1.05rem; margin: 1.5rem 0 .3rem }
code { font: .9em ui-monospace, monospace } p { margin: .2rem 0 }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem .8rem; margin: .2rem 0 }
dt { opacity: .7 } dd { margin: 0 }
ul { list-style: none; padding: 0; columns: 20rem } li { break-inside: avoid; padding: .1rem 0 }
small { opacity: .75; display: block }
.mark { display: inline-block; min-width: 3.2rem; font-weight: 600 }
.pass { color: #1a7f37 } .fail { color: #c8102e } .warn { color: #9a6700 } .skip { opacity: .65 }
@media (prefers-color-scheme: dark) { .pass { color: #57d364 } .fail { color: #ff7b72 } .warn { color: #e3b341 } }
@media (max-width: 30rem) { dl { grid-template-columns: 1fr } dt { margin-top: .3rem } }";

/// The whole page: what to act on with its details, then all the rest in short.
pub(crate) fn page(title: &str, findings: &[Finding], depth: Depth) -> String {
    let name = escape(title);
    let roots: String = findings
        .iter()
        .filter(|finding| finding.is_root())
        .map(|finding| root(finding, findings))
        .collect();
    let rest: String = findings
        .iter()
        .filter(|finding| !finding.verdict.is_broken())
        .filter(|finding| is_shown(finding, findings))
        .map(|finding| line(finding, findings))
        .collect();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>coldstart check: {name}</title>\n\
         <style>\n{STYLE}\n</style>\n<h1>coldstart check: <code>{name}</code></h1>\n\
         <p><strong>{}</strong></p>\n<p>{}; {}; coldstart {}, {}</p>\n{roots}<h2>All others</h2>\n<ul>\n{rest}</ul>\n</html>\n",
        summary(findings),
        escape(remark(depth)),
        clock::stamp_millis(SystemTime::now()),
        env!("CARGO_PKG_VERSION"),
        std::env::consts::ARCH,
    )
}

fn root(finding: &Finding, findings: &[Finding]) -> String {
    let check = finding.check;
    let (class, word) = mark(finding.verdict);
    let follow: Vec<&Finding> = consequences(finding, findings).collect();
    let also = (!follow.is_empty()).then(|| format!("{} for the same reason", ids(&follow)));
    let seen = Some(&finding.seen);
    let entries = [
        ("seen", seen),
        ("rule", Some(&check.rule.to_owned())),
        ("caller", finding.caller.as_ref()),
        ("fix", finding.fix.as_ref()),
        ("also", also.as_ref()),
    ];
    let entries: String = entries
        .into_iter()
        .filter_map(|(term, text)| {
            let text = escape(text?);
            Some(match term {
                "caller" => format!("<dt>{term}</dt><dd><code>{text}</code></dd>\n"),
                _ => format!("<dt>{term}</dt><dd>{text}</dd>\n"),
            })
        })
        .collect();
    format!(
        "<h2><span class=\"mark {class}\">{word}</span>{} {}</h2>\n<dl>\n{entries}</dl>\n",
        check.id,
        escape(check.title)
    )
}

fn line(finding: &Finding, findings: &[Finding]) -> String {
    let (class, word) = mark(finding.verdict);
    let alike = skipped_alike(finding, findings);
    let name = if alike.len() > 1 {
        ids(&alike)
    } else {
        format!("{} {}", finding.check.id, escape(finding.check.title))
    };
    format!(
        "<li><span class=\"mark {class}\">{word}</span>{name}<small>{}</small></li>\n",
        escape(&finding.seen)
    )
}

/// Checks that were skipped for one reason share a line, at the first of them.
fn is_shown(finding: &Finding, findings: &[Finding]) -> bool {
    skipped_alike(finding, findings)
        .first()
        .is_none_or(|first| std::ptr::eq(first.check, finding.check))
}

const fn mark(verdict: Verdict) -> (&'static str, &'static str) {
    let word = match verdict {
        Verdict::Pass => "ok",
        Verdict::Warn => "warn",
        Verdict::Fail => "FAIL",
        Verdict::Skip => "–",
    };
    (verdict.word(), word)
}
