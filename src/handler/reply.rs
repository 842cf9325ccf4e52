//! A response that is promised now and completed later, from any thread.

use core::fmt;
use core::future::poll_fn;

use crate::message::peer::PeerState;
use crate::sync::oneshot::{Sender, oneshot};

use super::outcome::{Awaited, Eventual, IntoResponse, Outcome, Pending};

/// Completes a response that was promised with [`Outcome::promised`]. It can move to any
/// thread or runtime.
///
/// Dropped without a response, it completes with the handler's [`failure`](crate::Handler::failure), a 500.
///
/// Replies may wait in a queue:
///
/// ```
/// use std::sync::mpsc::channel;
///
/// use coldstart::TestRequest;
/// use coldstart::handler::{Outcome, Reply};
///
/// let (jobs, queue) = channel::<Reply>();
/// std::thread::spawn(move || {
///     for reply in queue {
///         if !reply.is_peer_gone() {
///             reply.complete("done\n");
///         }
///     }
/// });
/// let response = TestRequest::get("/").run(|_| {
///     let (outcome, reply) = Outcome::promised();
///     // Without the thread, the reply is dropped here: a 500.
///     let _ = jobs.send(reply);
///     outcome
/// });
/// assert_eq!(response.text(), "done\n");
/// ```
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

    /// Waits until the peer is gone, on any thread and runtime: for work that is not dropped with the future of a handler. It also
    /// ends when the server stops and gives up on the connection.
    ///
    /// A peer that has ended its side is not gone ([`PeerState::HalfClosed`]), unless the handler said
    /// [`Cancel`](super::WhenHalfClosed::Cancel). TCP reports a peer that vanishes without a word only when something is sent to it.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use coldstart::handler::Outcome;
    /// use coldstart::{Request, Response, TestRequest, spawn, timeout};
    ///
    /// fn in_three_steps(_: &Request<'_>) -> Outcome {
    ///     let (outcome, mut reply) = Outcome::promised();
    ///     let task = spawn(async move {
    ///         for _ in 0..3 {
    ///             // Here it does a step, and then waits.
    ///             if timeout(Duration::from_millis(1), reply.peer_gone()).await.is_ok() {
    ///                 return; // For whom would it go on?
    ///             }
    ///         }
    ///         reply.complete("done\n");
    ///     });
    ///     if task.is_ok() { outcome } else { Response::text("too many tasks\n").into() }
    /// }
    ///
    /// assert_eq!(TestRequest::get("/").run(in_three_steps).text(), "done\n");
    /// ```
    pub async fn peer_gone(&mut self) {
        poll_fn(|context| self.sender.poll_abandoned(context)).await;
    }

    /// Whether the peer is still connected.
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
