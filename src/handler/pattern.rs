//! Path patterns, and the tree that finds the pattern of a path.
//!
//! The walk through the tree allocates nothing. Precedence follows from its shape, never from the order in which
//! patterns were added: in each segment exact comes before parameter before rest.

use crate::message::request::{RouteParameters, percent_decode};

/// How many parameters a pattern may have: their values are on the stack during a request.
const PARAMETERS_MAX: usize = 8;

/// A pattern's segment.
enum Segment<'s> {
    Exact(&'s str),
    Parameter(&'s str),
    Rest(&'s str),
}

impl<'s> Segment<'s> {
    fn of(text: &'s str) -> Self {
        let inside = text
            .strip_prefix('{')
            .and_then(|text| text.strip_suffix('}'));
        match inside.map(|name| name.strip_prefix('*').ok_or(name)) {
            None => Self::Exact(text),
            Some(Err(name)) => Self::Parameter(name),
            Some(Ok(name)) => Self::Rest(name),
        }
    }
}

/// Checks a pattern, and returns the names of its parameters from left to right.
pub(crate) fn parameter_names(pattern: &str) -> Vec<Box<str>> {
    assert!(
        pattern.starts_with('/'),
        "the pattern {pattern:?} does not begin with a slash"
    );
    let mut names: Vec<Box<str>> = Vec::new();
    let mut segments = pattern.split('/').skip(1).peekable();
    while let Some(text) = segments.next() {
        let segment = Segment::of(text);
        let right = right_spelling(text);
        assert!(
            right.is_none(),
            "the pattern {pattern:?} is spelled as for another router: write {} for {text:?}",
            right.unwrap_or_default()
        );
        assert!(
            segments.peek().is_none() || !matches!(segment, Segment::Rest(_)),
            "the pattern {pattern:?} goes on after its rest: {{*name}} has to be the last segment"
        );
        let (Segment::Exact(name) | Segment::Parameter(name) | Segment::Rest(name)) = segment;
        assert!(
            !name.contains(['{', '}', '?', '#']),
            "the pattern {pattern:?} has a brace inside a segment, or a query: a parameter is a whole segment, and no query is matched"
        );
        if matches!(segment, Segment::Exact(_)) {
            continue;
        }
        assert!(
            !name.is_empty(),
            "the pattern {pattern:?} has a parameter without a name"
        );
        assert!(
            !names.iter().any(|other| **other == *name),
            "the pattern {pattern:?} has two parameters with the name {name:?}"
        );
        names.push(name.into());
    }
    assert!(
        names.len() <= PARAMETERS_MAX,
        "the pattern {pattern:?} has more than {PARAMETERS_MAX} parameters"
    );
    names
}

/// Other routers write parameters in other ways, which would be exact segments here, and match nothing that is wanted: how
/// such a segment is written here.
fn right_spelling(segment: &str) -> Option<String> {
    let inside = |open: char, close: char| segment.strip_prefix(open)?.strip_suffix(close);
    if let Some(name) = segment.strip_prefix(':') {
        return Some(format!("{{{}}}", name.trim_end_matches(['?', '*', '+'])));
    }
    if let Some(name) = segment.strip_prefix('*') {
        let name = if name.is_empty() { "rest" } else { name };
        return Some(format!("{{*{name}}}"));
    }
    if let Some(name) = inside('<', '>') {
        let name = name.rsplit_once(':').map_or(name, |(_, name)| name);
        return Some(match name.strip_suffix("..") {
            Some(name) => format!("{{*{name}}}"),
            None => format!("{{{name}}}"),
        });
    }
    let name = inside('{', '}')?;
    if let Some(name) = name.strip_suffix("...") {
        return Some(format!("{{*{name}}}"));
    }
    match name.split_once(':')? {
        (name, ".*" | "path") => Some(format!("{{*{name}}}")),
        (name, _) => Some(format!("{{{name}}}, and look at the value in the handler,")),
    }
}

/// The routes of one pattern, as indexes into the router's list. Empty where no pattern ends.
pub(crate) type Resource = Vec<usize>;

/// Where patterns with the same beginning continue.
#[derive(Clone, Default)]
pub(crate) struct PatternTree {
    /// Sorted by their segment.
    exact: Vec<(Box<str>, Self)>,
    parameter: Option<Box<Self>>,
    rest: Resource,
    /// The pattern that ends here.
    here: Resource,
}

impl PatternTree {
    pub(crate) fn insert<'s>(
        &mut self,
        mut segments: impl Iterator<Item = &'s str>,
    ) -> &mut Resource {
        let mut node = self;
        loop {
            node = match segments.next().map(Segment::of) {
                None => return &mut node.here,
                Some(Segment::Rest(_)) => return &mut node.rest,
                Some(Segment::Parameter(_)) => node.parameter.get_or_insert_default(),
                Some(Segment::Exact(text)) => {
                    let place = node.place_of(text).unwrap_or_else(|place| {
                        node.exact.insert(place, (text.into(), Self::default()));
                        place
                    });
                    &mut node.exact[place].1
                }
            };
        }
    }

    /// The resource of a path. `path` is the rest of it: `None` after its last segment. The number of steps back is bounded by
    /// the number of patterns, whatever the path.
    pub(crate) fn find<'p>(
        &self,
        path: Option<&'p str>,
        parameters: &mut Parameters<'p>,
    ) -> Option<&Resource> {
        let Some(path) = path else {
            return Some(&self.here).filter(|resource| !resource.is_empty());
        };
        let (segment, rest) = match path.split_once('/') {
            Some((segment, rest)) => (segment, Some(rest)),
            None => (path, None),
        };
        let mut exact = |text: &str| {
            let place = self.place_of(text).ok()?;
            self.exact.get(place)?.1.find(rest, parameters)
        };
        if let Some(resource) = exact(segment) {
            return Some(resource);
        }
        if segment.contains('%')
            && let Some(resource) = exact(&percent_decode(segment))
        {
            return Some(resource);
        }
        let len = parameters.len;
        if let Some(node) = self.parameter.as_ref().filter(|_| !segment.is_empty()) {
            parameters.push(segment);
            if let Some(resource) = node.find(rest, parameters) {
                return Some(resource);
            }
            parameters.len = len;
        }
        if self.rest.is_empty() {
            return None;
        }
        parameters.push(path);
        Some(&self.rest)
    }

    fn place_of(&self, text: &str) -> Result<usize, usize> {
        self.exact
            .binary_search_by(|(segment, _)| (**segment).cmp(text))
    }
}

/// The parameters on the way to a resource: name, and value as it was sent.
#[derive(Default)]
pub(crate) struct Parameters<'p> {
    list: [(&'p str, &'p str); PARAMETERS_MAX],
    len: usize,
}

impl<'p> Parameters<'p> {
    fn push(&mut self, value: &'p str) {
        // No pattern in the tree has more parameters than slots.
        if let Some(slot) = self.list.get_mut(self.len) {
            slot.1 = value;
            self.len += 1;
        }
    }

    pub(crate) fn named(&mut self, names: &'p [Box<str>]) -> RouteParameters<'_> {
        for (slot, name) in self.list.iter_mut().zip(names) {
            slot.0 = name;
        }
        RouteParameters::Borrowed(self.list.get(..self.len).unwrap_or_default())
    }
}
