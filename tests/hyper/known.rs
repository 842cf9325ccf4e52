//! What the two are known to read differently, each with the reason why ours is right or permitted.
//!
//! An entry holds where we refuse with just this sentence, or hyper refuses what we take, and the request is of just this
//! kind. What is not in the list is a defect, or a line that is missing here.

use coldstart::sim::{Cuts, Ending, exchange_echo};

use crate::differential::{Difference, Fate};

/// A disagreement.
pub(crate) struct Known {
    pub(crate) name: &'static str,
    /// Where it stands in the standard, and why our reading is right or permitted.
    pub(crate) why: &'static str,
    stricter: Stricter,
    /// Whether the request is of this kind.
    holds: fn(&Sent<'_>) -> bool,
    /// An input that the two read differently for this reason alone: texts, each so many times.
    pub(crate) example: &'static [(&'static str, usize)],
}

/// Who refuses what the other takes.
enum Stricter {
    /// We do, with this sentence.
    We(&'static str),
    Hyper,
    /// Nobody: behind the request one of the two keeps the connection, and the other does not.
    Nobody,
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
            Stricter::Nobody => {
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
        why: "RFC 9112 §2.2: a recipient MAY recognize it; we do not, since a proxy in front may not",
        stricter: Stricter::We("a line does not end in CRLF"),
        holds: |sent| has_bare_lf(sent.section()) || has_bare_lf(sent.trailers()),
        example: &[("GET / HTTP/1.1\nHost: a\r\n\r\n", 1)],
    },
    Known {
        name: "two empty lines in front",
        why: "RFC 9112 §2.2: at least one SHOULD be ignored; the second and a bare LF are not a client's habit",
        stricter: Stricter::We("an empty line stands where a request line should"),
        holds: |sent| {
            sent.0.starts_with(b"\n")
                || sent.0.starts_with(b"\r\n\r")
                || sent.0.starts_with(b"\r\n\n")
        },
        example: &[("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 1)],
    },
    Known {
        name: "a long method",
        why: "RFC 9112 §3: longer than any that is implemented SHOULD be refused; we say 400 and not 501",
        stricter: Stricter::We("the method is no token of 1 to 32 bytes"),
        holds: |sent| sent.part(0).len() > 32,
        example: &[(
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA / HTTP/1.1\r\nHost: a\r\n\r\n",
            1,
        )],
    },
    Known {
        name: "a target of no form",
        why: "RFC 9112 §3.2: the four forms, each for its methods, have no fragment, no user and no byte above 0x7f, and \
              an origin server of http has no other scheme; a recipient SHOULD refuse an invalid request line",
        stricter: Stricter::We("the request target has a forbidden byte or form"),
        holds: |sent| !sent.has_target_of_a_form(),
        example: &[("GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 1)],
    },
    Known {
        name: "a long target",
        why: "RFC 9112 §3: longer than the server wishes to parse is 414; 8000 bytes SHOULD pass, and 8192 do",
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
        why: "RFC 6585 §5: a server may bound a head; ours is 16 KiB where hyper takes some hundred",
        stricter: Stricter::We("the header section is too large"),
        holds: |sent| sent.section().len() > 16 * 1024 || sent.trailers().len() > 16 * 1024,
        example: &[
            ("GET / HTTP/1.1\r\nHost: a\r\nX: ", 1),
            ("a", 16384),
            ("\r\n\r\n", 1),
        ],
    },
    Known {
        name: "no one host",
        why: "RFC 9112 §3.2: a request of HTTP/1.1 without Host, or any with two or a malformed one, MUST be refused",
        stricter: Stricter::We("exactly one well-formed Host is required"),
        holds: |sent| !matches!(sent.values("host")[..], [host] if is_plain_host(host)),
        example: &[("GET / HTTP/1.1\r\n\r\n", 1)],
    },
    Known {
        name: "a length said twice",
        why: "RFC 9110 §8.6: equal lengths may be taken for one, or refused",
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
        name: "a coding that is not undone",
        why: "RFC 9112 §6.1: a coding that is not understood SHOULD be answered with 501; hyper leaves it on the body",
        stricter: Stricter::We("the only transfer coding taken is chunked"),
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
        why: "RFC 9112 §6.1: chunked MUST NOT be applied twice, in one line or two, and §7 has no empty or quoted coding; the length of such \
              a body is guesswork",
        stricter: Stricter::We("Transfer-Encoding is malformed"),
        holds: |sent| sent.codings().count() > 1,
        example: &[(
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
            1,
        )],
    },
    Known {
        name: "an expectation that is not met",
        why: "RFC 9110 §10.1.1: MAY be answered with 417",
        stricter: Stricter::We("the only expectation met is 100-continue"),
        holds: |sent| sent.has("expect"),
        example: &[("GET / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n", 1)],
    },
    Known {
        name: "a large body",
        why: "RFC 9110 §15.5.14: a server may bound it; ours is 32 MiB before any of it is read",
        stricter: Stricter::We("the body is larger than this resource takes"),
        holds: |sent| sent.announces_more_than(32 * 1024 * 1024),
        example: &[(
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n",
            1,
        )],
    },
    Known {
        name: "a lax line of a chunk's size",
        why: "RFC 9112 §7.1: a size is digits alone, of which we take 16 up to 2^63, and §7.1.1 has neither control bytes nor endless \
              text in extensions. White space before the semicolon, BWS that nobody sends, is refused knowingly",
        stricter: Stricter::We("a chunk is malformed"),
        holds: |sent| !are_plain_size_lines(&sent.chunks().0),
        example: &[(
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0 \r\n\r\n",
            1,
        )],
    },
    Known {
        name: "framing in the trailers",
        why: "RFC 9110 §6.5.1: such fields MUST NOT be generated there; who merges them would frame the message anew",
        stricter: Stricter::We("a framing field stands in the trailer section"),
        holds: |sent| !sent.trailers().is_empty(),
        example: &[(
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 1\r\n\r\n",
            1,
        )],
    },
    Known {
        name: "a later minor version",
        why: "RFC 9110 §2.5: a message of a higher minor version is processed as one of the highest that is known",
        stricter: Stricter::Hyper,
        holds: |sent| {
            let minor = sent.part(2).strip_prefix(b"HTTP/1.");
            minor.is_some_and(|minor| matches!(minor, [b'2'..=b'9', ..]))
        },
        example: &[("GET / HTTP/1.2\r\nHost: a\r\n\r\n", 1)],
    },
    Known {
        name: "a byte that no URI has",
        why: "RFC 9112 §3.2: a recipient SHOULD refuse an invalid request line; browsers send such bytes, none of them ends \
              a line or a part of it, and the handler gets them as they came",
        stricter: Stricter::Hyper,
        holds: |sent| sent.part(1).iter().any(|byte| b"<>\"`".contains(byte)),
        example: &[("GET /< HTTP/1.1\r\nHost: a\r\n\r\n", 1)],
    },
    Known {
        name: "a percent-encoded host",
        why: "RFC 9110 §4.2.1: the host of an http URI is RFC 3986's, whose §3.2.2 has percent-encodings in names",
        stricter: Stricter::Hyper,
        holds: |sent| sent.authority().is_some_and(|host| host.contains(&b'%')),
        example: &[("GET http://%41/ HTTP/1.1\r\nHost: a\r\n\r\n", 1)],
    },
    Known {
        name: "a connection option beside bytes that are no token",
        why: "RFC 9110 §7.6.1: options are read member by member, and ours is there; hyper reads none of such a line",
        stricter: Stricter::Nobody,
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
        why: "RFC 9112 §2.2: no recipient has to judge what has not come; we judge fields once, when all of them are there",
        stricter: Stricter::Hyper,
        holds: |sent| sent.has_open_section() && is_refused(&[sent.0, b"\r\n\r\n"].concat()),
        example: &[("GET / HTTP/1.1\r\nX y", 1)],
    },
];

/// A request as it was sent, in pieces that are cut leniently and never judged.
pub(crate) struct Sent<'a>(&'a [u8]);

impl<'a> Sent<'a> {
    /// The bytes behind empty lines.
    fn begun(&self) -> &'a [u8] {
        let is_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
        let start = self.0.iter().position(|byte| !is_end(byte));
        &self.0[start.unwrap_or(self.0.len())..]
    }

    /// The head, up to and with the empty line.
    fn section(&self) -> &'a [u8] {
        section(self.begun())
    }

    /// Whether the head, or the trailer section, still waits for its empty line.
    fn has_open_section(&self) -> bool {
        let is_open = |section: &[u8]| !section.ends_with(b"\n\r\n") && section != b"\r\n";
        let (sizes, behind) = self.chunks();
        is_open(self.section())
            || (sizes.iter().any(|line| size(line) == 0) && is_open(section(behind)))
    }

    /// The lines of the head without their ends.
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

    /// The values of all fields of this name.
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

    /// What stands between the scheme and the path.
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

    /// The size lines of a chunked body, without their CRLF, and what stands behind the last of them.
    fn chunks(&self) -> (Vec<&'a [u8]>, &'a [u8]) {
        let mut lines = Vec::new();
        let mut rest = &self.begun()[self.section().len()..];
        if !self.has("transfer-encoding") {
            return (lines, &[]);
        }
        while let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") {
            let (line, behind) = (&rest[..end], &rest[end + 2..]);
            lines.push(line);
            match size(line) {
                0 => return (lines, behind),
                size => rest = behind.get(size.saturating_add(2)..).unwrap_or_default(),
            }
        }
        // One that has not ended yet.
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

/// Up to and with the first empty line.
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

/// A name without any of the rarer bytes, and perhaps a port.
fn is_plain_host(host: &[u8]) -> bool {
    let mut parts = host.splitn(2, |byte| *byte == b':');
    let is_in = |byte: &u8| byte.is_ascii_alphanumeric() || b"-.".contains(byte);
    let name = parts.next().unwrap_or_default();
    let port = parts.next().unwrap_or_default();
    name.iter().all(is_in) && port.iter().all(u8::is_ascii_digit)
}

/// 1 to 16 digits each, and extensions of 4 KiB together without a control byte.
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
        let is_begun = extension.is_empty() || extension.starts_with(b";");
        let digits = std::str::from_utf8(&line[..digits]).unwrap_or_default();
        let size = u64::from_str_radix(digits, 16);
        let is_size = digits.len() <= 16 && size.is_ok_and(|size| size <= 1 << 63);
        is_size && is_begun && is_text && extensions_len <= 4096
    })
}

/// How long the chunk behind this line is; 0 where the line does not say.
fn size(line: &[u8]) -> usize {
    let digits = line
        .iter()
        .take_while(|byte| byte.is_ascii_hexdigit())
        .count();
    let digits = std::str::from_utf8(&line[..digits]).unwrap_or_default();
    usize::from_str_radix(digits, 16).unwrap_or(0)
}
