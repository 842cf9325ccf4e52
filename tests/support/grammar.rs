//! Generates requests from the grammar of RFC 9112 with a seed.
//!
//! A third implementation of the grammar: it writes what `h1` and the reference only read.

use crate::random::Random;

const TOKEN: &[u8] = b"!#$%&'*+-.^_`|~019azAZ";
const TARGET: &[u8] = b"abz019-._~%!$&'()*+,;=:@/?\"<>[]{}|\\^`";
const VALUE: &[u8] = b"az09 \t:,;=\"(){}[]\\/@\x80\xe9\xff";
const CONTENT_BYTES: &[u8] = b"\0\r\n 0aGET/:\xff";
const EXTENSION: &[u8] = b"a=\"; \t,\\\xe9";

/// A request in parts, each of which can be mutated.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) method: Vec<u8>,
    pub(crate) target: Vec<u8>,
    pub(crate) version: &'static str,
    /// Names, the whitespace around each value, and the values.
    pub(crate) fields: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) body: MadeBody,
}

#[derive(Clone, Debug)]
pub(crate) enum MadeBody {
    None,
    Length(Vec<u8>),
    Chunked {
        /// Size lines and content.
        chunks: Vec<(Vec<u8>, Vec<u8>)>,
        trailers: Vec<(Vec<u8>, Vec<u8>)>,
    },
}

impl Made {
    pub(crate) fn new(random: &mut Random) -> Self {
        let version = random.pick(&["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/1.4"]);
        let mut method = random
            .pick(&[&b"GET"[..], b"POST", b"HEAD", b"OPTIONS"])
            .to_vec();
        method.extend(bytes(random, TOKEN, 4));
        let mut target = random
            .pick(&[&b"/"[..], b"/", b"http://a", b"https://[::1]:1/"])
            .to_vec();
        if target != b"http://a" || random.below(2) == 0 {
            target.push(b'/');
            target.extend(bytes(random, TARGET, 20));
        }
        let mut made = Self {
            method,
            target,
            version,
            fields: made_fields(random, b"X-"),
            body: MadeBody::None,
        };
        let host = random.pick(&[&b"a"[..], b"a.b:80", b"", b"[::1]", b"a_%41:"]);
        made.insert(random, b"hOsT", host);
        if version == "HTTP/1.0" || random.below(4) == 0 {
            let option = random.pick(&[&b"keep-alive"[..], b"X, Keep-Alive", b", KEEP-ALIVE ,"]);
            made.insert(random, b"Connection", option);
        }
        made.add_body(random);
        if random.below(5) == 0 {
            made.insert(random, b"expect", b"100-Continue");
        }
        made
    }

    fn insert(&mut self, random: &mut Random, name: &[u8], value: &[u8]) {
        let at = random.below(self.fields.len() + 1);
        self.fields.insert(at, (name.to_vec(), value.to_vec()));
    }

    fn add_body(&mut self, random: &mut Random) {
        match random.below(3) {
            1 => {
                let content = bytes(random, CONTENT_BYTES, 60);
                let zeros = "0".repeat(random.below(4));
                self.insert(
                    random,
                    b"Content-Length",
                    format!("{zeros}{}", content.len()).as_bytes(),
                );
                self.body = MadeBody::Length(content);
            }
            2 if self.version != "HTTP/1.0" => {
                let coding = random.pick(&[&b"chunked"[..], b"Chunked", b"\t CHUNKED "]);
                self.insert(random, b"transfer-ENCODING", coding);
                let chunks = (0..random.below(4)).map(|_| made_chunk(random)).collect();
                let trailers = made_fields(random, b"T-");
                self.body = MadeBody::Chunked { chunks, trailers };
            }
            _ => {}
        }
    }

    /// The line without its line end.
    pub(crate) fn request_line(&self) -> Vec<u8> {
        [
            &self.method[..],
            b" ",
            &self.target,
            b" ",
            self.version.as_bytes(),
        ]
        .concat()
    }

    /// The lines of the head, without line ends and without the empty line.
    pub(crate) fn head(&self) -> Vec<Vec<u8>> {
        let mut lines = vec![self.request_line()];
        lines.extend(self.fields.iter().map(field_line));
        lines
    }

    pub(crate) fn body_bytes(&self) -> Vec<u8> {
        match &self.body {
            MadeBody::None => Vec::new(),
            MadeBody::Length(content) => content.clone(),
            MadeBody::Chunked { chunks, trailers } => {
                let mut bytes = Vec::new();
                for (size, content) in chunks {
                    bytes.extend([size, &b"\r\n"[..], content, b"\r\n"].concat());
                }
                bytes.extend(b"0\r\n");
                bytes.extend(joined(&trailers.iter().map(field_line).collect::<Vec<_>>()));
                bytes
            }
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        [joined(&self.head()), self.body_bytes()].concat()
    }
}

/// Lines with their ends, and the empty line.
pub(crate) fn joined(lines: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = lines.join(&b"\r\n"[..]);
    if !lines.is_empty() {
        bytes.extend(b"\r\n");
    }
    bytes.extend(b"\r\n");
    bytes
}

pub(crate) fn field_line(field: &(Vec<u8>, Vec<u8>)) -> Vec<u8> {
    // The whitespace around a value depends on the field alone, so that a request is always written the same.
    let around: &[u8] = if field.0.len().is_multiple_of(3) {
        b""
    } else {
        b" "
    };
    [&field.0[..], b":", around, &field.1, around].concat()
}

fn made_fields(random: &mut Random, prefix: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let made = |random: &mut Random| {
        let name = [prefix, &bytes(random, TOKEN, 8)].concat();
        (name, bytes(random, VALUE, 20))
    };
    (0..random.below(5)).map(|_| made(random)).collect()
}

fn made_chunk(random: &mut Random) -> (Vec<u8>, Vec<u8>) {
    let content = [b"x".to_vec(), bytes(random, CONTENT_BYTES, 40)].concat();
    let zeros = "0".repeat(random.below(4));
    let mut size = match random.below(2) {
        0 => format!("{zeros}{:x}", content.len()),
        _ => format!("{zeros}{:X}", content.len()),
    }
    .into_bytes();
    if random.below(3) == 0 {
        size.push(b';');
        size.extend(bytes(random, EXTENSION, 12));
    }
    (size, content)
}

fn bytes(random: &mut Random, from: &[u8], len_max: usize) -> Vec<u8> {
    (0..random.below(len_max + 1))
        .map(|_| random.pick(from))
        .collect()
}
