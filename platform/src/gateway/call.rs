//! One caller's request, from its head to the last byte of the response.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::fleet::{Admission, Fleet};
use super::forward::{self, FIELDS_LEN_MAX, Inbound, Outbound, TARGET_LEN_MAX};
use super::invocation::{self, ASYNC_BODY_LEN_MAX, Mode};
use super::outcome::{Outcome, Verdict};
use super::relay::relay;
use crate::caller_error::CallerError;
use crate::clock;
use crate::console::{Tone, say};
use crate::headers::{self, HTTP_INVOKE, INVOKE};
use crate::instance::timeline::Part;
use crate::wire::Wire;
use crate::wire::body::{Body, Framing};
use crate::wire::head::{Fields, Request};

const BODY_PATIENCE: Duration = Duration::from_secs(60);

const END_NOTICE: Duration = Duration::from_millis(200);

/// May the caller's connection carry another request?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    Keep,
    Close,
}

/// A call in progress.
struct Call<'a> {
    fleet: &'a Arc<Fleet>,
    request: Request,
    request_id: String,
    mode: Option<Mode>,
    began: Instant,
    /// Once the head of a response is sent, no error response can follow.
    responded: Responded,
    memory_kb: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Responded {
    Not,
    With(u16),
}

/// Serves one request.
pub(crate) fn serve(fleet: &Arc<Fleet>, request: Request, caller: &mut Wire) -> After {
    let mode = invocation::mode_of(&request);
    let mut call = Call {
        fleet,
        request_id: clock::request_id(),
        mode,
        began: Instant::now(),
        responded: Responded::Not,
        memory_kb: 0,
        request,
    };
    let what = format!("{} {}", call.request.method, call.request.target);
    if mode == Some(Mode::Async) {
        return call.accept_event(caller);
    }
    fleet.reporter.begin(&call.request_id);
    let result = call.pass(caller);
    let (status, verdict, after) = match result {
        Ok((verdict, after)) => (call.status(), verdict, after),
        Err(error) => call.refuse(&error, caller),
    };
    fleet.reporter.end(&Outcome {
        request_id: &call.request_id,
        what: &what,
        status,
        verdict,
        took: call.began.elapsed(),
        memory_kb: call.memory_kb,
        memory_max_mb: fleet.project().settings.memory_mb,
    });
    after
}

