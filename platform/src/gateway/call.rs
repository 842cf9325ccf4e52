//! One caller's request, from its head to the last byte of the response.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::fleet::{Admission, Fleet};
use super::forward::{self, Delimiter, Inbound};
use super::hop;
use super::invocation::{self, ApiCall, Mode};
use super::limits::ASYNC_BODY_LEN_MAX;
use super::outbound::{Content, Extras, Outbound, of_body_fault};
use super::outcome::{Outcome, Verdict};
use super::outgoing;
use super::precheck;
use super::relay::relay;
use crate::caller_error::CallerError;
use crate::clock;
use crate::console::{Tone, say};
use crate::instance::timeline::Part;
use crate::wire::body::{Body, Framing};
use crate::wire::fields::Fields;
use crate::wire::head::Request;
use crate::wire::{Fault, Wire};

const BODY_PATIENCE: Duration = Duration::from_secs(60);
/// How long a caller may take to read a response of the gateway's own.
const SEND_PATIENCE: Duration = Duration::from_secs(10);

const END_NOTICE: Duration = Duration::from_millis(200);

/// May the caller's connection carry another request?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    Keep,
    Close,
    /// Reset it: its orderly end would complete a response that is not complete.
    Abort,
}

/// A call in progress.
struct Call<'a> {
    fleet: &'a Arc<Fleet>,
    request: Request,
    request_id: String,
    api_call: Option<ApiCall>,
    began: Instant,
    /// Once the head of a response is sent, no error response can follow.
    responded: Responded,
    body: BodyState,
    memory_kb: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Responded {
    Not,
    With(u16),
    /// The end of the connection ends the response.
    UntilClose(u16),
}

/// Whether the next request can follow where the reading has stopped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum BodyState {
    /// Bytes of the body may still arrive.
    Unread,
    Read,
}

