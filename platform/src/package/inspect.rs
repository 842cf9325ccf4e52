//! Inspects the start file before anything runs: checks S1 and S2.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::elf::{self, Executable, Machine};
use crate::caller_error::{CallerError, LogTail};

const NOT_FOUND: i32 = 127;
const NO_SUCH_FILE: i32 = 2;
const EXEC_FORMAT: i32 = 8;
/// How much of an executable is read.
const READ_LEN_MAX: u64 = 256 * 1024 * 1024;
const GLIBC_LOADER: &str = "/lib64/ld-linux-x86-64.so.2";
/// The libraries that every Debian image has.
const SYSTEM_LIBRARIES: [&str; 12] = [
    "libc.so.6",
    "libm.so.6",
    "libpthread.so.0",
    "libdl.so.2",
    "librt.so.1",
    "libutil.so.1",
    "libresolv.so.2",
    "libgcc_s.so.1",
    "libstdc++.so.6",
    "libz.so.1",
    "libcrypt.so.1",
    "ld-linux-x86-64.so.2",
];

/// What the Finder adds at the top of a ZIP.
const FINDER_NAMES: [&str; 2] = ["__MACOSX", ".DS_Store"];
/// Byte order marks, and the encodings that they stand for.
const MARKS: [(&[u8], &str); 3] = [
    (b"\xef\xbb\xbf", "UTF-8"),
    (b"\xff\xfe", "UTF-16 (little endian)"),
    (b"\xfe\xff", "UTF-16 (big endian)"),
];

/// The Debian release of a runtime.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Debian {
    Nine,
    #[default]
    Ten,
    Eleven,
    Twelve,
}

impl Debian {
    /// Parses `custom`, `custom.debian10`, …
    pub(crate) fn of_runtime(runtime: &str) -> Option<Self> {
        match runtime {
            "custom" => Some(Self::Nine),
            "custom.debian10" => Some(Self::Ten),
            "custom.debian11" => Some(Self::Eleven),
            "custom.debian12" => Some(Self::Twelve),
            _ => None,
        }
    }

    /// The version of its C library.
    pub(crate) const fn glibc(self) -> (u32, u32) {
        match self {
            Self::Nine => (2, 24),
            Self::Ten => (2, 28),
            Self::Eleven => (2, 31),
            Self::Twelve => (2, 36),
        }
    }

    /// The release number.
    pub(crate) const fn number(self) -> u32 {
        match self {
            Self::Nine => 9,
            Self::Ten => 10,
            Self::Eleven => 11,
            Self::Twelve => 12,
        }
    }
}

/// What made a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Maker {
    /// macOS: it adds `__MACOSX` and `.DS_Store`.
    Finder,
    Unknown,
}

/// Why a start file cannot start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Missing {
        looked_for: String,
    },
    BelowTopFolder {
        folder: String,
        maker: Maker,
    },
    NotExecutable,
    Unreadable {
        why: String,
    },
    ForeignMachine {
        machine: String,
    },
    NoProgram,
    /// A script with a byte order mark before `#!`.
    ByteOrderMark {
        encoding: &'static str,
    },
    /// A script with blank lines before `#!`.
    MarkNotFirst {
        length: usize,
    },
    WindowsLineEnds {
        interpreter: String,
    },
    InterpreterMissing {
        interpreter: String,
    },
    LoaderMissing {
        loader: String,
    },
    LibrariesMissing {
        names: Vec<String>,
    },
    GlibcTooNew {
        needs: (u32, u32),
        debian: Debian,
    },
}

