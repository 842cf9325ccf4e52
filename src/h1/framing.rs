//! Where a request ends and whether the connection persists: the only reader of the fields that decide it.
//!
//! What two servers could interpret differently is refused (RFC 9112 §11.2). What a usual head says is seen at a glance, without a
//! verdict; all others are read line by line.

use core::ops::Range;

use super::authority::is_host;
use super::byteset::{is_named, is_token};
use super::head::{HeadView, Names, RawField, TargetForm, Version, Wanted};
use super::refusal::Refusal;
use super::state::Close;
use super::vector::End;

/// The length of a request's body (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyLength {
    None,
    Length(u64),
    Chunked,
}

/// What the peer expects before it sends the body (RFC 9110 §10.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expectation {
    None,
    Continue,
}

/// Whether the peer offers to leave HTTP (RFC 9110 §7.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UpgradeOffer {
    None,
    /// An `Upgrade` field that `Connection` names; [`offers`] reads which protocols.
    Offered,
    /// The CONNECT method.
    Tunnel,
}

/// What the peer does with the trailer fields of a response (RFC 9110 §10.1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TrailerUse {
    /// It may discard them: it has not said otherwise.
    Unknown,
    /// `TE: trailers`: it does not discard them unseen.
    Kept,
}

/// Everything that a head says about its own message and connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Framing {
    pub(crate) body: BodyLength,
    pub(crate) close: Close,
    pub(crate) expectation: Expectation,
    pub(crate) upgrade: UpgradeOffer,
    pub(crate) trailers: TrailerUse,
}

#[cfg(test)]
impl Framing {
    /// What a head says that [`read_usual`] has read.
    pub(crate) const fn usual(body: BodyLength) -> Self {
        Self {
            body,
            close: Close::Unset,
            expectation: Expectation::None,
            upgrade: UpgradeOffer::None,
            trailers: TrailerUse::Unknown,
        }
    }
}

/// The relevant fields of one head, as far as they have been read.
#[derive(Debug, Default)]
struct Seen<'a> {
    host: Option<RawField<'a>>,
    length: Option<u64>,
    coding: Option<&'a [u8]>,
    connection: ConnectionOptions,
    expect: Option<&'a [u8]>,
    upgrade: Option<&'a [u8]>,
}

/// The connection options that this server knows (RFC 9110 §7.6.1), as a set of bits.
#[derive(Clone, Copy, Debug, Default)]
struct ConnectionOptions(u8);

impl ConnectionOptions {
    const CLOSE: u8 = 1;
    const KEEP_ALIVE: u8 = 2;
    const UPGRADE: u8 = 4;
    /// Of the field `TE`.
    const TRAILERS: u8 = 8;

    const fn has(self, option: u8) -> bool {
        self.0 & option != 0
    }

    fn read(&mut self, value: &[u8]) {
        for option in list(value) {
            if is_named(option, b"close") {
                self.0 |= Self::CLOSE;
            } else if is_named(option, b"keep-alive") {
                self.0 |= Self::KEEP_ALIVE;
            } else if is_named(option, b"upgrade") {
                self.0 |= Self::UPGRADE;
            }
        }
    }

    #[cold]
    fn read_te(&mut self, value: &[u8]) {
        if list(value).any(|coding| is_named(coding, b"trailers")) {
            self.0 |= Self::TRAILERS;
        }
    }
}

/// The fields that frame most requests.
const USUAL: Names = Names::of(&[b"host", b"content-length"]);
/// The other fields that are read here.
const UNUSUAL: Names = Names::of(&[
    b"te",
    b"expect",
    b"upgrade",
    b"connection",
    b"transfer-encoding",
]);

/// What is looked for in heads that are read here, and whose handler looks for these names.
pub(crate) const fn wanted(handler: Names) -> Wanted {
    Wanted::new(USUAL, UNUSUAL, handler)
}

/// What is looked for if the handler looks for nothing.
pub(crate) static WANTED: Wanted = wanted(Names::NONE);

/// The body of a usual request: its lines say nothing but a host and perhaps a length. `None` without a verdict if there is more, or
/// a fault: [`read`] finds out which.
pub(crate) fn read_usual(head: HeadView<'_>) -> Option<BodyLength> {
    let is_usual = !head.may_be_unusual()
        && head.version() == Version::Http11
        && head.form() != TargetForm::Authority;
    if !is_usual {
        return None;
    }
    let (mut has_host, mut length) = (false, None);
    for field in head.usual_fields() {
        if field.is_named(b"host") {
            if has_host || !is_usual_host(field) {
                return None;
            }
            has_host = true;
        } else if field.is_named(b"content-length") {
            if length.is_some() {
                return None;
            }
            length = Some(parse_length(field.value()).ok()?);
        }
    }
    has_host.then(|| body_of(length))
}

