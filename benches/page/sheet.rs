//! The report page: targets, charts, and all figures.

use std::fmt::Write as _;

use super::axum;
use super::bounds::{Verdict, bounds};
use super::chart::{self, Drawing, escaped};
use super::figures::{cpu_charts, latency_chart, memory_charts, start_charts};
use super::kind::OURS;
use super::results::{Results, Run};

pub(crate) const COLORS: &str = include_str!("page.css");
const LAYOUT: &str = include_str!("layout.css");

fn bounds_table(run: &Run) -> String {
    let mut rows = String::new();
    for bound in bounds(run) {
        let of = if bound.of.is_empty() {
            String::new()
        } else {
            format!(" {}", bound.of)
        };
        let measured = bound
            .measured
            .map_or_else(|| "–".to_owned(), |figure| bound.unit.show(figure));
        let verdict = match bound.verdict() {
            Verdict::Met => "<td class='met'>✓ met</td>",
            Verdict::Missed => "<td class='missed'>✗ missed</td>",
            Verdict::Absent => "<td class='absent'>not measured</td>",
        };
        let _ = writeln!(
            rows,
            "<tr><td>{}</td><td>≤ {}{of}</td><td>{measured}</td>{verdict}</tr>",
            bound.what,
            bound.unit.show(bound.at_most)
        );
    }
    for (what, at_most, test) in [
        (
            "Heap allocations of a GET on a kept-alive connection",
            "0",
            "alloc",
        ),
        (
            "System calls of a GET on a kept-alive connection",
            "2, plus a share of one epoll_wait",
            "shape",
        ),
    ] {
        let _ = writeln!(
            rows,
            "<tr><td>{what}</td><td>{at_most}</td><td>–</td><td class='absent'>test <code>{test}</code></td></tr>"
        );
    }
    format!(
        "<div class='box'><table><tr><th>What</th><th>At most</th><th>Measured</th><th></th></tr>\n{rows}</table></div>\n"
    )
}

fn figures(results: &Results, title: &str) -> String {
    let cells = |tag: &str, row: &[String]| -> String {
        let cell = |text: &String| match text.as_str() {
            "NaN" | "-" => format!("<{tag}>–</{tag}>"),
            text => format!("<{tag}>{}</{tag}>", escaped(text)),
        };
        row.iter().map(cell).collect()
    };
    let mut rows = String::new();
    for row in &results.rows {
        let is_ours = row.iter().take(2).any(|cell| OURS.contains(&cell.as_str()));
        let class = if is_ours { " class='ours'" } else { "" };
        let _ = writeln!(rows, "<tr{class}>{}</tr>", cells("td", row));
    }
    format!(
        "<details><summary>{title}</summary><div class='box'><table class='names'><tr>{}</tr>\n{rows}</table></div></details>\n",
        cells("th", &results.columns)
    )
}

/// Programs missing from a table: not installed on the machine, or failed.
fn lacking(results: &Results) -> String {
    let mut lacking = results.remarks("absent");
    lacking.extend(results.remarks("failed"));
    lacking.sort_unstable();
    lacking.dedup();
    if lacking.is_empty() {
        return String::new();
    }
    let items: String = lacking
        .iter()
        .map(|text| format!("<li>{}</li>", escaped(text)))
        .collect();
    format!("<p class='remark'>Left out:</p><ul class='remark'>{items}</ul>\n")
}

fn how(results: &Results) -> String {
    format!(
        "<p class='remark'>{} · {}<br><code>{}</code></p>\n",
        escaped(results.remark("date")),
        escaped(results.remark("machine")),
        escaped(results.remark("command"))
    )
}

pub(crate) fn page(run: &Run) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang='en'>\n<meta charset='utf-8'>\n<title>coldstart: measurements</title>\n\
         <meta name='viewport' content='width=device-width,initial-scale=1'>\n<style>\n{COLORS}{LAYOUT}{}</style>\n\
         <h1>coldstart: measurements</h1>\n\
         <p><span class='key ours'></span><b>ours</b>: <b>bootstrap</b> is the deployed program, with every check on. \
         <span class='key yardstick'></span>yardsticks: <i>floor</i> is a program without a C library that makes only the \
         system calls of a start; <i>limit</i> is an event loop that searches for empty lines and checks nothing. No server \
         that reads requests can beat them. <span class='key peer'></span>other servers: those in Rust are built with our \
         flags, and each has one core, as a function has.</p>\n\
         <p>All programs of a table took turns in one run; figures are medians. Compare ratios: absolute figures hold for \
         one machine.</p>\n",
        chart::STYLE
    );
    page.push_str("<h2>Targets</h2>\n");
    page.push_str(&bounds_table(run));
    page.push_str("<h2>Start</h2>\n");
    page.push_str(&how(&run.start));
    charts(&mut page, start_charts(&run.start));
    page.push_str(&lacking(&run.start));
    page.push_str(&figures(&run.start, "All start figures"));
    page.push_str("<h2>Requests</h2>\n");
    page.push_str(&how(&run.versus));
    let mut drawings = cpu_charts(&run.versus);
    drawings.push(latency_chart(&run.versus));
    charts(&mut page, drawings);
    page.push_str("<h2>Many connections</h2>\n");
    charts(&mut page, memory_charts(&run.versus));
    page.push_str(&lacking(&run.versus));
    page.push_str(&figures(&run.versus, "All request and connection figures"));
    page.push_str("<h2>One application of axum's, on hyper and on this server</h2>\n");
    page.push_str(&how(&run.axum));
    page.push_str(&axum::html(&run.axum));
    page.push_str(&lacking(&run.axum));
    page.push_str("<h2>Instructions</h2>\n");
    page.push_str(&how(&run.instructions));
    page.push_str(
        "<p>User-space instructions, counted by valgrind, and the committed baseline.</p>\n",
    );
    page.push_str(
        &figures(&run.instructions, "Instructions per request")
            .replace("<details>", "<details open>"),
    );
    page.push_str("</html>\n");
    page
}

fn charts(page: &mut String, drawings: Vec<Drawing>) {
    page.push_str("<div class='charts'>\n");
    for drawing in drawings {
        let _ = writeln!(
            page,
            "<figure><svg viewBox='0 0 {} {:.0}' role='img' aria-label='{}'>{}</svg><figcaption>{}</figcaption></figure>",
            chart::WIDTH,
            drawing.height,
            escaped(drawing.title),
            drawing.svg,
            escaped(&drawing.meaning)
        );
    }
    page.push_str("</div>\n");
}
