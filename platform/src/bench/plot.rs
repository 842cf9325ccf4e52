//! A plot as HTML and SVG. Positions are percentages and text is not scaled, so that it stays readable on a narrow screen.

use std::time::Duration;

use super::results::Measured;
use super::statistics::Sample;
use crate::clock::human;

const STRIP_HEIGHT: u32 = 34;
const AXIS_HEIGHT: u32 = 22;
const DOTS_MAX: usize = 400;
/// The axis begins and ends this many percent from the border, so that its first and last dot are whole.
const MARGIN: f64 = 1.5;
/// Vertical offsets, so that equal values do not cover each other.
const OFFSETS: [i32; 7] = [0, -8, 4, -4, 8, -6, 6];

/// A horizontal axis from zero.
#[derive(Debug)]
struct Axis {
    end: f64,
    step: f64,
}

impl Axis {
    /// An axis that has a tick at its end, four to eight in all.
    fn up_to(longest: Duration) -> Self {
        let longest = longest.as_secs_f64().max(1e-7);
        let magnitude = 10_f64.powf(longest.log10().floor());
        let steps = [0.1, 0.2, 0.25, 0.5, 1.0, 2.0];
        let step = steps
            .map(|part| part * magnitude)
            .into_iter()
            .find(|step| longest / step <= 6.0)
            .unwrap_or(magnitude);
        Self {
            end: (longest / step).ceil() * step,
            step,
        }
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        (0_u8..=10)
            .map(|number| f64::from(number) * self.step)
            .take_while(|tick| *tick <= self.end + self.step / 2.0)
    }

    /// In percent of the width.
    fn at(&self, seconds: f64) -> f64 {
        MARGIN + seconds / self.end * (100.0 - 2.0 * MARGIN)
    }

    /// A tick's label, in the unit of the whole axis.
    fn label(&self, seconds: f64) -> String {
        // An end at the limit may be rounded to either side of it: half a step below, the unit is certain.
        let below_end = self.end - self.step / 2.0;
        let (factor, unit) = if below_end < 0.001 {
            (1e6, "µs")
        } else if below_end < 1.0 {
            (1e3, "ms")
        } else {
            (1.0, "s")
        };
        let text = format!("{:.3}", seconds * factor);
        let number = text.trim_end_matches('0').trim_end_matches('.');
        format!("{number} {unit}")
    }
}

/// One measurement of all commands: a strip of dots each over a common axis.
pub(crate) fn plot(title: &str, all: &[Measured], of: fn(&Measured) -> &Sample) -> String {
    // A few slow values must not compress the others.
    let longest = all.iter().map(|measured| of(measured).quantile(98)).max();
    let axis = Axis::up_to(longest.unwrap_or_default());
    let first = all.first().map(of);
    let strips: String = all
        .iter()
        .map(|measured| strip(&measured.command, of(measured), first, &axis))
        .collect();
    format!(
        "<section><h2>{}</h2>\n{strips}{}</section>\n",
        escape(title),
        scale(&axis)
    )
}

fn strip(command: &str, sample: &Sample, first: Option<&Sample>, axis: &Axis) -> String {
    let seconds = |percent| sample.quantile(percent).as_secs_f64().min(axis.end);
    let (low, high) = (axis.at(seconds(10)), axis.at(seconds(90)));
    let median = axis.at(seconds(50));
    let middle = STRIP_HEIGHT / 2;
    let mut marks = grid(axis, STRIP_HEIGHT);
    marks += &format!(
        "<rect class=\"range\" x=\"{low:.2}%\" width=\"{:.2}%\" y=\"2\" height=\"{}\" rx=\"3\"/>",
        (high - low).max(0.1),
        STRIP_HEIGHT - 4
    );
    let step = sample.sorted().len().div_ceil(DOTS_MAX).max(1);
    let shown = sample.sorted().iter().step_by(step);
    for (value, offset) in shown.zip(OFFSETS.iter().cycle()) {
        let value = value.as_secs_f64();
        if value <= axis.end {
            marks += &format!(
                "<circle cx=\"{:.2}%\" cy=\"{}\" r=\"3\"/>",
                axis.at(value),
                i64::from(middle) + i64::from(*offset)
            );
        }
    }
    marks += &format!(
        "<line class=\"median\" x1=\"{median:.2}%\" x2=\"{median:.2}%\" y1=\"0\" y2=\"{STRIP_HEIGHT}\"/>"
    );
    let command = escape(command);
    let summary = summary(sample, first, axis);
    format!(
        "<p class=\"strip\"><code>{command}</code><span>{summary}</span></p>\n\
         <svg height=\"{STRIP_HEIGHT}\" role=\"img\" aria-label=\"{command}: {summary}\">{marks}</svg>\n"
    )
}

