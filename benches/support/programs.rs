//! The compared programs, all built with the same flags.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use super::{results, root};

const TARGET: &str = "x86_64-unknown-linux-musl";
const GNU: &str = "x86_64-unknown-linux-gnu";

/// Programs that this machine cannot run, and why.
static ABSENT: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The programs that were not found.
pub(crate) fn absent() -> Vec<String> {
    ABSENT
        .lock()
        .map(|absent| absent.clone())
        .unwrap_or_default()
}

/// Records a missing program, so that its absence is not taken for a result.
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
    /// After this one.
    PortAfter(&'static str),
    /// Only this one: the port is in the environment.
    Only(&'static str),
    Script(PathBuf),
    Configuration,
}

impl Program {
    pub(crate) fn arguments(&self, port: u16) -> Vec<String> {
        match &self.arguments {
            Arguments::Port => vec![port.to_string()],
            Arguments::PortFlag => vec!["--port".to_owned(), port.to_string()],
            Arguments::PortAfter(first) => vec![(*first).to_owned(), port.to_string()],
            Arguments::Only(argument) => vec![(*argument).to_owned()],
            Arguments::Script(script) => vec![script.display().to_string(), port.to_string()],
            Arguments::Configuration => {
                let path = results().join("nginx.conf");
                std::fs::write(&path, nginx_configuration(port)).expect("target is writable");
                vec![
                    "-c".to_owned(),
                    path.display().to_string(),
                    "-e".to_owned(),
                    "/dev/null".to_owned(),
                ]
            }
        }
    }

    /// The first request to it: what it is for.
    pub(crate) fn first_request(&self) -> &'static str {
        match self.name {
            "event" => INVOKE,
            "todos" => "GET /todos HTTP/1.1\r\nHost: localhost\r\n\r\n",
            _ => "GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n",
        }
    }

    /// Whether it is deployed as one file, and needs nothing of a system that is not there.
    pub(crate) fn is_one_file(&self) -> bool {
        !self.path.starts_with("/usr")
            && match self.arguments {
                Arguments::Port
                | Arguments::PortFlag
                | Arguments::PortAfter(_)
                | Arguments::Only(_) => true,
                Arguments::Script(_) | Arguments::Configuration => false,
            }
    }

    /// Switches to a copy of the program, unless it belongs to the system.
    pub(crate) fn unpack(&mut self) {
        if self.path.starts_with("/usr") {
            return;
        }
        let copy = results().join("unpacked").join(self.name);
        let directory = copy.parent().expect("a file in a directory");
        std::fs::create_dir_all(directory).expect("target is writable");
        std::fs::copy(&self.path, &copy).expect("the program can be copied");
        self.path = copy;
    }

    /// nginx has no module that echoes a body.
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
           sendfile on; root {root};\n\
           server {{ listen {port} backlog=4096; location /hello {{ return 200 'Hello, World!'; }} }} }}\n",
        pid = results().join("nginx.pid").display(),
        root = folder_of_files().display()
    )
}

/// Runs a build. Returns false if it fails or the tool is not installed.
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

pub(crate) fn floor() -> Program {
    let directory = root().join("benches/floor");
    assert!(cargo(&directory, &["--release"]), "floor builds");
    Program {
        name: "floor",
        path: directory.join("target/release/floor"),
        arguments: Arguments::Port,
    }
}

/// The floor with more of what a start of ours asks of the kernel, step by step.
pub(crate) fn steps() -> Vec<Program> {
    let directory = root().join("benches/floor");
    let build = |name, features| {
        // Each has a directory of its own, since all have one name there.
        let built = directory.join("target").join(name);
        let into = ["--target-dir", built.to_str().expect("a path of text")];
        let which = ["--release", "--bin", "steps", "--features", features];
        assert!(
            cargo(&directory, &[which.as_slice(), &into].concat()),
            "the floor's steps build"
        );
        Program {
            name,
            path: built.join("release/steps"),
            arguments: Arguments::Port,
        }
    };
    vec![
        build("+ epoll", ""),
        build("+ calls", "calls"),
        build("+ memory", "memory"),
    ]
}

