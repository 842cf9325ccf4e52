//! A caller's HTTP call as the function gets it.

use super::fleet::Resident;
use super::hop;
use super::invocation::ApiCall;
use super::precheck;
use crate::headers::{self, HTTP_INVOKE, INVOKE};
use crate::wire::Wire;
use crate::wire::fields::Fields;
use crate::wire::head::Request;

/// The platform's fields for this call.
pub(crate) fn platform_fields(
    resident: &Resident,
    request_id: &str,
    api_call: Option<&ApiCall>,
) -> Fields {
    let control_path = if api_call.is_some() {
        INVOKE
    } else {
        HTTP_INVOKE
    };
    let mut fields = headers::of_platform(
        request_id,
        control_path,
        &resident.project.settings,
        &resident.instance.identity,
    );
    if let Some(api_call) = api_call {
        api_call.name_in(&mut fields);
    }
    fields
}

/// The request that the function gets for an HTTP call.
pub(crate) fn http_request(request: &Request, platform_fields: Fields, caller: &Wire) -> Request {
    let mut outgoing = request.clone();
    let fields = &mut outgoing.fields;
    hop::strip_request(fields);
    if fields.first("host").is_none() {
        // HTTP/1.0 may leave it out, HTTP/1.1 may not.
        let host = caller.stream().local_addr().map(|own| own.to_string());
        fields.set("Host", host.unwrap_or_default());
    }
    if let Some(left) = precheck::forwards_left(request) {
        fields.set("Max-Forwards", left.saturating_sub(1).to_string());
    }
    if let Some(protocol) = precheck::upgrade(request) {
        fields.push("Connection", "Upgrade");
        fields.push("Upgrade", protocol);
    }
    fields.0.extend(platform_fields.0);
    let base_path = request.target.split('?').next().unwrap_or_default();
    fields.push("x-fc-base-path", base_path);
    let ip = caller.stream().peer_addr().map(|peer| peer.ip());
    let ip = ip.map_or_else(|_| String::new(), |ip| ip.to_canonical().to_string());
    fields.push("x-fc-client-ip", ip);
    outgoing
}
