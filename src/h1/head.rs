//! A head as ranges into the bytes it came in; the only file that names httparse.
//!
//! Most heads arrive whole and plain: one pass, which takes nothing unusual and says nothing of what it does not take,
//! indexes them. All others take the careful path, which remembers where it stopped, judges line by line, reads fields
//! with httparse, whose leniencies are closed here, and knows which status fits. What it says of a head never depends on
//! how the bytes were cut.
#![expect(
    clippy::disallowed_types,
    reason = "this file is the fence around httparse"
)]

mod plain;
mod view;

use super::authority::{is_authority_with_port, is_host};
use super::byteset::{target_len, token_len};
use super::refusal::Refusal;
use crate::limits::{HEAD_LEN_CEILING, HEADERS_CEILING};

use plain::parse_at_once;
use view::text;
pub(crate) use view::{HeadView, RawField};

/// Longest method that is taken, in bytes: the longest registered one has 17 (RFC 9110 §16.1.1).
const METHOD_LEN_MAX: usize = 32;
/// A request line's bytes beside method and target: two spaces and `HTTP/1.1`.
const VERSION_LEN_MAX: usize = 10;

/// The bounds that a head must keep. All in bytes but `headers_max`, which counts field lines.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadLimits {
    pub(crate) head_len_max: usize,
    pub(crate) target_len_max: usize,
    pub(crate) headers_max: usize,
}

/// The protocol version of a request; a later 1.x is served as 1.1 (RFC 9110 §2.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Version {
    Http10,
    #[default]
    Http11,
}

/// The four forms of a request target (RFC 9112 §3.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum TargetForm {
    #[default]
    Origin,
    Absolute,
    Authority,
    Asterisk,
}

/// A half-open range of bytes in a head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Span {
    start: u16,
    end: u16,
}

impl Span {
    const fn new(start: usize, end: usize) -> Self {
        Self {
            start: Self::place(start),
            end: Self::place(end),
        }
    }

    /// A place in a head, or right behind it.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a head is never longer than HEAD_LEN_CEILING"
    )]
    const fn place(at: usize) -> u16 {
        debug_assert!(at <= HEAD_LEN_CEILING, "a head that is too long was taken");
        at as u16
    }

    /// Where `part`, which httparse borrowed from `whole`, lies in it.
    fn within(whole: &[u8], part: &[u8]) -> Self {
        let start = part.as_ptr().addr().wrapping_sub(whole.as_ptr().addr());
        Self::new(start, start.wrapping_add(part.len()))
    }

    fn of(self, bytes: &[u8]) -> &[u8] {
        bytes
            .get(usize::from(self.start)..usize::from(self.end))
            .unwrap_or_default()
    }

    const fn is_empty(self) -> bool {
        self.start >= self.end
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct FieldSpan {
    name: Span,
    value: Span,
}

/// Where the parts of a head lie in its bytes. One is reused for all requests of a worker.
#[derive(Debug, Default)]
pub(crate) struct HeadIndex {
    method: Span,
    target: Span,
    /// Where its path ends: at a `?`, or with it.
    path_end: u16,
    /// The authority inside an absolute-form or authority-form target.
    authority: Span,
    fields: Vec<FieldSpan>,
    form: TargetForm,
    version: Version,
}

impl HeadIndex {
    /// Indexes a whole head that was taken before.
    pub(crate) fn index_again(&mut self, head: &[u8], limits: &HeadLimits) -> bool {
        parse(head, &mut Scan::default(), limits, self) == Ok(Some(head.len()))
    }

    /// Names and values of the fields of `section`, which was indexed.
    pub(super) fn fields_of<'a>(
        &self,
        section: &'a [u8],
    ) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        let named = |field: &FieldSpan| (text(field.name.of(section)), field.value.of(section));
        self.fields.iter().map(named)
    }
}

/// How far the careful path has read an unfinished head or trailer section.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scan {
    at: u16,
    line: u16,
}

impl Scan {
    pub(crate) const NEW: Self = Self { at: 0, line: 0 };

    fn set(&mut self, at: usize, line: usize) {
        self.at = u16::try_from(at).unwrap_or(u16::MAX);
        self.line = u16::try_from(line).unwrap_or(u16::MAX);
    }
}

