//! Units of figures, and how a figure is printed.

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Micros,
    Bytes,
    Times,
    /// A ratio without the `×`, for table cells whose heading has it.
    Plain,
    Count,
}

impl Unit {
    pub(crate) fn show(self, figure: f64) -> String {
        match self {
            Self::Micros if figure >= 999.5 => format!("{} ms", digits(figure / 1e3)),
            Self::Micros => format!("{} µs", digits(figure)),
            Self::Bytes if figure >= 999_500.0 => format!("{} MB", digits(figure / 1e6)),
            Self::Bytes if figure >= 999.5 => format!("{} kB", digits(figure / 1e3)),
            Self::Bytes => format!("{figure:.0} B"),
            Self::Times if figure < 9.95 => format!("{figure:.2}×"),
            Self::Times => format!("{}×", digits(figure)),
            Self::Plain => digits(figure),
            Self::Count => format!("{figure:.0}"),
        }
    }

    /// Drops the zeros at the end of a fraction: `1`, not `1.00`.
    pub(crate) fn show_round(self, figure: f64) -> String {
        let shown = self.show(figure);
        let Some(point) = shown.find('.') else {
            return shown;
        };
        let end = shown[point + 1..]
            .find(|digit: char| !digit.is_ascii_digit())
            .map_or(shown.len(), |len| point + 1 + len);
        let number = shown[..end].trim_end_matches('0').trim_end_matches('.');
        format!("{number}{}", &shown[end..])
    }
}

/// Rounds to three significant digits.
fn digits(figure: f64) -> String {
    if figure >= 99.5 {
        format!("{figure:.0}")
    } else if figure >= 9.95 {
        format!("{figure:.1}")
    } else {
        format!("{figure:.2}")
    }
}
