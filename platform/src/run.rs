//! `coldstart run`: serves the function through a local gateway until Ctrl-C.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use crate::arguments::RunArguments;
use crate::clock;
use crate::console::{Tone, give, say};
use crate::exit::{Failure, Status};
use crate::gateway::fleet::Fleet;
use crate::gateway::listener;
use crate::gateway::outcome::Reporter;
use crate::instance::launch::NotStarted;
use crate::instance::timeline::Timeline;
use crate::interrupt::Interrupt;
use crate::listeners::holder_of;
use crate::project::Project;
use crate::sandbox::{Isolation, Network};
use crate::watch::Watch;

const WATCH_PERIOD: Duration = Duration::from_millis(300);

/// Runs until interrupted.
pub(crate) fn run(arguments: &RunArguments, interrupt: &Interrupt) -> Result<Status, Failure> {
    let timeline = Timeline::begin();
    let socket = listener::bind(arguments.gateway)?;
    let address = socket
        .local_addr()
        .map_err(|error| Failure::machine(error.to_string()))?;
    let project = resolve(arguments)?;
    ensure_port_free(&project)?;
    let mut watch = arguments
        .watch
        .is_on()
        .then(|| Watch::begin(&project.watched));
    let watched = project.watched.clone();
    project.say_notes();
    describe(&project);
    let fleet = Arc::new(Fleet::new(
        project,
        Reporter::default(),
        arguments.errors,
        arguments.freeze,
    ));
    let stays = arguments.stay.is_on() || arguments.watch.is_on();
    let started = interrupt.unless_raised(|| warm_up(&fleet, timeline));
    match started {
        None => return Ok(finish(&fleet)),
        Some(Started::Not) if !stays => return Ok(Status::NotStarted),
        Some(Started::Not | Started::Ready) => {}
    }
    listener::spawn(socket, &fleet).map_err(|error| Failure::machine(error.to_string()))?;
    invite(&fleet, address);
    loop {
        if interrupt.wait(WATCH_PERIOD) {
            return Ok(finish(&fleet));
        }
        if watch
            .as_mut()
            .is_some_and(|watch| watch.has_changed(&watched))
        {
            restart(&fleet, arguments);
        }
    }
}

fn resolve(arguments: &RunArguments) -> Result<Project, Failure> {
    let mut project = Project::resolve(&arguments.source)?;
    let settings = &mut project.settings;
    settings.concurrency = arguments.concurrency.or(settings.concurrency);
    settings.timeout = arguments.timeout.unwrap_or(settings.timeout);
    settings.memory_mb = arguments.memory.unwrap_or(settings.memory_mb);
    Ok(project)
}

/// Another process on the port would answer the probe, and a server that never started would look ready.
pub(crate) fn ensure_port_free(project: &Project) -> Result<(), Failure> {
    if project.isolation == Isolation::Sandboxed(Network::Own) {
        return Ok(());
    }
    let port = project.settings.port;
    TcpListener::bind(("0.0.0.0", port))
        .map(drop)
        .map_err(|error| {
            let why = holder_of(port)
                .map_or_else(|| error.to_string(), |holder| format!("{holder} listens there"));
            Failure::new(
                Status::PortTaken,
                format!("the function's port {port} is in use: {why}"),
            )
            .fix("stop that process, choose another port with --port, or give the function a network with --network own")
        })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Started {
    Ready,
    Not,
}

fn warm_up(fleet: &Fleet, timeline: Timeline) -> Started {
    match fleet.warm_up(timeline) {
        Ok(resident) => {
            say(Tone::Strong.paint("cold start"));
            resident.instance.timeline.picture().iter().for_each(say);
            Started::Ready
        }
        Err(not_started) => {
            explain(&not_started, fleet);
            Started::Not
        }
    }
}

/// The error that callers would get is a result and goes to standard output, the explanation to standard error.
fn explain(not_started: &NotStarted, fleet: &Fleet) {
    let error = &not_started.error;
    say(format!(
        "{} callers get {} {}",
        Tone::Bad.paint("not started:"),
        error.status(),
        error.code()
    ));
    give(error.body(&clock::request_id(), fleet.style));
    for seen in &not_started.seen {
        say(format!("  {} {seen}", Tone::Strong.paint("seen:")));
    }
    for fix in &not_started.fixes {
        say(format!("  {} {fix}", Tone::Strong.paint("fix: ")));
    }
}

fn restart(fleet: &Arc<Fleet>, arguments: &RunArguments) {
    say(Tone::Strong.paint("changed: restarting"));
    let timeline = Timeline::begin();
    match resolve(arguments) {
        Ok(project) => {
            let hold = fleet.hold();
            fleet.replace(project);
            warm_up(fleet, timeline);
            drop(hold);
        }
        Err(failure) => say(format!("{} {failure}", Tone::Bad.paint("error:"))),
    }
}

fn finish(fleet: &Fleet) -> Status {
    say("stopping");
    fleet.close();
    Status::Done
}

fn describe(project: &Project) {
    let settings = &project.settings;
    say(format!(
        "{} {} in {}, port {}",
        Tone::Strong.paint(&settings.function_name),
        project.start.typed(),
        project.code.display(),
        settings.port
    ));
}

fn invite(fleet: &Fleet, address: std::net::SocketAddr) {
    let name = &fleet.project().settings.function_name;
    say(format!(
        "{} http://{address}  (Ctrl-C stops it)",
        Tone::Good.paint("ready:")
    ));
    say(format!(
        "  event: curl -d '{{}}' http://{address}/2023-03-30/functions/{name}/invocations"
    ));
}
