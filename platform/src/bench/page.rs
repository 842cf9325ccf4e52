//! The result as JSON, and as one self-contained HTML page.

use serde_json::{Value, json};

use super::Measured;
use super::statistics::Sample;
use crate::clock::human;

const WIDTH: f64 = 640.0;
const ROW: usize = 64;
const DOTS_MAX: usize = 400;
type Column = (&'static str, fn(&Measured) -> &Sample);
const COLUMNS: [Column; 3] = [
    ("Cold start to open port", |measured| &measured.listen),
    ("Cold start to first byte", |measured| &measured.first_byte),
    ("Warm request", |measured| &measured.warm),
];

/// One JSON object; times are in seconds.
pub(crate) fn json(all: &[Measured]) -> String {
    let commands: Vec<Value> = all
        .iter()
        .map(|measured| {
            json!({
                "command": measured.command,
                "listen": numbers(&measured.listen),
                "first_byte": numbers(&measured.first_byte),
                "warm": numbers(&measured.warm),
                "memory_kb": measured.memory_kb,
            })
        })
        .collect();
    format!("{:#}", json!({ "commands": commands }))
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

/// The page: a table, and a plot per measurement.
pub(crate) fn page(all: &[Measured]) -> String {
    let plots: String = COLUMNS
        .iter()
        .map(|(title, of)| plot(title, all, *of))
        .collect();
    format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>coldstart bench</title>\n<style>\n\
         :root {{ color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif }}\n\
         body {{ max-width: 60rem; margin: 2rem auto; padding: 0 1rem }}\n\
         table {{ border-collapse: collapse }} th, td {{ text-align: right; padding: .2rem .8rem }}\n\
         th, td {{ white-space: nowrap }}\
         th:first-child, td:first-child {{ text-align: left; white-space: normal; overflow-wrap: anywhere }} tr + tr {{ border-top: 1px solid #8884 }}\n\
         svg {{ width: 100%; height: auto }} text {{ font: 12px system-ui, sans-serif; fill: currentColor }}\n\
         circle {{ fill: #2a7; fill-opacity: .35 }} .median {{ stroke: #d40; stroke-width: 2 }}\n\
         .axis {{ stroke: currentColor; stroke-opacity: .2 }}\n</style>\n<h1>coldstart bench</h1>\n{}\n{plots}</html>\n",
        table(all)
    )
}

fn table(all: &[Measured]) -> String {
    let Some(first) = all.first() else {
        return String::new();
    };
    let mut rows = String::new();
    for measured in all {
        let cells: String = COLUMNS
            .iter()
            .map(|(_, of)| {
                let sample = of(measured);
                format!(
                    "<td>{}</td><td>×{:.2}</td>",
                    human(sample.median()),
                    sample.ratio(of(first))
                )
            })
            .collect();
        rows += &format!(
            "<tr><td><code>{}</code></td>{cells}<td>{} MB</td></tr>\n",
            escape(&measured.command),
            measured.memory_kb / 1024
        );
    }
    format!(
        "<table><tr><th>command</th><th>listens</th><th></th><th>first byte</th><th></th><th>warm</th><th></th>\
         <th>memory</th></tr>\n{rows}</table>\n<p>Medians; × is the ratio to the first command.</p>"
    )
}

/// A dot for each value, a line for the median.
fn plot(title: &str, all: &[Measured], of: fn(&Measured) -> &Sample) -> String {
    let longest = all
        .iter()
        .map(|measured| of(measured).quantile(99).as_secs_f64())
        .fold(0.0, f64::max);
    let scale = (WIDTH - 20.0) / longest.max(f64::EPSILON);
    let mut marks = String::new();
    let mut top = 0;
    for measured in all {
        let sample = of(measured);
        let middle = top + 30;
        marks += &format!(
            "<text x=\"4\" y=\"{}\">{}</text>\n",
            top + 14,
            escape(&measured.command)
        );
        marks += &format!(
            "<line class=\"axis\" x1=\"4\" x2=\"{WIDTH}\" y1=\"{middle}\" y2=\"{middle}\"/>\n"
        );
        let step = sample.sorted().len().div_ceil(DOTS_MAX).max(1);
        for value in sample.sorted().iter().step_by(step) {
            let at = (4.0 + value.as_secs_f64() * scale).min(WIDTH - 4.0);
            marks += &format!("<circle cx=\"{at:.1}\" cy=\"{middle}\" r=\"4\"/>");
        }
        let at = 4.0 + sample.median().as_secs_f64() * scale;
        marks += &format!(
            "<line class=\"median\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{}\" y2=\"{}\"/><text x=\"{:.1}\" y=\"{}\">{}</text>\n",
            middle - 9,
            middle + 9,
            at.min(WIDTH - 60.0) - 3.0,
            middle + 23,
            human(sample.median())
        );
        top += ROW;
    }
    format!(
        "<h2>{title}</h2>\n<svg viewBox=\"0 0 {WIDTH} {top}\" role=\"img\" aria-label=\"{title}\">\n{marks}</svg>\n"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