/// The body of a message without a transfer coding.
fn body_of(length: Option<u64>) -> BodyLength {
    match length {
        None | Some(0) => BodyLength::None,
        Some(length) => BodyLength::Length(length),
    }
}

/// Reads the framing of a complete head.
#[inline(never)]
pub(crate) fn read(head: HeadView<'_>) -> Result<Framing, Refusal> {
    let mut seen = Seen::default();
    let version = head.version();
    for field in head.framing_fields() {
        match field.name_len() {
            2 if field.is_named(b"te") => seen.connection.read_te(field.value()),
            4 if field.is_named(b"host") => once(&mut seen.host, field, Refusal::Host)?,
            // HTTP/1.0 has no expectations: even several lines are ignored (RFC 9110 §10.1.1).
            6 if version == Version::Http11 && field.is_named(b"expect") => {
                once(&mut seen.expect, field.value(), Refusal::Expectation)?;
            }
            7 if field.is_named(b"upgrade") => seen.upgrade = Some(field.value()),
            10 if field.is_named(b"connection") => seen.connection.read(field.value()),
            14 if field.is_named(b"content-length") => {
                once(
                    &mut seen.length,
                    parse_length(field.value())?,
                    Refusal::ContentLength,
                )?;
            }
            17 if field.is_named(b"transfer-encoding") => {
                // 400 and not 501, whatever the codings: recipients differ in which of two lines they read.
                once(&mut seen.coding, field.value(), Refusal::TransferEncoding)?;
            }
            _ => {}
        }
    }
    decide(head, &seen)
}

/// The length of the body that this head announces; 0 without a body, `None` if it is chunked.
pub(crate) fn announced_length(head: HeadView<'_>) -> Option<u64> {
    match read(head).ok()?.body {
        BodyLength::None => Some(0),
        BodyLength::Length(len) => Some(len),
        BodyLength::Chunked => None,
    }
}

/// Whether an offered upgrade names `protocol` (RFC 9110 §7.8). If it is a list of layers, each must be offered.
pub(crate) fn offers(head: HeadView<'_>, protocol: &[u8]) -> bool {
    let lines = head.raw_fields().filter(|field| field.is_named(b"upgrade"));
    let is_offered = |wanted: &[u8]| {
        let mut offered = lines.clone().flat_map(|field| list(field.value()));
        offered.any(|name| name.eq_ignore_ascii_case(wanted))
    };
    !protocol.is_empty() && list(protocol).all(is_offered)
}

/// Refuses a second line of a field that may only occur once, even if both are equal.
fn once<T>(slot: &mut Option<T>, value: T, refusal: Refusal) -> Result<(), Refusal> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(refusal),
    }
}

/// Whether this field's value is a plain name with or without a port, as nearly all hosts are: sixteen bytes are looked at together.
#[inline]
fn is_usual_host(field: RawField<'_>) -> bool {
    let (head, value) = field.value_in_head();
    // The line end is no part of a host, so this never goes on in another line.
    let end = End::Name.position(head, value.start);
    end == value.end
        || (head.get(end) == Some(&b':') && is_usual_port(head, end.wrapping_add(1)..value.end))
}

/// Whether the port has one to eight digits, and nothing else. It may also say no if little follows the port.
#[inline]
fn is_usual_port(head: &[u8], port: Range<usize>) -> bool {
    let Some(eight) = head.get(port.start..).and_then(|place| place.first_chunk()) else {
        return false;
    };
    let others @ 0..8 = port.start.wrapping_add(8).wrapping_sub(port.end) else {
        return false;
    };
    // A digit becomes its number, and what follows the last one becomes 0.
    let numbers = u64::from_le_bytes(*eight) ^ u64::from_le_bytes(*b"00000000");
    let numbers = numbers << others.wrapping_mul(8);
    // The sum has its highest bit if the number is 10 or more.
    let sums = numbers.wrapping_add(0x7676_7676_7676_7676);
    (numbers | sums) & 0x8080_8080_8080_8080 == 0
}

