//! WebSockets (RFC 6455) on the loop of their connection, by the protocol of the crate tungstenite. Feature `websocket`.

mod memory;

use core::error::Error;
use core::fmt;
use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io::ErrorKind;

use bytes::Bytes;
use tungstenite::error::ProtocolError;
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext};

use crate::limits::WEB_SOCKET_MESSAGE_LEN_MAX;
use crate::message::headers::HeaderValue;
use crate::message::request::Head;
use crate::message::response::{Response, Status};
use crate::message::writer::Written;
use crate::task::{Draining, draining};

use super::socket::{SocketReader, SocketWriter};
use super::upgrade::Upgrade;
use super::{Accept, IntoResponse as _};

use memory::Memory;

/// What the protocol reads at once, and what it holds for that while nothing arrives.
const READ_LEN: usize = 128;
/// After a message of more than this, what the protocol holds is given back once nothing arrives.
const KEPT_LEN: u64 = 512;
/// After one of more than this it is given back at once: it does not count, and part of the next message could keep it.
const KEPT_BUSY_LEN: u64 = 16 * 1024;
/// No more messages are read before what was written is sent, if it has this length.
const BATCH_LEN: usize = 16 * 1024;

/// A WebSocket (RFC 6455) that stays on the loop of its connection, without a thread: [`accept`](Self::accept) makes one.
///
/// While the code reads or sends, it responds to pings, joins fragments, and completes the closing handshake. When the server
/// stops, the peer is asked to close with code 1001, and [`read`](Self::read) returns `None` once it has.
///
/// At most one message of the peer is held, which counts in [`Limits::memory_max`](crate::server::Limits::memory_max) until it is whole,
/// and what [`Upgrade::on_loop`] holds. An idle one takes 2 KiB, its session included.
///
/// ```
/// use coldstart::handler::WebSocket;
/// use coldstart::{Router, TestRequest};
///
/// let mut router = Router::new().accept("GET", "/echo", |head| {
///     WebSocket::accept(head, async |mut socket| {
///         while let Some(message) = socket.read().await? {
///             socket.send(message).await?;
///         }
///         Ok(())
///     })
/// });
/// let offer = TestRequest::get("/echo")
///     .header("connection", "upgrade")
///     .header("upgrade", "websocket")
///     .header("sec-websocket-version", "13")
///     .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
/// assert_eq!(offer.run_handler(&mut router).status(), 101);
/// assert_eq!(TestRequest::get("/echo").run_handler(&mut router).status(), 426);
/// ```
pub struct WebSocket {
    /// In a box: async code that is passed a WebSocket would have room for it more than once.
    state: Box<State>,
}

struct State {
    protocol: WebSocketContext,
    memory: Memory,
    reader: SocketReader,
    writer: SocketWriter,
    /// `None` once the server stops.
    draining: Option<Draining>,
    /// Why nothing more is read, once all that was written is sent.
    end: Option<Result<(), WebSocketError>>,
}

/// A message of a [`WebSocket`].
///
/// ```
/// use coldstart::handler::{WebSocket, WebSocketError, WebSocketMessage};
///
/// async fn measure(mut socket: WebSocket) -> Result<(), WebSocketError> {
///     while let Some(message) = socket.read().await? {
///         let len = match message {
///             WebSocketMessage::Text(text) => text.chars().count(),
///             WebSocketMessage::Binary(bytes) => bytes.len(),
///         };
///         socket.send(len.to_string()).await?;
///     }
///     Ok(())
/// }
///
/// assert_eq!(WebSocketMessage::from("hi"), WebSocketMessage::Text("hi".to_owned()));
/// # let _ = |head: coldstart::message::Head<'_>| {
/// #     WebSocket::accept(&head, async |socket| Ok(measure(socket).await?))
/// # };
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "RFC 6455 §5.6 has these two")]
pub enum WebSocketMessage {
    /// UTF-8.
    Text(String),
    /// Any bytes.
    Binary(Bytes),
}

