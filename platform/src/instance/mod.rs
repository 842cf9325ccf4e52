//! One instance of the function: its processes, its life cycle, and its start.

pub(crate) mod cores;
pub(crate) mod hooks;
pub(crate) mod launch;
pub(crate) mod logs;
pub(crate) mod phase;
pub(crate) mod probe;
pub(crate) mod process;
pub(crate) mod timeline;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::Signal;

use crate::environment::Identity;
use crate::wire::{Fault, Wire};

use logs::Logs;
use phase::{Life, Step};
use probe::Probes;
use process::Process;
use timeline::Timeline;

/// How often the memory limit is checked.
const MEMORY_PERIOD: Duration = Duration::from_millis(100);

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
        TcpStream::connect_timeout(&router_address(self.port), patience)
    }

    /// Connects for HTTP exchanges.
    pub(crate) fn dial(&self, patience: Duration) -> Result<Wire, Fault> {
        let stream = self.connect(patience).map_err(Fault::Refused)?;
        Ok(Wire::of(stream)?)
    }

    /// The port that the server is expected to listen on.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Advances the life cycle. An impossible step changes nothing.
    pub(crate) fn on(&self, step: Step) {
        let mut life = self.life.lock().unwrap_or_else(PoisonError::into_inner);
        life.on(step);
    }

    /// Stops every thread of the instance until [`Self::thaw`].
    pub(crate) fn freeze(&self) {
        self.process.signal(Signal::STOP);
        self.on(Step::Froze);
    }

    /// Kills the instance when it uses more memory than the function has, as the platform does. A thread checks
    /// periodically and ends with the instance.
    pub(crate) fn guard_memory(
        &self,
        limit_mb: u64,
        tell: impl Fn(String) + Send + 'static,
    ) -> io::Result<()> {
        let process = Arc::downgrade(&self.process);
        let guarding = move || {
            while let Some(process) = process.upgrade() {
                let used = process.usage().memory_kb / 1024;
                if used > limit_mb {
                    tell(format!(
                        "out of memory: {used} MB of {limit_mb} MB used, the instance was killed"
                    ));
                    process.kill();
                }
                if process.wait(MEMORY_PERIOD).is_some() {
                    return;
                }
            }
        };
        std::thread::Builder::new()
            .name("memory".to_owned())
            .spawn(guarding)
            .map(drop)
    }

    /// Resumes a frozen instance.
    pub(crate) fn thaw(&self) {
        self.process.signal(Signal::CONT);
        self.on(Step::Thawed);
    }

    /// Kills the server and everything that it started, and waits until they are gone.
    pub(crate) fn kill(&self) {
        self.process.kill();
        self.on(Step::Ended);
    }
}

/// An instance never outlives its owner, not even when that panics.
impl Drop for Instance {
    fn drop(&mut self) {
        self.process.kill();
    }
}

/// A loopback address that only servers bound to every address accept on.
pub(crate) const fn router_address(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)), port)
}
