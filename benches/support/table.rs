//! The result file of a benchmark.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::{machine, programs, relative, results};

/// A table of tab-separated values, with the machine, date and command above it.
pub(crate) struct Table {
    path: PathBuf,
    remarks: String,
    rows: String,
}

impl Table {
    /// Runs of only some programs or scenarios go to a file of their own: the report shows complete runs.
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

    /// Adds a line above the table.
    pub(crate) fn remark(&mut self, key: &str, text: &str) {
        let _ = writeln!(self.remarks, "# {key}\t{text}");
    }

    pub(crate) fn row(&mut self, cells: &[String]) {
        let _ = writeln!(self.rows, "{}", cells.join("\t"));
    }

    pub(crate) fn save(&self) {
        let text = format!("{}{}", self.remarks, self.rows);
        std::fs::write(&self.path, text).expect("target is writable");
        println!("\nwritten: {}", relative(&self.path).display());
    }
}
