//! What is uploaded, stored and fetched of a program: the ZIP and the image that `coldstart pack` makes of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::programs::Program;
use super::{results, root};

/// The command that packs.
pub(crate) struct Packer {
    command: PathBuf,
}

/// Bytes of what was made, if the command could make it: a script or a program of the system is not packed.
#[derive(Default)]
pub(crate) struct Packed {
    pub(crate) zip: Option<u64>,
    /// The layer and the two documents, as a registry stores them.
    pub(crate) image: Option<u64>,
}

impl Packer {
    /// Builds the command.
    pub(crate) fn new() -> Self {
        let status = Command::new("cargo")
            .args(["build", "--quiet", "-p", "coldstart-cli"])
            .current_dir(root())
            .status();
        let is_built = status.is_ok_and(|status| status.success());
        assert!(is_built, "the command builds");
        Self {
            command: root().join("target/debug/coldstart"),
        }
    }

    pub(crate) fn pack(&self, program: &Program) -> Packed {
        if !program.is_one_file() {
            return Packed::default();
        }
        let folder = results().join("packed").join(program.name);
        drop(fs::remove_dir_all(&folder));
        fs::create_dir_all(&folder).expect("target is writable");
        let (zip, image) = (folder.join("function.zip"), folder.join("image"));
        let is_zip = self.run(&program.path, "--output", &zip);
        let is_image = self.run(&program.path, "--image-dir", &image);
        Packed {
            zip: is_zip.then(|| len(&zip)),
            image: is_image.then(|| len_of_all(&image.join("blobs/sha256"))),
        }
    }

    fn run(&self, program: &Path, option: &str, output: &Path) -> bool {
        let mut command = Command::new(&self.command);
        command.arg("pack").arg(program).arg(option).arg(output);
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    }
}

fn len(path: &Path) -> u64 {
    fs::metadata(path).expect("the file was written").len()
}

fn len_of_all(folder: &Path) -> u64 {
    let files = fs::read_dir(folder).expect("the folder was written");
    files.flatten().map(|file| len(&file.path())).sum()
}
