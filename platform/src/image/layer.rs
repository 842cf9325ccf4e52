//! The one layer of an image: a compressed tar of the code. The same files give the same bytes, on any machine.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::num::NonZeroU64;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

use super::{CODE, digest};
use crate::package::collect::{Item, ItemKind};

const START_FILE: &str = "bootstrap";
/// Files up to this length, all in all, are compressed with all the work that the format allows: 4 % shorter, at five
/// seconds for a mebibyte.
const SMALL_LEN_MAX: u64 = 1024 * 1024;
/// More rounds take longer, and save a few bytes only.
const ROUNDS: NonZeroU64 = NonZeroU64::new(5).expect("not zero");
/// Not part of the code, but where a program may write: the engine mounts something here if the root is read-only.
const SCRATCH: &str = "tmp";
/// A file whose name begins so deletes another one, where an engine stacks layers.
const WHITEOUT: &str = ".wh.";

/// A layer that was written.
#[derive(Debug)]
pub(crate) struct Layer {
    /// The digest of the file.
    pub(crate) digest: String,
    pub(crate) len: u64,
    /// The digest of the tar in it.
    pub(crate) diff_id: String,
    pub(crate) entries: usize,
    /// The length of all files.
    pub(crate) content_len: u64,
}

/// What becomes an entry.
#[derive(Clone, Copy)]
enum Entry<'a> {
    Folder { mode: u32 },
    Item(&'a Item),
}

/// Writes the layer to a file. Every entry belongs to root and has this time, in seconds since 1970.
pub(crate) fn write(items: &[Item], time: u64, path: &Path) -> io::Result<Layer> {
    let entries = entries(items);
    let mut file = Hashed::new(BufWriter::new(File::create_new(path)?));
    let (content_len, hash) = if is_small(items) {
        let (content_len, filled) = fill(Vec::new(), &entries, time)?;
        file.write_all(&compressed(&filled.inner)?)?;
        (content_len, filled.hash)
    } else {
        // A header without a name and a time.
        let zipped: GzEncoder<_> = GzBuilder::new().write(&mut file, Compression::best());
        let (content_len, filled) = fill(zipped, &entries, time)?;
        filled.inner.finish()?;
        (content_len, filled.hash)
    };
    file.flush()?;
    Ok(Layer {
        digest: digest(file.hash),
        len: file.len,
        diff_id: digest(hash),
        entries: entries.len(),
        content_len,
    })
}

fn is_small(items: &[Item]) -> bool {
    let lengths = items
        .iter()
        .map(|item| fs::metadata(&item.from).map_or(0, |metadata| metadata.len()));
    lengths.sum::<u64>() <= SMALL_LEN_MAX
}

/// Compressed as well as the format allows.
fn compressed(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let failed = |error: zopfli::Error| io::Error::other(error.to_string());
    let options = zopfli::Options {
        iteration_count: ROUNDS,
        ..zopfli::Options::default()
    };
    let encoder = zopfli::GzipEncoder::new(options, zopfli::BlockType::Dynamic, Vec::new());
    let mut encoder = encoder.map_err(failed)?;
    zopfli::Write::write_all(&mut encoder, bytes).map_err(failed)?;
    encoder.finish().map_err(failed)
}

/// Writes the tar, and returns the length of all files with it.
fn fill<W: Write>(
    to: W,
    entries: &BTreeMap<String, Entry<'_>>,
    time: u64,
) -> io::Result<(u64, Hashed<W>)> {
    let mut archive = Builder::new(Hashed::new(to));
    let mut content_len = 0;
    for (name, entry) in entries {
        let place = match entry {
            Entry::Folder { .. } => name.as_str(),
            Entry::Item(item) => item.from.to_str().unwrap_or(name),
        };
        let added = add(&mut archive, name, *entry, time);
        content_len +=
            added.map_err(|error| io::Error::new(error.kind(), format!("{place}: {error}")))?;
    }
    Ok((content_len, archive.into_inner()?))
}

