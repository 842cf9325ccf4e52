//! What the compiler says about programs that cannot compile: it names the mistake, and what to write instead.
//!
//! Each file in `tests/ui/` is a program. Its lines that begin with `//~` are texts that stand in the compiler's errors, in any
//! order; a file without such lines compiles. Only our own words are compared, so that no wording of a compiler is pinned, except where
//! the error is all the compiler's.
#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "what a test cannot set up must fail it, and the environment names the compiler"
)]

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The library as a user's program links it, built by the toolchain that runs this test, and the folder of its dependencies.
struct Library {
    file: PathBuf,
    dependencies: PathBuf,
}

impl Library {
    fn build() -> Self {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ui");
        let built = Command::new(env!("CARGO"))
            .args(["check", "--quiet", "--locked", "--lib", "--package", "coldstart"])
            .args(["--features", "json,form", "--message-format", "json", "--target-dir"])
            .arg(target)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            // What instruments the tests is not wanted here.
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_BUILD_TARGET")
            .env_remove("RUSTC_WORKSPACE_WRAPPER")
            .output()
            .expect("cargo starts");
        let said = String::from_utf8_lossy(&built.stderr);
        assert!(
            built.status.success(),
            "the library does not compile: {said}"
        );
        let lines = String::from_utf8_lossy(&built.stdout).into_owned();
        let mut messages = lines
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let is_library = |message: &Value| message["target"]["name"] == "coldstart";
        let artifact = messages.rfind(is_library);
        let artifact = artifact.expect("cargo names what it has built");
        let file = PathBuf::from(artifact["filenames"][0].as_str().expect("a file"));
        let dependencies = file.parent().expect("a folder").to_owned();
        Self { file, dependencies }
    }

    /// What the compiler says about this program.
    fn errors_of(&self, program: &Path, out: &Path) -> String {
        let library = format!("coldstart={}", self.file.display());
        let dependencies = format!("dependency={}", self.dependencies.display());
        let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let compiled = Command::new(compiler)
            .args([
                "--edition",
                "2024",
                "--crate-type",
                "bin",
                "--emit",
                "metadata",
            ])
            .args(["--extern", &library, "-L", &dependencies, "-A", "warnings"])
            .arg("-o")
            .arg(out)
            .arg(program)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("rustc starts");
        let said = String::from_utf8_lossy(&compiled.stderr).into_owned();
        assert_eq!(compiled.status.success(), said.is_empty(), "{said}");
        said
    }
}

/// The same text whatever the lines that the compiler breaks it into.
fn on_one_line(text: &str) -> String {
    let words = text.split_whitespace();
    words
        .filter(|word| *word != "|")
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn errors_say_what_to_write_instead() {
    let library = Library::build();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ui");
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ui.rmeta");
    let mut programs: Vec<PathBuf> = fs::read_dir(folder)
        .expect("the folder of programs")
        .map(|entry| entry.expect("a file").path())
        .filter(|path| path.extension() == Some(OsStr::new("rs")))
        .collect();
    programs.sort();
    assert!(!programs.is_empty(), "there are programs");
    let mut faults = Vec::new();
    for program in &programs {
        let text = fs::read_to_string(program).expect("a program");
        let marked = text.lines().filter_map(|line| line.strip_prefix("//~ "));
        let expected: Vec<&str> = marked.collect();
        let said = library.errors_of(program, &out);
        let found = on_one_line(&said);
        let missing = expected
            .iter()
            .filter(|part| !found.contains(&on_one_line(part)));
        faults.extend(missing.map(|part| format!("{program:?} does not say {part:?}:\n{said}")));
        if expected.is_empty() != said.is_empty() {
            faults.push(format!("{program:?} has no expected text:\n{said}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
