//! Builds a Rust project's executable with cargo.

use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use serde::Deserialize;

use crate::console::say;
use crate::exit::Failure;
use crate::image::label::About;

const START_FILE: &str = "bootstrap";
/// How much of cargo's messages is searched for known causes.
const MESSAGES_LEN_MAX: usize = 256 * 1024;

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    target_directory: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    #[serde(default)]
    version: String,
    repository: Option<String>,
    description: Option<String>,
    license: Option<String>,
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

impl Package {
    fn about(&self) -> About {
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        About {
            title: self.name.clone(),
            version: self.version.clone(),
            source: text(&self.repository),
            description: text(&self.description),
            licenses: text(&self.license),
        }
    }
}

/// A project's executable.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) path: PathBuf,
    pub(crate) about: About,
}

/// What cargo builds.
#[derive(Debug, PartialEq, Eq)]
struct Executable<'a> {
    package: &'a str,
    name: &'a str,
}

/// Builds the executable of the project in `folder`.
pub(crate) fn build(folder: &Path, target: &str) -> Result<Built, Failure> {
    let metadata = ["metadata", "--no-deps", "--format-version", "1"];
    let metadata = cargo(folder, &metadata, target)?;
    let metadata: Metadata = serde_json::from_slice(&metadata).map_err(|error| {
        Failure::machine(format!("cannot read the output of cargo metadata: {error}"))
    })?;
    let manifest = folder.join("Cargo.toml").canonicalize().unwrap_or_default();
    let Executable { package, name } = select(&metadata.packages, &manifest)?;
    say(format!(
        "cargo build --release --target {target} --package {package} --bin {name}"
    ));
    let arguments = [
        "build",
        "--release",
        "--target",
        target,
        "--package",
        package,
        "--bin",
        name,
    ];
    cargo(folder, &arguments, target)?;
    let built = metadata.target_directory.join(target).join("release");
    let mut packages = metadata.packages.iter();
    let about = packages.find(|known| known.name == package);
    Ok(Built {
        path: built.join(name),
        about: about.map(Package::about).unwrap_or_default(),
    })
}

/// The package's executable; for a package without one, or a workspace, the only one of all members.
fn select<'a>(packages: &'a [Package], manifest: &Path) -> Result<Executable<'a>, Failure> {
    let own = packages
        .iter()
        .find(|package| package.manifest_path == manifest);
    if let Some(package) = own {
        let names = executables(package);
        match names.as_slice() {
            [] => {}
            [only] => {
                return Ok(Executable {
                    package: &package.name,
                    name: only,
                });
            }
            several if several.contains(&START_FILE) => {
                return Ok(Executable {
                    package: &package.name,
                    name: START_FILE,
                });
            }
            several => {
                let message = format!(
                    "{} builds several executables: {}",
                    manifest.display(),
                    several.join(", ")
                );
                return Err(Failure::input(message).fix("name the function's executable bootstrap"));
            }
        }
    }
    let members = packages
        .iter()
        .filter(|package| !executables(package).is_empty());
    let members: Vec<&Package> = members.collect();
    match members.as_slice() {
        [] => Err(Failure::input(format!(
            "{} builds no executable",
            manifest.display()
        ))),
        [only] => select(packages, &only.manifest_path),
        several => {
            let folders = several.iter().map(|member| {
                let folder = member.manifest_path.parent().unwrap_or(manifest);
                folder.display().to_string()
            });
            let folders: Vec<String> = folders.collect();
            let message = format!(
                "{} is a workspace with several executables",
                manifest.display()
            );
            Err(Failure::input(message).fix(format!("pack one member: {}", folders.join(" or "))))
        }
    }
}

fn executables(package: &Package) -> Vec<&str> {
    let targets = package.targets.iter();
    let targets = targets.filter(|target| target.kind.iter().any(|kind| kind == "bin"));
    targets.map(|target| target.name.as_str()).collect()
}

