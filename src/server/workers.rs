//! Several loops on one listening socket, each on a thread of its own.

use core::sync::atomic::AtomicBool;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;

use crate::handler::outcome::IntoOutcome;
use crate::handler::{FunctionHandler, Handler};
use crate::limits::WORKERS_MAX;
use crate::message::request::Request;
use crate::observe::{Observer, ServerEvent, StderrObserver};
use crate::os::{Signals, Wake, signal};
use crate::server::start_error::StartError;
use crate::server::{Bound, Server, Stopper, forget_stop};
use crate::sync::contain::contain;

impl Server {
    /// Serves with `count` loops, each on its own thread and with its own clone of the handler. They accept from one socket:
    /// a connection goes to a loop that has time for it, and a loop that a handler blocks keeps only those that it has. At
    /// most [`WORKERS_MAX`].
    ///
    /// ```no_run
    /// use std::thread::available_parallelism;
    ///
    /// use coldstart::{Router, Server};
    ///
    /// # fn main() -> Result<(), coldstart::server::StartError> {
    /// let router = Router::new().get("/", |_| "hello\n");
    /// let count = available_parallelism().map_or(1, usize::from);
    /// Server::new().workers(count).run_handler(router)
    /// # }
    /// ```
    #[must_use]
    pub const fn workers(self, count: usize) -> Workers {
        Workers {
            server: self,
            count,
        }
    }
}

/// Several loops; see [`Server::workers`].
///
/// ```no_run
/// use coldstart::Server;
/// use coldstart::server::Workers;
///
/// # fn main() -> Result<(), coldstart::server::StartError> {
/// let loops: Workers = Server::new().port(8080).workers(2);
/// loops.run(|_| "hello\n")
/// # }
/// ```
#[derive(Debug)]
pub struct Workers {
    server: Server,
    count: usize,
}

impl Workers {
    /// Binds and listens, and nothing else.
    ///
    /// # Errors
    ///
    /// As [`Server::bind`].
    pub fn bind(self) -> Result<BoundWorkers, StartError> {
        BoundWorkers::new(self.server.bind()?, self.count)
    }

    /// As [`bind`](Self::bind), on a socket that listens already.
    ///
    /// # Errors
    ///
    /// As [`Server::listen_on`].
    pub fn listen_on(self, listener: TcpListener) -> Result<BoundWorkers, StartError> {
        BoundWorkers::new(self.server.listen_on(listener)?, self.count)
    }

    /// Serves with a function or closure, cloned for each loop.
    ///
    /// # Errors
    ///
    /// As [`Server::run`], and if the kernel starts no further thread.
    pub fn run<F, R, Kind>(self, function: F) -> Result<(), StartError>
    where
        F: FnMut(&Request<'_>) -> R + Clone + Send,
        R: IntoOutcome<Kind>,
    {
        self.bind()?.run(function)
    }

    /// As [`run`](Self::run), with a [`Handler`].
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn run_handler(self, handler: impl Handler + Clone + Send) -> Result<(), StartError> {
        self.bind()?.run_handler(handler)
    }
}

/// Several loops that listen but do not serve yet.
///
/// ```
/// use coldstart::Server;
///
/// # fn main() -> Result<(), coldstart::server::StartError> {
/// let bound = Server::new().port(0).without_signals().workers(2).bind()?;
/// println!("listens on {}", bound.local_address());
/// bound.stopper().stop(); // It stops all of them.
/// bound.run(|_| "hello\n")?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct BoundWorkers {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    signals: Signals,
    workers: Vec<Bound>,
}

impl BoundWorkers {
    fn new(first: Bound, count: usize) -> Result<Self, StartError> {
        let (address, signals) = (first.address, first.signals);
        let mut workers = vec![first];
        for _ in 1..count.clamp(1, WORKERS_MAX) {
            let other = workers.first().map(Bound::another).transpose()?;
            workers.extend(other);
        }
        Ok(Self {
            address,
            stop: Arc::default(),
            signals,
            workers,
        })
    }

    /// The address that they listen on.
    #[must_use]
    pub const fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// What stops all of them, from any thread.
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
    pub fn run<F, R, Kind>(self, function: F) -> Result<(), StartError>
    where
        F: FnMut(&Request<'_>) -> R + Clone + Send,
        R: IntoOutcome<Kind>,
    {
        self.run_handler(FunctionHandler::new(function))
    }

    /// As [`run`](Self::run), with a [`Handler`]. A loop that ends, for whatever reason, stops the others.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn run_handler(self, handler: impl Handler + Clone + Send) -> Result<(), StartError> {
        if self.signals == Signals::Heard {
            signal::install(&self.wakes()).map_err(StartError::from_os)?;
        }
        // The first loop is the one that runs on this thread.
        if let Some(first) = self.workers.first() {
            first.watch_orphans()?;
        }
        let (stopper, signals) = (self.stopper(), self.signals);
        let mut workers = self.workers.into_iter().map(|mut worker| {
            worker.stop = Arc::clone(&self.stop);
            worker
        });
        let first = workers.next();
        let outcome = thread::scope(|scope| {
            let mut threads = Vec::new();
            let mut outcome = Ok(());
            for worker in workers {
                let worker = worker.observer(SilentStart(StderrObserver));
                let end = StopAtEnd(stopper.clone());
                let Some(handler) = contain(|| handler.clone()) else {
                    outcome = Err(StartError::WorkerPanicked);
                    break;
                };
                let thread = thread::Builder::new().name("worker".to_owned());
                match thread.spawn_scoped(scope, move || end.serve(worker, handler)) {
                    Ok(thread) => threads.push(thread),
                    Err(error) => {
                        // The closure is dropped, and `end` with it, which stops the running workers.
                        outcome = Err(StartError::from_os(error));
                        break;
                    }
                }
            }
            if let (Some(first), Ok(())) = (first, &outcome) {
                let end = StopAtEnd(stopper);
                let served = contain(|| end.serve(first, handler));
                outcome = served.unwrap_or(Err(StartError::WorkerPanicked));
            }
            let outcomes = threads.into_iter().map(|thread| {
                // The panic hook has reported it.
                let joined = thread.join();
                joined.unwrap_or(Err(StartError::WorkerPanicked))
            });
            outcomes.fold(outcome, Result::and)
        });
        forget_stop(signals);
        outcome
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

/// One line that says that the server listens is enough.
#[derive(Debug)]
struct SilentStart<T>(T);

impl<T: Observer> Observer for SilentStart<T> {
    fn on(&mut self, event: ServerEvent) {
        if !matches!(event, ServerEvent::Listening(_)) {
            self.0.on(event);
        }
    }
}
