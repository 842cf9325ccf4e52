//! Connections that leave HTTP and stay on the loop: async code reads and writes them.

use core::fmt;
use core::future::poll_fn;
use core::marker::PhantomData;
use core::task::{Context, Poll};

use bytes::Bytes;

use crate::current_request::CurrentRequest;
use crate::limits::WRITER_LEN_MAX;
use crate::message::body::{Attachment, Piece, PieceSource};
use crate::message::channel::channel;
use crate::message::headers::HeaderValue;
use crate::message::incoming::{Incoming, IncomingSink};
use crate::message::polled::Polled;
use crate::message::writer::{BodyWriter, Output, Writing, Written};
#[cfg(feature = "websocket")]
use crate::sync::memory::Charge;

use super::upgrade::{Place, SocketCode, Upgrade};

impl Upgrade {
    /// Leaves HTTP as [`new`](Self::new) does, but **the connection stays on the loop, and takes no thread**: async code gets
    /// the two halves of it. The bytes that arrived after the request are the first that it reads.
    ///
    /// `run` is called once the response is written, and its future is polled as those of
    /// [async handlers](crate::handler#async-handlers) are: on the loop, so neither need be `Send`, and neither may block.
    ///
    /// | what happens | what follows |
    /// | --- | --- |
    /// | the future returns, an error or not | what it has written is sent, then the connection ends |
    /// | it panics | the connection ends, and [`ServerEvent::HandlerPanicked`](crate::server::ServerEvent::HandlerPanicked) is reported |
    /// | [`SocketWriter`] is closed or dropped | what was written is sent, then our side ends (a half-close); reading goes on |
    /// | [`SocketReader`] is dropped | nothing more is read; writing goes on |
    /// | the peer ends its side | [`SocketReader::read`] returns `None`; writing goes on |
    /// | the peer resets the connection | the future is dropped; halves that live on elsewhere, in a task, get [`SocketClosed`] |
    /// | the peer takes nothing for [`Timeouts::write`](crate::server::Timeouts::write) | the same |
    /// | the server stops | [`draining`](crate::draining()) is ready; after [`Timeouts::drain`](crate::server::Timeouts::drain) the future is dropped |
    ///
    /// Of the time-outs only these two apply: a connection may be silent for days. At most 64 KiB wait in each direction, beside what
    /// one read brings; they count in [`Limits::memory_max`](crate::server::Limits::memory_max), and while nothing waits, no
    /// buffer is kept. If [`Limits::upgrades_max`](crate::server::Limits::upgrades_max) connections are upgraded already, the response is
    /// 503 with `Retry-After: 1`.
    ///
    /// ```no_run
    /// use coldstart::handler::{Accept, Upgrade};
    /// use coldstart::{Router, Server};
    ///
    /// let router = Router::new().accept("GET", "/echo", |_| {
    ///     Accept::Upgrade(Upgrade::on_loop("echo", async |mut reader, writer| {
    ///         while let Some(bytes) = reader.read().await? {
    ///             writer.write(bytes).await?;
    ///         }
    ///         Ok(())
    ///     }))
    /// });
    /// Server::new().run_handler(router)?;
    /// # Ok::<(), coldstart::server::StartError>(())
    /// ```
    pub fn on_loop<F>(
        protocol: impl Into<HeaderValue>,
        run: impl FnOnce(SocketReader, SocketWriter) -> F + 'static,
    ) -> Self
    where
        F: Future<Output = Written> + 'static,
    {
        let current = CurrentRequest::kept();
        Self::with_code(protocol.into(), move |place| {
            Box::new(Unstarted {
                run,
                place,
                current,
            })
        })
    }
}

/// What arrives on an upgraded connection, from [`Upgrade::on_loop`].
///
/// ```
/// use coldstart::handler::{Accept, SocketReader, SocketWriter, Upgrade};
/// use coldstart::message::Written;
/// use coldstart::{Router, TestRequest};
///
/// async fn count(mut reader: SocketReader, writer: SocketWriter) -> Written {
///     let mut len = 0;
///     while let Some(bytes) = reader.read().await? {
///         len += bytes.len();
///     }
///     // The peer has ended its side, and still reads.
///     writer.write(format!("{len} bytes\n")).await?;
///     Ok(())
/// }
///
/// let mut router = Router::new().accept("GET", "/", |_| Accept::Upgrade(Upgrade::on_loop("count", count)));
/// let offer = TestRequest::get("/").header("connection", "upgrade").header("upgrade", "count");
/// assert_eq!(offer.run_handler(&mut router).status(), 101);
/// ```
pub struct SocketReader {
    incoming: Incoming,
    /// It stays on its loop, which does not wait for what other threads do with it.
    local: PhantomData<*const ()>,
}

impl SocketReader {
    /// Returns what has arrived since the last call, never empty; waits if that is nothing. `None` once the peer has ended its side,
    /// which need not be the end of the connection.
    ///
    /// Nothing is read before the first call, and then at most 64 KiB wait, and what one read brings; beyond that, TCP makes the peer wait.
    /// A call that is dropped while it waits has taken nothing.
    ///
    /// # Errors
    ///
    /// The connection was reset. Bytes that had arrived and were not taken are lost.
    pub fn read(&mut self) -> impl Future<Output = Result<Option<Bytes>, SocketClosed>> {
        // Not an async function, whose future would be larger.
        poll_fn(|context| self.poll_read(context))
    }

