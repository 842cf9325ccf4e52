//! S: the start, from the file to the port.

use std::fs;
use std::io;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;

use super::observation::{Break, Cause, Observation};
use super::resources::rest;
use super::subject::{Port, Subject, free_port};
use crate::caller_error::CallerError;
use crate::clock::human;
use crate::environment::Completeness;
use crate::fix::Trouble;
use crate::instance::Instance;
use crate::instance::command::Circumstances;
use crate::instance::timeline::Part;
use crate::isolation;
use crate::package::inspect::{self, Debian, Fault};
use crate::project::Start;
use crate::settings::{Origin, Settings};
use crate::shortage;

const HALF_OPEN_MAX: u32 = 8;
const CODE: &str = "/code/";
/// Folders of a developer's machine, some in two parts for the rule against such paths. The platform's images have neither these users nor these package managers.
const FOREIGN_FOLDERS: [&str; 6] = [
    concat!("/ho", "me/"),
    concat!("/ro", "ot/"),
    "/snap/",
    "/nix/",
    "/Users/",
    "/usr/local/Cellar/",
];

/// S1: the start file is there and executable.
pub(crate) fn file(subject: &Subject) -> Observation {
    let Start::File(name) = &subject.project.start else {
        return Observation::Unseen(format!(
            "started by a command: {}",
            subject.project.start.typed()
        ));
    };
    let path = subject.project.code.join(name);
    faults(subject, name)
        .into_iter()
        .find(concerns_presence)
        .map_or_else(
            || Observation::Held(format!("{name}, {}", size(&path))),
            |fault| broken(subject, &fault),
        )
}

/// S2: the start file or the command's program runs on the platform's Debian.
pub(crate) fn content(subject: &Subject) -> Observation {
    let settings = &subject.project.settings;
    let name = match &subject.project.start {
        Start::File(name) => name.clone(),
        Start::Command(words) => {
            let first = words.first().map_or("", String::as_str);
            match local_program(first, &subject.project.code) {
                Some(local) => local,
                None => return image_program(first, settings),
            }
        }
    };
    let found = faults(subject, &name);
    match found.iter().find(|fault| !concerns_presence(fault)) {
        Some(Fault::GlibcTooNew { needs, .. }) if is_newer_enough(*needs, settings) => {
            return newer_debian(&format!("needs GLIBC_{}.{}", needs.0, needs.1), |debian| {
                debian.glibc() >= *needs
            });
        }
        Some(fault) => return broken(subject, fault),
        None => {}
    }
    match interpreter(&subject.project.code.join(&name)) {
        Some(program) if is_absent(&program, settings.debian) => image_program(&program, settings),
        Some(_) | None => Observation::Held(format!("fits Debian {}", settings.debian.number())),
    }
}

const DEBIANS: [Debian; 4] = [Debian::Nine, Debian::Ten, Debian::Eleven, Debian::Twelve];

/// Without a configured runtime, a newer one is as good as the default.
fn is_newer_enough(needs: (u32, u32), settings: &Settings) -> bool {
    settings.debian_origin == Origin::Default && needs <= Debian::Twelve.glibc()
}

/// It runs on another Debian than the default one.
fn newer_debian(seen: &str, fits: impl Fn(Debian) -> bool) -> Observation {
    let number = DEBIANS
        .into_iter()
        .find(|debian| fits(*debian))
        .map_or(0, Debian::number);
    Break::new(format!(
        "{seen}: it needs the runtime custom.debian{number}"
    ))
    .fix(format!(
        "configure runtime custom.debian{number} (here: --runtime), or link statically"
    ))
    .only_warn()
    .into()
}

/// The program's path below the code directory, if it is there.
fn local_program(first: &str, code: &Path) -> Option<String> {
    let local = first.strip_prefix(CODE).unwrap_or(first);
    let is_below = !local.starts_with('/') && local.contains('/') || first.starts_with(CODE);
    // A bare name is looked up in PATH.
    let path: PathBuf = Path::new(local).components().collect();
    (is_below && code.join(&path).is_file()).then(|| path.to_string_lossy().into_owned())
}

