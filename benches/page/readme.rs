//! The measured section of the README: a picture, and a table between two markers.

use std::fmt::Write as _;

use super::axum::markdown;
use super::bounds::{Bound, Verdict, bounds};
use super::chart::{self, Drawing, escaped};
use super::figures::{cpu_charts, memory_charts, start_charts};
use super::kind::kind;
use super::results::{Results, Run};
use super::sheet::COLORS;
use super::unit::Unit;

/// Returns the README with this run's picture and table between the markers.
///
/// # Errors
///
/// If a marker is missing.
pub(crate) fn with_table(readme: &str, run: &Run) -> Result<String, String> {
    let start = "<!-- measured: written by cargo bench --bench report -->";
    let readme = with_part(readme, (start, "<!-- measured -->"), &readme_part(run))?;
    with_axum(&readme, &run.axum)
}

/// Returns the README with the table of the axum application between its markers.
///
/// # Errors
///
/// If a marker is missing.
pub(crate) fn with_axum(readme: &str, axum: &Results) -> Result<String, String> {
    let start = "<!-- axum: written by cargo bench --bench report -- only=axum -->";
    with_part(readme, (start, "<!-- axum -->"), &markdown(axum))
}

fn with_part(text: &str, (start, end): (&str, &str), part: &str) -> Result<String, String> {
    let (before, rest) = text
        .split_once(start)
        .ok_or_else(|| format!("README.md lacks the line {start}"))?;
    let (_, after) = rest
        .split_once(end)
        .ok_or_else(|| format!("README.md lacks the line {end}"))?;
    Ok(format!("{before}{start}\n{part}{end}{after}"))
}

fn readme_part(run: &Run) -> String {
    let (start, versus) = (&run.start, &run.versus);
    let mut names = start.programs();
    names.extend(versus.programs());
    names.sort();
    names.dedup();
    let rank = |name: &String| match kind(name) {
        "ours" => 0,
        "yardstick" => 1,
        _ => 2,
    };
    let first_byte = |name: &String| {
        start
            .figure(None, name, "first_byte_us")
            .unwrap_or(f64::MAX)
    };
    names.sort_by(|one, other| {
        let ranks = rank(one).cmp(&rank(other));
        ranks.then(first_byte(one).total_cmp(&first_byte(other)))
    });
    let mut part = "![Charts: start, requests, memory and growth, compared with other servers](benches/report/overview.svg)\n\n\
        | | first byte, × floor | file | GET, × limit | pipelined | POST 1 KiB | after load | idle connection |\n\
        | --- | --: | --: | --: | --: | --: | --: | --: |\n"
        .to_owned();
    for name in names {
        let x = |scenario| versus.figure(Some(scenario), &name, "cpu_x");
        let cells = [
            (start.figure(None, &name, "first_byte_x"), Unit::Plain),
            (start.figure(None, &name, "file_bytes"), Unit::Bytes),
            (x("plain-64"), Unit::Plain),
            (x("pipelined-64"), Unit::Plain),
            (x("post-64"), Unit::Plain),
            (
                versus.figure(Some("plain-64"), &name, "rss_bytes"),
                Unit::Bytes,
            ),
            (
                versus.figure(Some("idle"), &name, "connection_bytes"),
                Unit::Bytes,
            ),
        ];
        let cells = cells.map(|(figure, unit)| {
            figure.map_or_else(|| "–".to_owned(), |figure| unit.show(figure))
        });
        let name = match kind(&name) {
            "ours" => format!("**{name}**"),
            "yardstick" => format!("*{name}*"),
            _ => name,
        };
        let _ = writeln!(part, "| {name} | {} |", cells.join(" | "));
    }
    part.push_str(&remark(run));
    part
}

/// Where it was measured, and how many targets were met.
fn remark(run: &Run) -> String {
    let versus = &run.versus;
    let all = bounds(run);
    let met = all.iter().filter(|bound| bound.verdict() == Verdict::Met);
    let missed = all
        .iter()
        .filter(|bound| bound.verdict() == Verdict::Missed);
    let missed: Vec<String> = missed.map(shown_bound).collect();
    let mut part = format!(
        "\nCPU time per request on one core; memory is resident and private. Measured {} on {}, by \
         `benches/measure`. Of {} targets set beforehand, {} are met",
        versus.remark("date"),
        versus.remark("machine"),
        all.len(),
        met.count()
    );
    if missed.is_empty() {
        part.push_str(".\n");
    } else {
        let _ = writeln!(part, "; missed: {}.", missed.join("; "));
    }
    part
}

fn shown_bound(bound: &Bound) -> String {
    let measured = bound
        .measured
        .map_or_else(|| "–".to_owned(), |figure| bound.unit.show(figure));
    let what = in_sentence(bound.what);
    let of = if bound.of.is_empty() { "" } else { " " };
    format!(
        "{what} {measured}{of}{} (at most {})",
        bound.of,
        bound.unit.show(bound.at_most)
    )
}

/// Lowercases the first letter, unless it begins an abbreviation.
fn in_sentence(text: &str) -> String {
    let mut letters = text.chars();
    let (first, second) = (letters.next(), letters.next());
    match (first, second) {
        (Some(first), Some(second)) if second.is_lowercase() => {
            format!("{}{}", first.to_lowercase(), &text[first.len_utf8()..])
        }
        _ => text.to_owned(),
    }
}

/// The README's picture. It follows the reader's light or dark theme.
pub(crate) fn overview(run: &Run) -> String {
    let wanted = [
        "Start to first byte",
        "A pipelined GET",
        "A GET",
        "Memory per idle connection",
        "Growth with connections",
        "Memory after load",
    ];
    let mut drawings: Vec<Drawing> = start_charts(&run.start);
    drawings.extend(cpu_charts(&run.versus));
    drawings.extend(memory_charts(&run.versus));
    let order = |drawing: &Drawing| wanted.iter().position(|title| *title == drawing.title);
    drawings.retain(|drawing| order(drawing).is_some());
    drawings.sort_by_key(order);
    let (mut svg, mut top) = (String::new(), 20.0);
    for pair in drawings.chunks(2) {
        for (drawing, x) in pair.iter().zip([20.0, chart::WIDTH + 52.0]) {
            let _ = write!(
                svg,
                "<g transform='translate({x:.0} {top:.0})'>{}</g>",
                drawing.svg
            );
        }
        top += pair
            .iter()
            .map(|drawing| drawing.height)
            .fold(0.0, f64::max)
            + 22.0;
    }
    let (width, height) = (chart::WIDTH.mul_add(2.0, 72.0), top + 12.0);
    let remarks = [
        "Blue: ours. Outlined: lower bounds. Grey: other servers. Dashed: our target.".to_owned(),
        format!(
            "{} · {}",
            run.versus.remark("date"),
            run.versus.remark("machine")
        ),
    ];
    let mut foot = String::new();
    for (number, remark) in remarks.iter().enumerate() {
        let y = (number as f64).mul_add(16.0, height - 14.0);
        let _ = write!(
            foot,
            "<text class='note' x='20' y='{y:.0}'>{}</text>",
            escaped(remark)
        );
    }
    let height = height + 24.0;
    format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width:.0} {height:.0}' width='{width:.0}' \
         height='{height:.0}' role='img' aria-label='coldstart compared with other servers'>\n<style>{COLORS}{}</style>\n\
         <rect width='100%' height='100%' rx='6' fill='var(--paper)'/>\n{svg}\n{foot}</svg>\n",
        chart::STYLE
    )
}
