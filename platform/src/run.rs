//! `coldstart run`: serves the function through a local gateway until Ctrl-C.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use crate::arguments::RunArguments;
use crate::build::Recipe;
use crate::console::{Tone, say};
use crate::edit_loop::EditLoop;
use crate::exit::{Failure, Status};
use crate::gateway::fleet::Fleet;
use crate::gateway::listener;
use crate::gateway::outcome::Reporter;
use crate::instance::timeline::Timeline;
use crate::interrupt::Interrupt;
use crate::listeners::holder_of;
use crate::project::Project;
use crate::sandbox::{Isolation, Network};
use crate::starting::{Attempt, Started, finish, resolve, warm_up, warn_of_stale};
use crate::watch::{Before, Watch};

/// How long one wait for a signal takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs until interrupted.
pub(crate) fn run(arguments: &RunArguments, interrupt: &Interrupt) -> Result<Status, Failure> {
    let socket = listener::bind(arguments.gateway)?;
    let address = socket
        .local_addr()
        .map_err(|error| Failure::machine(error.to_string()))?;
    let recipe = Recipe::of(&arguments.source, &arguments.build)?;
    let is_watching = arguments.watch.is_on();
    let before = recipe
        .read_folder()
        .filter(|_| is_watching)
        .map(Before::look);
    match interrupt.unless_raised(|| recipe.carry_out(), || {})? {
        Some(built) => built?,
        None => return Ok(Status::Interrupted),
    }
    let timeline = Timeline::begin();
    let project = resolve(arguments, &recipe)?;
    ensure_port_free(&project)?;
    let watch = is_watching.then(|| Watch::begin(&project, recipe.built(), before));
    project.say_notes();
    warn_of_stale(&project, &recipe);
    describe(&project);
    let fleet = Arc::new(Fleet::new(
        project,
        Reporter::default(),
        arguments.errors,
        arguments.freeze,
    ));
    let mut editing = watch.map(|watch| EditLoop {
        fleet: &fleet,
        arguments,
        recipe: &recipe,
        interrupt,
        watch,
    });
    let started = match &mut editing {
        Some(editing) => editing.begin(timeline)?,
        None => interrupt.unless_raised(
            || warm_up(&fleet, timeline, &Attempt::default()),
            || finish(&fleet),
        )?,
    };
    match started {
        None => return Ok(Status::Done),
        Some(Started::Not) if !arguments.stay.is_on() && !is_watching => {
            return Ok(Status::NotStarted);
        }
        Some(Started::Not | Started::Ready) => {}
    }
    listener::spawn(socket, &fleet).map_err(|error| Failure::machine(error.to_string()))?;
    invite(&fleet, address);
    if let Some(mut editing) = editing {
        return editing.follow();
    }
    while !interrupt.wait(PATIENCE) {}
    finish(&fleet);
    Ok(Status::Done)
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
