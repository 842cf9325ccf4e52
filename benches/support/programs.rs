//! The programs that are compared, built with one set of flags.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{results, root};

const TARGET: &str = "x86_64-unknown-linux-musl";

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

    pub(crate) fn file_len(&self) -> u64 {
        std::fs::metadata(&self.path).map_or(0, |file| file.len())
    }
}

fn nginx_configuration(port: u16) -> String {
    format!(
        "daemon off; master_process off; worker_processes 1; pid {pid}; error_log /dev/null;\n\
         events {{ worker_connections 20000; }}\n\
         http {{ access_log off; keepalive_requests 100000000; default_type text/plain;\n\
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

fn found(name: &str) -> Option<PathBuf> {
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

/// Ours: what is deployed, a user's function, and the min build where a nightly toolchain is at hand.
pub(crate) fn ours() -> Vec<Program> {
    let dist = ["--profile", "dist", "--target", TARGET];
    assert!(
        cargo(&root(), &[&dist[..], &["--bin", "bootstrap"]].concat()),
        "bootstrap builds"
    );
    assert!(
        cargo(&root(), &[&dist[..], &["--example", "minimal"]].concat()),
        "the example builds"
    );
    let target = root().join("target").join(TARGET).join("dist");
    let mut programs = vec![
        Program {
            name: "bootstrap",
            path: target.join("bootstrap"),
            arguments: Arguments::PortFlag,
        },
        Program {
            name: "minimal",
            path: target.join("examples/minimal"),
            arguments: Arguments::Port,
        },
    ];
    let min = root()
        .join("target/min")
        .join(TARGET)
        .join("dist/bootstrap");
    if build(&root(), ".ci/build-min", &[]) {
        programs.push(Program {
            name: "bootstrap-min",
            path: min,
            arguments: Arguments::PortFlag,
        });
    }
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
        ("khttp", "peer-khttp", TARGET),
        ("may", "peer-may", TARGET),
        ("tiny_http", "peer-tiny", TARGET),
    ]
    .into_iter()
    .filter_map(|(name, package, target)| peer(name, package, target))
    .collect();
    let go = results().join("peer-go");
    let output = go.display().to_string();
    if build(
        &root().join("benches/peers/go"),
        "go",
        &["build", "-ldflags=-s -w", "-o", &output],
    ) {
        programs.push(Program {
            name: "go",
            path: go,
            arguments: Arguments::Port,
        });
    }
    if let Some(path) = found("nginx")
        .or_else(|| Some("/usr/sbin/nginx".into()))
        .filter(|path| path.is_file())
    {
        programs.push(Program {
            name: "nginx",
            path,
            arguments: Arguments::Configuration,
        });
    }
    if let Some(path) = found("node") {
        let script = root().join("benches/peers/node/server.js");
        programs.push(Program {
            name: "node",
            path,
            arguments: Arguments::Script(script),
        });
    }
    programs
}
