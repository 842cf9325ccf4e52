//! What must not outlive this program, however it ends: process groups and temporary folders.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use crate::instance::process::Process;

/// An orphan's end may make others orphans.
const ROUNDS_MAX: u32 = 50;
/// A folder that is still being written into is removed again.
const REMOVALS_MAX: u32 = 50;

static REGISTER: Mutex<Register> = Mutex::new(Register {
    folders: Vec::new(),
    processes: Vec::new(),
    end: End::NotYet,
    strangers: Vec::new(),
});

struct Register {
    folders: Vec<PathBuf>,
    processes: Vec<Weak<Process>>,
    end: End,
    strangers: Vec<i32>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    NotYet,
    /// Nothing new may begin: nobody would end it.
    Come,
}

/// Makes this program the parent of whatever its children leave behind, so that it can end that as well.
pub(crate) fn adopt_orphans() {
    let own = rustix::process::getpid();
    // Without it only process groups are ended, which is nearly always all.
    rustix::process::set_child_subreaper(Some(own)).ok();
    // A shell that became this program by `exec` may have had children: they are not ours to end.
    with(|register| register.strangers = children());
}

/// Ends what has left its group and lost its parent.
fn end_orphans(strangers: &[i32]) {
    for _ in 0..ROUNDS_MAX {
        let orphans: Vec<i32> = children()
            .into_iter()
            .filter(|child| !strangers.contains(child))
            .collect();
        if orphans.is_empty() {
            return;
        }
        for orphan in orphans.into_iter().filter_map(Pid::from_raw) {
            kill_process(orphan, Signal::KILL).ok();
            waitpid(Some(orphan), WaitOptions::empty()).ok();
        }
    }
}

fn children() -> Vec<i32> {
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

/// A temporary folder in the register; dropping it takes the folder out again.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Makes a folder and enters it in one step, so that no signal comes in between.
    pub(crate) fn make<T>(
        make: impl FnOnce() -> io::Result<T>,
        path: impl Fn(&T) -> &Path,
    ) -> io::Result<(T, Self)> {
        with(|register| {
            let folder = make()?;
            let path = path(&folder).to_owned();
            register.folders.push(path.clone());
            Ok((folder, Self(path)))
        })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        with(|register| register.folders.retain(|path| *path != self.0));
    }
}

/// Starts a process and enters it in one step, unless the end has come.
pub(crate) fn start(start: impl FnOnce() -> io::Result<Arc<Process>>) -> io::Result<Arc<Process>> {
    with(|register| {
        if register.end == End::Come {
            return Err(io::Error::from(io::ErrorKind::Interrupted));
        }
        let process = start()?;
        register.processes.retain(|known| known.strong_count() > 0);
        register.processes.push(Arc::downgrade(&process));
        Ok(process)
    })
}

/// Ends every process and removes every folder: for the way out that runs no destructor.
pub(crate) fn sweep() {
    let (folders, processes, strangers) = with(|register| {
        register.end = End::Come;
        let processes = std::mem::take(&mut register.processes);
        (
            std::mem::take(&mut register.folders),
            processes,
            register.strangers.clone(),
        )
    });
    for process in processes.iter().filter_map(Weak::upgrade) {
        process.kill();
    }
    end_orphans(&strangers);
    for folder in folders {
        remove(&folder);
    }
}

fn remove(folder: &Path) {
    for _ in 0..REMOVALS_MAX {
        fs::remove_dir_all(folder).ok();
        if !folder.exists() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn with<T>(act: impl FnOnce(&mut Register) -> T) -> T {
    act(&mut REGISTER.lock().unwrap_or_else(PoisonError::into_inner))
}
