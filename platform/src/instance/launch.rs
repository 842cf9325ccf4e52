//! The cold start: from a package to an instance that takes calls, or to the error that callers get instead.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::command::{self, Circumstances};
use super::cores::Cores;
use super::logs::Logs;
use super::phase::{Life, Step as LifeStep};
use super::probe::{Outcome, Pace, Probes, Target, probe};
use super::process::{Process, exit_code};
use super::timeline::{Part, Timeline};
use super::{Instance, LAST_WORDS, hooks};
use crate::caller_error::{CallerError, LogTail};
use crate::clock::plain_seconds;
use crate::environment::Identity;
use crate::fix;
use crate::listeners::{Dialed, Obstacle};
use crate::package::inspect::{self, Fault};
use crate::project::{Project, Start};
use crate::sandbox::{Isolation, Refusal, Spec, Step};
use crate::settings::Settings;
use crate::shortage;

/// How long the news of an end may take after a connection broke.
const END_NOTICE: Duration = Duration::from_millis(100);

/// Why there is no instance: the error for callers, and the explanation for the developer.
#[derive(Debug)]
pub(crate) struct NotStarted {
    pub(crate) error: CallerError,
    pub(crate) seen: Vec<String>,
    pub(crate) fixes: Vec<String>,
    /// It listened, but not where the router connects.
    pub(crate) listens: bool,
}

/// Receives what happens on the way.
pub(crate) trait Witness: Clone + Send + Sync + 'static {
    /// The function's process runs. If it is killed, the start fails.
    fn on_process(&self, _: &Arc<Process>) {}
    /// The port accepts. Whether the function itself listens there is looked up afterwards: if it does not, the start
    /// goes on, and this may be called again.
    fn on_open(&self, _: &Instance) {}
    /// The function wrote a line.
    fn on_line(&self, line: &str);
    /// Something about the start is worth knowing.
    fn on_remark(&self, remark: &str);
    /// The start takes long, and this is what keeps the port from serving.
    fn on_delay(&self, remark: &str) {
        self.on_remark(remark);
    }
}

/// Starts an instance.
pub(crate) fn start<W: Witness>(
    project: &Project,
    settings: &Settings,
    circumstances: Circumstances,
    witness: &W,
    mut timeline: Timeline,
) -> Result<Instance, NotStarted> {
    let mut life = Life::new();
    accept_file(project, settings, witness)?;
    life.on(LifeStep::FileAccepted);
    timeline.reached(Part::Prepare);
    let identity = Identity::invent();
    let receiver = witness.clone();
    let logs = Logs::new(Box::new(move |line| receiver.on_line(line)));
    let spec = command::spec(project, settings, &identity, circumstances);
    let cores = circumstances.cores;
    let process =
        spawn(project, spec, &logs, cores).map_err(|refusal| refused(project, &refusal))?;
    witness.on_process(&process);
    life.on(LifeStep::Spawned);
    timeline.reached(Part::Launch);
    let mut instance = Instance {
        process,
        logs,
        identity,
        timeline,
        probes: Probes::default(),
        life: Mutex::new(life),
        port: settings.port,
    };
    let target = Target {
        port: settings.port,
        former_port: circumstances.former_port,
        limit: settings.start_timeout,
        pace: Pace::of(cores),
    };
    let listening = listen(&instance, project, target, witness);
    let ready = listening.and_then(|probes| {
        instance.probes = probes;
        let accepted = instance.process.began + probes.took;
        instance.timeline.reached_at(Part::Listen, accepted);
        make_ready(&mut instance, settings, witness)
    });
    // Whatever else failed: if the process has ended, that is the cause.
    let ready = ready.map_err(
        |not_started| match instance.process.notice_end(END_NOTICE) {
            Some(status) if instance.has_listened() => {
                ended_early(&instance, project, status, Dialed::Accepted)
            }
            Some(_) | None => not_started,
        },
    );
    match ready {
        Ok(()) => Ok(instance),
        Err(not_started) => {
            instance.kill();
            Err(not_started)
        }
    }
}

fn accept_file(
    project: &Project,
    settings: &Settings,
    witness: &impl Witness,
) -> Result<(), NotStarted> {
    let Start::File(name) = &project.start else {
        return Ok(());
    };
    for fault in inspect::start_file(&project.code, name, settings.debian) {
        // Only faults that stop it here, too. A missing library may exist on this machine.
        let is_decisive = matches!(
            fault,
            Fault::Missing { .. }
                | Fault::BelowTopFolder { .. }
                | Fault::NotExecutable
                | Fault::ForeignMachine { .. }
                | Fault::NoProgram
                | Fault::ByteOrderMark { .. }
                | Fault::MarkNotFirst { .. }
        );
        match fault
            .caller_error(&project.start.shown())
            .filter(|_| is_decisive)
        {
            Some(error) => {
                let fixes = vec![fault.fix().to_owned()];
                return Err(NotStarted {
                    error,
                    seen: vec![fault.seen()],
                    fixes,
                    listens: false,
                });
            }
            None => witness.on_remark(&format!("{}; {}", fault.seen(), fault.fix())),
        }
    }
    Ok(())
}

fn spawn(
    project: &Project,
    spec: Spec,
    logs: &Arc<Logs>,
    cores: Option<&'static Cores>,
) -> Result<Arc<Process>, Refusal> {
    let lost = |error: io::Error| Refusal::spawn(&error);
    // One pipe for both streams keeps the order of the writes.
    let (reader, writer) = io::pipe().map_err(lost)?;
    let output = [
        Stdio::from(writer.try_clone().map_err(lost)?),
        Stdio::from(writer),
    ];
    // First, so that nothing runs whose output cannot be read.
    logs.collect(File::from(OwnedFd::from(reader)))
        .map_err(lost)?;
    match project.isolation {
        Isolation::Direct => Process::spawn(&spec, output, cores),
        Isolation::Supervised | Isolation::Sandboxed(_) => Process::supervise(spec, output),
    }
}

