//! Detects changes of a source by polling its files.
//!
//! What `.gitignore` and `.fcignore` ignore does not count, except where it is the code that is deployed. Neither does
//! what the function writes itself, or each restart would cause the next.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use ignore::{DirEntry, WalkBuilder};

use crate::console::say;
use crate::project::{Project, Start};

/// Files after this many are not watched.
const FILES_MAX: usize = 20_000;
/// Neither source nor code.
const SKIPPED_FOLDERS: [&str; 5] = [".git", ".s", "__pycache__", "node_modules", "target"];
/// How editors name their own files.
const EDITOR_ENDS: [&str; 4] = [".swp", ".swx", "~", "#"];
/// Files that people write. A function may write any other, such as a log or a database.
const SOURCE_ENDS: [&str; 44] = [
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
/// After its start a function may still be writing its first files.
const START_WRITES: Duration = Duration::from_secs(1);

/// What identifies a file's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    len: u64,
    modified: Option<SystemTime>,
}

type Snapshot = BTreeMap<PathBuf, Stamp>;

/// What may have written since the last poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activity {
    /// Only people and their tools.
    Quiet,
    /// The function as well: it served a call.
    Serving,
}

/// The watched files and their last state.
#[derive(Debug)]
pub(crate) struct Watch {
    places: Places,
    /// The state that the running function was started from.
    seen: Snapshot,
    last: Snapshot,
    started: Instant,
    /// Source files that changed during the last start.
    suspects: BTreeSet<PathBuf>,
    announced: BTreeSet<PathBuf>,
}

/// Where the files are.
#[derive(Debug)]
struct Places {
    root: PathBuf,
    /// The code as it is deployed, watched even where it is ignored; none where it is built from the rest.
    code: Option<PathBuf>,
    /// Files that the start command names.
    started: Vec<PathBuf>,
    /// What the build makes.
    product: Option<PathBuf>,
}

impl Places {
    fn of(project: &Project, built: Built) -> Self {
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

    fn look(&self) -> Snapshot {
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
enum GitIgnore {
    Obeyed,
    Unread,
}

fn add(snapshot: &mut Snapshot, root: &Path, git: GitIgnore) {
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
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            len: metadata.len(),
            modified: metadata.modified().ok(),
        })
    }

    /// A new file, or an old one that has grown in place: how programs write logs and databases.
    fn may_follow(self, before: Option<&Self>) -> bool {
        before.is_none_or(|before| before.inode == self.inode && self.len >= before.len)
    }
}

impl Watch {
    /// Records the current state. The code does not count where it `is_built` from the source.
    pub(crate) fn begin(project: &Project, built: Built) -> Self {
        let places = Places::of(project, built);
        let seen = places.look();
        Self {
            places,
            last: seen.clone(),
            seen,
            started: Instant::now(),
            suspects: BTreeSet::new(),
            announced: BTreeSet::new(),
        }
    }

    /// The files that have changed since the function was started, once they have been at rest for one poll: a build
    /// writes for a while.
    pub(crate) fn poll(
        &mut self,
        activity: Activity,
        processes: impl FnOnce() -> Vec<i32>,
    ) -> Vec<PathBuf> {
        let now = self.places.look();
        let fresh = changed(&self.last, &now);
        let is_starting = self.started.elapsed() < START_WRITES;
        let open = if fresh.is_empty() {
            BTreeSet::new()
        } else {
            open_for_writing(&processes())
        };
        // A function that writes all the time must not put off the restart.
        let mut is_at_rest = true;
        for path in &fresh {
            let stamp = now.get(path);
            let is_open = stamp.is_some_and(|stamp| open.contains(&(stamp.device, stamp.inode)));
            let is_written =
                (is_starting || activity == Activity::Serving) && self.is_output(path, stamp);
            if is_open || is_written {
                self.disregard(path, stamp.copied());
            } else {
                is_at_rest = false;
            }
        }
        self.last = now;
        let changes = changed(&self.seen, &self.last);
        if !is_at_rest || changes.is_empty() {
            return Vec::new();
        }
        self.seen = self.last.clone();
        changes
    }

    /// The function was started again: what it wrote meanwhile is no change. A source file that changed is one, the
    /// first time: it may have been saved by its author. One that changes in the next start as well is written by the
    /// function.
    pub(crate) fn started(&mut self) {
        let now = self.places.look();
        let mut suspects = BTreeSet::new();
        for path in changed(&self.last, &now) {
            let stamp = now.get(&path);
            if self.is_output(&path, stamp) || self.suspects.contains(&path) {
                self.disregard(&path, stamp.copied());
            }
            suspects.insert(path);
        }
        self.suspects = suspects;
        self.last = now;
        self.started = Instant::now();
    }

