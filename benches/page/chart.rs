//! SVG charts, all of one width, so that a page can place as many side by side as fit.

use std::fmt::Write as _;

use super::kind::kind;
use super::unit::Unit;

pub(crate) const WIDTH: f64 = 400.0;
const LABEL_END: f64 = 98.0;
const PLOT_START: f64 = 106.0;
const PLOT_END: f64 = 296.0;
const ROW: f64 = 20.0;
const HEAD_HEIGHT: f64 = 46.0;
const AXIS_HEIGHT: f64 = 20.0;
/// Above this ratio of largest to smallest, linear bars become too short to compare.
const WIDE: f64 = 20.0;

pub(crate) const STYLE: &str = include_str!("chart.css");

/// A chart with its origin at 0, 0.
pub(crate) struct Drawing {
    pub(crate) title: &'static str,
    pub(crate) height: f64,
    pub(crate) svg: String,
    /// What it means for a bill, in one sentence below the chart.
    pub(crate) meaning: String,
}

impl Drawing {
    pub(crate) fn meaning(self, meaning: impl Into<String>) -> Self {
        Self {
            meaning: meaning.into(),
            ..self
        }
    }

    fn new(title: &'static str, note: &str) -> Self {
        Self {
            title,
            height: HEAD_HEIGHT,
            svg: format!(
                "<text class='title' x='0' y='16'>{}</text>\
                 <text class='better' x='{WIDTH}' y='16'>↓ lower is better</text>\
                 <text class='note' x='0' y='34'>{}</text>",
                escaped(title),
                escaped(note)
            ),
            meaning: String::new(),
        }
    }

    /// Draws a row's label and returns the vertical center of the row.
    fn row(&mut self, name: &str) -> f64 {
        let middle = self.height + ROW / 2.0;
        self.height += ROW;
        let _ = write!(
            self.svg,
            "<text class='label {}' x='{LABEL_END}' y='{:.1}'>{}</text>",
            kind(name),
            middle + 4.5,
            escaped(name)
        );
        middle
    }

    fn absent(&mut self, names: &[String]) {
        for name in names {
            let middle = self.row(name);
            self.text("none", PLOT_START, middle, "absent");
        }
    }

    fn upright(&mut self, class: &str, x: f64, (top, bottom): (f64, f64)) {
        let _ = write!(
            self.svg,
            "<line class='{class}' x1='{x:.1}' x2='{x:.1}' y1='{top:.1}' y2='{bottom:.1}'/>"
        );
    }

    fn text(&mut self, class: &str, x: f64, middle: f64, text: &str) {
        let (y, text) = (middle + 4.5, escaped(text));
        let _ = write!(
            self.svg,
            "<text class='{class}' x='{x:.1}' y='{y:.1}'>{text}</text>"
        );
    }
}

pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('\'', "&#39;")
}

/// Maps a figure to a position on the plot.
struct Scale {
    least: f64,
    most: f64,
    form: Form,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Linear,
    Logarithmic,
}

impl Scale {
    fn of(figures: impl Iterator<Item = f64> + Clone) -> Self {
        let most = figures.clone().fold(f64::MIN_POSITIVE, f64::max);
        let least = figures.filter(|figure| *figure > 0.0).fold(most, f64::min);
        if most / least > WIDE {
            Self::logarithmic(least / 1.5, most)
        } else {
            Self {
                least: 0.0,
                most,
                form: Form::Linear,
            }
        }
    }

    fn logarithmic(least: f64, most: f64) -> Self {
        Self {
            least,
            most,
            form: Form::Logarithmic,
        }
    }

    fn part(&self, figure: f64) -> f64 {
        let part = match self.form {
            Form::Linear => figure / self.most,
            Form::Logarithmic => (figure / self.least).ln() / (self.most / self.least).ln(),
        };
        part.clamp(0.0, 1.0)
    }

    fn x(&self, figure: f64) -> f64 {
        (PLOT_END - PLOT_START).mul_add(self.part(figure), PLOT_START)
    }

    /// Powers of ten between the edges.
    fn decades(&self) -> Vec<f64> {
        let powers = (-3..12).map(|power| 10_f64.powi(power));
        powers
            .filter(|decade| (self.least..=self.most).contains(decade))
            .collect()
    }

    /// Draws lines at powers of ten under the next rows, with tick labels below.
    fn grid(&self, drawing: &mut Drawing, rows: usize, unit: Unit) {
        if self.form == Form::Linear {
            return;
        }
        let top = drawing.height;
        let bottom = (rows as f64).mul_add(ROW, top + 2.0);
        let mut free_from = 0.0;
        for decade in self.decades() {
            let x = self.x(decade);
            drawing.upright("grid", x, (top, bottom));
            if x >= free_from {
                drawing.text("tick", x, bottom + 8.0, &unit.show_round(decade));
                free_from = x + 44.0;
            }
        }
    }

    /// The height of the tick labels below the rows.
    fn axis_height(&self) -> f64 {
        match self.form {
            Form::Linear => 0.0,
            Form::Logarithmic => AXIS_HEIGHT,
        }
    }
}