fn summary(sample: &Sample, first: Option<&Sample>, axis: &Axis) -> String {
    let ratio = sample.ratio(first.unwrap_or(sample));
    let end = Duration::from_secs_f64(axis.end);
    let beyond = sample.sorted().iter().filter(|value| **value > end).count();
    let slowest = sample.sorted().last().copied().unwrap_or_default();
    let beyond = match beyond {
        0 => String::new(),
        count => format!(" · {count} beyond the axis, up to {}", human(slowest)),
    };
    format!(
        "{} · p10 {} · p90 {} · ×{ratio}{beyond}",
        human(sample.median()),
        human(sample.quantile(10)),
        human(sample.quantile(90))
    )
}

fn scale(axis: &Axis) -> String {
    let mut marks = format!(
        "<line class=\"axis\" x1=\"{MARGIN}%\" x2=\"{}%\" y1=\"0\" y2=\"0\"/>",
        100.0 - MARGIN
    );
    let last = axis.ticks().last().unwrap_or_default();
    for tick in axis.ticks() {
        let at = axis.at(tick);
        let anchor = if tick == 0.0 {
            "start"
        } else if tick < last {
            "middle"
        } else {
            "end"
        };
        marks += &format!(
            "<line class=\"axis\" x1=\"{at:.2}%\" x2=\"{at:.2}%\" y1=\"0\" y2=\"5\"/>\
             <text x=\"{at:.2}%\" y=\"18\" text-anchor=\"{anchor}\">{}</text>",
            axis.label(tick)
        );
    }
    format!("<svg height=\"{AXIS_HEIGHT}\" aria-hidden=\"true\">{marks}</svg>\n")
}

fn grid(axis: &Axis, height: u32) -> String {
    let line = |tick| {
        let at = axis.at(tick);
        format!("<line class=\"grid\" x1=\"{at:.2}%\" x2=\"{at:.2}%\" y1=\"0\" y2=\"{height}\"/>")
    };
    axis.ticks().map(line).collect()
}

/// Text for HTML, also inside quotes.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_on_a_round_tick_that_the_values_fit_under() {
        for (micros, labels) in [
            (930, "0 µs, 200 µs, 400 µs, 600 µs, 800 µs, 1000 µs"),
            (990_000, "0 ms, 200 ms, 400 ms, 600 ms, 800 ms, 1000 ms"),
            (1_010, "0 ms, 0.2 ms, 0.4 ms, 0.6 ms, 0.8 ms, 1 ms, 1.2 ms"),
            (41_000, "0 ms, 10 ms, 20 ms, 30 ms, 40 ms, 50 ms"),
            (2_600_000, "0 s, 0.5 s, 1 s, 1.5 s, 2 s, 2.5 s, 3 s"),
        ] {
            let axis = Axis::up_to(Duration::from_micros(micros));
            let shown: Vec<String> = axis.ticks().map(|tick| axis.label(tick)).collect();
            assert_eq!(shown.join(", "), labels, "{axis:?}");
            assert!(axis.end >= Duration::from_micros(micros).as_secs_f64());
        }
        assert!(Axis::up_to(Duration::ZERO).ticks().count() >= 2);
    }
}
