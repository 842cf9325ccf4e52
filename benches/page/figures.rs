//! The charts of the report, and the figures each shows.

use super::bill::Meaning;
use super::bounds::growth;
use super::chart::{Bars, Drawing, Lines, Ranges};
use super::results::Results;
use super::unit::Unit;

/// A chart of one column of a table.
struct Column {
    title: &'static str,
    note: &'static str,
    unit: Unit,
    scenario: Option<&'static str>,
    column: &'static str,
    /// The program that ratios are relative to.
    yardstick: Option<&'static str>,
    bound: Option<f64>,
    meaning: Meaning,
}

impl Column {
    fn draw(&self, results: &Results) -> Drawing {
        let bars = results.series(self.scenario, self.column);
        let yardstick = self
            .yardstick
            .and_then(|name| results.figure(self.scenario, name, self.column));
        Bars {
            title: self.title,
            note: self.note,
            unit: self.unit,
            absent: missing(results, bars.iter().map(|bar| &bar.0)),
            bars,
            yardstick,
            bound: self.bound,
        }
        .draw()
        .meaning(self.meaning.sentence(results, self.scenario, self.column))
    }
}

/// The programs of a table that are not among `names`.
fn missing<'a>(results: &Results, names: impl Iterator<Item = &'a String>) -> Vec<String> {
    let names: Vec<&String> = names.collect();
    let mut programs = results.programs();
    programs.retain(|program| !names.contains(&program));
    programs
}

const fn start_column(
    title: &'static str,
    note: &'static str,
    unit: Unit,
    column: &'static str,
    meaning: Meaning,
) -> Column {
    Column {
        title,
        note,
        unit,
        scenario: None,
        column,
        yardstick: None,
        bound: None,
        meaning,
    }
}

pub(crate) fn start_charts(results: &Results) -> Vec<Drawing> {
    let floor = |column| Column {
        yardstick: Some("floor"),
        ..column
    };
    let columns = [
        floor(start_column(
            "Start to first byte",
            "from spawn to the first byte of the response; × floor",
            Unit::Micros,
            "first_byte_us",
            Meaning::Seconds(
                "A caller without a warm instance waits for it. A million starts:",
                1e6,
            ),
        )),
        floor(start_column(
            "CPU time of a start",
            "user and system, up to the first response; × floor",
            Unit::Micros,
            "cpu_us",
            Meaning::Seconds("What a million starts take of a processor:", 1e6),
        )),
        floor(start_column(
            "Start from a cold page cache",
            "the file is read from disk before it runs; × floor",
            Unit::Micros,
            "cold_first_byte_us",
            Meaning::Seconds(
                "The first start on a machine reads the file. A thousand of them:",
                1e3,
            ),
        )),
        start_column(
            "Page faults of a start",
            "minor, up to the first response",
            Unit::Count,
            "faults",
            Meaning::Bytes(
                "Each fault is a page of 4 KiB or more that the instance's memory pays for:",
                4096.0,
            ),
        ),
        start_column(
            "System calls before listen",
            "counted by strace, from execve on",
            Unit::Count,
            "calls_to_listen",
            Meaning::Text(
                "No bill lists them; each is a way into the kernel and back before anybody is served.",
            ),
        ),
    ];
    let columns = columns.into_iter().chain(size_columns());
    columns.map(|column| column.draw(results)).collect()
}

/// What is built, uploaded and stored.
fn size_columns() -> [Column; 3] {
    [
        Column {
            bound: Some(450.0 * 1024.0),
            ..start_column(
                "File to deploy",
                "stripped; without shared libraries",
                Unit::Bytes,
                "file_bytes",
                Meaning::Bytes(
                    "Each machine fetches it before its first start. A thousand times:",
                    1e3,
                ),
            )
        },
        start_column(
            "ZIP to upload",
            "as coldstart pack makes it",
            Unit::Bytes,
            "zip_bytes",
            Meaning::Bytes(
                "Each deployment uploads it, and the platform unpacks it. A thousand times:",
                1e3,
            ),
        ),
        start_column(
            "Image to store and fetch",
            "one layer and two documents, as coldstart pack --image makes them",
            Unit::Bytes,
            "image_bytes",
            Meaning::Bytes(
                "A registry stores each version, and each machine pulls it. A thousand times:",
                1e3,
            ),
        ),
    ]
}

