//! The server: its configuration, and from it the loops that serve.

pub(crate) mod start_error;
pub(crate) mod workers;

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;

use crate::current_request;
use crate::handler::blocking::Blocking;
use crate::handler::outcome::IntoOutcome;
use crate::handler::{FunctionHandler, Handler};
use crate::limits::BACKLOG;
use crate::message::request::Request;
use crate::os::{
    KeepaliveTimes, Listener, Orphans, PortSharing, RealOs, Signals, SocketOptions, StopFlag, Wake,
    memory_limit, signal,
};
use crate::output;
use crate::reactor::{IdlePolicy, Reactor, Settings, Setup};
use crate::sync::contain::contain;
use crate::sync::memory::Memory;

pub use crate::limits::{HEAD_LEN_CEILING, HEADERS_CEILING, Limits, Timeouts, WORKERS_MAX};
pub use crate::observe::{FieldName, Observer, ServerEvent, StderrObserver};
pub use start_error::StartError;
pub use workers::{BoundWorkers, Workers};

/// The port of a server without a configured one.
pub const DEFAULT_PORT: u16 = 9000;
/// When the kernel first probes an idle peer, how often after that, and how many probes may fail.
const DEFAULT_KEEPALIVE: KeepaliveTimes = KeepaliveTimes {
    idle: Duration::from_secs(60),
    interval: Duration::from_secs(15),
    count: 8,
};

/// An HTTP/1.1 server: the address that it listens on, and its bounds.
///
/// ```no_run
/// use coldstart::{Response, Server};
///
/// # fn main() -> Result<(), coldstart::server::StartError> {
/// Server::new().port(8080).run(|request| Response::text(format!("{}\n", request.path())))
/// # }
/// ```
#[derive(Debug)]
pub struct Server {
    pub(crate) options: SocketOptions,
    pub(crate) port_choice: PortChoice,
    pub(crate) settings: Settings,
    pub(crate) signals: Signals,
    pub(crate) orphans: Orphans,
    /// The memory of the instance, asked for once much is held.
    pub(crate) memory_limit: fn() -> Option<u64>,
}

/// Who has chosen the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PortChoice {
    /// Nothing yet: a function takes the platform's.
    Default,
    Made,
}

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}