impl Call<'_> {
    fn pass(&mut self, caller: &mut Wire) -> Result<(Verdict, After), CallerError> {
        let framing = self.within_limits()?;
        if self.request.fields.has_token("expect", "100-continue") {
            caller
                .send(b"HTTP/1.1 100 Continue\r\n\r\n")
                .map_err(|_| CallerError::Canceled)?;
        }
        let fleet = Arc::clone(self.fleet);
        let mut admission = fleet.admit()?;
        let settings = &admission.resident.project.settings;
        let outbound =
            Outbound::prepare(self.outgoing(&admission), framing, caller, settings.timeout)?;
        let sent = Instant::now();
        let inbound = forward::send(&outbound, &admission.resident, caller)
            .inspect_err(|error| notice_end(error, &admission))?;
        if admission.resident.is_first_response() {
            let timeline = admission
                .resident
                .instance
                .timeline
                .with(Part::FirstByte, sent.elapsed());
            say(Tone::Strong.paint("cold start, the first call included"));
            timeline.picture().iter().for_each(say);
        }
        let verdict = if invocation::is_function_error(&inbound.response) {
            Verdict::FunctionError
        } else {
            Verdict::Success
        };
        self.send_head(&inbound, &verdict, caller)?;
        if inbound.is_stream() {
            admission.becomes_stream();
        }
        let after = self.pass_rest(inbound, &outbound, &admission, caller)?;
        self.memory_kb = admission.resident.instance.process.usage().memory_kb;
        Ok((verdict, after))
    }

    fn pass_rest(
        &self,
        mut inbound: Inbound,
        outbound: &Outbound,
        admission: &Admission<'_>,
        caller: &mut Wire,
    ) -> Result<After, CallerError> {
        if inbound.response.status == 101 {
            relay(caller, &mut inbound.wire, outbound.deadline);
            return Ok(After::Close);
        }
        forward::pass_body(inbound, outbound, &admission.resident, caller.stream())?;
        // The upload thread reads from the caller's socket, so no request can follow on it.
        Ok(if outbound.whole.is_none() {
            After::Close
        } else {
            self.after()
        })
    }

    /// The request as the function gets it.
    fn outgoing(&self, admission: &Admission<'_>) -> Request {
        let resident = &admission.resident;
        let control_path = if self.mode.is_some() {
            INVOKE
        } else {
            HTTP_INVOKE
        };
        let platform_fields = headers::of_platform(
            &self.request_id,
            control_path,
            &resident.project.settings,
            &resident.instance.identity,
        );
        if self.mode.is_some() {
            return invocation::event_request(&self.request, platform_fields);
        }
        let mut request = self.request.clone();
        let upgrade = request
            .fields
            .text("upgrade")
            .filter(|_| request.fields.has_token("connection", "upgrade"));
        request.fields.drop_where(headers::is_reserved_in_request);
        if let Some(protocol) = upgrade {
            request.fields.push("Connection", "Upgrade");
            request.fields.push("Upgrade", protocol);
        }
        request.fields.0.extend(platform_fields.0);
        request.fields.push(
            "x-fc-base-path",
            self.request.target.split('?').next().unwrap_or_default(),
        );
        request.fields.push("x-fc-client-ip", "127.0.0.1");
        request
    }

    fn send_head(
        &mut self,
        inbound: &Inbound,
        verdict: &Verdict,
        caller: &Wire,
    ) -> Result<(), CallerError> {
        let response = &inbound.response;
        // An API caller gets the body only; the status describes the call, not its result.
        let (status, reason, mut fields) = match self.mode {
            Some(_) => (200, "OK", Fields::default()),
            None => (
                response.status,
                response.reason.as_str(),
                forward::visible_fields(response),
            ),
        };
        fields.push("X-Fc-Request-Id", &self.request_id);
        if self.mode.is_some() && *verdict == Verdict::FunctionError {
            fields.push("X-Fc-Error-Type", "UnhandledInvocationError");
        }
        if status == 101 {
            fields.push("Connection", "Upgrade");
            fields.push(
                "Upgrade",
                response.fields.text("upgrade").unwrap_or_default(),
            );
        } else {
            fields
                .0
                .extend(forward::framing_fields(inbound, &self.request).0);
        }
        let mut head = format!("HTTP/1.1 {status} {reason}\r\n").into_bytes();
        fields.write(&mut head);
        self.responded = Responded::With(status);
        caller.send(&head).map_err(|_| CallerError::Canceled)
    }

    /// Sends the platform's error response, unless a response has already begun.
    fn refuse(&self, error: &CallerError, caller: &Wire) -> (u16, Verdict, After) {
        let verdict = Verdict::Platform(format!(
            "{} {}",
            error.code(),
            error.message(self.fleet.style)
        ));
        if let Responded::With(status) = self.responded {
            return (status, verdict, After::Close);
        }
        // For an API caller a function that failed is a result, marked as an error.
        let is_result = matches!(error, CallerError::TimedOut { .. }) && self.mode.is_some();
        let status = if is_result { 200 } else { error.status() };
        let body = error.body(&self.request_id, self.fleet.style);
        let mut fields = Fields::default();
        fields.push("Content-Type", "application/json");
        fields.push("X-Fc-Error-Type", error.kind());
        self.send_own(status, fields, body.as_bytes(), caller);
        (status, verdict, After::Close)
    }

    fn accept_event(&self, caller: &mut Wire) -> After {
        let framing = self.within_limits();
        if self.request.fields.has_token("expect", "100-continue") {
            caller.send(b"HTTP/1.1 100 Continue\r\n\r\n").ok();
        }
        let event = framing.and_then(|framing| {
            let limit = usize::try_from(ASYNC_BODY_LEN_MAX).unwrap_or(usize::MAX);
            let read = Body::new(framing).read_all(caller, limit, Instant::now() + BODY_PATIENCE);
            read.map_err(|_| CallerError::InvalidArgument {
                what: format!(
                    "the asynchronous request body exceeds the limit of {ASYNC_BODY_LEN_MAX} bytes"
                ),
            })
        });
        let taken = event.and_then(|event| {
            invocation::run_later(self.fleet, self.request_id.clone(), event)
                .map_err(|_| CallerError::ResourceExhausted { limit: 0 })
        });
        match taken {
            Ok(()) => {
                self.send_own(202, Fields::default(), b"", caller);
                self.after()
            }
            Err(error) => self.refuse(&error, caller).2,
        }
    }

    fn send_own(&self, status: u16, mut fields: Fields, body: &[u8], caller: &Wire) {
        fields.push("X-Fc-Request-Id", &self.request_id);
        fields.push("Content-Length", body.len().to_string());
        if status >= 400 {
            fields.push("Connection", "close");
        }
        let mut bytes = format!("HTTP/1.1 {status} {}\r\n", reason(status)).into_bytes();
        fields.write(&mut bytes);
        if self.request.method != "HEAD" {
            bytes.extend_from_slice(body);
        }
        caller.send(&bytes).ok();
    }

    fn within_limits(&self) -> Result<Framing, CallerError> {
        let refused = |what: String| Err(CallerError::InvalidArgument { what });
        if self.request.fields_len > FIELDS_LEN_MAX {
            return refused(format!(
                "the request headers exceed the limit of {FIELDS_LEN_MAX} bytes"
            ));
        }
        if self.request.target.len() > TARGET_LEN_MAX {
            return refused(format!(
                "the request path exceeds the limit of {TARGET_LEN_MAX} bytes"
            ));
        }
        Framing::of_request(&self.request).map_err(|fault| CallerError::InvalidArgument {
            what: fault.to_string(),
        })
    }

    /// Whether the caller allows another request on this connection.
    fn after(&self) -> After {
        let is_asked =
            self.request.fields.has_token("connection", "close") || self.request.minor_version == 0;
        if is_asked { After::Close } else { After::Keep }
    }

    const fn status(&self) -> u16 {
        match self.responded {
            Responded::With(status) => status,
            Responded::Not => 0,
        }
    }
}

/// A dying process closes its connections before its exit can be observed. Waits, so that the next call does not use it.
fn notice_end(error: &CallerError, admission: &Admission<'_>) {
    if matches!(error, CallerError::ProcessExited) {
        admission.resident.instance.process.wait(END_NOTICE);
    }
}

const fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        202 => "Accepted",
        400 => "Bad Request",
        412 => "Precondition Failed",
        429 => "Too Many Requests",
        499 => "Client Closed Request",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Error",
    }
}
