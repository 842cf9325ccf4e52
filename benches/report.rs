//! The page that shows the last measurements: `cargo bench --bench report`.
//!
//! It reads `target/bench/*.tsv`, which the other benchmarks write, and nothing else, and writes
//! `benches/report/index.html` (charts as inline SVG, no script) and `benches/report/overview.svg` for the README.

#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a benchmark times, prints, starts processes and may give up"
)]

mod support;

use std::fmt::Write as _;
use std::fs;

/// One table of results: its remarks, and its rows by column name.
struct Results {
    remarks: Vec<(String, String)>,
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Results {
    fn read(name: &str) -> Option<Self> {
        let text = fs::read_to_string(support::results().join(format!("{name}.tsv"))).ok()?;
        let cells = |line: &str| line.split('\t').map(str::to_owned).collect::<Vec<_>>();
        let (remarks, table): (Vec<&str>, Vec<&str>) =
            text.lines().partition(|line| line.starts_with('#'));
        let mut table = table.into_iter().map(cells);
        Some(Self {
            remarks: remarks
                .iter()
                .filter_map(|line| line.strip_prefix("# ")?.split_once('\t'))
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
            columns: table.next()?,
            rows: table.collect(),
        })
    }

    fn cell<'a>(&self, row: &'a [String], column: &str) -> &'a str {
        let at = self.columns.iter().position(|name| name == column);
        at.and_then(|at| row.get(at)).map_or("", String::as_str)
    }

    /// Names and figures of a column, in the rows of a scenario; rows without a figure are left out.
    fn series(&self, scenario: Option<&str>, column: &str) -> Vec<(String, f64)> {
        let of_scenario =
            |row: &&Vec<String>| scenario.is_none_or(|name| self.cell(row, "scenario") == name);
        let figure = |row: &Vec<String>| {
            let figure = self
                .cell(row, column)
                .parse::<f64>()
                .ok()
                .filter(|figure| figure.is_finite())?;
            Some((self.cell(row, "program").to_owned(), figure))
        };
        self.rows
            .iter()
            .filter(of_scenario)
            .filter_map(figure)
            .collect()
    }

    fn remark(&self) -> String {
        let texts: Vec<String> = self
            .remarks
            .iter()
            .map(|(key, value)| format!("{key}: {value}"))
            .collect();
        texts.join(" · ")
    }
}

/// Bars from left to right, longest last; a logarithmic scale where the longest is far off.
struct Chart {
    title: &'static str,
    note: &'static str,
    unit: &'static str,
    bars: Vec<(String, f64)>,
}

const WIDTH: f64 = 560.0;
const LABEL_WIDTH: f64 = 112.0;
const FIGURE_WIDTH: f64 = 96.0;
const BAR_HEIGHT: f64 = 18.0;
const BAR_STEP: f64 = 24.0;
const HEAD_HEIGHT: f64 = 50.0;

impl Chart {
    fn height(&self) -> f64 {
        (self.bars.len() as f64).mul_add(BAR_STEP, HEAD_HEIGHT + 8.0)
    }

    /// The chart as a group whose corner is at `x`, `y`.
    fn draw(&self, svg: &mut String, (x, y): (f64, f64)) {
        let mut bars = self.bars.clone();
        bars.sort_by(|one, other| one.1.total_cmp(&other.1));
        let longest = bars.last().map_or(1.0, |bar| bar.1).max(f64::MIN_POSITIVE);
        let shortest = bars
            .iter()
            .map(|bar| bar.1)
            .find(|figure| *figure > 0.0)
            .unwrap_or(longest);
        let is_wide = longest / shortest > 30.0;
        let room = WIDTH - LABEL_WIDTH - FIGURE_WIDTH;
        let length = |figure: f64| {
            if figure <= 0.0 {
                0.0
            } else if is_wide {
                room * ((figure / shortest).ln() + 0.6) / ((longest / shortest).ln() + 0.6)
            } else {
                room * figure / longest
            }
        };
        let scale = if is_wide { ", logarithmic" } else { "" };
        let _ = write!(
            svg,
            "<g transform='translate({x:.0} {y:.0})'><text class='title' x='0' y='18'>{}</text>\
             <text class='note' x='0' y='36'>{}{scale}</text>",
            self.title, self.note
        );
        for (number, (name, figure)) in bars.iter().enumerate() {
            let top = (number as f64).mul_add(BAR_STEP, HEAD_HEIGHT);
            let base = top + 13.5;
            let kind = match name.as_str() {
                "bootstrap" | "bootstrap-min" | "minimal" => "ours",
                "floor" | "limit" => "bound",
                _ => "peer",
            };
            let (bar, label) = (length(*figure).max(1.5), LABEL_WIDTH - 8.0);
            let _ = write!(
                svg,
                "<text class='label {kind}-label' x='{label:.0}' y='{base:.1}'>{name}</text>\
                 <rect class='{kind}' x='{LABEL_WIDTH:.0}' y='{top:.0}' width='{bar:.1}' height='{BAR_HEIGHT:.0}' rx='2'/>\
                 <text class='figure' x='{:.1}' y='{base:.1}'>{} {}</text>",
                LABEL_WIDTH + bar + 6.0,
                shown(*figure),
                self.unit
            );
        }
        svg.push_str("</g>");
    }
}

