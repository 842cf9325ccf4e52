//! Resolves the SOURCE argument to a code directory, a start command and settings.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::arguments::SourceArguments;
use crate::console::{Tone, say};
use crate::deployment::Deployment;
use crate::exit::Failure;
use crate::isolation;
use crate::package::extract::extract;
use crate::remains;
use crate::sandbox::Isolation;
use crate::settings::Settings;

const START_FILE: &str = "bootstrap";

/// A function that is ready to launch.
#[derive(Debug)]
pub(crate) struct Project {
    /// The code directory, also the working directory.
    pub(crate) code: PathBuf,
    /// How it is started.
    pub(crate) start: Start,
    /// The function's configuration.
    pub(crate) settings: Settings,
    /// How far it is separated from this machine.
    pub(crate) isolation: Isolation,
    /// The path that `--watch` observes.
    pub(crate) watched: PathBuf,
    /// What is deployed: the code directory, or the ZIP or file that it was made from.
    pub(crate) artifact: PathBuf,
    /// What a user should know about the source before it starts.
    pub(crate) notes: Vec<String>,
    /// Keeps an extracted package on disk while the project lives.
    _scratch: Option<Scratch>,
}

/// The start command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// A file in the code directory, usually `bootstrap`.
    File(String),
    /// `command` followed by `args`.
    Command(Vec<String>),
}

impl Start {
    /// The command as the platform's error messages show it.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::File(_) => "/code/bootstrap".to_owned(),
            Self::Command(words) => words.join(" "),
        }
    }

    /// The command as a user would type it.
    pub(crate) fn typed(&self) -> String {
        match self {
            Self::File(name) => format!("./{name}"),
            Self::Command(words) => words.join(" "),
        }
    }
}

impl Project {
    /// Resolves the source, and extracts it if it is a package.
    pub(crate) fn resolve(arguments: &SourceArguments) -> Result<Self, Failure> {
        let named = arguments
            .source
            .clone()
            .unwrap_or_else(|| PathBuf::from("."));
        let metadata = fs::metadata(&named).map_err(|error| {
            Failure::input(format!("cannot use {}: {error}", named.display()))
                .fix("pass a directory, a ZIP, an s.yaml, or a command after --")
        })?;
        let mut project = if metadata.is_dir() {
            Self::of_directory(&named, arguments)?
        } else if has_extension(&named, &["yaml", "yml"]) {
            Self::of_deployment(&named, arguments)?
        } else if is_zip(&named) {
            Self::of_code(&named, Start::File(START_FILE.to_owned()))?
        } else {
            Self::of_start_file(&named)?
        };
        if !arguments.command.is_empty() {
            project.start = Start::Command(arguments.command.clone());
        }
        project.settings.take(arguments)?;
        project.isolation = isolation::choose(arguments, &project.code)?;
        Ok(project)
    }

    /// A code directory and a command, with default settings.
    pub(crate) fn of_command(code: &Path, words: Vec<String>) -> Result<Self, Failure> {
        Self::of_code(code, Start::Command(words))
    }

    /// Prints what a user should know before the function starts.
    pub(crate) fn say_notes(&self) {
        for note in &self.notes {
            say(format!("{} {note}", Tone::Caution.paint("note:")));
        }
    }

    /// The same function with another code directory.
    pub(crate) fn at(&self, code: &Path) -> Self {
        Self {
            code: code.to_owned(),
            start: self.start.clone(),
            settings: self.settings.clone(),
            isolation: self.isolation,
            watched: code.to_owned(),
            artifact: code.to_owned(),
            notes: Vec::new(),
            _scratch: None,
        }
    }

    /// Whether the code directory is a temporary copy.
    pub(crate) const fn is_extracted(&self) -> bool {
        self._scratch.is_some()
    }

    fn of_directory(folder: &Path, arguments: &SourceArguments) -> Result<Self, Failure> {
        let deployment = ["s.yaml", "s.yml"]
            .map(|name| folder.join(name))
            .into_iter()
            .find(|path| path.is_file());
        let is_about_a_command = !arguments.command.is_empty() && arguments.source.is_none();
        match deployment {
            Some(path) if !is_about_a_command => Self::of_deployment(&path, arguments),
            Some(_) | None => Self::of_code(folder, Start::File(START_FILE.to_owned())),
        }
    }