impl Fault {
    /// Describes the fault.
    pub(crate) fn seen(&self) -> String {
        match self {
            Self::Missing { looked_for } => format!("there is no {looked_for}"),
            Self::BelowTopFolder { folder, .. } => {
                format!(
                    "the package has a single top folder, `{folder}/`, and bootstrap is inside it"
                )
            }
            Self::NotExecutable => "the execute bit of bootstrap is not set".to_owned(),
            Self::Unreadable { why } => format!("bootstrap cannot be read: {why}"),
            Self::ForeignMachine { machine } => {
                format!("bootstrap is built for {machine}, but the platform is x86-64")
            }
            Self::ByteOrderMark { encoding } => {
                format!(
                    "bootstrap starts with the byte order mark of {encoding}, so the kernel does not see `#!`"
                )
            }
            Self::MarkNotFirst { length } => format!(
                "`#!` is not the first thing in bootstrap: {length} blank bytes come before it"
            ),
            Self::NoProgram => "bootstrap is neither an ELF file nor a script with `#!`".to_owned(),
            Self::WindowsLineEnds { interpreter } => {
                format!("bootstrap has CRLF line endings: the kernel looks for `{interpreter}\\r`")
            }
            Self::InterpreterMissing { interpreter } => {
                format!("the script's interpreter {interpreter} is missing")
            }
            Self::LoaderMissing { loader } => {
                format!("the dynamic loader {loader} is not on the platform")
            }
            Self::LibrariesMissing { names } => {
                format!(
                    "shared libraries missing on the platform: {}",
                    names.join(", ")
                )
            }
            Self::GlibcTooNew { needs, debian } => format!(
                "bootstrap needs GLIBC_{}.{}, but Debian {} has {}.{}",
                needs.0,
                needs.1,
                debian.number(),
                debian.glibc().0,
                debian.glibc().1
            ),
        }
    }

    /// How to fix it.
    pub(crate) const fn fix(&self) -> &'static str {
        match self {
            Self::Missing { .. } => {
                "put an executable file named bootstrap at the root of the package, or configure command and args"
            }
            Self::BelowTopFolder {
                maker: Maker::Finder,
                ..
            } => {
                "in the Finder, open the folder, select the files inside and compress those; or use coldstart pack"
            }
            Self::BelowTopFolder {
                maker: Maker::Unknown,
                ..
            } => "zip the folder's contents, not the folder: cd into it, then zip -r ../code.zip .",
            Self::NotExecutable => {
                "run chmod 755 bootstrap before zipping; a ZIP made on Windows loses the bit, coldstart pack sets it"
            }
            Self::Unreadable { .. } => "make bootstrap a readable regular file",
            Self::ForeignMachine { .. } => {
                "build for x86-64: Rust --target x86_64-unknown-linux-musl, Go GOOS=linux GOARCH=amd64; engines on ARM64 take an image: coldstart pack --image"
            }
            Self::ByteOrderMark { .. } => "save it as UTF-8 without a byte order mark",
            Self::MarkNotFirst { .. } => "remove the blank lines, so that the file starts with #!",
            Self::NoProgram => {
                "start a script with #!/bin/sh (or another interpreter), or build a Linux executable"
            }
            Self::WindowsLineEnds { .. } => {
                "save it with LF line endings: sed -i 's/\\r$//' bootstrap"
            }
            Self::InterpreterMissing { .. } => {
                "use an interpreter that the platform's image has, such as #!/bin/bash"
            }
            Self::LoaderMissing { .. } | Self::LibrariesMissing { .. } => {
                "link statically: Rust --target x86_64-unknown-linux-musl, Go CGO_ENABLED=0"
            }
            Self::GlibcTooNew { .. } => {
                "link statically (Rust: --target x86_64-unknown-linux-musl), or use a newer runtime such as custom.debian12"
            }
        }
    }

    /// The error that callers get for this file; none if the mistake only shows at run time.
    pub(crate) fn caller_error(&self, command: &str) -> Option<CallerError> {
        let exited = |code| {
            Some(CallerError::Exited {
                code,
                command: command.to_owned(),
                logs: LogTail::default(),
            })
        };
        match self {
            Self::Missing { .. } | Self::BelowTopFolder { .. } => Some(CallerError::FileNotFound),
            Self::NotExecutable => Some(CallerError::FilePermission),
            Self::ForeignMachine { .. }
            | Self::NoProgram
            | Self::ByteOrderMark { .. }
            | Self::MarkNotFirst { .. } => exited(EXEC_FORMAT),
            Self::LoaderMissing { .. } | Self::InterpreterMissing { .. } => exited(NO_SUCH_FILE),
            Self::LibrariesMissing { .. } => exited(NOT_FOUND),
            Self::GlibcTooNew { .. } => exited(1),
            Self::WindowsLineEnds { .. } | Self::Unreadable { .. } => None,
        }
    }
}

