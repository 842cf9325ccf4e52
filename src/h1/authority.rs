//! The grammar of a host and its port (RFC 3986 §3.2, RFC 9110 §7.2): in `Host`, and in the target.

use super::byteset::name_len;
use super::cursor::Cursor;

/// RFC 9110 §7.2: `uri-host [ ":" port ]`, or empty. Userinfo is not allowed.
pub(crate) fn is_host(value: &[u8]) -> bool {
    let port = match value {
        [b'[', rest @ ..] => after_address(rest),
        _ => Some(after_registered_name(value)),
    };
    match port {
        Some([b':', digits @ ..]) => digits.iter().all(u8::is_ascii_digit),
        Some([]) => true,
        Some(_) | None => false,
    }
}

/// RFC 3986 §3.2.2: what follows an IP literal. `literal` begins after its opening bracket.
fn after_address(literal: &[u8]) -> Option<&[u8]> {
    let end = literal.iter().position(|byte| *byte == b']')?;
    let (address, rest) = literal.split_at_checked(end)?;
    let is_address = !address.is_empty() && address.iter().all(|byte| is_address_byte(*byte));
    rest.get(1..).filter(|_| is_address)
}

/// RFC 9112 §3.2.3: the authority-form of CONNECT has both a host and a port, and the port must be valid (RFC 9110 §9.3.6).
pub(crate) fn is_authority_with_port(value: &[u8]) -> bool {
    let port_start = value.iter().rposition(|byte| *byte == b':');
    let Some((host, [_, digits @ ..])) = port_start.and_then(|start| value.split_at_checked(start))
    else {
        return false;
    };
    !host.is_empty() && parse_port(digits).is_some() && is_host(value)
}

/// A port in decimal digits, from 1 to 65535. std's parser takes a sign, and text that is checked to be UTF-8.
pub(crate) fn parse_port(digits: &[u8]) -> Option<u16> {
    let port = digits.iter().try_fold(0_u16, |port, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        port.checked_mul(10)?.checked_add(digit.into())
    })?;
    (port > 0).then_some(port)
}

/// RFC 3986 §3.2.2: a byte inside an IP literal. Its exact syntax is left to the resolver.
const fn is_address_byte(byte: u8) -> bool {
    byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.' | b'v' | b'V' | b'-' | b'_' | b'~')
}

/// RFC 3986 §3.2.2: what follows unreserved bytes, sub-delims and complete percent-encodings.
fn after_registered_name(mut name: &[u8]) -> &[u8] {
    loop {
        name = Cursor::at(name, name_len(name)).rest();
        match name {
            [b'%', high, low, rest @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                name = rest;
            }
            _ => return name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{is_host, parse_port};

    #[test]
    fn a_port_has_digits_only_and_is_not_0() {
        for (text, port) in [("1", 1), ("0080", 80), ("65535", 65_535)] {
            assert_eq!(parse_port(text.as_bytes()), Some(port), "{text}");
        }
        for text in [
            "",
            "0",
            "00",
            "65536",
            "99999999999",
            "+1",
            "-1",
            "1 ",
            "a",
            "\u{661}",
        ] {
            assert_eq!(parse_port(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_percent_encoding_in_a_host_has_two_hexadecimal_digits() {
        for host in ["%41", "a%fFb:80", "%41%42"] {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        for host in ["%", "%4", "%4g", "%g4", "%gg", "a%", "%41%", "%%41"] {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
    }
}
