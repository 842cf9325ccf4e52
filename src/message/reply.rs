//! A response that is promised now and completed later, from any thread.

use core::fmt;

use crate::sync::oneshot::{Sender, oneshot};

use super::response::{Response, Source, Status};

/// The right, and the duty, to complete a response that was promised with [`Response::promised`]. It can move to any
/// thread or runtime.
///
/// Dropped without a response, it completes with the handler's [`failure`](crate::Handler::failure), a 500.
pub struct Reply {
    sender: Sender<Response>,
}

impl Response {
    /// A response that comes later: return it from the handler, and complete the [`Reply`] from any thread or runtime.
    /// Requests after it on the same connection wait for their turn.
    ///
    /// ```
    /// use coldstart::{Request, Response};
    ///
    /// fn slow(_: &Request<'_>) -> Response {
    ///     let (response, reply) = Response::promised();
    ///     std::thread::spawn(move || reply.complete(Response::text("done\n")));
    ///     response
    /// }
    /// ```
    #[must_use]
    pub fn promised() -> (Self, Reply) {
        let (sender, receiver) = oneshot();
        let mut response = Self::new(Status::OK);
        *response.source() = Source::Promise(receiver);
        (response, Reply { sender })
    }
}

impl Reply {
    /// Completes the response. If the peer has gone in the meantime, the response is dropped.
    pub fn complete(self, response: Response) {
        response.hand_over();
        self.sender.send(response);
    }

    /// Whether the peer has gone, so that work for it can stop.
    #[must_use]
    pub fn is_peer_gone(&self) -> bool {
        self.sender.is_abandoned()
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Reply").finish_non_exhaustive()
    }
}
