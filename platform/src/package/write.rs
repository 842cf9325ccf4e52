//! Writes reproducible ZIPs: the same input gives the same bytes at any time, on any machine.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use crate::exit::Failure;

/// A finished package.
#[derive(Debug)]
pub(crate) struct Packed {
    pub(crate) files: usize,
    pub(crate) unpacked_len: u64,
    pub(crate) packed_len: u64,
    pub(crate) sha256: String,
}

/// One file to pack, and its name in the package.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) from: PathBuf,
    pub(crate) name: String,
}

/// Every file below a folder, sorted by name, without `.git` and ZIPs.
pub(crate) fn items_below(folder: &Path) -> Result<Vec<Item>, Failure> {
    let mut items = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(current) = folders.pop() {
        let entries =
            fs::read_dir(&current).map_err(|error| Failure::file("read", &current, &error))?;
        for entry in entries.flatten() {
            let path = entry.path();
            let kind = entry
                .file_type()
                .map_err(|error| Failure::file("read", &path, &error))?;
            let is_private =
                entry.file_name() == ".git" || path.extension().is_some_and(|end| end == "zip");
            if is_private {
                continue;
            }
            if kind.is_dir() {
                folders.push(path);
            } else {
                let relative = path.strip_prefix(folder).unwrap_or(&path);
                items.push(Item {
                    name: relative.to_string_lossy().into_owned(),
                    from: path,
                });
            }
        }
    }
    items.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(items)
}

/// Writes to a temporary file first, so that a failure leaves no partial package.
pub(crate) fn write(items: &[Item], output: &Path) -> Result<Packed, Failure> {
    let folder = output
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or_else(|| Path::new("."));
    let failed = |error: &dyn std::fmt::Display| {
        Failure::machine(format!("cannot write {}: {error}", output.display()))
    };
    let part = tempfile::NamedTempFile::new_in(folder).map_err(|error| failed(&error))?;
    let file = part.reopen().map_err(|error| failed(&error))?;
    let unpacked_len = archive(items, file).map_err(|error| failed(&error))?;
    let bytes = fs::read(part.path()).map_err(|error| failed(&error))?;
    let readable = fs::Permissions::from_mode(0o644);
    fs::set_permissions(part.path(), readable).map_err(|error| failed(&error))?;
    part.persist(output).map_err(|error| failed(&error))?;
    let digest = Sha256::digest(&bytes);
    let sha256 = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Packed {
        files: items.len(),
        unpacked_len,
        packed_len: bytes.len() as u64,
        sha256,
    })
}

fn archive(items: &[Item], file: File) -> io::Result<u64> {
    let mut zip = ZipWriter::new(file);
    let mut unpacked_len = 0;
    for item in items {
        let metadata = fs::symlink_metadata(&item.from)?;
        // No times and no owners, so that the same content gives the same package.
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .compression_level(Some(9))
            .last_modified_time(DateTime::default());
        if metadata.is_symlink() {
            let target = fs::read_link(&item.from)?;
            zip.add_symlink(item.name.as_str(), target.to_string_lossy(), options)?;
            continue;
        }
        let is_start_file = item.name == "bootstrap";
        let is_executable = is_start_file || metadata.permissions().mode() & 0o111 != 0;
        let mode = if is_executable { 0o755 } else { 0o644 };
        zip.start_file(item.name.as_str(), options.unix_permissions(mode))?;
        unpacked_len += io::copy(&mut File::open(&item.from)?, &mut zip)?;
    }
    zip.finish()?.flush()?;
    Ok(unpacked_len)
}