const DIST: &[&str] = &["--profile", "dist", "--target", TARGET];

/// What users deploy.
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

/// Examples measured as user functions: `minimal` uses `coldstart::main!`, `hello` a plain `main`.
pub(crate) const FUNCTIONS: [&str; 2] = ["minimal", "hello"];

/// An order as an event in JSON.
const INVOKE: &str = "POST /invoke HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 58\r\n\r\n\
    {\"customer\":\"Ada\",\"items\":[{\"price_cents\":250,\"count\":2}]}";

/// An example, built as a user builds it. Cargo's own way to build examples adds what the tests need of the library.
fn function(name: &'static str, features: &[&str], arguments: Arguments) -> Option<Program> {
    let which = ["--package", "functions", "--bin", name];
    let program = of_peers(name, TARGET, name, &[&which, features].concat());
    program.map(|program| Program {
        arguments,
        ..program
    })
}

/// Examples that do something: an event in JSON, and a REST API over a database in memory.
pub(crate) fn real_functions() -> Vec<Program> {
    let event = function("event", &["--features", "event"], Arguments::Port);
    let in_memory = Arguments::Only(":memory:");
    let todos = function("todos", &["--features", "todos"], in_memory);
    let why_not = "does not build; SQLite needs a C compiler for musl (musl-tools)";
    [
        present("event", "does not build", event),
        present("todos", why_not, todos),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Our programs: the deployed build, the example functions, and the min build if a nightly toolchain is installed.
pub(crate) fn ours() -> Vec<Program> {
    let mut programs = vec![bootstrap()];
    programs.extend(
        FUNCTIONS.map(|name| function(name, &[], Arguments::Port).expect("an example builds")),
    );
    let min = root().join("target/min/bootstrap");
    let min = build(&root(), ".ci/build-min", &[]).then_some(Program {
        name: "bootstrap-min",
        path: min,
        arguments: Arguments::PortFlag,
    });
    programs.extend(present("bootstrap-min", "the nightly build failed", min));
    programs
}

/// Servers with a WebSocket that echoes: axum's, and ours.
pub(crate) fn web_sockets() -> Vec<Program> {
    let tour = function("tour", &["--features", "tour"], Arguments::Port);
    let tour = Program {
        name: "coldstart",
        ..tour.expect("the tour builds")
    };
    let axum = peer("axum", "peer-axum-ws", TARGET).expect("axum builds");
    vec![axum, tour]
}

/// Another build of `bootstrap`, to compare with.
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
    peer("limit", "peer-limit", TARGET).expect("limit builds")
}

fn peer(name: &'static str, package: &str, target: &str) -> Option<Program> {
    of_peers(name, target, package, &["--package", package])
}

/// A program of the workspace of the other servers.
fn of_peers(name: &'static str, target: &str, program: &str, which: &[&str]) -> Option<Program> {
    let directory = root().join("benches/peers");
    let built = directory.join("target").join(target).join("release");
    let release = ["--release", "--target", target];
    cargo(&directory, &[&release, which].concat()).then_some(Program {
        name,
        path: built.join(program),
        arguments: Arguments::Port,
    })
}

/// What is under the application of axum's.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Under {
    Hyper,
    Coldstart,
    /// From std's `main`, and with std's printer of backtraces.
    ColdstartStd,
    /// With a tokio runtime beside it.
    ColdstartTokio,
    /// With this library's allocator.
    HyperAllocator,
    /// Only events, through a channel.
    HyperChannel,
}

impl Under {
    /// Those that run the whole application.
    pub(crate) const ALL: [Self; 5] = [
        Self::Hyper,
        Self::Coldstart,
        Self::ColdstartStd,
        Self::ColdstartTokio,
        Self::HyperAllocator,
    ];

