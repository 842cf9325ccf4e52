//! What must not outlive this program, however it ends: process groups and temporary folders.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use crate::instance::process::Process;

/// A folder that is still being written into is removed again.
const REMOVALS_MAX: u32 = 50;

static REGISTER: Mutex<Register> = Mutex::new(Register {
    folders: Vec::new(),
    processes: Vec::new(),
    end: End::NotYet,
});

struct Register {
    folders: Vec<PathBuf>,
    processes: Vec<Weak<Process>>,
    end: End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    NotYet,
    /// Nothing new may begin: nobody would end it.
    Come,
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
    let (folders, processes) = with(|register| {
        register.end = End::Come;
        (
            std::mem::take(&mut register.folders),
            std::mem::take(&mut register.processes),
        )
    });
    for process in processes.iter().filter_map(Weak::upgrade) {
        process.kill();
    }
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
