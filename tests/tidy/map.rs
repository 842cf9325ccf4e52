//! The list of files in `src/README.md`: each file of `src/` with the first paragraph of its `//!` comment.
//!
//! `README_FILES=write cargo test --test tidy the_map` writes the list anew.
#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "outside of #[test] functions too, a test may end itself, and the edge reads the environment"
)]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::source::walk;

const START: &str =
    "<!-- files: written by README_FILES=write cargo test --test tidy the_map -->\n";
const END: &str = "<!-- files -->\n";

#[test]
fn the_map_names_each_file_in_its_own_words() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = root.join("src/README.md");
    let text = fs::read_to_string(&page).expect("the map");
    let (before, rest) = text.split_once(START).expect("the list's first mark");
    let (listed, after) = rest.split_once(END).expect("the list's last mark");
    let expected = list(root);
    if std::env::var_os("README_FILES").is_some() {
        fs::write(&page, format!("{before}{START}{expected}{END}{after}")).expect("written");
        return;
    }
    let stale = listed
        .lines()
        .filter(|line| !expected.lines().any(|new| new == *line));
    let new = expected
        .lines()
        .filter(|line| !listed.lines().any(|old| old == *line));
    let changes = stale.map(|line| format!("- {line}\n"));
    let changes: String = changes
        .chain(new.map(|line| format!("+ {line}\n")))
        .collect();
    assert!(
        listed == expected,
        "src/README.md: README_FILES=write cargo test --test tidy the_map\n{changes}"
    );
}

#[test]
fn a_file_is_described_by_its_first_paragraph() {
    for (text, expected) in [
        ("//! One line.\n\nmod a;\n", "One line."),
        ("//! Two\n//! lines.\n//!\n//! More.\n", "Two lines."),
        ("//! A `|` in a table.\n", "A `\\|` in a table."),
        ("mod a;\n", ""),
    ] {
        assert_eq!(first_paragraph(text), expected, "{text:?}");
    }
}

/// A table per folder: files first, then the folders in it.
fn list(root: &Path) -> String {
    let mut files = Vec::new();
    walk(root, &root.join("src"), &mut |path, text| {
        if let Some(file) = path
            .strip_prefix("src/")
            .filter(|path| path.ends_with(".rs"))
        {
            let (folder, name) = file.rsplit_once('/').unwrap_or(("", file));
            // `mod.rs` introduces its folder.
            let order = (
                folder.to_owned(),
                name != "mod.rs" && name != "lib.rs",
                name.to_owned(),
            );
            files.push((order, file.to_owned(), first_paragraph(&text)));
        }
    });
    files.sort_unstable();
    let mut list = String::from("| file | what it is |\n| --- | --- |\n");
    for (_, file, what) in files {
        writeln!(list, "| `{file}` | {what} |").expect("a String takes it");
    }
    list
}

/// The first paragraph of a file's `//!` comment, as a cell of a table.
fn first_paragraph(text: &str) -> String {
    let lines = text.lines().map_while(|line| line.strip_prefix("//! "));
    lines.collect::<Vec<_>>().join(" ").replace('|', "\\|")
}
