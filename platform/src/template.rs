//! `coldstart new`: creates a Rust function that builds, passes its tests and packs without changes.

use std::fs;
use std::path::{Path, PathBuf};

use crate::arguments::NewArguments;
use crate::console::{Tone, say};
use crate::engines;
use crate::exit::{Failure, Status};
use crate::kind::Kind;

/// The library version that the templates need.
const LIBRARY: &str = "0.1";
/// Whether cargo finds that version. Until then a project uses the library where this program was built.
const IS_PUBLISHED: bool = false;
/// What an MCP server needs beside the library. No feature of axum's: what is left is the router.
const MCP_DEPENDENCIES: &str = "axum = { version = \"0.8\", default-features = false }
rmcp = { version = \"3.11\", default-features = false, features = [\"macros\", \"server\", \"transport-streamable-http-server\"] }
serde = { version = \"1.0\", features = [\"derive\"] }";

/// What an axum application needs beside the library. axum's own server is not among its features, and neither is tokio.
const AXUM_DEPENDENCIES: &str =
    "axum = { version = \"0.8\", default-features = false, features = [\"json\", \"query\"] }
serde = { version = \"1.0\", features = [\"derive\"] }

[dev-dependencies]
";

const HTTP_TRIGGER: &str = "      triggers:
        - triggerName: http
          triggerType: http
          triggerConfig:
            authType: anonymous
            methods: [GET, POST, PUT, DELETE, HEAD, PATCH, OPTIONS]";
const MCP_CALL: &str = r#"curl -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' \
  -d '{"jsonrpc":"2.0","id":1,"method":"tools/list"}' http://127.0.0.1:8080/mcp"#;
const LIFECYCLE: &str = "      instanceLifecycleConfig:
        initializer:
          handler: index.initializer
          timeout: 30
        preStop:
          handler: index.preStop
          timeout: 30";

/// Writes the project.
pub(crate) fn new(arguments: &NewArguments) -> Result<Status, Failure> {
    let folder = &arguments.directory;
    let name = name_of(folder);
    accept_name(&name)?;
    engines::accept(&arguments.deploy, arguments.kind, &name)?;
    if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) || folder.is_file() {
        return Err(
            Failure::input(format!("{} already exists", folder.display()))
                .fix("name a new directory"),
        );
    }
    let library = library(arguments.library.as_deref())?;
    let dependencies = dependencies(arguments.kind, library.as_deref())?;
    let deploying = engines::section(&arguments.deploy);
    let of_engines = arguments.deploy.iter().filter_map(|engine| engine.file());
    for (path, text) in files(arguments.kind).into_iter().chain(of_engines) {
        let text = text.replace("{{deploying}}", &deploying);
        let text = fill(&text, arguments.kind, &name, &dependencies);
        write(&folder.join(path), &text)?;
    }
    say(format!(
        "{} {}",
        Tone::Good.paint("created"),
        folder.display()
    ));
    if arguments.library.is_none()
        && let Some(library) = &library
    {
        say(format!(
            "  with the library in {}, until {LIBRARY} is published",
            library.display()
        ));
    }
    say(format!(
        "  cd {} && cargo test && coldstart pack && coldstart run",
        folder.display()
    ));
    Ok(Status::Done)
}

/// The repository of the library; `None` for the published one.
fn library(named: Option<&Path>) -> Result<Option<PathBuf>, Failure> {
    if let Some(repository) = named {
        return if is_library(repository) {
            Ok(Some(repository.to_owned()))
        } else {
            Err(
                Failure::input(format!("{} is not the library", repository.display()))
                    .fix("--library names a checkout of the coldstart repository"),
            )
        };
    }
    // Where this program was built: a checkout, or cargo's own of a git repository.
    let built_in = Path::new(env!("COLDSTART_BUILT_IN")).parent();
    match built_in.filter(|repository| is_library(repository)) {
        _ if IS_PUBLISHED => Ok(None),
        Some(repository) => Ok(Some(repository.to_owned())),
        None => Err(Failure::input(format!(
            "the library coldstart {LIBRARY} is not published yet, and this program is not where it was built"
        ))
        .fix("pass --library DIRECTORY, a checkout of the coldstart repository")),
    }
}

fn is_library(repository: &Path) -> bool {
    let manifest = fs::read_to_string(repository.join("Cargo.toml"));
    manifest.is_ok_and(|text| text.lines().any(|line| line == "name = \"coldstart\""))
}

/// The last part of the path; that of the current directory for `.`.
fn name_of(folder: &Path) -> String {
    let absolute = folder.canonicalize();
    let name = folder
        .file_name()
        .or_else(|| absolute.as_ref().ok()?.file_name());
    name.unwrap_or_default().to_string_lossy().into_owned()
}

const fn files(kind: Kind) -> [(&'static str, &'static str); 9] {
    let program = match kind {
        Kind::Http => include_str!("../templates/http.rs"),
        Kind::Event => include_str!("../templates/event.rs"),
        Kind::Sse => include_str!("../templates/sse.rs"),
        Kind::Mcp => include_str!("../templates/mcp.rs"),
        Kind::Axum => include_str!("../templates/axum.rs"),
    };
    [
        ("Cargo.toml", include_str!("../templates/Cargo.toml.txt")),
        (
            "rust-toolchain.toml",
            include_str!("../templates/rust-toolchain.toml.txt"),
        ),
        (
            ".cargo/config.toml",
            include_str!("../templates/config.toml.txt"),
        ),
        (".cargo/start.ld", include_str!("../templates/start.ld.txt")),
        (".gitignore", "/target\n/function.zip\n/*.tar\n"),
        ("s.yaml", include_str!("../templates/s.yaml.txt")),
        ("README.md", include_str!("../templates/README.md.txt")),
        ("src/main.rs", program),
        ("tests/function.rs", include_str!("../templates/test.rs")),
    ]
}

fn fill(text: &str, kind: Kind, name: &str, dependencies: &str) -> String {
    let (what, call, assertions) = match kind {
        Kind::Http => (
            "Responds to HTTP calls.",
            "curl http://127.0.0.1:8080/",
            include_str!("../templates/test_http.txt"),
        ),
        Kind::Event => (
            "Handles events.",
            "curl -d 'one two' http://127.0.0.1:8080/2023-03-30/functions/{{name}}/invocations",
            include_str!("../templates/test_event.txt"),
        ),
        Kind::Sse => (
            "Streams server-sent events.",
            "curl -N http://127.0.0.1:8080/",
            include_str!("../templates/test_sse.txt"),
        ),
        Kind::Mcp => (
            "Has tools for assistants, by the Model Context Protocol.",
            MCP_CALL,
            include_str!("../templates/test_mcp.txt"),
        ),
        Kind::Axum => (
            "Responds to HTTP calls, by an axum application.",
            "curl -d '{\"text\":\"one two\"}' -H 'Content-Type: application/json' http://127.0.0.1:8080/words",
            include_str!("../templates/test_axum.txt"),
        ),
    };
    // An event function has no HTTP trigger. Its s.yaml shows the lifecycle hooks instead.
    let (lifecycle, triggers) = match kind {
        Kind::Http | Kind::Sse | Kind::Mcp | Kind::Axum => ("", HTTP_TRIGGER),
        Kind::Event => (LIFECYCLE, ""),
    };
    let filled = text
        .replace("{{assertions}}", assertions)
        .replace("{{lifecycle}}", lifecycle)
        .replace("{{triggers}}", triggers)
        .replace("{{what}}", what)
        .replace("{{call}}", call)
        .replace("{{image}}", engines::IMAGE)
        .replace("{{dependencies}}", dependencies)
        .replace("{{name}}", name);
    format!("{}\n", filled.trim_end())
}

/// The longest name of a function on the platform.
const NAME_LEN_MAX: usize = 64;
/// Keywords of Rust, the reserved ones included.
const KEYWORDS: [&str; 52] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate",
    "do", "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl",
    "in", "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref",
    "return", "self", "static", "struct", "super", "trait", "true", "try", "type", "typeof",
    "unsafe", "unsized", "use", "virtual", "where", "while", "yield", "_",
];
/// What YAML does not read as text, in its old version or the new one.
const YAML_WORDS: [&str; 7] = ["n", "no", "null", "off", "on", "y", "yes"];
/// Crates that come with the compiler.
const BUILT_IN: [&str; 6] = ["alloc", "core", "proc-macro", "proc_macro", "std", "test"];
/// Folders of cargo's own in its target directory.
const OUTPUT_FOLDERS: [&str; 4] = ["build", "deps", "examples", "incremental"];
/// Files that Windows cannot have, which would keep colleagues from checking the project out.
const DEVICES: [&str; 4] = ["aux", "con", "nul", "prn"];

/// Refuses what cargo or the platform would refuse later.
fn accept_name(name: &str) -> Result<(), Failure> {
    let Some(why) = objection(name) else {
        return Ok(());
    };
    Err(
        Failure::input(format!("`{name}` cannot be the function's name: {why}"))
            .fix(format!("choose another, such as {}", suggestion(name))),
    )
}

fn objection(name: &str) -> Option<&'static str> {
    if name.len() > NAME_LEN_MAX {
        Some("it is longer than 64 bytes")
    } else if !name.starts_with(|first: char| first.is_ascii_lowercase()) {
        Some("it does not begin with a lower-case letter")
    } else if !name.chars().all(is_part) {
        Some("it has other characters than lower-case letters, digits, - and _")
    } else if KEYWORDS.contains(&name) {
        Some("it is a keyword of Rust")
    } else if BUILT_IN.contains(&name) {
        Some("it is a crate of the compiler")
    } else if name == "coldstart" {
        Some("it is the library that the function depends on")
    } else if OUTPUT_FOLDERS.contains(&name) {
        Some("cargo has a folder of this name in its target directory")
    } else if YAML_WORDS.contains(&name) {
        Some("YAML does not read it as text")
    } else if DEVICES.contains(&name) {
        Some("it is a device on Windows")
    } else {
        None
    }
}

