//! What the rules of tidy look at: files, and what of them is code.
#![expect(
    clippy::expect_used,
    reason = "outside of #[test] functions too, a test may end itself"
)]

use std::fs;
use std::path::Path;

/// Directories that hold nothing of ours to read.
const FOREIGN: &[&str] = &[
    "target",
    "node_modules",
    "venv",
    "corpus",
    "artifacts",
    "coverage",
];

/// Hidden files and directories that are ours.
const SHOWN: &[&str] = &[
    ".cargo",
    ".ci",
    ".editorconfig",
    ".gitattributes",
    ".github",
    ".gitignore",
];

/// Where in a text, as an offset, and what.
pub(crate) type Finding = (usize, String);

/// Visits every text file of the project.
pub(crate) fn walk(root: &Path, directory: &Path, visit: &mut impl FnMut(String, String)) {
    for entry in fs::read_dir(directory).expect("a directory that can be read") {
        let path = entry.expect("an entry").path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let is_hidden = name.starts_with('.') && !SHOWN.contains(&name);
        if is_hidden || FOREIGN.contains(&name) || path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            walk(root, &path, visit);
        } else if let Ok(text) = fs::read_to_string(&path) {
            let path = path.strip_prefix(root).expect("a path under the root");
            visit(path.to_string_lossy().into_owned(), text);
        }
    }
}

/// A file, and what of it is code. All three texts are of one length: what is left out is blank.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
    /// Without comments; in place of literals quotation marks.
    pub(crate) code: String,
    /// The code without unit tests.
    pub(crate) shipped: String,
    /// Where literals are, as ranges of the text; unit tests have none.
    pub(crate) literals: Vec<(usize, usize)>,
}

impl Source {
    pub(crate) fn new(path: String, text: String) -> Self {
        let (code, mut literals) = if path.ends_with(".rs") {
            strip(&text)
        } else {
            (String::new(), Vec::new())
        };
        let mut shipped = code.clone();
        for (start, mark) in code.match_indices("#[cfg(test)]") {
            let end = start + mark.len() + item(&code[start + mark.len()..]).len();
            blank(&mut shipped, start, end, ' ');
            literals.retain(|(at, _)| !(start..end).contains(at));
        }
        Self {
            path,
            text,
            code,
            shipped,
            literals,
        }
    }
}

/// The code of a text, and where its literals are.
fn strip(text: &str) -> (String, Vec<(usize, usize)>) {
    let mut code = text.to_owned();
    let mut literals = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let end = at
            + if rest.starts_with("//") {
                rest.find('\n').unwrap_or(rest.len())
            } else if rest.starts_with("/*") {
                comment_len(rest)
            } else if let Some(len) = literal_len(rest) {
                literals.push((at, at + len));
                len
            } else if is_name(first) {
                rest.find(|letter| !is_name(letter)).unwrap_or(rest.len())
            } else {
                first.len_utf8()
            };
        if rest.starts_with("//") || rest.starts_with("/*") {
            blank(&mut code, at, end, ' ');
        } else if literals.last() == Some(&(at, end)) {
            blank(&mut code, at, end, '"');
        }
        at = end;
    }
    (code, literals)
}

/// The length of the block comment that `rest` begins with; they nest.
fn comment_len(rest: &str) -> usize {
    let mut depth = 0_usize;
    for (at, _) in rest.char_indices() {
        if rest[at..].starts_with("/*") {
            depth += 1;
        } else if rest[..at].ends_with("*/") && at > 2 {
            depth -= 1;
            if depth == 0 {
                return at;
            }
        }
    }
    rest.len()
}

/// The length of the literal that `rest` begins with, if it does: text, bytes or a character, raw or not.
fn literal_len(rest: &str) -> Option<usize> {
    let bare = rest.strip_prefix(['b', 'c']).unwrap_or(rest);
    if let Some(raw) = bare.strip_prefix('r') {
        let opened = raw.trim_start_matches('#');
        let close = format!("\"{}", "#".repeat(raw.len() - opened.len()));
        let start = rest.len() - opened.len() + 1;
        let len = opened.strip_prefix('"')?.find(&close)?;
        return Some(start + len + close.len());
    }
    let quote = bare
        .chars()
        .next()
        .filter(|first| matches!(first, '"' | '\''))?;
    let inside = &bare[1..];
    let mut letters = inside.char_indices();
    let (_, first) = letters.next()?;
    // 'a' is a character, 'a alone a lifetime.
    if quote == '\'' && first != '\\' && !inside[first.len_utf8()..].starts_with('\'') {
        return None;
    }
    let mut is_escaped = false;
    let end = inside.char_indices().find(|(_, letter)| {
        let is_end = *letter == quote && !is_escaped;
        is_escaped = *letter == '\\' && !is_escaped;
        is_end
    });
    end.map(|(at, _)| rest.len() - inside.len() + at + 1)
}