impl Server {
    /// A server on `0.0.0.0`, port 9000, which SIGTERM and SIGINT stop.
    #[must_use]
    pub const fn new() -> Self {
        let address = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), DEFAULT_PORT);
        Self {
            options: SocketOptions {
                address,
                backlog: BACKLOG,
                keepalive: Some(DEFAULT_KEEPALIVE),
                sharing: PortSharing::Alone,
            },
            port_choice: PortChoice::Default,
            settings: Settings::new(),
            signals: Signals::Heard,
            orphans: Orphans::Left,
            memory_limit,
        }
    }

    /// Listens on this port; 0 means any free port.
    #[must_use]
    pub const fn port(mut self, port: u16) -> Self {
        self.options.address.set_port(port);
        self.port_choice = PortChoice::Made;
        self
    }

    /// Listens on this address. The platform reaches `0.0.0.0` only.
    ///
    /// ```
    /// use coldstart::Server;
    ///
    /// # fn main() -> Result<(), coldstart::server::StartError> {
    /// // For tests on this machine: no one else can connect.
    /// let bound = Server::new().address(([127, 0, 0, 1], 0).into()).bind()?;
    /// assert!(bound.local_address().ip().is_loopback());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub const fn address(mut self, address: SocketAddr) -> Self {
        self.options.address = address;
        self.port_choice = PortChoice::Made;
        self
    }

    /// Sets the bounds.
    ///
    /// ```
    /// use coldstart::Server;
    /// use coldstart::server::Limits;
    ///
    /// // 413 for each body of more than 1 MiB, unless its route has a bound of its own.
    /// let server = Server::new().limits(Limits::new().body_len_max(1024 * 1024));
    /// ```
    #[must_use]
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.settings.limits = limits;
        self
    }

    /// Sets the time-outs.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use coldstart::Server;
    /// use coldstart::server::Timeouts;
    ///
    /// // Running requests get 30 s after SIGTERM.
    /// let server = Server::new().timeouts(Timeouts::new().drain(Duration::from_secs(30)));
    /// ```
    #[must_use]
    pub const fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.settings.timeouts = timeouts;
        self
    }

    /// TCP keepalive: the kernel probes a silent peer after `idle`, then every `interval`, and gives up after `count` failed
    /// probes. Default 60 s, 15 s, 8. A live peer answers the probes, so its connection is never closed.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use coldstart::Server;
    ///
    /// // A peer that has vanished is found after 30 + 5 · 3 seconds.
    /// let server = Server::new().tcp_keepalive(Duration::from_secs(30), Duration::from_secs(5), 3);
    /// ```
    #[must_use]
    pub const fn tcp_keepalive(mut self, idle: Duration, interval: Duration, count: u32) -> Self {
        self.options.keepalive = Some(KeepaliveTimes {
            idle,
            interval,
            count,
        });
        self
    }

    /// Turns TCP keepalive off.
    #[must_use]
    pub const fn without_tcp_keepalive(mut self) -> Self {
        self.options.keepalive = None;
        self
    }

    /// Connections that the kernel keeps before they are accepted; default 1024, bounded by `net.core.somaxconn`.
    #[must_use]
    pub const fn backlog(mut self, connections: i32) -> Self {
        self.options.backlog = connections;
        self.settings.backlog = connections.unsigned_abs() as usize;
        self
    }

    /// Closes idle connections when there is no room for another one: first those that have never sent anything, then the
    /// one that has been idle for longest, each after one more look for a request. Room is
    /// [`Limits::connections_max`] and the descriptors of the process.
    ///
    /// For servers that strangers can connect to. Off by default: the platform's router keeps its connections, and takes
    /// a close for a crash ([contract rule 4](crate::contract#1-the-rules)).
    ///
    /// ```
    /// use coldstart::Server;
    /// use coldstart::server::Limits;
    ///
    /// let server = Server::new().limits(Limits::new().connections_max(500)).evict_idle();
    /// ```
    #[must_use]
    pub const fn evict_idle(mut self) -> Self {
        self.settings.idle = IdlePolicy::Evict;
        self
    }

    /// Lets other servers listen on the same port, if they share it too and belong to the same user: the kernel distributes
    /// new connections among all of them (`SO_REUSEPORT`), also to one that is stuck. Without it, the start of a second server
    /// on a port fails, so that none takes connections from another one unnoticed.
    ///
    /// ```
    /// use coldstart::Server;
    /// use coldstart::server::StartError;
    ///
    /// # fn main() -> Result<(), StartError> {
    /// let first = Server::new().port(0).share_port().bind()?;
    /// let port = first.local_address().port();
    /// // The next version of a program, which takes over before the first one stops.
    /// let second = Server::new().port(port).share_port().bind()?;
    /// assert_eq!(second.local_address(), first.local_address());
    /// assert!(matches!(Server::new().port(port).bind(), Err(StartError::AddressInUse(_))));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub const fn share_port(mut self) -> Self {
        self.options.sharing = PortSharing::Shared;
        self
    }

    /// Does not catch SIGTERM and SIGINT: the program stops the server with a [`Stopper`].
    ///
    /// ```
    /// use coldstart::Server;
    ///
    /// # fn main() -> Result<(), coldstart::server::StartError> {
    /// let bound = Server::new().port(0).without_signals().bind()?;
    /// let stopper = bound.stopper();
    /// // In a program: what waits for the program's own reason to stop.
    /// std::thread::spawn(move || stopper.stop());
    /// bound.run(|_| "hello\n")
    /// # }
    /// ```
    #[must_use]
    pub const fn without_signals(mut self) -> Self {
        self.signals = Signals::Left;
        self
    }

    /// As process 1, collects processes whose parents ended before them, which otherwise stay as zombies. Off by default;
    /// without effect in any other process, and where `run` is not called on the main thread.
    ///
    /// It leaves the exit status of a process to the thread that has started it, as long as that thread lives. A handler that runs
    /// on the loop must wait for the processes it starts before it returns.
    ///
    /// For the first process of a container that starts others:
    ///
    /// ```no_run
    /// use std::process::Command;
    ///
    /// use coldstart::{Response, Server, Status};
    ///
    /// # fn main() -> Result<(), coldstart::server::StartError> {
    /// Server::new().reap_orphans().run(|_| match Command::new("date").output() {
    ///     Ok(output) => Response::text(output.stdout),
    ///     Err(_) => Response::new(Status::INTERNAL_SERVER_ERROR),
    /// })
    /// # }
    /// ```
    #[must_use]
    pub const fn reap_orphans(mut self) -> Self {
        self.orphans = Orphans::Reaped;
        self
    }

    /// Binds and listens, and nothing else: from then on the kernel queues connections.
    ///
    /// ```
    /// use coldstart::Server;
    ///
    /// # fn main() -> Result<(), coldstart::server::StartError> {
    /// let bound = Server::new().port(0).bind()?;
    /// // Connections are queued from now on, while the program gets ready.
    /// println!("listens on {}", bound.local_address());
    /// assert_ne!(bound.local_address().port(), 0);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The address cannot be bound; the error names it and says how to fix it.
    // Not in place: what it needs of the stack is free again while the server runs.
    #[cfg_attr(not(smallest), inline(never))]
    pub fn bind(self) -> Result<Bound, StartError> {
        let failed = |error| StartError::from_bind(self.options.address, error);
        let listener = Listener::open(&self.options).map_err(failed)?;
        // A configured port saves a system call on the way to the first byte.
        let address = match self.options.address.port() {
            0 => listener.local_address().map_err(failed)?,
            _ => self.options.address,
        };
        self.on(listener, address)
    }

    /// As [`bind`](Self::bind), on a socket that listens already: one that a service manager has opened for the program (socket
    /// activation), that a test has bound, or that the program opened while it still had the privilege to. Connections that wait in its
    /// backlog are served, and get the options of TCP that later ones inherit.
    ///
    /// The listener becomes non-blocking, for all processes that share it. The [`address`](Self::address), the
    /// [`backlog`](Self::backlog) and whether its port [is shared](Self::share_port) are those that it has; all other settings count.
    ///
    /// ```
    /// use std::io::{Read, Write};
    /// use std::net::{TcpListener, TcpStream};
    ///
    /// use coldstart::Server;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let mut client = TcpStream::connect(listener.local_addr()?)?;
    /// let server = Server::new().without_signals().listen_on(listener)?;
    /// let stopper = server.stopper();
    /// let served = std::thread::spawn(move || server.run(|_| "hello"));
    /// client.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    /// let mut response = String::new();
    /// client.read_to_string(&mut response)?;
    /// assert!(response.ends_with("hello"));
    /// stopper.stop();
    /// # served.join().map_err(|_| "a panic")??;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The socket does not listen, is no TCP socket, or the kernel denies an option.
    pub fn listen_on(self, listener: TcpListener) -> Result<Bound, StartError> {
        let listener = Listener::adopt(listener, &self.options).map_err(StartError::from_os)?;
        let address = listener.local_address().map_err(StartError::from_os)?;
        self.on(listener, address)
    }

    fn on(self, listener: Listener, address: SocketAddr) -> Result<Bound, StartError> {
        let wake = Wake::new().map_err(StartError::from_os)?;
        Ok(Bound {
            listener,
            address,
            wake,
            memory: Arc::new(Memory::new(
                self.settings.limits.memory_max,
                self.memory_limit,
            )),
            settings: self.settings,
            signals: self.signals,
            orphans: self.orphans,
            stop: Arc::default(),
            observer: Box::new(StderrObserver),
        })
    }

    /// Binds, then serves with a function or closure until the server is stopped.
    ///
    /// # Errors
    ///
    /// The address cannot be bound, or the kernel denies what a loop needs.
    pub fn run<R: IntoOutcome<Kind>, Kind>(
        self,
        function: impl FnMut(&Request<'_>) -> R,
    ) -> Result<(), StartError> {
        self.bind()?.run(function)
    }

    /// As [`run`](Self::run), with a [`Handler`]. (With one method for both, closures would need type annotations.)
    ///
    /// ```no_run
    /// use coldstart::{Router, Server};
    ///
    /// # fn main() -> Result<(), coldstart::server::StartError> {
    /// let router = Router::new().get("/hello", |_| "hello\n");
    /// Server::new().port(8080).run_handler(router)
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn run_handler(self, handler: impl Handler) -> Result<(), StartError> {
        self.bind()?.run_handler(handler)
    }

    /// Serves with one loop and up to `count` threads on which the handler may block; see [`Blocking`].
    ///
    /// ```no_run
    /// use std::time::Duration;
    ///
    /// use coldstart::Server;
    ///
    /// # fn main() -> Result<(), coldstart::server::StartError> {
    /// Server::new().threads(16).run(|_| {
    ///     std::thread::sleep(Duration::from_millis(50)); // Stands for code that blocks.
    ///     "slept\n"
    /// })
    /// # }
    /// ```
    #[must_use]
    pub const fn threads(self, count: usize) -> Threads {
        Threads {
            server: self,
            count,
        }
    }
}

