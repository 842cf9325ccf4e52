//! Configuration in, workers out.

use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use crate::handler::{FunctionHandler, Handler};
use crate::limits::{Limits, Timeouts, WORKERS_MAX};
use crate::observe::{Event, Observer, StderrObserver};
use crate::os::{
    Fault, KeepaliveTimes, Listener, PortSharing, RealOs, Signals, SocketOptions, StopFlag, Wake,
    signal,
};
use crate::pool::Blocking;
use crate::reactor::{Reactor, Settings};
use crate::request::Request;
use crate::response::Response;

/// The port of a server that is told none.
pub const DEFAULT_PORT: u16 = 9000;
/// Connections that the kernel keeps for us before they are accepted.
const DEFAULT_BACKLOG: i32 = 1024;
/// When the kernel first asks an idle peer whether it still lives, how often then, and how often in vain.
const DEFAULT_KEEPALIVE: KeepaliveTimes = KeepaliveTimes {
    idle: Duration::from_secs(60),
    interval: Duration::from_secs(15),
    count: 8,
};

/// An HTTP/1.1 server: where it listens, and within which bounds.
///
/// ```no_run
/// use coldstart::{Response, Server};
///
/// # fn main() -> Result<(), coldstart::StartError> {
/// Server::new().port(8080).run(|request| Response::text(format!("{}\n", request.path())))
/// # }
/// ```
#[derive(Debug)]
pub struct Server {
    options: SocketOptions,
    settings: Settings,
    signals: Signals,
}

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}

impl Server {
    /// A server on `0.0.0.0`, port 9000, that SIGTERM and SIGINT stop.
    #[must_use]
    pub const fn new() -> Self {
        let address = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), DEFAULT_PORT);
        Self {
            options: SocketOptions {
                address,
                backlog: DEFAULT_BACKLOG,
                keepalive: Some(DEFAULT_KEEPALIVE),
                sharing: PortSharing::Alone,
            },
            settings: Settings {
                limits: Limits::new(),
                timeouts: Timeouts::new(),
            },
            signals: Signals::Heard,
        }
    }

    /// Listens on this port; 0 is any free one.
    #[must_use]
    pub const fn port(mut self, port: u16) -> Self {
        self.options.address.set_port(port);
        self
    }

    /// Listens on this address. On the platform anything but `0.0.0.0` is out of its reach.
    #[must_use]
    pub const fn address(mut self, address: SocketAddr) -> Self {
        self.options.address = address;
        self
    }

    /// Sets the bounds.
    #[must_use]
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.settings.limits = limits;
        self
    }

    /// Sets the time-outs.
    #[must_use]
    pub const fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.settings.timeouts = timeouts;
        self
    }

    /// TCP keepalive: the kernel asks a silent peer after `idle`, then each `interval`, and gives it up after `count`
    /// questions in vain. Default 60 s, 15 s, 8. No answer of a live peer's ever closes a connection.
    #[must_use]
    pub const fn tcp_keepalive(mut self, idle: Duration, interval: Duration, count: u32) -> Self {
        self.options.keepalive = Some(KeepaliveTimes {
            idle,
            interval,
            count,
        });
        self
    }

    /// Leaves TCP keepalive off.
    #[must_use]
    pub const fn without_tcp_keepalive(mut self) -> Self {
        self.options.keepalive = None;
        self
    }

    /// Connections that the kernel keeps before they are accepted; default 1024, bounded by `net.core.somaxconn`.
    #[must_use]
    pub const fn backlog(mut self, connections: i32) -> Self {
        self.options.backlog = connections;
        self
    }

    /// Leaves SIGTERM and SIGINT alone: the program stops the server with a [`Stopper`].
    #[must_use]
    pub const fn without_signals(mut self) -> Self {
        self.signals = Signals::Left;
        self
    }

    /// Binds and listens, and nothing else: from here on the kernel accepts connections for us.
    ///
    /// # Errors
    ///
    /// The address can't be had; the error names it and the remedy.
    pub fn bind(self) -> Result<Bound, StartError> {
        let failed = |error| StartError::from_bind(self.options.address, error);
        let listener = Listener::open(&self.options).map_err(failed)?;
        // A port that was given needs no question on the way to the first byte.
        let address = match self.options.address.port() {
            0 => listener.local_address().map_err(failed)?,
            _ => self.options.address,
        };
        let wake = Wake::new().map_err(StartError::from_os)?;
        Ok(Bound {
            listener,
            address,
            wake,
            settings: self.settings,
            signals: self.signals,
            stop: Arc::default(),
            observer: Box::new(StderrObserver),
        })
    }

    /// Binds, then serves with a function or closure until the server is stopped.
    ///
    /// # Errors
    ///
    /// The address can't be had, or the kernel denies what a loop needs.
    pub fn run(self, function: impl FnMut(&Request<'_>) -> Response) -> Result<(), StartError> {
        self.bind()?.run(function)
    }

    /// The same with a [`Handler`]. (One method for both would make closures need type annotations.)
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn run_handler(self, handler: impl Handler) -> Result<(), StartError> {
        self.bind()?.run_handler(handler)
    }

    /// Serves with one loop and up to `count` threads on which the handler may block; see [`Blocking`].
    #[must_use]
    pub const fn threads(self, count: usize) -> Threads {
        Threads {
            server: self,
            count,
        }
    }

    /// Serves with `count` loops on threads of their own, each with a clone of the handler and a listening socket on
    /// the same port, among which the kernel spreads connections (`SO_REUSEPORT`). At most [`WORKERS_MAX`].
    #[must_use]
    pub const fn workers(self, count: usize) -> Workers {
        Workers {
            server: self,
            count,
        }
    }
}

