//! The grammar of heads and trailer sections (RFC 9112), strict and without I/O. Requests and responses share it.
//!
//! What two implementations could read differently is refused: a bare LF or CR, a folded line, whitespace before a colon.

use std::borrow::Cow;

use super::Fault;
use super::fields::Fields;

/// The longest registered method has 17 bytes (RFC 9110 §16.1.1).
const METHOD_LEN_MAX: usize = 32;

/// How far an unfinished section was searched for its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Scan {
    at: usize,
    line: usize,
}

/// The length of the section that `input` begins with, empty line included. Every line must end in CRLF.
pub(super) fn section_len(input: &[u8], scan: &mut Scan) -> Result<Option<usize>, Fault> {
    loop {
        let Some(found) = input[scan.at..].iter().position(|byte| *byte == b'\n') else {
            scan.at = input.len();
            return Ok(None);
        };
        let end = scan.at + found + 1;
        let Some(line) = input[scan.line..end].strip_suffix(b"\r\n") else {
            return Err(malformed("a line ends in LF without CR"));
        };
        if line.contains(&b'\r') {
            return Err(malformed("a CR without LF"));
        }
        if line.is_empty() {
            return Ok(Some(end));
        }
        scan.at = end;
        scan.line = end;
    }
}

/// Splits a section into its first line and the field lines with their empty line.
pub(super) fn split_first_line(section: &[u8]) -> (&[u8], &[u8]) {
    let length = section
        .windows(2)
        .position(|pair| pair == b"\r\n")
        .unwrap_or(section.len());
    (
        &section[..length],
        section.get(length + 2..).unwrap_or_default(),
    )
}

/// The fields of a section that ends in its empty line.
pub(super) fn fields(section: &[u8]) -> Result<Fields, Fault> {
    let lines = section.iter().filter(|byte| **byte == b'\n').count();
    let mut headers = vec![httparse::EMPTY_HEADER; lines];
    let parsed = match httparse::parse_headers(section, &mut headers) {
        Ok(httparse::Status::Complete((length, parsed))) if length == section.len() => parsed,
        Ok(_) => {
            return Err(malformed(
                "a field section that does not end where it should",
            ));
        }
        Err(error) => return Err(malformed(&error.to_string())),
    };
    let owned =
        |field: &httparse::Header<'_>| (field.name.to_owned(), field.value.trim_ascii().to_vec());
    Ok(Fields(parsed.iter().map(owned).collect()))
}

/// The fields of a response's section. Whitespace before a colon is removed, as RFC 9112 §5.1 asks of a proxy; in
/// a request it is an error.
pub(super) fn response_fields(section: &[u8]) -> Result<Fields, Fault> {
    if let Ok(fields) = fields(section) {
        return Ok(fields);
    }
    let mut lines = Vec::with_capacity(section.len());
    for line in section.split_inclusive(|byte| *byte == b'\n') {
        let colon = line.iter().position(|byte| *byte == b':');
        let (name, rest) = line.split_at(colon.unwrap_or(0));
        lines.extend_from_slice(name.trim_ascii_end());
        lines.extend_from_slice(rest);
    }
    fields(&lines)
}

/// The parts of `method SP request-target SP HTTP-version` (RFC 9112 §3), and the minor version.
pub(super) fn request_line(line: &[u8]) -> Result<(&str, &str, u8), Fault> {
    let mut parts = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(malformed("the request line does not have three parts"));
    };
    if !is_token(method) || method.len() > METHOD_LEN_MAX {
        return Err(malformed("the method is not a token"));
    }
    let is_allowed = |byte: &u8| byte.is_ascii_graphic() && *byte != b'#';
    if target.is_empty() || !target.iter().all(is_allowed) {
        return Err(malformed(
            "the request target holds a byte that it must not",
        ));
    }
    let minor_version = match version.strip_prefix(b"HTTP/") {
        Some(b"1.0") => 0,
        Some([b'1', b'.', b'1'..=b'9']) => 1,
        Some([b'0'..=b'9', b'.', b'0'..=b'9']) => return Err(Fault::UnsupportedVersion),
        Some(_) | None => return Err(malformed("the protocol version is malformed")),
    };
    Ok((text(method)?, text(target)?, minor_version))
}

