//! Inputs that this server and hyper are known to read differently, each with the reason why our reading is correct
//! or allowed.
//!
//! An entry matches if we refuse with exactly this reason, or hyper refuses what we accept, and the request is of
//! this kind. Any other difference is a defect, or an entry missing here.

use coldstart::sim::{Cuts, Ending, exchange_echo};

use crate::differential::{Difference, Fate, difference};

/// Compares both readings of `input`.
///
/// # Errors
///
/// If the two differ and no entry of [`KNOWN`] explains it.
pub(crate) fn compare(input: &[u8]) -> Result<(), String> {
    let Some(difference) = difference(input) else {
        return Ok(());
    };
    match KNOWN.iter().find(|known| known.explains(&difference)) {
        Some(_) => Ok(()),
        None => Err(difference.details),
    }
}

/// The check for the fuzzer.
pub(crate) fn check(input: &[u8]) {
    assert_eq!(compare(input), Ok(()), "the two read the input differently");
}

/// A known difference.
pub(crate) struct Known {
    pub(crate) name: &'static str,
    /// The section of the RFC, and why our reading is correct or allowed.
    pub(crate) why: &'static str,
    stricter: Stricter,
    /// Whether the request is of this kind.
    holds: fn(&Sent<'_>) -> bool,
    /// An input that the two read differently for this reason alone: texts, each repeated this many times.
    pub(crate) example: &'static [(&'static str, usize)],
}

