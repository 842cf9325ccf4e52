//! Finds what belongs into a package: everything below a folder that neither `.fcignore` nor a default leaves out.

use std::ffi::OsStr;
use std::fs::{self, FileType};
use std::io::Read;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::exit::Failure;

const IGNORE_FILE: &str = ".fcignore";
/// What only a developer's machine needs. `!name` in `.fcignore` brings it back.
const DEFAULTS: [&str; 3] = [".git", ".s/", "*.log"];
/// A folder that holds this file with this beginning is a cache, such as Cargo's `target`.
const CACHE_FILE: &str = "CACHEDIR.TAG";
const CACHE_MARK: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";
/// More entries are not a function's code.
const ENTRIES_MAX: usize = 200_000;

/// What the walk found.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    /// Sorted by name.
    pub(crate) items: Vec<Item>,
    /// Left out by a default.
    pub(crate) by_default: Vec<String>,
    /// Left out by `.fcignore`.
    pub(crate) by_file: Vec<String>,
    /// Neither file, folder nor link, with the kind.
    pub(crate) special: Vec<String>,
    /// Links that lead out of the package or to nothing.
    pub(crate) links: Vec<String>,
}

/// One entry of a package: what it is made from, and its name in the package.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) from: PathBuf,
    pub(crate) name: String,
    pub(crate) kind: ItemKind,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ItemKind {
    File,
    /// Only an empty folder has an entry of its own.
    Folder,
    Link,
}

/// Collects what is below `folder`. The package itself may lie there too, as `output`.
pub(crate) fn collect(folder: &Path, output: &Path) -> Result<Collected, Failure> {
    let mut walk = Walk {
        root: folder,
        output: output.canonicalize().ok(),
        collected: Collected::default(),
        open: vec![(folder.to_owned(), defaults(folder)?)],
    };
    while let Some((folder, rules)) = walk.open.pop() {
        walk.enter(&folder, rules)?;
    }
    let mut collected = walk.collected;
    collected
        .items
        .sort_by(|one, other| one.name.cmp(&other.name));
    for names in [
        &mut collected.by_default,
        &mut collected.by_file,
        &mut collected.special,
        &mut collected.links,
    ] {
        names.sort();
    }
    Ok(collected)
}

struct Walk<'a> {
    root: &'a Path,
    output: Option<PathBuf>,
    collected: Collected,
    /// Folders to enter, with the rules above them.
    open: Vec<(PathBuf, Rules)>,
}

/// The ignore files from the root to a folder; the innermost decides.
#[derive(Clone)]
struct Rules(Vec<Rc<Gitignore>>);

/// What the rules say of an entry.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Kept,
    ByDefault,
    ByFile,
}

impl Rules {
    fn judge(&self, path: &Path, kind: FileType) -> Verdict {
        for (depth, rules) in self.0.iter().enumerate().rev() {
            match rules.matched(path, kind.is_dir()) {
                Match::None => {}
                Match::Whitelist(_) => return Verdict::Kept,
                Match::Ignore(_) if depth == 0 => return Verdict::ByDefault,
                Match::Ignore(_) => return Verdict::ByFile,
            }
        }
        if kind.is_dir() && is_cache(path) {
            return Verdict::ByDefault;
        }
        Verdict::Kept
    }
}

fn defaults(root: &Path) -> Result<Rules, Failure> {
    let mut builder = GitignoreBuilder::new(root);
    for line in DEFAULTS {
        let added = builder.add_line(None, line);
        added.map_err(|error| Failure::machine(error.to_string()))?;
    }
    let rules = builder.build();
    let rules = rules.map_err(|error| Failure::machine(error.to_string()))?;
    Ok(Rules(vec![Rc::new(rules)]))
}

