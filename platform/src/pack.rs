//! `coldstart pack`: turns a project, a directory or an executable into the ZIP that is deployed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::arguments::PackArguments;
use crate::console::{give, say};
use crate::exit::{Failure, Status};
use crate::package::inspect::{self, Debian, Fault};
use crate::package::write::{self, Item};

const START_FILE: &str = "bootstrap";
const PACKAGE: &str = "function.zip";

/// Builds, checks and writes the package.
pub(crate) fn pack(arguments: &PackArguments) -> Result<Status, Failure> {
    let debian = Debian::of_runtime(&arguments.runtime).ok_or_else(|| {
        Failure::input(format!("`{}` is not a custom runtime", arguments.runtime))
            .fix("use custom, custom.debian10, custom.debian11 or custom.debian12")
    })?;
    let source = arguments
        .source
        .clone()
        .unwrap_or_else(|| PathBuf::from("."));
    let kind = source
        .metadata()
        .map_err(|error| Failure::input(format!("cannot use {}: {error}", source.display())))?;
    let items = if kind.is_file() {
        of_file(&source, debian)?
    } else if source.join("Cargo.toml").is_file() {
        of_file(&build(&source, &arguments.target)?, debian)?
    } else {
        of_directory(&source, debian, arguments)?
    };
    let folder = if kind.is_dir() {
        source.as_path()
    } else {
        Path::new(".")
    };
    let output = arguments
        .output
        .clone()
        .unwrap_or_else(|| folder.join(PACKAGE));
    let packed = write::write(&items, &output)?;
    give(format!(
        "{}  {} files, {} bytes, {} unpacked\nsha256 {}",
        output.display(),
        packed.files,
        packed.packed_len,
        packed.unpacked_len,
        packed.sha256
    ));
    Ok(Status::Done)
}

/// A single executable is packed as `bootstrap`, whatever its name.
fn of_file(path: &Path, debian: Debian) -> Result<Vec<Item>, Failure> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or_else(|| Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    refuse(&inspect::start_file(folder, &name, debian), path)?;
    Ok(vec![Item {
        from: path.to_owned(),
        name: START_FILE.to_owned(),
    }])
}

fn of_directory(
    folder: &Path,
    debian: Debian,
    arguments: &PackArguments,
) -> Result<Vec<Item>, Failure> {
    if !arguments.command.is_on() {
        refuse(&inspect::start_file(folder, START_FILE, debian), folder)?;
    }
    let items = write::items_below(folder)?;
    if items.is_empty() {
        return Err(Failure::input(format!(
            "{} contains no files",
            folder.display()
        )));
    }
    Ok(items)
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
            Fault::BelowTopFolder { folder } => format!("or pack {folder} instead"),
            Fault::GlibcTooNew { .. } => "or select the runtime with --runtime".to_owned(),
            Fault::NotExecutable
            | Fault::Unreadable { .. }
            | Fault::ForeignMachine { .. }
            | Fault::NoProgram
            | Fault::WindowsLineEnds { .. }
            | Fault::InterpreterMissing { .. }
            | Fault::LoaderMissing { .. }
            | Fault::LibrariesMissing { .. } => return Err(failure.fix(fault.fix())),
        };
        Err(failure.fix(format!("{}, {hint}", fault.fix())))
    })
}

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    target_directory: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Package {
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

/// Builds the project's executable with cargo and returns its path.
fn build(folder: &Path, target: &str) -> Result<PathBuf, Failure> {
    let metadata = cargo(folder, &["metadata", "--no-deps", "--format-version", "1"])?;
    let metadata: Metadata = serde_json::from_slice(&metadata).map_err(|error| {
        Failure::machine(format!("cannot read the output of cargo metadata: {error}"))
    })?;
    let manifest = folder.join("Cargo.toml").canonicalize().unwrap_or_default();
    let package = metadata
        .packages
        .iter()
        .find(|package| package.manifest_path == manifest);
    let targets = package
        .map(|package| package.targets.as_slice())
        .unwrap_or_default();
    let executables: Vec<&str> = targets
        .iter()
        .filter(|target| target.kind.iter().any(|kind| kind == "bin"))
        .map(|target| target.name.as_str())
        .collect();
    let name = match executables.as_slice() {
        [only] => only,
        several if several.contains(&START_FILE) => START_FILE,
        [] => {
            return Err(Failure::input(format!(
                "{} builds no executable",
                manifest.display()
            )));
        }
        several => {
            let names = several.join(", ");
            return Err(Failure::input(format!(
                "{} builds several executables: {names}",
                manifest.display()
            ))
            .fix("name the function's executable bootstrap"));
        }
    };
    say(format!(
        "cargo build --release --target {target} --bin {name}"
    ));
    cargo(
        folder,
        &["build", "--release", "--target", target, "--bin", name],
    )?;
    Ok(metadata
        .target_directory
        .join(target)
        .join("release")
        .join(name))
}

fn cargo(folder: &Path, arguments: &[&str]) -> Result<Vec<u8>, Failure> {
    let output = Command::new("cargo")
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| Failure::machine(format!("cannot run cargo: {error}")))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(Failure::machine(format!("cargo {} failed", arguments.first().unwrap_or(&"")))
        .fix("see its messages above; if the target is missing: rustup target add x86_64-unknown-linux-musl"))
}
