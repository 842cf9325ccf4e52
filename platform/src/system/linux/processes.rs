//! The processes of this machine, read from `/proc`.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::system::{Usage, Work};

/// In the flags of a process: it runs no code of its own any more.
const PF_EXITING: u64 = 4;
const PAGE_KB: u64 = 4;
const SIGTERM_BIT: u64 = 1 << (15 - 1);

/// A process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) id: i32,
    pub(crate) state: State,
    parent: i32,
}

/// What a process does, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Running,
    Stopped,
    /// It has ended, and its parent has not noticed yet.
    Zombie,
}

/// Returns why no process but a direct child can be observed, if that is so.
pub(crate) fn blindness() -> Option<&'static str> {
    fs::metadata("/proc/self/stat")
        .is_err()
        .then_some("without /proc")
}

/// Makes this program the parent of all orphaned descendants, if the kernel lets it.
pub(crate) fn adopt_orphans() {
    let own = rustix::process::getpid();
    rustix::process::set_child_subreaper(Some(own)).ok();
}

/// Returns the ids of this program's children.
pub(crate) fn children() -> Vec<i32> {
    let tasks = fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let numbers = |list: String| -> Vec<i32> {
        list.split_whitespace()
            .filter_map(|number| number.parse().ok())
            .collect()
    };
    lists.flat_map(numbers).collect()
}

/// Returns the ids of all descendants of a process, without the process itself.
pub(crate) fn descendants(root: i32) -> Vec<i32> {
    family(root).into_iter().map(|entry| entry.id).collect()
}

/// Returns all descendants of a process, without the process itself.
pub(super) fn family(root: i32) -> Vec<Entry> {
    let mut rest = all();
    let mut known = HashSet::from([root]);
    let mut found = Vec::new();
    loop {
        let (children, others): (Vec<_>, Vec<_>) = rest
            .into_iter()
            .partition(|entry| known.contains(&entry.parent));
        if children.is_empty() {
            return found;
        }
        known.extend(children.iter().map(|entry| entry.id));
        found.extend(children);
        rest = others;
    }
}

/// Returns whether a process has ended, or is ending: its connections may be closed before its parent can notice.
pub(crate) fn is_ending(id: i32) -> bool {
    let Ok(line) = fs::read_to_string(format!("/proc/{id}/stat")) else {
        return blindness().is_none();
    };
    let fields = line.rsplit_once(") ").map_or("", |(_, fields)| fields);
    let flags = fields
        .split(' ')
        .nth(6)
        .and_then(|flags| flags.parse().ok());
    flags.is_some_and(|flags: u64| flags & PF_EXITING > 0)
}

/// Returns the ids of all processes.
pub(crate) fn ids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Returns how many bytes a process and the children that it waited for have written, to whatever; `None` if that is
/// not known.
pub(crate) fn written(id: i32) -> Option<u64> {
    let facts = fs::read_to_string(format!("/proc/{id}/io")).ok()?;
    let bytes = facts.lines().find_map(|line| line.strip_prefix("wchar: "));
    bytes?.parse().ok()
}

/// Returns a process's name, as `ps` shows it.
pub(crate) fn name(id: i32) -> Option<String> {
    let name = fs::read_to_string(format!("/proc/{id}/comm")).ok()?;
    Some(name.trim_end().to_owned())
}

/// Returns the program that a process runs.
pub(crate) fn program(id: i32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{id}/exe")).ok()
}

/// Returns whether a process handles SIGTERM; `None` if that is not known.
pub(crate) fn handles_sigterm(id: i32) -> Option<bool> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let caught = status
        .lines()
        .find_map(|line| line.strip_prefix("SigCgt:"))?;
    let caught = u64::from_str_radix(caught.trim(), 16).ok()?;
    Some(caught & SIGTERM_BIT != 0)
}

/// Returns what the processes use together; `None` if that is not known.
pub(crate) fn usage(processes: &[i32]) -> Option<Usage> {
    if blindness().is_some() {
        return None;
    }
    let mut sum = Usage::default();
    for process in processes {
        let folder = format!("/proc/{process}");
        let resident = fs::read_to_string(format!("{folder}/statm")).ok();
        let pages = resident.and_then(|text| {
            text.split(' ')
                .nth(1)
                .and_then(|pages| pages.parse::<u64>().ok())
        });
        sum.memory_kb += pages.unwrap_or(0) * PAGE_KB;
        sum.threads += entries(&format!("{folder}/task"));
        sum.descriptors += entries(&format!("{folder}/fd"));
    }
    Some(sum)
}

