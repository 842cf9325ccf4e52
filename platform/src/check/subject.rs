//! The server under examination: started as often as the checks need it, and called as the platform calls it.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use super::observation::{Break, Cause};
use super::workspace::Workspace;
use crate::caller_error::CallerError;
use crate::clock;
use crate::console::{Tone, say};
use crate::environment::Completeness;
use crate::exit::Failure;
use crate::fix::Language;
use crate::headers::{self, HTTP_INVOKE, INVOKE};
use crate::instance::Instance;
use crate::instance::command::Circumstances;
use crate::instance::launch::{self, NotStarted, Witness};
use crate::instance::logs::Logs;
use crate::instance::timeline::{Part, Timeline};
use crate::project::Project;
use crate::sandbox::{Isolation, Network};
use crate::settings::Settings;
use crate::wire::exchange::{Call, Reply};
use crate::wire::head::Response;
use crate::wire::{Fault, Wire};

/// A response of a healthy server comes within this time, even on a busy machine.
const PATIENCE_MIN: Duration = Duration::from_secs(5);
/// Once a plain request got no response, the other checks do not wait long for theirs.
const PATIENCE_LOST: Duration = Duration::from_secs(1);
/// How much longer than a plain request any other may take.
const SLOWDOWN_MAX: u32 = 10;
const START_PATIENCE_MIN: Duration = Duration::from_secs(10);
/// Several instances may start at the same time.
const START_SLOWDOWN_MAX: u32 = 4;
/// The kernel repeats a connect that a full backlog has dropped after 1, 3 and 7 s.
const CONNECT_PATIENCE: Duration = Duration::from_secs(8);
/// A server that responds before it has read a large body may close (RFC 9112 §9.3). Go's does after 256 KB.
const READ_LEN_MIN: usize = 64 * 1024;

/// How long the checks wait for timers of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    Quick,
    Idle,
    Full,
}

/// Does the server listen on the port that the environment names?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Port {
    Movable,
    Fixed,
}

/// How quickly the server responds to a plain request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    Within(Duration),
    Never,
}

/// The paths that requests use.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    /// For every request that does not care.
    pub(crate) plain: String,
    /// A handler that fails.
    pub(crate) fault: Option<String>,
    /// A handler that streams.
    pub(crate) stream: String,
}

/// The server and what was recorded about it so far.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) project: Project,
    pub(crate) language: Language,
    pub(crate) depth: Depth,
    pub(crate) paths: Paths,
    pub(crate) workspace: Workspace,
    port: OnceLock<Port>,
    measured: Measured,
    turn: Mutex<()>,
    record: Mutex<Record>,
}

/// What the first instance shows, for the patience with all others.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    /// How long the first start took.
    start_time: OnceLock<Duration>,
    pace: OnceLock<Pace>,
    plain_status: OnceLock<u16>,
}

/// What is judged over all responses and all instances together.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) responses: u64,
    pub(crate) closing: Vec<String>,
    pub(crate) fields_len_max: usize,
    pub(crate) reserved: Vec<String>,
    pub(crate) logs: Vec<(Arc<Logs>, [String; 2])>,
}

/// For the first start, which may take long: what keeps the port from opening is said while it is waited for.
#[derive(Clone, Copy, Debug)]
struct Telling;

impl Witness for Telling {
    fn on_line(&self, _: &str) {}
    fn on_remark(&self, _: &str) {}
    fn on_delay(&self, remark: &str) {
        say(format!("{} {remark}", Tone::Caution.paint("note:")));
    }
}

#[derive(Clone, Copy, Debug)]
struct Silent;

impl Witness for Silent {
    fn on_line(&self, _: &str) {}
    fn on_remark(&self, _: &str) {}
}

impl Subject {
    /// A server that has not been started yet.
    pub(crate) fn new(project: Project, depth: Depth, paths: Paths) -> Result<Self, Failure> {
        let language = Language::of(&project);
        let (workspace, project) = Workspace::of(project)?;
        Ok(Self {
            project,
            language,
            depth,
            paths,
            workspace,
            port: OnceLock::new(),
            measured: Measured::default(),
            turn: Mutex::default(),
            record: Mutex::default(),
        })
    }

    /// Starts the first instance, with the configured settings.
    pub(crate) fn start(&self) -> Result<Instance, NotStarted> {
        let settings = &self.project.settings;
        let instance = self.launch(&self.project, settings, Circumstances::default(), &Telling)?;
        let time = instance.timeline.of(Part::Listen).unwrap_or_default();
        self.measured.start_time.get_or_init(|| time);
        Ok(instance)
    }

    /// Starts another instance: on a port of its own if the server can use one.
    pub(crate) fn start_another(&self, completeness: Completeness) -> Result<Instance, NotStarted> {
        let circumstances = Circumstances {
            completeness,
            ..Circumstances::default()
        };
        self.start_project(&self.project, &self.settings_beside(), circumstances)
    }

