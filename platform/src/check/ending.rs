//! X: how it ends, and how it refuses to begin.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::observation::{Break, Observation};
use super::subject::{Port, Subject, dial};
use crate::caller_error::CallerError;
use crate::fix::Trouble;
use crate::instance::Instance;
use crate::instance::launch::{Circumstances, NotStarted};
use crate::instance::process::exit_code;
use crate::wire::Fault;

const END_PATIENCE: Duration = Duration::from_secs(10);
const REFUSE_PATIENCE: Duration = Duration::from_secs(5);
/// The half-sent request has to arrive before the signal does.
const ARRIVAL: Duration = Duration::from_millis(150);

/// X1: SIGTERM with a request in flight and an idle connection.
pub(crate) fn on_sigterm(subject: &Subject, instance: &Instance) -> Observation {
    // As the router holds it: it has served, and waits for the next request.
    let idle = dial(instance).map(|mut wire| {
        subject
            .ask(&mut wire, &subject.http(instance, "GET", "/"))
            .ok();
        wire
    });
    let in_flight = finish_under_sigterm(subject, instance);
    let began = Instant::now();
    let ended = instance.process.wait(END_PATIENCE);
    drop(idle);
    let Some(status) = ended else {
        return Break::new("still running 10 s after SIGTERM")
            .trouble(Trouble::Termination)
            .into();
    };
    if let Err(fault) = in_flight {
        return Break::new(format!("the request in flight was cut off: {fault}"))
            .trouble(Trouble::Termination)
            .into();
    }
    match exit_code(status) {
        0 => Observation::Held(format!(
            "exit 0 after {} ms, request in flight answered",
            began.elapsed().as_millis()
        )),
        code => Break::new(format!("exit {code} on SIGTERM"))
            .trouble(Trouble::Termination)
            .into(),
    }
}

/// Half a request, the signal, the other half, the answer.
fn finish_under_sigterm(subject: &Subject, instance: &Instance) -> Result<(), Fault> {
    let mut wire = dial(instance)?;
    let bytes = subject.event(instance, "in flight").to_bytes();
    let (before, after) = bytes.split_at(bytes.len() - 4);
    wire.send(before)?;
    instance.process.wait(ARRIVAL);
    instance.process.signal(Signal::TERM);
    instance.process.wait(ARRIVAL);
    wire.send(after)?;
    wire.read_reply("POST", END_PATIENCE).map(drop)
}

/// X2: the port is taken, or is no port.
pub(crate) fn bad_port(subject: &Subject, port: Port) -> Observation {
    let taken = match std::net::TcpListener::bind(("0.0.0.0", 0)) {
        Ok(listener) => listener,
        Err(error) => return Observation::Unseen(format!("no port to take: {error}")),
    };
    if port == Port::Fixed {
        return Observation::Unseen("the server's port is built in".to_owned());
    }
    let mut cases = vec![("no-port".to_owned(), "a port that is no number")];
    if let Ok(address) = taken.local_addr() {
        cases.push((address.port().to_string(), "a port in use"));
    }
    for (value, what) in cases {
        if let Err(broken) = refuses(subject, &value, what) {
            return broken.into();
        }
    }
    Observation::Held("non-zero exit with a line, both times".to_owned())
}

fn refuses(subject: &Subject, value: &str, what: &str) -> Result<(), Break> {
    let mut settings = subject.settings_beside(Port::Movable);
    for name in ["FC_CUSTOM_LISTEN_PORT", "FC_SERVER_PORT", "PORT"] {
        settings
            .environment
            .insert(name.to_owned(), value.to_owned());
    }
    settings.start_timeout = REFUSE_PATIENCE;
    let fix =
        "let the start fail: print one line that names the port, exit with a status that is not 0";
    match subject.start_with(&settings, Circumstances::default()) {
        Err(NotStarted {
            error: CallerError::Exited { code, logs, .. },
            ..
        }) if code != 0 && !logs.0.is_empty() => Ok(()),
        Err(NotStarted {
            error: CallerError::Exited { code, logs, .. },
            ..
        }) => {
            let lines = logs.0.len();
            Err(Break::new(format!("{what}: exit {code} with {lines} lines")).fix(fix))
        }
        Err(_) => Err(Break::new(format!("{what}: it runs on and listens nowhere")).fix(fix)),
        Ok(instance) => {
            instance.kill();
            Err(Break::new(format!("{what}: it chose another port in silence")).fix(fix))
        }
    }
}