/// Runs cargo, shows its messages, and returns its output.
fn cargo(folder: &Path, arguments: &[&str], target: &str) -> Result<Vec<u8>, Failure> {
    let cannot_run = |error: &io::Error| Failure::machine(format!("cannot run cargo: {error}"));
    let mut command = Command::new("cargo");
    command
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if io::stderr().is_terminal() {
        // cargo writes no colors into a pipe.
        command.env("CARGO_TERM_COLOR", "always");
    }
    let mut process = command.spawn().map_err(|error| cannot_run(&error))?;
    let messages = process.stderr.take();
    let (output, messages) = thread::scope(|scope| {
        let showing = move || messages.map(show).unwrap_or_default();
        let shown = thread::Builder::new().spawn_scoped(scope, showing);
        // A cargo whose messages are not read would wait for ever.
        let shown = shown.inspect_err(|_| drop(process.kill()))?;
        let output = process.wait_with_output()?;
        Ok((output, shown.join().unwrap_or_default()))
    })
    .map_err(|error: io::Error| cannot_run(&error))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let what = arguments.first().unwrap_or(&"");
    Err(Failure::machine(format!("cargo {what} failed")).fix(fix(&messages, target)))
}

/// Passes messages on, and keeps the last of them.
fn show(mut from: impl Read) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut buffer = [0; 8192];
    while let Ok(length) = from.read(&mut buffer) {
        if length == 0 {
            break;
        }
        io::stderr().write_all(&buffer[..length]).ok();
        kept.extend_from_slice(&buffer[..length]);
        if kept.len() > MESSAGES_LEN_MAX {
            kept.drain(..kept.len() - MESSAGES_LEN_MAX / 2);
        }
    }
    kept
}

/// The fix for what cargo's messages say.
fn fix(messages: &[u8], target: &str) -> String {
    let text = String::from_utf8_lossy(messages);
    let is_absent = ["not found", "No such file", "failed to find tool"]
        .iter()
        .any(|words| text.contains(words));
    if text.contains("musl-gcc") && is_absent {
        "a dependency has C code, and musl-gcc is missing: install it (Debian: apt-get install musl-tools)".to_owned()
    } else if text.contains("can't find crate for `core`")
        || text.contains("can't find crate for `std`")
        || text.contains("target may not be installed")
    {
        format!("the target is missing: rustup target add {target}")
    } else {
        "see its messages above".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, executables: &[&str]) -> Package {
        let target = |name: &&str| Target {
            name: (*name).to_owned(),
            kind: vec!["bin".to_owned()],
        };
        Package {
            name: name.to_owned(),
            version: "0.1.0".to_owned(),
            repository: None,
            description: None,
            license: None,
            manifest_path: format!("/ws/{name}/Cargo.toml").into(),
            targets: executables.iter().map(target).collect(),
        }
    }

    fn selected(packages: &[Package], manifest: &str) -> Result<String, String> {
        let found = select(packages, Path::new(manifest));
        found
            .map(|found| format!("{}:{}", found.package, found.name))
            .map_err(|failure| failure.to_string())
    }

    #[test]
    fn the_executable_is_the_packages_or_the_only_one_of_the_workspace() {
        let all = [
            package("one", &["one"]),
            package("two", &["a", "bootstrap"]),
            package("lib", &[]),
        ];
        assert_eq!(
            selected(&all, "/ws/one/Cargo.toml").as_deref(),
            Ok("one:one")
        );
        assert_eq!(
            selected(&all, "/ws/two/Cargo.toml").as_deref(),
            Ok("two:bootstrap")
        );
        let why = selected(&all, "/ws/Cargo.toml").unwrap_err();
        assert!(why.contains("pack one member: /ws/one or /ws/two"), "{why}");
        assert_eq!(
            selected(&all[..1], "/ws/Cargo.toml").as_deref(),
            Ok("one:one")
        );
        let why = selected(&all[2..], "/ws/lib/Cargo.toml").unwrap_err();
        assert!(why.ends_with("builds no executable"), "{why}");
        let why = selected(&[package("x", &["a", "b"])], "/ws/x/Cargo.toml").unwrap_err();
        assert!(why.contains("several executables: a, b"), "{why}");
    }

    #[test]
    fn known_causes_have_a_fix() {
        for (messages, expected) in [
            (
                "error occurred in cc-rs: failed to find tool \"x86_64-linux-musl-gcc\": No such file or directory",
                "musl-tools",
            ),
            ("error: linker `musl-gcc` not found", "musl-tools"),
            (
                "error[E0463]: can't find crate for `core`",
                "rustup target add",
            ),
            ("error: expected `;`", "messages above"),
        ] {
            let said = fix(messages.as_bytes(), "x86_64-unknown-linux-musl");
            assert!(said.contains(expected), "{messages}");
        }
    }
}