/// Which of the two refuses what the other accepts.
enum Stricter {
    /// We do, with this reason.
    We(&'static str),
    Hyper,
    /// Neither: after the request one keeps the connection and the other does not.
    Neither,
}

impl Known {
    pub(crate) fn explains(&self, difference: &Difference<'_>) -> bool {
        let is_taken = |fate| matches!(fate, Fate::Served | Fate::Unfinished | Fate::Absent);
        let is_so = match self.stricter {
            Stricter::We(reason) => {
                difference.ours == Fate::Refused
                    && difference.reason == reason
                    && is_taken(difference.hypers)
            }
            Stricter::Hyper => is_taken(difference.ours) && difference.hypers == Fate::Refused,
            Stricter::Neither => {
                let is_kept = |fate| matches!(fate, Fate::Served | Fate::Unfinished);
                (is_kept(difference.ours) && difference.hypers == Fate::Absent)
                    || (difference.ours == Fate::Absent && is_kept(difference.hypers))
            }
        };
        is_so && (self.holds)(&Sent(difference.bytes))
    }
}

pub(crate) const KNOWN: &[Known] = &[
    Known {
        name: "a bare LF ends a line",
        why: "RFC 9112 §2.2: a recipient MAY recognize it; we do not, since a proxy in front of us may not",
        stricter: Stricter::We("a line does not end in CRLF"),
        holds: |sent| has_bare_lf(sent.section()) || has_bare_lf(sent.trailers()),
        example: &[("GET / HTTP/1.1\nHost: a\r\n\r\n", 1)],
    },
    Known {
        name: "two empty lines before a request",
        why: "RFC 9112 §2.2: at least one SHOULD be ignored; no client sends a second one, or a bare LF",
        stricter: Stricter::We("an unexpected empty line precedes the request line"),
        holds: |sent| {
            sent.0.starts_with(b"\n")
                || sent.0.starts_with(b"\r\n\r")
                || sent.0.starts_with(b"\r\n\n")
        },
        example: &[("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 1)],
    },
    Known {
        name: "a long method",
        why: "RFC 9112 §3: one longer than any implemented SHOULD get 501; we send 400",
        stricter: Stricter::We("the method is not a token of 1 to 32 bytes"),
        holds: |sent| sent.part(0).len() > 32,
        example: &[(
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA / HTTP/1.1\r\nHost: a\r\n\r\n",
            1,
        )],
    },
    Known {
        name: "a target of no form",
        why: "RFC 9112 §3.2: the four forms, each for its methods, have no fragment, no userinfo and no byte above 0x7f, \
              and an origin server has only the http scheme; a recipient SHOULD refuse an invalid request line",
        stricter: Stricter::We("the request target has an invalid byte or form"),
        holds: |sent| !sent.has_target_of_a_form(),
        example: &[("GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 1)],
    },
    Known {
        name: "a long target",
        why: "RFC 9112 §3: a target longer than the server wishes to parse gets 414; 8000 bytes SHOULD be accepted, and we accept 8192",
        stricter: Stricter::We("the request target is too long"),
        holds: |sent| sent.lines().next().unwrap_or_default().len() > 8192,
        example: &[
            ("GET /", 1),
            ("a", 8192),
            (" HTTP/1.1\r\nHost: a\r\n\r\n", 1),
        ],
    },
    Known {
        name: "a large head",
        why: "RFC 6585 §5: a server may limit a head; we accept 16 KiB, hyper some hundred",
        stricter: Stricter::We("the header section is too large"),
        holds: |sent| sent.section().len() > 16 * 1024 || sent.trailers().len() > 16 * 1024,
        example: &[
            ("GET / HTTP/1.1\r\nHost: a\r\nX: ", 1),
            ("a", 16384),
            ("\r\n\r\n", 1),
        ],
    },
    Known {
        name: "not exactly one Host",
        why: "RFC 9112 §3.2: an HTTP/1.1 request without Host, and any with two or with a malformed one, MUST be refused",
        stricter: Stricter::We("exactly one valid Host field is required"),
        holds: |sent| !matches!(sent.values("host")[..], [host] if is_plain_host(host)),
        example: &[("GET / HTTP/1.1\r\n\r\n", 1)],
    },
    Known {
        name: "a length given twice",
        why: "RFC 9110 §8.6: equal lengths may be merged or refused",
        stricter: Stricter::We("Content-Length is not exactly one number"),
        holds: |sent| sent.values("content-length").len() > 1,
        example: &[(
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
            1,
        )],
    },
    Known {
        name: "a length and a coding",
        why: "RFC 9112 §6.1: a server MAY reject a request with both",
        stricter: Stricter::We("the length of the body is ambiguous"),
        holds: |sent| sent.has("content-length") && sent.has("transfer-encoding"),
        example: &[(
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            1,
        )],
    },
    Known {
        name: "an unknown transfer coding",
        why: "RFC 9112 §6.1: a coding that is not understood SHOULD get 501; hyper leaves it on the body",
        stricter: Stricter::We("the only supported transfer coding is chunked"),
        holds: |sent| {
            sent.codings()
                .any(|coding| !coding.eq_ignore_ascii_case(b"chunked"))
        },
        example: &[(
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            1,
        )],
    },
    Known {
        name: "a malformed list of codings",
        why: "RFC 9112 §6.1: chunked MUST NOT be applied twice, on one line or two, and §7 has no empty or quoted coding; the \
              length of such a body is ambiguous",
        stricter: Stricter::We("Transfer-Encoding is malformed"),
        holds: |sent| sent.codings().count() > 1,
        example: &[(
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
            1,
        )],
    },
    Known {
        name: "an unknown expectation",
        why: "RFC 9110 §10.1.1: a server MAY send 417",
        stricter: Stricter::We("the only supported expectation is 100-continue"),
        holds: |sent| sent.has("expect"),
        example: &[("GET / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n", 1)],
    },
    Known {
        name: "a large body",
        why: "RFC 9110 §15.5.14: a server may limit it; we accept 32 MiB, checked before any of it is read",
        stricter: Stricter::We("the body is larger than this resource accepts"),
        holds: |sent| sent.announces_more_than(32 * 1024 * 1024),
        example: &[(
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n",
            1,
        )],
    },
    Known {
        name: "a lenient chunk size line",
        why: "RFC 9112 §7.1: a size is digits alone, of which we accept 16 up to 2^63, and §7.1.1 has whitespace only \
              before a semicolon and no control bytes in extensions, whose length we limit",
        stricter: Stricter::We("a chunk is malformed"),
        holds: |sent| !are_plain_size_lines(&sent.chunks().0),
        example: &[(
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0 \r\n\r\n",
            1,
        )],
    },
    Known {
        name: "framing in the trailers",
        why: "RFC 9110 §6.5.1: such fields MUST NOT be generated there; a recipient that merges them would change the framing",
        stricter: Stricter::We("a framing field is not allowed in the trailer section"),
        holds: |sent| !sent.trailers().is_empty(),
        example: &[(
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 1\r\n\r\n",
            1,
        )],
    },
    Known {
        name: "a later minor version",
        why: "RFC 9110 §2.5: a message with a higher minor version is processed as the highest known one",
        stricter: Stricter::Hyper,
        holds: |sent| {
            let minor = sent.part(2).strip_prefix(b"HTTP/1.");
            minor.is_some_and(|minor| matches!(minor, [b'2'..=b'9', ..]))
        },
        example: &[("GET / HTTP/1.2\r\nHost: a\r\n\r\n", 1)],
    },
    Known {
        name: "a byte not allowed in a URI",
        why: "RFC 9112 §3.2: a recipient SHOULD refuse an invalid request line; browsers send such bytes, none of \
              them is a delimiter of the line, and the handler gets them unchanged",
        stricter: Stricter::Hyper,
        holds: |sent| sent.part(1).iter().any(|byte| b"<>\"`".contains(byte)),
        example: &[("GET /< HTTP/1.1\r\nHost: a\r\n\r\n", 1)],
    },
    Known {
        name: "a percent-encoded host",
        why: "RFC 9110 §4.2.1: the host of an http URI is that of RFC 3986, whose §3.2.2 allows percent-encoding",
        stricter: Stricter::Hyper,
        holds: |sent| sent.authority().is_some_and(|host| host.contains(&b'%')),
        example: &[("GET http://%41/ HTTP/1.1\r\nHost: a\r\n\r\n", 1)],
    },
    Known {
        name: "a connection option next to bytes that are not a token",
        why: "RFC 9110 §7.6.1: options are read one by one, and one of them is known; hyper ignores such a line",
        stricter: Stricter::Neither,
        holds: |sent| {
            let values = sent.values("connection");
            values.iter().any(|value| !value.is_ascii())
        },
        example: &[(
            "GET / HTTP/1.0\r\nConnection: keep-alive, \u{e9}\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            1,
        )],
    },
    Known {
        name: "a fault in a section that has not ended",
        why: "RFC 9112 §2.2: a recipient need not validate an incomplete section; we check fields once all of them have arrived",
        stricter: Stricter::Hyper,
        holds: |sent| sent.has_open_section() && is_refused(&[sent.0, b"\r\n\r\n"].concat()),
        example: &[("GET / HTTP/1.1\r\nX y", 1)],
    },
];

/// A request as it was sent, split leniently and without validation.
pub(crate) struct Sent<'a>(&'a [u8]);

impl<'a> Sent<'a> {
    /// The bytes after empty lines.
    fn begun(&self) -> &'a [u8] {
        let is_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
        let start = self.0.iter().position(|byte| !is_end(byte));
        &self.0[start.unwrap_or(self.0.len())..]
    }

    /// The head, including the empty line.
    fn section(&self) -> &'a [u8] {
        section(self.begun())
    }

    /// Whether the head or the trailer section still lacks its empty line.
    fn has_open_section(&self) -> bool {
        let is_open = |section: &[u8]| !section.ends_with(b"\n\r\n") && section != b"\r\n";
        let (sizes, after) = self.chunks();
        is_open(self.section())
            || (sizes.iter().any(|line| size(line) == 0) && is_open(section(after)))
    }

    /// The lines of the head, without line ends.
    fn lines(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let lines = self.section().split(|byte| *byte == b'\n');
        lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line))
    }

