//! The terminal's charts.

use super::results::{Measured, Report};
use super::statistics::Sample;
use crate::clock::human;
use crate::console::{Tone, give, say};

const WIDTH: f64 = 32.0;
const EIGHTHS: [char; 8] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];

/// One block per measurement, one bar per command.
pub(crate) fn show(report: &Report) {
    let all = &report.all;
    say(format!(
        "probing: {}; {}",
        report.probing(),
        report.placement()
    ));
    block("cold start to open port", all, |measured| &measured.listen);
    block("cold start to first byte", all, |measured| {
        &measured.first_byte
    });
    block("warm request", all, |measured| &measured.warm);
    give(Tone::Strong.paint("memory after the requests"));
    let widest = widest(all);
    for measured in all {
        give(format!(
            "  {:<widest$}  {:>11}",
            measured.command,
            measured.memory()
        ));
    }
}

fn block(title: &str, all: &[Measured], of: impl Fn(&Measured) -> &Sample) {
    let Some(first) = all.first() else { return };
    let longest = all
        .iter()
        .map(|measured| of(measured).median())
        .max()
        .unwrap_or_default();
    let widest = widest(all);
    give(format!(
        "{}  median, p10 – p90, ratio",
        Tone::Strong.paint(title)
    ));
    for measured in all {
        let sample = of(measured);
        let share = sample.median().as_secs_f64() / longest.as_secs_f64().max(f64::EPSILON);
        give(format!(
            "  {:<widest$}  {:>9}  {:>9} – {:<9} ×{:<7} {}",
            measured.command,
            human(sample.median()),
            human(sample.quantile(10)),
            human(sample.quantile(90)),
            sample.ratio(of(first)),
            Tone::Good.paint(bar(share)),
        ));
    }
}

fn widest(all: &[Measured]) -> usize {
    all.iter()
        .map(|measured| measured.command.chars().count())
        .max()
        .unwrap_or(0)
}

/// Eighths of a cell show small differences.
fn bar(share: f64) -> String {
    let mut left = share.clamp(0.0, 1.0) * WIDTH;
    let mut bar = String::new();
    while left >= 1.0 {
        bar.push('█');
        left -= 1.0;
    }
    let eighths = EIGHTHS.iter().zip(1_u8..);
    let filled = eighths.take_while(|(_, eighth)| left >= f64::from(*eighth) / 8.0);
    bar.extend(filled.last().map(|(cell, _)| *cell));
    if bar.is_empty() {
        "▏".to_owned()
    } else {
        bar
    }
}

#[cfg(test)]
mod tests {
    use super::bar;

    #[test]
    fn bars_are_as_long_as_their_share() {
        assert_eq!(bar(1.0).chars().count(), 32);
        assert_eq!(bar(0.5).chars().count(), 16);
        assert_eq!(bar(0.0), "▏");
        assert_eq!(bar(1.5 / 32.0), "█▌");
    }
}
