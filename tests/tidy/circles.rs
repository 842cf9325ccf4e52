//! Import circles: files that name each other's items, over any number of files between them.
//!
//! Counted are paths that begin with `crate`, `super` or a child module, in code that is shipped. A name that a module only
//! re-exports leads to the file that declares it. `mod` lines and re-exports do not count: a module may use its children, and
//! children may use what their module re-exports, but not the module's own items while it uses theirs.
//!
//! Not seen are methods that are called without a path, and paths in inline modules that begin with `super`, which are read
//! as those of the file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::source::{Source, walk, words};

/// The folders whose files are the modules of one crate.
const TREES: [&str; 3] = ["src/", "platform/src/", "benches/"];
/// A chain of re-exports that is longer than this goes round.
const REEXPORTS_MAX: usize = 8;

type Arrows = BTreeMap<String, BTreeSet<String>>;

#[test]
fn no_import_goes_in_a_circle() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for tree in TREES {
        let mut files = Vec::new();
        walk(root, &root.join(tree), &mut |path, text| {
            if path.ends_with(".rs") {
                files.push(Source::new(path, text));
            }
        });
        assert!(files.len() > 10, "{tree} has files");
        found.extend(House::new(tree, &files).circles());
    }
    assert!(
        found.is_empty(),
        "these files name each other: move what both need into a file below them\n{}",
        found.join("\n")
    );
}

#[test]
fn a_circle_is_found_however_it_is_spelled() {
    let below = "use super::b::{self, B};";
    for (files, is_circle) in [
        ([("a", "use crate::b::B;"), ("b", "use crate::a::A;")], true),
        (
            [("a", "use crate::b::B;"), ("b", "use crate::c::A;")],
            false,
        ),
        ([("a", below), ("b", "fn f() { super::a::f() }")], true),
        (
            [("a", "use crate::{c, b::{B, D}};"), ("b", "use crate::a;")],
            true,
        ),
        (
            [("a", "use crate::b::B;"), ("b", "// crate::a::A\n")],
            false,
        ),
        (
            [
                ("a", below),
                ("b", "#[cfg(test)]\nmod tests { use crate::a::A; }"),
            ],
            false,
        ),
        (
            [("a/mod", "mod b;\nuse b::B;"), ("a/b", "use super::A;")],
            true,
        ),
        (
            [("a/mod", "pub(crate) use b::B;"), ("a/b", "use super::A;")],
            false,
        ),
        (
            [
                ("a/mod", "use b::B;"),
                ("a/b", "pub(in crate::a) fn f() {}"),
            ],
            false,
        ),
        (
            [("a/b", "use super::c::C;"), ("a/c", "use super::b::B;")],
            true,
        ),
        (
            [
                ("a/b", "use super::super::c::C;"),
                ("c", "use crate::a::b::B;"),
            ],
            true,
        ),
    ] {
        assert_eq!(!circles_of(&files).is_empty(), is_circle, "{files:?}");
    }
}

#[test]
fn a_circle_out_of_a_folder_and_back_is_found() {
    let module = ("a/mod", "mod b;\nuse b::B;");
    let back = ("c", "use crate::a::A;");
    assert!(circles_of(&[module, ("a/b", ""), back]).is_empty());
    let out = ("a/b", "use crate::c::C;");
    assert_eq!(circles_of(&[module, out, back]).len(), 1);
    // What is only re-exported is not in the module.
    let reexport = ("a/mod", "pub use b::B;\npub use e::E;");
    let users = [("c", "use crate::a::E;"), ("a/e", "")];
    assert!(circles_of(&[reexport, out, users[0], users[1]]).is_empty());
    let through = ("c", "use crate::a::B;");
    assert_eq!(circles_of(&[reexport, out, through]).len(), 1);
}

/// The circles of a house of these files, named without their ends.
fn circles_of(files: &[(&str, &str)]) -> Vec<String> {
    let source = |(name, text): &(&str, &str)| {
        Source::new(format!("platform/src/{name}.rs"), (*text).to_owned())
    };
    let files: Vec<Source> = files.iter().map(source).collect();
    House::new("platform/src/", &files).circles()
}

