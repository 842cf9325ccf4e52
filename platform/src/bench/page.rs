//! The result as JSON, and as one self-contained HTML page.

use serde_json::{Value, json};

use super::plot::{escape, plot};
use super::results::{Measured, Report};
use super::statistics::Sample;
use crate::clock::human;

type Column = (&'static str, &'static str, fn(&Measured) -> &Sample);
const COLUMNS: [Column; 3] = [
    ("Cold start to open port", "open port", |measured| {
        &measured.listen
    }),
    ("Cold start to first byte", "first byte", |measured| {
        &measured.first_byte
    }),
    ("Warm request", "warm request", |measured| &measured.warm),
];

const STYLE: &str = "
:root { color-scheme: light dark; --text: #1b1f24; --quiet: #57606a; --ground: #fff; --line: #d0d7de; --dot: #0969da;
  --range: #ddf4ff; --median: #bc4c00; font: 16px/1.5 system-ui, sans-serif }
@media (prefers-color-scheme: dark) { :root { --text: #e6edf3; --quiet: #9198a1; --ground: #0d1117; --line: #30363d;
  --dot: #58a6ff; --range: #12283f; --median: #f0883e } }
body { color: var(--text); background: var(--ground); max-width: 56rem; margin: 0 auto; padding: 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 1rem; color: var(--quiet); font-size: .875rem }
dt, dd { margin: 0 } dd { overflow-wrap: anywhere }
code { font-size: .9em; overflow-wrap: anywhere }
table { border-collapse: collapse; width: 100% } th, td { text-align: right; padding: .3rem .5rem; vertical-align: top }
th { color: var(--quiet); font-weight: 600 } td small { color: var(--quiet); display: block }
th:first-child, td:first-child { text-align: left; padding-left: 0 } tbody tr { border-top: 1px solid var(--line) }
.strip { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0 1rem; margin: .75rem 0 .25rem }
.strip span { color: var(--quiet); font-size: .875rem }
svg { display: block; width: 100%; overflow: visible } text { font: 12px system-ui, sans-serif; fill: var(--quiet) }
circle { fill: var(--dot); fill-opacity: .45 } .range { fill: var(--range) } .median { stroke: var(--median); stroke-width: 2 }
.axis { stroke: var(--quiet) } .grid { stroke: var(--line) }
p.note { color: var(--quiet); font-size: .875rem }
@media (max-width: 40rem) {
  thead { display: none } tr { display: block; padding: .5rem 0 }
  td { display: flex; justify-content: space-between; gap: 1rem; padding: .1rem 0 } td:first-child { display: block }
  td[data-label]::before { content: attr(data-label); color: var(--quiet) } td small { display: inline }
}
";

/// One JSON object; times are in seconds.
pub(crate) fn json(report: &Report) -> String {
    let commands: Vec<Value> = report
        .all
        .iter()
        .map(|measured| {
            json!({
                "command": measured.command,
                "version": measured.version,
                "listen": numbers(&measured.listen),
                "first_byte": numbers(&measured.first_byte),
                "warm": numbers(&measured.warm),
                "memory_kb": measured.memory_kb,
                "probing": {
                    "gap": numbers(&measured.probing.gap),
                    "connect": numbers(&measured.probing.connect),
                },
            })
        })
        .collect();
    let machine = &report.machine;
    let value = json!({
        "commands": commands,
        "machine": {
            "processor": machine.processor,
            "kernel": machine.kernel,
            "load": machine.load,
            "probe_processors": report.cores.probe(),
            "server_processors": report.cores.servers(),
        },
        "date": machine.date,
        "coldstart": machine.coldstart,
    });
    format!("{value:#}")
}

fn numbers(sample: &Sample) -> Value {
    json!({
        "count": sample.sorted().len(),
        "median": sample.median().as_secs_f64(),
        "p10": sample.quantile(10).as_secs_f64(),
        "p90": sample.quantile(90).as_secs_f64(),
        "p99": sample.quantile(99).as_secs_f64(),
    })
}

/// The page: where it was measured, a table, and a plot per measurement.
pub(crate) fn page(report: &Report) -> String {
    let plots: String = COLUMNS
        .iter()
        .map(|(title, _, of)| plot(title, &report.all, *of))
        .collect();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>coldstart bench, {}</title>\n<style>{STYLE}</style>\n<h1>coldstart bench</h1>\n{}\n{}\n{plots}\
         <p class=\"note\">Each dot is one measurement; the line is the median, the band reaches from the 10th to the \
         90th percentile. × is the ratio of the median to that of the first command.</p>\n</html>\n",
        escape(&report.machine.date),
        facts(report),
        table(&report.all)
    )
}

fn facts(report: &Report) -> String {
    let machine = &report.machine;
    let mut rows = vec![
        ("date", machine.date.clone()),
        ("machine", machine.processor.clone()),
        (
            "system",
            format!("{}, load {}", machine.kernel, machine.load),
        ),
        ("processors", report.placement()),
        ("probing", report.probing()),
        ("coldstart", machine.coldstart.to_owned()),
    ];
    for measured in &report.all {
        rows.extend(measured.version.clone().map(|version| ("server", version)));
    }
    rows.dedup();
    let rows: String = rows
        .iter()
        .map(|(name, value)| format!("<dt>{name}</dt><dd>{}</dd>\n", escape(value)))
        .collect();
    format!("<dl>\n{rows}</dl>")
}

fn table(all: &[Measured]) -> String {
    let Some(first) = all.first() else {
        return String::new();
    };
    let mut rows = String::new();
    for measured in all {
        let cells: String = COLUMNS
            .iter()
            .map(|(_, name, of)| {
                let sample = of(measured);
                format!(
                    "<td data-label=\"{name}\"><span>{} <small>×{}</small></span></td>",
                    human(sample.median()),
                    sample.ratio(of(first))
                )
            })
            .collect();
        rows += &format!(
            "<tr><td><code>{}</code></td>{cells}<td data-label=\"memory\">{}</td></tr>\n",
            escape(&measured.command),
            measured.memory()
        );
    }
    let heads: String = COLUMNS
        .iter()
        .map(|(_, name, _)| format!("<th>{name}</th>"))
        .collect();
    format!(
        "<table>\n<thead><tr><th>command</th>{heads}<th>memory</th></tr></thead>\n<tbody>\n{rows}</tbody>\n</table>"
    )
}
