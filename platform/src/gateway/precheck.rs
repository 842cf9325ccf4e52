//! What the gateway checks of a request before the function is needed.

use super::invocation::{ApiCall, Mode};
use super::limits::{ASYNC_BODY_LEN_MAX, BODY_LEN_MAX, FIELDS_LEN_MAX, TARGET_LEN_MAX};
use crate::caller_error::CallerError;
use crate::wire::Fault;
use crate::wire::body::Framing;
use crate::wire::head::Request;

/// The framing of the body. An ambiguous one is refused and never forwarded, a body over the limit before it arrives.
pub(crate) fn framing(
    request: &Request,
    api_call: Option<&ApiCall>,
) -> Result<Framing, CallerError> {
    let framing = Framing::of_request(request).map_err(malformed)?;
    let is_async = api_call.is_some_and(|api_call| api_call.mode == Mode::Async);
    match framing {
        Framing::Length(length) if is_async && length > ASYNC_BODY_LEN_MAX => Err(event_too_long()),
        Framing::Length(length) if length > BODY_LEN_MAX => Err(body_too_long()),
        Framing::Empty | Framing::Length(_) | Framing::Chunked | Framing::UntilClose => Ok(framing),
    }
}

/// Whether the request keeps the platform's limits and asks for nothing that no function can get.
pub(crate) fn admissible(request: &Request) -> Result<(), CallerError> {
    let unsupported = |status, what: &str| {
        Err(CallerError::Unsupported {
            status,
            what: what.to_owned(),
        })
    };
    if request.fields_len > FIELDS_LEN_MAX {
        return Err(fields_too_long());
    }
    if request.target.len() > TARGET_LEN_MAX {
        return Err(CallerError::InvalidArgument {
            what: format!("the request path exceeds the limit of {TARGET_LEN_MAX} bytes"),
        });
    }
    if request.method == "CONNECT" {
        return unsupported(501, "the gateway opens no tunnels");
    }
    let expectations = request.fields.elements("expect");
    let is_known = |expectation: &String| expectation == "100-continue";
    if request.minor_version > 0 && !expectations.iter().all(is_known) {
        return unsupported(417, "the only expectation that can be met is 100-continue");
    }
    if ends_here(request) && request.method == "TRACE" {
        return unsupported(501, "the gateway does not respond to TRACE itself");
    }
    Ok(())
}

/// Whether the gateway is the final recipient.
pub(crate) fn ends_here(request: &Request) -> bool {
    forwards_left(request) == Some(0)
}

/// RFC 9110 §7.6.2: how often the request may still be forwarded, if it says so.
pub(crate) fn forwards_left(request: &Request) -> Option<u64> {
    let counts = matches!(request.method.as_str(), "OPTIONS" | "TRACE");
    let value = request.fields.text("max-forwards").filter(|_| counts);
    value.and_then(|value| value.parse().ok())
}

/// The protocols that the caller offers to switch to. HTTP/1.0 has no upgrades, and `h2c` would take the connection away
/// from the gateway (RFC 9113 §3.1 has dropped it).
pub(crate) fn upgrade(request: &Request) -> Option<String> {
    let is_offer = request.minor_version > 0 && request.fields.has_token("connection", "upgrade");
    let mut offered = request.fields.text("upgrade").filter(|_| is_offer)?;
    offered = offered
        .split(',')
        .map(str::trim)
        .filter(|protocol| !protocol.eq_ignore_ascii_case("h2c"))
        .collect::<Vec<_>>()
        .join(", ");
    (!offered.is_empty()).then_some(offered)
}

/// The error for bytes that are no valid request.
pub(crate) fn malformed(fault: Fault) -> CallerError {
    let why = match fault {
        Fault::Malformed(why) => why,
        fault @ (Fault::Refused(_)
        | Fault::Closed
        | Fault::ClosedMidway
        | Fault::TimedOut
        | Fault::Endless
        | Fault::CallerLeft
        | Fault::UnsupportedVersion
        | Fault::HeadTooLong
        | Fault::BodyTooLong
        | Fault::Broken(_)) => fault.to_string(),
    };
    CallerError::InvalidArgument {
        what: format!("the request is malformed: {why}"),
    }
}

/// The error for a body over the limit.
pub(crate) fn body_too_long() -> CallerError {
    CallerError::InvalidArgument {
        what: format!("the request body exceeds the limit of {BODY_LEN_MAX} bytes"),
    }
}

/// The error for an asynchronous event over its limit.
pub(crate) fn event_too_long() -> CallerError {
    CallerError::InvalidArgument {
        what: format!(
            "the asynchronous request body exceeds the limit of {ASYNC_BODY_LEN_MAX} bytes"
        ),
    }
}

/// The error for header fields over the limit.
pub(crate) fn fields_too_long() -> CallerError {
    CallerError::InvalidArgument {
        what: format!("the request headers exceed the limit of {FIELDS_LEN_MAX} bytes"),
    }
}