const fn is_part(letter: char) -> bool {
    letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-' || letter == '_'
}

/// A similar name that is accepted.
fn suggestion(name: &str) -> String {
    let lower = name.to_lowercase();
    let parts: String = lower
        .chars()
        .map(|letter| if is_part(letter) { letter } else { '-' })
        .take(NAME_LEN_MAX / 2)
        .collect();
    let kept = parts.trim_matches(['-', '_']);
    let similar = if kept.starts_with(|first: char| first.is_ascii_lowercase()) {
        kept.to_owned()
    } else {
        format!("function-{kept}")
    };
    let similar = similar.trim_end_matches('-').to_owned();
    if objection(&similar).is_none() {
        similar
    } else {
        format!("{similar}-function")
    }
}

/// The lines of `Cargo.toml`. The library at a path is the repository; the package for tower is a folder of it.
fn dependencies(kind: Kind, repository: Option<&Path>) -> Result<String, Failure> {
    let found = |folder: &str| match repository {
        Some(repository) => Ok(format!("path = {}", quoted(&repository.join(folder))?)),
        None => Ok(format!("version = \"{LIBRARY}\"")),
    };
    let library = || Ok(format!("coldstart = {{ {} }}", found("")?));
    Ok(match kind {
        Kind::Http | Kind::Event | Kind::Sse => library()?,
        // rmcp's tasks are tokio's.
        Kind::Mcp => {
            let tower = found("tower")?;
            format!("coldstart-tower = {{ {tower}, features = [\"tokio\"] }}\n{MCP_DEPENDENCIES}")
        }
        Kind::Axum => {
            let (tower, library) = (found("tower")?, library()?);
            format!("coldstart-tower = {{ {tower} }}\n{AXUM_DEPENDENCIES}{library}")
        }
    })
}

