//! Links of the pages lead somewhere: to a file of the project, and to a heading that it has. Nothing is asked of the network.

use std::fs;
use std::path::{Component, Path, PathBuf};

use super::source::{Finding, Source};
use super::{Rule, keep};

/// Where another site, an item of the documentation or a mail begins: not looked at here. rustdoc checks its items.
const ELSEWHERE: &[&str] = &["http://", "https://", "mailto:", "crate::"];

#[test]
fn links_of_pages_lead_somewhere() {
    keep(&Rule {
        why: "this link leads nowhere",
        applies: |path| path.ends_with(".md"),
        find: dead,
        bad: ("docs/faq.md", "[a](lost.md) and `[b](code.md)`"),
        good: (
            "docs/faq.md",
            "# A heading, with `code`\n[a](contract.md#1-the-rules) [b](#a-heading-with-code) [c](https://a.b/c)\n```\n[d](lost.md)\n```\n",
        ),
    });
}

fn dead(source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    let is_shown = shown_by_rustdoc().contains(&source.path);
    for (at, target) in targets(&source.text) {
        if ELSEWHERE.iter().any(|start| target.starts_with(start)) {
            continue;
        }
        let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
        let path = place(&source.path, file);
        let text = match file {
            "" => Some(source.text.clone()),
            _ => fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(&path)).ok(),
        };
        let is_there =
            file.is_empty() || Path::new(env!("CARGO_MANIFEST_DIR")).join(&path).exists();
        let has_anchor = anchor.is_empty()
            || text.is_some_and(|text| anchors(&text).iter().any(|known| known == anchor));
        if !is_there || !has_anchor || (is_shown && !file.is_empty()) {
            found.push((at, target.to_owned()));
        }
    }
    found
}

/// The pages that are modules of the documentation as well: there, a link to another file leads nowhere.
fn shown_by_rustdoc() -> Vec<String> {
    let mut pages = Vec::new();
    for (folder, source) in [
        ("", include_str!("../../src/lib.rs")),
        ("tower/", include_str!("../../tower/src/lib.rs")),
    ] {
        let included = source
            .split("#[cfg(doc)]\n#[doc = include_str!(\"../")
            .skip(1);
        let paths = included.filter_map(|rest| rest.split('"').next());
        pages.extend(paths.map(|path| format!("{folder}{path}")));
    }
    pages
}

#[test]
fn a_page_of_the_documentation_links_no_file() {
    assert!(shown_by_rustdoc().len() >= 5, "{:?}", shown_by_rustdoc());
    for (page, is_dead) in [
        ("docs/guide.md", true),
        ("tower/docs/migrating.md", true),
        ("docs/faq.md", false),
    ] {
        let page = Source::new(page.to_owned(), "[a](../README.md) [b](#b)\n# B".to_owned());
        let expected = usize::from(is_dead);
        // In `tower/docs` the same link means another file, which is there as well.
        assert_eq!(dead(&page).len(), expected, "{}", page.path);
    }
}

/// The path from the root that a link on a page means.
fn place(page: &str, file: &str) -> PathBuf {
    let folder = Path::new(page).parent().unwrap_or_else(|| Path::new(""));
    let mut path = PathBuf::new();
    for part in folder.join(file).components() {
        match part {
            Component::ParentDir => {
                path.pop();
            }
            Component::CurDir => {}
            Component::Normal(_) | Component::RootDir | Component::Prefix(_) => path.push(part),
        }
    }
    path
}

/// The targets of links, outside of code.
fn targets(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (start, line) in prose(text) {
        let mut at = start;
        for (number, part) in line.split('`').enumerate() {
            // The text of a link may be code, which ends before the bracket.
            if number % 2 == 0 {
                for (mark, _) in part.match_indices("](") {
                    let target = &part[mark + 2..];
                    let end = target.find(')').unwrap_or(target.len());
                    found.push((at + mark, &target[..end]));
                }
            }
            at += part.len() + 1;
        }
    }
    found
}

/// The lines outside of blocks of code, and where they begin.
fn prose(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut is_fenced = false;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if line.trim_start().starts_with("```") {
            is_fenced = !is_fenced;
        } else if !is_fenced {
            found.push((at, line));
        }
        at += line.len();
    }
    found
}

/// What forges make of the headings of a page.
fn anchors(text: &str) -> Vec<String> {
    let lines = prose(text).into_iter().map(|(_, line)| line.trim_end());
    let headings = lines.filter_map(|line| {
        line.trim_start_matches('#')
            .strip_prefix(' ')
            .filter(|_| line.starts_with('#'))
    });
    let anchor = |heading: &str| {
        let kept = heading.chars().filter_map(|letter| match letter {
            ' ' => Some('-'),
            _ if letter.is_alphanumeric() || letter == '-' || letter == '_' => {
                Some(letter.to_ascii_lowercase())
            }
            _ => None,
        });
        kept.collect()
    };
    headings.map(anchor).collect()
}