impl WebSocket {
    /// Leaves HTTP for a WebSocket, if the request asks for one (RFC 6455 §4.2.1): `run` gets it, and its future is polled on
    /// the loop as that of [`Upgrade::on_loop`] is. Otherwise the response is 426, or 400 if the handshake's key is not valid.
    ///
    /// For [`Router::accept`](crate::Router::accept) and [`Handler::accept`](crate::Handler::accept). Browsers let any site open
    /// a WebSocket, and send their cookies: compare the field `Origin` if that matters (§10.2).
    ///
    /// ```
    /// use coldstart::Router;
    /// use coldstart::handler::{Accept, WebSocket};
    /// use coldstart::{Response, Status};
    ///
    /// let router = Router::new().accept("GET", "/ws", |head| {
    ///     if head.header("origin") != Some("https://example.com") {
    ///         return Accept::Respond(Response::new(Status::FORBIDDEN).into());
    ///     }
    ///     WebSocket::accept(head, async |mut socket| {
    ///         while let Some(message) = socket.read().await? {
    ///             socket.send(message).await?;
    ///         }
    ///         Ok(())
    ///     })
    /// });
    /// ```
    pub fn accept<F>(head: &Head<'_>, run: impl FnOnce(Self) -> F + 'static) -> Accept
    where
        F: Future<Output = Written> + 'static,
    {
        match accept_key(head) {
            Ok(key) => {
                let run = |reader, writer| run(Self::new(reader, writer));
                let upgrade = Upgrade::on_loop("websocket", run);
                Accept::Upgrade(upgrade.header("sec-websocket-accept", key))
            }
            Err(response) => Accept::Respond(response.into()),
        }
    }

    fn new(reader: SocketReader, writer: SocketWriter) -> Self {
        let state = Box::new(State {
            protocol: protocol(),
            memory: Memory::new(WEB_SOCKET_MESSAGE_LEN_MAX),
            draining: Some(draining()),
            reader,
            writer,
            end: None,
        });
        Self { state }
    }

    /// Bounds the messages of the peer, in bytes: 1 MiB by default. A larger one ends the connection with code 1009.
    ///
    /// ```
    /// use coldstart::Router;
    /// use coldstart::handler::WebSocket;
    ///
    /// let router = Router::new().accept("GET", "/chat", |head| {
    ///     WebSocket::accept(head, async |mut socket| {
    ///         socket.message_len_max(4096); // A line of a chat is short.
    ///         while let Some(message) = socket.read().await? {
    ///             socket.send(message).await?;
    ///         }
    ///         Ok(())
    ///     })
    /// });
    /// ```
    pub fn message_len_max(&mut self, bytes: usize) {
        self.state.memory.message_len_max = bytes;
        self.state.protocol.set_config(|config| {
            config.max_message_size = Some(bytes);
            config.max_frame_size = Some(bytes);
        });
    }

    /// The next message; `None` once the connection is closed. A call that is dropped while it waits has taken nothing.
    ///
    /// # Errors
    ///
    /// See [`WebSocketError`]. The peer gets the Close that fits, if it is still there.
    pub async fn read(&mut self) -> Result<Option<WebSocketMessage>, WebSocketError> {
        poll_fn(|context| self.poll_read(context)).await
    }

    /// As [`read`](Self::read). The task that polled last is woken.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn poll_read(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<WebSocketMessage>, WebSocketError>> {
        self.state.poll_read(context)
    }

    /// Sends a message; waits while 64 KiB wait for the peer. A call that is dropped while it waits may have taken the message,
    /// which is then sent by the next call.
    ///
    /// # Errors
    ///
    /// [`WebSocketError::Closed`]: the connection is closed, or closing.
    pub async fn send(
        &mut self,
        message: impl Into<WebSocketMessage>,
    ) -> Result<(), WebSocketError> {
        // What was taken before goes first, so that no more than one message waits.
        poll_fn(|context| self.state.poll_flush(context)).await?;
        self.write(message)?;
        poll_fn(|context| self.state.poll_flush(context)).await
    }

    /// Takes a message, and sends it when a [`read`](Self::read) waits, or with the next [`send`](Self::send): several small ones
    /// go out at once. From 16 KiB on, a `read` first waits until they are sent.
    ///
    /// ```
    /// use coldstart::handler::{WebSocket, WebSocketError};
    ///
    /// async fn count_down(socket: &mut WebSocket) -> Result<(), WebSocketError> {
    ///     for number in (1..=9).rev() {
    ///         socket.write(number.to_string())?;
    ///     }
    ///     socket.send("0").await // All ten are sent at once.
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn write(&mut self, message: impl Into<WebSocketMessage>) -> Result<(), WebSocketError> {
        let message = match message.into() {
            WebSocketMessage::Text(text) => tungstenite::Message::text(text),
            WebSocketMessage::Binary(bytes) => tungstenite::Message::binary(bytes),
        };
        let state = &mut *self.state;
        let written = state.protocol.write(&mut state.memory, message);
        written.map_err(|_| WebSocketError::Closed)
    }

    /// Asks the peer to close, with a code (RFC 6455 §7.4) and a reason of at most 123 bytes; what is longer is cut. A code that
    /// may not be sent, such as 1005, is left out with the reason. The peer's response, and what it has sent before, is
    /// discarded.
    ///
    /// ```
    /// use coldstart::handler::{WebSocket, WebSocketMessage};
    /// use coldstart::message::Written;
    ///
    /// async fn only_text(mut socket: WebSocket) -> Written {
    ///     socket.message_len_max(4096);
    ///     while let Some(message) = socket.read().await? {
    ///         if !matches!(message, WebSocketMessage::Text(_)) {
    ///             socket.close(1003, "only text").await?; // RFC 6455 §7.4.1.
    ///             return Ok(());
    ///         }
    ///         socket.send("thanks").await?;
    ///     }
    ///     Ok(())
    /// }
    /// # let _ = |head: coldstart::message::Head<'_>| WebSocket::accept(&head, only_text);
    /// ```
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub async fn close(mut self, code: u16, reason: &str) -> Result<(), WebSocketError> {
        self.state.begin_close(CloseCode::from(code), reason);
        poll_fn(|context| self.state.poll_flush(context)).await
    }
}

