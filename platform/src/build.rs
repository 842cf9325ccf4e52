//! Builds a project before it runs.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::arguments::{BuildArguments, ImageArguments, PackArguments, SourceArguments, Switch};
use crate::console::{Tone, say};
use crate::deployment::Deployment;
use crate::deployment::actions::Action;
use crate::exit::Failure;
use crate::pack;
use crate::project::Scratch;
use crate::system;
use crate::watch::files::Built;

const TARGET: &str = "x86_64-unknown-linux-musl";

/// How the code is made from the source.
#[derive(Debug)]
pub(crate) enum Recipe {
    /// The code is there already.
    Nothing,
    /// As `coldstart pack` does it.
    Cargo(Box<Cargo>),
    /// As `s.yaml` says.
    Actions {
        actions: Vec<Action>,
        folder: PathBuf,
        /// Besides those of this program.
        variables: BTreeMap<String, String>,
    },
}

/// A Rust project and its package.
#[derive(Debug)]
pub(crate) struct Cargo {
    source: PathBuf,
    resource: Option<String>,
    runtime: Option<String>,
    package: PathBuf,
    /// Keeps the package, where `s.yaml` has no place for it.
    scratch: Option<Scratch>,
}

impl Recipe {
    /// Finds out how a source is built. A start command, a ZIP and an executable need no build.
    pub(crate) fn of(arguments: &SourceArguments, build: &BuildArguments) -> Result<Self, Failure> {
        if build.no_build.is_on() {
            return Ok(Self::Nothing);
        }
        let Some((folder, deployment)) = locate(arguments) else {
            return Ok(Self::Nothing);
        };
        let resource = arguments.resource.as_deref();
        let deployment = deployment
            .map(|path| Deployment::read(&path, resource))
            .transpose()?;
        if build.build.is_on() {
            return Self::of_actions(deployment);
        }
        if !arguments.command.is_empty() || !folder.join("Cargo.toml").is_file() {
            return Ok(Self::Nothing);
        }
        Self::of_cargo(folder, deployment.as_ref(), arguments)
    }

    fn of_actions(deployment: Option<Deployment>) -> Result<Self, Failure> {
        match deployment.filter(|deployment| !deployment.actions.is_empty()) {
            Some(deployment) => Ok(Self::Actions {
                actions: deployment.actions,
                folder: deployment.folder,
                variables: deployment.variables,
            }),
            None => Err(Failure::input(
                "--build: no s.yaml with commands under actions.pre-deploy",
            )
            .fix("add `- run: COMMAND` there, or build first and leave out --build")),
        }
    }

    fn of_cargo(
        folder: PathBuf,
        deployment: Option<&Deployment>,
        arguments: &SourceArguments,
    ) -> Result<Self, Failure> {
        if let Some(here) = system::FOREIGN {
            return Err(Failure::input(format!(
                "{} is built for Linux, and {here} that does not run",
                folder.display()
            ))
            .fix("build it for this machine, and name the program: cargo build && coldstart run -- target/debug/NAME"));
        }
        let (package, scratch) = match deployment {
            Some(deployment) => {
                let code = deployment.function.code.as_ref().map(|code| &code.path);
                let package = code.map(|path| deployment.folder.join(path));
                let is_zip = |path: &PathBuf| path.extension().is_some_and(|end| end == "zip");
                let Some(package) = package.filter(is_zip) else {
                    // A folder: which of its files the build makes is not known.
                    return Ok(Self::Nothing);
                };
                (package, None)
            }
            None => {
                let scratch = Scratch::new()?;
                (scratch.path().join("function.zip"), Some(scratch))
            }
        };
        Ok(Self::Cargo(Box::new(Cargo {
            source: folder,
            resource: arguments.resource.clone(),
            runtime: arguments.runtime.clone(),
            package,
            scratch,
        })))
    }

    /// Builds.
    pub(crate) fn carry_out(&self) -> Result<(), Failure> {
        match self {
            Self::Nothing => Ok(()),
            Self::Cargo(cargo) => cargo.build(),
            Self::Actions {
                actions,
                folder,
                variables,
            } => actions
                .iter()
                .try_for_each(|action| run(action, folder, variables)),
        }
    }

    /// The source to run after the build, if it is another one.
    pub(crate) fn source(&self) -> Option<&Path> {
        match self {
            Self::Cargo(cargo) if cargo.scratch.is_some() => Some(&cargo.package),
            Self::Cargo(_) | Self::Nothing | Self::Actions { .. } => None,
        }
    }

    /// The folder that the build reads, if there is a build.
    pub(crate) fn read_folder(&self) -> Option<&Path> {
        match self {
            Self::Nothing => None,
            Self::Cargo(cargo) => Some(&cargo.source),
            Self::Actions { folder, .. } => Some(folder),
        }
    }

    /// The folder to watch, if it is not the code's.
    pub(crate) fn watched(&self) -> Option<&Path> {
        match self {
            Self::Cargo(cargo) => Some(&cargo.source),
            Self::Nothing | Self::Actions { .. } => None,
        }
    }

    /// Whether the code is a product of this recipe.
    pub(crate) const fn built(&self) -> Built {
        match self {
            Self::Nothing => Built::Elsewhere,
            Self::Cargo(_) | Self::Actions { .. } => Built::Here,
        }
    }
}

impl Cargo {
    fn build(&self) -> Result<(), Failure> {
        let arguments = PackArguments {
            sources: vec![self.source.clone()],
            resource: self.resource.clone(),
            output: Some(self.package.clone()),
            image: ImageArguments::default(),
            runtime: self.runtime.clone(),
            targets: vec![TARGET.to_owned()],
            command: Switch::Off,
        };
        pack::make(&arguments).map(drop)
    }
}

/// The folder of a source, and its `s.yaml`.
fn locate(arguments: &SourceArguments) -> Option<(PathBuf, Option<PathBuf>)> {
    let named = arguments
        .source
        .clone()
        .unwrap_or_else(|| PathBuf::from("."));
    if named.is_dir() {
        let names = ["s.yaml", "s.yml"].map(|name| named.join(name));
        let deployment = names.into_iter().find(|path| path.is_file());
        return Some((named, deployment));
    }
    let is_yaml = named
        .extension()
        .is_some_and(|end| end == "yaml" || end == "yml");
    let folder = named
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or_else(|| Path::new("."));
    (is_yaml && named.is_file()).then(|| (folder.to_owned(), Some(named.clone())))
}

fn run(
    action: &Action,
    deployment: &Path,
    variables: &BTreeMap<String, String>,
) -> Result<(), Failure> {
    let Action { run, folder } = action;
    say(format!("{} {run}", Tone::Quiet.paint("pre-deploy:")));
    let failed = |why: String| {
        Failure::machine(format!("pre-deploy `{run}` {why}")).fix("its output is above")
    };
    let status = Command::new("sh")
        .args(["-c", run])
        .current_dir(deployment.join(folder))
        .envs(variables)
        .stdin(Stdio::null())
        // Standard output is for results.
        .stdout(io::stderr())
        .status()
        .map_err(|error| failed(format!("cannot run: {error}")))?;
    if status.success() {
        Ok(())
    } else {
        Err(failed(format!("failed: {status}")))
    }
}