/// A server that listens and does not serve yet.
#[derive(Debug)]
pub struct Bound {
    listener: Listener,
    address: SocketAddr,
    wake: Wake,
    settings: Settings,
    signals: Signals,
    stop: Arc<AtomicBool>,
    observer: Box<dyn Observer>,
}

impl Bound {
    /// Where it listens.
    #[must_use]
    pub const fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// Tells events to `observer` in place of stderr.
    #[must_use]
    pub fn observer(mut self, observer: impl Observer + 'static) -> Self {
        self.observer = Box::new(observer);
        self
    }

    /// What stops it, from any thread.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        Stopper {
            flag: Arc::clone(&self.stop),
            wakes: vec![self.wake.clone()],
        }
    }

    /// Serves with a function or closure until the server is stopped.
    ///
    /// # Errors
    ///
    /// The kernel denies what a loop needs.
    pub fn run(self, function: impl FnMut(&Request<'_>) -> Response) -> Result<(), StartError> {
        self.run_handler(FunctionHandler(function))
    }

    /// The same with a [`Handler`].
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn run_handler(self, handler: impl Handler) -> Result<(), StartError> {
        if self.signals == Signals::Heard {
            signal::install(std::slice::from_ref(&self.wake)).map_err(StartError::from_os)?;
        }
        self.serve(handler)
    }

    fn serve(mut self, handler: impl Handler) -> Result<(), StartError> {
        let stop = StopFlag {
            flag: self.stop,
            signals: self.signals,
        };
        let wake = self.wake.clone();
        let os = RealOs::new(self.listener, self.wake, stop).map_err(StartError::from_os)?;
        self.observer.on(Event::Listening(self.address));
        Reactor::new(os, handler, self.settings, self.observer, move || {
            wake.wake();
        })
        .run()
        .map_err(StartError::from_fault)
    }
}

/// A pool of threads behind one loop; see [`Server::threads`].
#[derive(Debug)]
pub struct Threads {
    server: Server,
    count: usize,
}