/// One figure per program; lower is better.
pub(crate) struct Bars {
    pub(crate) title: &'static str,
    pub(crate) note: &'static str,
    pub(crate) unit: Unit,
    pub(crate) bars: Vec<(String, f64)>,
    /// Ratios are relative to this figure.
    pub(crate) yardstick: Option<f64>,
    /// The target for our programs.
    pub(crate) bound: Option<f64>,
    pub(crate) absent: Vec<String>,
}

impl Bars {
    pub(crate) fn draw(&self) -> Drawing {
        let mut bars = self.bars.clone();
        bars.sort_by(|one, other| one.1.total_cmp(&other.1));
        let scale = Scale::of(bars.iter().map(|bar| bar.1));
        let form = match scale.form {
            Form::Linear => "",
            Form::Logarithmic => ", log scale",
        };
        let mut drawing = Drawing::new(self.title, &format!("{}{form}", self.note));
        scale.grid(&mut drawing, bars.len(), self.unit);
        if let Some(bound) = self.bound.filter(|bound| *bound <= scale.most) {
            let top = drawing.height;
            let bottom = (bars.len() as f64).mul_add(ROW, top);
            drawing.upright("bound", scale.x(bound), (top, bottom));
        }
        for (name, figure) in &bars {
            self.draw_row(&mut drawing, &scale, name, *figure);
        }
        drawing.height += scale.axis_height();
        drawing.absent(&self.absent);
        drawing.height += 4.0;
        drawing
    }

    fn draw_row(&self, drawing: &mut Drawing, scale: &Scale, name: &str, figure: f64) {
        let middle = drawing.row(name);
        let (x, kind) = (scale.x(figure), kind(name));
        let shown = self.unit.show(figure);
        let _ = match scale.form {
            Form::Linear => write!(
                drawing.svg,
                "<rect class='bar {kind}' x='{PLOT_START}' y='{:.1}' width='{:.1}' height='13' rx='1.5'/>",
                middle - 6.5,
                (x - PLOT_START).max(1.5)
            ),
            // A logarithmic scale has no zero, so the length of a bar means nothing: draw a dot and a thin line to
            // it.
            Form::Logarithmic => write!(
                drawing.svg,
                "<line class='thread {kind}' x1='{PLOT_START}' x2='{x:.1}' y1='{middle:.1}' y2='{middle:.1}'/>\
                 <circle class='dot {kind}' cx='{x:.1}' cy='{middle:.1}' r='5'/>"
            ),
        };
        let ratio = self.yardstick.filter(|yardstick| *yardstick > 0.0);
        let ratio = ratio.map(|yardstick| format!(" · {}", Unit::Times.show(figure / yardstick)));
        let text = format!("{shown}{}", ratio.unwrap_or_default());
        drawing.text(&format!("figure {kind}"), x + 9.0, middle, &text);
    }
}

/// Three figures per program on one scale: median, p99 and p99.9.
pub(crate) struct Ranges {
    pub(crate) title: &'static str,
    pub(crate) note: &'static str,
    pub(crate) rows: Vec<(String, [f64; 3])>,
    /// Programs that did not keep up with the rate; their latencies are not comparable.
    pub(crate) overrun: Vec<String>,
    pub(crate) absent: Vec<String>,
}

impl Ranges {
    pub(crate) fn draw(&self) -> Drawing {
        let mut rows = self.rows.clone();
        rows.sort_by(|one, other| one.1[1].total_cmp(&other.1[1]));
        let figures = rows.iter().flat_map(|row| row.1);
        let most = figures.clone().fold(f64::MIN_POSITIVE, f64::max);
        let least = figures.filter(|figure| *figure > 0.0).fold(most, f64::min);
        let scale = Scale::logarithmic(least / 1.2, most);
        let mut drawing = Drawing::new(self.title, &format!("{}, log scale", self.note));
        scale.grid(&mut drawing, rows.len(), Unit::Micros);
        for (name, [p50, p99, p999]) in &rows {
            let middle = drawing.row(name);
            let kind = kind(name);
            let [x50, x99, x999] = [p50, p99, p999].map(|figure| scale.x(*figure));
            let _ = write!(
                drawing.svg,
                "<line class='span {kind}' x1='{x50:.1}' x2='{x999:.1}' y1='{middle:.1}' y2='{middle:.1}'/>\
                 <circle class='dot {kind}' cx='{x50:.1}' cy='{middle:.1}' r='5'/>\
                 <circle class='ring {kind}' cx='{x99:.1}' cy='{middle:.1}' r='4'/>\
                 <rect class='bar {kind}' x='{:.1}' y='{:.1}' width='3' height='12'/>",
                x999 - 1.5,
                middle - 6.0
            );
            let shown = [p50, p99, p999].map(|figure| format!("{figure:.0}"));
            drawing.text(
                &format!("figure {kind}"),
                PLOT_END + 9.0,
                middle,
                &shown.join("/"),
            );
        }
        drawing.height += scale.axis_height();
        for name in &self.overrun {
            let middle = drawing.row(name);
            drawing.text("none", PLOT_START, middle, "does not keep up with the rate");
        }
        drawing.absent(&self.absent);
        drawing.height += 4.0;
        drawing
    }
}

