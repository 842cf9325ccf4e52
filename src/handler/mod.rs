//! The only traits that a user implements.

pub(crate) mod blocking;
pub(crate) mod outcome;
pub(crate) mod pattern;
pub(crate) mod reply;
pub(crate) mod router;

use core::fmt;
use std::net::TcpStream;
use std::thread;

use bytes::Bytes;

use crate::message::headers::{HeaderName, HeaderValue};
use crate::message::request::{Head, Request};
use crate::message::response::{Response, Status};

pub use crate::sync::pause::{Pause, Resume};
pub use blocking::{Blocking, blocking};
pub use outcome::{IntoOutcome, IntoResponse, Outcome};
pub use reply::Reply;
pub use router::Router;

/// What answers requests. Functions and closures from `&Request` to [`Response`] need not implement it.
///
/// It runs on the loop: whatever blocks in it keeps all connections waiting. See
/// [`Outcome::promised`] and [`Server::threads`](crate::Server::threads) for work that does.
pub trait Handler {
    /// Says what to do with a request before its body comes; a peer that waits for `100 Continue` waits for this.
    /// The default buffers the body.
    fn accept(&mut self, head: &Head<'_>) -> Accept {
        let _ = head;
        Accept::Buffer
    }

    /// Asked in place of [`accept`](Self::accept) where all of a request is here already, its body too, and it stays with
    /// HTTP: one that would be buffered can be answered right away, which is what [`Accept::Respond`] says. The body keeps
    /// [`Limits::body_len_max`](crate::server::Limits::body_len_max); a bound below that is [`Accept::BufferUpTo`]'s to keep. For
    /// those whose `accept` and `call` would look for the same thing twice; the default asks the one and then the other.
    fn accept_whole(&mut self, request: &Request<'_>) -> Accept {
        accept_then_call(self, request)
    }

    /// Answers a request whose body was buffered.
    fn call(&mut self, request: &Request<'_>) -> Outcome;

    /// Called on the loop before answers leave, once for all that leave together: what was printed for them can go before
    /// they do. The default does nothing.
    fn before_send(&mut self) {}

    /// The answer where the handler gave none: it panicked, dropped its [`Reply`], or has no thread free.
    /// The default is 500 and says no more than that.
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
        accept @ (Accept::Stream(_) | Accept::Upgrade(_) | Accept::Respond(_)) => accept,
    }
}

/// What to do with a request.
#[non_exhaustive]
pub enum Accept {
    /// Collect the body, up to [`Limits::body_len_max`](crate::server::Limits::body_len_max), then
    /// [`call`](Handler::call).
    Buffer,
    /// The same with a bound of its own, in bytes; over it the answer is 413.
    BufferUpTo(u64),
    /// Hand over the body as it comes.
    Stream(Box<dyn Upload>),
    /// Leave HTTP, if the peer offered it; otherwise the request goes the way of [`Buffer`](Self::Buffer).
    Upgrade(Upgrade),
    /// Respond now; what has not come of the body is not wanted. `response.into()` makes the outcome.
    Respond(Outcome),
}

impl fmt::Debug for Accept {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Buffer => "Buffer",
            Self::BufferUpTo(_) => "BufferUpTo",
            Self::Stream(_) => "Stream",
            Self::Upgrade(_) => "Upgrade",
            Self::Respond(_) => "Respond",
        })
    }
}

/// Takes a body piece by piece. All calls come from the loop's thread and must not block it.
pub trait Upload {
    /// Bytes that it takes at the most; over it the answer is 413. By default there is no bound: nothing is held.
    fn body_len_max(&self) -> u64 {
        u64::MAX
    }

    /// The next piece, never empty.
    fn on_piece(&mut self, piece: &[u8]) -> Demand;

    /// The body was whole: this is the answer.
    fn on_end(self: Box<Self>) -> Outcome;

    /// The peer left, or was refused, in the middle: there will be no more, and nobody takes an answer.
    fn on_cut(self: Box<Self>) {}
}

/// Whether an [`Upload`] is ready for more.
#[derive(Debug)]
#[non_exhaustive]
pub enum Demand {
    /// More, please.
    More,
    /// Not now: nothing more is read from the peer until the [`Resume`] that came with this pause says so.
    Pause(Pause),
    /// Enough: this is the response, and the rest is not wanted.
    Respond(Outcome),
}

/// Leaves HTTP (RFC 9110 §7.8): `101 Switching Protocols` is sent, then the socket is the closure's, on a thread of its
/// own and in blocking mode, with the bytes that came behind the request.
///
/// From there on the connection is not the server's any more: it has none of its time-outs, counts for none of its limits,
/// and **a server that stops does not wait for it**, since such a connection has no end of its own and each stop would last
/// as long as the drain may. [`Server::run`](crate::Server::run) returns once the requests in HTTP have been answered, and
/// when `main` returns, the closure's thread ends with the process, wherever it is. A program that owes its upgraded peers
/// a farewell counts these threads and waits for them behind `run`.
pub struct Upgrade {
    pub(crate) fields: Vec<(HeaderName, HeaderValue)>,
    /// Starts the thread; false if the kernel starts none. Made here, so that a program without upgrades has no threads.
    pub(crate) start: Box<dyn FnOnce(TcpStream, Bytes) -> bool + Send>,
}

impl Upgrade {
    /// An upgrade to `protocol`, the value of the answer's `Upgrade` field.
    pub fn new(
        protocol: impl Into<HeaderValue>,
        run: impl FnOnce(TcpStream, Bytes) + Send + 'static,
    ) -> Self {
        Self {
            fields: vec![("Upgrade".into(), protocol.into())],
            start: Box::new(move |socket, rest| {
                let thread = thread::Builder::new().name("upgrade".to_owned());
                thread.spawn(move || run(socket, rest)).is_ok()
            }),
        }
    }

    /// Adds a field line to the `101`.
    #[must_use]
    pub fn header(mut self, name: impl Into<HeaderName>, value: impl Into<HeaderValue>) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }
}

impl fmt::Debug for Upgrade {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Upgrade").finish_non_exhaustive()
    }
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