fn refused(project: &Project, refusal: &Refusal) -> NotStarted {
    let error = refusal.error();
    let exited = |code| CallerError::Exited {
        code,
        command: project.start.shown(),
        logs: LogTail::default(),
    };
    match (&refusal.step, &project.start) {
        (Step::Execute, start) => {
            let is_missing = error.kind() == io::ErrorKind::NotFound;
            let caller = match start {
                Start::Command(words) if is_missing => CallerError::CommandNotFound {
                    command: words.first().cloned().unwrap_or_default(),
                },
                Start::Command(_) | Start::File(_) => exited(refusal.errno),
            };
            NotStarted {
                error: caller,
                seen: vec![format!("`{}` cannot be executed: {error}", start.typed())],
                fixes: fix::cannot_execute(start, &error),
                listens: false,
            }
        }
        (Step::Spawn, _) => {
            shortage::note(refusal);
            NotStarted {
                error: exited(refusal.errno),
                seen: vec![refusal.to_string()],
                fixes: vec![
                    "this machine is out of processes, threads, descriptors or memory: end some programs, or raise \
                     the limit (ulimit -u, ulimit -n)"
                        .to_owned(),
                ],
                listens: false,
            }
        }
        (Step::Arrange(_), _) => NotStarted {
            error: exited(refusal.errno),
            seen: vec![format!("the sandbox failed: {refusal}")],
            fixes: vec!["--no-sandbox starts the function without one".to_owned()],
            listens: false,
        },
    }
}

fn listen(
    instance: &Instance,
    project: &Project,
    target: Target,
    witness: &impl Witness,
) -> Result<Probes, NotStarted> {
    let delayed = |obstacle: &Obstacle| {
        let limit = plain_seconds(target.limit);
        let fixes = fix::blocked(project, obstacle).join("; ");
        witness.on_delay(&format!(
            "{obstacle}; waiting on, for {limit} s in all; fix: {fixes}"
        ));
    };
    let opened = || witness.on_open(instance);
    match probe(&instance.process, target, delayed, opened) {
        Outcome::Accepted(probes) => {
            instance.on(LifeStep::PortAnswered);
            Ok(probes)
        }
        Outcome::ProcessEnded(dialed) => {
            let status = instance.process.ended().unwrap_or_default();
            Err(ended_early(instance, project, status, dialed))
        }
        Outcome::Blocked(obstacle) => {
            let error = CallerError::PortNeverOpened {
                port: target.port,
                waited: target.limit,
                logs: instance.logs.tail(),
            };
            let fixes = fix::blocked(project, &obstacle);
            Err(NotStarted {
                error,
                seen: vec![obstacle.to_string()],
                fixes,
                listens: obstacle.is_listener(),
            })
        }
    }
}

/// The process ended before the instance was ready, either before or after it began to listen.
fn ended_early(
    instance: &Instance,
    project: &Project,
    status: ExitStatus,
    dialed: Dialed,
) -> NotStarted {
    instance.logs.wait_closed(LAST_WORDS);
    let code = exit_code(status);
    let error = CallerError::Exited {
        code,
        command: project.start.shown(),
        logs: instance.logs.tail(),
    };
    // What still listens now is not the function.
    let holder = instance.foreign_holder();
    let when = match (&holder, dialed) {
        (None, Dialed::Accepted) => "after it began to listen, but before it was ready",
        (Some(_), _) | (None, Dialed::Refused | Dialed::Silent) => "before it listened",
    };
    let mut seen = vec![format!("the process ended with code {code} {when}")];
    if let Some(holder) = holder.filter(|_| code != 0) {
        let port = instance.port();
        seen.push(format!("port {port} is held by {holder}"));
    }
    NotStarted {
        error,
        seen,
        fixes: fix::exited(code, &instance.logs.lines()),
        listens: false,
    }
}

fn make_ready(
    instance: &mut Instance,
    settings: &Settings,
    witness: &impl Witness,
) -> Result<(), NotStarted> {
    if let Some(timeout) = settings.hooks.initializer {
        let initialized = hooks::initialize(instance, settings, timeout);
        instance.timeline.reached(Part::Initialize);
        if let Err(why) = initialized {
            let error = CallerError::InitializerFailed {
                why: why.clone(),
                logs: instance.logs.tail(),
            };
            let fixes =
                vec!["respond to POST /initialize with a 2xx within its time-out".to_owned()];
            return Err(NotStarted {
                error,
                seen: vec![why],
                fixes,
                listens: false,
            });
        }
    }
    instance.on(LifeStep::Initialized);
    if let Some(health) = &settings.hooks.health {
        let healthy = hooks::first_health(instance, health);
        instance.timeline.reached(Part::Health);
        if let Err(status) = healthy {
            let shown =
                status.map_or_else(|| "nothing in time".to_owned(), |status| status.to_string());
            let seen = vec![format!("GET {} got {shown}", health.path)];
            let fixes = vec![format!(
                "respond to GET {} with 200 to 399 within {:?}",
                health.path, health.timeout
            )];
            return Err(NotStarted {
                error: CallerError::Unhealthy {
                    status,
                    logs: LogTail::default(),
                },
                seen,
                fixes,
                listens: false,
            });
        }
        witness.on_remark(&format!("GET {} is healthy", health.path));
    }
    instance.on(LifeStep::Healthy);
    Ok(())
}