    /// The name of the program.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Hyper => "axum",
            Self::Coldstart => "axum-coldstart",
            Self::ColdstartStd => "axum-coldstart-std",
            Self::ColdstartTokio => "axum-coldstart-tokio",
            Self::HyperAllocator => "axum-allocator",
            Self::HyperChannel => "axum-channel",
        }
    }
}

/// One application of axum's, each time on another server.
pub(crate) fn axum(under: Under) -> Option<Program> {
    axum_for(under, TARGET)
}

fn axum_for(under: Under, target: &str) -> Option<Program> {
    let (program, feature) = match under {
        Under::Hyper => ("axum-on-hyper", "hyper"),
        Under::Coldstart => ("axum-on-coldstart", "coldstart"),
        Under::ColdstartStd => ("axum-on-coldstart-std", "coldstart"),
        Under::ColdstartTokio => ("axum-on-coldstart-tokio", "coldstart-tokio"),
        Under::HyperAllocator => ("axum-on-hyper-allocator", "hyper-allocator"),
        Under::HyperChannel => ("axum-on-hyper-channel", "hyper-channel"),
    };
    let which = ["--package", "peer-axum", "--features", feature, "--bin"];
    let built = of_peers(
        under.name(),
        target,
        program,
        &[&which, &[program][..]].concat(),
    );
    present(under.name(), "does not build", built)
}

/// The other servers that this machine can run.
pub(crate) fn peers() -> Vec<Program> {
    let mut programs: Vec<Program> = [
        ("hyper", "peer-hyper", TARGET),
        ("hyper-glibc", "peer-hyper", GNU),
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
    programs.extend(axum(Under::Hyper));
    programs.extend(present("go", "does not build", go()));
    programs.extend(nginx());
    let node = found("node").map(|path| Program {
        name: "node",
        path,
        arguments: Arguments::Script(root().join("benches/peers/node/server.js")),
    });
    programs.extend(present("node", "not installed", node));
    programs
}

fn nginx() -> Option<Program> {
    let nginx = found("nginx")
        .or_else(|| Some("/usr/sbin/nginx".into()))
        .filter(|path| path.is_file())
        .map(|path| Program {
            name: "nginx",
            path,
            arguments: Arguments::Configuration,
        });
    present("nginx", "not installed", nginx)
}

/// The files that nginx serves, and the servers that are compared with it.
pub(crate) fn folder_of_files() -> PathBuf {
    let folder = results().join("files");
    std::fs::create_dir_all(&folder).expect("target is writable");
    folder
}

/// What sends files: this program after `serve`, an older build of it, and nginx; and what receives as little else does: this
/// program after `receive`.
pub(crate) fn of_files(
    serve: &'static str,
    receive: &'static str,
    also: Option<String>,
) -> (Vec<Program>, Program) {
    let own = std::env::current_exe().expect("a path of this program");
    let program = |name, path, first| Program {
        name,
        path,
        arguments: Arguments::PortAfter(first),
    };
    let mut servers = vec![program("coldstart", own.clone(), serve)];
    servers.extend(also.map(|path| program("coldstart-before", path.into(), serve)));
    servers.extend(nginx());
    (servers, program("receive", own, receive))
}

/// What sends events: this program after `serve`, and others, all with glibc's allocator or their own; and axum with a channel.
pub(crate) fn event_streams(serve: &'static str) -> (Vec<Program>, Option<Program>) {
    let ours = Program {
        name: "coldstart",
        path: std::env::current_exe().expect("a path of this program"),
        arguments: Arguments::PortAfter(serve),
    };
    let peers = [
        axum_for(Under::Hyper, GNU),
        present("go", "does not build", go()),
    ];
    let programs = std::iter::once(ours).chain(peers.into_iter().flatten());
    (programs.collect(), axum_for(Under::HyperChannel, GNU))
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