/// The minor version, status and reason of `HTTP-version SP status-code SP [ reason-phrase ]` (RFC 9112 §4). The
/// second space may be missing together with the reason: many servers leave it out, and it frames nothing.
pub(super) fn status_line(line: &[u8]) -> Result<(u8, u16, &[u8]), Fault> {
    let (minor_version, rest) = match line.strip_prefix(b"HTTP/1.") {
        Some([b'0', b' ', rest @ ..]) => (0, rest),
        Some([b'1'..=b'9', b' ', rest @ ..]) => (1, rest),
        Some(_) | None => return Err(malformed("the status line does not begin with HTTP/1.1")),
    };
    let (code, reason) = rest
        .split_at_checked(3)
        .ok_or_else(|| malformed("the status line has no status code"))?;
    let reason = match reason {
        [] => reason,
        [b' ', reason @ ..] => reason,
        _ => return Err(malformed("the status code does not have three digits")),
    };
    let is_allowed = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
    if !reason.iter().all(is_allowed) {
        return Err(malformed("the reason phrase holds a control byte"));
    }
    let is_number = code.iter().all(u8::is_ascii_digit);
    let code = is_number.then(|| text(code).ok()?.parse().ok()).flatten();
    match code {
        Some(code) if code >= 100 => Ok((minor_version, code, reason)),
        Some(_) | None => Err(malformed("the status code is not a number from 100 to 999")),
    }
}

/// The request target as the function gets it, and the authority that replaces `Host` (RFC 9112 §3.2).
pub(super) fn normalized_target<'a>(
    method: &str,
    target: &'a str,
) -> Result<(Cow<'a, str>, Option<&'a str>), Fault> {
    if method == "CONNECT" {
        return Ok((Cow::Borrowed(target), Some(target)));
    }
    if target.starts_with('/') || (target == "*" && method == "OPTIONS") {
        return Ok((Cow::Borrowed(target), None));
    }
    let rest = ["http://", "https://"].iter().find_map(|scheme| {
        let (start, rest) = target.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    });
    let rest = rest.ok_or_else(|| malformed("the request target has none of the four forms"))?;
    let length = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(length);
    if authority.starts_with(':') || authority.is_empty() || !is_host(authority.as_bytes()) {
        return Err(malformed(
            "the authority of the request target is malformed",
        ));
    }
    let path = match path {
        "" if method == "OPTIONS" => Cow::Borrowed("*"),
        "" => Cow::Borrowed("/"),
        query if query.starts_with('?') => Cow::Owned(format!("/{query}")),
        path => Cow::Borrowed(path),
    };
    Ok((path, Some(authority)))
}

/// Whether this is `uri-host [ ":" port ]` (RFC 9110 §7.2). An empty one is valid.
pub(super) fn is_host(value: &[u8]) -> bool {
    let (host, port) = if value.first() == Some(&b'[') {
        let Some(end) = value.iter().position(|byte| *byte == b']') else {
            return false;
        };
        let is_address = str::from_utf8(&value[1..end])
            .is_ok_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok());
        if !is_address {
            return false;
        }
        (&b""[..], &value[end + 1..])
    } else {
        let end = value.iter().position(|byte| *byte == b':');
        value.split_at(end.unwrap_or(value.len()))
    };
    let is_port = match port {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    is_port && is_reg_name(host)
}

/// Whether this is a token (RFC 9110 §5.6.2).
pub(super) fn is_token(bytes: &[u8]) -> bool {
    let is_token_byte =
        |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !bytes.is_empty() && bytes.iter().all(is_token_byte)
}

