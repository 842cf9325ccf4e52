//! How long each part of a cold start took, as numbers and as a picture.

use std::time::{Duration, Instant};

use crate::clock::human;
use crate::console::Tone;

const BAR_WIDTH: f64 = 30.0;

/// One part of a cold start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Resolving the source, extracting it and checking the start file.
    Prepare,
    /// Starting the process.
    Launch,
    /// From the process's start until the port accepts.
    Listen,
    Initialize,
    Health,
    /// From the arrival of the first call to the first byte of its response.
    FirstByte,
}

impl Part {
    const fn name(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Launch => "launch",
            Self::Listen => "listen",
            Self::Initialize => "initialize",
            Self::Health => "health",
            Self::FirstByte => "first byte",
        }
    }
}

/// The parts in order, each with its duration.
#[derive(Clone, Debug)]
pub(crate) struct Timeline {
    parts: Vec<(Part, Duration)>,
    last: Instant,
}

impl Timeline {
    /// Starts the clock now.
    pub(crate) fn begin() -> Self {
        Self {
            parts: Vec::new(),
            last: Instant::now(),
        }
    }

    /// Records that a part is over.
    pub(crate) fn reached(&mut self, part: Part) {
        self.reached_at(part, Instant::now());
    }

    /// Records that a part was over at a time that has passed.
    pub(crate) fn reached_at(&mut self, part: Part, at: Instant) {
        self.parts
            .push((part, at.saturating_duration_since(self.last)));
        self.last = at;
    }

    /// Returns a copy with one more part, timed elsewhere.
    pub(crate) fn with(&self, part: Part, took: Duration) -> Self {
        let mut longer = self.clone();
        longer.parts.push((part, took));
        longer
    }

    /// Returns how long a part took.
    pub(crate) fn of(&self, part: Part) -> Option<Duration> {
        self.parts
            .iter()
            .find(|(known, _)| *known == part)
            .map(|(_, took)| *took)
    }

    /// Returns the sum of all parts.
    pub(crate) fn total(&self) -> Duration {
        self.parts.iter().map(|(_, took)| *took).sum()
    }

    /// Draws one line per part, with a bar that shows its share of the whole.
    pub(crate) fn picture(&self) -> Vec<String> {
        let total = self.total().as_secs_f64().max(f64::EPSILON);
        let mut before = 0.0;
        let mut lines: Vec<String> = Vec::new();
        for (part, took) in &self.parts {
            let share = took.as_secs_f64() / total * BAR_WIDTH;
            let bar: String = (0..30_u8)
                .map(f64::from)
                .map(|cell| cell_at(cell, before, share))
                .collect();
            lines.push(format!(
                "  {:<10} {:>9}  {}",
                part.name(),
                human(*took),
                Tone::Good.paint(bar.trim_end())
            ));
            before += share;
        }
        lines.push(format!("  {:<10} {:>9}", "total", human(self.total())));
        lines
    }
}

fn cell_at(cell: f64, from: f64, length: f64) -> char {
    if cell + 1.0 > from && cell < from + length {
        '▇'
    } else {
        ' '
    }
}