/// Indexes the head that `input` begins with, and gives its length; `None` if its end has not come.
pub(crate) fn parse(
    input: &[u8],
    scan: &mut Scan,
    limits: &HeadLimits,
    index: &mut HeadIndex,
) -> Result<Option<usize>, Refusal> {
    if *scan == Scan::NEW
        && let Some(len) = parse_at_once(input, limits, index)
    {
        return Ok(Some(len));
    }
    parse_carefully(input, scan, limits, index)
}

/// Never inlined: what it needs would be in the quick path's way.
#[inline(never)]
fn parse_carefully(
    input: &[u8],
    scan: &mut Scan,
    limits: &HeadLimits,
    index: &mut HeadIndex,
) -> Result<Option<usize>, Refusal> {
    let Some(end) = find_end(input, scan, Section::Head, limits)? else {
        return Ok(None);
    };
    *scan = Scan::NEW;
    let head = input.get(..end).unwrap_or_default();
    let line_len = head
        .windows(2)
        .position(|pair| pair == b"\r\n")
        .unwrap_or(0);
    parse_request_line(head.get(..line_len).unwrap_or_default(), limits, index)?;
    index_fields(head, line_len.saturating_add(2), limits, index)?;
    Ok(Some(end))
}

/// Where the fields lie in `section`. False if one of them does not begin behind a CRLF: httparse takes a bare LF too.
fn index_headers(section: &[u8], headers: &[httparse::Header<'_>], index: &mut HeadIndex) -> bool {
    index.fields.clear();
    index.fields.extend(headers.iter().map(|header| FieldSpan {
        name: Span::within(section, header.name.as_bytes()),
        // An empty value may be borrowed from nowhere.
        value: if header.value.is_empty() {
            Span::default()
        } else {
            Span::within(section, header.value)
        },
    }));
    index.fields.iter().all(|field| {
        let start = usize::from(field.name.start);
        start == 0 || section.get(start.saturating_sub(2)..start) == Some(b"\r\n")
    })
}

/// Indexes the fields of `section` from byte `start` on; it ends in an empty line. Never inlined: its room for fields
/// would lie in the quick path's frame.
#[inline(never)]
pub(super) fn index_fields(
    section: &[u8],
    start: usize,
    limits: &HeadLimits,
    index: &mut HeadIndex,
) -> Result<(), Refusal> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_CEILING];
    let room = headers
        .get_mut(..limits.headers_max)
        .ok_or(Refusal::HeadTooLarge)?;
    let fields = section.get(start..).unwrap_or_default();
    match httparse::parse_headers(fields, room) {
        Ok(httparse::Status::Complete((len, parsed)))
            if len == fields.len() && index_headers(section, parsed, index) =>
        {
            Ok(())
        }
        Err(httparse::Error::TooManyHeaders) => Err(Refusal::HeadTooLarge),
        Ok(_) | Err(_) => Err(Refusal::Field),
    }
}

/// What [`find_end`] looks for the end of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    /// It begins with a request line.
    Head,
    /// It may be empty.
    Trailers,
}

/// The length of the section up to and with its empty line; every line end on the way is checked.
pub(super) fn find_end(
    input: &[u8],
    scan: &mut Scan,
    section: Section,
    limits: &HeadLimits,
) -> Result<Option<usize>, Refusal> {
    let mut line = usize::from(scan.line);
    let mut at = usize::from(scan.at);
    loop {
        let in_request_line = section == Section::Head && line == 0;
        let rest = input.get(at..).unwrap_or_default();
        let feed = rest
            .iter()
            .position(|byte| *byte == b'\n')
            .map(|found| at.saturating_add(found));
        let end = feed.map_or(input.len(), |feed| feed.saturating_add(1));
        let content = input.get(line..end).unwrap_or_default();
        if in_request_line {
            check_request_line_len(content, limits)?;
        }
        if end > limits.head_len_max {
            return Err(Refusal::HeadTooLarge);
        }
        if feed.is_none() {
            scan.set(end, line);
            return Ok(None);
        }
        let Some(content) = content.strip_suffix(b"\r\n") else {
            return Err(Refusal::LineEnd);
        };
        if in_request_line {
            parse_request_line(content, limits, &mut HeadIndex::default())?;
        } else if content.is_empty() {
            return Ok(Some(end));
        }
        line = end;
        at = end;
    }
}