/// Serves one request.
pub(crate) fn serve(fleet: &Arc<Fleet>, request: Request, caller: &mut Wire) -> After {
    let mut call = Call::new(fleet, request);
    let what = format!("{} {}", call.request.method, call.request.target);
    if call.mode() == Some(Mode::Async) {
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

/// Responds to a head that is no valid request. `None` if the caller has left: then there is no response.
pub(crate) fn refuse_head(fleet: &Arc<Fleet>, fault: Fault, caller: &Wire) -> Option<After> {
    let error = match fault {
        Fault::Malformed(_) => precheck::malformed(fault),
        Fault::HeadTooLong => precheck::fields_too_long(),
        Fault::UnsupportedVersion => CallerError::Unsupported {
            status: 505,
            what: fault.to_string(),
        },
        Fault::Refused(_)
        | Fault::Closed
        | Fault::ClosedMidway
        | Fault::TimedOut
        | Fault::Endless
        | Fault::CallerLeft
        | Fault::BodyTooLong
        | Fault::Broken(_) => return None,
    };
    // The head did not parse, so assume nothing about it.
    let call = Call::new(
        fleet,
        Request {
            method: String::new(),
            target: String::new(),
            minor_version: 1,
            fields: Fields::default(),
            fields_len: 0,
        },
    );
    let (status, verdict, after) = call.refuse(&error, caller);
    fleet.reporter.end(&Outcome {
        request_id: &call.request_id,
        what: "malformed request",
        status,
        verdict,
        took: call.began.elapsed(),
        memory_kb: Some(0),
        memory_max_mb: fleet.project().settings.memory_mb,
    });
    Some(after)
}

impl<'a> Call<'a> {
    fn new(fleet: &'a Arc<Fleet>, request: Request) -> Self {
        Self {
            fleet,
            request_id: clock::request_id(),
            api_call: ApiCall::of(&request),
            began: Instant::now(),
            responded: Responded::Not,
            body: BodyState::Unread,
            memory_kb: Some(0),
            request,
        }
    }

    fn pass(&mut self, caller: &mut Wire) -> Result<(Verdict, After), CallerError> {
        let framing = self.check()?;
        if precheck::ends_here(&self.request) {
            self.responded = Responded::With(200);
            self.send_own(200, Fields::default(), b"", caller);
            return Ok((Verdict::Success, self.after(caller)));
        }
        let fleet = Arc::clone(self.fleet);
        let mut admission = fleet.admit()?;
        self.ask_for_body(framing, caller)?;
        let timeout = admission.resident.project.settings.timeout;
        let outbound =
            Outbound::prepare(self.outgoing(&admission, caller), framing, caller, timeout)?
                .of_caller(hop::nominated(&self.request.fields), self.extras());
        if matches!(outbound.content, Content::Whole { .. }) {
            self.body = BodyState::Read;
        }
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
        let delimiter = inbound.delimiter(self.request.minor_version);
        self.send_head(&inbound, &verdict, &outbound, caller)?;
        if inbound.is_stream() {
            admission.becomes_stream();
        }
        self.pass_rest(inbound, &outbound, &admission, (caller, delimiter))?;
        self.memory_kb = admission.resident.instance.memory_kb();
        self.body = BodyState::Read;
        let after = match self.responded {
            Responded::UntilClose(_) | Responded::With(101) => After::Close,
            Responded::With(_) | Responded::Not => self.after(caller),
        };
        Ok((verdict, after))
    }

    fn pass_rest(
        &self,
        mut inbound: Inbound,
        outbound: &Outbound,
        admission: &Admission<'_>,
        (caller, delimiter): (&mut Wire, Delimiter),
    ) -> Result<(), CallerError> {
        if inbound.response.status == 101 {
            if let Some(upload) = inbound.upload.take() {
                upload.finish(caller)?;
            }
            relay(caller, &mut inbound.wire, outbound.deadline);
            return Ok(());
        }
        let resident = &admission.resident;
        forward::pass_body(inbound, outbound, resident, (caller, delimiter))
            .inspect_err(|error| notice_end(error, admission))
    }

    fn outgoing(&self, admission: &Admission<'_>, caller: &Wire) -> Request {
        let resident = &admission.resident;
        let api_call = self.api_call.as_ref();
        let platform_fields = outgoing::platform_fields(resident, &self.request_id, api_call);
        match api_call {
            Some(_) => invocation::event_request(&self.request, platform_fields),
            None => outgoing::http_request(&self.request, platform_fields, caller),
        }
    }

    fn send_head(
        &mut self,
        inbound: &Inbound,
        verdict: &Verdict,
        outbound: &Outbound,
        caller: &Wire,
    ) -> Result<(), CallerError> {
        let response = &inbound.response;
        let delimiter = inbound.delimiter(self.request.minor_version);
        // An API caller gets the body only; the status describes the call, not its result.
        let (status, reason, mut fields) = match self.api_call {
            Some(_) => (200, &b"OK"[..], Fields::default()),
            None => (
                response.status,
                response.reason.as_slice(),
                hop::visible_fields(response),
            ),
        };
        if delimiter != Delimiter::Chunks {
            fields.drop_where(|name| name == "trailer");
        }
        fields.push("X-Fc-Request-Id", &self.request_id);
        if self.api_call.is_some() && *verdict == Verdict::FunctionError {
            fields.push("X-Fc-Error-Type", "UnhandledInvocationError");
        }
        if status == 101 {
            fields.push("Connection", "Upgrade");
            fields.push(
                "Upgrade",
                response.fields.text("upgrade").unwrap_or_default(),
            );
        } else {
            let framing = inbound.framing_fields(delimiter, &self.request.method);
            fields.0.extend(framing.0);
            let after = match delimiter {
                Delimiter::Close => After::Close,
                Delimiter::Length | Delimiter::Chunks => self.asked_after(),
            };
            self.push_connection(after, &mut fields);
        }
        let mut head = forward::status_line(status, reason);
        fields.write(&mut head);
        self.responded = match delimiter {
            Delimiter::Close => Responded::UntilClose(status),
            Delimiter::Length | Delimiter::Chunks => Responded::With(status),
        };
        forward::to_caller(caller, &head, outbound)
    }

    /// Sends the platform's error response, unless a response has already begun.
    fn refuse(&self, error: &CallerError, caller: &Wire) -> (u16, Verdict, After) {
        let verdict = Verdict::Platform(format!(
            "{} {}",
            error.code(),
            error.message(self.fleet.style)
        ));
        match self.responded {
            Responded::With(status) => return (status, verdict, After::Close),
            Responded::UntilClose(status) => return (status, verdict, After::Abort),
            Responded::Not => {}
        }
        // For an API caller a function that failed is a result, marked as an error.
        let is_result = matches!(error, CallerError::TimedOut { .. }) && self.api_call.is_some();
        let status = if is_result { 200 } else { error.status() };
        let body = error.body(&self.request_id, self.fleet.style);
        let mut fields = Fields::default();
        fields.push("Content-Type", "application/json");
        fields.push("X-Fc-Error-Type", error.kind());
        self.send_own(status, fields, body.as_bytes(), caller);
        (status, verdict, self.after(caller))
    }

    fn accept_event(&mut self, caller: &mut Wire) -> After {
        let event = self
            .check()
            .and_then(|framing| self.read_event(framing, caller));
        let taken = event.and_then(|event| {
            let (fleet, id) = (self.fleet, self.request_id.clone());
            let api_call = self.api_call.take().map_or(Ok(()), |api_call| {
                invocation::run_later(fleet, id, api_call, event)
            });
            api_call.map_err(|error| CallerError::Machine {
                why: error.to_string(),
            })
        });
        match taken {
            Ok(()) => {
                self.send_own(202, Fields::default(), b"", caller);
                self.after(caller)
            }
            Err(error) => self.refuse(&error, caller).2,
        }
    }

    fn read_event(&mut self, framing: Framing, caller: &mut Wire) -> Result<Vec<u8>, CallerError> {
        self.ask_for_body(framing, caller)?;
        let limit = usize::try_from(ASYNC_BODY_LEN_MAX).unwrap_or(usize::MAX);
        let read = Body::new(framing).read_all(caller, limit, Instant::now() + BODY_PATIENCE);
        let event = read.map_err(|fault| match fault {
            Fault::BodyTooLong => precheck::event_too_long(),
            fault @ (Fault::Refused(_)
            | Fault::Closed
            | Fault::ClosedMidway
            | Fault::TimedOut
            | Fault::Endless
            | Fault::CallerLeft
            | Fault::Malformed(_)
            | Fault::UnsupportedVersion
            | Fault::HeadTooLong
            | Fault::Broken(_)) => of_body_fault(fault),
        })?;
        self.body = BodyState::Read;
        Ok(event)
    }

    fn send_own(&self, status: u16, mut fields: Fields, body: &[u8], caller: &Wire) {
        fields.push("X-Fc-Request-Id", &self.request_id);
        fields.push("Content-Length", body.len().to_string());
        self.push_connection(self.after(caller), &mut fields);
        let mut bytes = forward::status_line(status, forward::reason(status).as_bytes());
        fields.write(&mut bytes);
        if self.request.method != "HEAD" {
            bytes.extend_from_slice(body);
        }
        caller.send_by(&bytes, Instant::now() + SEND_PATIENCE).ok();
    }

    /// What every response of the gateway says about itself and its connection.
    fn push_connection(&self, after: After, fields: &mut Fields) {
        // RFC 9110 §6.6.1: the function's own `Date` is the platform's to replace.
        fields.push("Date", httpdate::fmt_http_date(SystemTime::now()));
        match after {
            After::Close | After::Abort => fields.push("Connection", "close"),
            // RFC 9112 §9.3: persistence is not the default here.
            After::Keep if self.request.minor_version == 0 => {
                fields.push("Connection", "keep-alive");
            }
            After::Keep => {}
        }
    }

    /// Sends `100 Continue` if the caller waits for it before its body.
    fn ask_for_body(&mut self, framing: Framing, caller: &Wire) -> Result<(), CallerError> {
        if framing == Framing::Empty {
            self.body = BodyState::Read;
            return Ok(());
        }
        let waits = self.request.minor_version > 0
            && self.request.fields.has_token("expect", "100-continue")
            && caller.unread().is_empty();
        if waits {
            let deadline = Instant::now() + SEND_PATIENCE;
            caller
                .send_by(b"HTTP/1.1 100 Continue\r\n\r\n", deadline)
                .map_err(|_| CallerError::Canceled)?;
        }
        Ok(())
    }

    /// Checks what can be checked before the function is needed.
    fn check(&mut self) -> Result<Framing, CallerError> {
        let framing = precheck::framing(&self.request, self.api_call.as_ref())?;
        if framing == Framing::Empty {
            self.body = BodyState::Read;
        }
        precheck::admissible(&self.request)?;
        Ok(framing)
    }

    const fn extras(&self) -> Extras {
        if self.api_call.is_some() || self.request.minor_version == 0 {
            Extras::Drop
        } else {
            Extras::Forward
        }
    }

    fn mode(&self) -> Option<Mode> {
        self.api_call.as_ref().map(|api_call| api_call.mode)
    }

    /// Whether the caller allows another request on this connection.
    fn asked_after(&self) -> After {
        if self.request.keeps_alive() {
            After::Keep
        } else {
            After::Close
        }
    }

    /// Whether another request can follow.
    fn after(&self, caller: &Wire) -> After {
        if self.body == BodyState::Read && caller.can_read() {
            self.asked_after()
        } else {
            After::Close
        }
    }

    const fn status(&self) -> u16 {
        match self.responded {
            Responded::With(status) | Responded::UntilClose(status) => status,
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
