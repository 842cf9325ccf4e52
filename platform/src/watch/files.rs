//! The watched files and what identifies their contents.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hasher as _};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ignore::{DirEntry, WalkBuilder};

use crate::project::{Project, Start};

/// Files after this many are not watched.
const FILES_MAX: usize = 20_000;
/// Neither source nor code.
const SKIPPED_FOLDERS: [&str; 5] = [".git", ".s", "__pycache__", "node_modules", "target"];
/// How editors name their own files.
const EDITOR_ENDS: [&str; 4] = [".swp", ".swx", "~", "#"];
/// Files that people write. A function may write any other, such as a log or a database.
pub(super) const SOURCE_ENDS: [&str; 44] = [
    "bash",
    "c",
    "cc",
    "cfg",
    "cjs",
    "class",
    "conf",
    "cpp",
    "cs",
    "css",
    "ejs",
    "env",
    "fs",
    "go",
    "h",
    "hbs",
    "html",
    "ini",
    "jar",
    "java",
    "js",
    "json",
    "jsx",
    "kt",
    "lua",
    "mjs",
    "php",
    "pl",
    "properties",
    "py",
    "rb",
    "rs",
    "scala",
    "sh",
    "so",
    "sql",
    "toml",
    "ts",
    "tsx",
    "vue",
    "wasm",
    "xml",
    "yaml",
    "yml",
];
/// Larger files are not compared by content.
const COMPARED_MAX: u64 = 256 * 1024;

/// What identifies a file's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) device: u64,
    pub(super) inode: u64,
    len: u64,
    pub(super) modified: Option<SystemTime>,
    /// Of source files.
    content: Option<Content>,
}

/// What a file holds, without its name and times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Content {
    len: u64,
    hash: u64,
}

pub(super) type Snapshot = BTreeMap<PathBuf, Stamp>;

/// Where the files are.
#[derive(Debug)]
pub(super) struct Places {
    pub(super) root: PathBuf,
    /// The code as it is deployed, watched even where it is ignored; none where it is built from the rest.
    code: Option<PathBuf>,
    /// Files that the start command names.
    started: Vec<PathBuf>,
    /// What the build makes.
    product: Option<PathBuf>,
}

impl Places {
    pub(super) fn of(project: &Project, built: Built) -> Self {
        let is_built = built == Built::Here;
        let started = match &project.start {
            Start::File(name) => vec![project.code.join(name)],
            Start::Command(words) => words.iter().map(|word| project.code.join(word)).collect(),
        };
        Self {
            root: project.watched.clone(),
            code: (!is_built).then(|| project.artifact.clone()),
            started: if is_built || project.is_extracted() {
                Vec::new()
            } else {
                started
            },
            product: is_built
                .then(|| project.artifact.canonicalize().ok())
                .flatten(),
        }
    }

    /// Whether the build writes into the very folder that it reads.
    fn is_own_source(&self) -> bool {
        self.product.is_some() && self.root.canonicalize().ok() == self.product
    }

