//! The targets, each with what was measured.

use super::axum::ROWS;
use super::kind::{OURS, YARDSTICKS};
use super::results::{Results, Run};
use super::unit::Unit;

pub(crate) struct Bound {
    pub(crate) what: &'static str,
    pub(crate) at_most: f64,
    pub(crate) unit: Unit,
    pub(crate) of: &'static str,
    pub(crate) measured: Option<f64>,
}

impl Bound {
    pub(crate) fn verdict(&self) -> Verdict {
        match self.measured {
            Some(measured) if measured <= self.at_most => Verdict::Met,
            Some(_) => Verdict::Missed,
            None => Verdict::Absent,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Met,
    Missed,
    Absent,
}

/// CPU per request with 10 000 connections, divided by that with one. `None` if the two loads differ.
pub(crate) fn growth(versus: &Results, program: &str) -> Option<f64> {
    let by = |column| {
        let figure = |scenario| versus.figure(Some(scenario), program, column);
        Some(figure("growth-10000")? / figure("growth-1")?)
    };
    by("cpu_us").filter(|_| by("requests_s").is_some_and(|loads| (0.9..1.1).contains(&loads)))
}

pub(crate) fn bounds(run: &Run) -> Vec<Bound> {
    let mut bounds = start_bounds(&run.start);
    bounds.extend(request_bounds(&run.versus));
    let targets = ROWS.iter().filter_map(|row| Some((row, row.at_most?)));
    bounds.extend(targets.map(|(row, at_most)| {
        let measured = row.measured(&run.axum);
        bound(row.what, at_most, Unit::Times, "axum on hyper", measured)
    }));
    bounds
}

fn bound(
    what: &'static str,
    at_most: f64,
    unit: Unit,
    of: &'static str,
    measured: Option<f64>,
) -> Bound {
    Bound {
        what,
        at_most,
        unit,
        of,
        measured,
    }
}

fn start_bounds(start: &Results) -> Vec<Bound> {
    let stable = |column| start.figure(None, "bootstrap", column);
    let min = |column| start.figure(None, "bootstrap-min", column);
    let hyper = start.figure(None, "hyper", "first_byte_us");
    let by_hyper = by(stable("first_byte_us"), hyper);
    let (first, size) = ("Start to first byte", "bootstrap on disk");
    let (first_min, size_min) = (
        "Start to first byte, min build",
        "bootstrap on disk, min build",
    );
    let (first_main, first_std) = (
        "Start to first byte, a function by main!",
        "Start to first byte, a function from std's main",
    );
    let of = |program| start.figure(None, program, "first_byte_x");
    let cpu = "CPU time of a start";
    let kib = 1024.0;
    vec![
        bound(first, 1.02, Unit::Times, "floor", stable("first_byte_x")),
        bound(first, 0.62, Unit::Times, "hyper, same flags", by_hyper),
        bound(first_min, 1.10, Unit::Times, "floor", min("first_byte_x")),
        bound(first_main, 1.05, Unit::Times, "floor", of("minimal")),
        bound(first_std, 1.08, Unit::Times, "floor", of("hello")),
        bound(cpu, 1.20, Unit::Times, "floor", stable("cpu_x")),
        bound(size, 450.0 * kib, Unit::Bytes, "", stable("file_bytes")),
        bound(size_min, 96.0 * kib, Unit::Bytes, "", min("file_bytes")),
    ]
}

fn request_bounds(versus: &Results) -> Vec<Bound> {
    let ours = |scenario, column: &'static str| versus.figure(Some(scenario), "bootstrap", column);
    let peers = versus
        .series(Some("pipelined-64"), "cpu_us")
        .into_iter()
        .filter(|(name, _)| !YARDSTICKS.contains(&name.as_str()) && !OURS.contains(&name.as_str()));
    let best_peer = peers.map(|(_, figure)| figure).reduce(f64::min);
    let by_best = by(ours("pipelined-64", "cpu_us"), best_peer);
    let (get, post) = (ours("plain-64", "cpu_x"), ours("post-64", "cpu_x"));
    let pipelined = ours("pipelined-64", "cpu_x");
    let after_load = ours("plain-64", "rss_bytes");
    let idle = ours("idle", "connection_bytes");
    let growth = growth(versus, "bootstrap");
    let cpu = [
        "CPU time of a GET",
        "CPU time of a pipelined GET",
        "CPU time of an echoed 1 KiB POST",
        "Growth of a GET's CPU time, 1 to 10 000 connections",
    ];
    let memory = [
        "Memory after load, 64 connections",
        "Memory per idle connection",
    ];
    vec![
        bound(cpu[0], 1.03, Unit::Times, "limit", get),
        bound(cpu[1], 1.20, Unit::Times, "limit", pipelined),
        bound(cpu[1], 1.00, Unit::Times, "best other server", by_best),
        bound(cpu[2], 1.05, Unit::Times, "limit", post),
        bound(cpu[3], 1.30, Unit::Times, "", growth),
        bound(memory[0], 500_000.0, Unit::Bytes, "", after_load),
        bound(memory[1], 96.0, Unit::Bytes, "", idle),
    ]
}

fn by(figure: Option<f64>, other: Option<f64>) -> Option<f64> {
    Some(figure? / other?)
}
