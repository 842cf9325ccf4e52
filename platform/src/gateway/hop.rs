//! Which fields are forwarded: not those of one connection (RFC 9110 §7.6.1), nor those that the platform reserves.

use crate::wire::fields::Fields;
use crate::wire::head::Response;

/// The fields that `Connection` names.
pub(crate) fn nominated(fields: &Fields) -> Vec<String> {
    fields.elements("connection")
}

/// Removes the fields of the caller's connection and the reserved ones. Framing fields are generated again.
///
/// `Via` is not added (RFC 9110 §7.6.3): no request of the platform's router has one, and servers change what they
/// do when they see it.
pub(crate) fn strip_request(fields: &mut Fields) {
    let nominated = nominated(fields);
    fields.drop_where(|name| {
        // `Host` has been checked, and each request needs one.
        let is_named = name != "host" && nominated.iter().any(|named| named == name);
        is_named || is_hop_by_hop(name) || name.starts_with("x-fc-") || name == "expect"
    });
}

/// The function's response fields without those of its connection and the reserved ones.
pub(crate) fn visible_fields(response: &Response) -> Fields {
    let nominated = nominated(&response.fields);
    let mut fields = response.fields.clone();
    fields.drop_where(|name| {
        let is_reserved = name.starts_with("x-fc-") || matches!(name, "date" | "server");
        is_reserved || is_hop_by_hop(name) || nominated.iter().any(|named| named == name)
    });
    fields
}

/// The trailer fields to forward.
pub(crate) fn forwarded_trailers(trailers: &Fields, nominated: &[String]) -> Fields {
    let mut trailers = trailers.clone();
    trailers.drop_where(|name| {
        name.starts_with("x-fc-")
            || is_hop_by_hop(name)
            || nominated.iter().any(|named| named == name)
    });
    trailers
}

fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "content-length"
            | "keep-alive"
            | "proxy-connection"
            | "te"
            | "transfer-encoding"
            | "upgrade"
    )
}