    /// A part of the request line.
    fn part(&self, number: usize) -> &'a [u8] {
        let line = self.lines().next().unwrap_or_default();
        line.split(|byte| *byte == b' ')
            .nth(number)
            .unwrap_or_default()
    }

    /// The values of all fields with this name.
    fn values(&self, name: &str) -> Vec<&'a [u8]> {
        let fields = self.lines().skip(1).filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            Some((&line[..colon], line[colon + 1..].trim_ascii()))
        });
        let named = fields.filter(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes()));
        named.map(|(_, value)| value).collect()
    }

    fn has(&self, name: &str) -> bool {
        !self.values(name).is_empty()
    }

    fn codings(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let lines = self.values("transfer-encoding").into_iter();
        lines.flat_map(|line| line.split(|byte| *byte == b',').map(<[u8]>::trim_ascii))
    }

    /// The bytes between the scheme and the path.
    fn authority(&self) -> Option<&'a [u8]> {
        let target = self.part(1);
        let is_begun = |scheme: &&str| {
            let start = target.get(..scheme.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(scheme.as_bytes()))
        };
        let scheme = ["http://", "https://"].into_iter().find(is_begun)?;
        target[scheme.len()..]
            .split(|byte| b"/?".contains(byte))
            .next()
    }

    fn has_target_of_a_form(&self) -> bool {
        let target = self.part(1);
        let is_plain = target
            .iter()
            .all(|byte| byte.is_ascii_graphic() && *byte != b'#');
        is_plain
            && self.part(0) != b"CONNECT"
            && (target.starts_with(b"/")
                || (target == b"*" && self.part(0) == b"OPTIONS")
                || self
                    .authority()
                    .is_some_and(|host| !host.is_empty() && host[0] != b':' && is_plain_host(host)))
    }

    /// The size lines of a chunked body without CRLF, and the bytes after the last one.
    fn chunks(&self) -> (Vec<&'a [u8]>, &'a [u8]) {
        let mut lines = Vec::new();
        let mut rest = &self.begun()[self.section().len()..];
        if !self.has("transfer-encoding") {
            return (lines, &[]);
        }
        while let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") {
            let (line, after) = (&rest[..end], &rest[end + 2..]);
            lines.push(line);
            match size(line) {
                0 => return (lines, after),
                size => rest = after.get(size.saturating_add(2)..).unwrap_or_default(),
            }
        }
        // A size line that has not ended.
        lines.extend(Some(rest).filter(|rest| !rest.is_empty()));
        (lines, &[])
    }

    fn trailers(&self) -> &'a [u8] {
        section(self.chunks().1)
    }

    fn announces_more_than(&self, len: usize) -> bool {
        let number = |value: &[u8]| std::str::from_utf8(value).ok()?.parse().ok();
        let length = self
            .values("content-length")
            .first()
            .copied()
            .and_then(number);
        let sizes: Vec<usize> = self.chunks().0.into_iter().map(size).collect();
        let sum = sizes.into_iter().fold(0, usize::saturating_add);
        length.unwrap_or(sum) > len
    }
}