fn quoted(path: &Path) -> Result<serde_json::Value, Failure> {
    let path = path.canonicalize().map_err(|error| {
        Failure::input(format!(
            "cannot use the library at {}: {error}",
            path.display()
        ))
    })?;
    Ok(path.to_string_lossy().into_owned().into())
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| Failure::file("create", folder, &error))?;
    }
    fs::write(path, text).map_err(|error| Failure::file("write", path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_cannot_build_are_refused_with_one_that_can() {
        for (name, suggested) in [
            ("my.function", "my-function"),
            ("1st", "function-1st"),
            ("fn", "fn-function"),
            ("test", "test-function"),
            ("std", "std-function"),
            ("coldstart", "coldstart-function"),
            ("deps", "deps-function"),
            ("con", "con-function"),
            ("null", "null-function"),
            ("My-Function", "my-function"),
            ("my function", "my-function"),
            ("\u{51fd}\u{6570}", "function"),
            ("-x", "x"),
            ("", "function"),
            ("_", "function"),
        ] {
            assert!(objection(name).is_some(), "{name}");
            assert_eq!(suggestion(name), suggested, "{name}");
        }
        let long = "a".repeat(65);
        assert!(objection(&long).is_some());
        for name in ["hello", "bootstrap", "a-b_c9"] {
            assert_eq!(objection(name), None, "{name}");
        }
    }

    #[test]
    fn every_suggestion_is_accepted() {
        let listed = KEYWORDS.iter().chain(&BUILT_IN).chain(&OUTPUT_FOLDERS);
        for name in listed
            .chain(&DEVICES)
            .chain(&YAML_WORDS)
            .chain(&["Zed!", "9", "..", "A b C d"])
        {
            assert!(objection(name).is_some(), "{name}");
            assert_eq!(objection(&suggestion(name)), None, "{name}");
        }
    }
}
