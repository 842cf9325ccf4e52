//! Where an image is made: a folder beside its destination, so that it appears there as a whole or not at all.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags};
use tempfile::TempDir;

use crate::exit::Failure;
use crate::remains;

/// The files and folders of a layout.
const OF_LAYOUT: [&str; 3] = ["blobs", "index.json", MARK];
pub(crate) const MARK: &str = "oci-layout";

/// What the image is written to.
#[derive(Clone, Debug)]
pub(crate) enum Destination {
    /// One file, a tar of a layout.
    File(PathBuf),
    /// A folder, a layout.
    Folder(PathBuf),
}

impl Destination {
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::File(path) | Self::Folder(path) => path,
        }
    }

    /// Finds out, before the work, whether the image can be written.
    pub(crate) fn examine(&self) -> Result<(), Failure> {
        let path = self.path();
        let refused = |error: io::Error| {
            Failure::file("write", path, &error)
                .fix("name a place in a directory that exists and can be written")
        };
        tempfile::tempfile_in(parent(path)).map_err(refused)?;
        let Ok(metadata) = fs::symlink_metadata(path) else {
            return Ok(());
        };
        match self {
            Self::File(_) if metadata.is_dir() => Err(Failure::machine(format!(
                "cannot write {}: it is a directory",
                path.display()
            ))
            .fix("name a file, or use --image-dir")),
            Self::Folder(_) if !metadata.is_dir() || !is_replaceable(path) => {
                Err(Failure::machine(format!(
                    "cannot write {}: something that is not an image is there",
                    path.display()
                ))
                .fix("name a directory that does not exist, is empty, or holds an image layout"))
            }
            Self::File(_) | Self::Folder(_) => Ok(()),
        }
    }
}

fn parent(path: &Path) -> &Path {
    let parent = path.parent();
    let parent = parent.filter(|folder| !folder.as_os_str().is_empty());
    parent.unwrap_or_else(|| Path::new("."))
}

/// Whether nothing is lost that an image does not replace.
fn is_replaceable(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else {
        return false;
    };
    let names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
    let is_of_layout = |name: &std::ffi::OsString| OF_LAYOUT.iter().any(|known| name == known);
    names.is_empty() || (names.iter().any(|name| name == MARK) && names.iter().all(is_of_layout))
}

/// The folder in which the image is made. It is removed with all that is still in it, also when a signal ends the program.
#[derive(Debug)]
pub(crate) struct Place {
    folder: TempDir,
    _remembered: remains::Folder,
}

impl Place {
    pub(crate) fn beside(destination: &Path) -> io::Result<Self> {
        let parent = parent(destination);
        let make = || {
            tempfile::Builder::new()
                .prefix(".coldstart-")
                .tempdir_in(parent)
        };
        let (folder, remembered) = remains::Folder::make(make, TempDir::path)?;
        Ok(Self {
            folder,
            _remembered: remembered,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Moves what was made to its destination, in one step.
    pub(crate) fn publish(&self, made: &Path, destination: &Destination) -> io::Result<()> {
        match destination {
            Destination::Folder(path) if is_filled(path) => {
                // The old image is in the folder of this place then, and goes with it.
                rustix::fs::renameat_with(CWD, made, CWD, path, RenameFlags::EXCHANGE)?;
                Ok(())
            }
            Destination::File(path) | Destination::Folder(path) => fs::rename(made, path),
        }
    }
}

fn is_filled(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
}
