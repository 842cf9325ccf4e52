//! `coldstart run`: serves the function through a local gateway until Ctrl-C.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::arguments::RunArguments;
use crate::build::Recipe;
use crate::clock;
use crate::console::{Tone, give, say};
use crate::deployment::actions::NOT_RUN;
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
use crate::watch::{self, Activity, Built, Watch};

const WATCH_PERIOD: Duration = Duration::from_millis(300);
/// A line about changes names this many files.
const NAMES_MAX: usize = 3;

/// Runs until interrupted.
pub(crate) fn run(arguments: &RunArguments, interrupt: &Interrupt) -> Result<Status, Failure> {
    let socket = listener::bind(arguments.gateway)?;
    let address = socket
        .local_addr()
        .map_err(|error| Failure::machine(error.to_string()))?;
    let recipe = Recipe::of(&arguments.source, &arguments.build)?;
    match interrupt.unless_raised(|| recipe.carry_out(), || {})? {
        Some(built) => built?,
        None => return Ok(Status::Interrupted),
    }
    let timeline = Timeline::begin();
    let project = resolve(arguments, &recipe)?;
    ensure_port_free(&project)?;
    let mut watch = arguments
        .watch
        .is_on()
        .then(|| Watch::begin(&project, recipe.built()));
    project.say_notes();
    warn_of_stale(&project, &recipe);
    describe(&project);
    let fleet = Arc::new(Fleet::new(
        project,
        Reporter::default(),
        arguments.errors,
        arguments.freeze,
    ));
    let stays = arguments.stay.is_on() || arguments.watch.is_on();
    let started = interrupt.unless_raised(|| warm_up(&fleet, timeline), || finish(&fleet))?;
    match started {
        None => return Ok(Status::Done),
        Some(Started::Not) if !stays => return Ok(Status::NotStarted),
        Some(Started::Not | Started::Ready) => {}
    }
    listener::spawn(socket, &fleet).map_err(|error| Failure::machine(error.to_string()))?;
    invite(&fleet, address);
    if let Some(watch) = &mut watch {
        watch.started();
    }
    let mut traffic = fleet.traffic();
    loop {
        if interrupt.wait(WATCH_PERIOD) {
            finish(&fleet);
            return Ok(Status::Done);
        }
        let Some(watch) = &mut watch else { continue };
        let activity = activity(&fleet, &mut traffic);
        let changes = watch.poll(activity, || fleet.processes());
        if !changes.is_empty() {
            say(Tone::Strong.paint(format!("changed: {}", names(watch, &changes))));
            let restarting = || restart(&fleet, arguments, &recipe);
            if interrupt
                .unless_raised(restarting, || finish(&fleet))?
                .is_none()
            {
                return Ok(Status::Done);
            }
            watch.started();
        }
    }
}

/// What may have written files since the last look.
fn activity(fleet: &Fleet, traffic: &mut (u64, u32)) -> Activity {
    let before = std::mem::replace(traffic, fleet.traffic());
    if before == *traffic && traffic.1 == 0 {
        Activity::Quiet
    } else {
        Activity::Serving
    }
}

fn names(watch: &Watch, changes: &[PathBuf]) -> String {
    let shown: Vec<String> = changes
        .iter()
        .take(NAMES_MAX)
        .map(|path| watch.shown(path))
        .collect();
    let rest = changes.len() - shown.len();
    let rest = if rest > 0 {
        format!(" and {rest} more")
    } else {
        String::new()
    };
    shown.join(", ") + &rest
}

fn resolve(arguments: &RunArguments, recipe: &Recipe) -> Result<Project, Failure> {
    let mut source = arguments.source.clone();
    source.source = recipe.source().map(Path::to_owned).or(source.source);
    let mut project = Project::resolve(&source)?;
    if let Some(folder) = recipe.watched() {
        folder.clone_into(&mut project.watched);
    }
    if matches!(recipe, Recipe::Actions { .. }) {
        project.notes.retain(|note| !note.contains(NOT_RUN));
    }
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

/// Whether an instance is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Started {
    Ready,
    Not,
}

/// Starts the instance, and shows how that went.
pub(crate) fn warm_up(fleet: &Fleet, timeline: Timeline) -> Started {
    match fleet.warm_up(timeline) {
        Ok(resident) => {
            say(Tone::Strong.paint("cold start"));
            resident.instance.timeline.picture().iter().for_each(say);
            Started::Ready
        }
        Err(not_started) => {
            // A start that ended with this program explains nothing.
            if !fleet.is_closed() {
                explain(&not_started, fleet);
            }
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

/// Builds while the old instance serves, then replaces it while the gateway holds the calls. What fails leaves the old one
/// serving.
fn restart(fleet: &Fleet, arguments: &RunArguments, recipe: &Recipe) {
    let built = recipe.carry_out();
    let timeline = Timeline::begin();
    match built.and_then(|()| resolve(arguments, recipe)) {
        Ok(project) => {
            warn_of_stale(&project, recipe);
            let hold = fleet.hold();
            fleet.replace(project);
            warm_up(fleet, timeline);
            drop(hold);
        }
        Err(_) if fleet.is_closed() => {}
        Err(failure) => {
            say(format!("{} {failure}", Tone::Bad.paint("error:")));
            say("not restarted: the function stays as it was before the change");
        }
    }
}

/// Old code is the usual reason for an edit without effect.
fn warn_of_stale(project: &Project, recipe: &Recipe) {
    if recipe.built() == Built::Here {
        return;
    }
    let Some(stale) = watch::stale(project) else {
        return;
    };
    say(format!(
        "{} {} is older than {}: build it, or let --build run actions.pre-deploy of s.yaml",
        Tone::Caution.paint("note:"),
        stale.code.display(),
        stale.source.display()
    ));
}

fn finish(fleet: &Fleet) {
    say("stopping");
    fleet.close();
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
