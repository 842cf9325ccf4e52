//! The document as a tree whose nodes know where they stand, with the scalars that js-yaml 4 reads.

use std::fmt;
use std::rc::Rc;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Spanned, UserMessageFormatter, options};

/// The largest number that JavaScript writes without an exponent.
const PLAIN_NUMBER_MAX: f64 = 1e21;
/// The smallest such number.
const PLAIN_NUMBER_MIN: f64 = 1e-6;

/// Where a value stands in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: Rc<str>,
    pub(crate) line: u64,
}

/// One value of the document.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) place: Place,
}

/// What a node holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    /// JavaScript has one type of number, so the deployment tool has no other.
    Number(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

/// What is wrong, at which key and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    place: Place,
    key: String,
    message: String,
}

impl Problem {
    /// A problem with the value of `key`.
    pub(crate) fn new(node: &Node, key: &str, message: impl Into<String>) -> Self {
        Self {
            place: node.place.clone(),
            key: key.to_owned(),
            message: message.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.place.file)?;
        if self.place.line > 0 {
            write!(out, ":{}", self.place.line)?;
        }
        if self.key.is_empty() {
            write!(out, ": {}", self.message)
        } else {
            write!(out, ": {}: {}", self.key, self.message)
        }
    }
}

/// Parses a document.
pub(crate) fn parse(text: &str, file: &str) -> Result<Node, Problem> {
    // YAML 1.2 core, as js-yaml 4: `yes` and `on` are text, `0755` is 755.
    let options = options! {
        strict_booleans: true,
        with_snippet: false,
        non_finite_float_policy: options::NonFiniteFloatPolicy::AsString,
    };
    let file: Rc<str> = file.into();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let parsed: Result<Option<Raw>, _> = serde_saphyr::from_str_with_options(text, options);
    match parsed {
        Ok(raw) => Ok(raw.map_or_else(
            || Node {
                value: Value::Null,
                place: Place {
                    file: Rc::clone(&file),
                    line: 0,
                },
            },
            |raw| raw.place_in(&file),
        )),
        Err(error) => {
            let line = error.location().map_or(0, |location| location.line());
            let what = error.render_with_formatter(&UserMessageFormatter);
            Err(Problem {
                place: Place { file, line },
                key: String::new(),
                message: format!("malformed YAML: {}{}", first_line(&what), hint(text, line)),
            })
        }
    }
}

/// Application templates hold marks that are no YAML before they are filled in.
fn hint(text: &str, line: u64) -> &'static str {
    let line = usize::try_from(line).unwrap_or_default().checked_sub(1);
    let line = line.and_then(|index| text.lines().nth(index));
    if line.is_some_and(|line| line.contains("{{")) {
        "; `{{ … }}` stands for a value that `s init` asks for: write the value"
    } else {
        ""
    }
}

/// The library adds the position and more lines; both are said here in one line of ours.
fn first_line(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    let line = line.strip_prefix("error: ").unwrap_or(line);
    let line = line.rsplit_once(" at line ").map_or(line, |(what, _)| what);
    match line.split_once(": ") {
        Some((position, what)) if position.starts_with("line ") => what.to_owned(),
        Some(_) | None => line.to_owned(),
    }
}

impl Node {
    /// The field of a map.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        self.fields()
            .iter()
            .find_map(|(name, node)| (name == key).then_some(node))
    }

    /// The fields of a map; anything else has none.
    pub(crate) fn fields(&self) -> &[(String, Self)] {
        match &self.value {
            Value::Map(fields) => fields,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) => {
                &[]
            }
        }
    }

    /// The text of a text.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::List(_) | Value::Map(_) => {
                None
            }
        }
    }

    /// The same place with another value.
    pub(crate) fn with(&self, value: Value) -> Self {
        Self {
            value,
            place: self.place.clone(),
        }
    }

    /// Lays `over` on this node: maps field by field, everything else is replaced. A null replaces nothing.
    pub(crate) fn merged(&self, over: &Self) -> Self {
        match (&self.value, &over.value) {
            (_, Value::Null) => self.clone(),
            (Value::Map(base), Value::Map(fields)) => {
                let mut all = base.clone();
                for (name, node) in fields {
                    match all.iter_mut().find(|(known, _)| known == name) {
                        Some((_, known)) => *known = known.merged(node),
                        None => all.push((name.clone(), node.clone())),
                    }
                }
                over.with(Value::Map(all))
            }
            (
                Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::Text(_)
                | Value::List(_)
                | Value::Map(_),
                Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) | Value::Map(_),
            ) => over.clone(),
        }
    }
}

