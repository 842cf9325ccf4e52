//! Detects changes of a source by polling the names, lengths and times of its files.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::Path;

/// Files after this many are not watched.
const FILES_MAX: usize = 20_000;
const SKIPPED: [&str; 4] = [".git", "node_modules", "target", "__pycache__"];

/// The last seen state of a source.
#[derive(Debug)]
pub(crate) struct Watch {
    seen: u64,
    settling: Option<u64>,
}

impl Watch {
    /// Records the current state.
    pub(crate) fn begin(source: &Path) -> Self {
        Self {
            seen: look(source),
            settling: None,
        }
    }

    /// Whether the source changed and then stayed the same for one poll: a build writes for a while.
    pub(crate) fn has_changed(&mut self, source: &Path) -> bool {
        let now = look(source);
        if now == self.seen {
            self.settling = None;
            return false;
        }
        if self.settling != Some(now) {
            self.settling = Some(now);
            return false;
        }
        self.seen = now;
        self.settling = None;
        true
    }
}

fn look(source: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    let mut paths = vec![source.to_owned()];
    let mut files = 0;
    while let Some(path) = paths.pop() {
        files += 1;
        let Ok(metadata) = fs::metadata(&path) else {
            continue;
        };
        if metadata.is_dir() {
            let entries = fs::read_dir(&path).into_iter().flatten().flatten();
            let mut inside: Vec<_> = entries.map(|entry| entry.path()).collect();
            inside.retain(|path| {
                path.file_name()
                    .is_none_or(|name| !SKIPPED.iter().any(|skipped| name == *skipped))
            });
            inside.sort();
            paths.extend(inside);
        } else {
            (path, metadata.len(), metadata.modified().ok()).hash(&mut hasher);
        }
        if files > FILES_MAX {
            break;
        }
    }
    hasher.finish()
}
