//! Writes reproducible ZIPs: the same input gives the same bytes at any time, on any machine.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use sha2::{Digest, Sha256};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::collect::{Item, ItemKind};
use crate::exit::Failure;

const START_FILE: &str = "bootstrap";

/// A finished package.
#[derive(Debug)]
pub(crate) struct Packed {
    pub(crate) entries: usize,
    pub(crate) unpacked_len: u64,
    pub(crate) packed_len: u64,
    pub(crate) sha256: String,
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
    let mut zip = ZipWriter::new(file);
    let mut unpacked_len = 0;
    for item in items {
        let added = add(&mut zip, item);
        unpacked_len += added.map_err(|error| {
            Failure::machine(format!("cannot pack {}: {error}", item.from.display()))
        })?;
    }
    let finished = zip.finish().map_err(|error| failed(&error))?;
    (&finished).flush().map_err(|error| failed(&error))?;
    let bytes = fs::read(part.path()).map_err(|error| failed(&error))?;
    let readable = fs::Permissions::from_mode(0o644);
    fs::set_permissions(part.path(), readable).map_err(|error| failed(&error))?;
    part.persist(output).map_err(|error| failed(&error))?;
    let digest = Sha256::digest(&bytes);
    let sha256 = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Packed {
        entries: items.len(),
        unpacked_len,
        packed_len: bytes.len() as u64,
        sha256,
    })
}

/// Adds one entry, and returns the length of its content.
fn add(zip: &mut ZipWriter<File>, item: &Item) -> io::Result<u64> {
    // No times and no owners, so that the same content gives the same package.
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(9))
        .last_modified_time(DateTime::default());
    match item.kind {
        ItemKind::Link => {
            let target = fs::read_link(&item.from)?;
            let target = std::str::from_utf8(target.as_os_str().as_bytes())
                .map_err(|_| io::Error::other("the link's target is not UTF-8"))?;
            zip.add_symlink(item.name.as_str(), target, options)?;
            Ok(0)
        }
        ItemKind::Folder => {
            zip.add_directory(item.name.as_str(), options.unix_permissions(0o755))?;
            Ok(0)
        }
        ItemKind::File => {
            let mut file = File::open(&item.from)?;
            let metadata = file.metadata()?;
            let is_executable =
                item.name == START_FILE || metadata.permissions().mode() & 0o111 != 0;
            let mode = if is_executable { 0o755 } else { 0o644 };
            let is_large = metadata.len() >= u64::from(u32::MAX);
            let options = options.unix_permissions(mode).large_file(is_large);
            zip.start_file(item.name.as_str(), options)?;
            io::copy(&mut file, zip)
        }
    }
}
