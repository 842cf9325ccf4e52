//! `.env` beside the deployment file, which the deployment tool lays under its own environment (dotenv 16, with
//! dotenv-expand).

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use crate::exit::Failure;

const NAME: &str = ".env";
const LEN_MAX: u64 = 1024 * 1024;
/// References may lead to references, but not for ever.
const DEPTH_MAX: u32 = 16;

/// The variables of the file, if there is one.
#[derive(Debug, Default)]
pub(super) struct Variables(BTreeMap<String, String>);

impl Variables {
    /// Reads the file in a folder.
    pub(super) fn beside(folder: &Path) -> Result<Self, Failure> {
        let path = folder.join(NAME);
        let refused = |why: &dyn std::fmt::Display| {
            Failure::input(format!("cannot read {}: {why}", path.display()))
        };
        let length = match fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => metadata.len(),
            // A folder of this name holds a Python environment.
            Ok(_) => return Ok(Self::default()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(refused(&error)),
        };
        if length > LEN_MAX {
            return Err(refused(&"it is too large for a list of variables"));
        }
        let bytes = fs::read(&path).map_err(|error| refused(&error))?;
        let text = String::from_utf8(bytes)
            .map_err(|_| refused(&"it is not UTF-8; save it in that encoding"))?;
        Ok(Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        let mut variables = BTreeMap::new();
        let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
        while !rest.is_empty() {
            let line = line(rest);
            let after = rest.get(line.len()..).unwrap_or_default();
            let Some((name, value)) = name(line) else {
                rest = after.get(1..).unwrap_or_default();
                continue;
            };
            // A quoted value may go on over several lines.
            let begin = line.len() - value.len();
            let value = rest.get(begin..).unwrap_or_default();
            let (value, used) = quoted(value).unwrap_or_else(|| plain(value));
            variables.insert(name.to_owned(), value);
            let after = rest.get(begin + used..).unwrap_or_default();
            let end = self::line(after).len();
            rest = after.get(end + 1..).unwrap_or_default();
        }
        Self(variables)
    }

    /// The value of a variable: that of this program's environment, or else the file's, with its references replaced.
    pub(super) fn get(&self, name: &str, own: &dyn Fn(&str) -> Option<String>) -> Option<String> {
        self.look_up(name, own, DEPTH_MAX)
    }

    /// The variables that this program's environment does not have, with their references replaced.
    pub(super) fn all(&self, own: &dyn Fn(&str) -> Option<String>) -> BTreeMap<String, String> {
        let names = self.0.keys().filter(|name| own(name).is_none());
        names
            .filter_map(|name| Some((name.clone(), self.get(name, own)?)))
            .collect()
    }

    fn look_up(
        &self,
        name: &str,
        own: &dyn Fn(&str) -> Option<String>,
        depth: u32,
    ) -> Option<String> {
        if let Some(value) = own(name) {
            return Some(value);
        }
        let mut rest = self.0.get(name)?.as_str();
        let mut value = String::new();
        while let Some((before, after)) = rest.split_once('$') {
            if let Some(escaped) = before.strip_suffix('\\') {
                value.push_str(escaped);
                value.push('$');
                rest = after;
                continue;
            }
            value.push_str(before);
            let (reference, default, after) = reference(after);
            rest = after;
            match reference {
                "" => value.push('$'),
                _ if depth == 0 => {}
                _ => {
                    let found = self.look_up(reference, own, depth - 1);
                    let found = found.filter(|found| !found.is_empty());
                    value.push_str(&found.unwrap_or_else(|| default.to_owned()));
                }
            }
        }
        Some(value + rest)
    }
}

/// Up to the end of the line.
fn line(text: &str) -> &str {
    text.split('\n').next().unwrap_or_default()
}

/// Splits `export NAME = value`. `None` for a comment and for anything else.
fn name(line: &str) -> Option<(&str, &str)> {
    let line = line.trim_start();
    let line = match line.strip_prefix("export") {
        Some(rest) if rest.starts_with(char::is_whitespace) => rest.trim_start(),
        Some(_) | None => line,
    };
    let end = line.find(|letter| !is_of_name(letter))?;
    let (name, rest) = line.split_at(end);
    let value = match rest.trim_start().strip_prefix('=') {
        Some(value) => value,
        None => rest
            .strip_prefix(':')
            .filter(|rest| rest.starts_with(' '))?,
    };
    (!name.is_empty()).then_some((name, value))
}

fn is_of_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.' | '-')
}

/// The text between quotation marks, and the length with them.
fn quoted(text: &str) -> Option<(String, usize)> {
    let inner = text.trim_start_matches([' ', '\t']);
    let quote = inner.chars().next().filter(|mark| "'\"`".contains(*mark))?;
    let inner = inner.get(1..)?;
    let mut is_escaped = false;
    let end = inner.find(|letter| {
        let is_end = letter == quote && !is_escaped;
        is_escaped = letter == '\\' && !is_escaped;
        is_end
    })?;
    let value = inner.get(..end)?;
    let used = text.len() - inner.len() + end + 1;
    Some(match quote {
        '"' => (value.replace("\\n", "\n").replace("\\r", "\r"), used),
        _ => (value.to_owned(), used),
    })
}

/// The text up to a comment or the end of the line.
fn plain(text: &str) -> (String, usize) {
    let line = line(text);
    let value = line.split('#').next().unwrap_or_default();
    (value.trim().to_owned(), line.len())
}

/// Splits what follows a `$`: the name, the default, and the rest.
fn reference(text: &str) -> (&str, &str, &str) {
    let braced = text
        .strip_prefix('{')
        .and_then(|inner| inner.split_once('}'));
    if let Some((inner, rest)) = braced {
        let (name, default) = inner.split_once(":-").unwrap_or((inner, ""));
        return (name, default, rest);
    }
    let end = text.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let (name, rest) = text.split_at(end.unwrap_or(text.len()));
    (name, "", rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_as_dotenv_reads_it() {
        let text = "# a comment\nPLAIN=text here  # and one\n\nexport EXPORTED = x\r\nSINGLE='a # b\\n'\n\
                    DOUBLE=\"two\\nlines\"\nLONG=\"one\ntwo\" # three\nCOLON: y\nEMPTY=\nno variable\nOPEN=\"half\n\
                    TWICE=${PLAIN}-$EXPORTED\nELSE=${NOTHING:-otherwise}\nPRICE=\\$5\nOWN=theirs\nLOOP=$LOOP";
        let variables = Variables::parse(text);
        let own = |name: &str| (name == "OWN").then(|| "ours".to_owned());
        let cases = [
            ("PLAIN", Some("text here")),
            ("EXPORTED", Some("x")),
            ("SINGLE", Some("a # b\\n")),
            ("DOUBLE", Some("two\nlines")),
            ("LONG", Some("one\ntwo")),
            ("COLON", Some("y")),
            ("EMPTY", Some("")),
            ("no", None),
            ("OPEN", Some("\"half")),
            ("TWICE", Some("text here-x")),
            ("ELSE", Some("otherwise")),
            ("PRICE", Some("$5")),
            ("OWN", Some("ours")),
            ("LOOP", Some("")),
            ("MISSING", None),
        ];
        for (name, expected) in cases {
            assert_eq!(variables.get(name, &own).as_deref(), expected, "{name}");
        }
    }
}
