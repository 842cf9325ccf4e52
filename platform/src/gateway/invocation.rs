//! API calls: `POST /2023-03-30/functions/<name>/invocations`, synchronous and asynchronous.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::fleet::{Fleet, Resident};
use super::outcome::{Outcome, Verdict};
use crate::caller_error::CallerError;
use crate::headers;
use crate::wire::Fault;
use crate::wire::exchange::{Call, Reply};
use crate::wire::head::{Fields, Request, Response};

/// The longest body of an asynchronous event, in bytes.
pub(crate) const ASYNC_BODY_LEN_MAX: u64 = 128 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Whether an API call waits for its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Sync,
    Async,
}

/// The kind of API call, if the request is one.
pub(crate) fn mode_of(request: &Request) -> Option<Mode> {
    let path = request.target.split('?').next().unwrap_or_default();
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let is_call = matches!(
        parts.as_slice(),
        ["2023-03-30", "functions", _, "invocations"]
            | ["2016-08-15", "services", _, "functions", _, "invocations"]
    );
    if !is_call || request.method != "POST" {
        return None;
    }
    let kind = request
        .fields
        .text("x-fc-invocation-type")
        .unwrap_or_default();
    Some(if kind.eq_ignore_ascii_case("async") {
        Mode::Async
    } else {
        Mode::Sync
    })
}

/// The request that the function gets for an event.
pub(crate) fn event_request(request: &Request, platform_fields: Fields) -> Request {
    let mut fields = Fields::default();
    fields.push("Host", "127.0.0.1");
    fields.push("Content-Type", "application/octet-stream");
    fields.0.extend(platform_fields.0);
    Request {
        method: "POST".to_owned(),
        target: headers::INVOKE.to_owned(),
        minor_version: request.minor_version,
        fields,
        fields_len: request.fields_len,
    }
}

/// Whether the function reported a failure.
pub(crate) fn is_function_error(response: &Response) -> bool {
    response
        .fields
        .text("x-fc-status")
        .is_some_and(|status| status == "404")
}

/// Runs an event on a thread of its own, after its caller got 202.
pub(crate) fn run_later(
    fleet: &Arc<Fleet>,
    request_id: String,
    event: Vec<u8>,
) -> std::io::Result<()> {
    let fleet = Arc::clone(fleet);
    let running = move || {
        let began = Instant::now();
        fleet.reporter.begin(&request_id);
        let admission = fleet.admit();
        let result = admission.and_then(|admission| {
            let reply = invoke(&admission.resident, &request_id, &event)?;
            Ok((reply, admission.resident.instance.process.usage().memory_kb))
        });
        let (status, verdict, memory_kb) = match &result {
            Ok((reply, memory)) if is_function_error(&reply.answer) => {
                (reply.answer.status, Verdict::FunctionError, *memory)
            }
            Ok((reply, memory)) => (reply.answer.status, Verdict::Success, *memory),
            Err(error) => (
                error.status(),
                Verdict::Platform(error.message(fleet.style)),
                0,
            ),
        };
        fleet.reporter.end(&Outcome {
            request_id: &request_id,
            what: "async event",
            status,
            verdict,
            took: began.elapsed(),
            memory_kb,
            memory_max_mb: fleet.project().settings.memory_mb,
        });
    };
    thread::Builder::new()
        .name("event".to_owned())
        .spawn(running)
        .map(drop)
}

fn invoke(resident: &Resident, request_id: &str, event: &[u8]) -> Result<Reply, CallerError> {
    let settings = &resident.project.settings;
    let call = Call::new("POST", headers::INVOKE)
        .field("Content-Type", "application/octet-stream")
        .fields(headers::of_platform(
            request_id,
            headers::INVOKE,
            settings,
            &resident.instance.identity,
        ))
        .body(event);
    let died = |_| CallerError::ProcessExited;
    let mut wire = resident.instance.dial(CONNECT_TIMEOUT).map_err(died)?;
    wire.call(&call, settings.timeout).map_err(|fault| {
        let is_late = matches!(fault, Fault::TimedOut);
        if is_late {
            CallerError::TimedOut {
                after: settings.timeout,
            }
        } else {
            died(fault)
        }
    })
}
