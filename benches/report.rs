//! Writes the report of the last measurements: `cargo bench --bench report`.
//!
//! Reads only `target/bench/*.tsv`, which `coldstart`, `versus` and `instructions` write. Writes
//! `benches/report/index.html` (charts as inline SVG, no script), `benches/report/overview.svg`, and the table
//! between the markers in `README.md`. If a file is missing, it fails and names the command that writes it.

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
    let run = || {
        Ok(Run {
            start: Results::read("coldstart")?,
            versus: Results::read("versus")?,
            instructions: Results::read("instructions")?,
        })
    };
    let written = run().and_then(|run| {
        let directory = support::root().join("benches/report");
        fs::create_dir_all(&directory).map_err(|error| error.to_string())?;
        write(&directory.join("index.html"), &sheet::page(&run))?;
        write(&directory.join("overview.svg"), &readme::overview(&run))?;
        let path = support::root().join("README.md");
        let text = fs::read_to_string(&path).map_err(|error| error.to_string())?;
        write(&path, &readme::with_table(&text, &run)?)
    });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("report: {why}");
            ExitCode::FAILURE
        }
    }
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    let shown = support::relative(path).display();
    fs::write(path, text).map_err(|error| format!("{shown}: {error}"))?;
    println!("written: {shown}");
    Ok(())
}
