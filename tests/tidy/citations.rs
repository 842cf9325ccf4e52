//! Citations of the platform's contract: each names a section or rule that `docs/contract.md` has, in one of two forms.
//!
//! In doc comments of the library, which docs.rs shows, a citation is a link: `[contract §3](crate::contract#3-requests)`.
//! Everywhere else it is text: `contract §3`, `contract §2 and §3`, `contract rule 4`.

use super::source::{Finding, Source};
use super::{Rule, keep};

const CONTRACT: &str = include_str!("../../docs/contract.md");

#[test]
fn citations_of_the_contract_resolve() {
    keep(&Rule {
        why: "cite docs/contract.md as `contract §3` or `contract rule 4`, and in /// of src/ as a link: \
              `[contract §3](crate::contract#3-requests)`",
        applies: |path| {
            let is_text = path.ends_with(".rs") || path.ends_with(".md");
            is_text && path != "docs/contract.md" && !path.starts_with("tests/tidy")
        },
        find,
        bad: ("platform/src/main.rs", "//! As contract §77 says."),
        good: ("platform/src/main.rs", "//! As contract §3 says."),
    });
}

#[test]
fn a_citation_has_one_form_and_an_end() {
    let library = "src/limits.rs";
    let other = "tests/README.md";
    for (path, text, is_broken) in [
        (other, "(contract §2 and §3)", false),
        (other, "(contract §2 and §33)", true),
        (other, "Contract rule 12.", false),
        (other, "contract rule 13", true),
        (other, "contract rule four", true),
        (other, "(contract, section 3)", true),
        (other, "the contract section 3", true),
        (other, "the rules of the contract; section", false),
        (other, "a `Contract` of rules", false),
        (other, "see ../CONTRACT.md", true),
        (other, "see [the contract](../docs/contract.md)", false),
        (library, "/// As contract §3 says.", true),
        (library, "// As contract §3 says.", false),
        (library, "//! As contract §3 says.", false),
        (
            library,
            "/// [contract §3](crate::contract#3-requests) and [§2](crate::contract#2-start)",
            false,
        ),
        (library, "/// [contract §3](crate::contract#2-start)", true),
        (library, "/// [§9](crate::contract#3-requests)", true),
        (library, "/// [contract §3](crate::contract)", true),
        (
            library,
            "/// [contract rule 4](crate::contract#1-the-rules)",
            false,
        ),
    ] {
        let found = find(&Source::new(path.to_owned(), text.to_owned()));
        assert_eq!(!found.is_empty(), is_broken, "{path}: {text}: {found:?}");
    }
}

/// The sections of the contract: number, and the anchor that rustdoc and forges make of the heading.
fn sections() -> Vec<(&'static str, String)> {
    let headings = CONTRACT.lines().filter_map(|line| line.strip_prefix("## "));
    let parted = |heading: &'static str| {
        let (number, _) = heading.split_once(". ").unwrap_or_default();
        let kept = heading.chars().filter_map(|letter| match letter {
            ' ' => Some('-'),
            _ if letter.is_alphanumeric() || letter == '-' => Some(letter.to_ascii_lowercase()),
            _ => None,
        });
        (number, kept.collect())
    };
    headings.map(parted).collect()
}

fn has_rule(number: &str) -> bool {
    let row = format!("| {number} | ");
    let rules = CONTRACT.split("\n## ").nth(1).unwrap_or_default();
    rules.lines().any(|line| line.starts_with(&row))
}

/// The digits at the start of a text.
fn number(text: &str) -> &str {
    let end = text.find(|letter: char| !letter.is_ascii_digit());
    &text[..end.unwrap_or(text.len())]
}

fn find(source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut start = 0;
    for line in source.text.split_inclusive('\n') {
        let mut wrong = in_line(line);
        // docs.rs may show it.
        if source.path.starts_with("src/") && line.trim_start().starts_with("///") {
            wrong.extend(unlinked(line));
        }
        found.extend(wrong.into_iter().map(|(at, what)| (start + at, what)));
        start += line.len();
    }
    found
}

/// What is wrong with the citations of one line.
fn in_line(line: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    for (at, _) in line.match_indices("CONTRACT.md") {
        found.push((at, "the page is docs/contract.md".to_owned()));
    }
    for (at, _) in line.to_ascii_lowercase().match_indices("contract") {
        let rest = &line[at + "contract".len()..];
        if let Some(what) = wrong_citation(rest) {
            found.push((at, what));
        }
    }
    for (at, link) in line.match_indices("](crate::contract") {
        let target = &line[at + link.len()..];
        let target = target.split(')').next().unwrap_or_default();
        let text = line[..at].rsplit('[').next().unwrap_or_default();
        if expected_anchor(text).is_none_or(|anchor| target.strip_prefix('#') != Some(&anchor)) {
            found.push((at, format!("`{text}` does not link to `{target}`")));
        }
    }
    found
}

/// The citations of one line that are text and no link.
fn unlinked(line: &str) -> Vec<Finding> {
    let cited = ["contract §", "contract rule "].map(|form| line.match_indices(form));
    let text = cited
        .into_iter()
        .flatten()
        .filter(|(at, _)| !line[..*at].ends_with('['));
    text.map(|(at, _)| (at, "docs.rs shows this: make it a link".to_owned()))
        .collect()
}

/// What is wrong with the citation whose word `contract` stands before `rest`; `None` also if it is no citation.
fn wrong_citation(rest: &str) -> Option<String> {
    let bare = rest.trim_start_matches([',', ':', ';']).trim_start();
    let is_old = rest.starts_with(',') || rest.starts_with(' ');
    let numbered = |word: &str| {
        let after = bare.strip_prefix(word)?.trim_start_matches('s');
        after
            .trim_start()
            .starts_with(|first: char| first.is_ascii_digit())
            .then_some(())
    };
    if is_old
        && (numbered("section").is_some() || (rest.starts_with(',') && numbered("rule").is_some()))
    {
        return Some("this is no form of a citation".to_owned());
    }
    if let Some(rule) = rest.strip_prefix(" rule ") {
        let number = number(rule);
        return (!has_rule(number)).then(|| format!("no rule \"{number}\""));
    }
    let mut cited = rest.strip_prefix(" §")?;
    loop {
        let number = number(cited);
        if !sections().iter().any(|(known, _)| *known == number) {
            return Some(format!("no section \"{number}\""));
        }
        let after = &cited[number.len()..];
        cited = after
            .strip_prefix(" and §")
            .or_else(|| after.strip_prefix(", §"))?;
    }
}

/// Where a link with this text has to lead.
fn expected_anchor(text: &str) -> Option<String> {
    let bare = text.strip_prefix("contract ").unwrap_or(text);
    let cited = match bare.strip_prefix("rule ") {
        Some(_) => "1",
        None => bare.strip_prefix('§')?,
    };
    let mut sections = sections().into_iter();
    sections
        .find(|(number, _)| *number == cited)
        .map(|(_, anchor)| anchor)
}
