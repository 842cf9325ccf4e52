//! The `x-fc-*` fields of each request.

use crate::environment::Identity;
use crate::settings::Settings;
use crate::wire::fields::Fields;

/// Control paths: they tell the function what kind of call this is.
pub(crate) const HTTP_INVOKE: &str = "/http-invoke";
pub(crate) const INVOKE: &str = "/invoke";

/// The platform's fields of every request. A field without a value here is sent empty, as on the platform.
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
