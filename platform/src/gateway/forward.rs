//! Forwards one request to the instance and its response back, both as streams.

use std::io;
use std::net::Shutdown;

use super::fleet::Resident;
use super::hop;
use super::limits::FIELDS_LEN_MAX;
use super::outbound::{Content, Extras, Outbound, chunk, last_chunk};
use super::pool::{Age, Lease, Pool};
use super::upload::{Delivery, Upload};
use crate::caller_error::CallerError;
use crate::wire::body::{Body, Framing};
use crate::wire::fields::Fields;
use crate::wire::head::Response;
use crate::wire::{Fault, Wire};

const HEAD_READ_MAX: usize = 64 * 1024;

/// A response's head, and the connection its body arrives on.
#[derive(Debug)]
pub(crate) struct Inbound {
    pub(crate) response: Response,
    pub(crate) framing: Framing,
    pub(crate) wire: Wire,
    /// The request's body, if it is still being forwarded.
    pub(crate) upload: Option<Upload>,
}

/// How a response's body reaches the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delimiter {
    /// Its length, if it has a body at all.
    Length,
    Chunks,
    /// An HTTP/1.0 caller cannot read chunks: the end of the connection ends its response.
    Close,
}

impl Inbound {
    /// Whether the response may go on without end.
    pub(crate) fn is_stream(&self) -> bool {
        self.response.status == 101
            || matches!(self.framing, Framing::Chunked | Framing::UntilClose)
    }

    /// How the body is delimited for a caller of this version.
    pub(crate) const fn delimiter(&self, minor_version: u8) -> Delimiter {
        match (self.framing, minor_version) {
            (Framing::Empty | Framing::Length(_), _) => Delimiter::Length,
            (Framing::Chunked | Framing::UntilClose, 0) => Delimiter::Close,
            (Framing::Chunked | Framing::UntilClose, _) => Delimiter::Chunks,
        }
    }

    /// The framing fields of the response that the caller gets.
    pub(crate) fn framing_fields(&self, delimiter: Delimiter, method: &str) -> Fields {
        let mut fields = Fields::default();
        match (delimiter, self.framing) {
            (Delimiter::Chunks, _) => fields.push("Transfer-Encoding", "chunked"),
            (Delimiter::Length, Framing::Length(length)) => {
                fields.push("Content-Length", length.to_string());
            }
            (Delimiter::Length, _) if method == "HEAD" => {
                if let Some(length) = self.response.fields.text("content-length") {
                    fields.push("Content-Length", length);
                }
            }
            (Delimiter::Length | Delimiter::Close, _) => {}
        }
        fields
    }

    /// Whether the connection can carry another request after the response.
    fn is_reusable(&self) -> bool {
        let codings = self.response.fields.first("transfer-encoding");
        let lengths = self.response.fields.first("content-length");
        // RFC 9112 sections 6.1 and 6.3: another recipient may have found another end of such a message.
        let is_suspect =
            codings.is_some() && (lengths.is_some() || self.response.minor_version == 0);
        self.response.keeps_alive() && self.framing != Framing::UntilClose && !is_suspect
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
    (caller, delimiter): (&mut Wire, Delimiter),
) -> Result<(), CallerError> {
    let is_reusable = inbound.is_reusable();
    let Inbound {
        response,
        framing,
        mut wire,
        mut upload,
    } = inbound;
    let mut body = Body::new(framing);
    let passed = pass_pieces(&mut body, &mut wire, outbound, (caller, delimiter));
    // An upload that fails ends the function's connection, which must not pass for the end of the response.
    if let (Framing::UntilClose, _) | (_, Err(_)) = (framing, &passed)
        && let Some(upload) = upload.take()
    {
        wire.stream().shutdown(Shutdown::Both).ok();
        let received = upload.finish(caller).map(drop);
        settle(passed, received)?;
    } else {
        passed?;
    }
    if delimiter == Delimiter::Chunks {
        let nominated = hop::nominated(&response.fields);
        let trailers = match outbound.extras {
            Extras::Forward => hop::forwarded_trailers(body.trailers(), &nominated),
            Extras::Drop => Fields::default(),
        };
        to_caller(caller, &last_chunk(&trailers), outbound)?;
    }
    // The response is complete; if the rest of the body fails, only the caller's connection ends.
    let delivery = upload.map_or(Ok(Delivery::Complete), |upload| upload.finish(caller));
    if is_reusable && delivery.is_ok_and(|delivery| delivery == Delivery::Complete) {
        resident.pool.give_back(wire);
    }
    Ok(())
}

fn pass_pieces(
    body: &mut Body,
    wire: &mut Wire,
    outbound: &Outbound,
    (caller, delimiter): (&Wire, Delimiter),
) -> Result<(), CallerError> {
    loop {
        let piece = body
            .next(wire, outbound.deadline)
            .map_err(|fault| of_fault(fault, outbound))?;
        let Some(piece) = piece else { return Ok(()) };
        match delimiter {
            Delimiter::Chunks => to_caller(caller, &chunk(&piece), outbound)?,
            Delimiter::Length | Delimiter::Close => to_caller(caller, &piece, outbound)?,
        }
    }
}

/// Sends bytes of the response. A caller that does not read is cut off when the function's time is over.
pub(crate) fn to_caller(
    caller: &Wire,
    bytes: &[u8],
    outbound: &Outbound,
) -> Result<(), CallerError> {
    match caller.send_by(bytes, outbound.deadline) {
        Ok(()) => Ok(()),
        Err(Fault::TimedOut) => Err(of_fault(Fault::TimedOut, outbound)),
        Err(_) => Err(CallerError::Canceled),
    }
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
        | Fault::Endless
        | Fault::CallerLeft
        | Fault::Malformed(_)
        | Fault::UnsupportedVersion
        | Fault::HeadTooLong
        | Fault::BodyTooLong) => Attempt::Failed(of_fault(other, outbound)),
    };
    wire.read_for(caller.stream())
        .map_err(|error| refused(&error))?;
    let sent = wire.send_by(&outbound.first_bytes(), outbound.deadline);
    let upload = match &outbound.content {
        // Even if the head could not be sent: the body has to be read to its end.
        Content::Arriving { beginning, rest } => {
            let ends = (&wire, &mut *caller);
            let upload = Upload::start(outbound, beginning.len(), rest.clone(), ends);
            Some(upload.map_err(|error| refused(&error))?)
        }
        Content::Whole { .. } => None,
    };
    // A server may respond before it has read all, and close: then the response counts and not the failed write.
    match (read_head(outbound, &mut wire, caller), sent) {
        (Ok((response, framing)), _) => checked(
            Inbound {
                response,
                framing,
                wire,
                upload,
            },
            outbound,
            caller,
        ),
        (Err(fault), sent) => {
            let received = upload.map_or(Ok(()), |upload| {
                wire.stream().shutdown(Shutdown::Both).ok();
                upload.finish(caller).map(drop)
            });
            match (failed(sent.err().unwrap_or(fault)), received) {
                (Attempt::Died | Attempt::Failed(CallerError::ProcessExited), Err(error)) => {
                    Err(Attempt::Failed(error))
                }
                (failure, _) => Err(failure),
            }
        }
    }
}