    pub(super) fn look(&self) -> Snapshot {
        let mut snapshot = Snapshot::new();
        add(&mut snapshot, &self.root, GitIgnore::Obeyed);
        if let Some(code) = self.code.as_ref().filter(|code| **code != self.root) {
            add(&mut snapshot, code, GitIgnore::Unread);
        }
        if let Some(product) = self.product.as_ref().filter(|_| !self.is_own_source()) {
            snapshot.retain(|path, _| !path.starts_with(product));
        }
        for path in self.started.iter().filter(|path| path.is_file()) {
            // Under the name that the walk would give it.
            let canonical = path.canonicalize().unwrap_or_else(|_| path.clone());
            if let Some(stamp) = Stamp::of(&canonical) {
                snapshot.insert(canonical, stamp);
            }
        }
        snapshot
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum GitIgnore {
    Obeyed,
    Unread,
}

pub(super) fn add(snapshot: &mut Snapshot, root: &Path, git: GitIgnore) {
    let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
    let walk = WalkBuilder::new(&root)
        .standard_filters(false)
        .follow_links(true)
        .require_git(false)
        .git_ignore(git == GitIgnore::Obeyed)
        .add_custom_ignore_filename(".fcignore")
        .filter_entry(is_watched)
        .build();
    let files = walk
        .flatten()
        .filter(|entry| entry.file_type().is_some_and(|kind| kind.is_file()));
    for entry in files.take(FILES_MAX) {
        if let Some(stamp) = Stamp::of(entry.path()) {
            snapshot.insert(entry.into_path(), stamp);
        }
    }
}

fn is_watched(entry: &DirEntry) -> bool {
    let name = entry.file_name().to_string_lossy();
    if entry.depth() == 0 {
        return true;
    }
    if entry.file_type().is_some_and(|kind| kind.is_dir()) {
        return !SKIPPED_FOLDERS.contains(&name.as_ref());
    }
    !name.starts_with(".#") && !EDITOR_ENDS.iter().any(|end| name.ends_with(end))
}

impl Stamp {
    pub(super) fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            len: metadata.len(),
            modified: metadata.modified().ok(),
            content: None,
        })
    }

    fn is_of_same_file_as(&self, other: &Self) -> bool {
        let bare = |stamp: &Self| Self {
            content: None,
            ..*stamp
        };
        bare(self) == bare(other)
    }

    pub(super) fn has_same_content_as(&self, other: &Self) -> bool {
        self.content.is_some() && self.content == other.content
    }

    /// A new file, or an old one that has grown in place: how programs write logs and databases.
    pub(super) fn may_follow(self, before: Option<&Self>) -> bool {
        before.is_none_or(|before| before.inode == self.inode && self.len >= before.len)
    }
}

impl Content {
    fn of(bytes: &[u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(bytes);
        Self {
            len: bytes.len() as u64,
            hash: hasher.finish(),
        }
    }

    fn read(path: &Path) -> Option<Self> {
        fs::read(path).ok().map(|bytes| Self::of(&bytes))
    }
}

/// Adds the contents of source files. Files are read only if they are not known.
pub(super) fn with_contents(mut snapshot: Snapshot, known: &Snapshot) -> Snapshot {
    for (path, stamp) in &mut snapshot {
        let same = known
            .get(path)
            .filter(|known| known.is_of_same_file_as(stamp));
        stamp.content = match same {
            Some(known) => known.content,
            None if is_source(path) && stamp.len <= COMPARED_MAX => Content::read(path),
            None => None,
        };
    }
    snapshot
}

pub(super) fn is_source(path: &Path) -> bool {
    let end = path.extension().unwrap_or_default().to_string_lossy();
    end.is_empty() || SOURCE_ENDS.contains(&end.to_lowercase().as_str())
}

/// How many bytes a function has to write for this change of a file.
pub(super) fn cost(path: &Path, before: Option<&Stamp>, after: &Stamp) -> u64 {
    let Some(before) = before.filter(|before| after.may_follow(Some(before))) else {
        return after.len;
    };
    let has_grown = before.content.is_none_or(|content| {
        let bytes = fs::read(path).unwrap_or_default();
        let old = usize::try_from(content.len)
            .ok()
            .and_then(|len| bytes.get(..len));
        old.is_none_or(|old| Content::of(old) == content)
    });
    if has_grown {
        after.len - before.len
    } else {
        after.len
    }
}

/// Whether the code is built from the source before it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Built {
    Here,
    Elsewhere,
}

pub(super) fn changed(before: &Snapshot, after: &Snapshot) -> Vec<PathBuf> {
    let differs = |(path, stamp): &(&PathBuf, &Stamp)| before.get(*path) != Some(*stamp);
    let written = after.iter().filter(differs).map(|(path, _)| path.clone());
    let removed = before.keys().filter(|path| !after.contains_key(*path));
    written.chain(removed.cloned()).collect()
}