    /// Starts a copy of the function, or the function with other settings.
    pub(crate) fn start_project(
        &self,
        project: &Project,
        settings: &Settings,
        circumstances: Circumstances,
    ) -> Result<Instance, NotStarted> {
        self.launch(project, settings, circumstances, &Silent)
    }

    fn launch(
        &self,
        project: &Project,
        settings: &Settings,
        circumstances: Circumstances,
        witness: &impl Witness,
    ) -> Result<Instance, NotStarted> {
        let started = launch::start(project, settings, circumstances, witness, Timeline::begin());
        if let Ok(instance) = &started {
            let secrets = instance.identity.secrets().map(str::to_owned);
            self.record()
                .logs
                .push((Arc::clone(&instance.logs), secrets));
        }
        started.map_err(|mut not_started| {
            // The checks are less patient than the platform, whose callers get this error.
            if let CallerError::PortNeverOpened { waited, .. } = &mut not_started.error {
                *waited = self.project.settings.start_timeout;
            }
            not_started
        })
    }

    /// The settings of an instance that runs while others do.
    pub(crate) fn settings_beside(&self) -> Settings {
        let mut settings = self.project.settings.clone();
        if let (Port::Movable, Some(free)) = (self.port(), free_port()) {
            settings.port = free;
        }
        settings.start_timeout = self.start_patience();
        settings
    }

    /// A start that takes this long will not end: others of the same server were much quicker, on a machine that was
    /// less busy.
    pub(crate) fn start_patience(&self) -> Duration {
        let first = self.measured.start_time.get().copied().unwrap_or_default();
        (START_PATIENCE_MIN + first * START_SLOWDOWN_MAX).min(self.project.settings.start_timeout)
    }

    /// Whether the port can be chosen; the first observation counts.
    pub(crate) fn observed(&self, port: Port) {
        self.port.get_or_init(|| port);
    }

    /// Whether several instances can run at a time: each on a port of its own, or each in a network of its own.
    pub(crate) fn can_run_beside(&self) -> bool {
        self.port() == Port::Movable || self.has_own_network()
    }

    /// Whether each instance has a network of its own.
    pub(crate) fn has_own_network(&self) -> bool {
        self.project.isolation == Isolation::Sandboxed(Network::Own)
    }

    /// Starts all further instances in another network. Returns what was measured in the old one.
    pub(crate) fn move_to(&mut self, network: Network) -> Measured {
        self.project.isolation = Isolation::Sandboxed(network);
        std::mem::take(&mut self.measured)
    }

    /// Undoes [`Self::move_to`].
    pub(crate) fn move_back(&mut self, network: Network, measured: Measured) {
        self.project.isolation = Isolation::Sandboxed(network);
        self.measured = measured;
    }

    /// The function in this machine's network.
    pub(crate) fn on_host(&self) -> Project {
        let mut project = self.project.at(&self.project.code);
        if self.has_own_network() {
            project.isolation = Isolation::Sandboxed(Network::Host);
        }
        project
    }

    /// Whether the port can be chosen.
    pub(crate) fn port(&self) -> Port {
        self.port.get().copied().unwrap_or(Port::Fixed)
    }