/// Which error counts: a caller that sends a bad body, or leaves, makes the function's connection fail as well.
fn settle(
    response: Result<(), CallerError>,
    received: Result<(), CallerError>,
) -> Result<(), CallerError> {
    match (response, received) {
        (Ok(()) | Err(CallerError::ProcessExited), Err(error)) => Err(error),
        (response, _) => response,
    }
}

/// This machine has no thread or descriptor left.
fn refused(error: &io::Error) -> Attempt {
    Attempt::Failed(CallerError::Machine {
        why: error.to_string(),
    })
}

fn read_head(
    outbound: &Outbound,
    wire: &mut Wire,
    caller: &Wire,
) -> Result<(Response, Framing), Fault> {
    loop {
        let response = wire.read_any_response(HEAD_READ_MAX, outbound.deadline)?;
        if !response.is_interim() {
            let framing = Framing::of_response(&response, &outbound.request.method)?;
            return Ok((response, framing));
        }
        // The gateway has sent the caller its 100 Continue itself.
        if response.status != 100 && outbound.extras == Extras::Forward {
            let mut head = status_line(response.status, &response.reason);
            hop::visible_fields(&response).write(&mut head);
            caller
                .send_by(&head, outbound.deadline)
                .map_err(|_| Fault::CallerLeft)?;
        }
    }
}

/// A response's first line.
pub(crate) fn status_line(status: u16, reason: &[u8]) -> Vec<u8> {
    let mut line = format!("HTTP/1.1 {status} ").into_bytes();
    line.extend_from_slice(reason);
    line.extend_from_slice(b"\r\n");
    line
}

/// The reason phrase of a status that the gateway sends itself.
pub(crate) const fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        202 => "Accepted",
        400 => "Bad Request",
        412 => "Precondition Failed",
        417 => "Expectation Failed",
        429 => "Too Many Requests",
        499 => "Client Closed Request",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Error",
    }
}

fn checked(inbound: Inbound, outbound: &Outbound, caller: &mut Wire) -> Result<Inbound, Attempt> {
    let length = inbound.response.fields_len;
    let why = if length > FIELDS_LEN_MAX {
        format!("response headers of {length} bytes exceed the limit of {FIELDS_LEN_MAX}")
    } else if inbound.response.status == 101 && !outbound.offers_upgrade() {
        "the response switches protocols without having been asked".to_owned()
    } else {
        return Ok(inbound);
    };
    inbound.wire.stream().shutdown(Shutdown::Both).ok();
    if let Some(upload) = inbound.upload {
        upload.finish(caller).ok();
    }
    Err(Attempt::Failed(CallerError::BadResponse { why }))
}

fn of_fault(fault: Fault, outbound: &Outbound) -> CallerError {
    match fault {
        Fault::TimedOut | Fault::Endless => CallerError::TimedOut {
            after: outbound.timeout,
        },
        Fault::CallerLeft => CallerError::Canceled,
        Fault::Malformed(why) => CallerError::BadResponse {
            why: format!("the response is malformed: {why}"),
        },
        Fault::UnsupportedVersion | Fault::BodyTooLong => CallerError::BadResponse {
            why: format!("the response is malformed: {fault}"),
        },
        Fault::HeadTooLong => CallerError::BadResponse {
            why: format!("response headers exceed the limit of {FIELDS_LEN_MAX}"),
        },
        Fault::Refused(_) | Fault::Closed | Fault::ClosedMidway | Fault::Broken(_) => {
            CallerError::ProcessExited
        }
    }
}
