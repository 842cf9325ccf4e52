//! The processes of this machine, read from `/proc`.

use std::collections::HashSet;
use std::fs;

/// In the flags of a process: it runs no code of its own any more.
const PF_EXITING: u64 = 4;

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

/// Returns whether `/proc` is mounted. Without it no process but a direct child can be observed.
pub(crate) fn are_visible() -> bool {
    fs::metadata("/proc/self/stat").is_ok()
}

/// Returns all descendants of a process, without the process itself.
pub(crate) fn descendants(root: i32) -> Vec<Entry> {
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
        return are_visible();
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
        let found = descendants(own);
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
