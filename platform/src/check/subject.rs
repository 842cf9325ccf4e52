//! The server under examination: started as often as the checks need it, and called as the platform calls it.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock;
use crate::environment::Completeness;
use crate::fix::Language;
use crate::headers::{self, HTTP_INVOKE, INVOKE};
use crate::instance::Instance;
use crate::instance::launch::{self, Circumstances, NotStarted, Witness};
use crate::instance::logs::Logs;
use crate::instance::timeline::Timeline;
use crate::project::{Project, Settings};
use crate::wire::exchange::{Call, Reply};
use crate::wire::{Fault, Wire};

/// How long any answer may take before the check gives up on it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
const CONNECT_PATIENCE: Duration = Duration::from_secs(3);

/// How far the waiting goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    Quick,
    Idle,
    Full,
}

/// Can the server be told another port?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Port {
    Movable,
    Fixed,
}

/// What is known about the server, and what was seen on the way.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) project: Project,
    pub(crate) language: Language,
    pub(crate) depth: Depth,
    pub(crate) fault_path: Option<String>,
    pub(crate) stream_path: String,
    record: Mutex<Record>,
}

/// What only all answers together tell.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) answers: u64,
    pub(crate) closing: Vec<String>,
    pub(crate) fields_len_max: usize,
    pub(crate) reserved: Vec<String>,
    pub(crate) logs: Vec<(Arc<Logs>, [String; 2])>,
}

#[derive(Clone, Copy, Debug)]
struct Silent;

impl Witness for Silent {
    fn on_line(&self, _: &str) {}
    fn on_remark(&self, _: &str) {}
}

impl Subject {
    /// Before anything was started.
    pub(crate) fn new(
        project: Project,
        depth: Depth,
        fault_path: Option<String>,
        stream_path: String,
    ) -> Self {
        let language = Language::of(&project);
        Self {
            project,
            language,
            depth,
            fault_path,
            stream_path,
            record: Mutex::default(),
        }
    }

    /// Starts an instance with the configured settings.
    pub(crate) fn start(&self) -> Result<Instance, NotStarted> {
        self.start_with(&self.project.settings, Circumstances::default())
    }

    /// Starts one beside others: on a port of its own when the server can be told.
    pub(crate) fn start_beside(
        &self,
        port: Port,
        completeness: Completeness,
    ) -> Result<Instance, NotStarted> {
        let circumstances = Circumstances {
            completeness,
            user: None,
        };
        self.start_with(&self.settings_beside(port), circumstances)
    }

    /// Starts one with settings of its own.
    pub(crate) fn start_with(
        &self,
        settings: &Settings,
        circumstances: Circumstances,
    ) -> Result<Instance, NotStarted> {
        self.start_project(&self.project, settings, circumstances)
    }

    /// Starts a copy of the function.
    pub(crate) fn start_project(
        &self,
        project: &Project,
        settings: &Settings,
        circumstances: Circumstances,
    ) -> Result<Instance, NotStarted> {
        let started = launch::start(project, settings, circumstances, &Silent, Timeline::begin());
        if let Ok(instance) = &started {
            let secrets = instance.identity.secrets().map(str::to_owned);
            self.record()
                .logs
                .push((Arc::clone(&instance.logs), secrets));
        }
        started
    }

    /// The settings of an instance beside others.
    pub(crate) fn settings_beside(&self, port: Port) -> Settings {
        let mut settings = self.project.settings.clone();
        if let (Port::Movable, Some(free)) = (port, free_port()) {
            settings.port = free;
        }
        settings
    }

    /// What was seen so far.
    pub(crate) fn record(&self) -> std::sync::MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An HTTP call as the router sends it.
    pub(crate) fn http(&self, instance: &Instance, method: &str, target: &str) -> Call {
        self.request(instance, HTTP_INVOKE, Call::new(method, target))
    }

    /// An event as the router sends it.
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

    /// Sends a request on a connection and takes note of the answer.
    pub(crate) fn ask(&self, wire: &mut Wire, call: &Call) -> Result<Reply, Fault> {
        self.ask_within(wire, call, PATIENCE)
    }

    /// The same with another patience.
    pub(crate) fn ask_within(
        &self,
        wire: &mut Wire,
        call: &Call,
        patience: Duration,
    ) -> Result<Reply, Fault> {
        let reply = wire.call(call, patience)?;
        self.note(&reply);
        Ok(reply)
    }

    /// Sends a request on a connection of its own.
    pub(crate) fn ask_once(&self, instance: &Instance, call: &Call) -> Result<Reply, Fault> {
        let mut wire = dial(instance)?;
        self.ask(&mut wire, call)
    }

    fn note(&self, reply: &Reply) {
        let mut record = self.record();
        let answer = &reply.answer;
        record.answers += 1;
        record.fields_len_max = record.fields_len_max.max(answer.fields_len);
        // A refusal may close: the request was not one that the router sends.
        if !answer.keeps_alive() && !matches!(answer.status, 400 | 408 | 413 | 414 | 431 | 500..) {
            record.closing.push(answer.status.to_string());
        }
        for (name, _) in &answer.fields.0 {
            let name = name.to_ascii_lowercase();
            let is_reserved = name.starts_with("x-fc-") && name != "x-fc-status";
            if is_reserved && !record.reserved.contains(&name) {
                record.reserved.push(name);
            }
        }
    }
}

/// A connection to an instance.
pub(crate) fn dial(instance: &Instance) -> Result<Wire, Fault> {
    instance.dial(CONNECT_PATIENCE)
}

/// Ports below the range that the kernel gives to outgoing connections, each given once: two lanes that ask at the
/// same time must not get the same.
const PORTS: std::ops::Range<u32> = 12_000..32_000;
const TRIES: u32 = 200;

/// A port that nobody uses now.
pub(crate) fn free_port() -> Option<u16> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let length = PORTS.end - PORTS.start;
    // Several programs of this kind may run side by side.
    let offset = std::process::id().wrapping_mul(997) % length;
    (0..TRIES).find_map(|_| {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = u16::try_from(PORTS.start + (offset + number) % length).ok()?;
        TcpListener::bind(("0.0.0.0", port)).ok().map(|_| port)
    })
}
