//! The programs that are compared, built with one set of flags.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use super::{results, root};

const TARGET: &str = "x86_64-unknown-linux-musl";

/// What cannot be had on this machine, and why.
static ABSENT: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The programs that were looked for in vain.
pub(crate) fn absent() -> Vec<String> {
    ABSENT
        .lock()
        .map(|absent| absent.clone())
        .unwrap_or_default()
}

/// A program that cannot be had is named, so that nobody takes its absence for a result.
fn present(name: &str, why_not: &str, program: Option<Program>) -> Option<Program> {
    if program.is_none() {
        eprintln!("absent: {name}: {why_not}");
        if let Ok(mut absent) = ABSENT.lock() {
            absent.push(format!("{name}: {why_not}"));
        }
    }
    program
}

/// A server, and how to start it on a port.
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) path: PathBuf,
    arguments: Arguments,
}

enum Arguments {
    Port,
    PortFlag,
    Script(PathBuf),
    Configuration,
}

impl Program {
    pub(crate) fn arguments(&self, port: u16) -> Vec<String> {
        match &self.arguments {
            Arguments::Port => vec![port.to_string()],
            Arguments::PortFlag => vec!["--port".to_owned(), port.to_string()],
            Arguments::Script(script) => vec![script.display().to_string(), port.to_string()],
            Arguments::Configuration => {
                let path = results().join("nginx.conf");
                std::fs::write(&path, nginx_configuration(port)).expect("target is ours to write");
                vec![
                    "-c".to_owned(),
                    path.display().to_string(),
                    "-e".to_owned(),
                    "/dev/null".to_owned(),
                ]
            }
        }
    }

    /// Goes on with a copy, if it is not one of the machine's own programs.
    pub(crate) fn unpack(&mut self) {
        if self.path.starts_with("/usr") {
            return;
        }
        let copy = results().join("unpacked").join(self.name);
        let directory = copy.parent().expect("a file in a directory");
        std::fs::create_dir_all(directory).expect("target is ours to write");
        std::fs::copy(&self.path, &copy).expect("a program that was built, and room for a copy");
        self.path = copy;
    }

    /// nginx by itself has nothing that sends a body back.
    pub(crate) fn is_able_to_echo(&self) -> bool {
        !matches!(self.arguments, Arguments::Configuration)
    }

    pub(crate) fn file_len(&self) -> u64 {
        std::fs::metadata(&self.path).map_or(0, |file| file.len())
    }
}

fn nginx_configuration(port: u16) -> String {
    format!(
        "daemon off; master_process off; worker_processes 1; pid {pid}; error_log /dev/null;\n\
         events {{ worker_connections 20000; }}\n\
         http {{ access_log off; keepalive_requests 100000000; keepalive_timeout 1h; default_type text/plain;\n\
           server {{ listen {port} backlog=4096; location /hello {{ return 200 'Hello, World!'; }} }} }}\n",
        pid = results().join("nginx.pid").display()
    )
}