/// One line per program over a growing number; both scales are logarithmic.
pub(crate) struct Lines {
    pub(crate) title: &'static str,
    pub(crate) note: &'static str,
    pub(crate) unit: Unit,
    pub(crate) at: Vec<f64>,
    /// One figure per position, or `None` where there is none.
    pub(crate) lines: Vec<(String, Vec<Option<f64>>)>,
}

const LINES_HEIGHT: f64 = 260.0;
const LINES_START: f64 = 44.0;
const LINES_END: f64 = 282.0;

impl Lines {
    pub(crate) fn draw(&self) -> Drawing {
        let mut drawing = Drawing::new(self.title, &format!("{}, log scales", self.note));
        let (top, bottom) = (drawing.height + 6.0, drawing.height + LINES_HEIGHT);
        let figures = self.lines.iter().flat_map(|line| line.1.iter().flatten());
        let most = figures.clone().copied().fold(f64::MIN_POSITIVE, f64::max);
        let least = figures.copied().fold(most, f64::min);
        let up = Scale::logarithmic(least / 1.1, most * 1.1);
        let across = Scale::logarithmic(
            self.at.first().copied().unwrap_or(1.0),
            self.at.last().copied().unwrap_or(1.0),
        );
        let x = |place: f64| (LINES_END - LINES_START).mul_add(across.part(place), LINES_START);
        let y = |figure: f64| (top - bottom).mul_add(up.part(figure), bottom);
        self.grid(&mut drawing, &up, (&x, &y), bottom);
        let mut ends = Vec::new();
        // Draw ours last, so that no other line covers it.
        let mut lines: Vec<_> = self.lines.iter().collect();
        lines.sort_by_key(|(name, _)| kind(name) == "ours");
        for (name, figures) in lines {
            let points: Vec<(f64, f64)> = self
                .at
                .iter()
                .zip(figures)
                .filter_map(|(place, figure)| Some((x(*place), y((*figure)?))))
                .collect();
            let path: Vec<String> = points
                .iter()
                .map(|(x, y)| format!("{x:.1},{y:.1}"))
                .collect();
            let kind = kind(name);
            let _ = write!(
                drawing.svg,
                "<polyline class='line {kind}' points='{}'><title>{}</title></polyline>",
                path.join(" "),
                escaped(name)
            );
            for (x, y) in &points {
                let _ = write!(
                    drawing.svg,
                    "<circle class='dot {kind}' cx='{x:.1}' cy='{y:.1}' r='3'/>"
                );
            }
            ends.extend(points.last().map(|end| (name, *end)));
        }
        label_ends(&mut drawing, ends, (top, bottom));
        drawing.height = bottom + AXIS_HEIGHT + 8.0;
        drawing
    }

    fn grid(
        &self,
        drawing: &mut Drawing,
        up: &Scale,
        (x, y): (&dyn Fn(f64) -> f64, &dyn Fn(f64) -> f64),
        bottom: f64,
    ) {
        let steps =
            (-3..7).flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(power)));
        for step in steps.filter(|step| (up.least..up.most).contains(step)) {
            let (y, text) = (y(step), self.unit.show_round(step));
            let _ = write!(
                drawing.svg,
                "<line class='grid' x1='{LINES_START}' x2='{LINES_END}' y1='{y:.1}' y2='{y:.1}'/>"
            );
            drawing.text("tick left", LINES_START - 6.0, y, &text);
        }
        for place in &self.at {
            drawing.text("tick", x(*place), bottom + 12.0, &format!("{place:.0}"));
        }
    }
}

/// Writes the names at the ends of the lines and moves apart those that would overlap.
fn label_ends(
    drawing: &mut Drawing,
    mut ends: Vec<(&String, (f64, f64))>,
    (top, bottom): (f64, f64),
) {
    const STEP: f64 = 15.0;
    ends.sort_by(|one, other| one.1.1.total_cmp(&other.1.1));
    let mut places: Vec<f64> = ends.iter().map(|end| end.1.1).collect();
    let mut free_from = top;
    for place in &mut places {
        *place = place.max(free_from);
        free_from = *place + STEP;
    }
    let mut free_to = bottom;
    for place in places.iter_mut().rev() {
        *place = place.min(free_to);
        free_to = *place - STEP;
    }
    for ((name, (x, y)), place) in ends.into_iter().zip(places) {
        let kind = kind(name);
        let label_x = LINES_END + 22.0;
        let _ = write!(
            drawing.svg,
            "<line class='lead' x1='{:.1}' x2='{:.1}' y1='{y:.1}' y2='{place:.1}'/>",
            x + 5.0,
            label_x - 3.0
        );
        drawing.text(&format!("end {kind}"), label_x, place, name);
    }
}