/// The faults of the start file in a code directory. If there are none, the platform can start it.
pub(crate) fn start_file(code: &Path, name: &str, debian: Debian) -> Vec<Fault> {
    let path = code.join(name);
    let Ok(metadata) = fs::metadata(&path) else {
        return vec![missing(code, name)];
    };
    if !metadata.is_file() {
        return vec![Fault::Unreadable {
            why: "it is not a regular file".to_owned(),
        }];
    }
    let mut faults = Vec::new();
    if metadata.permissions().mode() & 0o111 == 0 {
        faults.push(Fault::NotExecutable);
    }
    match read_front(&path) {
        Ok(bytes) => faults.extend(content(&path, &bytes, debian)),
        Err(error) => faults.push(Fault::Unreadable {
            why: error.to_string(),
        }),
    }
    faults
}

/// What a container that holds nothing but the code can start.
pub(crate) enum Standalone {
    /// It needs nothing else.
    Static(Machine),
    /// It needs this file.
    Needs(String),
}

/// What the start file needs besides itself. The fault says why it is no program at all.
pub(crate) fn standalone(code: &Path, name: &str) -> Result<Standalone, Fault> {
    let path = code.join(name);
    let is_its_own = |fault: &Fault| match fault {
        Fault::Missing { .. }
        | Fault::BelowTopFolder { .. }
        | Fault::Unreadable { .. }
        | Fault::NoProgram
        | Fault::ByteOrderMark { .. }
        | Fault::MarkNotFirst { .. } => true,
        Fault::NotExecutable
        | Fault::ForeignMachine { .. }
        | Fault::WindowsLineEnds { .. }
        | Fault::InterpreterMissing { .. }
        | Fault::LoaderMissing { .. }
        | Fault::LibrariesMissing { .. }
        | Fault::GlibcTooNew { .. } => false,
    };
    let faults = start_file(code, name, Debian::default());
    if let Some(fault) = faults.into_iter().find(is_its_own) {
        return Err(fault);
    }
    let unreadable = |why| Fault::Unreadable { why };
    let bytes = read_front(&path).map_err(|error| unreadable(error.to_string()))?;
    if let Some(rest) = bytes.strip_prefix(b"#!") {
        let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line);
        let interpreter = line.split_whitespace().next().unwrap_or_default();
        return Ok(Standalone::Needs(format!("the interpreter {interpreter}")));
    }
    let facts = elf::read(&bytes).map_err(unreadable)?;
    let loader = facts
        .interpreter
        .map(|loader| format!("the dynamic loader {loader}"));
    let library = facts
        .libraries
        .first()
        .map(|name| format!("the shared library {name}"));
    let needs = loader.or(library);
    Ok(needs.map_or(Standalone::Static(facts.machine), Standalone::Needs))
}

fn missing(code: &Path, name: &str) -> Fault {
    let mut maker = Maker::Unknown;
    let mut entries = Vec::new();
    for entry in fs::read_dir(code).into_iter().flatten().flatten() {
        if FINDER_NAMES.iter().any(|name| entry.file_name() == *name) {
            maker = Maker::Finder;
        } else {
            entries.push(entry.path());
        }
    }
    if let [only] = entries.as_slice()
        && only.join(name).is_file()
    {
        let folder = only.file_name().unwrap_or_default();
        let folder = folder.to_string_lossy().into_owned();
        return Fault::BelowTopFolder { folder, maker };
    }
    Fault::Missing {
        looked_for: format!("file {name} at the root of the code directory"),
    }
}