impl State {
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<WebSocketMessage>, WebSocketError>> {
        loop {
            if self.end.is_some() || self.memory.written.len() >= BATCH_LEN {
                let sent = ready!(self.poll_flush(context));
                if let Some(end) = self.end {
                    return Poll::Ready(end.and(sent).map(|()| None));
                }
                sent?;
            }
            match self.protocol.read(&mut self.memory) {
                Ok(tungstenite::Message::Text(text)) => {
                    self.give_message();
                    let text = text.as_str().to_owned();
                    return Poll::Ready(Ok(Some(WebSocketMessage::Text(text))));
                }
                Ok(tungstenite::Message::Binary(bytes)) => {
                    self.give_message();
                    return Poll::Ready(Ok(Some(WebSocketMessage::Binary(bytes))));
                }
                // The protocol itself responds to pings and to the peer's Close.
                Ok(_) => {}
                Err(tungstenite::Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                    self.memory.shrink();
                    ready!(self.poll_flush(context))?;
                    if self.memory.is_between_messages() && self.memory.largest > KEPT_LEN {
                        self.release();
                    }
                    ready!(self.poll_receive(context))?;
                }
                Err(error) => self.fail(&error),
            }
        }
    }

    fn begin_close(&mut self, code: CloseCode, reason: &str) {
        let reason = reason.get(..reason.floor_char_boundary(REASON_LEN_MAX));
        let reason = reason.unwrap_or_default().into();
        let frame = code.is_allowed().then_some(CloseFrame { code, reason });
        // It fails only if the connection is closed, or closing, already.
        drop(self.protocol.close(&mut self.memory, frame));
    }

    /// Nothing more is read, for this reason.
    fn fail(&mut self, error: &tungstenite::Error) {
        use tungstenite::Error::{AlreadyClosed, Capacity, ConnectionClosed, Io, Protocol, Utf8};
        let gone = ProtocolError::ResetWithoutClosingHandshake;
        let is = |kind| matches!(error, Io(why) if why.kind() == kind);
        let (code, why) = if matches!(error, ConnectionClosed | AlreadyClosed) {
            (None, Ok(()))
        } else if is(ErrorKind::OutOfMemory) {
            (Some(CloseCode::Again), Err(WebSocketError::OutOfMemory))
        } else if is(ErrorKind::FileTooLarge) || matches!(error, Capacity(_)) {
            (Some(CloseCode::Size), Err(WebSocketError::TooLarge))
        } else if matches!(error, Utf8(_)) {
            (Some(CloseCode::Invalid), Err(WebSocketError::Malformed))
        } else if is(ErrorKind::InvalidData) || matches!(error, Protocol(why) if *why != gone) {
            (Some(CloseCode::Protocol), Err(WebSocketError::Malformed))
        } else {
            (None, Err(WebSocketError::Closed))
        };
        if let Some(code) = code {
            self.begin_close(code, "");
        }
        self.end = Some(why);
    }

    /// The message is whole, and its reader's.
    fn give_message(&mut self) {
        self.memory.give_message();
        if self.memory.largest > KEPT_BUSY_LEN {
            self.release();
        }
    }

    /// Gives back the buffers of large messages: the protocol keeps them. Between two messages its state is that of a new one,
    /// until one side closes.
    fn release(&mut self) {
        if self.protocol.can_read() && self.protocol.can_write() {
            let config = *self.protocol.get_config();
            self.protocol = WebSocketContext::new(Role::Server, Some(config));
            self.memory.largest = 0;
        }
    }

    /// Waits for bytes. If the server stops, the peer is asked to close; its Close then ends the reading.
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Result<(), WebSocketError>> {
        let stops = self.draining.as_mut().map(Pin::new);
        if stops.is_some_and(|stops| stops.poll(context).is_ready()) {
            self.draining = None;
            self.begin_close(CloseCode::Away, "");
            return Poll::Ready(Ok(()));
        }
        match ready!(self.reader.poll_read(context)) {
            Ok(Some(bytes)) => {
                self.memory.arrive(bytes);
                if self.memory.charge.is_none() {
                    self.memory.charge = self.reader.charge();
                }
            }
            Ok(None) => self.memory.has_ended = true,
            Err(_) => return Poll::Ready(Err(WebSocketError::Closed)),
        }
        Poll::Ready(Ok(()))
    }

