//! X: how the function ends, and how it refuses to start.

use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt as _;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::observation::{Break, Cause, Observation};
use super::resources::rest;
use super::subject::{Port, Subject, dial};
use crate::caller_error::CallerError;
use crate::fix::Trouble;
use crate::instance::Instance;
use crate::instance::command::Circumstances;
use crate::instance::launch::NotStarted;
use crate::instance::process::exit_code;
use crate::sandbox::Isolation;
use crate::shortage;
use crate::system;
use crate::wire::Fault;

const END_PATIENCE: Duration = Duration::from_secs(10);
/// Without a handler the signal acts at once, or never.
const UNHANDLED_PATIENCE: Duration = Duration::from_secs(1);
/// Half a request has to arrive before the signal does.
const ARRIVAL: Duration = Duration::from_millis(150);
const SHELLS: [&str; 5] = ["sh", "bash", "dash", "ash", "busybox"];
const PORT_VARIABLES: [&str; 3] = ["FC_CUSTOM_LISTEN_PORT", "FC_SERVER_PORT", "PORT"];
const PORT_FIX: &str =
    "let the start fail: print one line that names the port, and exit with a status that is not 0";

/// X1: SIGTERM to the start command, with a request in flight and an idle connection.
pub(crate) fn on_sigterm(subject: &Subject, instance: &Instance) -> Observation {
    let is_wrapped = is_wrapped(instance);
    let is_handled = handles_sigterm(instance);
    let patience = if is_handled {
        END_PATIENCE
    } else {
        UNHANDLED_PATIENCE
    };
    // As the router holds it: it has served, and waits for the next request.
    let idle = (subject.project.settings.concurrency_max() > 1).then(|| {
        dial(instance).map(|mut wire| {
            subject.ask(&mut wire, &subject.plain(instance)).ok();
            wire
        })
    });
    let in_flight = finish_under_sigterm(subject, instance);
    let began = Instant::now();
    let ended = instance.process.wait(patience);
    drop(idle);
    let broken = |seen: String| {
        let broken = Break::new(seen);
        if is_wrapped {
            broken.fix("the signal reaches the shell, not the server: start the server with exec, as the script's last line")
        } else {
            broken.trouble(Trouble::Termination)
        }
    };
    let Some(status) = ended else {
        // Node's own handler removes itself and raises the signal again.
        let why = if handles_sigterm(instance) {
            ""
        } else {
            ": the start command has no handler, and the kernel discards process 1's signals then"
        };
        let seconds = patience.as_secs();
        return broken(format!("still running {seconds} s after SIGTERM{why}")).into();
    };
    match (in_flight, exit_code(status)) {
        (Err(fault), _) => broken(format!("the request in flight was cut off: {fault}"))
            .follows(&[Cause::OneWorker, Cause::NoResponse])
            .into(),
        (Ok(()), 0) => Observation::Held(format!(
            "exit 0 after {} ms, the request in flight got its response",
            began.elapsed().as_millis()
        )),
        // Process 1 is not ended by a signal that it raises itself after its handler, as uvicorn does: it runs to its end.
        (Ok(()), _)
            if is_handled
                && status.signal() == Some(Signal::TERM.as_raw())
                && !matches!(subject.project.isolation, Isolation::Sandboxed(_)) =>
        {
            Observation::Held(
                "it raised SIGTERM again after its handler, the request in flight got its response"
                    .to_owned(),
            )
        }
        (Ok(()), code) => broken(format!("exit {code} on SIGTERM")).into(),
    }
}

fn handles_sigterm(instance: &Instance) -> bool {
    instance.process.handles_sigterm() != Some(false)
}

/// A shell that waits for the server as its child.
fn is_wrapped(instance: &Instance) -> bool {
    let program = system::program(instance.process.id());
    let is_shell = program.is_some_and(|program| {
        let name = program.file_name().unwrap_or_default();
        SHELLS.iter().any(|shell| name == *shell)
    });
    is_shell && instance.process.members().len() > 1
}

/// Half a request, the signal, the other half, the response.
fn finish_under_sigterm(subject: &Subject, instance: &Instance) -> Result<(), Fault> {
    let mut wire = dial(instance)?;
    let bytes = subject.event(instance, "in flight").to_bytes();
    let (before, after) = bytes.split_at(bytes.len() - 4);
    wire.send(before)?;
    instance.process.wait(ARRIVAL);
    rest(instance);
    // To the start command alone, as process 1 gets it.
    instance.process.terminate();
    instance.process.wait(ARRIVAL);
    rest(instance);
    wire.send(after)?;
    wire.read_reply("POST", END_PATIENCE.max(subject.patience()))
        .map(drop)
}

/// X2: the port is in use, or is not a port.
pub(crate) fn bad_port(subject: &Subject) -> Observation {
    if subject.port() == Port::Fixed {
        return Observation::Unseen("the server's port is built in".to_owned());
    }
    let taken = TcpListener::bind(("0.0.0.0", 0)).and_then(|listener| {
        let port = listener.local_addr()?.port();
        Ok((listener, port))
    });
    let (_listener, taken) = match taken {
        Ok(taken) => taken,
        Err(error) => return Observation::Unseen(format!("no port to use up: {error}")),
    };
    let cases = [
        ("no-port".to_owned(), "a port that is not a number"),
        (taken.to_string(), "a port in use"),
    ];
    let starts = cases
        .iter()
        .map(|(value, what)| move || refuses(subject, value, what));
    let broken = shortage::at_once(starts).into_iter().find_map(Result::err);
    broken.map_or_else(
        || Observation::Held("non-zero exit with a line".to_owned()),
        Into::into,
    )
}

fn refuses(subject: &Subject, value: &str, what: &str) -> Result<(), Break> {
    let mut settings = subject.settings_beside();
    for name in PORT_VARIABLES {
        settings
            .environment
            .insert(name.to_owned(), value.to_owned());
    }
    // A port in use is in use in this machine's network, not in one of the function's own.
    let project = subject.on_host();
    match subject.start_project(&project, &settings, Circumstances::default()) {
        Err(NotStarted {
            error: CallerError::Exited { code, logs, .. },
            ..
        }) if code != 0 && !logs.0.is_empty() => Ok(()),
        Err(NotStarted {
            error: CallerError::Exited { code, logs, .. },
            ..
        }) => {
            let lines = logs.0.len();
            Err(Break::new(format!("{what}: exit {code} with {lines} lines")).fix(PORT_FIX))
        }
        Err(_) => {
            let seen = format!("{what}: it runs on and does not listen there");
            Err(Break::new(seen).fix(PORT_FIX))
        }
        Ok(_) => {
            let seen = format!("{what}: it silently chose another port");
            Err(Break::new(seen).fix(PORT_FIX))
        }
    }
}
