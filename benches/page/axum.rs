//! One application of axum's on this server, next to the same on hyper.

use std::fmt::Write as _;

use super::results::Results;
use super::unit::Unit;

/// The programs, and what each is called. Ratios are to the first; the second has the targets.
const PROGRAMS: [(&str, &str); 5] = [
    ("axum", "hyper"),
    ("axum-coldstart", "coldstart"),
    ("axum-coldstart-std", "with std's `main`"),
    ("axum-coldstart-tokio", "with tokio"),
    ("axum-allocator", "hyper with coldstart's allocator"),
];

/// A measured quantity.
pub(crate) struct Row {
    /// Its name in the results.
    scenario: &'static str,
    pub(crate) what: &'static str,
    unit: Unit,
    /// The ratio to hyper that it may have.
    pub(crate) at_most: Option<f64>,
}

const fn row(scenario: &'static str, what: &'static str, unit: Unit) -> Row {
    Row {
        scenario,
        what,
        unit,
        at_most: None,
    }
}

impl Row {
    const fn at_most(self, ratio: f64) -> Self {
        Self {
            at_most: Some(ratio),
            ..self
        }
    }

    fn figure(&self, axum: &Results, program: &str) -> Option<f64> {
        axum.figure(Some(self.scenario), program, "figure")
    }

    /// The ratio of this server without a runtime to hyper.
    pub(crate) fn measured(&self, axum: &Results) -> Option<f64> {
        axum.figure(Some(self.scenario), PROGRAMS[1].0, "x")
    }
}

pub(crate) const ROWS: [Row; 18] = [
    row("first-byte", "Start to first byte", Unit::Micros).at_most(0.70),
    row("start-cpu", "CPU time of a start", Unit::Micros),
    row("faults", "Page faults of a start", Unit::Count),
    row("file", "File to deploy", Unit::Bytes).at_most(0.75),
    row("get-1", "CPU time of a GET, one connection", Unit::Micros).at_most(0.90),
    row("get-64", "CPU time of a GET, 64 connections", Unit::Micros).at_most(0.90),
    row(
        "platform-64",
        "CPU time of a GET with the platform's 28 fields",
        Unit::Micros,
    ),
    row("pipelined-64", "CPU time of a pipelined GET", Unit::Micros).at_most(0.50),
    row("json-64", "CPU time of a POST of JSON", Unit::Micros),
    row("event", "CPU time of a server-sent event", Unit::Micros),
    row(
        "burst",
        "CPU time of an event of 2 000 at once",
        Unit::Micros,
    ),
    row("stream", "Memory per stream of events", Unit::Bytes),
    row("memory", "Memory after load", Unit::Bytes),
    row("idle", "Memory per idle connection", Unit::Bytes).at_most(0.05),
    row("instructions-get", "Instructions of a GET", Unit::Count),
    row(
        "instructions-platform",
        "Instructions of a GET with 28 fields",
        Unit::Count,
    ),
    row(
        "instructions-pipelined",
        "Instructions of a pipelined GET",
        Unit::Count,
    ),
    row(
        "instructions-json",
        "Instructions of a POST of JSON",
        Unit::Count,
    ),
];

/// What the README leaves to the page.
const ONLY_ON_THE_PAGE: [&str; 7] = [
    "start-cpu",
    "burst",
    "stream",
    "instructions-get",
    "instructions-platform",
    "instructions-pipelined",
    "instructions-json",
];

/// The table of the README.
pub(crate) fn markdown(axum: &Results) -> String {
    let names = PROGRAMS.map(|(_, name)| name);
    let mut text = format!(
        "| one application of axum's, on | {} |\n",
        names.join(" | ")
    );
    text.push_str("| --- | --: | --: | --: | --: | --: |\n");
    let rows = ROWS
        .iter()
        .filter(|row| !ONLY_ON_THE_PAGE.contains(&row.scenario));
    for row in rows {
        let target = row.at_most.map(|ratio| Unit::Times.show(ratio));
        let target = target.map_or_else(String::new, |ratio| format!(", at most {ratio}"));
        let _ = writeln!(
            text,
            "| {}{target} | {} |",
            row.what,
            cells(row, axum).join(" | ")
        );
    }
    let _ = writeln!(
        text,
        "\nRatios are to hyper, the medians of all rounds, and a time beside one is as much of hyper's. The targets are for the second column. Measured {} on {}, load {}, by `{}`.",
        axum.remark("date"),
        axum.remark("machine"),
        axum.remark("load"),
        axum.remark("command")
    );
    text
}

/// The table of the page.
pub(crate) fn html(axum: &Results) -> String {
    let names = PROGRAMS.map(|(_, name)| format!("<th>{}</th>", name.replace('`', "")));
    let mut rows = format!("<tr><th>On</th>{}</tr>\n", names.concat());
    for row in &ROWS {
        let cells = cells(row, axum).map(|cell| format!("<td>{cell}</td>"));
        let _ = writeln!(rows, "<tr><td>{}</td>{}</tr>", row.what, cells.concat());
    }
    format!("<div class='box'><table>{rows}</table></div>\n")
}

/// A figure for each program, with its ratio to hyper. A time is as much of hyper's as the ratio says: medians of their own would
/// contradict the ratios where the machine was faster in some rounds than in others.
fn cells(row: &Row, axum: &Results) -> [String; PROGRAMS.len()] {
    let on_hyper = row.figure(axum, PROGRAMS[0].0);
    PROGRAMS.map(|(program, _)| {
        let Some(figure) = row.figure(axum, program) else {
            return "–".to_owned();
        };
        let x = axum.figure(Some(row.scenario), program, "x");
        match on_hyper.zip(x) {
            None => row.unit.show(figure),
            Some((yardstick, _)) if program == PROGRAMS[0].0 => row.unit.show(yardstick),
            Some((yardstick, x)) => {
                let ratio = if x < 0.095 {
                    format!("{x:.3}×")
                } else {
                    Unit::Times.show(x)
                };
                let figure = match row.unit {
                    Unit::Micros => yardstick * x,
                    Unit::Bytes | Unit::Count | Unit::Times | Unit::Plain => figure,
                };
                format!("{} · {ratio}", row.unit.show(figure))
            }
        }
    })
}
