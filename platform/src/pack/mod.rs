//! `coldstart pack`: turns a project, a directory, an `s.yaml` or an executable into the ZIP that is deployed.

mod build;

use std::path::{Path, PathBuf};

use crate::arguments::PackArguments;
use crate::console::{Tone, give, say};
use crate::deployment::{Deployment, actions};
use crate::exit::{Failure, Status};
use crate::package::collect::{self, Collected, Item, ItemKind};
use crate::package::inspect::{self, Debian, Fault};
use crate::package::write;

const START_FILE: &str = "bootstrap";
const PACKAGE: &str = "function.zip";
/// A remark about many names shows this many of them.
const SHOWN_MAX: usize = 10;

/// Builds, checks and writes the package.
pub(crate) fn pack(arguments: &PackArguments) -> Result<Status, Failure> {
    give(make(arguments)?);
    Ok(Status::Done)
}

/// The same for another command, which prints the summary or not.
pub(crate) fn make(arguments: &PackArguments) -> Result<String, Failure> {
    let source = Source::of(arguments)?;
    let output = arguments
        .output
        .clone()
        .unwrap_or_else(|| source.folder.join(PACKAGE));
    let items = match &source.code {
        Code::Project(folder) => of_file(&build::build(folder, &arguments.target)?, source.debian)?,
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

/// What is packed, and for which start.
struct Source {
    code: Code,
    /// Where the package goes unless told otherwise.
    folder: PathBuf,
    debian: Debian,
    start: Start,
}

/// The code in its forms.
enum Code {
    /// A Rust project, which is built first.
    Project(PathBuf),
    /// One executable, packed as `bootstrap`.
    Executable(PathBuf),
    /// One file that keeps its name, such as a JAR.
    File(PathBuf),
    Directory(PathBuf),
}

/// How the function starts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    Bootstrap,
    Command,
}

impl Source {
    fn of(arguments: &PackArguments) -> Result<Self, Failure> {
        let named = arguments.source.clone();
        let named = named.unwrap_or_else(|| PathBuf::from("."));
        let kind = named
            .metadata()
            .map_err(|error| Failure::input(format!("cannot use {}: {error}", named.display())))?;
        let mut source = if kind.is_dir() {
            Self::of_directory(&named, arguments)?
        } else if is_deployment_file(&named) {
            Self::of_deployment(&named, arguments)?
        } else if extension(&named) == "zip" {
            return Err(
                Failure::input(format!("{} is a package already", named.display()))
                    .fix("check it with coldstart check, or unpack it first"),
            );
        } else {
            Self::new(Code::Executable(named), PathBuf::from("."))
        };
        if let Some(runtime) = &arguments.runtime {
            source.debian = Debian::of_runtime(runtime).ok_or_else(|| {
                Failure::input(format!("`{runtime}` is not a custom runtime"))
                    .fix("use custom, custom.debian10, custom.debian11 or custom.debian12")
            })?;
        }
        if arguments.command.is_on() {
            source.start = Start::Command;
        }
        Ok(source)
    }

    fn new(code: Code, folder: PathBuf) -> Self {
        Self {
            code,
            folder,
            debian: Debian::default(),
            start: Start::Bootstrap,
        }
    }

    fn of_directory(folder: &Path, arguments: &PackArguments) -> Result<Self, Failure> {
        if folder.join("Cargo.toml").is_file() {
            return Ok(Self::new(
                Code::Project(folder.to_owned()),
                folder.to_owned(),
            ));
        }
        let files = ["s.yaml", "s.yml"].map(|name| folder.join(name));
        match files.iter().find(|path| path.is_file()) {
            // Beside its bootstrap, an s.yaml is one of the files.
            Some(path) if !folder.join(START_FILE).is_file() => {
                Self::of_deployment(path, arguments)
            }
            Some(_) | None => Ok(Self::new(
                Code::Directory(folder.to_owned()),
                folder.to_owned(),
            )),
        }
    }

    fn of_deployment(path: &Path, arguments: &PackArguments) -> Result<Self, Failure> {
        let deployment = Deployment::read(path, arguments.resource.as_deref())?;
        if let Some(note) = actions::note(&deployment.actions) {
            remark(&note);
        }
        let folder = deployment.folder.clone();
        let named = deployment.function.code.as_ref();
        let named = named.map_or_else(|| folder.clone(), |code| folder.join(&code.path));
        let code = if folder.join("Cargo.toml").is_file() {
            Code::Project(folder.clone())
        } else if extension(&named) == "zip"
            && named
                .parent()
                .is_some_and(|parent| is_same(parent, &folder))
        {
            // The package that this command writes.
            Code::Directory(folder.clone())
        } else {
            Self::code_of(&deployment, path)?
        };
        let is_command = !deployment.function.command.is_empty();
        Ok(Self {
            code,
            folder,
            debian: deployment.function.debian,
            start: if is_command {
                Start::Command
            } else {
                Start::Bootstrap
            },
        })
    }

    fn code_of(deployment: &Deployment, path: &Path) -> Result<Code, Failure> {
        let code = deployment.code()?;
        if code.is_dir() {
            return Ok(Code::Directory(code));
        }
        if deployment.keeps_file(&code, &deployment.function.command) {
            return Ok(Code::File(code));
        }
        let message = format!(
            "{}: {} is a package already",
            path.display(),
            code.display()
        );
        Err(Failure::input(message).fix("deploy it as it is, or check it with coldstart check"))
    }
}

fn is_same(one: &Path, other: &Path) -> bool {
    let pair = one.canonicalize().ok().zip(other.canonicalize().ok());
    pair.is_some_and(|(one, other)| one == other)
}

/// A single executable is packed as `bootstrap`, whatever its name.
fn of_file(path: &Path, debian: Debian) -> Result<Vec<Item>, Failure> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or_else(|| Path::new("."));
    refuse(&inspect::start_file(folder, &file_name(path), debian), path)?;
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
    let collected = collect::collect(folder, output)?;
    report(&collected);
    if collected.items.is_empty() {
        return Err(Failure::input(format!(
            "{} contains no files",
            folder.display()
        )));
    }
    if source.start == Start::Bootstrap
        && !collected.items.iter().any(|item| item.name == START_FILE)
    {
        return Err(Failure::input("bootstrap itself is left out")
            .fix("keep it with a line !bootstrap in .fcignore"));
    }
    Ok(collected.items)
}

/// Says what is not in the package, or not as it looks.
fn report(collected: &Collected) {
    for (names, what) in [
        (
            &collected.by_default,
            "left out (a line !NAME in .fcignore keeps it)",
        ),
        (&collected.by_file, "left out by .fcignore"),
        (&collected.special, "skipped"),
        (&collected.links, "packed as a link"),
    ] {
        if names.is_empty() {
            continue;
        }
        let shown = names[..names.len().min(SHOWN_MAX)].join(", ");
        let more = match names.len().saturating_sub(SHOWN_MAX) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        remark(&format!("{what}: {shown}{more}"));
    }
}

fn remark(text: &str) {
    say(format!("{} {text}", Tone::Caution.paint("note:")));
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

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn extension(path: &Path) -> String {
    let end = path.extension().unwrap_or_default();
    end.to_string_lossy().to_ascii_lowercase()
}

fn is_deployment_file(path: &Path) -> bool {
    matches!(extension(path).as_str(), "yaml" | "yml")
}
