//! What of a directory is packed, and what is said about the rest.

use std::path::Path;

use super::source::{START_FILE, Start};
use crate::console::remark;
use crate::exit::Failure;
use crate::package::collect::{self, Collected, Item};

/// A remark about many names shows this many of them.
const SHOWN_MAX: usize = 10;

/// What a directory holds.
pub(super) fn contents(folder: &Path, output: &Path, start: Start) -> Result<Vec<Item>, Failure> {
    let collected = collect::collect(folder, output)?;
    report(&collected);
    if collected.items.is_empty() {
        return Err(Failure::input(format!(
            "{} contains no files",
            folder.display()
        )));
    }
    if start == Start::Bootstrap && !collected.items.iter().any(|item| item.name == START_FILE) {
        return Err(Failure::input("bootstrap itself is left out")
            .fix("keep it with a line !bootstrap in .fcignore"));
    }
    Ok(collected.items)
}

/// Says what is not in the package, or not as it looks.
fn report(collected: &Collected) {
    for (names, what) in [
        (
            &collected.by_default,
            "left out (a line !NAME in .fcignore keeps it)",
        ),
        (&collected.by_file, "left out by .fcignore"),
        (&collected.special, "skipped"),
        (&collected.links, "packed as a link"),
    ] {
        if names.is_empty() {
            continue;
        }
        let shown = names[..names.len().min(SHOWN_MAX)].join(", ");
        let more = match names.len().saturating_sub(SHOWN_MAX) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        remark(format!("{what}: {shown}{more}"));
    }
}
