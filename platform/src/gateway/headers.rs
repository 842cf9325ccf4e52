//! The `x-fc-*` headers, and what never passes in either direction.

use crate::environment::Identity;
use crate::project::Settings;
use crate::wire::head::Fields;

/// Control paths, which say what kind of call it is.
pub(crate) const HTTP_INVOKE: &str = "/http-invoke";
pub(crate) const INVOKE: &str = "/invoke";

/// Everything that each request to a function carries. What this platform has no value for arrives as an empty string.
pub(crate) fn of_platform(
    request_id: &str,
    control_path: &str,
    settings: &Settings,
    identity: &Identity,
) -> Fields {
    let mut fields = Fields::default();
    let memory = settings.memory_mb.to_string();
    let timeout = settings.timeout.as_secs().to_string();
    let all = [
        ("x-fc-request-id", request_id),
        ("x-fc-access-key-id", &identity.access_key_id),
        ("x-fc-access-key-secret", &identity.access_key_secret),
        ("x-fc-security-token", &identity.security_token),
        ("x-fc-function-name", &settings.function_name),
        ("x-fc-function-handler", &settings.handler),
        ("x-fc-function-memory", &memory),
        ("x-fc-function-timeout", &timeout),
        ("x-fc-region", &settings.region),
        ("x-fc-account-id", &identity.account),
        ("x-fc-qualifier", "LATEST"),
        ("x-fc-version-id", ""),
        ("x-fc-service-name", ""),
        ("x-fc-service-logproject", ""),
        ("x-fc-service-logstore", ""),
        ("x-fc-retry-count", "0"),
        ("x-fc-control-path", control_path),
    ];
    for (name, value) in all {
        fields.push(name, value);
    }
    fields
}

/// Fields of a caller that never reach the function; framing fields are written anew.
pub(crate) fn is_reserved_in_request(name: &str) -> bool {
    name.starts_with("x-fc-")
        || matches!(
            name,
            "connection"
                | "keep-alive"
                | "content-length"
                | "transfer-encoding"
                | "expect"
                | "upgrade"
        )
}

/// Fields of the function that never reach a caller; framing fields are written anew.
pub(crate) fn is_reserved_in_answer(name: &str) -> bool {
    name.starts_with("x-fc-")
        || matches!(
            name,
            "connection"
                | "content-length"
                | "date"
                | "keep-alive"
                | "server"
                | "transfer-encoding"
                | "upgrade"
        )
}
