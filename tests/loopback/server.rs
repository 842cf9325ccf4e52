//! A server in this process, on a thread of its own.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use coldstart::handler::{IntoOutcome, Outcome};
use coldstart::server::{Bound, Observer, ServerEvent, StartError, Stopper};
use coldstart::{Handler, Request, Server};

use super::PATIENCE;

/// A server on a free port of 127.0.0.1 that ignores signals.
pub(crate) fn on_loopback() -> Server {
    Server::new()
        .address(SocketAddr::from(([127, 0, 0, 1], 0)))
        .without_signals()
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) events: Receiver<ServerEvent>,
    stopper: Stopper,
    ended: Receiver<Result<(), StartError>>,
}

impl Running {
    pub(crate) fn start<R: IntoOutcome<Kind>, Kind>(
        server: Server,
        mut function: impl FnMut(&Request<'_>) -> R + Send + 'static,
    ) -> Self {
        let function = move |request: &Request<'_>| function(request).into_outcome();
        Self::start_handler(server, Function(function))
    }

    pub(crate) fn start_handler(server: Server, handler: impl Handler + Send + 'static) -> Self {
        Self::start_bound(server.bind().expect("a free port"), handler)
    }

    pub(crate) fn start_bound(bound: Bound, handler: impl Handler + Send + 'static) -> Self {
        let (events_in, events) = channel();
        let (ended_in, ended) = channel();
        let bound = bound.observer(Forward(events_in));
        let (address, stopper) = (bound.local_address(), bound.stopper());
        thread::spawn(move || ended_in.send(bound.run_handler(handler)));
        Self {
            address,
            events,
            stopper,
            ended,
        }
    }

    pub(crate) fn begin_stop(&self) {
        self.stopper.stop();
    }

    /// Returns the result of the server's thread.
    pub(crate) fn ended(&self) -> Result<(), StartError> {
        let ended = self.ended.recv_timeout(PATIENCE);
        ended.expect("the server stops")
    }

    pub(crate) fn stop(self) {
        self.begin_stop();
        self.ended().expect("the server ran without an error");
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.try_recv().is_ok()
    }
}

/// Stops the server when a test fails.
impl Drop for Running {
    fn drop(&mut self) {
        self.stopper.stop();
    }
}

struct Function<F>(F);

impl<F: FnMut(&Request<'_>) -> Outcome> Handler for Function<F> {
    fn call(&mut self, request: &Request<'_>) -> Outcome {
        (self.0)(request)
    }
}

#[derive(Debug)]
struct Forward(Sender<ServerEvent>);

impl Observer for Forward {
    fn on(&mut self, event: ServerEvent) {
        // The test may have dropped its receiver.
        let _ = self.0.send(event);
    }
}