    fn of_deployment(path: &Path, arguments: &SourceArguments) -> Result<Self, Failure> {
        let deployment = Deployment::read(path, arguments.resource.as_deref())?;
        let function = &deployment.function;
        let code = deployment.code()?;
        let words = if arguments.command.is_empty() {
            function.command.clone()
        } else {
            arguments.command.clone()
        };
        let is_kept = deployment.keeps_file(&code, &words);
        let start = if words.is_empty() {
            Start::File(START_FILE.to_owned())
        } else {
            Start::Command(words)
        };
        let mut project = if is_kept {
            Self::of_single_file(&code, start)?
        } else {
            Self::of_code(&code, start)?
        };
        project.settings = Settings::of_function(function);
        // A change to s.yaml also restarts the function.
        if code.starts_with(&deployment.folder) {
            project.watched = deployment.folder;
        }
        project.notes.splice(0..0, deployment.notes);
        Ok(project)
    }

    /// A package that holds one file under its own name.
    fn of_single_file(path: &Path, start: Start) -> Result<Self, Failure> {
        let scratch = Scratch::new()?;
        let copy = scratch.path().join(path.file_name().unwrap_or_default());
        fs::copy(path, &copy).map_err(|error| Failure::file("copy", path, &error))?;
        let mut project = Self::of_code(scratch.path(), start)?;
        path.clone_into(&mut project.watched);
        path.clone_into(&mut project.artifact);
        project._scratch = Some(scratch);
        Ok(project)
    }

    /// Treats one file as a package that holds only this file.
    fn of_start_file(path: &Path) -> Result<Self, Failure> {
        let scratch = Scratch::new()?;
        let start = scratch.path().join(START_FILE);
        fs::copy(path, &start).map_err(|error| Failure::file("copy", path, &error))?;
        let mut project = Self::of_code(scratch.path(), Start::File(START_FILE.to_owned()))?;
        path.clone_into(&mut project.watched);
        path.clone_into(&mut project.artifact);
        project._scratch = Some(scratch);
        Ok(project)
    }

    fn of_code(code: &Path, start: Start) -> Result<Self, Failure> {
        let watched = code.to_owned();
        let mut notes = Vec::new();
        let extracted = if code.is_dir() {
            None
        } else {
            let scratch = Scratch::new()?;
            notes = extract(code, scratch.path())?;
            Some(scratch)
        };
        let folder = extracted
            .as_ref()
            .map_or(code, |extracted| extracted.path());
        let code = folder
            .canonicalize()
            .map_err(|error| Failure::file("open", folder, &error))?;
        Ok(Self {
            code,
            start,
            settings: Settings::default(),
            isolation: Isolation::Direct,
            artifact: watched.clone(),
            watched,
            notes,
            _scratch: extracted,
        })
    }
}

/// A temporary folder. It is also removed when a signal ends the program.
#[derive(Debug)]
pub(crate) struct Scratch {
    folder: TempDir,
    _remembered: remains::Folder,
}

impl Scratch {
    /// Creates an empty folder.
    pub(crate) fn new() -> Result<Self, Failure> {
        let make = || tempfile::Builder::new().prefix("coldstart-").tempdir();
        let made = remains::Folder::make(make, TempDir::path);
        let (folder, remembered) = made.map_err(|error| {
            Failure::machine(format!("cannot create a temporary folder: {error}"))
        })?;
        Ok(Self {
            folder,
            _remembered: remembered,
        })
    }

    /// The folder's path.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    path.extension()
        .is_some_and(|end| extensions.iter().any(|one| end.eq_ignore_ascii_case(one)))
}

/// Whether the file is a ZIP, by its name or its first bytes. A JAR is a program, not a package.
fn is_zip(path: &Path) -> bool {
    let begins_like_one = || {
        let mut start = [0; 4];
        let opened = fs::File::open(path);
        opened.is_ok_and(|mut file| file.read_exact(&mut start).is_ok()) && start == *b"PK\x03\x04"
    };
    has_extension(path, &["zip"]) || (path.extension().is_none() && begins_like_one())
}