impl Threads {
    /// Serves with a function or closure, cloned for each thread.
    ///
    /// # Errors
    ///
    /// As [`Server::run`].
    pub fn run<F>(self, function: F) -> Result<(), StartError>
    where
        F: FnMut(&Request<'_>) -> Response + Clone + Send + 'static,
    {
        self.run_handler(FunctionHandler(function))
    }

    /// The same with a [`Handler`]. Its [`accept`](Handler::accept) runs on the loop and must not block.
    ///
    /// # Errors
    ///
    /// As [`Server::run`].
    pub fn run_handler(
        self,
        handler: impl Handler + Clone + Send + 'static,
    ) -> Result<(), StartError> {
        self.server.run_handler(Blocking::new(handler, self.count))
    }
}

/// Several loops; see [`Server::workers`].
#[derive(Debug)]
pub struct Workers {
    server: Server,
    count: usize,
}

impl Workers {
    /// Binds a socket for each loop and listens on it, and nothing else.
    ///
    /// # Errors
    ///
    /// As [`Server::bind`].
    pub fn bind(self) -> Result<BoundWorkers, StartError> {
        let Server {
            mut options,
            settings,
            signals,
        } = self.server;
        options.sharing = PortSharing::Shared;
        let mut workers = Vec::new();
        for _ in 0..self.count.clamp(1, WORKERS_MAX) {
            let server = Server {
                options,
                settings,
                signals,
            };
            let bound = server.bind()?;
            // A port that was chosen for the first is the port of all.
            options.address = bound.address;
            workers.push(bound);
        }
        Ok(BoundWorkers {
            address: options.address,
            stop: Arc::default(),
            signals,
            workers,
        })
    }

    /// Serves with a function or closure, cloned for each loop.
    ///
    /// # Errors
    ///
    /// As [`Server::run`], and if the kernel starts no further thread.
    pub fn run<F>(self, function: F) -> Result<(), StartError>
    where
        F: FnMut(&Request<'_>) -> Response + Clone + Send,
    {
        self.bind()?.run(function)
    }

    /// The same with a [`Handler`].
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn run_handler(self, handler: impl Handler + Clone + Send) -> Result<(), StartError> {
        self.bind()?.run_handler(handler)
    }
}

/// Several loops that listen and do not serve yet.
#[derive(Debug)]
pub struct BoundWorkers {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    signals: Signals,
    workers: Vec<Bound>,
}

impl BoundWorkers {
    /// Where they listen.
    #[must_use]
    pub const fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// What stops them all, from any thread.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        Stopper {
            flag: Arc::clone(&self.stop),
            wakes: self.wakes(),
        }
    }

    fn wakes(&self) -> Vec<Wake> {
        self.workers
            .iter()
            .map(|worker| worker.wake.clone())
            .collect()
    }

    /// Serves with a function or closure, cloned for each loop, until the server is stopped.
    ///
    /// # Errors
    ///
    /// As [`Bound::run`], and if the kernel starts no further thread.
    pub fn run<F>(self, function: F) -> Result<(), StartError>
    where
        F: FnMut(&Request<'_>) -> Response + Clone + Send,
    {
        self.run_handler(FunctionHandler(function))
    }

    /// The same with a [`Handler`]. A loop that ends, for whatever reason, stops the others.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn run_handler(self, handler: impl Handler + Clone + Send) -> Result<(), StartError> {
        if self.signals == Signals::Heard {
            signal::install(&self.wakes()).map_err(StartError::from_os)?;
        }
        let stopper = self.stopper();
        let mut workers = self.workers.into_iter().map(|mut worker| {
            worker.stop = Arc::clone(&self.stop);
            worker
        });
        let first = workers.next();
        thread::scope(|scope| {
            let mut threads = Vec::new();
            let mut outcome = Ok(());
            for worker in workers {
                let worker = worker.observer(SilentStart(StderrObserver));
                let (handler, end) = (handler.clone(), StopAtEnd(stopper.clone()));
                let thread = thread::Builder::new().name("worker".to_owned());
                match thread.spawn_scoped(scope, move || end.serve(worker, handler)) {
                    Ok(thread) => threads.push(thread),
                    Err(error) => {
                        // The closure is gone, and with it `end`: those who run are told to stop.
                        outcome = Err(StartError::from_os(error));
                        break;
                    }
                }
            }
            if let (Some(first), Ok(())) = (first, &outcome) {
                outcome = StopAtEnd(stopper).serve(first, handler);
            }
            let outcomes = threads.into_iter().filter_map(|thread| thread.join().ok());
            outcomes.fold(outcome, Result::and)
        })
    }
}

