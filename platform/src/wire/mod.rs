//! HTTP/1.1 on blocking sockets. The checks must send what a client library would not (half a request, a reset, an idle
//! connection) and see what one would hide (which side closed, and when).

pub(crate) mod body;
mod departure;
pub(crate) mod exchange;
pub(crate) mod fields;
mod grammar;
pub(crate) mod head;

use std::fmt;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};

use crate::system;
use departure::{First, response_or_departure, timespec};

const READ_LEN: usize = 64 * 1024;

/// Why an exchange on a connection failed.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The connection was refused.
    Refused(io::Error),
    /// The peer closed before the first byte of a message.
    Closed,
    /// The peer closed inside a message.
    ClosedMidway,
    /// Nothing arrived before the deadline.
    TimedOut,
    /// The head of a response says nothing of where its body ends, and the peer has not closed before the deadline.
    Endless,
    /// The caller has closed its connection in the meantime.
    CallerLeft,
    /// The bytes are not valid HTTP/1.1.
    Malformed(String),
    /// The protocol version is none that is served.
    UnsupportedVersion,
    /// The head is longer than allowed.
    HeadTooLong,
    /// The body is longer than allowed.
    BodyTooLong,
    /// Any other error of the socket.
    Broken(io::Error),
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => write!(out, "could not connect: {error}"),
            Self::Closed => out.write_str("the server closed the connection without a response"),
            Self::ClosedMidway => {
                out.write_str("the server closed the connection in the middle of its response")
            }
            Self::TimedOut => out.write_str("no response in time"),
            Self::Endless => out.write_str(
                "the response has no end: neither Content-Length nor chunked, and the connection stays open",
            ),
            Self::CallerLeft => out.write_str("the caller has left"),
            Self::Malformed(why) => write!(out, "malformed HTTP: {why}"),
            Self::UnsupportedVersion => out.write_str("the protocol version is not HTTP/1.x"),
            Self::BodyTooLong => out.write_str("the body is longer than allowed"),
            Self::HeadTooLong => out.write_str("the head is longer than allowed"),
            Self::Broken(error) => write!(out, "{error}"),
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind::{
            BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, TimedOut, WouldBlock,
        };
        let kind = error.kind();
        if [WouldBlock, TimedOut].contains(&kind) {
            Self::TimedOut
        } else if [ConnectionReset, BrokenPipe, ConnectionAborted].contains(&kind) {
            Self::Closed
        } else if kind == ConnectionRefused {
            Self::Refused(error)
        } else {
            Self::Broken(error)
        }
    }
}

/// A connection, with the bytes that were read and not yet used.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    unread: Vec<u8>,
    /// The buffer for reads, zeroed only once.
    landing: Vec<u8>,
    /// Reading ends when this caller closes its connection.
    caller: Option<TcpStream>,
    reading: Reading,
}

/// Where the reading side is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    Here,
    /// Taken over by another thread.
    Elsewhere,
}

impl Wire {
    /// Wraps an open connection.
    pub(crate) fn of(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            unread: Vec::new(),
            landing: Vec::new(),
            caller: None,
            reading: Reading::Here,
        })
    }

    /// The underlying socket.
    pub(crate) const fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// The reading side for another thread, with the unread bytes.
    pub(crate) fn take_over(&mut self) -> io::Result<Self> {
        let stream = self.stream.try_clone()?;
        self.reading = Reading::Elsewhere;
        Ok(Self {
            stream,
            unread: std::mem::take(&mut self.unread),
            landing: Vec::new(),
            caller: None,
            reading: Reading::Here,
        })
    }

    /// Gives the unread bytes back after [`Self::take_over`].
    pub(crate) fn resume(&mut self, reader: Self) {
        self.reading = Reading::Here;
        self.unread = reader.unread;
    }

    /// Whether messages can be read here.
    pub(crate) fn can_read(&self) -> bool {
        self.reading == Reading::Here
    }

    /// From now on reading ends when this caller closes its connection.
    pub(crate) fn read_for(&mut self, caller: &TcpStream) -> io::Result<()> {
        self.caller = Some(caller.try_clone()?);
        Ok(())
    }

    /// Reading no longer depends on a caller.
    pub(crate) fn detach_caller(&mut self) {
        self.caller = None;
    }

    /// The bytes that were read and not yet used.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.unread
    }

    /// Takes bytes from the front.
    pub(crate) fn take(&mut self, length: usize) -> Vec<u8> {
        let rest = self.unread.split_off(length.min(self.unread.len()));
        std::mem::replace(&mut self.unread, rest)
    }

    /// Sends all of it before the deadline.
    pub(crate) fn send_by(&self, bytes: &[u8], deadline: Instant) -> Result<(), Fault> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Fault::TimedOut);
            }
            self.stream.set_write_timeout(Some(left))?;
            match (&self.stream).write(rest) {
                Ok(length) => rest = &rest[length..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Sends all of it.
    pub(crate) fn send(&self, bytes: &[u8]) -> Result<(), Fault> {
        (&self.stream).write_all(bytes).map_err(Fault::from)
    }

    /// Reads more bytes; `false` at the end of the stream.
    pub(crate) fn fill(&mut self, deadline: Instant) -> Result<bool, Fault> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Fault::TimedOut);
        }
        if let Some(caller) = &self.caller {
            match response_or_departure(&self.stream, caller, deadline) {
                First::Response => {}
                First::CallerGone => return Err(Fault::CallerLeft),
                First::Neither => return Err(Fault::TimedOut),
            }
        }
        self.stream.set_read_timeout(Some(left))?;
        // Many servers write head and body separately; a delayed acknowledgement between the two costs 40 ms.
        system::acknowledge_at_once(&self.stream);
        self.landing.resize(READ_LEN, 0);
        loop {
            match self.stream.read(&mut self.landing) {
                Ok(length) => {
                    self.unread.extend_from_slice(&self.landing[..length]);
                    return Ok(length > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Waits until the stream is readable or closed by the peer.
pub(crate) fn readable_within(stream: &TcpStream, patience: Duration) -> bool {
    let mut one = [PollFd::new(stream, PollFlags::IN)];
    poll(&mut one, Some(&timespec(patience))).is_ok_and(|ready| ready > 0)
}
