//! Mutates requests so that the verdict is known.

use crate::grammar::{Made, MadeBody, field_line, joined};
use crate::random::Random;

/// A mutation: its name, its function (which returns `None` if it does not apply), and the statuses it may lead to.
pub(crate) type Mutation = (
    &'static str,
    fn(&mut Random, &Made) -> Option<Vec<u8>>,
    &'static [u16],
);

pub(crate) const MUTATIONS: &[Mutation] = &[
    (
        "a bare LF ends a line",
        |random, made| line_end(random, made, b"\n"),
        &[400],
    ),
    (
        "a bare CR ends a line",
        |random, made| line_end(random, made, b"\r"),
        &[400],
    ),
    (
        "CR CR LF ends a line",
        |random, made| line_end(random, made, b"\r\r\n"),
        &[400],
    ),
    (
        "LF CR ends a line",
        |random, made| line_end(random, made, b"\n\r"),
        &[400],
    ),
    (
        "a line is folded",
        |random, made| line_end(random, made, b"\r\n "),
        &[400],
    ),
    (
        "a byte is not allowed in a token",
        |random, made| in_method(random, made, b"\"(),/;<=>?@[\\]{}\x7f\0\x80\xff"),
        &[400],
    ),
    (
        "the method is too long",
        |_, made| with_line(made, &[&[b'A'; 33][..], b" / HTTP/1.1"].concat()),
        &[400],
    ),
    (
        "the target is too long",
        |_, made| with_line(made, &[b"GET /", &[b'a'; 8192][..], b" HTTP/1.1"].concat()),
        &[414],
    ),
    (
        "a byte is not allowed in a target",
        |random, made| in_target(random, made, b" \t\0\x1f\x7f\x80\xff#"),
        &[400],
    ),
    (
        "the version is malformed",
        |random, made| {
            version(
                random,
                made,
                &[
                    "http/1.1",
                    "HTTP/1",
                    "HTTP/1.1 ",
                    "HTTP/1.10",
                    "HTTP 1.1",
                    "",
                ],
            )
        },
        &[400],
    ),
    (
        "the version is not supported",
        |random, made| {
            version(
                random,
                made,
                &["HTTP/2.0", "HTTP/0.9", "HTTP/3.1", "HTTP/9.9"],
            )
        },
        &[505],
    ),
    (
        "a line has no colon",
        |random, made| with_field(random, made, b"X-No-Colon"),
        &[400],
    ),
    (
        "a space is before a colon",
        |random, made| with_field(random, made, b"X : y"),
        &[400],
    ),
    (
        "a name is empty",
        |random, made| with_field(random, made, b": y"),
        &[400],
    ),
    (
        "a name has a control byte",
        |random, made| with_field(random, made, b"X\x0b: y"),
        &[400],
    ),
    (
        "a value has a NUL",
        |random, made| with_field(random, made, b"X: \0"),
        &[400],
    ),
    (
        "a value has DEL",
        |random, made| with_field(random, made, b"X: a\x7fb"),
        &[400],
    ),
    (
        "a second host",
        |random, made| with_field(random, made, b"HOST: a"),
        &[400],
    ),
    ("no host", no_host, &[400]),
    (
        "a length is malformed",
        |random, made| {
            unframed(
                random,
                made,
                &[
                    b"+1",
                    b"1 1",
                    b"1,1",
                    b"0x1",
                    b"",
                    b"-1",
                    b"18446744073709551616",
                ],
            )
        },
        &[400],
    ),
    (
        "a length next to another framing",
        |random, made| framed(random, made, b"Content-Length: 1"),
        &[400],
    ),
    (
        "a coding next to another framing",
        |random, made| framed(random, made, b"Transfer-Encoding: chunked"),
        &[400],
    ),
    (
        "a coding is not supported",
        |random, made| {
            coded(
                random,
                made,
                &[b"gzip", b"identity", b"gzip, chunked", b"xchunked"],
            )
        },
        &[501],
    ),
    (
        "a coding is malformed",
        |random, made| {
            coded(
                random,
                made,
                &[
                    b"chunked, gzip",
                    b",chunked",
                    b"",
                    b"\"chunked\"",
                    b"chunked;x",
                ],
            )
        },
        &[400],
    ),
    ("an expectation is not supported", expecting, &[417]),
    (
        "too many fields",
        |_, made| with_fields(made, &vec![b"X:".to_vec(); 101]),
        &[431],
    ),
    (
        "a head is too large",
        |_, made| with_fields(made, &[[b"X:", &[b'a'; 16384][..]].concat()]),
        &[431],
    ),
    (
        "a size is malformed",
        |random, made| {
            size(
                random,
                made,
                &[
                    "",
                    "g",
                    " 1",
                    "1 ",
                    "+1",
                    "0x1",
                    "1\t",
                    "10000000000000001",
                    "ffffffffffffffff",
                ],
            )
        },
        &[400],
    ),
    (
        "a size is too large",
        |random, made| size(random, made, &["8000000000000000", "2000001"]),
        &[413],
    ),
    (
        "a chunk is too long",
        |_, made| chunk_content(made, b"x"),
        &[400],
    ),
    (
        "an extension has a bare LF",
        |random, made| size(random, made, &["1;\n", "1;a\nb", "1;\0", "1;\r"]),
        &[400],
    ),
    (
        "framing in the trailers",
        |random, made| trailer(random, made, b"content-length: 1"),
        &[400],
    ),
    (
        "a trailer is malformed",
        |random, made| trailer(random, made, b"X : y"),
        &[400],
    ),
];