    fn is_output(&self, path: &Path, stamp: Option<&Stamp>) -> bool {
        let end = path.extension().unwrap_or_default().to_string_lossy();
        let is_source = end.is_empty() || SOURCE_ENDS.contains(&end.to_lowercase().as_str());
        !is_source && stamp.is_none_or(|stamp| stamp.may_follow(self.last.get(path)))
    }

    fn disregard(&mut self, path: &Path, stamp: Option<Stamp>) {
        match stamp {
            Some(stamp) => self.seen.insert(path.to_owned(), stamp),
            None => self.seen.remove(path),
        };
        if self.announced.insert(path.to_owned()) {
            let shown = self.shown(path);
            say(format!("{shown} is written by the function: not a change"));
        }
    }

    /// The path as a user knows it.
    pub(crate) fn shown(&self, path: &Path) -> String {
        let root = self.places.root.canonicalize();
        let short = root.as_ref().map_or(path, |root| {
            path.strip_prefix(root)
                .ok()
                .filter(|rest| !rest.as_os_str().is_empty())
                .unwrap_or(path)
        });
        short.display().to_string()
    }
}

/// Whether the code is built from the source before it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Built {
    Here,
    Elsewhere,
}

fn changed(before: &Snapshot, after: &Snapshot) -> Vec<PathBuf> {
    let differs = |(path, stamp): &(&PathBuf, &Stamp)| before.get(*path) != Some(*stamp);
    let written = after.iter().filter(differs).map(|(path, _)| path.clone());
    let removed = before.keys().filter(|path| !after.contains_key(*path));
    written.chain(removed.cloned()).collect()
}

/// Device and inode of each file that the processes can write to.
fn open_for_writing(processes: &[i32]) -> BTreeSet<(u64, u64)> {
    let mut open = BTreeSet::new();
    for process in processes {
        let folder = format!("/proc/{process}/fd");
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let number = entry.file_name().to_string_lossy().into_owned();
            let facts = fs::read_to_string(format!("/proc/{process}/fdinfo/{number}"));
            if facts.is_ok_and(|facts| is_writable(&facts))
                && let Some(stamp) = Stamp::of(&entry.path())
            {
                open.insert((stamp.device, stamp.inode));
            }
        }
    }
    open
}

/// The access mode is the last two bits of the octal flags: 0 reads only.
fn is_writable(facts: &str) -> bool {
    let flags = facts.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    flags.is_some_and(|flags| flags & 0o3 != 0)
}

/// A file that is older than the source that it was made from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stale {
    pub(crate) code: PathBuf,
    pub(crate) source: PathBuf,
}

/// Looks for source that is newer than the code. `None` if the code is the source.
pub(crate) fn stale(project: &Project) -> Option<Stale> {
    let compiled = [
        "c", "cc", "cpp", "cs", "fs", "go", "java", "kt", "rs", "scala", "ts", "tsx", "zig",
    ];
    let root = project.watched.canonicalize().ok()?;
    let artifact = project.artifact.canonicalize().ok()?;
    let (code, ends) = if artifact == root {
        let Start::File(name) = &project.start else {
            return None;
        };
        let file = artifact.join(name);
        let is_binary = fs::read(&file).is_ok_and(|bytes| bytes.starts_with(b"\x7fELF"));
        (is_binary.then_some(file)?, &compiled[..])
    } else {
        (artifact, &SOURCE_ENDS[..])
    };
    let mut made = Snapshot::new();
    add(&mut made, &code, GitIgnore::Unread);
    let made = made.values().filter_map(|stamp| stamp.modified).max()?;
    let mut sources = Snapshot::new();
    add(&mut sources, &root, GitIgnore::Obeyed);
    let is_source = |path: &Path| {
        let end = path.extension().unwrap_or_default().to_string_lossy();
        let is_deployment = path.parent() == Some(&root) && path.file_stem() == Some("s".as_ref());
        ends.contains(&end.as_ref()) && !path.starts_with(&code) && !is_deployment
    };
    let newest = sources
        .iter()
        .filter(|(path, _)| is_source(path))
        .max_by_key(|(_, stamp)| stamp.modified)?;
    (newest.1.modified? > made).then(|| Stale {
        code: short(&code, &root),
        source: short(newest.0, &root),
    })
}

fn short(path: &Path, root: &Path) -> PathBuf {
    path.strip_prefix(root).unwrap_or(path).to_owned()
}
