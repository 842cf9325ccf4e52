//! Extracts a ZIP. Packages are untrusted: no entry may write outside the folder, and their size is bounded.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
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
const REGULAR: u32 = 0o100_000;
const FOLDER: u32 = 0o040_000;
const SYMLINK: u32 = 0o120_000;
/// A ZIP written on Windows has no modes; the platform then extracts files without the execute bit.
const MODE_UNKNOWN: u32 = 0o644;
/// A remark about many entries shows this many of them.
const SHOWN_MAX: usize = 3;

/// Extracts `archive` into the empty folder `into`. Returns remarks about what differs between tools.
pub(crate) fn extract(archive: &Path, into: &Path) -> Result<Vec<String>, Failure> {
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
    let mut extraction = Extraction {
        into,
        budget: Budget {
            packed_len,
            unpacked_len: 0,
        },
        links: BTreeMap::new(),
        oddities: Oddities::default(),
    };
    for index in 0..zip.len() {
        let mut entry = zip.by_index(index).map_err(|error| broken(&error))?;
        let name = OsString::from_vec(entry.name_raw().to_vec());
        let result = extraction.unpack(&mut entry, &name);
        let shown = name.display();
        result.map_err(|reason| broken(&format!("entry `{shown}`: {reason}")))?;
    }
    extraction.link().map_err(|reason| broken(&reason))?;
    let mut remarks = extraction.oddities.remarks(archive);
    if zip.has_duplicate_names() {
        let shown = archive.display();
        remarks.push(format!(
            "{shown}: the same name twice; the last entry counts"
        ));
    }
    Ok(remarks)
}

/// An extraction that is under way.
struct Extraction<'a> {
    into: &'a Path,
    budget: Budget,
    /// Created last, so that no entry is written through a link.
    links: BTreeMap<PathBuf, PathBuf>,
    oddities: Oddities,
}

/// What tools treat differently, by the entries' names.
#[derive(Default)]
struct Oddities {
    backslashes: Vec<String>,
    twice: Vec<String>,
    special: Vec<String>,
    outside: Vec<String>,
}

impl Oddities {
    fn remarks(&self, archive: &Path) -> Vec<String> {
        let kinds = [
            (
                &self.backslashes,
                "made on Windows, with backslashes in names; they separate folders here, but other tools keep them",
            ),
            (&self.twice, "the same path twice; the last entry counts"),
            (&self.special, "skipped: neither file, folder nor link"),
            (
                &self.outside,
                "links that leave the package; on the platform they lead into its own image",
            ),
        ];
        let kinds = kinds.into_iter().filter(|(names, _)| !names.is_empty());
        let remark = |(names, what): (&Vec<String>, &str)| {
            let shown = names[..names.len().min(SHOWN_MAX)].join(", ");
            let more = match names.len().saturating_sub(SHOWN_MAX) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            format!("{}: {what}: {shown}{more}", archive.display())
        };
        kinds.map(remark).collect()
    }
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

impl Extraction<'_> {
    fn unpack<R: Read>(&mut self, entry: &mut ZipFile<'_, R>, name: &OsStr) -> Result<(), String> {
        let text = |error: io::Error| error.to_string();
        let relative = safe_path(name)?;
        let shown = relative.display().to_string();
        let path = self.into.join(&relative);
        let bytes = name.as_bytes();
        if bytes.contains(&b'\\') {
            self.oddities.backslashes.push(name.display().to_string());
        }
        let mode = entry.unix_mode().unwrap_or(MODE_UNKNOWN);
        if bytes.ends_with(b"/") || bytes.ends_with(b"\\") || mode & FILE_TYPE == FOLDER {
            return fs::create_dir_all(&path).map_err(text);
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(text)?;
        }
        match mode & FILE_TYPE {
            SYMLINK => {
                let target = link_target(entry)?;
                if leaves_root(&relative, &target) {
                    self.oddities.outside.push(shown);
                }
                // An earlier file of this name is replaced, as any tool does that writes in order.
                fs::remove_file(&path).ok();
                self.links.insert(path, target);
                Ok(())
            }
            0 | REGULAR => self.write(entry, &path, mode, shown),
            _ => {
                self.oddities.special.push(shown);
                Ok(())
            }
        }
    }