/// The item that `code` begins with, to its semicolon or closing brace.
fn item(code: &str) -> &str {
    let mut depth = 0_i32;
    for (at, letter) in code.char_indices() {
        match letter {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        if depth < 0 || (depth == 0 && matches!(letter, '}' | ';')) {
            return &code[..=at];
        }
    }
    code
}

/// The items that begin with `keyword`: where, what stands before the brace, and what after it.
pub(crate) fn items<'c>(code: &'c str, keyword: &str) -> Vec<(usize, &'c str, &'c str)> {
    let parted = |(at, _): Finding| {
        let item = item(&code[at..]);
        let (head, body) = item.split_once('{').unwrap_or((item, ""));
        (at, head.trim_end(), body)
    };
    words(code, &[keyword]).into_iter().map(parted).collect()
}

/// Overwrites a range; line ends stay, so that line numbers do.
fn blank(code: &mut String, start: usize, end: usize, with: char) {
    let keep = |byte: u8| if byte == b'\n' { '\n' } else { with };
    let blanked: String = code[start..end].bytes().map(keep).collect();
    code.replace_range(start..end, &blanked);
}

/// Where one of `wanted` stands for itself: a word at its edge is not a part of a longer one.
pub(crate) fn words(text: &str, wanted: &[&str]) -> Vec<Finding> {
    let mut found = Vec::new();
    for word in wanted {
        let starts_inside = |before: &str| {
            word.starts_with(|first: char| first.is_alphanumeric() || first == '/')
                && before.ends_with(is_name)
        };
        let ends_inside =
            |after: &str| word.ends_with(char::is_alphanumeric) && after.starts_with(is_name);
        for (at, _) in text.match_indices(word) {
            if !starts_inside(&text[..at]) && !ends_inside(&text[at + word.len()..]) {
                found.push((at, format!("`{word}`")));
            }
        }
    }
    found
}

fn is_name(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// The literals that `is_wrong`, each as it is written.
pub(crate) fn literals(source: &Source, is_wrong: impl Fn(&str) -> bool) -> Vec<Finding> {
    let written = |(start, end): &(usize, usize)| (*start, source.text[*start..*end].to_owned());
    let all = source.literals.iter().map(written);
    all.filter(|(_, literal)| is_wrong(literal)).collect()
}

/// The lines that `is_wrong`.
pub(crate) fn lines(text: &str, is_wrong: impl Fn(&str) -> bool) -> Vec<Finding> {
    let mut start = 0;
    let mut found = Vec::new();
    for line in text.split('\n') {
        if is_wrong(line) {
            found.push((start, format!("{line:?}")));
        }
        start += line.len() + 1;
    }
    found
}

/// The names that the code gives, and where.
pub(crate) fn declared(code: &str) -> Vec<(usize, &str)> {
    const GIVERS: [&str; 9] = [
        "fn ", "let ", "let mut ", "struct ", "enum ", "trait ", "mod ", "const ", "static ",
    ];
    let mut names: Vec<(usize, &str)> = Vec::new();
    for giver in GIVERS {
        for (at, _) in words(code, &[giver]) {
            let name = &code[at + giver.len()..];
            let end = name.find(|letter| !is_name(letter)).unwrap_or(name.len());
            names.push((at, &name[..end]));
        }
    }
    names.sort_unstable();
    names
}

/// `read_lenMax` → read, len, max.
pub(crate) fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut before = '_';
    for letter in name.chars() {
        if letter == '_' || (letter.is_uppercase() && before.is_lowercase()) {
            parts.push(String::new());
        }
        if letter != '_' {
            parts
                .last_mut()
                .expect("one at least")
                .extend(letter.to_lowercase());
        }
        before = letter;
    }
    parts.retain(|part| !part.is_empty());
    parts
}

#[test]
fn comments_and_literals_are_no_code() {
    for (text, code) in [
        ("a // b\nc", "a     \nc"),
        ("a /* /* b */ c */ d", "a                 d"),
        (
            "f(\"a\\\"b\", b'\\'', 'x')",
            "f(\"\"\"\"\"\", \"\"\"\"\", \"\"\")",
        ),
        (
            "r#\"a\"b\"# r\"\\\" r#type",
            "\"\"\"\"\"\"\"\" \"\"\"\" r#type",
        ),
        (
            "<'a>(&'b str, 'é', b\"//\")",
            "<'a>(&'b str, \"\"\"\", \"\"\"\"\")",
        ),
        ("\"a\nb\" c", "\"\"\n\"\" c"),
    ] {
        let source = Source::new("a.rs".to_owned(), text.to_owned());
        assert_eq!(source.code, code, "{text}");
    }
}

#[test]
fn unit_tests_are_not_shipped() {
    let text = "a;\n#[cfg(test)]\nmod tests {\n    fn b() { \"}\" }\n}\nc(\"d\");";
    let source = Source::new("a.rs".to_owned(), text.to_owned());
    let shipped: Vec<&str> = source.shipped.split_whitespace().collect();
    assert_eq!(shipped, ["a;", "c(\"\"\");"]);
    assert_eq!(
        literals(&source, |_| true),
        [(text.len() - 5, "\"d\"".to_owned())]
    );
    assert!(source.code.contains("mod tests"));
}