impl Value {
    /// What an error message calls it.
    pub(crate) fn kind(&self) -> String {
        match self {
            Self::Null => "nothing".to_owned(),
            Self::Bool(value) => format!("{value}"),
            Self::Number(value) => format!("the number {}", number_text(*value)),
            Self::Text(text) => format!("the text `{text}`"),
            Self::List(_) => "a list".to_owned(),
            Self::Map(_) => "a map".to_owned(),
        }
    }

    /// A scalar as text. Lists and maps have none.
    pub(crate) fn scalar_text(&self) -> Option<String> {
        match self {
            Self::Bool(value) => Some(value.to_string()),
            Self::Number(value) => Some(number_text(*value)),
            Self::Text(text) => Some(text.clone()),
            Self::Null | Self::List(_) | Self::Map(_) => None,
        }
    }
}

/// A number as JavaScript writes it: `3.10` is 3.1 and `1e3` is 1000.
pub(crate) fn number_text(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 {
        return "0".to_owned();
    }
    if (PLAIN_NUMBER_MIN..PLAIN_NUMBER_MAX).contains(&size) {
        return value.to_string();
    }
    let text = format!("{value:e}");
    match text.split_once('e') {
        Some((digits, exponent)) if !exponent.starts_with('-') => format!("{digits}e+{exponent}"),
        Some(_) | None => text,
    }
}

/// A node as it is read, before its file is known.
struct Raw(Spanned<RawValue>);

enum RawValue {
    Scalar(Value),
    List(Vec<Raw>),
    Map(Vec<(String, Raw)>),
}

impl Raw {
    fn place_in(self, file: &Rc<str>) -> Node {
        let place = Place {
            file: Rc::clone(file),
            line: self.0.referenced.line(),
        };
        let value = match self.0.value {
            RawValue::Scalar(value) => value,
            RawValue::List(items) => {
                Value::List(items.into_iter().map(|item| item.place_in(file)).collect())
            }
            RawValue::Map(fields) => Value::Map(
                fields
                    .into_iter()
                    .map(|(name, raw)| (name, raw.place_in(file)))
                    .collect(),
            ),
        };
        Node { value, place }
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Spanned::deserialize(from).map(Self)
    }
}

