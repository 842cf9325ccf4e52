//! Plain English: phrases that comments, docs and messages do not use, each with what to write instead.

use super::source::{Finding, Source, words};
use super::{Rule, keep};

/// A phrase that is banned, and what to write. CONTRIBUTING.md says why.
const PHRASES: &[(&str, &str)] = &[
    ("nobody", "name the subject"),
    ("whoever", "name the subject"),
    ("what is there", "name it"),
    ("mend", "fix"),
    ("mends", "fix"),
    ("mended", "fixed"),
    ("remedy", "fix"),
    ("remedies", "fixes"),
    ("hears", "is notified"),
    ("is told", "is notified, or is passed"),
    ("are told", "are notified, or are passed"),
    ("was told", "was notified, or was passed"),
    ("tells of", "reports"),
    ("told of", "notified of"),
    ("so many", "this many"),
    ("at the most", "at most"),
    ("at the least", "at least"),
    ("made-up world", "simulation"),
    ("made-up kernel", "simulated kernel"),
    ("made-up handler", "simulated handler"),
    ("made-up site", "test site"),
    (
        "behind",
        "after; a thing is behind a proxy, a feature or a trait only",
    ),
    // As std and the protocols spell: `initialize`, `color`.
    ("behaviour", "behavior"),
    ("centre", "center"),
    ("colour", "color"),
    ("colours", "colors"),
    ("honour", "honor"),
    ("honoured", "honored"),
    ("initialised", "initialized"),
    ("licence", "license"),
    ("licences", "licenses"),
    ("neighbour", "neighbor"),
    ("neighbours", "neighbors"),
    ("optimised", "optimized"),
    ("recognised", "recognized"),
];

/// Where a banned word has its usual meaning.
const USUAL: &[&str] = &[
    "behind a proxy",
    "behind a reverse proxy",
    "behind nginx",
    "behind the gateway",
    "behind a feature",
    "behind features",
    "behind the feature",
    "behind a trait",
    "behind the scenes",
    "behind one loop",
    "left behind",
    "stays behind",
    "as nobody",
    "user nobody",
    "\"nobody\"",
];

/// What is read: sources, papers, scripts and their settings.
const KINDS: &[&str] = &[".rs", ".md", ".toml", ".txt", ".py", ".ld", ".yml", ".html"];

#[test]
fn prose_is_plain_english() {
    keep(&Rule {
        why: "plain English: src/README.md and CONTRIBUTING.md say how we write",
        applies: |path| {
            let is_ours = KINDS.iter().any(|kind| path.ends_with(kind)) || path.starts_with(".ci/");
            // The list of phrases, and what a program writes.
            let is_exempt = path.starts_with("tests/tidy") || path.starts_with("benches/report/");
            is_ours && !is_exempt
        },
        find: banned,
        bad: (
            "src/lib.rs",
            "/// The field behind\n/// it, which nobody\n/// reads.\n",
        ),
        good: (
            "src/lib.rs",
            "/// A server behind a proxy; `behind` is a field.\nlet behind = link.behind;",
        ),
    });
}

#[test]
fn prose_is_comments_literals_and_pages_without_their_code() {
    for (path, text, expected) in [
        ("a.rs", "let nobody = 1; // nobody", 1),
        ("a.rs", "panic!(\"nobody came\")", 1),
        ("a.rs", "/* so\n   many */ fn so() {}", 1),
        ("a.rs", "// so\n    // many bytes", 1),
        ("a.rs", "\"GET /behind HTTP/1.1\"", 0),
        ("a.rs", "// `nobody` and `so many`", 0),
        ("a.md", "so\nmany\n\n```text\nso many\n```\n\n> behind\n", 2),
        ("a.md", "It runs as nobody, behind a proxy.", 0),
        (
            "a.md",
            "<!-- a: written by b -->\nnobody\n<!-- a -->\nnobody\n",
            1,
        ),
        (".ci/run", "# Behind it\necho nobody", 2),
    ] {
        let found = banned(&Source::new(path.to_owned(), text.to_owned()));
        assert_eq!(found.len(), expected, "{path}: {text:?}: {found:?}");
    }
}

fn banned(source: &Source) -> Vec<Finding> {
    let prose = prose(source);
    let usual: Vec<(usize, usize)> = USUAL
        .iter()
        .flat_map(|usual| places(&prose, usual))
        .collect();
    let mut found = Vec::new();
    for (phrase, instead) in PHRASES {
        for (at, _) in places(&prose, phrase) {
            let is_usual = usual
                .iter()
                .any(|(start, end)| (*start..*end).contains(&at));
            // A part of a path or of a longer word.
            let is_part = prose[..at].ends_with(['/', '-', '.', '_']);
            if !is_usual && !is_part {
                found.push((at, format!("\"{phrase}\": {instead}")));
            }
        }
    }
    found.sort_unstable();
    found
}

/// Where a phrase starts and ends; its words may be on two lines.
fn places(prose: &str, phrase: &str) -> Vec<(usize, usize)> {
    let mut parts = phrase.split(' ');
    let first = parts.next().unwrap_or_default();
    let rest: Vec<&str> = parts.collect();
    let whole = |(at, _): Finding| {
        let mut end = at + first.len();
        for part in &rest {
            let after = prose[end..].trim_start();
            let start = prose.len() - after.len();
            let is_word = start > end && after.starts_with(part);
            let next = after.get(part.len()..)?.chars().next();
            if !is_word || next.is_some_and(char::is_alphanumeric) {
                return None;
            }
            end = start + part.len();
        }
        Some((at, end))
    };
    words(prose, &[first])
        .into_iter()
        .filter_map(whole)
        .collect()
}

/// What people read in a file, in lower case; everything else is blank, and so are line ends and the marks of comments, so
/// that a phrase is found across lines. Offsets are those of the file.
fn prose(source: &Source) -> String {
    let is_rust = source.path.ends_with(".rs");
    let mut prose = String::with_capacity(source.text.len());
    let mut is_fenced = false;
    // What a program has written into a page is said elsewhere, and read there.
    let mut is_written = false;
    let mut at = 0;
    for line in source.text.split_inclusive('\n') {
        let is_fence = source.path.ends_with(".md") && line.trim_start().starts_with("```");
        is_fenced ^= is_fence;
        if line.starts_with("<!-- ") {
            is_written = line.contains(": written by ");
        }
        let mut is_quoted = false;
        let mut is_indent = true;
        for letter in line.chars() {
            let code = source.code.as_bytes().get(at);
            at += letter.len_utf8();
            is_quoted ^= letter == '`';
            // In a comment the code is blank, in a literal it is a quotation mark.
            let is_code = is_rust && !matches!(code, Some(b' ' | b'"'));
            is_indent &= " \t/*!#>\n".contains(letter);
            let is_hidden =
                is_code || is_quoted || is_indent || is_fence || is_fenced || is_written;
            if is_hidden || !letter.is_ascii() || letter.is_ascii_whitespace() {
                prose.extend(std::iter::repeat_n(' ', letter.len_utf8()));
            } else {
                prose.push(letter.to_ascii_lowercase());
            }
        }
    }
    prose
}