    /// As [`read`](Self::read). The task that polled last is woken.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn poll_read(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, SocketClosed>> {
        let polled = self.incoming.poll_chunk(context);
        polled.map(|chunk| chunk.map_err(|_| SocketClosed(())))
    }

    /// As [`Incoming::charge`].
    #[cfg(feature = "websocket")]
    pub(super) fn charge(&self) -> Option<Charge> {
        self.incoming.charge()
    }
}

impl fmt::Debug for SocketReader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SocketReader")
            .finish_non_exhaustive()
    }
}

/// Writes to an upgraded connection, from [`Upgrade::on_loop`]. Dropped, it ends our side of the connection once all that was
/// written is sent.
///
/// It may move into a task, so that neither direction waits for the other:
///
/// ```
/// use std::time::Duration;
///
/// use coldstart::handler::{SocketReader, SocketWriter, Upgrade};
/// use coldstart::message::Written;
/// use coldstart::{sleep, spawn};
///
/// async fn clock(mut reader: SocketReader, writer: SocketWriter) -> Written {
///     let ticks = spawn(async move {
///         while writer.write("tick\n").await.is_ok() {
///             sleep(Duration::from_secs(1)).await;
///         }
///     })?;
///     while reader.read().await?.is_some() {}
///     ticks.abort(); // The writer is dropped, which ends our side too.
///     Ok(())
/// }
///
/// let upgrade = Upgrade::on_loop("clock", clock);
/// ```
pub struct SocketWriter {
    out: BodyWriter,
}

impl SocketWriter {
    /// Writes all of `bytes`; waits while 64 KiB wait for the peer. What is written before the future waits goes out in one system
    /// call. Only one call may wait at a time, and one that is dropped while it waits has written nothing.
    ///
    /// # Errors
    ///
    /// The connection was reset.
    pub fn write<B: Into<Bytes>>(
        &self,
        bytes: B,
    ) -> impl Future<Output = Result<(), SocketClosed>> + use<'_, B> {
        let mut bytes = bytes.into();
        poll_fn(move |context| self.poll_write(&mut bytes, context))
    }

    /// As [`write`](Self::write): takes `bytes` once there is room for them.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn poll_write(
        &self,
        bytes: &mut Bytes,
        context: &Context<'_>,
    ) -> Poll<Result<(), SocketClosed>> {
        let polled = self.out.poll_send(bytes, context);
        polled.map(|sent| sent.map_err(|_| SocketClosed(())))
    }

    /// Ends our side of the connection once all that was written is sent: the peer reads the end, and may go on sending.
    ///
    /// ```
    /// use coldstart::handler::{SocketReader, SocketWriter, Upgrade};
    /// use coldstart::message::Written;
    ///
    /// async fn greet(mut reader: SocketReader, writer: SocketWriter) -> Written {
    ///     writer.write("hello\n").await?;
    ///     writer.close();
    ///     while reader.read().await?.is_some() {} // Until the peer ends its side as well.
    ///     Ok(())
    /// }
    ///
    /// let upgrade = Upgrade::on_loop("greet", greet);
    /// ```
    pub fn close(self) {
        self.out.finish();
    }
}

impl fmt::Debug for SocketWriter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SocketWriter")
            .finish_non_exhaustive()
    }
}

/// The connection was reset by its peer, or closed by the server.
///
/// ```
/// use coldstart::handler::{SocketClosed, SocketReader, SocketWriter, Upgrade};
///
/// /// A peer that resets the connection ends the code with this error.
/// async fn echo(mut reader: SocketReader, writer: SocketWriter) -> Result<(), SocketClosed> {
///     while let Some(bytes) = reader.read().await? {
///         writer.write(bytes).await?;
///     }
///     Ok(())
/// }
///
/// let upgrade = Upgrade::on_loop("echo", async |reader, writer| Ok(echo(reader, writer).await?));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketClosed(());

impl fmt::Display for SocketClosed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the connection was reset")
    }
}

impl core::error::Error for SocketClosed {}

/// The code of a connection that is still in HTTP.
struct Unstarted<R> {
    run: R,
    place: Place,
    current: Option<Box<CurrentRequest>>,
}

impl<R, F> SocketCode for Unstarted<R>
where
    R: FnOnce(SocketReader, SocketWriter) -> F + 'static,
    F: Future<Output = Written> + 'static,
{
    fn begin(self: Box<Self>, to: Attachment<'_>) -> (Box<dyn IncomingSink>, Box<dyn PieceSource>) {
        let Self {
            run,
            place,
            current,
        } = *self;
        let (incoming, sink) = Incoming::tunnel();
        let notify = to.notify.clone();
        sink.attach(notify.clone(), to.memory);
        let write = move |out| {
            let local = PhantomData;
            run(SocketReader { incoming, local }, SocketWriter { out })
        };
        let channel = channel(WRITER_LEN_MAX);
        let writing = Writing::new(write, channel, Output::Half, to);
        let source = Source {
            code: Polled::new(writing, notify, current),
            _place: place,
        };
        (sink, Box::new(source))
    }
}

/// The loop's end of what the code writes.
struct Source<C> {
    code: C,
    _place: Place,
}

impl<C: PieceSource> PieceSource for Source<C> {
    fn next(&mut self, polls_left: &mut usize) -> Piece {
        self.code.next(polls_left)
    }

    fn half_close(&self) {
        self.code.half_close();
    }

    fn goes_on(&self) -> bool {
        self.code.goes_on()
    }
}
