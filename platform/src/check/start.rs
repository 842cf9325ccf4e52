//! S: the start, from the file to the port.

use std::fs;
use std::io;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;

use super::observation::{Break, Observation};
use super::subject::{Port, Subject, dial, free_port};
use crate::caller_error::CallerError;
use crate::clock::human;
use crate::environment::Completeness;
use crate::fix::Trouble;
use crate::instance::Instance;
use crate::instance::launch::Circumstances;
use crate::instance::timeline::Part;
use crate::package::inspect::{self, Fault};
use crate::project::{PortOrigin, Scratch, Start};

const NOBODY: u32 = 65_534;
const HALF_OPEN: usize = 8;
const COPY_LEN_MAX: u64 = 512 * 1024 * 1024;
const START_PATIENCE_MIN: Duration = Duration::from_secs(5);

/// S1: there, and executable.
pub(crate) fn file(subject: &Subject) -> Observation {
    let Start::File(name) = &subject.project.start else {
        return Observation::Unseen(format!(
            "started by a command: {}",
            subject.project.start.typed()
        ));
    };
    let faults = faults(subject, name);
    faults.into_iter().find(concerns_presence).map_or_else(
        || {
            Observation::Held(format!(
                "{name}, {}",
                size(&subject.project.code.join(name))
            ))
        },
        |fault| broken(subject, &fault),
    )
}

/// S2: runnable on the platform's Debian.
pub(crate) fn content(subject: &Subject) -> Observation {
    let name = match &subject.project.start {
        Start::File(name) => name.clone(),
        Start::Command(words) => {
            let first = words.first().cloned().unwrap_or_default();
            let local = first.trim_start_matches("./").to_owned();
            if !subject.project.code.join(&local).is_file() {
                return Observation::Unseen(format!(
                    "`{first}` is the image's; see that the runtime has it"
                ));
            }
            local
        }
    };
    let faults = faults(subject, &name);
    faults
        .into_iter()
        .find(|fault| !concerns_presence(fault))
        .map_or_else(
            || {
                Observation::Held(format!(
                    "fits Debian {}",
                    subject.project.settings.debian.number()
                ))
            },
            |fault| broken(subject, &fault),
        )
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
    let seen = Break::new(fault.seen()).fix(fault.fix());
    match fault.caller_error(&subject.project.start.shown()) {
        Some(error) => seen.caller(error).into(),
        None => seen.into(),
    }
}

/// S3: it listens where the router dials.
pub(crate) fn listens(_: &Subject, instance: &Instance) -> Observation {
    let took = instance.timeline.of(Part::Listen).unwrap_or_default();
    Observation::Held(format!("0.0.0.0:{} after {}", instance.port(), human(took)))
}

/// S4: it follows the configured port. Gives the instance on the other port, if there is one.
pub(crate) fn follows_port(subject: &Subject, first: &Instance) -> (Observation, Option<Instance>) {
    let configured = subject.project.settings.port;
    let Some(other) = free_port() else {
        return (
            Observation::Unseen("no second port is free".to_owned()),
            None,
        );
    };
    let took = first.timeline.of(Part::Listen).unwrap_or_default();
    let mut settings = subject.project.settings.clone();
    settings.port = other;
    // It has started once: a second start that takes many times as long is none.
    settings.start_timeout = (took * 5)
        .max(START_PATIENCE_MIN)
        .min(settings.start_timeout);
    match subject.start_with(&settings, Circumstances::default()) {
        Ok(second) => (
            Observation::Held(format!("on {configured}, and on {other} when told")),
            Some(second),
        ),
        Err(not_started) => {
            let seen = format!("told to listen on {other}: {}", not_started.seen.join("; "));
            let broken = Break::new(seen)
                .caller(not_started.error)
                .trouble(Trouble::Port);
            // Whoever configured the port the server has built in is served as well.
            let is_chosen = subject.project.settings.port_origin == PortOrigin::Configured;
            let broken = if is_chosen {
                broken.only_warn()
            } else {
                broken
            };
            (broken.into(), None)
        }
    }
}

/// S5: connections that send nothing, half of something, or a reset.
pub(crate) fn survives_probes(subject: &Subject, instance: &Instance) -> Observation {
    match hostile_connections(instance) {
        Ok(held) => {
            let reply = subject.ask_once(instance, &subject.http(instance, "GET", "/"));
            let waiting = held.len();
            drop(held);
            match reply {
                Ok(_) => {
                    Observation::Held(format!("{waiting} half-open connections, and it answers"))
                }
                Err(fault) => Break::new(format!("with {waiting} half-open connections: {fault}"))
                    .caller(CallerError::TimedOut {
                        after: subject.project.settings.timeout,
                    })
                    .trouble(Trouble::OneWorker)
                    .into(),
            }
        }
        Err(error) => Break::new(format!("a connection was refused: {error}"))
            .caller(CallerError::ProcessExited)
            .trouble(Trouble::OneWorker)
            .into(),
    }
}