/// Three digits are enough.
fn shown(figure: f64) -> String {
    if figure >= 99.5 {
        let whole = format!("{figure:.0}");
        let mut grouped = String::new();
        for (place, digit) in whole.chars().enumerate() {
            if place > 0 && (whole.len() - place).is_multiple_of(3) {
                grouped.push('\u{202f}');
            }
            grouped.push(digit);
        }
        grouped
    } else if figure >= 9.95 {
        format!("{figure:.1}")
    } else {
        format!("{figure:.2}")
    }
}

const STYLE: &str = "text{font:13px system-ui,-apple-system,'Segoe UI',sans-serif;fill:#1f2328}\
    .title{font-weight:600;font-size:15px}.note{fill:#656d76;font-size:12px}.label{text-anchor:end}\
    .ours-label{font-weight:600}.figure{fill:#424a53;font-size:12px}\
    .ours{fill:#0969da}.bound{fill:#8c959f}.peer{fill:#d4a72c}";

/// Charts in two columns on a white sheet.
fn sheet(charts: &[Chart], foot: &str) -> String {
    let mut svg = String::new();
    let mut tops = [24.0, 24.0];
    for chart in charts {
        let column = usize::from(tops.first() > tops.last());
        let x = 24.0 + if column == 0 { 0.0 } else { WIDTH + 32.0 };
        let Some(top) = tops.get_mut(column) else {
            continue;
        };
        chart.draw(&mut svg, (x, *top));
        *top += chart.height() + 22.0;
    }
    let bottom = tops.iter().copied().fold(0.0, f64::max);
    let (width, height) = (2.0f64.mul_add(WIDTH, 80.0), bottom + 28.0);
    format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width:.0} {height:.0}' width='{width:.0}' \
         height='{height:.0}' role='img'><style>{STYLE}</style>\
         <rect width='{width:.0}' height='{height:.0}' fill='#ffffff'/>{svg}\
         <text class='note' x='24' y='{:.0}'>{foot}</text></svg>",
        bottom + 8.0
    )
}

fn start_charts(results: &Results) -> Vec<Chart> {
    let chart = |title, note, unit, column| Chart {
        title,
        note,
        unit,
        bars: results.series(None, column),
    };
    vec![
        chart(
            "Start to first byte",
            "spawn, connect, request, first byte of the answer; median",
            "µs",
            "first_byte_us",
        ),
        chart(
            "Processor time of a start",
            "user and system, until the answer is out",
            "µs",
            "cpu_us",
        ),
        chart(
            "Start from a cold page cache",
            "the file is read from disk before it runs",
            "µs",
            "cold_first_byte_us",
        ),
        chart(
            "Page faults of a start",
            "minor, until the answer is out",
            "",
            "faults",
        ),
        chart(
            "System calls before listen",
            "counted by strace",
            "",
            "calls_to_listen",
        ),
        chart("File", "static, stripped; bytes on disk", "B", "file_bytes"),
    ]
}

/// Title, note, unit, scenario and column.
const REQUEST_CHARTS: &[[&str; 5]] = &[
    [
        "A plain GET",
        "processor time a request, 64 connections",
        "µs",
        "plain-64",
        "cpu_us",
    ],
    [
        "A pipelined GET",
        "processor time a request, 16 in one write",
        "µs",
        "pipelined-64",
        "cpu_us",
    ],
    [
        "An echoed POST of 1 KiB",
        "processor time a request, 64 connections",
        "µs",
        "post-64",
        "cpu_us",
    ],
    [
        "A connection for each request",
        "processor time a request",
        "µs",
        "close-64",
        "cpu_us",
    ],
    [
        "One connection",
        "processor time a request",
        "µs",
        "plain-1",
        "cpu_us",
    ],
    [
        "8 000 connections",
        "processor time a request",
        "µs",
        "plain-8000",
        "cpu_us",
    ],
    [
        "Memory of an idle connection",
        "resident, 4 000 connections that were used once",
        "B",
        "idle",
        "connection_bytes",
    ],
    [
        "Memory after a load",
        "resident and private, 64 connections",
        "B",
        "plain-64",
        "rss_bytes",
    ],
    [
        "Latency at a fixed rate: median",
        "from when a request was due",
        "µs",
        "rate-64",
        "p50_us",
    ],
    [
        "Latency at a fixed rate: 99 %",
        "from when a request was due",
        "µs",
        "rate-64",
        "p99_us",
    ],
];

