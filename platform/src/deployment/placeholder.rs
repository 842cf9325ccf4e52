//! `${…}` in values: variables, the environment, other resources, and a few functions.

use std::cell::{Cell, RefCell};
use std::fs;
use std::path::Path;

use super::tree::{Node, Problem, Value, parse};

/// References may lead to references, but not for ever.
const DEPTH_MAX: u32 = 32;
/// What all substitutions together may produce.
const PRODUCED_LEN_MAX: usize = 4 * 1024 * 1024;
/// The account that every local function gets, so that `${config('AccountID')}` agrees with its environment.
const ACCOUNT: &str = "1234567890123456";

/// What placeholders may refer to.
pub(crate) struct Scope<'a> {
    /// The whole document.
    document: &'a Node,
    /// The resource that `this` means, and its name.
    this: (&'a str, &'a Node),
    /// Relative paths in `file()` and `path()` start here.
    folder: &'a Path,
    environment: &'a dyn Fn(&str) -> Option<String>,
    produced: Cell<usize>,
    notes: RefCell<Vec<String>>,
}

impl<'a> Scope<'a> {
    /// The scope of one resource.
    pub(crate) fn new(
        document: &'a Node,
        this: (&'a str, &'a Node),
        folder: &'a Path,
        environment: &'a dyn Fn(&str) -> Option<String>,
    ) -> Self {
        Self {
            document,
            this,
            folder,
            environment,
            produced: Cell::new(0),
            notes: RefCell::default(),
        }
    }

    /// Adds a remark, once.
    pub(crate) fn note(&self, text: String) {
        let mut notes = self.notes.borrow_mut();
        if !notes.contains(&text) {
            notes.push(text);
        }
    }

    /// The remarks so far.
    pub(crate) fn into_notes(self) -> Vec<String> {
        self.notes.into_inner()
    }

    /// Replaces every placeholder in a value, at any depth. `key` is the value's place in the document.
    pub(crate) fn resolve(&self, node: &Node, key: &str) -> Result<Node, Problem> {
        Expansion {
            scope: self,
            origin: node,
            key,
        }
        .tree(node, 0)
    }
}

/// The expansion of one value.
struct Expansion<'a> {
    scope: &'a Scope<'a>,
    /// Errors name this place, since the user wrote the placeholder there.
    origin: &'a Node,
    key: &'a str,
}

