//! The platform's error responses: status, code and text, in the format of both API generations.

use std::io;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::clock;

/// The API generation whose error format is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Style {
    /// `{"RequestId","Code","Message"}`
    #[default]
    #[value(name = "3.0")]
    Current,
    /// `{"ErrorCode","ErrorMessage"}`
    #[value(name = "old")]
    Old,
}

/// The last lines that the function wrote, with their times.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogTail(pub(crate) Vec<(SystemTime, String)>);

impl LogTail {
    /// Whether a line contains the text.
    pub(crate) fn mentions(&self, text: &str) -> bool {
        self.0.iter().any(|(_, line)| line.contains(text))
    }

    fn text(&self, style: Style) -> String {
        let line = |(at, text): &(SystemTime, String)| match style {
            Style::Current => text.clone(),
            Style::Old => format!("{} {text}", clock::stamp_nanos(*at)),
        };
        self.0.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

/// Every error that a caller can get in place of the function's response.
#[derive(Clone, Debug)]
pub(crate) enum CallerError {
    /// The request exceeds a limit of the service or is malformed.
    InvalidArgument { what: String },
    /// The request asks for what no function can get: an unknown version, expectation or method.
    Unsupported { status: u16, what: String },
    /// There is no start file.
    FileNotFound,
    /// The start command's program does not exist.
    CommandNotFound { command: String },
    /// The start file is not executable.
    FilePermission,
    /// The process exited before it listened.
    Exited {
        code: i32,
        command: String,
        logs: LogTail,
    },
    /// The port never opened on an address that the router can reach.
    PortNeverOpened {
        port: u16,
        waited: Duration,
        logs: LogTail,
    },
    /// The first health check failed.
    Unhealthy { status: Option<u16>, logs: LogTail },
    /// `/initialize` failed.
    InitializerFailed { why: String, logs: LogTail },
    /// The instance's concurrency limit is reached.
    ResourceExhausted { limit: u32 },
    /// The gateway held the call while the function was being replaced, for as long as it may. The platform has no such
    /// error: it never replaces an instance under a call.
    HeldTooLong { waited: Duration },
    /// This machine refuses the gateway what it needs. Never an error of the platform or the function.
    Machine { why: String },
    /// The caller closed its connection.
    Canceled,
    /// The function's response is malformed, or its header fields are too long.
    BadResponse { why: String },
    /// The connection or the process ended during the call.
    ProcessExited,
    /// The function was too slow.
    TimedOut { after: Duration },
}

impl CallerError {
    /// The HTTP status for a caller of the HTTP trigger.
    pub(crate) const fn status(&self) -> u16 {
        match self {
            Self::InvalidArgument { .. } => 400,
            Self::Unsupported { status, .. } => *status,
            Self::FileNotFound
            | Self::CommandNotFound { .. }
            | Self::FilePermission
            | Self::Exited { .. }
            | Self::PortNeverOpened { .. }
            | Self::Unhealthy { .. }
            | Self::InitializerFailed { .. } => 412,
            Self::ResourceExhausted { .. } => 429,
            Self::Machine { .. } => 500,
            Self::HeldTooLong { .. } => 503,
            Self::Canceled => 499,
            Self::BadResponse { .. } | Self::ProcessExited => 502,
            Self::TimedOut { .. } => 504,
        }
    }

    /// The service's name for the error.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::InvalidArgument { .. } | Self::Unsupported { .. } => "InvalidArgument",
            Self::FileNotFound | Self::CommandNotFound { .. } => "CAFileNotFound",
            Self::FilePermission => "CAFilePermission",
            Self::Exited { .. } => "CAExited",
            Self::PortNeverOpened { .. } | Self::Unhealthy { .. } => "FunctionNotStarted",
            Self::InitializerFailed { .. } => "FunctionInitError",
            Self::ResourceExhausted { .. } => "ResourceExhausted",
            Self::Machine { .. } => "InternalServerError",
            Self::HeldTooLong { .. } => "ServiceUnavailable",
            Self::Canceled => "ClientClosedRequest",
            Self::BadResponse { .. } => "BadResponse",
            Self::ProcessExited => "FunctionExited",
            Self::TimedOut { .. } => "FunctionTimeout",
        }
    }