pub(crate) fn read_front(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?
        .take(READ_LEN_MAX)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn content(path: &Path, bytes: &[u8], debian: Debian) -> Vec<Fault> {
    if bytes.starts_with(b"\x7fELF") {
        return match elf::read(bytes) {
            Ok(facts) => executable(path, facts, debian),
            Err(why) => vec![Fault::Unreadable { why }],
        };
    }
    bytes.strip_prefix(b"#!").map_or_else(
        || vec![no_program(bytes)],
        |rest| script(rest).into_iter().collect(),
    )
}

/// A file that the kernel cannot start; often it is a script that an editor has damaged.
fn no_program(bytes: &[u8]) -> Fault {
    if let Some((_, encoding)) = MARKS.iter().find(|(mark, _)| bytes.starts_with(mark)) {
        return Fault::ByteOrderMark { encoding };
    }
    let rest = bytes.trim_ascii_start();
    if rest.starts_with(b"#!") {
        return Fault::MarkNotFirst {
            length: bytes.len() - rest.len(),
        };
    }
    Fault::NoProgram
}

fn script(after_mark: &[u8]) -> Option<Fault> {
    let line = after_mark
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    let text = String::from_utf8_lossy(line);
    let mut words = text.split_whitespace();
    let interpreter = words.next().unwrap_or_default().to_owned();
    if line.ends_with(b"\r") {
        let named = words.next_back().map_or(interpreter, str::to_owned);
        return Some(Fault::WindowsLineEnds { interpreter: named });
    }
    (!Path::new(&interpreter).exists()).then_some(Fault::InterpreterMissing { interpreter })
}

fn executable(path: &Path, facts: Executable, debian: Debian) -> Vec<Fault> {
    let machine = match facts.machine {
        Machine::X86_64 => None,
        Machine::Arm64 => Some("ARM64 (aarch64)".to_owned()),
        Machine::Other(machine) => Some(machine),
    };
    if let Some(machine) = machine {
        return vec![Fault::ForeignMachine { machine }];
    }
    let mut faults = Vec::new();
    if let Some(loader) = facts.interpreter.filter(|loader| loader != GLIBC_LOADER) {
        faults.push(Fault::LoaderMissing { loader });
    }
    let is_missing = |name: &String| {
        !SYSTEM_LIBRARIES.contains(&name.as_str()) && !elf::is_bundled(name, path, &facts.run_paths)
    };
    let names: Vec<String> = facts
        .libraries
        .iter()
        .filter(|name| is_missing(name))
        .cloned()
        .collect();
    if !names.is_empty() && faults.is_empty() {
        faults.push(Fault::LibrariesMissing { names });
    }
    if let Some(needs) = facts.glibc.filter(|needs| *needs > debian.glibc()) {
        faults.push(Fault::GlibcTooNew { needs, debian });
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_the_first_line_of_scripts() {
        assert_eq!(script(b"/bin/sh\necho\r\n"), None);
        let crlf = Fault::WindowsLineEnds {
            interpreter: "bash".to_owned(),
        };
        assert_eq!(script(b"/usr/bin/env bash\r\n"), Some(crlf));
        let absent = Fault::InterpreterMissing {
            interpreter: "/no/such".to_owned(),
        };
        assert_eq!(script(b"/no/such\n"), Some(absent));
    }

    #[test]
    fn damaged_scripts_are_told_apart() {
        for (bytes, encoding) in [
            (&b"\xef\xbb\xbf#!/bin/sh\n"[..], "UTF-8"),
            (b"\xff\xfe#\0!\0", "UTF-16 (little endian)"),
        ] {
            assert_eq!(no_program(bytes), Fault::ByteOrderMark { encoding });
        }
        assert_eq!(
            no_program(b"\r\n#!/bin/sh\n"),
            Fault::MarkNotFirst { length: 2 }
        );
        assert_eq!(no_program(b"echo\n"), Fault::NoProgram);
        assert_eq!(no_program(b""), Fault::NoProgram);
    }
}
