//! Finds code that is older than its source.

use std::fs;
use std::path::{Path, PathBuf};

use super::files::{GitIgnore, SOURCE_ENDS, Snapshot, add};
use crate::project::{Project, Start};

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
    let is_newer_kind = |path: &Path| {
        let end = path.extension().unwrap_or_default().to_string_lossy();
        let is_deployment = path.parent() == Some(&root) && path.file_stem() == Some("s".as_ref());
        ends.contains(&end.as_ref()) && !path.starts_with(&code) && !is_deployment
    };
    let newest = sources
        .iter()
        .filter(|(path, _)| is_newer_kind(path))
        .max_by_key(|(_, stamp)| stamp.modified)?;
    (newest.1.modified? > made).then(|| Stale {
        code: short(&code, &root),
        source: short(newest.0, &root),
    })
}

fn short(path: &Path, root: &Path) -> PathBuf {
    path.strip_prefix(root).unwrap_or(path).to_owned()
}