/// The files of one crate by their module paths; the root's is empty.
struct House<'s> {
    files: BTreeMap<String, &'s Source>,
}

/// The paths that a file names, without what it only re-exports, and the names that it imports or re-exports.
#[derive(Default)]
struct Named {
    paths: Vec<Vec<String>>,
    imports: BTreeMap<String, Vec<String>>,
}

impl<'s> House<'s> {
    fn new(tree: &str, files: &'s [Source]) -> Self {
        let module = |file: &'s Source| (module_of(tree, &file.path), file);
        Self {
            files: files.iter().map(module).collect(),
        }
    }

    /// Each circle, as lines of a file and the files of the circle that it names.
    fn circles(&self) -> Vec<String> {
        let shown = |arrows: &Arrows| {
            let path = |module: &String| self.files[module].path.clone();
            let line = |(from, to): (&String, &BTreeSet<String>)| {
                let to: Vec<String> = to.iter().map(path).collect();
                format!("{} -> {}", path(from), to.join(", "))
            };
            arrows.iter().map(line).collect::<Vec<_>>().join("\n")
        };
        components(&self.arrows()).iter().map(shown).collect()
    }

    fn arrows(&self) -> Arrows {
        let named: BTreeMap<&String, Named> = self
            .files
            .iter()
            .map(|(module, file)| (module, self.named(module, file)))
            .collect();
        let mut arrows = Arrows::new();
        for (from, names) in &named {
            let paths = names.paths.iter();
            let targets = paths.filter_map(|path| self.target(path, &named));
            let targets = targets.filter(|to| to != *from);
            arrows.entry((*from).clone()).or_default().extend(targets);
        }
        arrows
    }

    /// The file that declares what a path names.
    fn target(&self, path: &[String], named: &BTreeMap<&String, Named>) -> Option<String> {
        let mut path = path.to_vec();
        for _ in 0..REEXPORTS_MAX {
            let (module, rest) = self.split(&path);
            let imports = &named.get(&module)?.imports;
            let Some(import) = rest.first().and_then(|name| imports.get(name)) else {
                return Some(module);
            };
            path = import.iter().chain(&rest[1..]).cloned().collect();
        }
        None
    }

    /// The longest start of a path that is a file's module, and the rest.
    fn split<'p>(&self, path: &'p [String]) -> (String, &'p [String]) {
        let lengths = (0..=path.len()).rev();
        let found = lengths.map(|length| (path[..length].join("::"), &path[length..]));
        let mut found = found.filter(|(module, _)| self.has(module));
        found.next().unwrap_or((String::new(), path))
    }

    fn has(&self, module: &str) -> bool {
        self.files.contains_key(module)
    }

    fn named(&self, module: &str, file: &Source) -> Named {
        let mut named = Named::default();
        let code = &file.shipped;
        let mut reexported = Vec::new();
        for (at, _) in words(code, &["use "]) {
            let before = code[..at].trim_end();
            let paths = paths(&code[at + "use ".len()..]);
            if before.ends_with("pub") || before.ends_with(')') {
                reexported.push(at..at + code[at..].find(';').unwrap_or_default());
            }
            for path in paths {
                let absolute = self.absolute(module, &path);
                if let (Some(absolute), Some(name)) = (absolute, path.last()) {
                    named.imports.insert(name.clone(), absolute);
                }
            }
        }
        let children = self
            .files
            .keys()
            .filter_map(|other| child_of(module, other));
        let heads = children
            .chain(["crate", "super"])
            .map(|head| format!("{head}::"));
        for head in heads {
            for (at, _) in words(code, &[head.as_str()]) {
                // The rest of a longer path, or a visibility.
                let is_inside = code[..at].ends_with("::") || code[..at].ends_with("(in ");
                if is_inside || reexported.iter().any(|range| range.contains(&at)) {
                    continue;
                }
                let paths = paths(&code[at..]);
                let absolute = paths.iter().filter_map(|path| self.absolute(module, path));
                named.paths.extend(absolute);
            }
        }
        named
    }

    /// A path from the crate's root, unless it begins with another crate.
    fn absolute(&self, module: &str, path: &[String]) -> Option<Vec<String>> {
        let mut base: Vec<String> = match module {
            "" => Vec::new(),
            module => module.split("::").map(str::to_owned).collect(),
        };
        let mut rest = path;
        match rest.first()?.as_str() {
            "crate" => {
                base.clear();
                rest = &rest[1..];
            }
            "super" => {
                while rest.first().is_some_and(|name| name == "super") {
                    base.pop()?;
                    rest = &rest[1..];
                }
            }
            "self" => rest = &rest[1..],
            child => {
                let prefix = base.iter().map(String::as_str).chain([child]);
                let child = prefix.collect::<Vec<_>>().join("::");
                self.has(&child).then_some(())?;
            }
        }
        base.extend_from_slice(rest);
        Some(base)
    }
}

