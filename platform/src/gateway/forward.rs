//! Forwards one request to the instance and its response back, both as streams.

use std::io::{self, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::fleet::Resident;
use super::pool::{Age, Lease, Pool};
use crate::caller_error::CallerError;
use crate::headers;
use crate::instance::process::eventually;
use crate::wire::body::{Body, Framing};
use crate::wire::head::{Fields, Request, Response};
use crate::wire::{Fault, Wire};

/// The platform's limits (contract rule 11): header fields 8 KB each way, path 4 KB, body 32 MB.
pub(crate) const FIELDS_LEN_MAX: usize = 8 * 1024;
pub(crate) const TARGET_LEN_MAX: usize = 4 * 1024;
pub(crate) const BODY_LEN_MAX: u64 = 32 * 1024 * 1024;
const HEAD_READ_MAX: usize = 64 * 1024;
/// A body up to this length is read whole before it is forwarded, so that a retry can send it again.
const WHOLE_BODY_LEN: u64 = 64 * 1024;

/// How long the rest of a request body may take after the response has ended.
const UPLOAD_PATIENCE: Duration = Duration::from_millis(200);

/// A request to forward: what the function gets, and how its body arrives.
#[derive(Debug)]
pub(crate) struct Outbound {
    pub(crate) request: Request,
    pub(crate) framing: Framing,
    /// The body, if it was read whole.
    pub(crate) whole: Option<Vec<u8>>,
    pub(crate) deadline: Instant,
    pub(crate) timeout: Duration,
}

/// A response's head, and the connection its body arrives on.
#[derive(Debug)]
pub(crate) struct Inbound {
    pub(crate) response: Response,
    pub(crate) framing: Framing,
    pub(crate) wire: Wire,
    /// The request's body, if it is still being forwarded.
    pub(crate) upload: Option<Upload>,
}

impl Inbound {
    /// Whether the response may go on without end.
    pub(crate) fn is_stream(&self) -> bool {
        self.response.status == 101
            || matches!(self.framing, Framing::Chunked | Framing::UntilClose)
    }
}

impl Outbound {
    /// Reads a short body whole; a long body, or one of unknown length, is streamed later.
    pub(crate) fn prepare(
        request: Request,
        framing: Framing,
        caller: &mut Wire,
        timeout: Duration,
    ) -> Result<Self, CallerError> {
        let deadline = Instant::now() + timeout;
        let whole = match framing {
            Framing::Empty => Some(Vec::new()),
            Framing::Length(length) if length <= WHOLE_BODY_LEN => {
                let read = Body::new(framing).read_all(caller, usize::MAX, deadline);
                Some(read.map_err(|_| CallerError::Canceled)?)
            }
            Framing::Length(length) if length > BODY_LEN_MAX => return Err(body_too_long()),
            Framing::Length(_) | Framing::Chunked | Framing::UntilClose => None,
        };
        Ok(Self {
            request,
            framing,
            whole,
            deadline,
            timeout,
        })
    }

    /// The head with its own framing fields, and the body if it was read whole.
    fn first_bytes(&self) -> Vec<u8> {
        let mut request = self.request.clone();
        match (self.framing, &self.whole) {
            (Framing::Chunked, _) => request.fields.push("Transfer-Encoding", "chunked"),
            (Framing::Length(length), _) => {
                request.fields.push("Content-Length", length.to_string());
            }
            (Framing::Empty, _) if matches!(request.method.as_str(), "POST" | "PUT" | "PATCH") => {
                request.fields.push("Content-Length", "0");
            }
            (Framing::Empty | Framing::UntilClose, _) => {}
        }
        let mut bytes = request.to_bytes();
        bytes.extend_from_slice(self.whole.as_deref().unwrap_or_default());
        bytes
    }

    fn is_retried(&self) -> bool {
        matches!(
            self.request.method.as_str(),
            "GET" | "HEAD" | "OPTIONS" | "TRACE"
        ) && self.whole.is_some()
    }
}

/// Sends the request and waits for the head of the response.
pub(crate) fn send(
    outbound: &Outbound,
    resident: &Resident,
    caller: &mut Wire,
) -> Result<Inbound, CallerError> {
    let mut lease = resident
        .pool
        .take(&resident.instance)
        .map_err(|fault| of_fault(fault, outbound))?;
    loop {
        let age = lease.age;
        match attempt(outbound, lease, caller) {
            Ok(inbound) => return Ok(inbound),
            // As Go's transport does: retry only idempotent requests, and only on a reused connection.
            Err(Attempt::Died) if age == Age::Used && outbound.is_retried() => {
                lease =
                    Pool::dial(&resident.instance).map_err(|fault| of_fault(fault, outbound))?;
            }
            Err(Attempt::Died) => return Err(CallerError::ProcessExited),
            Err(Attempt::Failed(error)) => return Err(error),
        }
    }
}

/// Forwards the response's body piece by piece, then returns the connection to the pool if it can be reused.
pub(crate) fn pass_body(
    inbound: Inbound,
    outbound: &Outbound,
    resident: &Resident,
    mut to: &TcpStream,
) -> Result<(), CallerError> {
    let Inbound {
        response,
        framing,
        mut wire,
        upload,
    } = inbound;
    let is_chunked = is_chunked_for_caller(framing, outbound.request.minor_version);
    let mut body = Body::new(framing);
    loop {
        let piece = body
            .next(&mut wire, outbound.deadline)
            .map_err(|fault| of_fault(fault, outbound))?;
        let Some(piece) = piece else { break };
        let sent = if is_chunked {
            to.write_all(&chunk(&piece))
        } else {
            to.write_all(&piece)
        };
        sent.map_err(|_| CallerError::Canceled)?;
    }
    if is_chunked {
        to.write_all(b"0\r\n\r\n")
            .map_err(|_| CallerError::Canceled)?;
    }
    let is_sent = upload.is_none_or(|upload| upload.stop().is_ok());
    if is_sent && response.keeps_alive() && framing != Framing::UntilClose {
        resident.pool.give_back(wire);
    }
    Ok(())
}

/// An HTTP/1.0 caller cannot read chunks: the end of the connection ends its response.
const fn is_chunked_for_caller(framing: Framing, minor_version: u8) -> bool {
    matches!(framing, Framing::Chunked | Framing::UntilClose) && minor_version > 0
}

/// The framing fields of the response that the caller gets.
pub(crate) fn framing_fields(inbound: &Inbound, request: &Request) -> Fields {
    let mut fields = Fields::default();
    match inbound.framing {
        Framing::Chunked | Framing::UntilClose => {
            if is_chunked_for_caller(inbound.framing, request.minor_version) {
                fields.push("Transfer-Encoding", "chunked");
            }
        }
        Framing::Length(length) => fields.push("Content-Length", length.to_string()),
        Framing::Empty if request.method == "HEAD" => {
            if let Some(length) = inbound.response.fields.text("content-length") {
                fields.push("Content-Length", length);
            }
        }
        Framing::Empty => {}
    }
    fields
}

/// The function's response fields, without those that the platform reserves.
pub(crate) fn visible_fields(response: &Response) -> Fields {
    let mut fields = response.fields.clone();
    fields.drop_where(headers::is_reserved_in_response);
    fields
}

enum Attempt {
    /// The connection ended before a response.
    Died,
    Failed(CallerError),
}

fn attempt(outbound: &Outbound, lease: Lease, caller: &mut Wire) -> Result<Inbound, Attempt> {
    let mut wire = lease.wire;
    let failed = |fault| match fault {
        Fault::Closed | Fault::Broken(_) => Attempt::Died,
        other @ (Fault::Refused(_)
        | Fault::ClosedMidway
        | Fault::TimedOut
        | Fault::CallerLeft
        | Fault::Malformed(_)
        | Fault::HeadTooLong) => Attempt::Failed(of_fault(other, outbound)),
    };
    wire.read_for(caller.stream()).map_err(|_| Attempt::Died)?;
    wire.send(&outbound.first_bytes()).map_err(failed)?;
    if outbound.whole.is_none() {
        return stream_up(outbound, wire, caller);
    }
    let (response, framing) = read_head(outbound, &mut wire).map_err(failed)?;
    checked(Inbound {
        response,
        framing,
        wire,
        upload: None,
    })
}

/// Forwards the body on a thread of its own, since the response may begin before the body ends.
fn stream_up(outbound: &Outbound, mut wire: Wire, caller: &mut Wire) -> Result<Inbound, Attempt> {
    let upload = Upload::start(outbound, &wire, caller).map_err(|_| Attempt::Died)?;
    match read_head(outbound, &mut wire) {
        Ok((response, framing)) => checked(Inbound {
            response,
            framing,
            wire,
            upload: Some(upload),
        }),
        Err(fault) => match (upload.stop(), fault) {
            (Err(error @ (CallerError::InvalidArgument { .. } | CallerError::Canceled)), _) => {
                Err(Attempt::Failed(error))
            }
            (_, Fault::Closed | Fault::Broken(_)) => Err(Attempt::Died),
            (_, fault) => Err(Attempt::Failed(of_fault(fault, outbound))),
        },
    }
}

/// A request body that is being forwarded to the function.
#[derive(Debug)]
pub(crate) struct Upload {
    sending: thread::JoinHandle<Result<(), CallerError>>,
    from: TcpStream,
}

impl Upload {
    /// Takes over the reading side of the caller's connection: no request can follow on it.
    fn start(outbound: &Outbound, wire: &Wire, caller: &mut Wire) -> io::Result<Self> {
        let (to, from) = (wire.stream().try_clone()?, caller.stream().try_clone()?);
        let (framing, deadline) = (outbound.framing, outbound.deadline);
        let mut reader = caller.take_over()?;
        let sending = move || upload(framing, deadline, &mut reader, &to);
        Ok(Self {
            sending: thread::Builder::new()
                .name("upload".to_owned())
                .spawn(sending)?,
            from,
        })
    }

    /// Waits briefly for the upload to finish, then cuts it off: the function no longer reads it.
    fn stop(self) -> Result<(), CallerError> {
        if !eventually(Instant::now() + UPLOAD_PATIENCE, || {
            self.sending.is_finished()
        }) {
            self.from.shutdown(Shutdown::Read).ok();
        }
        self.sending
            .join()
            .unwrap_or(Err(CallerError::ProcessExited))
    }
}

fn upload(
    framing: Framing,
    deadline: Instant,
    caller: &mut Wire,
    mut to: &TcpStream,
) -> Result<(), CallerError> {
    let mut body = Body::new(framing);
    let mut length = 0;
    loop {
        let next = body.next(caller, deadline);
        let Some(piece) = next.map_err(|_| stop_writing(to, CallerError::Canceled))? else {
            break;
        };
        length += piece.len() as u64;
        if length > BODY_LEN_MAX {
            return Err(stop_writing(to, body_too_long()));
        }
        let bytes = if framing == Framing::Chunked {
            chunk(&piece)
        } else {
            piece
        };
        to.write_all(&bytes)
            .map_err(|_| CallerError::ProcessExited)?;
    }
    if framing == Framing::Chunked {
        to.write_all(b"0\r\n\r\n")
            .map_err(|_| CallerError::ProcessExited)?;
    }
    Ok(())
}

/// Closes the connection, so that the function neither takes the partial body as complete nor waits for the rest.
fn stop_writing(to: &TcpStream, error: CallerError) -> CallerError {
    to.shutdown(Shutdown::Both).ok();
    error
}

fn read_head(outbound: &Outbound, wire: &mut Wire) -> Result<(Response, Framing), Fault> {
    let response = wire.read_response(HEAD_READ_MAX, outbound.deadline)?;
    let framing = Framing::of_response(&response, &outbound.request.method)?;
    Ok((response, framing))
}

fn checked(inbound: Inbound) -> Result<Inbound, Attempt> {
    let length = inbound.response.fields_len;
    if length > FIELDS_LEN_MAX {
        let why =
            format!("response headers of {length} bytes exceed the limit of {FIELDS_LEN_MAX}");
        return Err(Attempt::Failed(CallerError::BadResponse { why }));
    }
    Ok(inbound)
}

fn of_fault(fault: Fault, outbound: &Outbound) -> CallerError {
    match fault {
        Fault::TimedOut => CallerError::TimedOut {
            after: outbound.timeout,
        },
        Fault::CallerLeft => CallerError::Canceled,
        Fault::Malformed(why) => CallerError::BadResponse {
            why: format!("the response is malformed: {why}"),
        },
        Fault::HeadTooLong => CallerError::BadResponse {
            why: format!("response headers exceed the limit of {FIELDS_LEN_MAX}"),
        },
        Fault::Refused(_) | Fault::Closed | Fault::ClosedMidway | Fault::Broken(_) => {
            CallerError::ProcessExited
        }
    }
}

fn body_too_long() -> CallerError {
    CallerError::InvalidArgument {
        what: format!("the request body exceeds the limit of {BODY_LEN_MAX} bytes"),
    }
}

fn chunk(piece: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{:x}\r\n", piece.len()).into_bytes();
    bytes.extend_from_slice(piece);
    bytes.extend_from_slice(b"\r\n");
    bytes
}