fn line_end(random: &mut Random, made: &Made, end: &[u8]) -> Option<Vec<u8>> {
    let lines = made.head();
    // A fold after the last field would be a line of its own, with no field after it to fold.
    let at = random.below(lines.len() - 1);
    let mut bytes = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        bytes.extend(line);
        bytes.extend(if number == at { end } else { b"\r\n" });
    }
    bytes.extend(b"\r\n");
    bytes.extend(made.body_bytes());
    Some(bytes)
}

fn with_line(made: &Made, line: &[u8]) -> Option<Vec<u8>> {
    let mut lines = made.head();
    lines[0] = line.to_vec();
    Some([joined(&lines), made.body_bytes()].concat())
}

fn in_method(random: &mut Random, made: &Made, from: &[u8]) -> Option<Vec<u8>> {
    let mut line = made.request_line();
    line.insert(random.below(made.method.len() + 1), random.pick(from));
    with_line(made, &line)
}

fn in_target(random: &mut Random, made: &Made, from: &[u8]) -> Option<Vec<u8>> {
    let mut line = made.request_line();
    let at = made.method.len() + 1 + random.below(made.target.len() + 1);
    line.insert(at, random.pick(from));
    with_line(made, &line)
}

fn version(random: &mut Random, made: &Made, from: &[&'static str]) -> Option<Vec<u8>> {
    let made = Made {
        version: random.pick(from),
        ..made.clone()
    };
    Some(made.bytes())
}

fn with_fields(made: &Made, more: &[Vec<u8>]) -> Option<Vec<u8>> {
    let mut lines = made.head();
    lines.extend(more.iter().cloned());
    Some([joined(&lines), made.body_bytes()].concat())
}

fn with_field(random: &mut Random, made: &Made, line: &[u8]) -> Option<Vec<u8>> {
    let mut lines = made.head();
    lines.insert(1 + random.below(lines.len()), line.to_vec());
    Some([joined(&lines), made.body_bytes()].concat())
}

fn no_host(_: &mut Random, made: &Made) -> Option<Vec<u8>> {
    let mut made = made.clone();
    made.fields.retain(|(name, _)| name != b"hOsT");
    (made.version != "HTTP/1.0").then(|| made.bytes())
}

fn unframed(random: &mut Random, made: &Made, lengths: &[&[u8]]) -> Option<Vec<u8>> {
    let line = [&b"Content-Length: "[..], random.pick(lengths)].concat();
    matches!(made.body, MadeBody::None).then(|| with_field(random, made, &line))?
}

fn framed(random: &mut Random, made: &Made, line: &[u8]) -> Option<Vec<u8>> {
    (!matches!(made.body, MadeBody::None)).then(|| with_field(random, made, line))?
}

fn coded(random: &mut Random, made: &Made, codings: &[&[u8]]) -> Option<Vec<u8>> {
    let line = [&b"Transfer-Encoding: "[..], random.pick(codings)].concat();
    let is_free = matches!(made.body, MadeBody::None) && made.version != "HTTP/1.0";
    is_free.then(|| with_field(random, made, &line))?
}

fn expecting(random: &mut Random, made: &Made) -> Option<Vec<u8>> {
    (made.version != "HTTP/1.0").then(|| with_field(random, made, b"Expect: x"))?
}

/// The request, its first chunk replaced by one with one of these size lines.
fn size(random: &mut Random, made: &Made, sizes: &[&str]) -> Option<Vec<u8>> {
    let MadeBody::Chunked {
        mut chunks,
        trailers,
    } = made.body.clone()
    else {
        return None;
    };
    chunks.insert(0, (random.pick(sizes).as_bytes().to_vec(), b"x".to_vec()));
    Some(
        Made {
            body: MadeBody::Chunked { chunks, trailers },
            ..made.clone()
        }
        .bytes(),
    )
}

fn chunk_content(made: &Made, more: &[u8]) -> Option<Vec<u8>> {
    let MadeBody::Chunked {
        mut chunks,
        trailers,
    } = made.body.clone()
    else {
        return None;
    };
    chunks.last_mut()?.1.extend(more);
    Some(
        Made {
            body: MadeBody::Chunked { chunks, trailers },
            ..made.clone()
        }
        .bytes(),
    )
}

fn trailer(random: &mut Random, made: &Made, line: &[u8]) -> Option<Vec<u8>> {
    let MadeBody::Chunked { chunks, trailers } = &made.body else {
        return None;
    };
    let without_trailers = MadeBody::Chunked {
        chunks: chunks.clone(),
        trailers: Vec::new(),
    };
    let ended = Made {
        body: without_trailers,
        ..made.clone()
    };
    let mut lines: Vec<_> = trailers.iter().map(field_line).collect();
    lines.insert(random.below(lines.len() + 1), line.to_vec());
    let bytes = ended.bytes();
    let without_empty_line = &bytes[..bytes.len() - 2];
    Some([without_empty_line, &joined(&lines)].concat())
}

/// Loses, doubles, moves or replaces bytes, with a preference for significant ones.
pub(crate) fn damage(random: &mut Random, input: &mut Vec<u8>) {
    let at = random.below(input.len());
    let byte = random.pick(b"\r\n \t:;,0123456789afAF/\0\x7f\x80\xffHTTP.-+\"");
    match random.below(6) {
        0 => input.insert(at, byte),
        1 if !input.is_empty() => input[at] = byte,
        2 if !input.is_empty() => drop(input.remove(at)),
        3 => input.truncate(at),
        4 => {
            let end = (at + random.below(12)).min(input.len());
            let piece = input[at..end].to_vec();
            let to = random.below(input.len());
            drop(input.splice(to..to, piece));
        }
        _ => {
            let end = (at + random.below(12)).min(input.len());
            drop(input.drain(at..end));
        }
    }
}
