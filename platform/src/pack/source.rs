//! What `pack` packs: a project, a directory, an `s.yaml` or an executable, told apart.

use std::path::{Path, PathBuf};

use crate::arguments::PackArguments;
use crate::console::remark;
use crate::deployment::{Deployment, actions};
use crate::exit::Failure;
use crate::package::inspect::Debian;

pub(super) const START_FILE: &str = "bootstrap";

/// What is packed, and for which start.
pub(super) struct Source {
    pub(super) code: Code,
    /// Where the package goes unless told otherwise.
    pub(super) folder: PathBuf,
    pub(super) debian: Debian,
    pub(super) start: Start,
    /// What `s.yaml` says of the function.
    pub(super) function: Facts,
}

/// What an image says of the function, unless the command line does.
#[derive(Default)]
pub(super) struct Facts {
    pub(super) name: Option<String>,
    pub(super) port: Option<u16>,
}

/// The code in its forms.
pub(super) enum Code {
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
pub(super) enum Start {
    Bootstrap,
    Command,
}

impl Source {
    pub(super) fn of(named: &Path, arguments: &PackArguments) -> Result<Self, Failure> {
        let kind = named
            .metadata()
            .map_err(|error| Failure::input(format!("cannot use {}: {error}", named.display())))?;
        let mut source = if kind.is_dir() {
            Self::of_directory(named, arguments)?
        } else if is_deployment_file(named) {
            Self::of_deployment(named, arguments)?
        } else if extension(named) == "zip" {
            return Err(
                Failure::input(format!("{} is a package already", named.display()))
                    .fix("check it with coldstart check, or unpack it first"),
            );
        } else {
            Self::new(Code::Executable(named.to_owned()), PathBuf::from("."))
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
            function: Facts::default(),
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
            function: Facts {
                name: deployment.function.name,
                port: deployment.function.port,
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

/// The directory that a file is in.
pub(super) fn parent(path: &Path) -> &Path {
    let folder = path.parent();
    let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or_else(|| Path::new("."))
}

pub(super) fn file_name(path: &Path) -> String {
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
