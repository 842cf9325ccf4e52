//! A request body that is forwarded on a thread of its own, since the response may begin, and end, before the body does.
//!
//! The thread reads the body to its end even if the function does not want it: only then can the next request follow on
//! the caller's connection.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::hop;
use super::limits::BODY_LEN_MAX;
use super::outbound::{Outbound, chunk, last_chunk, of_body_fault};
use super::precheck::body_too_long;
use crate::caller_error::CallerError;
use crate::wire::body::{Body, Framing};
use crate::wire::{Fault, Wire};

/// How long the function may go on reading the body after its response has ended.
const FUNCTION_PATIENCE: Duration = Duration::from_millis(200);
/// How long the caller may take to send the rest of a body that is only discarded.
const CALLER_PATIENCE: Duration = Duration::from_secs(10);

/// A body that is being forwarded.
#[derive(Debug)]
pub(crate) struct Upload {
    end: Receiver<UploadEnd>,
    from: TcpStream,
    to: TcpStream,
}

/// How an upload ended.
#[derive(Debug)]
struct UploadEnd {
    /// The reading side of the caller's connection, after the body.
    reader: Wire,
    /// Whether the caller sent a complete body.
    received: Result<(), CallerError>,
    delivery: Delivery,
}

/// Whether the function got the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    Complete,
    /// It stopped reading before the end.
    CutOff,
}

impl Upload {
    /// Takes over the reading side of the caller's connection until [`Self::finish`].
    pub(crate) fn start(
        outbound: &Outbound,
        beginning: usize,
        rest: Body,
        (to, caller): (&Wire, &mut Wire),
    ) -> io::Result<Self> {
        let writer = Wire::of(to.stream().try_clone()?)?;
        let (from, to) = (caller.stream().try_clone()?, to.stream().try_clone()?);
        let mut forwarding = Forwarding {
            body: rest,
            framing: outbound.framing,
            length: beginning as u64,
            deadline: outbound.deadline,
            nominated: outbound.nominated.clone(),
            delivery: Delivery::Complete,
        };
        let mut reader = caller.take_over()?;
        let (sender, end) = channel();
        let sending = move || {
            let received = forwarding.run(&mut reader, &writer);
            let delivery = forwarding.delivery;
            sender
                .send(UploadEnd {
                    reader,
                    received,
                    delivery,
                })
                .ok();
        };
        thread::Builder::new()
            .name("upload".to_owned())
            .spawn(sending)?;
        Ok(Self { end, from, to })
    }

    /// Waits for the end after the response, or after its failure. The caller's connection can be used again if the body
    /// was received.
    pub(crate) fn finish(self, caller: &mut Wire) -> Result<Delivery, CallerError> {
        let end = self.end.recv_timeout(FUNCTION_PATIENCE).or_else(|_| {
            // The function no longer reads: writing fails from here on, and the rest is discarded.
            self.to.shutdown(Shutdown::Both).ok();
            self.end.recv_timeout(CALLER_PATIENCE)
        });
        let end = end.or_else(|_| {
            self.from.shutdown(Shutdown::Read).ok();
            self.end.recv_timeout(CALLER_PATIENCE)
        });
        let end = end.map_err(|_| CallerError::Canceled)?;
        end.received?;
        caller.resume(end.reader);
        Ok(end.delivery)
    }
}

struct Forwarding {
    body: Body,
    framing: Framing,
    /// Bytes of content so far.
    length: u64,
    deadline: Instant,
    nominated: Vec<String>,
    delivery: Delivery,
}

impl Forwarding {
    fn run(&mut self, reader: &mut Wire, writer: &Wire) -> Result<(), CallerError> {
        let result = self.forward(reader, writer);
        if result.is_err() {
            // The function must neither take the partial body as complete nor wait for the rest.
            writer.stream().shutdown(Shutdown::Both).ok();
        }
        result
    }

    fn forward(&mut self, reader: &mut Wire, writer: &Wire) -> Result<(), CallerError> {
        while let Some(piece) = self
            .body
            .next(reader, self.deadline)
            .map_err(of_body_fault)?
        {
            self.length += piece.len() as u64;
            if self.length > BODY_LEN_MAX {
                return Err(body_too_long());
            }
            if self.framing == Framing::Chunked {
                self.deliver(writer, &chunk(&piece));
            } else {
                self.deliver(writer, &piece);
            }
        }
        if self.framing == Framing::Chunked {
            let trailers = hop::forwarded_trailers(self.body.trailers(), &self.nominated);
            self.deliver(writer, &last_chunk(&trailers));
        }
        Ok(())
    }

    fn deliver(&mut self, writer: &Wire, bytes: &[u8]) {
        if self.delivery == Delivery::Complete {
            let sent: Result<(), Fault> = writer.send_by(bytes, self.deadline);
            if sent.is_err() {
                self.delivery = Delivery::CutOff;
            }
        }
    }
}
