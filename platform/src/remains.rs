//! What must not outlive this program, however it ends: processes and temporary folders.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use crate::system;

/// Killing an orphan can orphan its children in turn.
const ROUNDS_MAX: u32 = 50;
/// Removal is retried while something still writes into the folder.
const REMOVALS_MAX: u32 = 50;

static REGISTER: Mutex<Register> = Mutex::new(Register {
    folders: Vec::new(),
    processes: Vec::new(),
    end: End::NotYet,
    inherited: Vec::new(),
});

/// Something that runs and that the sweep ends.
pub(crate) trait Running: Send + Sync {
    /// Ends it and waits until it is gone.
    fn end(&self);
}

struct Register {
    folders: Vec<PathBuf>,
    processes: Vec<Weak<dyn Running>>,
    end: End,
    inherited: Vec<i32>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    NotYet,
    /// The sweep has begun. A process that started now would outlive it.
    Begun,
}

/// Makes this program the parent of all orphaned descendants, so that the sweep finds them.
pub(crate) fn adopt_orphans() {
    // Where that is not possible, the sweep still ends whole process groups, which nearly always suffices.
    system::adopt_orphans();
    // A shell that became this program through `exec` may have children already. They are not ours to kill.
    with(|register| register.inherited = system::children());
}

/// Ends descendants that left their process group and lost their parent.
fn end_orphans(inherited: &[i32]) {
    for _ in 0..ROUNDS_MAX {
        let orphans: Vec<i32> = system::children()
            .into_iter()
            .filter(|child| !inherited.contains(child))
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

/// A registered temporary folder. Dropping this unregisters the folder.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Makes and registers a folder in one step, so that no signal comes in between.
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

/// Starts and registers a process in one step. Refuses once the sweep has begun.
pub(crate) fn start<T: Running + 'static>(
    start: impl FnOnce() -> io::Result<Arc<T>>,
) -> io::Result<Arc<T>> {
    with(|register| {
        if register.end == End::Begun {
            return Err(io::Error::from(io::ErrorKind::Interrupted));
        }
        let process = start()?;
        register.processes.retain(|known| known.strong_count() > 0);
        let known: Weak<T> = Arc::downgrade(&process);
        register.processes.push(known);
        Ok(process)
    })
}

/// Ends every process and removes every folder, for exits that run no destructors.
pub(crate) fn sweep() {
    let (folders, processes, inherited) = with(|register| {
        register.end = End::Begun;
        (
            std::mem::take(&mut register.folders),
            std::mem::take(&mut register.processes),
            register.inherited.clone(),
        )
    });
    for process in processes.iter().filter_map(Weak::upgrade) {
        process.end();
    }
    end_orphans(&inherited);
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