    /// A function that takes few requests at a time gets its idle connections one check after the other.
    pub(crate) fn turn(&self) -> Option<std::sync::MutexGuard<'_, ()>> {
        let is_narrow = self.project.settings.concurrency_max() < 3;
        is_narrow.then(|| self.turn.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What was recorded so far.
    pub(crate) fn record(&self) -> std::sync::MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long a plain request took; the first measurement counts.
    pub(crate) fn measured(&self, pace: Pace) {
        self.measured.pace.get_or_init(|| pace);
    }

    /// The status of the first plain request; the first one counts.
    pub(crate) fn responded(&self, status: u16) {
        self.measured.plain_status.get_or_init(|| status);
    }

    /// The status of the first plain request.
    pub(crate) fn plain_status(&self) -> Option<u16> {
        self.measured.plain_status.get().copied()
    }

    /// How long to wait for a response. A function may be slow, up to its own time-out.
    pub(crate) fn patience(&self) -> Duration {
        match self.measured.pace.get() {
            Some(Pace::Never) => PATIENCE_LOST,
            Some(Pace::Within(time)) => (PATIENCE_MIN + *time * SLOWDOWN_MAX)
                .min(self.project.settings.timeout)
                .max(PATIENCE_MIN),
            None => PATIENCE_MIN,
        }
    }

    /// A plain request, as the router sends it.
    pub(crate) fn plain(&self, instance: &Instance) -> Call {
        self.http(instance, "GET", &self.paths.plain)
    }

    /// A plain request with something to recognize in its query.
    pub(crate) fn marked(&self, instance: &Instance, mark: &str) -> Call {
        let path = &self.paths.plain;
        let separator = if path.contains('?') { '&' } else { '?' };
        let target = format!("{path}{separator}coldstart-check={mark}");
        self.http(instance, "GET", &target)
    }

    /// An HTTP call, as the router sends it.
    pub(crate) fn http(&self, instance: &Instance, method: &str, target: &str) -> Call {
        self.request(instance, HTTP_INVOKE, Call::new(method, target))
    }

    /// An event, as the router sends it.
    pub(crate) fn event(&self, instance: &Instance, body: impl Into<Vec<u8>>) -> Call {
        let call = Call::new("POST", INVOKE)
            .field("Content-Type", "application/octet-stream")
            .body(body);
        self.request(instance, INVOKE, call)
    }

    fn request(&self, instance: &Instance, control_path: &str, call: Call) -> Call {
        let id = clock::request_id();
        call.fields(headers::of_platform(
            &id,
            control_path,
            &self.project.settings,
            &instance.identity,
        ))
    }

    /// Sends a request on a connection and records the response.
    pub(crate) fn ask(&self, wire: &mut Wire, call: &Call) -> Result<Reply, Fault> {
        self.ask_within(wire, call, self.patience())
    }

    /// The same with another patience.
    pub(crate) fn ask_within(
        &self,
        wire: &mut Wire,
        call: &Call,
        patience: Duration,
    ) -> Result<Reply, Fault> {
        let reply = wire.call(call, patience)?;
        self.note_head(&reply.head);
        if call.body_len() <= READ_LEN_MIN {
            self.note_end(&reply.head);
        }
        Ok(reply)
    }

    /// Sends a request on a connection of its own.
    pub(crate) fn ask_once(&self, instance: &Instance, call: &Call) -> Result<Reply, Fault> {
        let mut wire = dial(instance)?;
        self.ask(&mut wire, call)
    }

    /// Records what a response's head says.
    pub(crate) fn note_head(&self, head: &Response) {
        let mut record = self.record();
        record.responses += 1;
        record.fields_len_max = record.fields_len_max.max(head.fields_len);
        for (name, _) in &head.fields.0 {
            let name = name.to_ascii_lowercase();
            let is_reserved = name.starts_with("x-fc-") && name != "x-fc-status";
            if is_reserved && !record.reserved.contains(&name) {
                record.reserved.push(name);
            }
        }
    }

    /// Records whether a response closes its connection.
    pub(crate) fn note_end(&self, head: &Response) {
        // A refusal may close: the router does not send such a request.
        if !head.keeps_alive() && !matches!(head.status, 400 | 408 | 413 | 414 | 431 | 500..) {
            self.record().closing.push(head.status.to_string());
        }
    }

    /// A request that ended in a fault, with the error that the platform's caller gets.
    pub(crate) fn broken_by(&self, context: &str, fault: &Fault) -> Break {
        let broken = Break::new(format!("{context}: {fault}"));
        let broken = broken.caller(match fault {
            Fault::Malformed(why) => CallerError::BadResponse { why: why.clone() },
            Fault::UnsupportedVersion | Fault::BodyTooLong => CallerError::BadResponse {
                why: fault.to_string(),
            },
            Fault::HeadTooLong => CallerError::BadResponse {
                why: "response headers too long".to_owned(),
            },
            Fault::CallerLeft => CallerError::Canceled,
            Fault::TimedOut | Fault::Endless => CallerError::TimedOut {
                after: self.project.settings.timeout,
            },
            Fault::Refused(_) | Fault::Closed | Fault::ClosedMidway | Fault::Broken(_) => {
                CallerError::ProcessExited
            }
        });
        if let Fault::TimedOut = fault {
            broken.follows(&[Cause::NoResponse, Cause::OneWorker])
        } else {
            broken.follows(&[Cause::NoResponse])
        }
    }
}

/// A connection to an instance.
pub(crate) fn dial(instance: &Instance) -> Result<Wire, Fault> {
    instance.dial(CONNECT_PATIENCE)
}

/// Ports below the range that the kernel gives to outgoing connections. Each is handed out once, so that two lanes do
/// not get the same.
const PORTS: std::ops::Range<u32> = 12_000..32_000;
const TRIES: u32 = 200;

/// A port that is free now.
pub(crate) fn free_port() -> Option<u16> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let length = PORTS.end - PORTS.start;
    // Several runs of this program may go on at the same time.
    let offset = std::process::id().wrapping_mul(997) % length;
    (0..TRIES).find_map(|_| {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = u16::try_from(PORTS.start + (offset + number) % length).ok()?;
        TcpListener::bind(("0.0.0.0", port)).ok().map(|_| port)
    })
}