fn request_charts(results: &Results) -> Vec<Chart> {
    let chart = |[title, note, unit, scenario, column]: &[&'static str; 5]| Chart {
        title,
        note,
        unit,
        bars: results.series(Some(scenario), column),
    };
    REQUEST_CHARTS.iter().map(chart).collect()
}

fn table(results: &Results) -> String {
    let cells = |tag: &str, row: &[String]| {
        let cells: String = row
            .iter()
            .map(|cell| format!("<{tag}>{}</{tag}>", cell.replace("NaN", "–")))
            .collect();
        format!("<tr>{cells}</tr>\n")
    };
    let rows: String = results.rows.iter().map(|row| cells("td", row)).collect();
    format!("<table>{}{rows}</table>", cells("th", &results.columns))
}

/// What opens the page: how to read it.
const OPENING: &str = "<!doctype html><html lang='en'><meta charset='utf-8'><title>coldstart: measurements</title>\
         <meta name='viewport' content='width=device-width'><style>\
         body{font:15px/1.5 system-ui,-apple-system,'Segoe UI',sans-serif;color:#1f2328;max-width:1200px;margin:2rem auto;padding:0 1rem}\
         svg{max-width:100%;height:auto}table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums}\
         th,td{padding:.15rem .6rem;text-align:right;border-bottom:1px solid #d8dee4}\
         th:first-child,td:first-child{text-align:left}.remark{color:#656d76;font-size:13px}summary{cursor:pointer}\
         .box{overflow-x:auto}</style>\n\
         <h1>coldstart: measurements</h1>\n\
         <p>Blue is ours, grey a bound that no server of the kind can pass: <b>floor</b> is a program without a C library \
         that makes only the system calls, <b>limit</b> an event loop that looks for empty lines and checks nothing. Yellow \
         are other servers, Rust's built with our flags. Ratios within one run mean something; absolute figures are one \
         machine's.</p>\n";

/// A part of the page: the table it shows, its title, and which charts are made of it.
type Section = (&'static str, &'static str, fn(&Results) -> Vec<Chart>);

fn main() {
    let directory = support::root().join("benches/report");
    fs::create_dir_all(&directory).expect("the project is ours to write");
    let mut page = OPENING.to_owned();
    let mut overview = Vec::new();
    let mut foot = String::new();
    let sections: [Section; 2] = [
        ("coldstart", "The start", start_charts),
        ("versus", "Requests", request_charts),
    ];
    for (name, title, charts) in sections {
        let Some(results) = Results::read(name) else {
            println!("target/bench/{name}.tsv is missing: cargo bench --bench {name}");
            continue;
        };
        let charts: Vec<Chart> = charts(&results)
            .into_iter()
            .filter(|chart| !chart.bars.is_empty())
            .collect();
        let remark = results.remark();
        let _ = write!(
            page,
            "<h2>{title}</h2>\n<p class='remark'>{remark}</p>\n{}\n\
             <details><summary>All figures</summary><div class='box'>{}</div></details>\n",
            sheet(&charts, ""),
            table(&results)
        );
        let wanted = [
            "Start to first byte",
            "File",
            "A plain GET",
            "A pipelined GET",
            "Memory of an idle connection",
            "Memory after a load",
        ];
        overview.extend(
            charts
                .into_iter()
                .filter(|chart| wanted.contains(&chart.title)),
        );
        foot = remark;
    }
    let path = directory.join("index.html");
    fs::write(&path, page).expect("the project is ours to write");
    println!("written: {}", support::relative(&path).display());
    if !overview.is_empty() {
        let path = directory.join("overview.svg");
        let foot = foot.replace("cargo bench --bench versus", "cargo bench");
        fs::write(&path, sheet(&overview, &foot)).expect("the project is ours to write");
        println!("written: {}", support::relative(&path).display());
    }
}