/// A server that listens but does not serve yet.
///
/// ```
/// use coldstart::Server;
///
/// # fn main() -> Result<(), coldstart::server::StartError> {
/// let bound = Server::new().port(0).without_signals().bind()?;
/// let stopper = bound.stopper();
/// // A program of your own decides when it is enough; here, at once.
/// let enough = std::thread::spawn(move || stopper.stop());
/// bound.run(|_| "hello\n")?;
/// # enough.join().expect("no panic");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Bound {
    listener: Listener,
    pub(crate) address: SocketAddr,
    pub(crate) wake: Wake,
    settings: Settings,
    memory: Arc<Memory>,
    signals: Signals,
    orphans: Orphans,
    pub(crate) stop: Arc<AtomicBool>,
    observer: Box<dyn Observer>,
}

impl Bound {
    /// Another loop on the same socket.
    pub(crate) fn another(&self) -> Result<Self, StartError> {
        Ok(Self {
            listener: self.listener.try_clone().map_err(StartError::from_os)?,
            address: self.address,
            wake: Wake::new().map_err(StartError::from_os)?,
            settings: self.settings,
            memory: Arc::clone(&self.memory),
            signals: self.signals,
            orphans: self.orphans,
            stop: Arc::default(),
            observer: Box::new(StderrObserver),
        })
    }

