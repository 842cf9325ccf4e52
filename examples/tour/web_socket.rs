//! A WebSocket without a thread: async code on the loop, around a crate that knows the protocol and takes any stream. Here the
//! stream is memory: bytes that have arrived, and bytes to be sent.

use std::future::poll_fn;
use std::io::{self, Cursor, ErrorKind, Read, Write};
use std::pin::Pin;
use std::task::Poll;

use coldstart::handler::{Accept, Draining, SocketReader, SocketWriter, Upgrade};
use coldstart::message::{Head, HeaderValue, Written};
use coldstart::{Bytes, Response, Status};
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{CloseCode, OpCode};
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Error, Message};

/// The largest message.
const MESSAGE_LEN_MAX: usize = 1024 * 1024;
/// What the crate reads at once, and what it holds for that while nothing arrives.
const READ_LEN: usize = 128;
/// After a message of more than this, what the crate holds is given back once nothing arrives.
const KEPT_LEN: u64 = 512;
/// No more messages are read before what was written is sent, if it has this length.
const BATCH_LEN: usize = 16 * 1024;

/// A WebSocket that echoes every message: `new WebSocket("ws://localhost:9000/websocket")` in a browser.
pub(crate) fn accept(head: &Head<'_>) -> Accept {
    match accept_key(head) {
        // If the request does not offer `websocket`, the server takes it for an ordinary one: the route responds with 426.
        Ok(accept) => {
            let upgrade = Upgrade::on_loop("websocket", echo_messages);
            Accept::Upgrade(upgrade.header("sec-websocket-accept", accept))
        }
        Err(response) => Accept::Respond(response.into()),
    }
}

pub(crate) fn upgrade_required() -> Response {
    Response::text("this is a WebSocket of version 13\n")
        .status(Status::UPGRADE_REQUIRED)
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
}

/// Checks what a handshake must have (RFC 6455 §4.2.1), apart from what the server has checked: the version of HTTP, and
/// `Upgrade` and `Connection`.
fn accept_key(head: &Head<'_>) -> Result<HeaderValue, Response> {
    // The route takes HEAD too.
    if head.method() != "GET" || head.header("sec-websocket-version") != Some("13") {
        return Err(upgrade_required());
    }
    let key = head
        .header("sec-websocket-key")
        .filter(|key| is_sixteen_bytes(key));
    let accept = key.map(|key| HeaderValue::parse(derive_accept_key(key.as_bytes())));
    match accept {
        Some(Ok(accept)) => Ok(accept),
        Some(Err(_)) | None => {
            let why = Response::text("Sec-WebSocket-Key must be 16 bytes in base64\n");
            Err(why.status(Status::BAD_REQUEST))
        }
    }
}

/// Whether this is what base64 makes of sixteen bytes: 22 digits and padding.
fn is_sixteen_bytes(key: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    let digits = key.strip_suffix("==");
    digits.is_some_and(|digits| digits.len() == 22 && digits.bytes().all(is_digit))
}

async fn echo_messages(reader: SocketReader, writer: SocketWriter) -> Written {
    let mut socket = WebSocket::new(reader, writer);
    let ended: Result<(), Error> = loop {
        match socket.read().await {
            Ok(message) if message.is_text() || message.is_binary() => {
                if let Err(error) = socket.write(message) {
                    break Err(error);
                }
            }
            // The crate itself responds to pings and to the peer's Close.
            Ok(_) => {}
            Err(error) => break Err(error),
        }
    };
    match ended {
        Err(Error::Capacity(_)) => socket.close(CloseCode::Size)?,
        Err(Error::Utf8(_)) => socket.close(CloseCode::Invalid)?,
        Err(Error::Protocol(_)) => socket.close(CloseCode::Protocol)?,
        // Both sides have closed, or the peer is gone.
        Ok(()) | Err(_) => {}
    }
    // What the peer still sends is discarded by the server until it has read this.
    Ok(socket.flush().await?)
}

/// A WebSocket on the loop.
struct WebSocket {
    protocol: WebSocketContext,
    memory: Memory,
    reader: SocketReader,
    writer: SocketWriter,
    /// `None` once the server stops.
    draining: Option<Draining>,
}

impl WebSocket {
    fn new(reader: SocketReader, writer: SocketWriter) -> Self {
        Self {
            protocol: protocol(),
            memory: Memory::default(),
            draining: Some(writer.draining()),
            reader,
            writer,
        }
    }

    /// The next message. What was written is sent before it waits, or once it is much.
    async fn read(&mut self) -> Result<Message, Error> {
        loop {
            if self.memory.written.len() >= BATCH_LEN {
                self.flush().await?;
            }
            match self.protocol.read(&mut self.memory) {
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {}
                read => return read,
            }
            self.flush().await?;
            if self.memory.is_between_messages() && self.memory.largest > KEPT_LEN {
                self.release();
            }
            self.receive().await?;
        }
    }