fn hostile_connections(instance: &Instance) -> io::Result<Vec<TcpStream>> {
    let connect = || instance.connect(Duration::from_secs(3));
    for _ in 0..4 {
        drop(connect()?);
        let reset = connect()?;
        set_socket_linger(&reset, Some(Duration::ZERO))?;
        drop(reset);
    }
    let mut held = Vec::new();
    for number in 0..HALF_OPEN {
        let stream = connect()?;
        if number % 2 == 0 {
            io::Write::write_all(&mut &stream, b"GET /half HTTP/1.1\r\nHost: a")?;
        }
        held.push(stream);
    }
    Ok(held)
}

/// S6: another user, and code that cannot be written.
pub(crate) fn without_rights(subject: &Subject, port: Port) -> Observation {
    let prepared = read_only_copy(&subject.project.code);
    let folder = match prepared {
        Ok(folder) => folder,
        Err(why) => return Observation::Unseen(why),
    };
    let user = rustix::process::geteuid().is_root().then_some(NOBODY);
    let circumstances = Circumstances {
        completeness: Completeness::Full,
        user,
    };
    let project = subject.project.at(folder.path());
    let settings = subject.settings_beside(port);
    let started = subject.start_project(&project, &settings, circumstances);
    make_writable(folder.path());
    match started {
        Ok(instance) => {
            let alive = dial(&instance).is_ok();
            instance.kill();
            let who = user.map_or("this user", |_| "nobody");
            if alive {
                Observation::Held(format!("as {who}, code read-only"))
            } else {
                gone()
            }
        }
        Err(not_started) if is_machines_fault(&not_started.error) => Observation::Unseen(
            "the interpreter cannot be run by another user on this machine".to_owned(),
        ),
        Err(not_started) => Break::not_started(not_started).into(),
    }
}

/// S7: nothing but the port, then everything empty.
pub(crate) fn bare_environment(subject: &Subject, port: Port) -> Observation {
    for (completeness, what) in [
        (Completeness::PortOnly, "missing"),
        (Completeness::Empty, "empty"),
    ] {
        match subject.start_beside(port, completeness) {
            Ok(instance) => instance.kill(),
            Err(not_started) => {
                let seen = format!(
                    "with the documented variables {what}: {}",
                    not_started.seen.join("; ")
                );
                return Break::new(seen)
                    .caller(not_started.error)
                    .fix("give every variable a default, and treat an empty one as absent")
                    .into();
            }
        }
    }
    Observation::Held("variables missing, then empty".to_owned())
}

fn gone() -> Observation {
    Break::new("it listened and then ended")
        .caller(CallerError::ProcessExited)
        .into()
}

/// `EACCES` before the first line of output: the file could not even be opened by that user.
fn is_machines_fault(error: &CallerError) -> bool {
    match error {
        CallerError::Exited { code, logs, .. } => {
            matches!(code, 13 | 126 | 127) || logs.mentions("ermission denied")
        }
        CallerError::InvalidArgument { .. }
        | CallerError::Unsupported { .. }
        | CallerError::FileNotFound
        | CallerError::ProgramNotFound { .. }
        | CallerError::FilePermission
        | CallerError::PortNeverOpened { .. }
        | CallerError::Unhealthy { .. }
        | CallerError::InitializerFailed { .. }
        | CallerError::ResourceExhausted { .. }
        | CallerError::HeldTooLong { .. }
        | CallerError::Canceled
        | CallerError::BadResponse { .. }
        | CallerError::ProcessExited
        | CallerError::TimedOut { .. } => false,
    }
}

fn read_only_copy(code: &Path) -> Result<Scratch, String> {
    let folder = Scratch::new().map_err(|failure| failure.to_string())?;
    let mut budget = COPY_LEN_MAX;
    let copied = copy(code, folder.path(), &mut budget);
    copied.map_err(|error| format!("the code directory could not be copied: {error}"))?;
    Ok(folder)
}

fn copy(from: &Path, to: &Path, budget: &mut u64) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            fs::create_dir(&target)?;
            copy(&path, &target, budget)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&path)?, &target)?;
        } else if kind.is_file() {
            let length = entry.metadata()?.len();
            *budget = budget
                .checked_sub(length)
                .ok_or_else(|| io::Error::other("it is too large"))?;
            fs::copy(&path, &target)?;
            let is_executable = entry.metadata()?.permissions().mode() & 0o111 != 0;
            let mode = if is_executable { 0o555 } else { 0o444 };
            fs::set_permissions(&target, fs::Permissions::from_mode(mode))?;
        }
    }
    fs::set_permissions(to, fs::Permissions::from_mode(0o555))
}

/// A folder that cannot be written cannot be removed either.
fn make_writable(folder: &Path) {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).ok();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            make_writable(&entry.path());
        }
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
