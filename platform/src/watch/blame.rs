//! Tells the writes of a function from the edits of its author, for source files that change during a start.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A change of one source file calls off this many starts in a row, if the function can have written it.
const FUNCTION_PATIENCE: u32 = 1;
/// The same for what changes while a build runs.
const BUILD_PATIENCE: u32 = 3;
/// The same if the function has not written as many bytes. There are rare ways to change a file without writing.
const AUTHOR_PATIENCE: u32 = 10;

/// What may have written during a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writer {
    /// A build.
    Build,
    /// A function, and how much it has written, if that is known.
    Function(Option<Written>),
}

/// The bytes that an instance has written so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// The process that it was launched as.
    pub(crate) instance: i32,
    pub(crate) bytes: u64,
}

impl Written {
    /// The bytes since an earlier look, or since the launch of another instance.
    pub(super) fn since(self, earlier: Option<Self>) -> u64 {
        let same = earlier.filter(|earlier| earlier.instance == self.instance);
        self.bytes
            .saturating_sub(same.map_or(0, |earlier| earlier.bytes))
    }
}

/// Who can have changed a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The build or the author.
    Build,
    /// The function or the author.
    Function,
    /// The author alone, as far as is known.
    Author,
}

/// In how many starts in a row a file has changed.
#[derive(Clone, Copy, Debug, Default)]
struct Suspicion {
    starts: u32,
    /// In this many of them, in a row as well, the function can have changed it.
    by_function: u32,
}

/// Files that have changed in the last start, and in the present one.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    before: BTreeMap<PathBuf, Suspicion>,
    /// And whether the function can have done it.
    now: BTreeMap<PathBuf, bool>,
}

impl Suspects {
    /// A file has changed in this start. Whether it did so in too many starts to be changed by its author.
    pub(super) fn add(&mut self, path: &Path, cause: Cause) -> bool {
        *self.now.entry(path.to_owned()).or_default() |= cause == Cause::Function;
        let suspicion = self.before.get(path).copied().unwrap_or_default();
        match cause {
            Cause::Build => suspicion.starts >= BUILD_PATIENCE,
            Cause::Function => suspicion.by_function >= FUNCTION_PATIENCE,
            Cause::Author => suspicion.starts >= AUTHOR_PATIENCE,
        }
    }

    /// The start is over, or was called off.
    pub(super) fn next(&mut self) {
        let now = std::mem::take(&mut self.now);
        let count = |(path, is_by_function): (PathBuf, bool)| {
            let before = self.before.get(&path).copied().unwrap_or_default();
            let suspicion = Suspicion {
                starts: before.starts + 1,
                by_function: if is_by_function {
                    before.by_function + 1
                } else {
                    0
                },
            };
            (path, suspicion)
        };
        self.before = now.into_iter().map(count).collect();
    }
}

impl Writer {
    /// Who can have made a change that takes at least `cost` bytes to write; `None` if the file was removed. `earlier` is
    /// what was written before the last look.
    pub(super) fn cause(self, cost: Option<u64>, earlier: Option<Written>) -> Cause {
        match (self, cost) {
            (Self::Build, _) => Cause::Build,
            (Self::Function(Some(written)), Some(cost)) if cost > written.since(earlier) => {
                Cause::Author
            }
            (Self::Function(_), _) => Cause::Function,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Build => "the build",
            Self::Function(_) => "the function",
        }
    }

    pub(super) const fn written(self) -> Option<Written> {
        match self {
            Self::Function(written) => written,
            Self::Build => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn written(instance: i32, bytes: u64) -> Option<Written> {
        Some(Written { instance, bytes })
    }

    #[test]
    fn a_function_that_wrote_less_than_the_change_takes_did_not_make_it() {
        let writer = Writer::Function(written(1, 150));
        assert_eq!(writer.cause(Some(51), written(1, 100)), Cause::Author);
        assert_eq!(writer.cause(Some(50), written(1, 100)), Cause::Function);
        // Another instance has written all of it since.
        assert_eq!(writer.cause(Some(51), written(2, 100)), Cause::Function);
        assert_eq!(writer.cause(None, written(1, 150)), Cause::Function);
        assert_eq!(
            Writer::Function(None).cause(Some(51), None),
            Cause::Function
        );
        assert_eq!(Writer::Build.cause(Some(51), None), Cause::Build);
    }

    #[test]
    fn a_file_is_known_once_it_has_changed_in_too_many_starts_in_a_row() {
        let path = Path::new("state.json");
        for (cause, patience) in [
            (Cause::Function, FUNCTION_PATIENCE),
            (Cause::Build, BUILD_PATIENCE),
            (Cause::Author, AUTHOR_PATIENCE),
        ] {
            let mut suspects = Suspects::default();
            for start in 0..=patience {
                assert_eq!(suspects.add(path, cause), start == patience, "{cause:?}");
                suspects.next();
            }
            // A start without a change.
            suspects.next();
            assert!(!suspects.add(path, cause), "{cause:?}");
        }
    }

    #[test]
    fn edits_of_the_author_do_not_count_against_the_function() {
        let path = Path::new("server.py");
        let mut suspects = Suspects::default();
        suspects.add(path, Cause::Author);
        suspects.next();
        assert!(!suspects.add(path, Cause::Function));
    }
}