/// Refuses a request line, whole or not, that has grown too long for one of its parts.
fn check_request_line_len(line: &[u8], limits: &HeadLimits) -> Result<(), Refusal> {
    let method_len = token_len(line).min(METHOD_LEN_MAX);
    match line.get(method_len) {
        // A line that ends here lacks its other parts; its method may be good.
        None | Some(b' ' | b'\r' | b'\n') => {}
        Some(_) => return Err(Refusal::Method),
    }
    let longest = method_len
        .saturating_add(limits.target_len_max)
        .saturating_add(VERSION_LEN_MAX);
    // The line's own CRLF may already be in it.
    if line.len() > longest.saturating_add(2) {
        Err(Refusal::TargetTooLong)
    } else {
        Ok(())
    }
}

/// RFC 9112 §3: `method SP request-target SP HTTP-version`, without its CRLF.
fn parse_request_line(
    line: &[u8],
    limits: &HeadLimits,
    index: &mut HeadIndex,
) -> Result<(), Refusal> {
    let mut parts = line.split(|byte| *byte == b' ');
    let method = parts.next().unwrap_or_default();
    if method.is_empty() || method.len() > METHOD_LEN_MAX || token_len(method) < method.len() {
        return Err(Refusal::Method);
    }
    let target = parts.next().ok_or(Refusal::RequestLine)?;
    let version = parts.next().ok_or(Refusal::RequestLine)?;
    if parts.next().is_some() || target.is_empty() {
        return Err(Refusal::RequestLine);
    }
    if target.len() > limits.target_len_max {
        return Err(Refusal::TargetTooLong);
    }
    index.version = parse_version(version)?;
    index.method = Span::new(0, method.len());
    let target_start = method.len().saturating_add(1);
    index.target = Span::new(target_start, target_start.saturating_add(target.len()));
    index_target(method, target, index)
}

/// RFC 9112 §2.3: `HTTP/` and two digits with a dot between them.
const fn parse_version(version: &[u8]) -> Result<Version, Refusal> {
    match version {
        b"HTTP/1.0" => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1'..=b'9'] => Ok(Version::Http11),
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
            Err(Refusal::VersionUnsupported)
        }
        _ => Err(Refusal::Version),
    }
}

/// RFC 9112 §3.2: a target has no byte that it may not have, and a form that the method takes.
fn index_target(method: &[u8], target: &[u8], index: &mut HeadIndex) -> Result<(), Refusal> {
    if target_len(target) < target.len() {
        return Err(Refusal::Target);
    }
    index_form(method, target, index)
}

/// RFC 9112 §3.2: where the path of the target ends, which of the four forms it has, and whether the method takes it.
fn index_form(method: &[u8], target: &[u8], index: &mut HeadIndex) -> Result<(), Refusal> {
    index.authority = Span::default();
    let path_len = target.iter().position(|byte| *byte == b'?');
    let path_len = path_len.unwrap_or(target.len());
    index.path_end = Span::place(usize::from(index.target.start).wrapping_add(path_len));
    let is_connect = method == b"CONNECT";
    index.form = match target {
        _ if is_connect => TargetForm::Authority,
        [b'/', ..] => TargetForm::Origin,
        b"*" if method == b"OPTIONS" => TargetForm::Asterisk,
        _ => TargetForm::Absolute,
    };
    match index.form {
        TargetForm::Origin | TargetForm::Asterisk => Ok(()),
        TargetForm::Authority => {
            index.authority = index.target;
            if is_authority_with_port(target) {
                Ok(())
            } else {
                Err(Refusal::Target)
            }
        }
        TargetForm::Absolute => {
            let scheme_len = scheme_len(target).ok_or(Refusal::Target)?;
            let rest = target.get(scheme_len..).unwrap_or_default();
            let authority_len = rest
                .iter()
                .position(|byte| matches!(byte, b'/' | b'?'))
                .unwrap_or(rest.len());
            let authority = rest.get(..authority_len).unwrap_or_default();
            // RFC 9110 §4.2.1: such a URI has a host, even where a port follows.
            if matches!(authority, [] | [b':', ..]) || !is_host(authority) {
                return Err(Refusal::Target);
            }
            let start = usize::from(index.target.start).saturating_add(scheme_len);
            index.authority = Span::new(start, start.saturating_add(authority_len));
            Ok(())
        }
    }
}

