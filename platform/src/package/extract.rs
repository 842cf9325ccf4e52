//! Extracts a ZIP. Packages are untrusted: no entry may write outside the folder, and their size is bounded.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use zip::ZipArchive;
use zip::read::ZipFile;

use crate::exit::Failure;

/// The largest unpacked size. The platform's own limit for the code is lower.
const UNPACKED_LEN_MAX: u64 = 2 * 1024 * 1024 * 1024;
/// The largest compression ratio. Real code deflates to a tenth, zeros to a thousandth.
const RATIO_MAX: u64 = 200;
/// Up to this unpacked size the ratio does not matter.
const RATIO_FREE_LEN: u64 = 16 * 1024 * 1024;
const ENTRIES_MAX: usize = 200_000;
const LINK_LEN_MAX: u64 = 4096;
const FILE_TYPE: u32 = 0o170_000;
const SYMLINK: u32 = 0o120_000;
/// A ZIP written on Windows has no modes; the platform then extracts files without the execute bit.
const MODE_UNKNOWN: u32 = 0o644;

/// Extracts `archive` into the empty folder `into`.
pub(crate) fn extract(archive: &Path, into: &Path) -> Result<(), Failure> {
    let broken = |reason: &dyn std::fmt::Display| {
        Failure::input(format!("cannot extract {}: {reason}", archive.display()))
    };
    let file = File::open(archive).map_err(|error| broken(&error))?;
    let packed_len = file.metadata().map_err(|error| broken(&error))?.len();
    let mut zip = ZipArchive::new(file).map_err(|error| broken(&error))?;
    if zip.len() > ENTRIES_MAX {
        return Err(broken(&format!(
            "{} entries, more than {ENTRIES_MAX}",
            zip.len()
        )));
    }
    let mut budget = Budget {
        packed_len,
        unpacked_len: 0,
    };
    let mut links = Vec::new();
    for index in 0..zip.len() {
        let mut entry = zip.by_index(index).map_err(|error| broken(&error))?;
        let name = entry.name().map_err(|error| broken(&error))?.into_owned();
        let result = safe_path(&name)
            .and_then(|path| unpack(&mut entry, (into, &path), &mut budget, &mut links));
        result.map_err(|reason| broken(&format!("entry `{name}`: {reason}")))?;
    }
    // Links are created last, so that no entry is written through one.
    for (path, target) in links {
        symlink(&target, &path)
            .map_err(|error| broken(&format!("link {}: {error}", path.display())))?;
    }
    Ok(())
}

struct Budget {
    packed_len: u64,
    unpacked_len: u64,
}

impl Budget {
    /// Counts the bytes that are really written. The sizes in the archive may be wrong.
    fn spend(&mut self, length: usize) -> Result<(), String> {
        self.unpacked_len += length as u64;
        if self.unpacked_len > UNPACKED_LEN_MAX {
            return Err(format!("a ZIP bomb: more than {UNPACKED_LEN_MAX} bytes"));
        }
        let allowed = RATIO_FREE_LEN.max(self.packed_len.saturating_mul(RATIO_MAX));
        if self.unpacked_len > allowed {
            return Err(format!(
                "a ZIP bomb: more than {RATIO_MAX} times its packed size"
            ));
        }
        Ok(())
    }
}

fn unpack<R: Read>(
    entry: &mut ZipFile<'_, R>,
    (into, relative): (&Path, &Path),
    budget: &mut Budget,
    links: &mut Vec<(PathBuf, PathBuf)>,
) -> Result<(), String> {
    let path = into.join(relative);
    if entry.is_dir() {
        return fs::create_dir_all(&path).map_err(|error| error.to_string());
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(|error| error.to_string())?;
    }
    let mode = entry.unix_mode().unwrap_or(MODE_UNKNOWN);
    if mode & FILE_TYPE == SYMLINK {
        let mut target = String::new();
        let read = entry.take(LINK_LEN_MAX).read_to_string(&mut target);
        read.map_err(|error| error.to_string())?;
        links.push((path, safe_target(relative, &target)?));
        return Ok(());
    }
    let mut options = OpenOptions::new();
    // `create_new`: a second entry of the same name must not replace a checked file.
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .map_err(|error| error.to_string())?;
    copy(entry, &mut file, budget)?;
    let permissions = fs::Permissions::from_mode((mode & 0o777) | 0o400);
    file.set_permissions(permissions)
        .map_err(|error| error.to_string())
}

fn copy(from: &mut impl Read, to: &mut File, budget: &mut Budget) -> Result<(), String> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => {
                budget.spend(length)?;
                to.write_all(&buffer[..length])
                    .map_err(|error| error.to_string())?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// The entry's path relative to the root, or why it is refused.
fn safe_path(name: &str) -> Result<PathBuf, String> {
    // Archives from Windows may use backslashes. Convert them first, so that `..\` is refused too.
    let name = name.replace('\\', "/");
    let path = Path::new(&name);
    let plain = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    if name.contains('\0') || name.is_empty() || !path.components().all(plain) {
        return Err(
            "path traversal: the entry would be written outside the code directory".to_owned(),
        );
    }
    Ok(path
        .components()
        .filter(|part| matches!(part, Component::Normal(_)))
        .collect())
}

/// A link's target, if it stays below the root.
fn safe_target(link: &Path, target: &str) -> Result<PathBuf, String> {
    let outside = || format!("the link points outside the code directory, to `{target}`");
    let mut depth = link.components().count().saturating_sub(1);
    for part in Path::new(target).components() {
        match part {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir => depth = depth.checked_sub(1).ok_or_else(outside)?,
            Component::RootDir | Component::Prefix(_) => return Err(outside()),
        }
    }
    Ok(PathBuf::from(target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_leave_the_root_are_refused() {
        for name in ["../x", "/etc/passwd", "a/../../x", "..\\x", "", "a\0b"] {
            assert!(safe_path(name).is_err(), "{name:?}");
        }
        assert_eq!(safe_path("./a/b").unwrap(), Path::new("a/b"));
    }

    #[test]
    fn links_stay_below_the_root() {
        assert!(safe_target(Path::new("a/b"), "../c").is_ok(), "sibling");
        assert!(safe_target(Path::new("a/b"), "../../c").is_err(), "above");
        assert!(
            safe_target(Path::new("a"), "/etc/passwd").is_err(),
            "absolute"
        );
    }
}
