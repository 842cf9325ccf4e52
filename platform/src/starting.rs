//! Starts the function for which the gateway holds the requests: the first time, and again with new code.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::arguments::RunArguments;
use crate::build::Recipe;
use crate::clock;
use crate::console::{Tone, give, say};
use crate::deployment::actions::NOT_RUN;
use crate::exit::Failure;
use crate::gateway::fleet::{Fleet, Hold};
use crate::instance::launch::NotStarted;
use crate::instance::timeline::Timeline;
use crate::project::Project;
use crate::watch::files::Built;
use crate::watch::stale::stale;

/// One build and start, which an edit makes useless.
#[derive(Debug, Default)]
pub(crate) struct Attempt {
    /// The build is over.
    is_starting: AtomicBool,
    is_outdated: AtomicBool,
}

impl Attempt {
    /// The build is over. Whether the start is still wanted.
    pub(crate) fn proceed(&self) -> bool {
        self.is_starting.store(true, Ordering::SeqCst);
        !self.is_outdated()
    }

    /// Whether its code is old by now.
    pub(crate) fn is_outdated(&self) -> bool {
        self.is_outdated.load(Ordering::SeqCst)
    }

    /// An edit has made its code old.
    pub(crate) fn outdate(&self) {
        self.is_outdated.store(true, Ordering::SeqCst);
    }

    /// Whether the build is over.
    pub(crate) fn is_starting(&self) -> bool {
        self.is_starting.load(Ordering::SeqCst)
    }
}

/// What a source is, with the settings of the command line.
pub(crate) fn resolve(arguments: &RunArguments, recipe: &Recipe) -> Result<Project, Failure> {
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

/// Whether an instance is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Started {
    Ready,
    Not,
}

/// Starts the instance, and shows how that went.
pub(crate) fn warm_up(fleet: &Fleet, timeline: Timeline, attempt: &Attempt) -> Started {
    match fleet.warm_up(timeline) {
        // Its code is old, or it was called off for that.
        _ if attempt.is_outdated() => Started::Not,
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

/// Builds while the old instance serves, then replaces it while the gateway holds the calls, from then on in `hold`. What
/// fails leaves the old one serving.
pub(crate) fn restart<'a>(
    fleet: &'a Fleet,
    (arguments, recipe): (&RunArguments, &Recipe),
    attempt: &Attempt,
    hold: &mut Option<Hold<'a>>,
) -> Started {
    let built = recipe.carry_out();
    let timeline = Timeline::begin();
    match built.and_then(|()| resolve(arguments, recipe)) {
        // What failed may have been repaired meanwhile.
        _ if attempt.is_outdated() => Started::Not,
        Ok(project) => {
            warn_of_stale(&project, recipe);
            hold.get_or_insert_with(|| fleet.hold());
            fleet.replace(project);
            if attempt.proceed() {
                warm_up(fleet, timeline, attempt)
            } else {
                Started::Not
            }
        }
        Err(_) if fleet.is_closed() => Started::Not,
        Err(failure) => {
            say(format!("{} {failure}", Tone::Bad.paint("error:")));
            say("not restarted: the function stays as it was before the change");
            Started::Not
        }
    }
}

/// Old code is the usual reason for an edit without effect.
pub(crate) fn warn_of_stale(project: &Project, recipe: &Recipe) {
    if recipe.built() == Built::Here {
        return;
    }
    let Some(stale) = stale(project) else {
        return;
    };
    say(format!(
        "{} {} is older than {}: build it, or let --build run actions.pre-deploy of s.yaml",
        Tone::Caution.paint("note:"),
        stale.code.display(),
        stale.source.display()
    ));
}

/// Stops everything.
pub(crate) fn finish(fleet: &Fleet) {
    say("stopping");
    fleet.close();
}
