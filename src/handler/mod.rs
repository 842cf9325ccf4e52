//! The traits that a user implements, and what a handler may do with a request.

pub(crate) mod blocking;
pub(crate) mod outcome;
pub(crate) mod pattern;
pub(crate) mod reply;
pub(crate) mod router;
pub(crate) mod upgrade;

use core::fmt;

use crate::message::request::{Head, Request, RequestBody};
use crate::message::response::{Response, Status};

pub use crate::sync::pause::{Pause, Resume};
pub use blocking::{Blocking, blocking};
pub use outcome::{IntoOutcome, IntoResponse, Outcome, WhenHalfClosed};
pub use reply::Reply;
pub use router::Router;
pub use upgrade::Upgrade;

/// Responds to requests. Functions and closures from `&Request` to [`Response`] need not implement it.
///
/// It runs on the loop: while it blocks, all connections wait. For work that blocks, see [`Outcome::promised`] and
/// [`Server::threads`](crate::Server::threads).
pub trait Handler {
    /// Decides what to do with a request before its body arrives; a peer that waits for `100 Continue` waits for this. The
    /// default buffers the body.
    fn accept(&mut self, head: &Head<'_>) -> Accept {
        let _ = head;
        Accept::Buffer
    }

    /// Called in place of [`accept`](Self::accept) if the complete request has arrived, with its body, and does not leave
    /// HTTP: instead of [`Accept::Buffer`] it can return [`Accept::Respond`] at once. The body is within
    /// [`Limits::body_len_max`](crate::server::Limits::body_len_max); a lower bound needs [`Accept::BufferUpTo`]. For handlers
    /// whose `accept` and `call` would look up the same thing twice; the default calls the one and then the other.
    fn accept_whole(&mut self, request: &Request<'_>) -> Accept {
        accept_then_call(self, request)
    }

    /// Responds to a request whose body was buffered.
    fn call(&mut self, request: &Request<'_>) -> Outcome;

    /// Called on the loop before responses are sent, once for all that are sent together, so that their log lines can be
    /// flushed first. The default does nothing.
    fn before_send(&mut self) {}

    /// The response if the handler gave none: it panicked, dropped its [`Reply`], or has no free thread. The default is 500
    /// with one line of text.
    fn failure(&self) -> Response {
        Response::text("the handler failed\n").status(Status::INTERNAL_SERVER_ERROR)
    }
}

pub(crate) fn accept_then_call<H: Handler + ?Sized>(
    handler: &mut H,
    request: &Request<'_>,
) -> Accept {
    match handler.accept(request.head_by_reference()) {
        Accept::BufferUpTo(len_max) if request.has_body_over(len_max) => {
            Accept::BufferUpTo(len_max)
        }
        Accept::Buffer | Accept::BufferUpTo(_) => Accept::Respond(handler.call(request)),
        Accept::Discard => {
            let request = request.with_body(RequestBody::Borrowed(&[]), &[]);
            Accept::Respond(handler.call(&request))
        }
        accept @ (Accept::Stream(_) | Accept::Upgrade(_) | Accept::Respond(_)) => accept,
    }
}

/// What to do with a request.
#[non_exhaustive]
pub enum Accept {
    /// Collect the body, up to [`Limits::body_len_max`](crate::server::Limits::body_len_max), then
    /// [`call`](Handler::call).
    Buffer,
    /// The same with a bound of its own, in bytes; a larger body is refused with 413.
    BufferUpTo(u64),
    /// Do not keep the body: [`call`](Handler::call) at once, as if there were none. For code that does not look at it, so that
    /// no peer can make the server hold one.
    Discard,
    /// Pass on the body as it arrives.
    Stream(Box<dyn Upload>),
    /// Leave HTTP, if the request offers this protocol and has no body; otherwise as [`Buffer`](Self::Buffer).
    Upgrade(Upgrade),
    /// Respond now, without the rest of the body. `response.into()` makes the outcome.
    Respond(Outcome),
}

impl fmt::Debug for Accept {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Buffer => "Buffer",
            Self::BufferUpTo(_) => "BufferUpTo",
            Self::Discard => "Discard",
            Self::Stream(_) => "Stream",
            Self::Upgrade(_) => "Upgrade",
            Self::Respond(_) => "Respond",
        })
    }
}

/// Takes a body piece by piece. All calls come from the loop's thread and must not block it.
pub trait Upload {
    /// How many bytes it takes at most; a larger body is refused with 413. By default there is no bound, since nothing is held.
    fn body_len_max(&self) -> u64 {
        u64::MAX
    }

    /// The next piece, never empty.
    fn on_piece(&mut self, piece: &[u8]) -> Demand;

    /// The body is complete: returns the response.
    fn on_end(self: Box<Self>) -> Outcome;

    /// The peer left, or was refused, in the middle: there are no more pieces, and no response can be sent.
    fn on_cut(self: Box<Self>) {}
}

/// Whether an [`Upload`] is ready for more.
#[derive(Debug)]
#[non_exhaustive]
pub enum Demand {
    /// Ready for more.
    More,
    /// Not now: nothing more is read from the peer until the [`Resume`] of this pause is used.
    Pause(Pause),
    /// Done: this is the response, and the rest is discarded.
    Respond(Outcome),
}

/// A function as a handler.
#[derive(Clone)]
pub(crate) struct FunctionHandler<F>(pub(crate) F);

impl<F, R> Handler for FunctionHandler<F>
where
    F: FnMut(&Request<'_>) -> R,
    R: IntoOutcome,
{
    fn accept_whole(&mut self, request: &Request<'_>) -> Accept {
        Accept::Respond((self.0)(request).into_outcome())
    }

    fn call(&mut self, request: &Request<'_>) -> Outcome {
        (self.0)(request).into_outcome()
    }
}