impl Expansion<'_> {
    fn problem(&self, message: impl Into<String>) -> Problem {
        Problem::new(self.origin, self.key, message)
    }

    fn tree(&self, node: &Node, depth: u32) -> Result<Node, Problem> {
        match &node.value {
            Value::Text(text) => self.text(node, text, depth),
            Value::List(items) => {
                let mut all = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    all.push(self.inside(item, &format!("[{index}]"), depth)?);
                }
                Ok(node.with(Value::List(all)))
            }
            Value::Map(fields) => {
                let mut all = Vec::with_capacity(fields.len());
                for (name, field) in fields {
                    let field = self.inside(field, &format!(".{name}"), depth)?;
                    // An empty key is an absent one.
                    if field.value != Value::Null {
                        all.push((name.clone(), field));
                    }
                }
                Ok(node.with(Value::Map(all)))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => Ok(node.clone()),
        }
    }

    /// Expands a part of the value. Below a reference, errors keep naming the place of the reference.
    fn inside(&self, node: &Node, step: &str, depth: u32) -> Result<Node, Problem> {
        if depth > 0 {
            return self.tree(node, depth);
        }
        let key = format!("{}{step}", self.key);
        let part = Expansion {
            scope: self.scope,
            origin: node,
            key: &key,
        };
        part.tree(node, depth)
    }

    fn text(&self, node: &Node, text: &str, depth: u32) -> Result<Node, Problem> {
        let Some((before, expression, after)) = split(text) else {
            return Ok(node.clone());
        };
        if depth >= DEPTH_MAX {
            return Err(self.problem(format!("`${{{expression}}}` refers to itself")));
        }
        // A value that is nothing but a placeholder keeps its type.
        if before.is_empty() && after.is_empty() {
            let found = self.evaluate(expression, depth)?;
            return Ok(node.with(found));
        }
        let mut whole = String::new();
        let mut rest = text;
        while let Some((before, expression, after)) = split(rest) {
            whole.push_str(before);
            let found = self.evaluate(expression, depth)?;
            let piece = found.scalar_text().ok_or_else(|| {
                let kind = found.kind();
                self.problem(format!(
                    "`${{{expression}}}` is {kind}, which cannot be part of a text"
                ))
            })?;
            self.count(piece.len())?;
            whole.push_str(&piece);
            rest = after;
        }
        whole.push_str(rest);
        Ok(node.with(Value::Text(whole)))
    }

    fn count(&self, length: usize) -> Result<(), Problem> {
        let produced = self.scope.produced.get() + length + 1;
        self.scope.produced.set(produced);
        if produced > PRODUCED_LEN_MAX {
            return Err(self.problem("the variables grow without end"));
        }
        Ok(())
    }

    fn evaluate(&self, expression: &str, depth: u32) -> Result<Value, Problem> {
        let mut parser = Parser {
            rest: expression,
            depth: 0,
        };
        let parsed = parser
            .expression()
            .filter(|_| parser.rest.trim().is_empty());
        let parsed = parsed.ok_or_else(|| {
            self.problem(format!(
                "`${{{expression}}}` is not supported; use vars, env(), this, resources, config(), file(), json(), path()"
            ))
        })?;
        self.value(&parsed, expression, depth)
    }

    fn value(&self, parsed: &Expression, shown: &str, depth: u32) -> Result<Value, Problem> {
        match parsed {
            Expression::Literal(value) => Ok(value.clone()),
            Expression::Reference(path) => self.reference(path, shown, depth),
            Expression::Call(name, arguments) => self.call((name, arguments), shown, depth),
        }
    }

    fn reference(&self, path: &[String], shown: &str, depth: u32) -> Result<Value, Problem> {
        let missing = || self.problem(format!("`${{{shown}}}` is not defined"));
        let words: Vec<&str> = path.iter().map(String::as_str).collect();
        let (name, resource) = self.scope.this;
        let (start, rest) = match words.as_slice() {
            ["this" | "that", "name"] => return Ok(Value::Text(name.to_owned())),
            ["this" | "that", "access"] => {
                let own = resource.get("access");
                let access = own.or_else(|| self.scope.document.get("access"));
                return access.map_or_else(|| Err(missing()), |node| self.follow(node, &[], depth));
            }
            ["cwd"] => {
                return Ok(Value::Text(
                    self.scope.folder.to_string_lossy().into_owned(),
                ));
            }
            ["resources" | "services" | "components", _, "output", ..] | [_, "output", ..] => {
                self.scope.note(format!(
                    "`${{{shown}}}` is known only after a deployment; it stays as it is"
                ));
                return Ok(Value::Text(format!("${{{shown}}}")));
            }
            ["credential", key] => return Ok(self.credential(key)),
            ["this" | "that", rest @ ..] => (resource, rest),
            ["vars" | "resources" | "services", ..] => (self.scope.document, words.as_slice()),
            // 2.0 names a service directly.
            [service, rest @ ..] => {
                let services = self.scope.document.get("services");
                let found = services.and_then(|services| services.get(service));
                (found.ok_or_else(missing)?, rest)
            }
            [] => return Err(missing()),
        };
        let found = self.follow(start, rest, depth)?;
        if found == Value::Null {
            return Err(missing());
        }
        Ok(found)
    }

    /// Goes down from a node by keys and indexes, through placeholders where it meets them.
    fn follow(&self, start: &Node, path: &[&str], depth: u32) -> Result<Value, Problem> {
        let mut current = start.clone();
        for word in path {
            if let Value::Text(text) = &current.value {
                current = self.text(&current, text, depth + 1)?;
            }
            let next = match &current.value {
                Value::List(items) => word.parse().ok().and_then(|index: usize| items.get(index)),
                Value::Map(_) => current.get(word),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => None,
            };
            match next {
                Some(node) => current = node.clone(),
                None => return Ok(Value::Null),
            }
        }
        let found = self.tree(&current, depth + 1)?;
        self.count(size_of_tree(&found))?;
        Ok(found.value)
    }

    fn call(
        &self,
        (name, arguments): (&str, &[Expression]),
        shown: &str,
        depth: u32,
    ) -> Result<Value, Problem> {
        let argument = |index: usize| -> Result<Option<Value>, Problem> {
            let argument = arguments.get(index);
            argument
                .map(|argument| match argument {
                    // 2.0 writes `env(NAME)` without quotation marks.
                    Expression::Reference(path) if path.len() == 1 => {
                        Ok(Value::Text(path.concat()))
                    }
                    Expression::Literal(_) | Expression::Reference(_) | Expression::Call(..) => {
                        self.value(argument, shown, depth)
                    }
                })
                .transpose()
        };
        let first = argument(0)?.and_then(|value| value.scalar_text());
        let first =
            first.ok_or_else(|| self.problem(format!("`{name}()` needs a text as argument")))?;
        match name {
            "env" => match (self.scope.environment)(&first).filter(|value| !value.is_empty()) {
                Some(value) => Ok(Value::Text(value)),
                None => argument(1)?.filter(|value| *value != Value::Null).ok_or_else(|| {
                    self.problem(format!(
                        "the environment variable {first} is not set; set it, or write ${{env('{first}', 'default')}}"
                    ))
                }),
            },
            "config" => Ok(self.credential(&first)),
            "str" => Ok(Value::Text(first)),
            "file" => {
                let path = self.scope.folder.join(&first);
                let text = fs::read_to_string(&path);
                text.map(Value::Text)
                    .map_err(|error| self.problem(format!("cannot read {first}: {error}")))
            }
            "path" => {
                let path = self.scope.folder.join(&first);
                let text = path.to_string_lossy().into_owned();
                path.exists()
                    .then_some(Value::Text(text))
                    .ok_or_else(|| self.problem(format!("the path {first} does not exist")))
            }
            // JSON is a part of YAML.
            "json" | "yaml" => parse(&first, name)
                .map(|node| node.value)
                .map_err(|why| self.problem(format!("`{shown}`: {why}"))),
            _ => Err(self.problem(format!("the function `{name}()` is not supported"))),
        }
    }

    /// There are no credentials here; made-up ones keep the function running.
    fn credential(&self, name: &str) -> Value {
        let value = if name.eq_ignore_ascii_case("AccountID") {
            ACCOUNT.to_owned()
        } else {
            format!("local-{name}")
        };
        self.scope.note(format!(
            "`${{config('{name}')}}` is `{value}` here: coldstart reads no credentials"
        ));
        Value::Text(value)
    }
}