/// All entries by name, each folder before what is in it.
fn entries(items: &[Item]) -> BTreeMap<String, Entry<'_>> {
    let mut all = BTreeMap::from([
        (CODE.to_owned(), Entry::Folder { mode: 0o755 }),
        (SCRATCH.to_owned(), Entry::Folder { mode: 0o1777 }),
    ]);
    for item in items {
        let name = format!("{CODE}/{}", item.name.trim_end_matches('/'));
        for (at, _) in name.match_indices('/').skip(1) {
            all.insert(name[..at].to_owned(), Entry::Folder { mode: 0o755 });
        }
        let entry = match item.kind {
            ItemKind::Folder => Entry::Folder { mode: 0o755 },
            ItemKind::File | ItemKind::Link => Entry::Item(item),
        };
        all.insert(name, entry);
    }
    all
}

/// Whether a layer with a file of this name would delete another one.
pub(crate) fn is_whiteout(name: &str) -> bool {
    name.split('/').any(|part| part.starts_with(WHITEOUT))
}

/// Adds one entry, and returns the length of its content.
fn add(
    archive: &mut Builder<impl Write>,
    name: &str,
    entry: Entry<'_>,
    time: u64,
) -> io::Result<u64> {
    match entry {
        Entry::Folder { mode } => {
            let mut header = header(EntryType::Directory, mode, time);
            archive.append_data(&mut header, format!("{name}/"), io::empty())?;
            Ok(0)
        }
        Entry::Item(item) if item.kind == ItemKind::Link => {
            let target = fs::read_link(&item.from)?;
            archive.append_link(&mut header(EntryType::Symlink, 0o777, time), name, target)?;
            Ok(0)
        }
        Entry::Item(item) => {
            let file = File::open(&item.from)?;
            let metadata = file.metadata()?;
            let is_executable =
                item.name == START_FILE || metadata.permissions().mode() & 0o111 != 0;
            let mode = if is_executable { 0o755 } else { 0o644 };
            let mut header = header(EntryType::Regular, mode, time);
            add_file(archive, &mut header, name, (file, metadata.len()))
        }
    }
}

/// Adds a file of this length, which stands in the header before the content is read.
pub(crate) fn add_file(
    archive: &mut Builder<impl Write>,
    header: &mut Header,
    name: &str,
    (file, len): (File, u64),
) -> io::Result<u64> {
    header.set_size(len);
    let mut content = file.take(len);
    archive.append_data(header, name, &mut content)?;
    let is_short = content.limit() != 0;
    if is_short || content.into_inner().read(&mut [0])? != 0 {
        return Err(io::Error::other("the file changed while it was packed"));
    }
    Ok(len)
}

/// The header of an entry that belongs to root, without content so far.
pub(crate) fn header(kind: EntryType, mode: u32, time: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(time);
    header.set_size(0);
    header
}

/// Hashes and counts what it passes on.
struct Hashed<W> {
    inner: W,
    hash: Sha256,
    len: u64,
}

impl<W> Hashed<W> {
    fn new(inner: W) -> Self {
        Self {
            inner,
            hash: Sha256::new(),
            len: 0,
        }
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.len += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_come_before_what_is_in_them() {
        let item = |name: &str| Item {
            from: name.into(),
            name: name.to_owned(),
            kind: ItemKind::File,
        };
        let items = ["a/b/c", "a/b-d", "bootstrap"].map(item);
        let names: Vec<String> = entries(&items).into_keys().collect();
        let expected = [
            "code",
            "code/a",
            "code/a/b",
            "code/a/b-d",
            "code/a/b/c",
            "code/bootstrap",
            "tmp",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn a_file_that_changes_meanwhile_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "four").unwrap();
        for (len, is_right) in [(3, false), (4, true), (5, false)] {
            let mut archive = Builder::new(Vec::new());
            let mut header = header(EntryType::Regular, 0o644, 0);
            let added = add_file(
                &mut archive,
                &mut header,
                "file",
                (File::open(&path).unwrap(), len),
            );
            assert_eq!(added.is_ok(), is_right, "{len}");
        }
    }
}