fn decide(head: HeadView<'_>, seen: &Seen<'_>) -> Result<Framing, Refusal> {
    let version = head.version();
    match seen.host {
        None if version == Version::Http11 => return Err(Refusal::Host),
        Some(host) if !is_host(host.value()) => return Err(Refusal::Host),
        Some(_) | None => {}
    }
    let body = match (seen.length, seen.coding) {
        (Some(_), Some(_)) => return Err(Refusal::AmbiguousFraming),
        (None, Some(_)) if version == Version::Http10 => return Err(Refusal::AmbiguousFraming),
        (None, Some(coding)) => check_coding(coding)?,
        (length, None) => body_of(length),
    };
    let options = seen.connection;
    let close = if options.has(ConnectionOptions::CLOSE) {
        Close::PeerAsked
    } else if version == Version::Http10 && !options.has(ConnectionOptions::KEEP_ALIVE) {
        Close::PeerIsOld
    } else {
        Close::Unset
    };
    let upgrade = if head.form() == TargetForm::Authority {
        UpgradeOffer::Tunnel
    } else if version == Version::Http11
        && options.has(ConnectionOptions::UPGRADE)
        && seen.upgrade.is_some_and(|value| !value.is_empty())
    {
        UpgradeOffer::Offered
    } else {
        UpgradeOffer::None
    };
    let expectation = match seen.expect {
        None => Expectation::None,
        Some(value) if !is_named(value, b"100-continue") => {
            return Err(Refusal::Expectation);
        }
        // Without a body there is nothing to wait for, but a 101 needs its 100 first (RFC 9110 §7.8).
        Some(_) if body == BodyLength::None && upgrade != UpgradeOffer::Offered => {
            Expectation::None
        }
        Some(_) => Expectation::Continue,
    };
    let trailers = if options.has(ConnectionOptions::TRAILERS) {
        TrailerUse::Kept
    } else {
        TrailerUse::Unknown
    };
    Ok(Framing {
        body,
        close,
        expectation,
        upgrade,
        trailers,
    })
}

/// RFC 9110 §8.6: `1*DIGIT`, in 64 bits.
fn parse_length(value: &[u8]) -> Result<u64, Refusal> {
    if value.is_empty() {
        return Err(Refusal::ContentLength);
    }
    value.iter().try_fold(0_u64, |length, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte.wrapping_sub(b'0'),
            _ => return Err(Refusal::ContentLength),
        };
        length
            .checked_mul(10)
            .and_then(|length| length.checked_add(u64::from(digit)))
            .ok_or(Refusal::ContentLength)
    })
}

/// RFC 9112 §6.1: the only coding supported is `chunked`. Others get a status of their own if the list is well-formed.
fn check_coding(value: &[u8]) -> Result<BodyLength, Refusal> {
    if is_named(value, b"chunked") {
        return Ok(BodyLength::Chunked);
    }
    let is_chunked = |element: &[u8]| is_named(element, b"chunked");
    let mut elements = value.split(|byte| *byte == b',').map(trim).peekable();
    while let Some(element) = elements.next() {
        let is_last = elements.peek().is_none();
        // Parameters are not supported: a coding must be a bare token.
        if !is_token(element) || (is_chunked(element) && !is_last) {
            return Err(Refusal::TransferEncoding);
        }
    }
    Err(Refusal::CodingUnsupported)
}

/// The elements of a comma-separated list (RFC 9110 §5.6.1), each trimmed.
fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(trim)
}

fn trim(element: &[u8]) -> &[u8] {
    element.trim_ascii()
}

/// Whether a field decides where a message ends or which host it is for, so that it must not be in a trailer section (RFC
/// 9110 §6.5.1).
pub(crate) fn is_framing_field(name: &str) -> bool {
    [
        "content-length",
        "transfer-encoding",
        "connection",
        "host",
        "expect",
        "upgrade",
        "trailer",
        "te",
    ]
    .iter()
    .any(|field| name.eq_ignore_ascii_case(field))
}

#[cfg(test)]
mod tests {
    use super::{
        BodyLength, Close, Expectation, Framing, TrailerUse, UpgradeOffer, WANTED, offers, read,
        read_usual,
    };
    use crate::h1::head::{HeadIndex, HeadLimits, HeadView, Scan, parse};
    use crate::h1::refusal::Refusal;