pub(crate) fn cpu_charts(results: &Results) -> Vec<Drawing> {
    let cpu = |title, note, scenario, bound: Option<f64>| {
        let limit = results.figure(Some(scenario), "limit", "cpu_us");
        let column = Column {
            scenario: Some(scenario),
            yardstick: Some("limit"),
            bound: bound.and_then(|bound| Some(bound * limit?)),
            ..start_column(
                title,
                note,
                Unit::Micros,
                "cpu_us",
                Meaning::Seconds("What a million take of a processor:", 1e6),
            )
        };
        column.draw(results)
    };
    let note = "CPU time per request, 64 connections; × limit";
    vec![
        cpu("A GET", note, "plain-64", Some(1.03)),
        cpu(
            "A pipelined GET",
            "CPU time per request, 16 per write; × limit",
            "pipelined-64",
            Some(1.20),
        ),
        cpu("An echoed POST of 1 KiB", note, "post-64", Some(1.05)),
        cpu("One connection per GET", note, "close-64", None),
        cpu("One connection per ten GETs", note, "ten-64", None),
    ]
}

pub(crate) fn memory_charts(results: &Results) -> Vec<Drawing> {
    let bytes = |title, note, scenario, column, bound, meaning| Column {
        scenario: Some(scenario),
        bound: Some(bound),
        ..start_column(title, note, Unit::Bytes, column, meaning)
    };
    let mut charts = vec![
        bytes(
            "Memory per idle connection",
            "resident and private; 4 000, each used once",
            "idle",
            "connection_bytes",
            96.0,
            Meaning::Bytes("The platform keeps connections open for a day. 10 000 of them, in an instance that has 128 MB or more:", 1e4),
        )
        .draw(results),
        bytes(
            "Memory after load",
            "resident and private, 64 connections",
            "plain-64",
            "rss_bytes",
            500_000.0,
            Meaning::Bytes("The smallest instance has 128 MB, and what the server leaves is the function's. The server takes:", 1.0),
        )
        .draw(results),
    ];
    charts
        .push(growth_chart(results).meaning(
            "At 1.00× a request costs the same however many other callers are connected.",
        ));
    charts.push(connections_chart(results).meaning(
        "The lower and flatter a line, the more callers share one instance, which is billed once.",
    ));
    charts
}

fn growth_chart(results: &Results) -> Drawing {
    let bars: Vec<(String, f64)> = results
        .programs()
        .into_iter()
        .filter_map(|name| Some((name.clone(), growth(results, &name)?)))
        .collect();
    Bars {
        title: "Growth with connections",
        note: "CPU time per GET, 10 000 connections ÷ 1, same rate",
        unit: Unit::Times,
        absent: missing(results, bars.iter().map(|bar| &bar.0)),
        bars,
        yardstick: None,
        bound: Some(1.3),
    }
    .draw()
}

fn connections_chart(results: &Results) -> Drawing {
    let at = [1_u32, 64, 1024, 8000];
    let figure = |name: &str, connections: u32| {
        results.figure(Some(&format!("plain-{connections}")), name, "cpu_us")
    };
    let line = |name: String| {
        let figures: Vec<_> = at.iter().map(|at| figure(&name, *at)).collect();
        (figures.iter().flatten().count() > 1).then_some((name, figures))
    };
    Lines {
        title: "A GET over many connections",
        note: "CPU time by open connections, closed loop",
        unit: Unit::Micros,
        lines: results.programs().into_iter().filter_map(line).collect(),
        at: at.map(f64::from).to_vec(),
    }
    .draw()
}

pub(crate) fn latency_chart(results: &Results) -> Drawing {
    let scenario = Some("rate-64");
    let rates = results.series(scenario, "requests_s");
    let rate = rates.iter().map(|rate| rate.1).fold(0.0, f64::max);
    let keeps_up = |name: &String| {
        rates
            .iter()
            .any(|(of, got)| of == name && *got > 0.95 * rate)
    };
    let columns = ["p50_us", "p99_us", "p999_us"];
    let row = |name: String| {
        let [p50, p99, p999] = columns.map(|column| results.figure(scenario, &name, column));
        Some((name, [p50?, p99?, p999?]))
    };
    let rows: Vec<_> = results.programs().into_iter().filter_map(row).collect();
    let absent = missing(results, rows.iter().map(|row| &row.0));
    let (rows, overrun): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| keeps_up(&row.0));
    Ranges {
        title: "Latency at a fixed rate",
        note: "● 50 %, ○ 99 %, ▮ 99.9 % of GETs, in µs after due",
        rows,
        overrun: overrun.into_iter().map(|row| row.0).collect(),
        absent,
    }
    .draw()
    .meaning("How long callers wait while an instance has work, and so what is billed for their calls: one of 100 waits for the 99 %, one of 1000 for the 99.9 %. Requests that waited because the host had stopped a core are left out.")
}
