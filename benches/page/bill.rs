//! What a chart means for who pays: one sentence below it, with figures of the same run.

use super::results::Results;
use super::unit::Unit;

/// The programs whose figures a sentence compares.
const COMPARED: [&str; 2] = ["bootstrap", "axum"];

#[derive(Clone, Copy)]
pub(crate) enum Meaning {
    /// A sentence without figures.
    Text(&'static str),
    /// What this many of the charted times are in seconds.
    Seconds(&'static str, f64),
    /// What this many of the charted sizes or counts are in bytes.
    Bytes(&'static str, f64),
}

impl Meaning {
    /// The sentence for a column of the results. It names no program that has no figure.
    pub(crate) fn sentence(
        self,
        results: &Results,
        scenario: Option<&str>,
        column: &str,
    ) -> String {
        let lead = match self {
            Self::Text(text) => return text.to_owned(),
            Self::Seconds(lead, _) | Self::Bytes(lead, _) => lead,
        };
        let shown: Vec<String> = COMPARED
            .iter()
            .filter_map(|program| {
                let figure = results.figure(scenario, program, column)?;
                Some(format!("{} with {program}", self.show(figure)))
            })
            .collect();
        if shown.is_empty() {
            return String::new();
        }
        format!("{lead} {}.", shown.join(", "))
    }

    fn show(self, figure: f64) -> String {
        match self {
            Self::Text(_) => String::new(),
            Self::Seconds(_, times) => {
                format!("{} s", Unit::Plain.show(figure * times / 1e6))
            }
            Self::Bytes(_, times) => Unit::Bytes.show(figure * times),
        }
    }
}
