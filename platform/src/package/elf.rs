//! Reads what an ELF file requires from the machine that runs it.

use std::path::Path;

use object::read::elf::{Dyn as _, FileHeader as _, ProgramHeader as _};
use object::{Endianness, elf};

/// The properties that decide whether the platform can run an executable.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Executable {
    /// The architecture.
    pub(crate) machine: Machine,
    /// The dynamic loader. A static file has none.
    pub(crate) interpreter: Option<String>,
    /// The shared libraries that it needs.
    pub(crate) libraries: Vec<String>,
    /// The highest `GLIBC_x.y` version of any symbol.
    pub(crate) glibc: Option<(u32, u32)>,
    /// The library search path, with `$ORIGIN` unexpanded.
    pub(crate) run_paths: Vec<String>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Machine {
    X86_64,
    Arm64,
    Other(String),
}

/// Reads the properties. The error says what is wrong with the file.
pub(crate) fn read(bytes: &[u8]) -> Result<Executable, String> {
    // 32-bit files have a different header, and the platform runs none of them.
    if bytes.get(4) == Some(&elf::ELFCLASS32.0) {
        let machine = elf::Machine(u16::from_le_bytes([
            bytes.get(18).copied().unwrap_or(0),
            bytes.get(19).copied().unwrap_or(0),
        ]));
        return Ok(foreign(format!("{}, 32 bits", machine_name(machine))));
    }
    let text = |error: object::Error| error.to_string();
    let header = elf::FileHeader64::<Endianness>::parse(bytes).map_err(text)?;
    let endian = header.endian().map_err(text)?;
    let mut facts = match (header.e_machine(endian), endian) {
        (elf::EM_X86_64, _) => of_machine(Machine::X86_64),
        (elf::EM_AARCH64, Endianness::Little) => of_machine(Machine::Arm64),
        (machine, _) => return Ok(foreign(machine_name(machine))),
    };
    for segment in header.program_headers(endian, bytes).map_err(text)? {
        if let Some(name) = segment.interpreter(endian, bytes).map_err(text)? {
            facts.interpreter = Some(String::from_utf8_lossy(name).into_owned());
        }
    }
    let sections = header.sections(endian, bytes).map_err(text)?;
    if let Some((dynamic, index)) = sections.dynamic(endian, bytes).map_err(text)? {
        let strings = sections.strings(endian, bytes, index).map_err(text)?;
        for entry in dynamic {
            let tag = entry.tag(endian);
            let value = || {
                entry
                    .string(endian, strings)
                    .map(|name| String::from_utf8_lossy(name).into_owned())
            };
            match tag {
                elf::DT_NEEDED => facts.libraries.push(value().map_err(text)?),
                elf::DT_RPATH | elf::DT_RUNPATH => {
                    facts
                        .run_paths
                        .extend(value().map_err(text)?.split(':').map(str::to_owned));
                }
                _ => {}
            }
        }
    }
    if let Some((mut needs, index)) = sections.gnu_verneed(endian, bytes).map_err(text)? {
        let strings = sections.strings(endian, bytes, index).map_err(text)?;
        while let Some((_, mut versions)) = needs.next().map_err(text)? {
            while let Some(version) = versions.next().map_err(text)? {
                let name = version.name(endian, strings).map_err(text)?;
                facts.glibc = facts.glibc.max(glibc_version(name));
            }
        }
    }
    Ok(facts)
}

/// Whether the file's own search path finds the library.
pub(crate) fn is_bundled(library: &str, file: &Path, run_paths: &[String]) -> bool {
    let origin = file.parent().unwrap_or_else(|| Path::new("."));
    run_paths.iter().any(|path| {
        let path = path
            .replace("${ORIGIN}", "$ORIGIN")
            .replace("$ORIGIN", &origin.to_string_lossy());
        Path::new(&path).join(library).exists()
    })
}

fn foreign(machine: String) -> Executable {
    of_machine(Machine::Other(machine))
}

fn of_machine(machine: Machine) -> Executable {
    Executable {
        machine,
        interpreter: None,
        libraries: Vec::new(),
        glibc: None,
        run_paths: Vec::new(),
    }
}

fn glibc_version(name: &[u8]) -> Option<(u32, u32)> {
    let version = std::str::from_utf8(name).ok()?.strip_prefix("GLIBC_")?;
    let mut parts = version.split('.').map(str::parse::<u32>);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

fn machine_name(machine: elf::Machine) -> String {
    match machine {
        elf::EM_AARCH64 => "ARM64, big endian".to_owned(),
        elf::EM_ARM => "ARM".to_owned(),
        elf::EM_386 => "x86".to_owned(),
        elf::EM_X86_64 => "x86-64".to_owned(),
        elf::EM_RISCV => "RISC-V".to_owned(),
        elf::EM_PPC64 => "PowerPC 64".to_owned(),
        elf::EM_S390 => "s390x".to_owned(),
        other => format!("machine {}", other.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_numbers() {
        assert!(
            glibc_version(b"GLIBC_2.4") < glibc_version(b"GLIBC_2.34"),
            "not as text"
        );
        assert_eq!(glibc_version(b"GLIBC_PRIVATE"), None);
    }

    #[test]
    fn reads_the_test_executable() {
        let bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let facts = read(&bytes).unwrap();
        assert_eq!(facts.machine, Machine::X86_64);
        assert!(
            facts
                .libraries
                .iter()
                .any(|name| name.starts_with("libc.so")),
            "{facts:?}"
        );
        assert!(facts.glibc > Some((2, 2)), "{facts:?}");
    }
}