impl<'de> Deserialize<'de> for RawValue {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = RawValue;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<RawValue, E> {
        Ok(RawValue::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<RawValue, E> {
        Ok(RawValue::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<RawValue, D::Error> {
        from.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<RawValue, E> {
        Ok(RawValue::Scalar(Value::Bool(value)))
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "the deployment tool rounds in the same way"
    )]
    fn visit_i64<E>(self, value: i64) -> Result<RawValue, E> {
        Ok(RawValue::Scalar(Value::Number(value as f64)))
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "the deployment tool rounds in the same way"
    )]
    fn visit_u64<E>(self, value: u64) -> Result<RawValue, E> {
        Ok(RawValue::Scalar(Value::Number(value as f64)))
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "the deployment tool rounds in the same way"
    )]
    fn visit_i128<E>(self, value: i128) -> Result<RawValue, E> {
        Ok(RawValue::Scalar(Value::Number(value as f64)))
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "the deployment tool rounds in the same way"
    )]
    fn visit_u128<E>(self, value: u128) -> Result<RawValue, E> {
        Ok(RawValue::Scalar(Value::Number(value as f64)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<RawValue, E> {
        Ok(RawValue::Scalar(Value::Number(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<RawValue, E> {
        Ok(RawValue::Scalar(Value::Text(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<RawValue, A::Error> {
        let mut all = Vec::new();
        while let Some(item) = items.next_element()? {
            all.push(item);
        }
        Ok(RawValue::List(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<RawValue, A::Error> {
        let mut all = Vec::new();
        while let Some(field) = fields.next_entry()? {
            all.push(field);
        }
        Ok(RawValue::Map(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value {
        let node = parse(&format!("key: {text}"), "s.yaml").unwrap();
        node.get("key").unwrap().value.clone()
    }

    #[test]
    fn scalars_are_read_as_js_yaml_4_reads_them() {
        let text = |text: &str| Value::Text(text.to_owned());
        for word in [
            "yes", "no", "on", "off", "y", "N", "1:30", "0o", "12e", "nul", "=", ".inf",
        ] {
            assert_eq!(value(word), text(word), "{word}");
        }
        for (word, number) in [
            ("0755", 755.0),
            ("0o17", 15.0),
            ("0x1F", 31.0),
            ("0b101", 5.0),
            ("1_000", 1000.0),
            ("-12", -12.0),
            ("3.10", 3.1),
            (".5", 0.5),
            ("1e3", 1000.0),
        ] {
            assert_eq!(value(word), Value::Number(number), "{word}");
        }
        for word in ["", "~", "null", "Null", "NULL"] {
            assert_eq!(value(word), Value::Null, "{word}");
        }
        assert_eq!(value("True"), Value::Bool(true));
        assert_eq!(value("'0755'"), text("0755"));
    }

    #[test]
    fn numbers_become_text_as_in_javascript() {
        for (number, text) in [
            (3.10, "3.1"),
            (1000.0, "1000"),
            (-0.5, "-0.5"),
            (1e21, "1e+21"),
            (1.5e-7, "1.5e-7"),
            (0.0, "0"),
        ] {
            assert_eq!(number_text(number), text);
        }
    }

    #[test]
    fn nodes_know_their_lines() {
        let node = parse("a: 1\nb:\n  c:\n    - x\n", "s.yaml").unwrap();
        let c = node.get("b").and_then(|b| b.get("c")).unwrap();
        assert_eq!(c.place.line, 4);
        assert_eq!(node.get("a").unwrap().place.line, 1);
    }

    #[test]
    fn broken_documents_name_the_line() {
        for text in [
            "a: 1\nb: [",
            "a: 1\na: 2\n",
            "a: 1\n\tb: 2\n",
            "a: b: c",
            "--- 1\n--- 2\n",
        ] {
            let problem = parse(text, "s.yaml").unwrap_err().to_string();
            assert!(problem.starts_with("s.yaml:"), "{text:?}: {problem}");
            assert!(problem.contains("malformed YAML: "), "{problem}");
            assert_eq!(problem.lines().count(), 1, "{problem}");
        }
    }

    #[test]
    fn a_template_that_was_not_filled_in_says_so() {
        let problem = parse("a:\n  b: {{ license }}\n", "s.yaml").unwrap_err();
        let expected = "`{{ … }}` stands for a value that `s init` asks for";
        assert!(problem.to_string().contains(expected), "{problem}");
    }

    #[test]
    fn anchors_merge_keys_and_byte_order_marks_are_understood() {
        let text = "\u{feff}base: &b {x: 1, y: 2}\nother:\n  <<: *b\n  y: 3\n";
        let node = parse(text, "s.yaml").unwrap();
        let other = node.get("other").unwrap();
        assert_eq!(other.get("x").unwrap().value, Value::Number(1.0));
        assert_eq!(other.get("y").unwrap().value, Value::Number(3.0));
    }

    #[test]
    fn an_alias_bomb_is_refused() {
        let mut text = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for level in 1..12 {
            let before = format!("*a{}", level - 1);
            let row = vec![before; 10].join(",");
            text.push_str(&format!("a{level}: &a{level} [{row}]\n"));
        }
        assert!(parse(&text, "s.yaml").is_err());
    }
}