/// A program that the image has to bring.
fn image_program(program: &str, settings: &Settings) -> Observation {
    let debian = settings.debian;
    if !is_absent(program, debian) {
        return Observation::Unseen(format!(
            "`{program}` is the image's; see that the runtime has it"
        ));
    }
    let has = |debian: &Debian| !is_absent(program, *debian);
    if settings.debian_origin == Origin::Default && DEBIANS.iter().any(has) {
        return newer_debian(program, |debian| has(&debian));
    }
    Break::new(format!(
        "Debian {} has no {program}, only this machine has",
        debian.number()
    ))
    .fix("name a program of the image without its folder (python3, node), or bring it along below /code or in a layer")
    .into()
}

/// Certainly not in the image. Each Debian has one Python, and no developer's folders.
fn is_absent(program: &str, debian: Debian) -> bool {
    if FOREIGN_FOLDERS
        .iter()
        .any(|folder| program.starts_with(folder))
    {
        return true;
    }
    let python = program
        .strip_prefix("/usr/bin/python3.")
        .or_else(|| program.strip_prefix("/bin/python3."));
    let own = match debian {
        Debian::Nine => "5",
        Debian::Ten => "7",
        Debian::Eleven => "9",
        Debian::Twelve => "11",
    };
    python.is_some_and(|version| version != own)
}

/// The program after `#!`.
fn interpreter(path: &Path) -> Option<String> {
    let bytes = fs::read(path).ok()?;
    let line = bytes
        .strip_prefix(b"#!")?
        .split(|byte| *byte == b'\n')
        .next()?;
    let line = String::from_utf8_lossy(line);
    line.split_whitespace().next().map(str::to_owned)
}

fn faults(subject: &Subject, name: &str) -> Vec<Fault> {
    inspect::start_file(&subject.project.code, name, subject.project.settings.debian)
}

fn concerns_presence(fault: &Fault) -> bool {
    matches!(
        fault,
        Fault::Missing { .. }
            | Fault::BelowTopFolder { .. }
            | Fault::NotExecutable
            | Fault::Unreadable { .. }
    )
}

fn broken(subject: &Subject, fault: &Fault) -> Observation {
    let seen = Break::new(fault.seen())
        .fix(fault.fix())
        .is(Cause::StartFile);
    match fault.caller_error(&subject.project.start.shown()) {
        Some(error) => seen.caller(error).into(),
        None => seen.into(),
    }
}

/// S3: it listens where the router dials.
pub(crate) fn listens(_: &Subject, instance: &Instance) -> Observation {
    let took = instance.timeline.of(Part::Listen).unwrap_or_default();
    if !isolation::sees_binds() {
        return Observation::Unseen(format!(
            "open after {}, but each server accepts on 127.0.0.1; sudo ifconfig lo0 alias 127.0.0.2 shows more",
            human(took)
        ));
    }
    Observation::Held(format!("0.0.0.0:{} after {}", instance.port(), human(took)))
}

/// S4: it listens on another port when the environment names one. Gives that instance.
pub(crate) fn follows_port(subject: &Subject) -> (Observation, Option<Instance>) {
    let configured = subject.project.settings.port;
    let Some(other) = free_port() else {
        let unseen = Observation::Unseen("no second port is free".to_owned());
        return (unseen, None);
    };
    let mut settings = subject.settings_beside();
    settings.port = other;
    let circumstances = Circumstances {
        former_port: Some(configured),
        ..Circumstances::default()
    };
    match subject.start_project(&subject.project, &settings, circumstances) {
        Ok(second) => {
            let seen = format!("on {configured}, and on {other} when configured");
            (Observation::Held(seen), Some(second))
        }
        Err(not_started) => {
            let seen = format!("configured for {other}: {}", not_started.seen.join("; "));
            let broken = Break::new(seen)
                .caller(not_started.error)
                .trouble(Trouble::Port);
            (broken.into(), None)
        }
    }
}

