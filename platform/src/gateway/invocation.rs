//! API calls, synchronous and asynchronous, in all versions of the API.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::fleet::{Fleet, Resident};
use super::outcome::{Outcome, Verdict};
use crate::caller_error::CallerError;
use crate::headers;
use crate::wire::Fault;
use crate::wire::exchange::{Call, Reply};
use crate::wire::fields::Fields;
use crate::wire::head::{Request, Response};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// A call of the API, in any of its versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiCall {
    pub(crate) mode: Mode,
    /// Only 2.0 has services.
    service: String,
    qualifier: String,
}

/// Whether an API call waits for its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Sync,
    Async,
}

impl ApiCall {
    /// The API call that the request is, if it is one.
    pub(crate) fn of(request: &Request) -> Option<Self> {
        if request.method != "POST" {
            return None;
        }
        let (path, query) = request
            .target
            .split_once('?')
            .unwrap_or((&request.target, ""));
        let parts: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        let (service, service_qualifier) = match parts.as_slice() {
            ["2023-03-30", "functions", _, "invocations"] => ("", None),
            [
                "2021-04-06" | "2016-08-15",
                "services",
                service,
                "functions",
                _,
                "invocations",
            ] => match service.split_once('.') {
                Some((service, qualifier)) => (service, Some(qualifier)),
                None => (*service, None),
            },
            _ => return None,
        };
        let mut parameters = query.split('&');
        let qualifier = parameters.find_map(|parameter| parameter.strip_prefix("qualifier="));
        let kind = request.fields.text("x-fc-invocation-type");
        let is_async = kind.is_some_and(|kind| kind.eq_ignore_ascii_case("async"));
        Some(Self {
            mode: if is_async { Mode::Async } else { Mode::Sync },
            service: service.to_owned(),
            qualifier: qualifier
                .or(service_qualifier)
                .filter(|qualifier| !qualifier.is_empty())
                .unwrap_or("LATEST")
                .to_owned(),
        })
    }

    /// Puts what the call names into the platform's fields.
    pub(crate) fn name_in(&self, fields: &mut Fields) {
        fields.set("x-fc-service-name", &self.service);
        fields.set("x-fc-qualifier", &self.qualifier);
    }
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
    api_call: ApiCall,
    event: Vec<u8>,
) -> std::io::Result<()> {
    let fleet = Arc::clone(fleet);
    let running = move || {
        let began = Instant::now();
        fleet.reporter.begin(&request_id);
        let admission = fleet.admit();
        let result = admission.and_then(|admission| {
            let reply = invoke(&admission.resident, &request_id, &api_call, &event)?;
            Ok((reply, admission.resident.instance.memory_kb()))
        });
        let (status, verdict, memory_kb) = match &result {
            Ok((reply, memory)) if is_function_error(&reply.head) => {
                (reply.head.status, Verdict::FunctionError, *memory)
            }
            Ok((reply, memory)) => (reply.head.status, Verdict::Success, *memory),
            Err(error) => (
                error.status(),
                Verdict::Platform(error.message(fleet.style)),
                Some(0),
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

fn invoke(
    resident: &Resident,
    request_id: &str,
    api_call: &ApiCall,
    event: &[u8],
) -> Result<Reply, CallerError> {
    let settings = &resident.project.settings;
    let mut platform_fields = headers::of_platform(
        request_id,
        headers::INVOKE,
        settings,
        &resident.instance.identity,
    );
    api_call.name_in(&mut platform_fields);
    let call = Call::new("POST", headers::INVOKE)
        .field("Content-Type", "application/octet-stream")
        .fields(platform_fields)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn api_call(method: &str, target: &str) -> Option<(String, String)> {
        let request = Request {
            method: method.to_owned(),
            target: target.to_owned(),
            minor_version: 1,
            fields: Fields::default(),
            fields_len: 0,
        };
        ApiCall::of(&request).map(|call| (call.service, call.qualifier))
    }

    #[test]
    fn every_version_of_the_api_has_its_path() {
        let named =
            |service: &str, qualifier: &str| Some((service.to_owned(), qualifier.to_owned()));
        let latest = named("", "LATEST");
        assert_eq!(
            api_call("POST", "/2023-03-30/functions/f/invocations"),
            latest
        );
        assert_eq!(
            api_call(
                "POST",
                "/2023-03-30/functions/f/invocations?a=b&qualifier=2"
            ),
            named("", "2")
        );
        for version in ["2021-04-06", "2016-08-15"] {
            let path =
                |service: &str| format!("/{version}/services/{service}/functions/f/invocations");
            assert_eq!(api_call("POST", &path("s")), named("s", "LATEST"));
            assert_eq!(api_call("POST", &path("s.prod")), named("s", "prod"));
        }
        for (method, target) in [
            ("GET", "/2023-03-30/functions/f/invocations"),
            ("POST", "/2023-03-30/functions/f/invocations/more"),
            ("POST", "//2023-03-30/functions/f/invocations"),
            ("POST", "/2023-03-30/services/s/functions/f/invocations"),
            ("POST", "/2016-08-15/proxy/s/f/invocations"),
        ] {
            assert_eq!(api_call(method, target), None, "{method} {target}");
        }
    }
}
