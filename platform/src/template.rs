//! `coldstart new`: creates a Rust function that builds, passes its tests and packs without changes.

use std::fs;
use std::path::Path;

use crate::arguments::{Kind, NewArguments};
use crate::console::{Tone, say};
use crate::exit::{Failure, Status};

/// The library version that the templates need.
const LIBRARY: &str = "0.1";

const HTTP_TRIGGER: &str = "      triggers:
        - triggerName: http
          triggerType: http
          triggerConfig:
            authType: anonymous
            methods: [GET, POST, PUT, DELETE, HEAD, PATCH, OPTIONS]";
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
    let name = folder
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    accept_name(&name)?;
    if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) || folder.is_file() {
        return Err(
            Failure::input(format!("{} already exists", folder.display()))
                .fix("name a new directory"),
        );
    }
    let library = library(arguments.library.as_deref())?;
    for (path, text) in files(arguments.kind) {
        let text = fill(text, arguments.kind, &name, &library);
        write(&folder.join(path), &text)?;
    }
    say(format!(
        "{} {}",
        Tone::Good.paint("created"),
        folder.display()
    ));
    say(format!(
        "  cd {} && cargo test && coldstart pack && coldstart run",
        folder.display()
    ));
    Ok(Status::Done)
}

const fn files(kind: Kind) -> [(&'static str, &'static str); 9] {
    let program = match kind {
        Kind::Http => include_str!("../templates/http.rs"),
        Kind::Event => include_str!("../templates/event.rs"),
        Kind::Sse => include_str!("../templates/sse.rs"),
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
        (".gitignore", "/target\n/function.zip\n"),
        ("s.yaml", include_str!("../templates/s.yaml.txt")),
        ("README.md", include_str!("../templates/README.md.txt")),
        ("src/main.rs", program),
        ("tests/function.rs", include_str!("../templates/test.rs")),
    ]
}

fn fill(text: &str, kind: Kind, name: &str, library: &str) -> String {
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
    };
    // An event function has no HTTP trigger. Its s.yaml shows the lifecycle hooks instead.
    let (lifecycle, triggers) = match kind {
        Kind::Http | Kind::Sse => ("", HTTP_TRIGGER),
        Kind::Event => (LIFECYCLE, ""),
    };
    let filled = text
        .replace("{{assertions}}", assertions)
        .replace("{{lifecycle}}", lifecycle)
        .replace("{{triggers}}", triggers)
        .replace("{{what}}", what)
        .replace("{{call}}", call)
        .replace("{{library}}", library)
        .replace("{{name}}", name);
    format!("{}\n", filled.trim_end())
}

fn accept_name(name: &str) -> Result<(), Failure> {
    let is_letter = |letter: char| letter.is_ascii_lowercase();
    let is_part = |letter: char| {
        is_letter(letter) || letter.is_ascii_digit() || letter == '-' || letter == '_'
    };
    if name.starts_with(is_letter) && name.chars().all(is_part) && name.len() <= 64 {
        return Ok(());
    }
    Err(
        Failure::input(format!("`{name}` is no name for a function"))
            .fix("use lower-case letters, digits, - and _, a letter first"),
    )
}

fn library(path: Option<&Path>) -> Result<String, Failure> {
    let Some(path) = path else {
        return Ok(format!("\"{LIBRARY}\""));
    };
    let path = path.canonicalize().map_err(|error| {
        Failure::input(format!(
            "cannot use the library at {}: {error}",
            path.display()
        ))
    })?;
    Ok(format!(
        "{{ path = {} }}",
        serde_json::Value::from(path.to_string_lossy().into_owned())
    ))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| Failure::file("create", folder, &error))?;
    }
    fs::write(path, text).map_err(|error| Failure::file("write", path, &error))
}