    fn framing(request_line: &str, fields: &str) -> Result<Framing, Refusal> {
        let limits = HeadLimits {
            head_len_max: 1024,
            target_len_max: 64,
            headers_max: 9,
        };
        let head = format!("{request_line}\r\nHost: a\r\n{fields}\r\n");
        let mut index = HeadIndex::default();
        parse(head.as_bytes(), &mut Scan::default(), &limits, &mut index)?;
        read(HeadView::new(head.as_bytes(), &index))
    }

    fn offer(version: &str, fields: &str) -> Option<UpgradeOffer> {
        let framing = framing(&format!("GET / {version}"), fields);
        framing.ok().map(|framing| framing.upgrade)
    }

    #[test]
    fn what_is_usual_is_seen_at_a_glance_and_nothing_else_is() {
        let usual = [
            "Host: a",
            "Host: a.b-c9",
            "Host: ",
            "Host: a:1",
            "Host: a:09182736",
            "Host: a\r\nContent-Length: 0",
            "content-length: 10\r\nHOST: a:80\r\nCookie: b",
        ];
        let others = [
            "X: a",
            "Host: a:",
            "Host: a:123456789",
            "Host: a:8x",
            "Host: a:x8",
            "Host: a:8/",
            "Host: a:8:",
            "Host: a:\u{e9}8",
            // `~` stands for a digit with its highest bit.
            "Host: a:8~",
            "Host: a_b",
            "Host: [::1]:80",
            "Host: a\r\nHost: a",
            "Host: a\r\nContent-Length: x",
            "Host: a\r\nContent-Length: 1\r\nContent-Length: 1",
            "Host: a\r\nConnection: close",
        ];
        let limits = HeadLimits {
            head_len_max: 1024,
            target_len_max: 64,
            headers_max: 9,
        };
        let all = usual.map(|fields| (fields, "1", true));
        let others = others.map(|fields| (fields, "1", false));
        for (fields, minor, is_usual) in all
            .into_iter()
            .chain(others)
            .chain([("Host: a", "0", false)])
        {
            let head = format!("GET / HTTP/1.{minor}\r\n{fields}\r\nAfter: another line\r\n\r\n");
            let head: Vec<u8> = head
                .bytes()
                .map(|byte| if byte == b'~' { 0xb9 } else { byte })
                .collect();
            let mut index = HeadIndex::noting(&WANTED);
            for _ in 0..2 {
                let parsed = parse(&head, &mut Scan::default(), &limits, &mut index);
                assert_eq!(parsed, Ok(Some(head.len())), "{fields}");
            }
            let view = HeadView::new(&head, &index);
            let seen = read_usual(view);
            assert_eq!(seen.is_some(), is_usual, "{fields}");
            if let Some(body) = seen {
                assert_eq!(read(view), Ok(Framing::usual(body)), "{fields}");
            }
        }
    }

    #[test]
    fn the_usual_lines_are_found_among_as_many_as_have_bits() {
        // A cookie has the mark of a name that frames, so each of these lines is noted.
        for lines in [0, 1, 62, 63, 64, 65] {
            let head = format!(
                "GET / HTTP/1.1\r\n{}Host: a\r\n\r\n",
                "Cookie: b\r\n".repeat(lines)
            );
            let limits = HeadLimits {
                head_len_max: 1024,
                target_len_max: 64,
                headers_max: 66,
            };
            let mut index = HeadIndex::noting(&WANTED);
            // The second time there is memory for all lines.
            for _ in 0..2 {
                let parsed = parse(head.as_bytes(), &mut Scan::default(), &limits, &mut index);
                assert_eq!(parsed, Ok(Some(head.len())));
            }
            let view = HeadView::new(head.as_bytes(), &index);
            let usual = (lines < 64).then_some(BodyLength::None);
            assert_eq!(read_usual(view), usual, "{lines}");
            assert_eq!(read(view), Ok(Framing::usual(BodyLength::None)), "{lines}");
        }
    }

    #[test]
    fn an_upgrade_needs_both_its_field_and_its_option_and_http_1_1() {
        let both = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
        assert_eq!(offer("HTTP/1.1", both), Some(UpgradeOffer::Offered));
        assert_eq!(offer("HTTP/1.0", both), Some(UpgradeOffer::None));
        for fields in [
            "",
            "Upgrade: websocket\r\n",
            "Connection: Upgrade\r\n",
            "Connection: Upgrade\r\nUpgrade:\r\n",
            // Another field of the same length.
            "Connection: Upgrade\r\nReferer: websocket\r\n",
            "User-Agent: Upgrade\r\nUpgrade: websocket\r\n",
        ] {
            assert_eq!(
                offer("HTTP/1.1", fields),
                Some(UpgradeOffer::None),
                "{fields}"
            );
        }
    }

