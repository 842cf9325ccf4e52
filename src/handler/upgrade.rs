//! Connections that leave HTTP: each has a thread of its own, or its code stays on the loop, and they are counted.

use core::fmt;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::net::TcpStream;
use std::sync::mpsc;
use std::thread;

use bytes::Bytes;

use crate::message::body::{Attachment, PieceSource};
use crate::message::headers::{HeaderName, HeaderValue};
use crate::message::incoming::IncomingSink;
use crate::message::response::{Response, Status};
use crate::sync::elsewhere::WorkElsewhere;

/// Upgraded connections of the process.
static OPEN: AtomicUsize = AtomicUsize::new(0);

/// Gives the thread its socket, and the bytes that arrived after the request.
type Deliver = Box<dyn FnOnce(TcpStream, Bytes) + Send>;
/// Starts the thread, unless the kernel refuses; or keeps the place for code on the loop.
type Start = Box<dyn FnOnce(Place) -> Way>;

/// Code of an upgraded connection that stays on the loop. A trait object, so that programs without it link none of it.
pub(crate) trait SocketCode {
    /// The connection has left HTTP.
    fn begin(self: Box<Self>, to: Attachment<'_>) -> (Box<dyn IncomingSink>, Box<dyn PieceSource>);
}

/// Leaves HTTP (RFC 9110 §7.8): `101 Switching Protocols` is sent, or 200 to CONNECT (§9.3.6), then the bytes are the
/// closure's: on the loop as [async code](Self::on_loop), or as [a socket](Self::new) in blocking mode on a thread of its own, with the bytes
/// that arrived after the request.
///
/// The rest is about the thread. It is started before the response is sent: if the kernel refuses it, or if
/// [`Limits::upgrades_max`](crate::server::Limits::upgrades_max) connections are upgraded already, the response is 503 with
/// `Retry-After: 1`. None of the other limits and time-outs apply from then on, and **a server that stops does not wait for
/// the connection**, since it need not end, and each stop would take the whole drain time-out.
/// [`Server::run`](crate::Server::run) returns after the requests in HTTP are finished, and when `main` returns, the closure's
/// thread ends with the process, wherever it is. A program that wants to say goodbye to its upgraded peers counts these
/// threads and waits for them after `run`.
///
/// ```
/// use std::io::{Read as _, Write as _};
///
/// use coldstart::handler::{Accept, Upgrade};
/// use coldstart::{Router, TestRequest};
///
/// let mut router = Router::new().accept("GET", "/shout", |_| {
///     Accept::Upgrade(Upgrade::new("shout", |mut socket, first| {
///         let (mut text, mut buffer) = (first.to_vec(), [0; 1024]);
///         while socket.write_all(&text.to_ascii_uppercase()).is_ok() {
///             match socket.read(&mut buffer) {
///                 Ok(len @ 1..) => text = buffer[..len].to_vec(),
///                 Ok(0) | Err(_) => return,
///             }
///         }
///     }))
/// });
/// let offer = TestRequest::get("/shout").header("connection", "upgrade").header("upgrade", "shout");
/// let response = offer.run_handler(&mut router);
/// assert_eq!((response.status().code(), response.header("upgrade")), (101, Some("shout")));
/// ```
pub struct Upgrade {
    pub(crate) protocol: HeaderValue,
    pub(crate) fields: Vec<(HeaderName, HeaderValue)>,
    way: Way,
}

enum Way {
    /// A function pointer, so that a program without upgrades links no threads.
    Unstarted(Start),
    Thread(Deliver),
    Loop(Box<dyn SocketCode>),
    Refused,
}

impl Upgrade {
    /// An upgrade to `protocol`, the value of the response's `Upgrade` field. It is only made if the request offers this
    /// protocol; names are compared without regard to case. CONNECT names no protocol and becomes a tunnel.
    pub fn new(
        protocol: impl Into<HeaderValue>,
        run: impl FnOnce(TcpStream, Bytes) + Send + 'static,
    ) -> Self {
        Self::unstarted(
            protocol.into(),
            Box::new(move |place| start(place, run).map_or(Way::Refused, Way::Thread)),
        )
    }