/// `platform/src/wire/head.rs` → `wire::head`.
fn module_of(tree: &str, path: &str) -> String {
    let inside = path.strip_prefix(tree).unwrap_or(path);
    let name = inside.strip_suffix(".rs").unwrap_or(inside);
    let name = name.strip_suffix("/mod").unwrap_or(name);
    match name {
        "main" | "lib" => String::new(),
        name => name.replace('/', "::"),
    }
}

fn child_of<'o>(module: &str, other: &'o str) -> Option<&'o str> {
    let child = match module {
        "" => other,
        module => other.strip_prefix(module)?.strip_prefix("::")?,
    };
    Some(child).filter(|child| !child.is_empty() && !child.contains("::"))
}

/// The paths of the tree that `code` begins with: `a::{b, c::D}` has `a::b` and `a::c::D`.
fn paths(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    branch(code, &[], &mut found);
    found
}

/// Adds the paths of one branch, and returns what follows it.
fn branch<'c>(code: &'c str, stem: &[String], found: &mut Vec<Vec<String>>) -> &'c str {
    let code = code.trim_start();
    if let Some(mut rest) = code.strip_prefix('{') {
        loop {
            rest = branch(rest, stem, found).trim_start();
            match rest.strip_prefix(',') {
                Some(next) if !next.trim_start().starts_with('}') => rest = next,
                Some(next) => return next.trim_start().trim_start_matches('}'),
                None => return rest.strip_prefix('}').unwrap_or_default(),
            }
        }
    }
    let end = code.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
    let (name, rest) = code.split_at(end.unwrap_or(code.len()));
    let mut path = stem.to_vec();
    if !name.is_empty() {
        path.push(name.to_owned());
    }
    if let Some(rest) = rest.strip_prefix("::").filter(|_| !name.is_empty()) {
        return branch(rest, &path, found);
    }
    found.push(path);
    let rest = rest.trim_start_matches('*');
    // The rest of `as other_name`.
    rest.trim_start().strip_prefix("as ").map_or(rest, |alias| {
        alias.trim_start_matches(|letter: char| letter.is_alphanumeric() || letter == '_')
    })
}

/// The groups of files that reach each other, with the arrows inside of each.
fn components(arrows: &Arrows) -> Vec<Arrows> {
    let reached: Arrows = arrows
        .keys()
        .map(|from| (from.clone(), reach(arrows, from)))
        .collect();
    let mut found = Vec::new();
    for (from, ahead) in &reached {
        let is_mutual = |to: &&String| reached.get(*to).is_some_and(|back| back.contains(from));
        let circle: BTreeSet<String> = ahead.iter().filter(is_mutual).cloned().collect();
        // The first file of a circle speaks for all.
        if circle.first() == Some(from) && circle.len() > 1 {
            let inside = |file: &String| {
                let to = arrows[file].intersection(&circle).cloned().collect();
                (file.clone(), to)
            };
            found.push(circle.iter().map(inside).collect());
        }
    }
    found
}

/// The files that can be reached from one.
fn reach(arrows: &Arrows, from: &str) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut next = vec![from];
    while let Some(file) = next.pop() {
        for to in arrows.get(file).into_iter().flatten() {
            if reached.insert(to.clone()) {
                next.push(to);
            }
        }
    }
    reached
}