    /// Sends what was written; waits while the peer has to read what was sent before.
    fn poll_flush(&mut self, context: &Context<'_>) -> Poll<Result<(), WebSocketError>> {
        if self.memory.written.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let mut bytes = Bytes::from(core::mem::take(&mut self.memory.written));
        let polled = self.writer.poll_write(&mut bytes, context);
        // Without a copy, since there is no other handle to them.
        self.memory.written = bytes.into();
        polled.map_err(|_| WebSocketError::Closed)
    }
}

/// RFC 6455 §5.5: a control frame has at most 125 bytes, two of them for the code.
const REASON_LEN_MAX: usize = 123;

fn protocol() -> WebSocketContext {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_LEN)
        .write_buffer_size(0)
        .max_message_size(Some(WEB_SOCKET_MESSAGE_LEN_MAX))
        .max_frame_size(Some(WEB_SOCKET_MESSAGE_LEN_MAX));
    WebSocketContext::new(Role::Server, Some(config))
}

/// Checks what a handshake must have (RFC 6455 §4.2.1), apart from what the server checks: the version of HTTP, and `Connection`.
fn accept_key(head: &Head<'_>) -> Result<HeaderValue, Response> {
    let offered = head.header("upgrade").unwrap_or_default().split(',');
    let is_offered = offered
        .map(str::trim)
        .any(|name| name.eq_ignore_ascii_case("websocket"));
    // A route for GET takes HEAD too.
    let is_get = head.method() == "GET";
    if !is_offered || !is_get || head.header("sec-websocket-version") != Some("13") {
        let how =
            "this is a WebSocket: send GET with Upgrade: websocket and Sec-WebSocket-Version: 13\n";
        let response = Response::text(how).status(Status::UPGRADE_REQUIRED);
        let response = response.header("upgrade", "websocket");
        return Err(response.header("sec-websocket-version", "13"));
    }
    let key = head.header("sec-websocket-key");
    let key = key.filter(|key| is_sixteen_bytes(key));
    let accept = key.map(|key| HeaderValue::parse(derive_accept_key(key.as_bytes())));
    accept.and_then(Result::ok).ok_or_else(|| {
        let why = "Sec-WebSocket-Key must be 16 bytes in base64\n";
        (Status::BAD_REQUEST, why).into_response()
    })
}

/// Whether this is what base64 makes of sixteen bytes: 22 digits and padding.
fn is_sixteen_bytes(key: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    let digits = key.strip_suffix("==");
    digits.is_some_and(|digits| digits.len() == 22 && digits.bytes().all(is_digit))
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("WebSocket").finish_non_exhaustive()
    }
}

impl From<String> for WebSocketMessage {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for WebSocketMessage {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<Bytes> for WebSocketMessage {
    fn from(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }
}

impl From<Vec<u8>> for WebSocketMessage {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Binary(bytes.into())
    }
}

/// Why a [`WebSocket`] has ended.
///
/// ```
/// use coldstart::handler::{WebSocket, WebSocketError};
///
/// async fn until_the_end(mut socket: WebSocket) -> &'static str {
///     loop {
///         match socket.read().await {
///             Ok(Some(_)) => {}
///             Ok(None) => return "the peer said goodbye",
///             Err(WebSocketError::Closed) => return "the peer is gone",
///             Err(WebSocketError::TooLarge) => return "the peer sent too much at once",
///             Err(_) => return "the peer has got a Close that says why",
///         }
///     }
/// }
/// # let _ = |head: coldstart::message::Head<'_>| {
/// #     WebSocket::accept(&head, async |socket| { until_the_end(socket).await; Ok(()) })
/// # };
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WebSocketError {
    /// The connection is gone without a closing handshake; or a message cannot be sent, because one side has closed.
    Closed,
    /// The peer broke the protocol: it gets a Close with code 1002 or 1007.
    Malformed,
    /// A message is larger than it may be: the peer gets a Close with code 1009.
    TooLarge,
    /// All peers together hold [`Limits::memory_max`](crate::server::Limits::memory_max) already: the peer gets a Close with code 1013.
    OutOfMemory,
}

impl fmt::Display for WebSocketError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Closed => "the WebSocket is closed",
            Self::Malformed => "the peer broke the WebSocket protocol",
            Self::TooLarge => "the WebSocket message is too large",
            Self::OutOfMemory => "the server has no memory left for the WebSocket message",
        })
    }
}

impl Error for WebSocketError {}
