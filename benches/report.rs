//! Writes the report of the last measurements: `cargo bench --bench report`.
//!
//! Reads only `target/bench/*.tsv`, which `coldstart`, `versus`, `instructions` and `axum` write. Writes
//! `benches/report/index.html` (charts as inline SVG, no script), `benches/report/overview.svg`, and the tables
//! between the markers in `README.md`; with `only=axum` no more than the table of the axum application. If a file is
//! missing, it fails and names the command that writes it.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "benchmarks print, time, start processes and may panic"
)]

mod page;
mod support;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use page::results::{Results, Run};
use page::{readme, sheet};

fn main() -> ExitCode {
    let written = match support::text_setting("only").as_deref() {
        None => write_all(),
        Some("axum") => Results::read("axum")
            .and_then(|axum| write_readme(|readme| readme::with_axum(readme, &axum))),
        Some(other) => Err(format!("there is nothing that is only {other}")),
    };
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("report: {why}");
            ExitCode::FAILURE
        }
    }
}

fn write_all() -> Result<(), String> {
    let run = Run {
        start: Results::read("coldstart")?,
        versus: Results::read("versus")?,
        instructions: Results::read("instructions")?,
        axum: Results::read("axum")?,
    };
    let directory = support::root().join("benches/report");
    fs::create_dir_all(&directory).map_err(|error| error.to_string())?;
    write(&directory.join("index.html"), &sheet::page(&run))?;
    write(&directory.join("overview.svg"), &readme::overview(&run))?;
    write_readme(|readme| readme::with_table(readme, &run))
}

fn write_readme(with: impl Fn(&str) -> Result<String, String>) -> Result<(), String> {
    let path = support::root().join("README.md");
    let text = fs::read_to_string(&path).map_err(|error| error.to_string())?;
    write(&path, &with(&text)?)
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    let shown = support::relative(path).display();
    fs::write(path, text).map_err(|error| format!("{shown}: {error}"))?;
    println!("written: {shown}");
    Ok(())
}
