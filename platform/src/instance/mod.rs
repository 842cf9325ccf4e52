//! One instance of the function: its processes, its life cycle, and its start.

pub(crate) mod command;
pub(crate) mod cores;
pub(crate) mod hooks;
pub(crate) mod launch;
pub(crate) mod logs;
pub(crate) mod phase;
pub(crate) mod probe;
pub(crate) mod process;
pub(crate) mod timeline;

use std::io;
use std::net::TcpStream;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::environment::Identity;
use crate::listeners;
use crate::sandbox::Network;
use crate::wire::{Fault, Wire};

use logs::Logs;
use phase::{Life, Step};
use probe::Probes;
use process::Process;
use timeline::{Part, Timeline};

/// How often the memory limit is checked.
const GUARD_PERIOD: Duration = Duration::from_millis(100);
/// How long the last words of an ended process may take to arrive.
const LAST_WORDS: Duration = Duration::from_millis(500);
const LAST_LINES: usize = 5;

/// A launched function.
#[derive(Debug)]
pub(crate) struct Instance {
    /// The server's process and everything that it started.
    pub(crate) process: Arc<Process>,
    /// Its output.
    pub(crate) logs: Arc<Logs>,
    /// The credentials that it received.
    pub(crate) identity: Identity,
    /// How long each part of the start took.
    pub(crate) timeline: Timeline,
    /// How the port was found open.
    pub(crate) probes: Probes,
    life: Mutex<Life>,
    port: u16,
}

impl Instance {
    /// Connects as the router does, to an address that only a server bound to every address accepts on.
    pub(crate) fn connect(&self, patience: Duration) -> io::Result<TcpStream> {
        self.process.connect(self.port, patience)
    }

    /// Connects for HTTP exchanges.
    pub(crate) fn dial(&self, patience: Duration) -> Result<Wire, Fault> {
        let stream = self.connect(patience).map_err(Fault::Refused)?;
        Ok(Wire::of(stream)?)
    }

    /// The memory that the function uses now, if that is known.
    pub(crate) fn memory_kb(&self) -> Option<u64> {
        self.process.usage().map(|usage| usage.memory_kb)
    }

    /// The port that the server is expected to listen on.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Returns whether the port was reached once.
    fn has_listened(&self) -> bool {
        self.timeline.of(Part::Listen).is_some()
    }

    /// Names the process of this machine that has the port instead of the function.
    fn foreign_holder(&self) -> Option<String> {
        match self.process.network() {
            Network::Host => listeners::holder_of(self.port),
            Network::Own => None,
        }
    }

    /// Advances the life cycle. An impossible step changes nothing.
    pub(crate) fn on(&self, step: Step) {
        let mut life = self.life.lock().unwrap_or_else(PoisonError::into_inner);
        life.on(step);
    }

    /// Stops every thread of the instance until [`Self::thaw`].
    pub(crate) fn freeze(&self) {
        self.process.freeze();
        self.on(Step::Froze);
    }

    /// Kills the instance when it uses more memory than the function has, as the platform does, and remarks on an end
    /// that was not asked for. A thread checks periodically and ends with the instance.
    pub(crate) fn guard(
        &self,
        limit_mb: u64,
        remark: impl Fn(String) + Send + 'static,
    ) -> io::Result<()> {
        let process = Arc::downgrade(&self.process);
        let logs = Arc::clone(&self.logs);
        let guarding = move || {
            while let Some(process) = process.upgrade() {
                let used = process.usage().map_or(0, |usage| usage.memory_kb / 1024);
                if used > limit_mb {
                    remark(format!(
                        "out of memory: {used} MB of {limit_mb} MB used, the instance was killed"
                    ));
                    process.kill();
                }
                if let Some(status) = process.wait(GUARD_PERIOD) {
                    if !process.was_killed() {
                        remark(epitaph(status, &logs));
                    }
                    return;
                }
            }
        };
        std::thread::Builder::new()
            .name("guard".to_owned())
            .spawn(guarding)
            .map(drop)
    }

    /// Resumes a frozen instance.
    pub(crate) fn thaw(&self) {
        self.process.thaw();
        self.on(Step::Thawed);
    }

    /// Kills the server and everything that it started, and waits until they are gone.
    pub(crate) fn kill(&self) {
        self.process.kill();
        self.on(Step::Ended);
    }
}

/// Says how a process ended, with its last lines.
pub(crate) fn epitaph(status: ExitStatus, logs: &Logs) -> String {
    logs.wait_closed(LAST_WORDS);
    let code = process::exit_code(status);
    let lines = logs.lines();
    let last = lines.iter().rev().take(LAST_LINES).rev();
    let last: String = last.map(|line| format!("\n    {line}")).collect();
    if last.is_empty() {
        format!("the function ended with code {code} and wrote nothing")
    } else {
        format!("the function ended with code {code}; its last lines:{last}")
    }
}

/// An instance never outlives its owner, not even when that panics.
impl Drop for Instance {
    fn drop(&mut self) {
        self.process.kill();
    }
}
