//! What must not outlive this program, however it ends: process groups and temporary folders.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, Weak};

use crate::instance::process::Process;

static REGISTER: Mutex<Register> = Mutex::new(Register {
    folders: Vec::new(),
    processes: Vec::new(),
});

struct Register {
    folders: Vec<PathBuf>,
    processes: Vec<Weak<Process>>,
}

/// A temporary folder in the register; dropping it takes the folder out again.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Enters a folder that its owner removes unless a signal comes first.
    pub(crate) fn remember(path: &Path) -> Self {
        with(|register| register.folders.push(path.to_owned()));
        Self(path.to_owned())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        with(|register| register.folders.retain(|path| *path != self.0));
    }
}

/// Enters a process that its owner ends unless a signal comes first.
pub(crate) fn remember_process(process: Weak<Process>) {
    with(|register| {
        register.processes.retain(|known| known.strong_count() > 0);
        register.processes.push(process);
    });
}

/// Ends every process and removes every folder: for the way out that runs no destructor.
pub(crate) fn sweep() {
    let (folders, processes) = with(|register| {
        (
            std::mem::take(&mut register.folders),
            std::mem::take(&mut register.processes),
        )
    });
    for process in processes.iter().filter_map(Weak::upgrade) {
        process.kill();
    }
    for folder in folders {
        fs::remove_dir_all(folder).ok();
    }
}

fn with<T>(act: impl FnOnce(&mut Register) -> T) -> T {
    act(&mut REGISTER.lock().unwrap_or_else(PoisonError::into_inner))
}