/// Fields that no trailer section may have: they frame the message or route it (RFC 9110 §6.5.1).
pub(super) fn is_forbidden_in_trailers(name: &str) -> bool {
    let forbidden = [
        "connection",
        "content-length",
        "host",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    forbidden
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
}

pub(super) fn malformed(why: &str) -> Fault {
    Fault::Malformed(why.to_owned())
}

/// RFC 3986 §3.2.2.
fn is_reg_name(name: &[u8]) -> bool {
    let mut rest = name;
    loop {
        rest = match rest {
            [] => return true,
            [b'%', high, low, rest @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                rest
            }
            [byte, rest @ ..]
                if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(byte) =>
            {
                rest
            }
            _ => return false,
        };
    }
}

fn text(bytes: &[u8]) -> Result<&str, Fault> {
    str::from_utf8(bytes).map_err(|_| malformed("a byte that is not ASCII"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_ends_at_its_empty_line_however_it_is_cut() {
        let input = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
        let mut scan = Scan::default();
        for length in 0..26 {
            let found = section_len(&input[..length], &mut scan).expect("well-formed");
            assert_eq!(found, None, "{length}");
        }
        assert_eq!(
            section_len(input, &mut scan).expect("well-formed"),
            Some(27)
        );
    }

    #[test]
    fn bare_line_ends_are_refused_as_soon_as_they_show() {
        for input in [
            &b"GET / HTTP/1.1\n"[..],
            b"A: b\r\nC: d\n\r\n",
            b"\n",
            b"A: b\rc\r\n",
        ] {
            assert!(
                section_len(input, &mut Scan::default()).is_err(),
                "{input:?}"
            );
        }
    }

    #[test]
    fn malformed_field_lines_are_refused() {
        for section in [
            &b"A : b\r\n\r\n"[..],
            b" A: b\r\n\r\n",
            b"A: b\r\n c\r\n\r\n",
            b": b\r\n\r\n",
            b"A\r\n\r\n",
            b"A: b\0\r\n\r\n",
            b"A\x80: b\r\n\r\n",
        ] {
            assert!(
                fields(section).is_err(),
                "{:?}",
                String::from_utf8_lossy(section)
            );
        }
        let parsed = fields(b"A:\t b\x80 \t\r\nB:\r\n\r\n").expect("well-formed");
        assert_eq!(parsed.first("a"), Some(&b"b\x80"[..]));
        assert_eq!(parsed.first("b"), Some(&b""[..]));
    }

    #[test]
    fn whitespace_before_a_colon_is_removed_from_a_response_only() {
        let section = b"A: b\r\nC \t: d:e\r\n\r\n";
        assert!(fields(section).is_err());
        let parsed = response_fields(section).expect("repaired");
        assert_eq!(parsed.first("c"), Some(&b"d:e"[..]));
        for folded in [
            &b"A: b\r\n c: d\r\n\r\n"[..],
            b"A: b\r\n c\r\n\r\n",
            b" : b\r\n\r\n",
        ] {
            assert!(response_fields(folded).is_err(), "{folded:?}");
        }
    }

    #[test]
    fn only_well_formed_request_lines_are_accepted() {
        assert_eq!(
            request_line(b"GET /a?b HTTP/1.1").ok(),
            Some(("GET", "/a?b", 1))
        );
        assert_eq!(request_line(b"X! /a HTTP/1.0").ok(), Some(("X!", "/a", 0)));
        for line in [
            &b"GET  / HTTP/1.1"[..],
            b"GET / HTTP/1.1 ",
            b"GET /",
            b" GET / HTTP/1.1",
            b"G(T / HTTP/1.1",
            b"GET /\t HTTP/1.1",
            b"GET /\x80 HTTP/1.1",
            b"GET /#a HTTP/1.1",
            b"GET / http/1.1",
            b"GET / HTTP/1",
            b"GET / HTTP/2.0",
        ] {
            assert!(
                request_line(line).is_err(),
                "{:?}",
                String::from_utf8_lossy(line)
            );
        }
    }

    #[test]
    fn a_status_line_may_lack_its_reason() {
        assert_eq!(
            status_line(b"HTTP/1.1 200 OK").ok(),
            Some((1, 200, &b"OK"[..]))
        );
        assert_eq!(status_line(b"HTTP/1.0 204").ok(), Some((0, 204, &b""[..])));
        for line in [
            &b"HTTP/1.1 20"[..],
            b"HTTP/1.1 2000",
            b"HTTP/1.1 0x1 a",
            b"HTTP/2 200",
            b"HTTP/1.1 099 a",
            b"nonsense",
        ] {
            assert!(
                status_line(line).is_err(),
                "{:?}",
                String::from_utf8_lossy(line)
            );
        }
    }

    #[test]
    fn an_absolute_target_becomes_path_and_authority() {
        let seen = |method, target| {
            let (path, authority) = normalized_target(method, target).ok()?;
            Some((path.into_owned(), authority))
        };
        let expected = |path: &str, authority| Some((path.to_owned(), authority));
        for (method, target, path, authority) in [
            ("GET", "http://a.b:80/c?d", "/c?d", Some("a.b:80")),
            ("GET", "HTTPS://[::1]:8/", "/", Some("[::1]:8")),
            ("GET", "http://a", "/", Some("a")),
            ("GET", "http://a?b", "/?b", Some("a")),
            ("OPTIONS", "http://a", "*", Some("a")),
            ("OPTIONS", "*", "*", None),
            ("GET", "/a", "/a", None),
        ] {
            assert_eq!(seen(method, target), expected(path, authority), "{target}");
        }
        for target in [
            "*",
            "a",
            "ftp://a/",
            "http:///",
            "http://:80/",
            "http://a@b/",
            "http://[::1/",
            "http://a:b/",
        ] {
            assert_eq!(seen("GET", target), None, "{target}");
        }
    }
}