    /// Gives back the buffers of large messages: the crate keeps them. Between two messages its state is that of a new one, until
    /// one side closes.
    fn release(&mut self) {
        if self.protocol.can_read() && self.protocol.can_write() {
            self.protocol = protocol();
            self.memory.largest = 0;
        }
    }

    /// Waits for bytes. If the server stops, the peer is asked to close; its Close then ends the reading.
    async fn receive(&mut self) -> Result<(), Error> {
        let (reader, draining) = (&mut self.reader, &mut self.draining);
        let received = poll_fn(|context| {
            let stops = draining.as_mut().map(Pin::new);
            if stops.is_some_and(|stops| stops.poll(context).is_ready()) {
                return Poll::Ready(None);
            }
            reader.poll_read(context).map(Some)
        });
        match received.await {
            Some(Ok(Some(bytes))) => self.memory.arrive(bytes),
            Some(Ok(None)) => self.memory.has_ended = true,
            Some(Err(reset)) => {
                return Err(io::Error::new(ErrorKind::ConnectionReset, reset).into());
            }
            None => {
                self.draining = None;
                self.close(CloseCode::Away)?;
            }
        }
        Ok(())
    }

    fn write(&mut self, message: Message) -> Result<(), Error> {
        self.protocol.write(&mut self.memory, message)
    }

    fn close(&mut self, code: CloseCode) -> Result<(), Error> {
        let reason = "".into();
        let frame = CloseFrame { code, reason };
        self.protocol.close(&mut self.memory, Some(frame))
    }

    /// Sends what was written; waits while the peer has to read what was sent before.
    async fn flush(&mut self) -> Result<(), Error> {
        if self.memory.written.is_empty() {
            return Ok(());
        }
        let bytes = std::mem::take(&mut self.memory.written);
        let sent = self.writer.write(bytes).await;
        sent.map_err(|reset| io::Error::new(ErrorKind::ConnectionReset, reset).into())
    }
}

fn protocol() -> WebSocketContext {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_LEN)
        .write_buffer_size(0)
        .max_message_size(Some(MESSAGE_LEN_MAX))
        .max_frame_size(Some(MESSAGE_LEN_MAX));
    WebSocketContext::new(Role::Server, Some(config))
}

/// What the protocol takes for its stream. It yields no more than one frame at once, and its header as a whole: so the protocol
/// holds nothing between two frames.
#[derive(Default)]
struct Memory {
    arrived: Bytes,
    has_ended: bool,
    written: Vec<u8>,
    /// Bytes of the frame that are still to be read.
    frame_left: u64,
    message: Fragments,
    /// The length of the largest frame since the last release.
    largest: u64,
}

/// Whether the last frame was the last of its message (RFC 6455 §5.4).
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Fragments {
    #[default]
    All,
    MoreToCome,
}

impl Memory {
    /// Called when all that came before was read, apart from the beginning of a header.
    fn arrive(&mut self, bytes: Bytes) {
        self.arrived = if self.arrived.is_empty() {
            bytes
        } else {
            [&self.arrived[..], &bytes].concat().into()
        };
    }

    fn is_between_messages(&self) -> bool {
        self.frame_left == 0 && self.arrived.is_empty() && self.message == Fragments::All
    }

    /// Looks at the header of the next frame, if all of it is here.
    fn begin_frame(&mut self) {
        let mut cursor = Cursor::new(&self.arrived);
        match FrameHeader::parse(&mut cursor) {
            Ok(Some((header, len))) => {
                self.frame_left = cursor.position().saturating_add(len);
                self.largest = self.largest.max(len);
                match header.opcode {
                    OpCode::Data(_) if header.is_final => self.message = Fragments::All,
                    OpCode::Data(_) => self.message = Fragments::MoreToCome,
                    OpCode::Control(_) => {}
                }
            }
            Ok(None) => {}
            // The protocol reports it.
            Err(_) => self.frame_left = u64::MAX,
        }
    }
}

impl Read for Memory {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.frame_left == 0 && !self.arrived.is_empty() {
            self.begin_frame();
        }
        let left = usize::try_from(self.frame_left).unwrap_or(usize::MAX);
        let len = into.len().min(self.arrived.len()).min(left);
        if len == 0 && !self.has_ended {
            return Err(ErrorKind::WouldBlock.into());
        }
        let taken = self.arrived.split_to(len);
        self.frame_left -= len as u64;
        into[..len].copy_from_slice(&taken);
        if self.arrived.is_empty() {
            // Nothing is held while nothing arrives.
            self.arrived = Bytes::new();
        }
        Ok(len)
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