    /// An upgrade whose code stays on the loop.
    pub(super) fn with_code(
        protocol: HeaderValue,
        code: impl FnOnce(Place) -> Box<dyn SocketCode> + 'static,
    ) -> Self {
        Self::unstarted(protocol, Box::new(move |place| Way::Loop(code(place))))
    }

    fn unstarted(protocol: HeaderValue, start: Start) -> Self {
        Self {
            protocol,
            fields: Vec::new(),
            way: Way::Unstarted(start),
        }
    }

    /// Adds a field line to the response. `Upgrade` and the fields that frame a message are left out.
    ///
    /// ```
    /// use coldstart::handler::{Accept, Upgrade};
    /// use coldstart::Router;
    ///
    /// let router = Router::new().accept("GET", "/echo", |_| {
    ///     let echo = Upgrade::on_loop("echo", async |mut reader, writer| {
    ///         while let Some(bytes) = reader.read().await? {
    ///             writer.write(bytes).await?;
    ///         }
    ///         Ok(())
    ///     });
    ///     Accept::Upgrade(echo.header("x-echo-version", "1"))
    /// });
    /// ```
    #[must_use]
    pub fn header(mut self, name: impl Into<HeaderName>, value: impl Into<HeaderValue>) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    /// Its response so far, with this status. The protocol adds `Upgrade`.
    pub(crate) fn take_response(&mut self, status: Status) -> Response {
        let fields = std::mem::take(&mut self.fields).into_iter();
        let add = |response: Response, (name, value)| response.header(name, value);
        fields.fold(Response::new(status), add)
    }

    /// The fields of the response are sent.
    pub(crate) fn put_response(&mut self, response: Response) {
        self.fields = response.into_fields();
    }

    /// Starts the thread, which waits for its socket, if there is to be one. False if the kernel refuses.
    pub(crate) fn start(&mut self, place: Place) -> bool {
        self.way = match std::mem::replace(&mut self.way, Way::Refused) {
            Way::Unstarted(start) => start(place),
            way @ (Way::Thread(_) | Way::Loop(_) | Way::Refused) => way,
        };
        !matches!(self.way, Way::Refused)
    }

    /// The code, if it stays on the loop.
    pub(crate) fn take_code(&mut self) -> Option<Box<dyn SocketCode>> {
        match std::mem::replace(&mut self.way, Way::Refused) {
            Way::Loop(code) => Some(code),
            way @ (Way::Unstarted(_) | Way::Thread(_) | Way::Refused) => {
                self.way = way;
                None
            }
        }
    }

    /// The socket leaves the loop.
    pub(crate) fn deliver(self, socket: TcpStream, rest: Bytes) {
        match self.way {
            Way::Thread(deliver) => deliver(socket, rest),
            Way::Unstarted(_) | Way::Loop(_) | Way::Refused => {}
        }
    }
}

/// A thread that never gets its socket, because the peer left before the response was sent, ends at once.
fn start(place: Place, run: impl FnOnce(TcpStream, Bytes) + Send + 'static) -> Option<Deliver> {
    let (socket_in, socket) = mpsc::channel();
    let work = WorkElsewhere::begin();
    let thread = thread::Builder::new().name("upgrade".to_owned());
    let started = thread.spawn(move || {
        let _held = (place, work);
        if let Ok((socket, rest)) = socket.recv() {
            run(socket, rest);
        }
    });
    started.ok().map(|_| {
        let deliver: Deliver = Box::new(move |socket, rest| drop(socket_in.send((socket, rest))));
        deliver
    })
}

impl fmt::Debug for Upgrade {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Upgrade").finish_non_exhaustive()
    }
}

/// One of the upgraded connections that the process may have, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place(());

impl Place {
    /// `None` if there are `max` already.
    pub(crate) fn take(max: usize) -> Option<Self> {
        let is_free = OPEN.fetch_add(1, Ordering::Relaxed) < max;
        // Dropped if there is no place for it: that gives back what was added.
        let place = Self(());
        is_free.then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}