impl Walk<'_> {
    fn enter(&mut self, folder: &Path, mut rules: Rules) -> Result<(), Failure> {
        let failed = |error: &std::io::Error| Failure::file("read", folder, error);
        let ignore_file = folder.join(IGNORE_FILE);
        if ignore_file.is_file() {
            let mut builder = GitignoreBuilder::new(folder);
            let refused = builder.add(&ignore_file).map(|error| error.to_string());
            let built = builder.build().map_err(|error| error.to_string());
            let built = refused.map_or(built, Err);
            let built = built.map_err(|why| {
                Failure::input(format!("cannot use {}: {why}", ignore_file.display()))
            })?;
            rules.0.push(Rc::new(built));
        }
        let mut is_empty = true;
        for entry in fs::read_dir(folder).map_err(|error| failed(&error))? {
            let entry = entry.map_err(|error| failed(&error))?;
            is_empty = false;
            self.visit(&entry.path(), &rules)?;
        }
        if is_empty && folder != self.root {
            let name = self.name(folder)?;
            self.add(folder, name, ItemKind::Folder)?;
        }
        Ok(())
    }

    fn visit(&mut self, path: &Path, rules: &Rules) -> Result<(), Failure> {
        let metadata = fs::symlink_metadata(path);
        let kind = metadata
            .map_err(|error| Failure::file("read", path, &error))?
            .file_type();
        if self.output.is_some() && path.canonicalize().ok() == self.output {
            return Ok(());
        }
        let shown = self.shown(path);
        match rules.judge(path, kind) {
            Verdict::Kept => {}
            Verdict::ByDefault => {
                self.collected.by_default.push(shown);
                return Ok(());
            }
            Verdict::ByFile => {
                self.collected.by_file.push(shown);
                return Ok(());
            }
        }
        if let Some(what) = special(kind) {
            self.collected.special.push(format!("{shown} ({what})"));
            return Ok(());
        }
        let name = self.name(path)?;
        if kind.is_dir() {
            self.open.push((path.to_owned(), rules.clone()));
            return Ok(());
        }
        if kind.is_symlink() {
            self.note_link(path, &shown);
            return self.add(path, name, ItemKind::Link);
        }
        self.add(path, name, ItemKind::File)
    }

    fn add(&mut self, from: &Path, name: String, kind: ItemKind) -> Result<(), Failure> {
        if self.collected.items.len() >= ENTRIES_MAX {
            return Err(Failure::input(format!(
                "{} holds more than {ENTRIES_MAX} entries",
                self.root.display()
            )));
        }
        self.collected.items.push(Item {
            from: from.to_owned(),
            name,
            kind,
        });
        Ok(())
    }

    fn note_link(&mut self, path: &Path, shown: &str) {
        let Ok(target) = fs::read_link(path) else {
            return;
        };
        let inside = path.canonicalize().ok().zip(self.root.canonicalize().ok());
        let what = match inside {
            None => "which does not exist here",
            Some((end, root)) if target.is_absolute() || !end.starts_with(&root) => {
                "outside the package"
            }
            Some(_) => return,
        };
        let target = target.display();
        self.collected
            .links
            .push(format!("{shown} -> {target}, {what}"));
    }

    fn shown(&self, path: &Path) -> String {
        let relative = path.strip_prefix(self.root).unwrap_or(path);
        relative.display().to_string()
    }

    /// A ZIP cannot say in which encoding a name is if it is not UTF-8, so tools would extract another name.
    fn name(&self, path: &Path) -> Result<String, Failure> {
        let relative = path.strip_prefix(self.root).unwrap_or(path);
        let name = relative.to_str().map(str::to_owned);
        name.ok_or_else(|| {
            let shown = relative.as_os_str().as_encoded_bytes().escape_ascii();
            Failure::input(format!("the file name {shown} is not UTF-8"))
                .fix("rename the file, or leave it out in .fcignore")
        })
    }
}

fn special(kind: FileType) -> Option<&'static str> {
    if kind.is_fifo() {
        Some("a FIFO")
    } else if kind.is_socket() {
        Some("a socket")
    } else if kind.is_block_device() || kind.is_char_device() {
        Some("a device")
    } else {
        None
    }
}

/// The convention at bford.info/cachedir, which Cargo follows.
fn is_cache(folder: &Path) -> bool {
    let mut start = [0; CACHE_MARK.len()];
    let opened = fs::File::open(folder.join(OsStr::new(CACHE_FILE)));
    opened.is_ok_and(|mut file| file.read_exact(&mut start).is_ok()) && start == *CACHE_MARK
}