/// Returns whether a process has ended and no parent has waited for it.
pub(crate) fn is_zombie(id: i32) -> bool {
    let folder = format!("/proc/{id}");
    stat(Path::new(&folder)).is_some_and(|fields| fields.first().is_some_and(|state| state == "Z"))
}

/// Returns whether a thread of the process has this work.
pub(crate) fn works(id: i32, work: Work) -> bool {
    let states: &[&str] = match work {
        Work::Runs => &["R"],
        Work::RunsOrWaits => &["R", "D"],
    };
    let threads = fs::read_dir(format!("/proc/{id}/task"));
    threads.into_iter().flatten().flatten().any(|thread| {
        let fields = stat(&thread.path());
        fields.is_some_and(|fields| {
            fields
                .first()
                .is_some_and(|state| states.contains(&state.as_str()))
        })
    })
}

/// Device and inode of each file that the processes can write to.
pub(crate) fn open_for_writing(processes: &[i32]) -> BTreeSet<(u64, u64)> {
    let mut open = BTreeSet::new();
    for process in processes {
        let folder = format!("/proc/{process}/fd");
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let number = entry.file_name().to_string_lossy().into_owned();
            let facts = fs::read_to_string(format!("/proc/{process}/fdinfo/{number}"));
            if facts.is_ok_and(|facts| is_writable(&facts))
                && let Ok(file) = fs::metadata(entry.path())
            {
                open.insert((file.dev(), file.ino()));
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

fn entries(folder: &str) -> u64 {
    fs::read_dir(folder).map_or(0, |entries| entries.count() as u64)
}

/// The fields of `stat` in a folder of `/proc` from the state on. The name before them may hold anything.
fn stat(folder: &Path) -> Option<Vec<String>> {
    let line = fs::read_to_string(folder.join("stat")).ok()?;
    let (_, fields) = line.rsplit_once(") ")?;
    Some(fields.split(' ').map(str::to_owned).collect())
}

fn all() -> Vec<Entry> {
    let read = |id| entry(id, &fs::read_to_string(format!("/proc/{id}/stat")).ok()?);
    ids().filter_map(read).collect()
}

/// Parses `id (name) state parent …`. The name may contain anything, parentheses included.
fn entry(id: i32, line: &str) -> Option<Entry> {
    let mut after_name = line.rsplit_once(") ")?.1.split(' ');
    let state = match after_name.next()? {
        "T" | "t" => State::Stopped,
        "Z" | "X" => State::Zombie,
        _ => State::Running,
    };
    let parent = after_name.next()?.parse().ok()?;
    Some(Entry { id, state, parent })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_hide_the_parent() {
        let found = entry(7, "7 (a) Z 9 (b) T 3 7 7 0");
        let expected = Entry {
            id: 7,
            state: State::Stopped,
            parent: 3,
        };
        assert_eq!(found, Some(expected));
    }

    #[test]
    fn a_process_is_ending_before_its_parent_notices() {
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let id = i32::try_from(child.id()).unwrap();
        assert!(!is_ending(id));
        // Killed, it closes nothing by itself: the pipe is closed by its end.
        child.kill().unwrap();
        let mut output = child.stdout.take().unwrap();
        std::io::Read::read_to_end(&mut output, &mut Vec::new()).unwrap();
        assert!(is_ending(id));
        child.wait().unwrap();
        assert!(is_ending(id));
    }

    #[test]
    fn grandchildren_are_descendants() {
        let mut child = std::process::Command::new("sh")
            // What `yes` writes, it writes under its own name: the shell has become it.
            .args(["-c", "yes & wait"])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = [0];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut line).unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        let shell = i32::try_from(child.id()).unwrap();
        let found = family(own);
        let yes = found.iter().find(|entry| entry.parent == shell);
        assert!(found.iter().any(|entry| entry.id == shell), "{found:?}");
        let yes = yes.unwrap().id;
        assert_eq!(name(yes).as_deref(), Some("yes"));
        for id in [yes, shell] {
            let id = rustix::process::Pid::from_raw(id).unwrap();
            rustix::process::kill_process(id, rustix::process::Signal::KILL).unwrap();
        }
        child.wait().unwrap();
    }
}