    /// The address that it listens on.
    #[must_use]
    pub const fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// Reports events to `observer` in place of stderr.
    #[must_use]
    pub fn observer(mut self, observer: impl Observer + 'static) -> Self {
        self.observer = Box::new(observer);
        self
    }

    /// What stops this server, from any thread.
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
    pub fn run<R: IntoOutcome<Kind>, Kind>(
        self,
        function: impl FnMut(&Request<'_>) -> R,
    ) -> Result<(), StartError> {
        self.run_handler(FunctionHandler::new(function))
    }

    /// As [`run`](Self::run), with a [`Handler`].
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn run_handler(self, handler: impl Handler) -> Result<(), StartError> {
        self.hear_signals()?;
        self.watch_orphans()?;
        let signals = self.signals;
        let outcome = self.serve(handler);
        forget_stop(signals);
        outcome
    }

    /// From here on SIGTERM and SIGINT stop the server, even one that does not serve yet.
    pub(crate) fn hear_signals(&self) -> Result<(), StartError> {
        match self.signals {
            Signals::Heard => {
                signal::install(std::slice::from_ref(&self.wake)).map_err(StartError::from_os)
            }
            Signals::Left => Ok(()),
        }
    }

    pub(crate) fn watch_orphans(&self) -> Result<(), StartError> {
        match self.orphans {
            Orphans::Reaped => signal::watch_orphans(&self.wake).map_err(StartError::from_os),
            Orphans::Left => Ok(()),
        }
    }

    #[inline(never)]
    pub(crate) fn serve(mut self, handler: impl Handler) -> Result<(), StartError> {
        let stop = StopFlag {
            flag: self.stop,
            signals: self.signals,
        };
        let wake = self.wake.clone();
        let os = RealOs::new(self.listener, self.wake, stop).map_err(StartError::from_os)?;
        let address = self.address;
        let _ = contain(|| self.observer.on(ServerEvent::Listening(address)));
        let _leave = current_request::leave_afterwards();
        let wake = move || wake.wake();
        let setup = Setup {
            settings: self.settings,
            memory: self.memory,
            observer: self.observer,
        };
        let mut reactor = Reactor::in_place(os, handler, setup, wake);
        let outcome = reactor.as_mut().map_or(Ok(()), Reactor::run);
        let _ = contain(|| reactor = None);
        outcome.map_err(StartError::from_fault)
    }
}

/// The stop has been carried out.
pub(crate) fn forget_stop(signals: Signals) {
    output::finish();
    match signals {
        Signals::Heard => signal::forget_stop(),
        Signals::Left => {}
    }
}

/// One loop with a pool of threads; see [`Server::threads`].
///
/// ```no_run
/// use coldstart::server::Threads;
/// use coldstart::{Router, Server};
///
/// # fn main() -> Result<(), coldstart::server::StartError> {
/// let threads: Threads = Server::new().port(8080).threads(16);
/// threads.run_handler(Router::new().get("/words", |_| std::fs::read_to_string("words.txt").ok()))
/// # }
/// ```
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
    pub fn run<F, R, Kind: 'static>(self, function: F) -> Result<(), StartError>
    where
        F: FnMut(&Request<'_>) -> R + Clone + Send + 'static,
        R: IntoOutcome<Kind>,
    {
        self.run_handler(FunctionHandler::new(function))
    }

    /// As [`run`](Self::run), with a [`Handler`]. Its [`accept`](Handler::accept) runs on the loop and must not block.
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

/// Stops a server from any thread, as SIGTERM does: no new connections, and running requests are finished.
///
/// A server that stops itself when it was asked to:
///
/// ```
/// use coldstart::Server;
/// # use std::io::Write;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let bound = Server::new().address(([127, 0, 0, 1], 0).into()).without_signals().bind()?;
/// let stopper = bound.stopper();
/// # let mut client = std::net::TcpStream::connect(bound.local_address())?;
/// # client.write_all(b"POST /stop HTTP/1.0\r\n\r\n")?;
/// bound.run(|request| {
///     if (request.method(), request.path()) == ("POST", "/stop") {
///         stopper.stop(); // This request is still responded to.
///     }
///     "as you wish\n"
/// })?;
/// # assert!(std::io::read_to_string(client)?.ends_with("as you wish\n"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Stopper {
    pub(crate) flag: Arc<AtomicBool>,
    pub(crate) wakes: Vec<Wake>,
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