/// Stops all workers when one of them ends.
struct StopAtEnd(Stopper);

impl StopAtEnd {
    fn serve(self, worker: Bound, handler: impl Handler) -> Result<(), StartError> {
        worker.serve(handler)
    }
}

impl Drop for StopAtEnd {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// One line that the server listens is enough.
#[derive(Debug)]
struct SilentStart<T>(T);

impl<T: Observer> Observer for SilentStart<T> {
    fn on(&mut self, event: Event) {
        if !matches!(event, Event::Listening(_)) {
            self.0.on(event);
        }
    }
}

/// Stops a server from any thread, as SIGTERM does: no new connection, running requests are finished.
#[derive(Clone, Debug)]
pub struct Stopper {
    flag: Arc<AtomicBool>,
    wakes: Vec<Wake>,
}

impl Stopper {
    /// Begins the stop; [`Bound::run`] returns when it is done.
    pub fn stop(&self) {
        self.flag.store(true, Ordering::Release);
        for wake in &self.wakes {
            wake.wake();
        }
    }
}

/// Why a server did not start, or could not go on. Each has its [`exit_code`](Self::exit_code).
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// Another process has the address. Exit status 69.
    AddressInUse(SocketAddr),
    /// Ports below 1024 are for privileged processes. Exit status 77.
    PermissionDenied(SocketAddr),
    /// No interface of this machine has the address. Exit status 68.
    AddressNotAvailable(SocketAddr),
    /// A setting names no port. Exit status 78.
    InvalidPort {
        /// Where the value came from.
        source: String,
        /// The value.
        value: String,
    },
    /// Anything else that the kernel denies. Exit status 71.
    Os(io::Error),
}

impl StartError {
    fn from_bind(address: SocketAddr, error: io::Error) -> Self {
        let kind = error.kind();
        if kind == io::ErrorKind::AddrInUse {
            Self::AddressInUse(address)
        } else if kind == io::ErrorKind::PermissionDenied {
            Self::PermissionDenied(address)
        } else if kind == io::ErrorKind::AddrNotAvailable {
            Self::AddressNotAvailable(address)
        } else {
            Self::Os(error)
        }
    }

    const fn from_os(error: io::Error) -> Self {
        Self::Os(error)
    }

    fn from_fault(fault: Fault) -> Self {
        match fault {
            Fault::Other(number) if number != 0 => Self::Os(io::Error::from_raw_os_error(number)),
            Fault::Exhausted => Self::Os(io::ErrorKind::OutOfMemory.into()),
            Fault::Other(_) | Fault::Again | Fault::Gone => Self::Os(io::ErrorKind::Other.into()),
        }
    }

    /// The exit status for it, after sysexits(3).
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::AddressNotAvailable(_) => 68,
            Self::AddressInUse(_) => 69,
            Self::Os(_) => 71,
            Self::PermissionDenied(_) => 77,
            Self::InvalidPort { .. } => 78,
        }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddressInUse(address) => write!(
                formatter,
                "cannot listen on {address}: another process does; stop it or choose another port"
            ),
            Self::PermissionDenied(address) => write!(
                formatter,
                "cannot listen on {address}: permission denied; choose a port from 1024 up, or grant CAP_NET_BIND_SERVICE"
            ),
            Self::AddressNotAvailable(address) => write!(
                formatter,
                "cannot listen on {address}: this machine has no such address; use 0.0.0.0"
            ),
            Self::InvalidPort { source, value } => write!(
                formatter,
                "{source} is {value:?}, which is no port; give a number from 1 to 65535"
            ),
            Self::Os(error) => write!(formatter, "the server cannot run: {error}"),
        }
    }
}

impl core::error::Error for StartError {}

impl From<&StartError> for ExitCode {
    fn from(error: &StartError) -> Self {
        Self::from(error.exit_code())
    }
}
