//! `coldstart pack`: turns a project, a directory, an `s.yaml` or an executable into the ZIP or the image that is deployed.

mod build;
mod contents;
mod image;
mod source;

use std::path::Path;

use crate::arguments::PackArguments;
use crate::console::give;
use crate::exit::{Failure, Status};
use crate::package::collect::{Item, ItemKind};
use crate::package::inspect::{self, Debian, Fault};
use crate::package::write;
use contents::contents;
use source::{Code, START_FILE, Source, Start, file_name, parent};

const PACKAGE: &str = "function.zip";

/// Builds, checks and writes the package.
pub(crate) fn pack(arguments: &PackArguments) -> Result<Status, Failure> {
    give(make(arguments)?);
    Ok(Status::Done)
}

/// The same for another command, which prints the summary or not.
pub(crate) fn make(arguments: &PackArguments) -> Result<String, Failure> {
    if let Some(destination) = image::destination(&arguments.image) {
        return image::make(arguments, &destination);
    }
    let (named, target) = match (arguments.sources.as_slice(), arguments.targets.as_slice()) {
        ([], [target]) => (Path::new("."), target),
        ([named], [target]) => (named.as_path(), target),
        _ => {
            return Err(
                Failure::input("a ZIP is made of one source, for one target")
                    .fix("several make an image of several architectures: add --image FILE"),
            );
        }
    };
    let source = Source::of(named, arguments)?;
    let output = arguments
        .output
        .clone()
        .unwrap_or_else(|| source.folder.join(PACKAGE));
    let items = match &source.code {
        Code::Project(folder) => of_file(&build::build(folder, target)?.path, source.debian)?,
        Code::Executable(path) => of_file(path, source.debian)?,
        Code::File(path) => vec![Item {
            from: path.clone(),
            name: file_name(path),
            kind: ItemKind::File,
        }],
        Code::Directory(folder) => of_directory(folder, &output, &source)?,
    };
    let packed = write::write(&items, &output)?;
    Ok(format!(
        "{}  {} {}, {} bytes, {} unpacked\nsha256 {}",
        output.display(),
        packed.entries,
        if packed.entries == 1 {
            "entry"
        } else {
            "entries"
        },
        packed.packed_len,
        packed.unpacked_len,
        packed.sha256
    ))
}

/// A single executable is packed as `bootstrap`, whatever its name.
fn of_file(path: &Path, debian: Debian) -> Result<Vec<Item>, Failure> {
    refuse(
        &inspect::start_file(parent(path), &file_name(path), debian),
        path,
    )?;
    Ok(vec![Item {
        from: path.to_owned(),
        name: START_FILE.to_owned(),
        kind: ItemKind::File,
    }])
}

fn of_directory(folder: &Path, output: &Path, source: &Source) -> Result<Vec<Item>, Failure> {
    if source.start == Start::Bootstrap {
        refuse(
            &inspect::start_file(folder, START_FILE, source.debian),
            folder,
        )?;
    }
    contents(folder, output, source.start)
}

/// Packing sets the execute bit. Every other fault is an error.
fn refuse(faults: &[Fault], source: &Path) -> Result<(), Failure> {
    let fault = faults.iter().find(|fault| **fault != Fault::NotExecutable);
    fault.map_or(Ok(()), |fault| {
        let failure = Failure::input(format!("{}: {}", source.display(), fault.seen()));
        let hint = match fault {
            Fault::Missing { .. } => {
                "or pass --command if s.yaml configures a start command".to_owned()
            }
            Fault::BelowTopFolder { folder, .. } => format!("or pack {folder} instead"),
            Fault::GlibcTooNew { .. } => "or select the runtime with --runtime".to_owned(),
            Fault::NotExecutable
            | Fault::Unreadable { .. }
            | Fault::ForeignMachine { .. }
            | Fault::NoProgram
            | Fault::ByteOrderMark { .. }
            | Fault::MarkNotFirst { .. }
            | Fault::WindowsLineEnds { .. }
            | Fault::InterpreterMissing { .. }
            | Fault::LoaderMissing { .. }
            | Fault::LibrariesMissing { .. } => return Err(failure.fix(fault.fix())),
        };
        Err(failure.fix(format!("{}, {hint}", fault.fix())))
    })
}
