//! The cold start: from a package to an instance that takes calls, or to the error that the caller gets instead.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::cores::Cores;
use super::logs::Logs;
use super::phase::{Life, Step};
use super::probe::{Outcome, Pace, Probes, probe};
use super::process::{Process, exit_code};
use super::timeline::{Part, Timeline};
use super::{Instance, hooks};
use crate::caller_error::{CallerError, LogTail};
use crate::environment::{self, Completeness, Identity};
use crate::fix;
use crate::listeners;
use crate::package::inspect::{self, Fault};
use crate::project::{Project, Settings, Start};

/// How long the last words of an ended process may take to arrive.
const LAST_WORDS: Duration = Duration::from_millis(500);
const CODE: &str = "/code/";

/// Why there is no instance: what callers get, and what the developer should know.
#[derive(Debug)]
pub(crate) struct NotStarted {
    pub(crate) error: CallerError,
    pub(crate) seen: Vec<String>,
    pub(crate) fixes: Vec<String>,
}

/// How a start differs from the usual one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Circumstances {
    pub(crate) completeness: Completeness,
    /// A user without rights, when this program may choose one.
    pub(crate) user: Option<u32>,
    /// Processors for a measurement: the start is probed densely.
    pub(crate) cores: Option<&'static Cores>,
}

/// Is notified of what happens during a start.
pub(crate) trait Witness: Clone + Send + Sync + 'static {
    /// A line that the function wrote.
    fn on_line(&self, line: &str);
    /// A remark about the start.
    fn on_remark(&self, remark: &str);
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
    life.on(Step::FileAccepted);
    timeline.reached(Part::Prepare);
    let identity = Identity::invent();
    let hearing = witness.clone();
    let logs = Logs::new(Box::new(move |line| hearing.on_line(line)));
    let mut command = command(project);
    command.env_clear();
    command.envs(environment::variables(
        settings,
        &identity,
        &project.code,
        circumstances.completeness,
    ));
    if let Some(user) = circumstances.user {
        command.uid(user).gid(user);
    }
    let process = spawn(command, &logs, circumstances.cores)
        .map_err(|error| cannot_spawn(project, &error))?;
    life.on(Step::Spawned);
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
    let pace = Pace::of(circumstances.cores);
    let listening = listen(&instance, project, settings, pace, witness);
    let ready = listening.and_then(|probes| {
        instance.probes = probes;
        instance.timeline.reached(Part::Listen);
        make_ready(&mut instance, settings, witness)
    });
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
        // Only what stops it here as well: a library that this machine has may let the run go on.
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
                });
            }
            None => witness.on_remark(&format!("{}; {}", fault.seen(), fault.fix())),
        }
    }
    Ok(())
}

fn command(project: &Project) -> Command {
    let mut command = match &project.start {
        Start::File(name) => Command::new(project.code.join(name)),
        Start::Command(words) => {
            let mut words = words.iter().map(|word| local_path(word, &project.code));
            let mut command = Command::new(words.next().unwrap_or_default());
            command.args(words);
            command
        }
    };
    command.current_dir(&project.code);
    command
}

/// On the platform the code lies at `/code`; here it lies where it lies.
fn local_path(word: &str, code: &Path) -> String {
    match word.strip_prefix(CODE) {
        Some(rest) if !Path::new(CODE).exists() => code.join(rest).to_string_lossy().into_owned(),
        Some(_) | None => word.to_owned(),
    }
}

fn spawn(
    mut command: Command,
    logs: &Arc<Logs>,
    cores: Option<&'static Cores>,
) -> io::Result<Arc<Process>> {
    // One pipe for both streams keeps the order in which the function wrote.
    let (reader, writer) = io::pipe()?;
    command
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer);
    // First, so that nothing runs whose output cannot be read.
    logs.collect(File::from(std::os::fd::OwnedFd::from(reader)))?;
    Process::spawn(command, cores)
}

fn cannot_spawn(project: &Project, error: &io::Error) -> NotStarted {
    let code = error.raw_os_error().unwrap_or(1);
    let command = project.start.shown();
    let seen = format!("`{}` cannot be executed: {error}", project.start.typed());
    let fixes = fix::cannot_execute(&project.start, error);
    let missing = match &project.start {
        Start::Command(words) if error.kind() == io::ErrorKind::NotFound => words.first(),
        Start::Command(_) | Start::File(_) => None,
    };
    let error = match missing {
        Some(command) => CallerError::CommandNotFound {
            command: command.clone(),
        },
        None => CallerError::Exited {
            code,
            command,
            logs: LogTail::default(),
        },
    };
    NotStarted {
        error,
        seen: vec![seen],
        fixes,
    }
}

fn listen(
    instance: &Instance,
    project: &Project,
    settings: &Settings,
    pace: Pace,
    witness: &impl Witness,
) -> Result<Probes, NotStarted> {
    let outcome = probe(
        &instance.process,
        settings.port,
        settings.start_timeout,
        pace,
        |remark| {
            witness.on_remark(&remark);
        },
    );
    match outcome {
        Outcome::Accepted(probes) => {
            instance.on(Step::PortAnswered);
            Ok(probes)
        }
        Outcome::ProcessEnded => {
            instance.logs.wait_closed(LAST_WORDS);
            let code = instance.process.ended().map_or(0, exit_code);
            let command = project.start.shown();
            let error = CallerError::Exited {
                code,
                command,
                logs: instance.logs.tail(),
            };
            let seen = vec![format!(
                "the process ended with code {code} before it listened"
            )];
            Err(NotStarted {
                error,
                seen,
                fixes: fix::exited(code, &instance.logs.lines()),
            })
        }
        Outcome::NobodyThere { listeners } => {
            let error = CallerError::PortNeverOpened {
                port: settings.port,
                waited: settings.start_timeout,
                logs: instance.logs.tail(),
            };
            let seen = vec![listeners::explain(&listeners, settings.port)];
            let fixes = fix::never_listened(project, &listeners, settings.port);
            Err(NotStarted { error, seen, fixes })
        }
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
            let fixes = vec!["answer POST /initialize with a 2xx within its time-out".to_owned()];
            return Err(NotStarted {
                error,
                seen: vec![why],
                fixes,
            });
        }
    }
    instance.on(Step::Initialized);
    if let Some(health) = &settings.hooks.health {
        let healthy = hooks::first_health(instance, health);
        instance.timeline.reached(Part::Health);
        if let Err(status) = healthy {
            let shown =
                status.map_or_else(|| "nothing in time".to_owned(), |status| status.to_string());
            let seen = vec![format!("GET {} answered {shown}", health.path)];
            let fixes = vec![format!(
                "answer GET {} with 200 to 399 within {:?}",
                health.path, health.timeout
            )];
            return Err(NotStarted {
                error: CallerError::Unhealthy {
                    status,
                    logs: LogTail::default(),
                },
                seen,
                fixes,
            });
        }
        witness.on_remark(&format!("GET {} is healthy", health.path));
    }
    instance.on(Step::Healthy);
    Ok(())
}