    /// The value of `X-Fc-Error-Type`: whether the caller's request or the function is at fault.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::InvalidArgument { .. }
            | Self::Unsupported { .. }
            | Self::ResourceExhausted { .. }
            | Self::Machine { .. }
            | Self::HeldTooLong { .. }
            | Self::Canceled => "FcCommonError",
            Self::FileNotFound
            | Self::CommandNotFound { .. }
            | Self::FilePermission
            | Self::Exited { .. }
            | Self::PortNeverOpened { .. }
            | Self::Unhealthy { .. }
            | Self::InitializerFailed { .. }
            | Self::BadResponse { .. }
            | Self::ProcessExited
            | Self::TimedOut { .. } => "UnhandledInvocationError",
        }
    }

    /// The message, in the platform's own words where they are known.
    pub(crate) fn message(&self, style: Style) -> String {
        match self {
            Self::InvalidArgument { what } | Self::Unsupported { what, .. } => what.clone(),
            Self::FileNotFound => {
                "The CA's http server cannot be started: the file /code/bootstrap is not exist".to_owned()
            }
            Self::CommandNotFound { command } => {
                format!("Failed to start function instance. Error: the file {command} is not exist")
            }
            Self::FilePermission => {
                "The CA's http server cannot be started: bootstrap file don't have execute permissions".to_owned()
            }
            Self::Exited { code, command, logs } => format!(
                "Function instance exited unexpectedly(code {code}, message:{}) with start command '{command} '. \
                 Logs:{}",
                errno_text(*code),
                logs.text(style)
            ),
            Self::PortNeverOpened { port, waited, logs } => never_opened(*port, *waited, logs, style),
            Self::Unhealthy { status, logs } => {
                let cause = status.map_or_else(
                    || "failed due to: no response in time".to_owned(),
                    |status| format!("failed with status code: {status}"),
                );
                let tail = logs.text(style);
                let tail = if tail.is_empty() { tail } else { format!("\nLogs:{tail}") };
                format!("Function instance check function health {cause}{tail}")
            }
            Self::InitializerFailed { why, logs } => {
                format!("Function instance initialization failed: {why}\nLogs:{}", logs.text(style))
            }
            Self::ResourceExhausted { limit } => {
                format!("the instance accepts {limit} requests at a time, and no further instance is allowed")
            }
            Self::Machine { why } => format!("the local gateway cannot serve the request: {why}"),
            Self::HeldTooLong { waited } => format!(
                "the function is still being replaced after {} seconds",
                clock::plain_seconds(*waited)
            ),
            Self::Canceled => "Invocation canceled by client".to_owned(),
            Self::BadResponse { why } => why.clone(),
            Self::ProcessExited => "Process exited unexpectedly before completing request".to_owned(),
            Self::TimedOut { after } => {
                format!("Function time out after {} seconds", clock::plain_seconds(*after))
            }
        }
    }

    /// The JSON that the caller receives.
    pub(crate) fn body(&self, request_id: &str, style: Style) -> String {
        let message = self.message(style);
        let fields = match style {
            Style::Current => [
                ("RequestId", request_id),
                ("Code", self.code()),
                ("Message", &message),
            ]
            .to_vec(),
            Style::Old => [("ErrorCode", self.code()), ("ErrorMessage", &message)].to_vec(),
        };
        // Built by hand to keep the platform's order of fields.
        let field =
            |(name, value): (&str, &str)| format!("{}:{}", Value::from(name), Value::from(value));
        format!(
            "{{{}}}",
            fields.into_iter().map(field).collect::<Vec<_>>().join(",")
        )
    }
}

fn never_opened(port: u16, waited: Duration, logs: &LogTail, style: Style) -> String {
    let tail = logs.text(style);
    match style {
        Style::Current => format!(
            "Function instance health check failed on port {port} in {} seconds.\nLogs:{tail}",
            clock::plain_seconds(waited)
        ),
        Style::Old => format!(
            "The CA's http server cannot be started:ContainerStartDuration:{}. Ping CA failed due to: \
             dial tcp 21.0.XX.XX:{port}: getsockopt: connection refused Logs:{tail}",
            waited.as_nanos()
        ),
    }
}

/// The platform prints the exit code as if it were an errno, in lower case.
fn errno_text(code: i32) -> String {
    const ERRNO_MAX: i32 = 133;
    if !(1..=ERRNO_MAX).contains(&code) {
        return format!("errno {code}");
    }
    let text = io::Error::from_raw_os_error(code)
        .to_string()
        .to_lowercase();
    text.split(" (os error")
        .next()
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_printed_as_errno_texts() {
        let worded = [1, 2, 8, 13, 127].map(errno_text);
        let expected = [
            "operation not permitted",
            "no such file or directory",
            "exec format error",
            "permission denied",
            "key has expired",
        ];
        assert_eq!(worded, expected);
        assert_eq!(errno_text(137), "errno 137");
    }

    #[test]
    fn messages_are_in_the_platforms_words() {
        let logs = LogTail(vec![(
            SystemTime::UNIX_EPOCH,
            "Listening on port 9000".to_owned(),
        )]);
        let closed = CallerError::PortNeverOpened {
            port: 9000,
            waited: Duration::from_secs(120),
            logs: logs.clone(),
        };
        assert_eq!(
            closed.body("1-0", Style::Current),
            r#"{"RequestId":"1-0","Code":"FunctionNotStarted","Message":"Function instance health check failed on port 9000 in 120 seconds.\nLogs:Listening on port 9000"}"#
        );
        assert_eq!(
            closed.message(Style::Old),
            "The CA's http server cannot be started:ContainerStartDuration:120000000000. Ping CA failed due to: \
             dial tcp 21.0.XX.XX:9000: getsockopt: connection refused Logs:1970-01-01T00:00:00.000000000Z \
             Listening on port 9000"
        );
        let exited = CallerError::Exited {
            code: 1,
            command: "python server.py".to_owned(),
            logs,
        };
        assert_eq!(
            exited.message(Style::Current),
            "Function instance exited unexpectedly(code 1, message:operation not permitted) with start command \
             'python server.py '. Logs:Listening on port 9000"
        );
    }
}