    fn write(
        &mut self,
        entry: &mut impl Read,
        path: &Path,
        mode: u32,
        shown: String,
    ) -> Result<(), String> {
        let text = |error: io::Error| error.to_string();
        // The same path may be spelled twice, as `x` and `./x`. There are no links yet that this could follow.
        if path.is_file() || self.links.remove(path).is_some() {
            fs::remove_file(path).ok();
            self.oddities.twice.push(shown);
        }
        let mut options = OpenOptions::new();
        let options = options.write(true).create_new(true).mode(0o600);
        let mut file = options.open(path).map_err(text)?;
        copy(entry, &mut file, &mut self.budget)?;
        let permissions = fs::Permissions::from_mode((mode & 0o777) | 0o400);
        file.set_permissions(permissions).map_err(text)
    }

    fn link(&self) -> Result<(), String> {
        for (path, target) in &self.links {
            let failed = |error: io::Error| {
                let shown = path.strip_prefix(self.into).unwrap_or(path).display();
                if error.kind() == io::ErrorKind::AlreadyExists {
                    format!(
                        "other entries lie below the link `{shown}`, and would be written through it"
                    )
                } else {
                    format!("link `{shown}`: {error}")
                }
            };
            symlink(target, path).map_err(failed)?;
        }
        Ok(())
    }
}

fn link_target(entry: &mut impl Read) -> Result<PathBuf, String> {
    let mut target = Vec::new();
    let read = entry.take(LINK_LEN_MAX).read_to_end(&mut target);
    read.map_err(|error| error.to_string())?;
    if target.is_empty() || target.contains(&0) || target.len() as u64 == LINK_LEN_MAX {
        return Err("not a link's target".to_owned());
    }
    Ok(PathBuf::from(OsString::from_vec(target)))
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
fn safe_path(name: &OsStr) -> Result<PathBuf, String> {
    // Archives from Windows may use backslashes. Convert them first, so that `..\` is refused too.
    let bytes: Vec<u8> = name
        .as_bytes()
        .iter()
        .map(|byte| if *byte == b'\\' { b'/' } else { *byte })
        .collect();
    let path = Path::new(OsStr::from_bytes(&bytes));
    let plain = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    if bytes.contains(&0) || bytes.is_empty() || !path.components().all(plain) {
        return Err(
            "path traversal: the entry would be written outside the code directory".to_owned(),
        );
    }
    Ok(path
        .components()
        .filter(|part| matches!(part, Component::Normal(_)))
        .collect())
}

/// Whether a link leads outside the code directory. It may: a virtual environment links to the image's Python.
fn leaves_root(link: &Path, target: &Path) -> bool {
    let mut depth = link.components().count().saturating_sub(1);
    for part in target.components() {
        match part {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 => depth -= 1,
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return true,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_leave_the_root_are_refused() {
        for name in ["../x", "/etc/passwd", "a/../../x", "..\\x", "", "a\0b"] {
            assert!(safe_path(OsStr::new(name)).is_err(), "{name:?}");
        }
        for (name, path) in [
            ("./a/b", "a/b"),
            ("a\\b", "a/b"),
            ("a//b/", "a/b"),
            ("./", ""),
        ] {
            assert_eq!(safe_path(OsStr::new(name)).unwrap(), Path::new(path));
        }
    }

    #[test]
    fn links_that_leave_the_root_are_noticed() {
        for (link, target, leaves) in [
            ("a/b", "../c", false),
            ("a/b", "../../c", true),
            ("a", "/usr/bin/python3", true),
            ("a", "b/../../c", true),
        ] {
            assert_eq!(
                leaves_root(Path::new(link), Path::new(target)),
                leaves,
                "{link}"
            );
        }
    }
}
