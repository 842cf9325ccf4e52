//! Detects changes of a source by polling its files.
//!
//! What `.gitignore` and `.fcignore` ignore does not count, except where it is the code that is deployed. Neither does
//! what the function writes itself, or each restart would cause the next.

pub(crate) mod blame;
pub(crate) mod files;
pub(crate) mod stale;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::console::say;
use crate::project::Project;
use crate::system::open_for_writing;

use blame::{Suspects, Writer, Written};
use files::{
    Built, GitIgnore, Places, Snapshot, Stamp, add, changed, cost, is_source, with_contents,
};

/// After its start a function may still be writing its first files.
const START_WRITES: Duration = Duration::from_secs(1);

/// What may have written since the last poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activity {
    /// Only people and their tools.
    Quiet,
    /// The function as well: it served a call.
    Serving,
}

/// Where a project's files were before its first build.
#[derive(Debug)]
pub(crate) struct Before(Snapshot);

impl Before {
    pub(crate) fn look(folder: &Path) -> Self {
        let mut snapshot = Snapshot::new();
        add(&mut snapshot, folder, GitIgnore::Obeyed);
        Self(with_contents(snapshot, &Snapshot::new()))
    }
}

/// The watched files and their last state.
#[derive(Debug)]
pub(crate) struct Watch {
    places: Places,
    /// The state that the running function was started from.
    seen: Snapshot,
    last: Snapshot,
    started: Instant,
    suspects: Suspects,
    /// Before the last look.
    written: Option<Written>,
    announced: BTreeSet<PathBuf>,
}

impl Watch {
    /// Records the current state. The code does not count where it is `built` from the source. A source file that is
    /// not as it was `before` the first build has changed since.
    pub(crate) fn begin(project: &Project, built: Built, before: Option<Before>) -> Self {
        let places = Places::of(project, built);
        let last = with_contents(places.look(), &Snapshot::new());
        let mut seen = last.clone();
        let before = before.into_iter().flat_map(|before| before.0);
        for (path, stamp) in before.filter(|(path, _)| is_source(path)) {
            // What the build adds or takes away is its own affair.
            if let Some(now) = seen
                .get_mut(&path)
                .filter(|now| !now.has_same_content_as(&stamp))
            {
                *now = stamp;
            }
        }
        Self {
            places,
            seen,
            last,
            started: Instant::now(),
            suspects: Suspects::default(),
            written: None,
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
        let now = self.look();
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
                self.disregard(path, stamp.copied(), "the function");
            } else {
                is_at_rest = false;
            }
        }
        self.last = now;
        if is_at_rest {
            self.take_changes()
        } else {
            Vec::new()
        }
    }

    /// The same during a start, or during the build before it.
    pub(crate) fn poll_start(
        &mut self,
        writer: impl Fn() -> Writer,
        processes: impl FnOnce() -> Vec<i32>,
    ) -> Vec<PathBuf> {
        if self.judge(writer, processes) {
            self.take_changes()
        } else {
            Vec::new()
        }
    }

    /// A start is over: what the function wrote meanwhile is no change.
    pub(crate) fn started(
        &mut self,
        writer: impl Fn() -> Writer,
        processes: impl FnOnce() -> Vec<i32>,
    ) {
        self.judge(writer, processes);
        self.called_off();
        self.started = Instant::now();
    }

    /// A start was called off, and the next one begins.
    pub(crate) fn called_off(&mut self) {
        self.suspects.next();
    }

    /// Sorts what has changed since the last look, and returns whether nothing has but what the function wrote.
    fn judge(&mut self, writer: impl Fn() -> Writer, processes: impl FnOnce() -> Vec<i32>) -> bool {
        let earlier = std::mem::replace(&mut self.written, writer().written());
        let now = self.look();
        let fresh = changed(&self.last, &now);
        if fresh.is_empty() {
            return true;
        }
        // After the look, so that all that it saw is counted.
        let writer = writer();
        let open = open_for_writing(&processes());
        let mut is_at_rest = true;
        for path in fresh {
            let stamp = now.get(&path);
            let before = self.seen.get(&path);
            if let (Some(stamp), Some(before)) = (stamp, before)
                && stamp.has_same_content_as(before)
            {
                self.seen.insert(path, *stamp);
                continue;
            }
            let is_open = stamp.is_some_and(|stamp| open.contains(&(stamp.device, stamp.inode)));
            let cost = stamp.map(|stamp| cost(&path, self.last.get(&path), stamp));
            let is_known = self.suspects.add(&path, writer.cause(cost, earlier));
            if is_open || self.is_output(&path, stamp) {
                self.disregard(&path, stamp.copied(), "the function");
            } else if is_known {
                self.disregard(&path, stamp.copied(), writer.name());
            } else {
                is_at_rest = false;
            }
        }
        self.last = now;
        is_at_rest
    }

    fn take_changes(&mut self) -> Vec<PathBuf> {
        let changes = changed(&self.seen, &self.last);
        self.seen = self.last.clone();
        changes
    }

    fn look(&self) -> Snapshot {
        with_contents(self.places.look(), &self.last)
    }

    fn is_output(&self, path: &Path, stamp: Option<&Stamp>) -> bool {
        !is_source(path) && stamp.is_none_or(|stamp| stamp.may_follow(self.last.get(path)))
    }

    fn disregard(&mut self, path: &Path, stamp: Option<Stamp>, writer: &str) {
        match stamp {
            Some(stamp) => self.seen.insert(path.to_owned(), stamp),
            None => self.seen.remove(path),
        };
        if self.announced.insert(path.to_owned()) {
            let shown = self.shown(path);
            say(format!("{shown} is written by {writer}: not a change"));
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