fn is_refused(input: &[u8]) -> bool {
    let exchange = exchange_echo(input, Cuts::Whole, Ending::EndOfInput);
    exchange.refused.is_some()
}

/// The bytes up to and including the first empty line.
fn section(bytes: &[u8]) -> &[u8] {
    let mut end = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        end += line.len();
        if matches!(line, b"\n" | b"\r\n") {
            break;
        }
    }
    &bytes[..end]
}

fn has_bare_lf(bytes: &[u8]) -> bool {
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
    lines.any(|line| line.ends_with(b"\n") && !line.ends_with(b"\r\n"))
}

/// A host name without rarer bytes, and an optional port.
fn is_plain_host(host: &[u8]) -> bool {
    let mut parts = host.splitn(2, |byte| *byte == b':');
    let is_in = |byte: &u8| byte.is_ascii_alphanumeric() || b"-.".contains(byte);
    let name = parts.next().unwrap_or_default();
    let port = parts.next().unwrap_or_default();
    name.iter().all(is_in) && port.iter().all(u8::is_ascii_digit)
}

/// 1 to 16 digits each, and extensions of at most 4 KiB in total without a control byte.
fn are_plain_size_lines(lines: &[&[u8]]) -> bool {
    let mut extensions_len = 0;
    lines.iter().all(|line| {
        let digits = line
            .iter()
            .take_while(|byte| byte.is_ascii_hexdigit())
            .count();
        let extension = &line[digits..];
        extensions_len += extension.len();
        let is_text = extension
            .iter()
            .all(|byte| *byte == b'\t' || !byte.is_ascii_control());
        let is_begun = extension.is_empty() || extension.trim_ascii_start().starts_with(b";");
        let digits = std::str::from_utf8(&line[..digits]).unwrap_or_default();
        let size = u64::from_str_radix(digits, 16);
        let is_size = digits.len() <= 16 && size.is_ok_and(|size| size <= 1 << 63);
        is_size && is_begun && is_text && extensions_len <= 4096
    })
}

/// The size of the chunk after this line, or 0 if the line has none.
fn size(line: &[u8]) -> usize {
    let digits = line
        .iter()
        .take_while(|byte| byte.is_ascii_hexdigit())
        .count();
    let digits = std::str::from_utf8(&line[..digits]).unwrap_or_default();
    usize::from_str_radix(digits, 16).unwrap_or(0)
}