/// The length of `http://` or `https://` (RFC 9110 §4.2), whose letters have no case.
fn scheme_len(target: &[u8]) -> Option<usize> {
    [&b"http://"[..], &b"https://"[..]]
        .into_iter()
        .find(|scheme| {
            target
                .get(..scheme.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        })
        .map(<[u8]>::len)
}

#[cfg(test)]
mod tests {
    use super::{HeadIndex, HeadLimits, HeadView, METHOD_LEN_MAX, Scan, parse, parse_at_once};
    use crate::h1::refusal::Refusal;

    const LIMITS: HeadLimits = HeadLimits {
        head_len_max: 1024,
        target_len_max: 64,
        headers_max: 4,
    };

    /// The verdict when the bytes come one at a time.
    fn trickle(input: &[u8], index: &mut HeadIndex) -> Result<Option<usize>, Refusal> {
        let mut scan = Scan { at: 1, line: 0 };
        for len in 1..=input.len() {
            if let Some(end) = parse(&input[..len], &mut scan, &LIMITS, index)? {
                return Ok(Some(end));
            }
        }
        Ok(None)
    }

    #[test]
    fn a_head_in_pieces_is_read_on_from_where_it_ended() {
        let mut scan = Scan::NEW;
        let begun = b"GET / HTTP/1.1\r\nHost: a";
        let parsed = parse(begun, &mut scan, &LIMITS, &mut HeadIndex::default());
        assert_eq!(parsed, Ok(None));
        assert_eq!(scan, Scan { at: 23, line: 16 });
    }

    #[test]
    fn quick_and_careful_path_agree() {
        type Case = (&'static [u8], &'static str, Option<&'static str>);
        let heads: &[Case] = &[
            (b"GET / HTTP/1.1\r\n\r\n", "/", None),
            (
                b"GET /p? HTTP/1.1\r\nHost: a\r\nX:\r\nY: \t b c \t\r\n\r\nrest",
                "/p",
                Some(""),
            ),
            (
                b"GET http://a:80/x?y HTTP/1.0\r\nHost:a\r\n\r\n",
                "/x",
                Some("y"),
            ),
            (b"OPTIONS * HTTP/1.1\r\nHost:a\r\n\r\n", "*", None),
        ];
        for (head, path, query) in heads {
            let mut quick = HeadIndex::default();
            let mut careful = HeadIndex::default();
            let len = parse_at_once(head, &LIMITS, &mut quick);
            assert_eq!(trickle(head, &mut careful), Ok(len));
            let len = len.expect("a whole head");
            let (quick, careful) = (
                HeadView::new(&head[..len], &quick),
                HeadView::new(&head[..len], &careful),
            );
            assert_eq!(quick.method(), careful.method());
            assert_eq!(quick.target(), careful.target());
            assert_eq!(quick.path_and_query(), careful.path_and_query());
            assert_eq!((quick.path(), quick.query()), (*path, *query));
            assert_eq!((careful.path(), careful.query()), (*path, *query));
            assert_eq!(quick.authority(), careful.authority());
            assert_eq!(quick.version(), careful.version());
            assert!(
                quick.fields().eq(careful.fields()),
                "{:?}",
                String::from_utf8_lossy(head)
            );
        }
    }

    #[test]
    fn the_quick_path_takes_a_head_that_keeps_each_bound_exactly_and_none_beyond() {
        for more in [0, 1] {
            let long = |letter: &str, len: usize| letter.repeat(len + more);
            let heads = [
                format!("{} / HTTP/1.1\r\n\r\n", long("M", METHOD_LEN_MAX)),
                format!("GET /{} HTTP/1.1\r\n\r\n", long("t", 63)),
                format!("GET / HTTP/1.1\r\n{}\r\n", long("a: b\r\n", 4)),
                format!("GET / HTTP/1.1\r\na: {}\r\n\r\n", long("v", 1001)),
            ];
            assert_eq!(heads[3].len(), LIMITS.head_len_max + more);
            for head in heads {
                let taken = parse_at_once(head.as_bytes(), &LIMITS, &mut HeadIndex::default());
                assert_eq!(taken, (more == 0).then_some(head.len()), "{head:?}");
            }
        }
    }

    #[test]
    fn a_head_is_indexed_again_only_if_it_is_one_and_nothing_else() {
        let head = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n";
        let mut index = HeadIndex::default();
        assert!(index.index_again(head, &LIMITS));
        assert_eq!(HeadView::new(head, &index).target(), "/x");
        assert!(!index.index_again(&head[..head.len() - 1], &LIMITS));
        assert!(!index.index_again(&[head, &b"x"[..]].concat(), &LIMITS));
        assert!(!index.index_again(b"nonsense\r\n\r\n", &LIMITS));
    }

    #[test]
    fn a_refused_head_is_refused_alike_however_it_is_cut() {
        let long_target = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(64));
        // It has no more bytes than a good line may have, because its version is short.
        let long_target_alone = format!("GET /{} HTTP/1\r\n\r\n", "a".repeat(64));
        let long_method = format!("{}\rX / HTTP/1.1\r\n\r\n", "M".repeat(METHOD_LEN_MAX));
        let long_head = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(1024));
        let heads: &[(&[u8], Refusal)] = &[
            (b"G@T / HTTP/1.1\r\n\r\n", Refusal::Method),
            (b" / HTTP/1.1\r\n\r\n", Refusal::Method),
            (b"GET  / HTTP/1.1\r\n\r\n", Refusal::RequestLine),
            (b"GET / HTTP/1.1 \r\n\r\n", Refusal::RequestLine),
            (b"GET /\r\n\r\n", Refusal::RequestLine),
            (b"GET\r\n\r\n", Refusal::RequestLine),
            (b"GET\n\n", Refusal::LineEnd),
            (b"GET\rX / HTTP/1.1\r\n\r\n", Refusal::Method),
            (b"GET /\t HTTP/1.1\r\n\r\n", Refusal::Target),
            (b"GET /\xc3\xa9 HTTP/1.1\r\n\r\n", Refusal::Target),
            (b"GET /#x HTTP/1.1\r\n\r\n", Refusal::Target),
            (b"GET * HTTP/1.1\r\n\r\n", Refusal::Target),
            (b"GET ftp://a/ HTTP/1.1\r\n\r\n", Refusal::Target),
            (b"GET http:/// HTTP/1.1\r\n\r\n", Refusal::Target),
            (b"GET http://u@h/ HTTP/1.1\r\n\r\n", Refusal::Target),
            (b"CONNECT / HTTP/1.1\r\n\r\n", Refusal::Target),
            (b"GET / http/1.1\r\n\r\n", Refusal::Version),
            (b"GET / HTTP/1\r\n\r\n", Refusal::Version),
            (b"PRI * HTTP/2.0\r\n\r\n", Refusal::VersionUnsupported),
            (b"GET / HTTP/0.9\r\n\r\n", Refusal::VersionUnsupported),
            (b"GET / HTTP/1.1\n\r\n", Refusal::LineEnd),
            (b"GET / HTTP/1.1\r\nA: b\n\r\n", Refusal::LineEnd),
            (b"GET / HTTP/1.1\r\nA: b\r\n\n", Refusal::LineEnd),
            (b"GET / HTTP/1.1\r\nA : b\r\n\r\n", Refusal::Field),
            (b"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", Refusal::Field),
            (b"GET / HTTP/1.1\r\n: b\r\n\r\n", Refusal::Field),
            (b"GET / HTTP/1.1\r\nA: b\rc\r\n\r\n", Refusal::Field),
            (b"GET / HTTP/1.1\r\nA: \0\r\n\r\n", Refusal::Field),
            (b"GET / HTTP/1.1\r\nA: \x7f\r\n\r\n", Refusal::Field),
            (
                b"GET / HTTP/1.1\r\nA:\r\nB:\r\nC:\r\nD:\r\nE:\r\n\r\n",
                Refusal::HeadTooLarge,
            ),
            (long_method.as_bytes(), Refusal::Method),
            (long_target.as_bytes(), Refusal::TargetTooLong),
            (long_target_alone.as_bytes(), Refusal::TargetTooLong),
            (long_head.as_bytes(), Refusal::HeadTooLarge),
        ];
        for (head, refusal) in heads {
            let shown = String::from_utf8_lossy(head);
            let mut index = HeadIndex::default();
            let whole = parse(head, &mut Scan::default(), &LIMITS, &mut index);
            assert_eq!(whole, Err(*refusal), "whole: {shown:?}");
            assert_eq!(
                trickle(head, &mut index),
                Err(*refusal),
                "byte by byte: {shown:?}"
            );
        }
    }

    #[test]
    fn a_later_minor_version_is_served_as_ours() {
        let mut index = HeadIndex::default();
        let head = b"GET / HTTP/1.7\r\nHost: a\r\n\r\n";
        assert_eq!(
            parse(head, &mut Scan::default(), &LIMITS, &mut index),
            Ok(Some(head.len()))
        );
        assert_eq!(HeadView::new(head, &index).fields().len(), 1);
    }
}
