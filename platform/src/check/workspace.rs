//! The code directory as the checks use it: a copy, so that what a server writes there is noticed and not left behind.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::exit::Failure;
use crate::project::{Project, Scratch, Start};

/// What the platform accepts unpacked, and a number of files that is still copied quickly.
const LEN_MAX: u64 = 512 * 1024 * 1024;
const FILES_MAX: usize = 50_000;
/// Not part of a deployment, and not written by servers.
const NOT_COPIED: &str = ".git";
/// Python writes these where it can and does without where it cannot.
const CACHE: &str = "__pycache__";

/// May the copy be written?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    AsItIs,
    ReadOnly,
}

/// A copy of the code directory, with what was in it at first.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// None if the directory is too large: then the checks run in place.
    copy: Option<Scratch>,
    before: BTreeMap<PathBuf, Stamp>,
}

/// What changes when a file is written.
type Stamp = (u64, Option<SystemTime>);

impl Workspace {
    /// Copies the project's code; gives the project that runs from the copy.
    pub(crate) fn of(project: Project) -> Result<(Self, Project), Failure> {
        let size = size(&project.code, &mut Size::default());
        if !size.is_ok_and(|size| size.fits()) {
            let in_place = Self {
                copy: None,
                before: BTreeMap::new(),
            };
            return Ok((in_place, project));
        }
        let scratch = copied(&project.code, Mode::AsItIs)?;
        let mut moved = project.at(scratch.path());
        if let Start::Command(words) = &mut moved.start {
            for word in words {
                *word = outside(word, &project.code);
            }
        }
        let mut before = BTreeMap::new();
        stamp(scratch.path(), scratch.path(), &mut before);
        let workspace = Self {
            copy: Some(scratch),
            before,
        };
        Ok((workspace, moved))
    }

    /// The files that were written since, relative to the code directory.
    pub(crate) fn written(&self) -> Vec<String> {
        let Some(copy) = &self.copy else {
            return Vec::new();
        };
        let mut now = BTreeMap::new();
        stamp(copy.path(), copy.path(), &mut now);
        now.into_iter()
            .filter(|(path, stamp)| self.before.get(path) != Some(stamp))
            .map(|(path, _)| path.to_string_lossy().into_owned())
            .collect()
    }
}

/// A temporary copy of the code.
pub(crate) fn copied(code: &Path, mode: Mode) -> Result<Scratch, Failure> {
    let scratch = Scratch::new()?;
    let copying = Copying {
        target: scratch.path().canonicalize().unwrap_or_default(),
        mode,
    };
    match copying.copy(code, scratch.path()) {
        Ok(()) => Ok(scratch),
        Err(error) if error.kind() == io::ErrorKind::StorageFull => {
            Err(no_room(code, scratch.path()))
        }
        Err(error) => Err(Failure::file("copy", code, &error)),
    }
}

/// The error names the code, but the disk that is full is the one of the copy.
fn no_room(code: &Path, copy: &Path) -> Failure {
    let folder = copy.parent().unwrap_or(copy);
    Failure::machine(format!(
        "cannot copy {} to {}: that disk is full",
        code.display(),
        folder.display()
    ))
    .fix("free some of it, check a folder with the code alone, or set TMPDIR to a folder on another disk")
}

/// A read-only folder cannot be emptied, so it is made writable before it is removed.
pub(crate) fn make_writable(folder: &Path) {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).ok();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            make_writable(&entry.path());
        }
    }
}

/// A relative path of the command that leads out of the code directory leads elsewhere from the copy.
fn outside(word: &str, code: &Path) -> String {
    let path = Path::new(word);
    if path.is_absolute() || !word.contains('/') {
        return word.to_owned();
    }
    match code.join(path).canonicalize() {
        Ok(found) if !found.starts_with(code) && path.starts_with("..") => {
            found.to_string_lossy().into_owned()
        }
        Ok(_) | Err(_) => word.to_owned(),
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Size {
    length: u64,
    files: usize,
}

impl Size {
    const fn fits(self) -> bool {
        self.length <= LEN_MAX && self.files <= FILES_MAX
    }
}

fn size(folder: &Path, sum: &mut Size) -> io::Result<Size> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        sum.files += 1;
        if !sum.fits() {
            break;
        }
        if kind.is_dir() && entry.file_name() != NOT_COPIED {
            size(&entry.path(), sum)?;
        } else if kind.is_file() {
            sum.length += entry.metadata()?.len();
        }
    }
    Ok(*sum)
}

/// One copy in the making.
struct Copying {
    /// Where it goes. The code may hold the folder of temporary files, and a copy must not hold itself.
    target: PathBuf,
    mode: Mode,
}

impl Copying {
    fn copy(&self, from: &Path, to: &Path) -> io::Result<()> {
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            let (path, target) = (entry.path(), to.join(entry.file_name()));
            let kind = entry.file_type()?;
            if kind.is_dir() {
                if entry.file_name() != NOT_COPIED && path.canonicalize()? != self.target {
                    fs::create_dir(&target)?;
                    self.copy(&path, &target)?;
                }
            } else if kind.is_symlink() {
                std::os::unix::fs::symlink(fs::read_link(&path)?, &target)?;
            } else if kind.is_file() {
                fs::copy(&path, &target)?;
                if self.mode == Mode::ReadOnly {
                    let is_executable = entry.metadata()?.permissions().mode() & 0o111 != 0;
                    let bits = if is_executable { 0o555 } else { 0o444 };
                    fs::set_permissions(&target, fs::Permissions::from_mode(bits))?;
                }
            }
        }
        let bits = match self.mode {
            Mode::AsItIs => 0o755,
            Mode::ReadOnly => 0o555,
        };
        fs::set_permissions(to, fs::Permissions::from_mode(bits))
    }
}

fn stamp(root: &Path, folder: &Path, into: &mut BTreeMap<PathBuf, Stamp>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(metadata) = fs::symlink_metadata(&path) else {
            continue;
        };
        if metadata.is_dir() && entry.file_name() != CACHE {
            stamp(root, &path, into);
        } else if metadata.is_file() {
            let relative = path.strip_prefix(root).unwrap_or(&path).to_owned();
            into.insert(relative, (metadata.len(), metadata.modified().ok()));
        }
    }
}
