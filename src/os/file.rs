//! The one call of std's `open`, with as little of it as is needed.

use std::fs::File;
use std::io;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    ReadAndWrite,
}

/// std has a second way to open a file with a path of 384 bytes or more.
const PATH_LEN_MAX: usize = 383;

/// Opens a file that exists. Where the compiler sees one call, without the second way, and knows all options but one, it leaves
/// out std's messages about options that contradict each other and the code that formats them: 8 KB.
#[inline(never)]
pub(super) fn open(path: &str, access: Access) -> io::Result<File> {
    if path.len() > PATH_LEN_MAX {
        return Err(io::ErrorKind::InvalidFilename.into());
    }
    File::options()
        .read(true)
        .write(access == Access::ReadAndWrite)
        .open(path)
}
