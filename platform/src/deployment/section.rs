//! A map of the document, read key by key with the errors that a user can act on.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::placeholder::Scope;
use super::tree::{Node, Problem, Value};

/// One map, and the path that leads to it.
#[derive(Clone)]
pub(crate) struct Section<'a> {
    scope: &'a Scope<'a>,
    node: Node,
    path: String,
}

impl<'a> Section<'a> {
    /// The map at `path`.
    pub(crate) fn new(scope: &'a Scope<'a>, node: &Node, path: &str) -> Self {
        Self {
            scope,
            node: node.clone(),
            path: path.to_owned(),
        }
    }

    /// The keys as they are written. An empty key is an absent one.
    pub(crate) fn keys(&self) -> impl Iterator<Item = (&str, &Node)> {
        let fields = self.node.fields().iter();
        let fields = fields.filter(|(_, node)| node.value != Value::Null);
        fields.map(|(name, node)| (name.as_str(), node))
    }

    /// A problem with a key of this map.
    pub(crate) fn problem(&self, key: &str, message: impl Into<String>) -> Problem {
        let node = self.node.get(key).unwrap_or(&self.node);
        Problem::new(node, &format!("{}.{key}", self.path), message)
    }

    /// The file, line and key, for messages that are made later.
    pub(crate) fn place(&self, key: &str) -> String {
        self.problem(key, "")
            .to_string()
            .trim_end_matches(": ")
            .to_owned()
    }

    /// The value with its placeholders replaced. Null counts as absent.
    pub(crate) fn value(&self, key: &str) -> Result<Option<Node>, Problem> {
        let Some(node) = self.node.get(key) else {
            return Ok(None);
        };
        let value = self.scope.resolve(node, &format!("{}.{key}", self.path))?;
        Ok(Some(value).filter(|node| node.value != Value::Null))
    }

    /// A map below this one. Its values are looked at when they are read, so that a placeholder in a key without effect
    /// need not be known.
    pub(crate) fn section(&self, key: &str) -> Result<Option<Self>, Problem> {
        let node = match self.node.get(key) {
            Some(node) if matches!(node.value, Value::Map(_)) => node.clone(),
            Some(_) | None => match self.value(key)? {
                Some(node) => node,
                None => return Ok(None),
            },
        };
        match &node.value {
            Value::Map(_) => Ok(Some(Self::new(
                self.scope,
                &node,
                &format!("{}.{key}", self.path),
            ))),
            other @ (Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Text(_)
            | Value::List(_)) => Err(self.problem(key, expected("a map", other))),
        }
    }

    /// A text. A number or a boolean is taken as the text that the deployment tool makes of it.
    pub(crate) fn text(&self, key: &str) -> Result<Option<String>, Problem> {
        let Some(node) = self.value(key)? else {
            return Ok(None);
        };
        let text = node.value.scalar_text();
        let text = text.ok_or_else(|| self.problem(key, expected("a text", &node.value)))?;
        if text.contains("{{") {
            self.scope.note(format!(
                "{}.{key} still has a template's placeholder, `{text}`",
                self.path
            ));
        }
        Ok(Some(text))
    }

    /// A whole number within bounds, also when it is written as a text.
    pub(crate) fn number(
        &self,
        key: &str,
        bounds: RangeInclusive<u32>,
    ) -> Result<Option<u32>, Problem> {
        let Some(node) = self.value(key)? else {
            return Ok(None);
        };
        let number = match &node.value {
            Value::Number(number) => Some(*number),
            Value::Text(text) => text.trim().parse().ok(),
            Value::Null | Value::Bool(_) | Value::List(_) | Value::Map(_) => None,
        };
        let number = number.ok_or_else(|| self.problem(key, expected("a number", &node.value)))?;
        let within = f64::from(*bounds.start())..=f64::from(*bounds.end());
        if number.fract() != 0.0 || !within.contains(&number) {
            let kind = node.value.kind();
            let (low, high) = bounds.into_inner();
            return Err(self.problem(
                key,
                format!("expected a whole number from {low} to {high}, found {kind}"),
            ));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is whole and within the bounds of a u32"
        )]
        let number = number as u32;
        Ok(Some(number))
    }

    /// A list of texts; numbers become texts.
    pub(crate) fn texts(&self, key: &str) -> Result<Vec<String>, Problem> {
        let Some(node) = self.value(key)? else {
            return Ok(Vec::new());
        };
        let items = match &node.value {
            Value::List(items) => items,
            Value::Text(text) => {
                let words: Vec<&str> = text.split_whitespace().collect();
                return Err(self.problem(
                    key,
                    format!(
                        "expected a list, found the text `{text}`; write {key}: [{}]",
                        words.join(", ")
                    ),
                ));
            }
            other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Map(_)) => {
                return Err(self.problem(key, expected("a list of texts", other)));
            }
        };
        let text = |(index, item): (usize, &Node)| {
            item.value.scalar_text().ok_or_else(|| {
                let path = format!("{}.{key}[{index}]", self.path);
                Problem::new(item, &path, expected("a text", &item.value))
            })
        };
        items.iter().enumerate().map(text).collect()
    }

    /// A map of texts; numbers become texts.
    pub(crate) fn text_map(&self, key: &str) -> Result<BTreeMap<String, String>, Problem> {
        let Some(section) = self.section(key)? else {
            return Ok(BTreeMap::new());
        };
        let mut all = BTreeMap::new();
        for (name, node) in section.keys() {
            if name.is_empty() || name.contains(['=', '\0']) {
                return Err(section.problem(name, "not a valid name for a variable"));
            }
            if let Some(text) = section.text(name)? {
                if text.contains('\0') {
                    return Err(Problem::new(
                        node,
                        &format!("{}.{name}", section.path),
                        "holds a NUL byte",
                    ));
                }
                all.insert(name.to_owned(), text);
            }
        }
        Ok(all)
    }

    /// Adds a remark about this function.
    pub(crate) fn note(&self, text: String) {
        self.scope.note(text);
    }
}

fn expected(what: &str, found: &Value) -> String {
    format!("expected {what}, found {}", found.kind())
}
