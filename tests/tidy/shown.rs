//! What users see of an item: each public type of the library and of coldstart-tower has an example, and each summary stands alone.
#![expect(
    clippy::expect_used,
    reason = "outside of #[test] functions too, a test may end itself"
)]

use std::path::Path;

use super::source::{Finding, Source, declared, walk};
use super::{Rule, keep};

/// The types without an example, and why. One that gets an example is taken off.
const WITHOUT: &[(&str, &str)] = &[
    ("Async", "a kind that the compiler infers"),
    ("Itself", "a kind that the compiler infers"),
    ("Value", "a kind that the compiler infers"),
    (
        "StateKind",
        "nothing but this crate implements it, and nothing names it",
    ),
    (
        "NoHandler",
        "stands in the type of a pool without a handler",
    ),
    (
        "NoHttp",
        "stands in the type of a function without an HTTP handler",
    ),
];

/// Not seen by users: what a test or a fuzzer reaches, and programs.
const HIDDEN: &[&str] = &["src/sim/", "src/bin/", "src/function/check.rs"];

/// A summary is read alone, in a list of items or an editor: these words lean on what stands above or elsewhere.
const LEANING: &[&str] = &["The same", "See ", "As there", "It "];

/// The public types of a file, each with whether its own documentation has an example. `unreachable_pub` is denied, so that what is
/// `pub` can be reached, unless its documentation says that it is hidden, or the lint's own exception that it cannot be named.
fn types(source: &Source) -> Vec<(String, bool)> {
    let mut found = Vec::new();
    for line in starts(&source.shipped) {
        let rest = &source.shipped[line..];
        let item = rest.strip_prefix("pub ").unwrap_or_default();
        let is_type = ["struct ", "enum ", "trait ", "union "]
            .iter()
            .any(|kind| item.starts_with(kind));
        if !is_type {
            continue;
        }
        let name = declared(item.split('\n').next().unwrap_or_default());
        let name = name.first().expect("a type has a name").1.to_owned();
        let above = above(&source.text[..line]);
        let is_hidden = above.contains("#[doc(hidden)]") || above.contains("unnameable_types");
        if !is_hidden {
            let has_example = above.lines().any(|line| line.starts_with("/// ```"));
            found.push((name, has_example));
        }
    }
    found
}

/// Where lines begin.
fn starts(text: &str) -> impl Iterator<Item = usize> {
    let ends = text.match_indices('\n').map(|(at, _)| at + 1);
    std::iter::once(0).chain(ends)
}

/// The documentation and the attributes that end a text: everything after the last empty line.
fn above(text: &str) -> &str {
    let start = text.rfind("\n\n").map_or(0, |at| at + 2);
    &text[start..]
}

#[test]
fn each_public_type_has_an_example() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = Vec::new();
    for folder in ["src", "tower/src"] {
        walk(root, &root.join(folder), &mut |path, text| {
            let is_hidden = HIDDEN.iter().any(|hidden| path.starts_with(hidden));
            if path.ends_with(".rs") && !is_hidden {
                all.extend(types(&Source::new(path, text)));
            }
        });
    }
    assert!(all.len() > 70, "few types: {all:?}");
    for (name, has_example) in &all {
        let reason = WITHOUT.iter().find(|(without, _)| without == name);
        assert!(
            *has_example || reason.is_some(),
            "{name} has no example in its documentation"
        );
        assert!(
            !*has_example || reason.is_none(),
            "{name} has an example: take it off the list"
        );
    }
    for (name, reason) in WITHOUT {
        let is_there = all.iter().any(|(known, _)| known == name);
        assert!(is_there, "no type {name}, which {reason}");
    }
}

#[test]
fn each_public_summary_stands_alone() {
    keep(&Rule {
        why: "the first line of a public item's documentation is read alone: say what the item is or does",
        applies: |path| {
            let is_library = path.starts_with("src/") || path.starts_with("tower/src/");
            is_library
                && path.ends_with(".rs")
                && !HIDDEN.iter().any(|hidden| path.starts_with(hidden))
        },
        find: leaning,
        bad: (
            "src/a.rs",
            "/// A.\npub fn a() {}\n\n/// The same with a [`B`].\n///\n/// # Errors\n#[must_use]\npub fn b() {}\n",
        ),
        good: (
            "src/a.rs",
            "/// As [`a`], with a [`B`].\n///\n/// It waits.\npub fn b() {}\n\n/// The same.\npub(crate) fn c() {}\n",
        ),
    });
}

fn leaning(source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    // Where a documentation begins, if that leans on something.
    let (mut summary, mut is_inside) = (None, false);
    let mut at = 0;
    for line in source.text.split_inclusive('\n') {
        let text = line.trim();
        if let Some(words) = text.strip_prefix("/// ").filter(|_| !is_inside) {
            let is_leaning = LEANING.iter().any(|start| words.starts_with(start));
            summary = is_leaning.then(|| (at, text.to_owned()));
        }
        is_inside = text.starts_with("///") || (is_inside && text.starts_with("#["));
        if text.starts_with("pub ") {
            found.extend(summary.take());
        }
        if !is_inside {
            summary = None;
        }
        at += line.len();
    }
    found
}

#[test]
fn an_example_is_a_block_of_code_in_the_documentation_of_the_type_itself() {
    for (text, expected) in [
        ("/// A.\npub struct A;\n", &[("A", false)][..]),
        (
            "/// A.\n///\n/// ```\n/// a();\n/// ```\n#[derive(Debug)]\npub struct A {\n    pub b: u8,\n}\n",
            &[("A", true)],
        ),
        (
            "/// ```\n/// ```\nfn f() {}\n\n/// B.\npub enum B<T> {}\n",
            &[("B", false)],
        ),
        (
            "/// C.\n#[doc(hidden)]\npub trait C {}\npub(crate) struct D;\n",
            &[],
        ),
        ("#[cfg(test)]\nmod tests {\npub struct E;\n}\n", &[]),
    ] {
        let found = types(&Source::new("src/a.rs".to_owned(), text.to_owned()));
        let found: Vec<(&str, bool)> = found
            .iter()
            .map(|(name, has)| (name.as_str(), *has))
            .collect();
        assert_eq!(found, expected, "{text}");
    }
}