    #[test]
    fn an_offer_is_compared_by_the_name_of_the_protocol() {
        let limits = HeadLimits {
            head_len_max: 1024,
            target_len_max: 64,
            headers_max: 9,
        };
        let is_offered = |fields: &str, protocol: &str| {
            let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
            let mut index = HeadIndex::default();
            parse(head.as_bytes(), &mut Scan::default(), &limits, &mut index).is_ok()
                && offers(HeadView::new(head.as_bytes(), &index), protocol.as_bytes())
        };
        for (fields, protocol, expected) in [
            ("Upgrade: websocket\r\n", "websocket", true),
            ("Upgrade: WebSocket\r\n", "websocket", true),
            ("upgrade: h2c, websocket\r\n", "websocket", true),
            ("Upgrade: h2c\r\nUpgrade: ,websocket\r\n", "websocket", true),
            ("Upgrade: IRC/6.9\r\n", "IRC/6.9", true),
            ("Upgrade: a, b\r\n", "b, a", true),
            ("Upgrade: a\r\n", "a, b", false),
            ("Upgrade: h2c\r\n", "websocket", false),
            ("Upgrade: websockets\r\n", "websocket", false),
            ("Upgrade: web socket\r\n", "websocket", false),
            ("Upgrade: IRC/6.9\r\n", "IRC/7", false),
            ("Upgrade: ,\r\n", "", false),
            ("Referer: websocket\r\n", "websocket", false),
        ] {
            assert_eq!(
                is_offered(fields, protocol),
                expected,
                "{fields:?} {protocol}"
            );
        }
    }

    #[test]
    fn connect_asks_for_a_tunnel_without_any_field() {
        let upgrade = framing("CONNECT a:80 HTTP/1.1", "").map(|framing| framing.upgrade);
        assert_eq!(upgrade, Ok(UpgradeOffer::Tunnel));
    }

    #[test]
    fn only_a_request_with_a_body_or_an_upgrade_can_expect_continue() {
        let expectation = |fields: &str| {
            let fields = format!("Expect: 100-continue\r\n{fields}");
            framing("POST / HTTP/1.1", &fields).map(|framing| framing.expectation)
        };
        assert_eq!(expectation(""), Ok(Expectation::None));
        assert_eq!(expectation("Content-Length: 0\r\n"), Ok(Expectation::None));
        let length = "Content-Length: 1\r\n";
        assert_eq!(expectation(length), Ok(Expectation::Continue));
        let chunked = "Transfer-Encoding: chunked\r\n";
        assert_eq!(expectation(chunked), Ok(Expectation::Continue));
        let upgrade = "Connection: Upgrade\r\nUpgrade: x\r\n";
        assert_eq!(expectation(upgrade), Ok(Expectation::Continue));
        assert_eq!(expectation("Upgrade: x\r\n"), Ok(Expectation::None));
    }

    #[test]
    fn a_peer_keeps_trailers_if_it_says_so() {
        for (fields, trailers) in [
            ("TE: trailers\r\n", TrailerUse::Kept),
            ("te: gzip;q=0.5 ,\tTrailers\r\n", TrailerUse::Kept),
            ("TE: gzip\r\nTE: trailers\r\n", TrailerUse::Kept),
            ("TE:\r\n", TrailerUse::Unknown),
            ("TE: trailersx\r\n", TrailerUse::Unknown),
            ("Connection: trailers\r\n", TrailerUse::Unknown),
        ] {
            let read = framing("GET / HTTP/1.1", fields);
            assert_eq!(
                read.map(|framing| framing.trailers),
                Ok(trailers),
                "{fields}"
            );
        }
    }

    #[test]
    fn a_plain_head_has_no_body_and_persists() {
        let plain = Framing {
            body: BodyLength::None,
            close: Close::Unset,
            expectation: Expectation::None,
            upgrade: UpgradeOffer::None,
            trailers: TrailerUse::Unknown,
        };
        // Each has the length of a field that is read.
        let others = "Date: close\r\nCookie: 100-continue\r\nReferer: x\r\nUser-Agent: close\r\n\
            Accept-Charset: 5\r\nX-Forwarded-Host: chunked\r\nDT: trailers\r\nTE: gzip, trailers;q=1\r\n";
        assert_eq!(framing("GET / HTTP/1.1", others), Ok(plain));
    }
}
