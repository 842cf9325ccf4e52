//! `coldstart check`: any server through the contract's checks, at the same time where they wait.

mod catalogue;
mod ending;
mod finding;
mod hooks;
mod keepalive;
mod lanes;
mod load;
mod logs;
mod observation;
mod opening;
mod page;
mod parallel;
mod payload;
mod report;
mod resources;
mod rights;
mod start;
mod streams;
mod subject;
mod workspace;

use crate::arguments::{CheckArguments, SourceArguments};
use crate::exit::{Failure, Status};
use crate::interrupt::yield_to_signal;
use crate::isolation;
use crate::project::Project;
use crate::report_file::ReportFile;
use crate::run::ensure_port_free;
use crate::sandbox::{Isolation, Network};
use crate::shortage;
use finding::Verdict;
use opening::Choice;
use subject::{Depth, Paths, Subject};

/// Runs the checks and reports them.
pub(crate) fn check(arguments: &CheckArguments) -> Result<Status, Failure> {
    let selected = catalogue::select(&arguments.only)?;
    // A bad path should not cost the time of a run.
    let [junit, html] = [&arguments.junit, &arguments.html]
        .map(|path| path.as_deref().map(ReportFile::at).transpose());
    let (junit, html) = (junit?, html?);
    let mut project = Project::resolve(&arguments.source)?;
    let choice = network(&arguments.source, &mut project);
    project.say_notes();
    ensure_port_free(&project)?;
    let title = project.start.typed();
    let depth = match (arguments.full.is_on(), arguments.idle.is_on()) {
        (true, _) => Depth::Full,
        (false, true) => Depth::Idle,
        (false, false) => Depth::Quick,
    };
    let paths = Paths {
        plain: arguments.path.clone(),
        fault: arguments.fault_path.clone(),
        stream: arguments
            .stream_path
            .clone()
            .unwrap_or_else(|| arguments.path.clone()),
    };
    let mut subject = Subject::new(project, depth, paths)?;
    let findings = lanes::run(&mut subject, &selected, choice);
    yield_to_signal();
    if let Some(refusal) = shortage::noted() {
        return Err(
            Failure::machine(format!("the checks were not finished: {refusal}"))
                .fix("end some programs, or raise the limit (ulimit -u)"),
        );
    }
    if let Some(file) = junit {
        file.write(&report::junit(&title, &findings))?;
    }
    if let Some(file) = html {
        file.write(&page::page(&title, &findings, depth))?;
    }
    if arguments.json.is_on() {
        crate::console::give(report::json(&title, &findings));
    } else {
        report::table(&title, &findings, depth);
    }
    let has_failed = findings
        .iter()
        .any(|finding| finding.verdict == Verdict::Fail);
    Ok(if has_failed {
        Status::Unmet
    } else {
        Status::Done
    })
}

/// Gives each instance a network of its own, where the kernel allows it and the user has not chosen: the probe dials
/// an address that is not loopback, no other program is in the way, and servers with a port that is built in can run at
/// the same time.
fn network(arguments: &SourceArguments, project: &mut Project) -> Choice {
    let is_open = arguments.network.is_none()
        && project.isolation == Isolation::Sandboxed(Network::Host)
        && isolation::allows(Network::Own, &project.code).is_ok();
    if !is_open {
        return Choice::Made;
    }
    project.isolation = Isolation::Sandboxed(Network::Own);
    Choice::Open
}
