//! A file for a report. Opened before the work that it reports on, so that a bad path costs no time.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use crate::exit::Failure;

/// A path that was writable when it was given.
#[derive(Debug)]
pub(crate) struct ReportFile(PathBuf);

impl ReportFile {
    /// Checks that the file can be written. A file that exists keeps its content until [`Self::write`]; one that does not
    /// is not left behind, in case the work fails.
    pub(crate) fn at(path: &Path) -> Result<Self, Failure> {
        let exists = path.exists();
        let refused = |error: std::io::Error| {
            Failure::file("write", path, &error).fix("name a file in a directory that exists")
        };
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(refused)?;
        if !exists {
            fs::remove_file(path).ok();
        }
        Ok(Self(path.to_owned()))
    }

    /// Writes the report.
    pub(crate) fn write(&self, text: &str) -> Result<(), Failure> {
        fs::write(&self.0, text).map_err(|error| Failure::file("write", &self.0, &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_path_is_refused_at_once_and_a_good_one_is_left_as_it_was() {
        let folder = tempfile::tempdir().expect("a folder");
        let old = folder.path().join("old.html");
        fs::write(&old, "kept").expect("written");
        assert!(ReportFile::at(&old).is_ok());
        assert_eq!(fs::read_to_string(&old).expect("read"), "kept");
        let new = folder.path().join("new.html");
        let file = ReportFile::at(&new).expect("writable");
        assert!(!new.exists());
        file.write("text").expect("written");
        assert_eq!(fs::read_to_string(&new).expect("read"), "text");
        assert!(ReportFile::at(folder.path()).is_err());
        assert!(ReportFile::at(&folder.path().join("missing/new.html")).is_err());
    }
}
