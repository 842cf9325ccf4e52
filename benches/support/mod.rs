//! What the timed benchmarks share: the programs, how they are built and started, and what is made of the figures.

#![expect(
    dead_code,
    unsafe_code,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::expect_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::disallowed_methods,
    reason = "benchmarks time, print, start processes and may give up; each uses its own part"
)]

pub(crate) mod load;
pub(crate) mod machine;
pub(crate) mod programs;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The project's root.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Where result files go, and the report takes them from.
pub(crate) fn results() -> PathBuf {
    let directory = root().join("target/bench");
    std::fs::create_dir_all(&directory).expect("target is ours to write");
    directory
}

/// The middle one of many figures.
pub(crate) fn median(figures: &[f64]) -> f64 {
    percentile(figures, 50.0)
}

pub(crate) fn percentile(figures: &[f64], percent: f64) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (percent / 100.0 * sorted.len() as f64) as usize;
    sorted
        .get(at.min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or(f64::NAN)
}

/// A number among the program's own arguments: `name=value`.
pub(crate) fn setting(name: &str, default: usize) -> usize {
    text_setting(name)
        .and_then(|value| value.parse().ok())
        .unwrap_or(default)
}

pub(crate) fn text_setting(name: &str) -> Option<String> {
    text_settings(name).next()
}

pub(crate) fn text_settings(name: &str) -> impl Iterator<Item = String> {
    let prefix = format!("{name}=");
    std::env::args().filter_map(move |argument| argument.strip_prefix(&prefix).map(str::to_owned))
}

/// A table as a file of tab-separated values, headed by where and how it was made.
pub(crate) struct Table {
    path: PathBuf,
    remarks: String,
    rows: String,
}

impl Table {
    /// What a part of the programs or scenarios gives is kept apart: the report shows whole runs only.
    pub(crate) fn new(name: &str, command: &str, columns: &[&str]) -> Self {
        let settings: Vec<String> = std::env::args()
            .skip(1)
            .filter(|argument| argument.contains('=') && !argument.starts_with("also="))
            .collect();
        let is_part = ["only=", "scenario="]
            .iter()
            .any(|part| settings.iter().any(|setting| setting.starts_with(part)));
        let suffix = if is_part { "-part" } else { "" };
        let mut table = Self {
            path: results().join(format!("{name}{suffix}.tsv")),
            remarks: String::new(),
            rows: format!("{}\n", columns.join("\t")),
        };
        table.remark("date", &machine::date());
        table.remark("machine", &machine::describe());
        let mut command = command.to_owned();
        if !settings.is_empty() {
            let _ = write!(command, " -- {}", settings.join(" "));
        }
        table.remark("command", &command);
        for absent in programs::absent() {
            table.remark("absent", &absent);
        }
        table
    }

    /// A line in front of the table.
    pub(crate) fn remark(&mut self, key: &str, text: &str) {
        let _ = writeln!(self.remarks, "# {key}\t{text}");
    }

    pub(crate) fn row(&mut self, cells: &[String]) {
        let _ = writeln!(self.rows, "{}", cells.join("\t"));
    }

    pub(crate) fn save(&self) {
        let text = format!("{}{}", self.remarks, self.rows);
        std::fs::write(&self.path, text).expect("target is ours to write");
        println!("\nwritten: {}", relative(&self.path).display());
    }
}

pub(crate) fn relative(path: &Path) -> &Path {
    path.strip_prefix(env!("CARGO_MANIFEST_DIR"))
        .unwrap_or(path)
}
