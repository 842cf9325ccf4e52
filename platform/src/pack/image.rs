//! What an image is made of: the code of each architecture, its labels and its name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::build;
use super::contents::contents;
use super::source::{Code, START_FILE, Source, Start, file_name, parent};
use crate::arguments::{ImageArguments, PackArguments};
use crate::environment;
use crate::exit::Failure;
use crate::image::Architecture;
use crate::image::documents::Labels;
use crate::image::layout::{self, Image, Written};
use crate::image::place::Destination;
use crate::image::reference::Reference;
use crate::image::{label, layer};
use crate::package::collect::{Item, ItemKind};
use crate::package::elf::Machine;
use crate::package::inspect::{self, Fault, Standalone};

/// The port of a server that nothing tells another one.
const PORT: u16 = 9000;
/// The convention of reproducible-builds.org for the time of what is built.
const TIME_VARIABLE: &str = "SOURCE_DATE_EPOCH";
/// The highest that a plain tar header can hold, in the year 2242.
const TIME_MAX: u64 = 0o77_777_777_777;

/// Where the image goes, if the arguments ask for one.
pub(super) fn destination(arguments: &ImageArguments) -> Option<Destination> {
    let file = arguments.image.clone().map(Destination::File);
    file.or_else(|| arguments.image_dir.clone().map(Destination::Folder))
}

/// Builds, checks and writes the image.
pub(super) fn make(
    arguments: &PackArguments,
    destination: &Destination,
) -> Result<String, Failure> {
    destination.examine()?;
    let time = time()?;
    let mut making = Making {
        arguments,
        destination,
        labels: Labels::new(),
        name: None,
        codes: BTreeMap::new(),
    };
    let here = [PathBuf::from(".")];
    let sources = if arguments.sources.is_empty() {
        here.as_slice()
    } else {
        arguments.sources.as_slice()
    };
    for named in sources {
        making.add(named)?;
    }
    let mut labels = making.labels;
    labels.extend(arguments.image.labels.iter().cloned());
    let named = arguments.image.tag.clone();
    let image = Image {
        reference: named
            .unwrap_or_else(|| Reference::of_name(making.name.as_deref().unwrap_or_default())),
        labels,
        time,
        codes: making.codes,
    };
    let path = destination.path();
    let written = image.write(destination);
    let written = written.map_err(|error| Failure::file("write", path, &error))?;
    Ok(summary(path, &image, &written))
}

fn summary(path: &Path, image: &Image, written: &Written) -> String {
    let mut lines = vec![format!("{}  {}", path.display(), image.reference.short())];
    for (architecture, layer) in &written.layers {
        lines.push(format!(
            "linux/{}  {} entries, {} bytes compressed, {} unpacked",
            architecture.name(),
            layer.entries,
            layer.len,
            layer.content_len
        ));
    }
    lines.push(format!("digest {}", written.digest));
    lines.join("\n")
}

/// The time of everything in the image, in seconds since 1970.
fn time() -> Result<u64, Failure> {
    let Some(text) = environment::own(TIME_VARIABLE).filter(|text| !text.is_empty()) else {
        return Ok(0);
    };
    let parsed = text.parse().ok().filter(|seconds| *seconds <= TIME_MAX);
    parsed.ok_or_else(|| {
        Failure::input(format!("{TIME_VARIABLE} is `{text}`")).fix(format!(
            "set it to a number of seconds since 1970, {TIME_MAX} at most"
        ))
    })
}

/// An image in the making.
struct Making<'a> {
    arguments: &'a PackArguments,
    destination: &'a Destination,
    labels: Labels,
    name: Option<String>,
    codes: BTreeMap<Architecture, layout::Code>,
}

impl Making<'_> {
    /// Adds a source; a project once for each target.
    fn add(&mut self, named: &Path) -> Result<(), Failure> {
        let source = Source::of(named, self.arguments)?;
        let port = source.function.port.unwrap_or(PORT);
        self.name = self.name.take().or(source.function.name);
        if source.start == Start::Command {
            return Err(Failure::input(format!(
                "{}: an image has nothing but the code, and starts its bootstrap",
                named.display()
            ))
            .fix("pack a ZIP, or leave out --command and the command in s.yaml"));
        }
        match &source.code {
            Code::Project(folder) => {
                for target in &self.arguments.targets {
                    let built = build::build(folder, target)?;
                    self.labels.append(&mut label::labels(&built.about, folder));
                    self.name = self.name.take().or(Some(built.about.title));
                    self.take_file(&built.path, port)?;
                }
                Ok(())
            }
            Code::Executable(path) => self.take_file(path, port),
            Code::Directory(folder) => {
                let architecture = architecture(folder, START_FILE, folder)?;
                let items = contents(folder, self.destination.path(), Start::Bootstrap)?;
                self.take(architecture, items, port, folder)
            }
            Code::File(path) => Err(Failure::input(format!(
                "{}: an image has nothing but the code, so it starts no such file",
                path.display()
            ))
            .fix("pack a ZIP, or an executable")),
        }
    }

    fn take_file(&mut self, path: &Path, port: u16) -> Result<(), Failure> {
        let architecture = architecture(parent(path), &file_name(path), path)?;
        let item = Item {
            from: path.to_owned(),
            name: START_FILE.to_owned(),
            kind: ItemKind::File,
        };
        self.take(architecture, vec![item], port, path)
    }

    fn take(
        &mut self,
        architecture: Architecture,
        items: Vec<Item>,
        port: u16,
        from: &Path,
    ) -> Result<(), Failure> {
        if let Some(item) = items.iter().find(|item| layer::is_whiteout(&item.name)) {
            let message = format!(
                "a file of the name {} deletes another one in an image",
                item.name
            );
            return Err(
                Failure::input(message).fix("rename the file, or leave it out in .fcignore")
            );
        }
        let code = layout::Code { items, port };
        match self.codes.insert(architecture, code) {
            None => Ok(()),
            Some(_) => Err(Failure::input(format!(
                "{}: there is code for {} already",
                from.display(),
                architecture.name()
            ))
            .fix("an image has one source for each architecture")),
        }
    }
}

/// The architecture of a start file that needs nothing besides itself.
fn architecture(folder: &Path, name: &str, shown: &Path) -> Result<Architecture, Failure> {
    let needs = match inspect::standalone(folder, name) {
        Ok(Standalone::Static(Machine::X86_64)) => return Ok(Architecture::Amd64),
        Ok(Standalone::Static(Machine::Arm64)) => return Ok(Architecture::Arm64),
        Ok(Standalone::Static(Machine::Other(machine))) => {
            let message = format!(
                "{}: bootstrap is built for {machine}, and images are made for x86-64 and ARM64",
                shown.display()
            );
            return Err(Failure::input(message).fix(
                "build for one of them: Rust --target x86_64-unknown-linux-musl, Go GOARCH=amd64",
            ));
        }
        Ok(Standalone::Needs(needs)) => needs,
        Err(fault) => {
            let failure = Failure::input(format!("{}: {}", shown.display(), fault.seen()));
            let is_absent = matches!(fault, Fault::Missing { .. } | Fault::BelowTopFolder { .. });
            return Err(failure.fix(if is_absent {
                "pack a directory that has a static executable named bootstrap at its root"
            } else {
                fault.fix()
            }));
        }
    };
    Err(Failure::input(format!(
        "{}: bootstrap needs {needs}, and an image has nothing but the code",
        shown.display()
    ))
    .fix("link statically: Rust --target x86_64-unknown-linux-musl, Go CGO_ENABLED=0"))
}
