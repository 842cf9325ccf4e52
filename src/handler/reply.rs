//! A response that is promised now and completed later, from any thread.

use core::fmt;

use crate::message::peer::PeerState;
use crate::sync::oneshot::{Sender, oneshot};

use super::outcome::{Awaited, Eventual, IntoResponse, Outcome, Pending};

/// Completes a response that was promised with [`Outcome::promised`]. It can move to any
/// thread or runtime.
///
/// Dropped without a response, it completes with the handler's [`failure`](crate::Handler::failure), a 500.
pub struct Reply {
    sender: Sender<Pending>,
}

impl Outcome {
    /// A response that comes later: return the outcome from the handler, and complete the [`Reply`] from any thread or
    /// runtime. Requests after it on the same connection wait for their turn.
    ///
    /// ```
    /// use coldstart::handler::Outcome;
    /// use coldstart::{Request, Response};
    ///
    /// fn slow(_: &Request<'_>) -> Outcome {
    ///     let (outcome, reply) = Outcome::promised();
    ///     std::thread::spawn(move || reply.complete(Response::text("done\n")));
    ///     outcome
    /// }
    /// ```
    #[must_use]
    pub fn promised() -> (Self, Reply) {
        let (sender, receiver) = oneshot();
        (
            Self::new(Eventual::Awaited(Some(Awaited::Promise(receiver)))),
            Reply { sender },
        )
    }
}

impl Reply {
    /// Completes the response. If the peer has gone in the meantime, the response is dropped.
    pub fn complete(self, response: impl IntoResponse) {
        self.settle(Pending::Response(response.into_response()));
    }

    /// Completes it with what a handler returned on another thread, which may again be a promise.
    pub(crate) fn settle(self, pending: Pending) {
        if let Pending::Response(response) = &pending {
            response.hand_over();
        }
        self.sender.send(pending);
    }

    /// Whether the peer is gone, so that work for it can stop.
    #[must_use]
    pub fn is_peer_gone(&self) -> bool {
        self.sender.is_abandoned()
    }

    /// How far the peer is still there.
    #[must_use]
    pub fn peer(&self) -> PeerState {
        if self.sender.is_abandoned() {
            PeerState::Gone
        } else if self.sender.is_half_closed() {
            PeerState::HalfClosed
        } else {
            PeerState::Open
        }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Reply").finish_non_exhaustive()
    }
}