/// Runs a build; false if it fails, or its tool is not there.
fn build(directory: &Path, program: &str, arguments: &[&str]) -> bool {
    let status = Command::new(program)
        .args(arguments)
        .current_dir(directory)
        .stdout(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

fn cargo(directory: &Path, arguments: &[&str]) -> bool {
    build(
        directory,
        "cargo",
        &[&["build", "--quiet"], arguments].concat(),
    )
}

pub(crate) fn found(name: &str) -> Option<PathBuf> {
    let paths = std::env::var_os("PATH")?;
    std::env::split_paths(&paths)
        .map(|directory| directory.join(name))
        .find(|path| path.is_file())
}

/// The floor of a start.
pub(crate) fn floor() -> Program {
    let directory = root().join("benches/floor");
    assert!(cargo(&directory, &["--release"]), "the floor builds");
    Program {
        name: "floor",
        path: directory.join("target/release/floor"),
        arguments: Arguments::Port,
    }
}

const DIST: &[&str] = &["--profile", "dist", "--target", TARGET];

/// What is deployed.
pub(crate) fn bootstrap() -> Program {
    assert!(
        cargo(&root(), &[DIST, &["--bin", "bootstrap"]].concat()),
        "bootstrap builds"
    );
    Program {
        name: "bootstrap",
        path: root().join("target").join(TARGET).join("dist/bootstrap"),
        arguments: Arguments::PortFlag,
    }
}

/// The examples that are measured as a user's own function: with `coldstart::main!`, and with std's start as `hello` is.
pub(crate) const FUNCTIONS: [&str; 2] = ["minimal", "hello"];

/// Ours: what is deployed, functions of users, and the min build where a nightly toolchain is at hand.
pub(crate) fn ours() -> Vec<Program> {
    for example in FUNCTIONS {
        assert!(
            cargo(&root(), &[DIST, &["--example", example]].concat()),
            "the example builds"
        );
    }
    let target = root().join("target").join(TARGET).join("dist");
    let mut programs = vec![bootstrap()];
    programs.extend(FUNCTIONS.map(|name| Program {
        name,
        path: target.join("examples").join(name),
        arguments: Arguments::Port,
    }));
    let min = root().join("target/min/bootstrap");
    let min = build(&root(), ".ci/build-min", &[]).then_some(Program {
        name: "bootstrap-min",
        path: min,
        arguments: Arguments::PortFlag,
    });
    programs.extend(present(
        "bootstrap-min",
        "no nightly toolchain that builds it",
        min,
    ));
    programs
}

/// Another build of `bootstrap`, for comparing two.
pub(crate) fn also(path: &str) -> Program {
    let path = PathBuf::from(path);
    let name = path
        .file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    Program {
        name: name.leak(),
        path,
        arguments: Arguments::PortFlag,
    }
}

/// The loop that only counts empty lines.
pub(crate) fn limit() -> Program {
    peer("limit", "peer-limit", TARGET).expect("the limit builds")
}

fn peer(name: &'static str, package: &str, target: &str) -> Option<Program> {
    let directory = root().join("benches/peers");
    let path = directory
        .join("target")
        .join(target)
        .join("release")
        .join(package);
    cargo(
        &directory,
        &["--release", "--target", target, "--package", package],
    )
    .then_some(Program {
        name,
        path,
        arguments: Arguments::Port,
    })
}

/// The others, as far as they can be had on this machine.
pub(crate) fn peers() -> Vec<Program> {
    let gnu = "x86_64-unknown-linux-gnu";
    let mut programs: Vec<Program> = [
        ("hyper", "peer-hyper", TARGET),
        ("hyper-glibc", "peer-hyper", gnu),
        ("axum", "peer-axum", TARGET),
        ("actix", "peer-actix", TARGET),
        ("ntex", "peer-ntex", TARGET),
        ("khttp", "peer-khttp", TARGET),
        ("may", "peer-may", TARGET),
        ("tiny_http", "peer-tiny", TARGET),
    ]
    .into_iter()
    .filter_map(|(name, package, target)| {
        present(name, "does not build", peer(name, package, target))
    })
    .collect();
    programs.extend(present("go", "no Go that builds it", go()));
    let nginx = found("nginx")
        .or_else(|| Some("/usr/sbin/nginx".into()))
        .filter(|path| path.is_file())
        .map(|path| Program {
            name: "nginx",
            path,
            arguments: Arguments::Configuration,
        });
    programs.extend(present("nginx", "not installed", nginx));
    let node = found("node").map(|path| Program {
        name: "node",
        path,
        arguments: Arguments::Script(root().join("benches/peers/node/server.js")),
    });
    programs.extend(present("node", "not installed", node));
    programs
}

fn go() -> Option<Program> {
    let path = results().join("peer-go");
    let output = path.display().to_string();
    let directory = root().join("benches/peers/go");
    build(
        &directory,
        "go",
        &["build", "-ldflags=-s -w", "-o", &output],
    )
    .then_some(Program {
        name: "go",
        path,
        arguments: Arguments::Port,
    })
}
