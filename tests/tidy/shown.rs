//! What users see of an item: each public type of the library and of coldstart-tower has an example.
#![expect(
    clippy::expect_used,
    reason = "outside of #[test] functions too, a test may end itself"
)]

use std::path::Path;

use super::source::{Source, declared, walk};

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