/// S5: connections that send nothing, half a request, or a reset.
pub(crate) fn survives_probes(subject: &Subject, instance: &Instance) -> Observation {
    let count = (subject.project.settings.concurrency_max() / 2).clamp(1, HALF_OPEN_MAX);
    let held = match hostile_connections(instance, count) {
        Ok(held) => held,
        Err(error) => {
            return Break::new(format!("a connection was refused: {error}"))
                .caller(CallerError::ProcessExited)
                .trouble(Trouble::OneWorker)
                .is(Cause::OneWorker)
                .follows(&[Cause::NoResponse])
                .into();
        }
    };
    let reply = subject.ask_once(instance, &subject.plain(instance));
    drop(held);
    // It may end for a reset only after it has responded to a request that came later.
    rest(instance);
    match reply {
        Ok(_) if instance.process.is_ending() => Break::new(
            "the process ended after resets and half-open connections",
        )
        .caller(CallerError::ProcessExited)
        .fix("treat a closed connection (EPIPE, ECONNRESET) as the end of that connection alone")
        .into(),
        Ok(_) => Observation::Held(format!("{count} half-open connections, and a response")),
        Err(fault) => subject
            .broken_by(&format!("with {count} half-open connections"), &fault)
            .trouble(Trouble::OneWorker)
            .is(Cause::OneWorker)
            .follows(&[Cause::NoResponse])
            .into(),
    }
}

fn hostile_connections(instance: &Instance, count: u32) -> io::Result<Vec<TcpStream>> {
    let connect = || instance.connect(Duration::from_secs(3));
    for _ in 0..4 {
        drop(connect()?);
        let reset = connect()?;
        set_socket_linger(&reset, Some(Duration::ZERO))?;
        drop(reset);
    }
    let mut held = Vec::new();
    for number in 0..count {
        let stream = connect()?;
        if number % 2 == 0 {
            io::Write::write_all(&mut &stream, b"GET /half HTTP/1.1\r\nHost: a")?;
        }
        held.push(stream);
    }
    Ok(held)
}

/// S7: no variable but the port's, then all of them empty.
pub(crate) fn bare_environment(subject: &Subject) -> Observation {
    let cases = [
        (Completeness::PortOnly, "missing"),
        (Completeness::Empty, "empty"),
    ];
    let starts = |(completeness, what)| {
        let Err(not_started) = subject.start_another(completeness) else {
            return Ok(());
        };
        if is_port_taken(&not_started.error) {
            let unseen = "the port of the last instance is not free yet".to_owned();
            return Err(Observation::Unseen(unseen));
        }
        let seen = not_started.seen.join("; ");
        Err(
            Break::new(format!("with the documented variables {what}: {seen}"))
                .caller(not_started.error)
                .fix("give every variable a default, and treat an empty one as absent")
                .into(),
        )
    };
    let results: Vec<Result<(), Observation>> = match subject.port() {
        Port::Fixed => cases.into_iter().map(starts).collect(),
        Port::Movable => shortage::at_once(cases.into_iter().map(|case| move || starts(case))),
    };
    results
        .into_iter()
        .find_map(Result::err)
        .unwrap_or_else(|| Observation::Held("variables missing, then empty".to_owned()))
}

/// The kernel may keep a port for a while after the process that used it.
fn is_port_taken(error: &CallerError) -> bool {
    if let CallerError::Exited { logs, .. } = error {
        logs.mentions("ddress already in use") || logs.mentions("EADDRINUSE")
    } else {
        false
    }
}

fn size(path: &Path) -> String {
    let length = fs::metadata(path).map_or(0, |metadata| metadata.len());
    if length < 10 * 1024 {
        format!("{length} B")
    } else {
        format!("{} KB", length / 1024)
    }
}