fn size_of_tree(node: &Node) -> usize {
    match &node.value {
        Value::Text(text) => text.len(),
        Value::List(items) => items.iter().map(size_of_tree).sum::<usize>() + 1,
        Value::Map(fields) => {
            let sizes = fields.iter();
            sizes
                .map(|(name, field)| name.len() + size_of_tree(field))
                .sum::<usize>()
                + 1
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => 1,
    }
}

/// The text before the first placeholder, its expression, and the text after it.
fn split(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once("${")?;
    let (expression, after) = rest.split_once('}')?;
    Some((before, expression.trim(), after))
}

#[derive(Debug, PartialEq)]
enum Expression {
    Literal(Value),
    Reference(Vec<String>),
    Call(String, Vec<Self>),
}

struct Parser<'a> {
    rest: &'a str,
    depth: u32,
}

impl Parser<'_> {
    fn expression(&mut self) -> Option<Expression> {
        if let Some(text) = self.quoted() {
            return Some(Expression::Literal(Value::Text(text)));
        }
        let word = self.word()?;
        if let Ok(number) = word.parse::<f64>() {
            return Some(Expression::Literal(Value::Number(number)));
        }
        match word.as_str() {
            "true" => return Some(Expression::Literal(Value::Bool(true))),
            "false" => return Some(Expression::Literal(Value::Bool(false))),
            "null" | "undefined" => return Some(Expression::Literal(Value::Null)),
            _ => {}
        }
        if self.take('(') {
            self.depth += 1;
            let arguments = (self.depth <= DEPTH_MAX).then(|| self.arguments())?;
            self.depth -= 1;
            return arguments.map(|all| Expression::Call(word, all));
        }
        let mut path = vec![word];
        loop {
            if self.take('.') {
                path.push(self.word()?);
            } else if self.take('[') {
                path.push(self.quoted().or_else(|| self.word())?);
                self.take(']').then_some(())?;
            } else {
                return Some(Expression::Reference(path));
            }
        }
    }

    fn arguments(&mut self) -> Option<Vec<Expression>> {
        let mut all = Vec::new();
        if self.take(')') {
            return Some(all);
        }
        loop {
            all.push(self.expression()?);
            if self.take(')') {
                return Some(all);
            }
            self.take(',').then_some(())?;
        }
    }

    fn take(&mut self, wanted: char) -> bool {
        let rest = self.rest.trim_start().strip_prefix(wanted);
        if let Some(rest) = rest {
            self.rest = rest;
        }
        rest.is_some()
    }

    fn quoted(&mut self) -> Option<String> {
        let text = self.rest.trim_start();
        let mark = text
            .chars()
            .next()
            .filter(|mark| matches!(mark, '\'' | '"' | '`'))?;
        let (inside, rest) = text.get(1..)?.split_once(mark)?;
        self.rest = rest;
        Some(inside.to_owned())
    }

    fn word(&mut self) -> Option<String> {
        let text = self.rest.trim_start();
        let is_part = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '-' | '$');
        let end = text.find(|letter| !is_part(letter)).unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        self.rest = rest;
        (!word.is_empty()).then(|| word.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(value: &str) -> Result<Value, String> {
        let text = format!(
            "access: default\nvars:\n  a: {{b: {{c: deep, n: 5}}}}\n  region: cn\n  twice: '${{vars.region}}-1'\n  \
             whole: '${{vars.a}}'\n  loop: '${{vars.loop}}x'\n  list: [one, two]\n  empty:\nresources:\n  web:\n    \
             props: {{name: fn, url: '${{vars.region}}.x'}}\n  other: {{props: {{name: theirs}}}}\nvalue: {value}\n"
        );
        let document = parse(&text, "s.yaml").map_err(|problem| problem.to_string())?;
        let this = document
            .get("resources")
            .and_then(|all| all.get("web"))
            .unwrap();
        let environment = |name: &str| match name {
            "SET" => Some("from outside".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        let scope = Scope::new(&document, ("web", this), Path::new("."), &environment);
        let node = document.get("value").unwrap();
        let found = scope.resolve(node, "props.value");
        found
            .map(|node| node.value)
            .map_err(|problem| problem.to_string())
    }

    fn text(value: &str) -> String {
        let found = resolved(value).unwrap_or_else(|why| panic!("{value}: {why}"));
        found
            .scalar_text()
            .unwrap_or_else(|| panic!("{value}: {found:?}"))
    }

    #[test]
    fn placeholders_are_replaced_at_any_depth() {
        for (value, expected) in [
            ("${vars.a.b.c}", "deep"),
            ("'x-${vars.a.b.c}-${vars.region}'", "x-deep-cn"),
            ("${vars.twice}", "cn-1"),
            ("${vars.whole.b.c}", "deep"),
            ("${vars['region']}", "cn"),
            ("${vars.list[1]}", "two"),
            ("${ vars.region }", "cn"),
            ("${this.props.url}", "cn.x"),
            ("${this.name}", "web"),
            ("${this.access}", "default"),
            ("${resources.other.props.name}", "theirs"),
            ("${env('SET')}", "from outside"),
            ("\"${env('UNSET', 'other')}\"", "other"),
            ("\"${env('EMPTY', 'other')}\"", "other"),
            ("\"${env('UNSET', vars.region)}\"", "cn"),
            ("\"${env('UNSET', env('SET'))}\"", "from outside"),
            ("${env(SET)}", "from outside"),
            ("${config('AccountID')}", ACCOUNT),
            ("no $placeholder {here}", "no $placeholder {here}"),
        ] {
            assert_eq!(text(value), expected, "{value}");
        }
    }

    #[test]
    fn a_value_that_is_one_placeholder_keeps_its_type() {
        assert_eq!(resolved("${vars.a.b.n}"), Ok(Value::Number(5.0)));
        assert!(matches!(resolved("${vars.a}"), Ok(Value::Map(_))), "a map");
        assert_eq!(
            resolved("'${vars.a.b.n}0'"),
            Ok(Value::Text("50".to_owned()))
        );
    }

    #[test]
    fn what_cannot_be_resolved_is_named_with_line_and_key() {
        for (value, expected) in [
            ("${vars.none}", "`${vars.none}` is not defined"),
            ("${vars.region.x}", "not defined"),
            ("${vars.empty}", "not defined"),
            ("${HOME}", "`${HOME}` is not defined"),
            ("${vars.loop}", "refers to itself"),
            ("${env('UNSET')}", "environment variable UNSET is not set"),
            ("'${vars.a} x'", "a map, which cannot be part of a text"),
            ("${vars.a.b.n + 1}", "not supported"),
            ("${shell('x')}", "`shell()` is not supported"),
            ("${file('none.txt')}", "cannot read none.txt"),
        ] {
            let why = resolved(value).unwrap_err();
            assert!(why.contains(expected), "{value}: {why}");
            assert!(why.starts_with("s.yaml:14: props.value"), "{value}: {why}");
        }
    }

    #[test]
    fn variables_that_double_each_other_are_bounded() {
        let mut text = "vars:\n  v0: 'xxxxxxxxxx'\n".to_owned();
        for level in 1..30 {
            let one = format!("${{vars.v{}}}", level - 1);
            text.push_str(&format!("  v{level}: '{one}{one}{one}'\n"));
        }
        text.push_str("value: '${vars.v29}'\n");
        let document = parse(&text, "s.yaml").unwrap();
        let scope = Scope::new(&document, ("x", &document), Path::new("."), &|_| None);
        let problem = scope
            .resolve(document.get("value").unwrap(), "v")
            .unwrap_err();
        assert!(
            problem.to_string().contains("grow without end"),
            "{problem}"
        );
    }
}
