//! Decodes bodies, by length and chunked. Every slice that it returns is a slice of its input.
//!
//! Each byte that is discarded (chunk sizes, extensions, CRLFs) is checked first.

use super::cursor::Cursor;
use super::framing::BodyLength;
use super::head::{HeadLimits, Scan};
use super::refusal::Refusal;
use super::trailers;

/// Hexadecimal digits that a chunk size may have, leading zeros included: 64 bits.
const SIZE_DIGITS_MAX: u8 = 16;
/// The largest chunk size accepted. A larger one overflows signed arithmetic in other implementations.
const SIZE_MAX: u64 = 1 << 63;
/// Bytes of chunk extensions in all chunks of one body. In practice they are only used to waste a server's time.
pub(crate) const EXTENSIONS_LEN_MAX: u16 = 4096;

/// What one step over the input yields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decoded<'a> {
    /// The input is used up, or the rest is an incomplete trailer section.
    NeedInput,
    /// A piece of the body; never empty.
    Bytes(&'a [u8]),
    /// The end, with the trailer section as it was received: empty, or field lines and an empty line.
    End { trailers: &'a [u8] },
}

/// What is expected next in the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Bytes of a body that is framed by its length.
    Length,
    /// The first digit of a chunk size.
    SizeStart,
    /// More digits, an extension or the end of the line.
    Size,
    /// Whitespace after a chunk size: a semicolon must follow.
    SizeSpace,
    /// An extension, which is skipped up to its CR.
    Extension,
    /// The LF after a size.
    SizeEnd,
    /// Bytes of a chunk.
    Chunk,
    /// The CR after a chunk.
    ChunkCr,
    /// The LF after a chunk.
    ChunkLf,
    /// The trailer section.
    Trailers,
}

/// The state of one body. Packed: each connection has one, and no padding for it.
#[derive(Clone, Copy, Debug)]
#[repr(Rust, packed(2))]
pub(crate) struct Decoder {
    /// Bytes left of the body or of the chunk, or the chunk size read so far.
    left: u64,
    /// Bytes that a chunked body may still have.
    room: u64,
    extensions_len: u16,
    digits: u8,
    part: Part,
}

impl Decoder {
    /// A decoder for a body of this length, without a bound until [`limit`](Self::limit) sets one.
    pub(crate) const fn new(length: BodyLength) -> Self {
        let (left, part) = match length {
            BodyLength::None => (0, Part::Length),
            BodyLength::Length(left) => (left, Part::Length),
            BodyLength::Chunked => (0, Part::SizeStart),
        };
        Self {
            left,
            room: u64::MAX,
            extensions_len: 0,
            digits: 0,
            part,
        }
    }

    /// Bounds the rest of the body to `body_len_max` bytes.
    ///
    /// # Errors
    ///
    /// `BodyTooLarge` if the announced length is larger.
    pub(crate) fn limit(&mut self, body_len_max: u64) -> Result<(), Refusal> {
        self.room = body_len_max;
        if self.part == Part::Length && self.left > body_len_max {
            return Err(Refusal::BodyTooLarge);
        }
        Ok(())
    }

    /// The length of the rest of the body, if the peer has announced it.
    pub(crate) fn announced(&self) -> Option<u64> {
        (self.part == Part::Length).then_some(self.left)
    }

    /// Takes a body of known length in one step. False if `len` is not its length.
    pub(crate) const fn take_whole(&mut self, len: u64) -> bool {
        let is_whole = matches!(self.part, Part::Length) && self.left == len;
        if is_whole {
            self.left = 0;
        }
        is_whole
    }

    /// Takes the next step over `input`. Returns how many bytes were used, and what they were.
    pub(crate) fn decode<'a>(
        &mut self,
        input: &'a [u8],
        scan: &mut Scan,
        limits: &HeadLimits,
    ) -> Result<(usize, Decoded<'a>), Refusal> {
        let mut input = Cursor::new(input);
        let decoded = self.decode_at(&mut input, scan, limits)?;
        Ok((input.position(), decoded))
    }

    fn decode_at<'a>(
        &mut self,
        input: &mut Cursor<'a>,
        scan: &mut Scan,
        limits: &HeadLimits,
    ) -> Result<Decoded<'a>, Refusal> {
        loop {
            if self.take_frame(input)? {
                continue;
            }
            match self.part {
                Part::Length if self.left == 0 => return Ok(Decoded::End { trailers: &[] }),
                Part::Length | Part::Chunk => {
                    return Ok(match self.take_bytes(input) {
                        [] => Decoded::NeedInput,
                        bytes => Decoded::Bytes(bytes),
                    });
                }
                Part::Trailers => {
                    let Some(len) = trailers::parse_trailers(input.rest(), scan, limits)? else {
                        return Ok(Decoded::NeedInput);
                    };
                    self.part = Part::Length;
                    self.left = 0;
                    let section = input.take(len);
                    // An empty section is only its empty line.
                    let trailers = if len > 2 { section } else { &[] };
                    return Ok(Decoded::End { trailers });
                }
                Part::SizeStart
                | Part::Size
                | Part::SizeSpace
                | Part::Extension
                | Part::SizeEnd
                | Part::ChunkCr
                | Part::ChunkLf => {
                    let Some(byte) = input.rest().first() else {
                        return Ok(Decoded::NeedInput);
                    };
                    self.part = self.on_frame_byte(*byte)?;
                    input.skip(1);
                }
            }
        }
    }

    /// The bytes of the body or chunk that `input` begins with.
    fn take_bytes<'a>(&mut self, input: &mut Cursor<'a>) -> &'a [u8] {
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let bytes = input.take(left.min(input.rest().len()));
        self.left = self.left.wrapping_sub(bytes.len() as u64);
        if self.left == 0 && self.part == Part::Chunk {
            self.part = Part::ChunkCr;
        }
        bytes
    }

    /// Takes the bytes around a chunk if they are plain and complete. False means: read them byte by byte.
    fn take_frame(&mut self, input: &mut Cursor<'_>) -> Result<bool, Refusal> {
        if self.take_chunk_end(input) {
            return Ok(true);
        }
        if self.part != Part::SizeStart {
            return Ok(false);
        }
        let Some((size, line_len)) = plain_size(input.rest()) else {
            return Ok(false);
        };
        input.skip(line_len);
        self.left = size;
        self.part = self.on_size_end()?;
        Ok(true)
    }

    /// Takes the end of a chunk, and the chunks after it that are plain, complete and within the bound, as [`decode`](Self::decode)
    /// would in more steps: at most `chunks_max`, and only what `body` has room for. Returns how many it has appended to `body`.
    pub(crate) fn take_chunks(
        &mut self,
        input: &mut Cursor<'_>,
        body: &mut Vec<u8>,
        chunks_max: usize,
    ) -> usize {
        let mut taken = 0;
        // The smallest build has no room for a second way.
        if cfg!(smallest) || !self.take_chunk_end(input) {
            return taken;
        }
        let begin_len = body.len();
        let free = body.capacity().wrapping_sub(begin_len);
        let mut left = self.room.min(free as u64);
        let mut rest = input.rest();
        while taken < chunks_max
            && let Some((chunk, after)) = plain_chunk(rest, left)
        {
            body.extend_from_slice(chunk);
            left = left.wrapping_sub(chunk.len() as u64);
            rest = after;
            taken = taken.wrapping_add(1);
        }
        input.skip(input.rest().len().wrapping_sub(rest.len()));
        let len = body.len().wrapping_sub(begin_len);
        self.room = self.room.wrapping_sub(len as u64);
        taken
    }

    fn take_chunk_end(&mut self, input: &mut Cursor<'_>) -> bool {
        let is_whole = self.part == Part::ChunkCr && input.rest().starts_with(b"\r\n");
        if is_whole {
            input.skip(2);
            self.part = self.on_chunk_end();
        }
        is_whole
    }

    /// RFC 9112 §7.1: one byte around the chunks.
    fn on_frame_byte(&mut self, byte: u8) -> Result<Part, Refusal> {
        match (self.part, byte) {
            (Part::SizeStart | Part::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                self.on_size_digit(byte)
            }
            // RFC 9112 §7.1.1: an extension may begin with bad whitespace, which must be parsed (RFC 9110 §5.6.3). It does not
            // change the size, and whitespace without an extension is still refused.
            (Part::Size | Part::SizeSpace, b' ' | b'\t') => self.on_extension_byte(Part::SizeSpace),
            (Part::Size | Part::SizeSpace, b';') => self.on_extension_byte(Part::Extension),
            (Part::Size | Part::Extension, b'\r') => Ok(Part::SizeEnd),
            (Part::Extension, b'\t' | b' '..=b'~' | 0x80..) => {
                self.on_extension_byte(Part::Extension)
            }
            (Part::SizeEnd, b'\n') => self.on_size_end(),
            (Part::ChunkCr, b'\r') => Ok(Part::ChunkLf),
            (Part::ChunkLf, b'\n') => Ok(self.on_chunk_end()),
            (_, _) => Err(Refusal::Chunk),
        }
    }

    fn on_size_digit(&mut self, byte: u8) -> Result<Part, Refusal> {
        let digit = char::from(byte).to_digit(16).map_or(0, u64::from);
        self.digits = self.digits.saturating_add(1);
        let size = self
            .left
            .checked_mul(16)
            .and_then(|size| size.checked_add(digit));
        match size {
            Some(size) if size <= SIZE_MAX && self.digits <= SIZE_DIGITS_MAX => {
                self.left = size;
                Ok(Part::Size)
            }
            Some(_) | None => Err(Refusal::Chunk),
        }
    }

    fn on_extension_byte(&mut self, next: Part) -> Result<Part, Refusal> {
        self.extensions_len = self.extensions_len.saturating_add(1);
        if self.extensions_len > EXTENSIONS_LEN_MAX {
            Err(Refusal::Chunk)
        } else {
            Ok(next)
        }
    }

    const fn on_chunk_end(&mut self) -> Part {
        self.digits = 0;
        Part::SizeStart
    }

    fn on_size_end(&mut self) -> Result<Part, Refusal> {
        if self.left == 0 {
            return Ok(Part::Trailers);
        }
        self.room = self
            .room
            .checked_sub(self.left)
            .ok_or(Refusal::BodyTooLarge)?;
        Ok(Part::Chunk)
    }
}

/// A chunk of at most `size_max` bytes that `input` begins with, and what follows it; `None` if it is not plain or not complete, or
/// is the last one.
fn plain_chunk(input: &[u8], size_max: u64) -> Option<(&[u8], &[u8])> {
    let (size, line_len) = plain_size(input)?;
    if size == 0 || size > size_max {
        return None;
    }
    let (chunk, end) = input
        .get(line_len..)?
        .split_at_checked(usize::try_from(size).ok()?)?;
    Some((chunk, end.strip_prefix(b"\r\n")?))
}

/// A chunk size without an extension that `input` begins with, and the length of its line; `None` if it is anything else.
fn plain_size(input: &[u8]) -> Option<(u64, usize)> {
    let (mut size, mut len) = (0_u64, 0_usize);
    // One digit fewer than allowed: the size cannot overflow.
    let begin = input.get(..usize::from(SIZE_DIGITS_MAX - 1));
    for byte in begin.unwrap_or(input) {
        let digit = match byte {
            b'0'..=b'9' => byte.wrapping_sub(b'0'),
            b'a'..=b'f' => byte.wrapping_sub(b'a' - 10),
            b'A'..=b'F' => byte.wrapping_sub(b'A' - 10),
            _ => break,
        };
        size = size << 4 | u64::from(digit);
        len = len.wrapping_add(1);
    }
    let is_whole = len > 0 && input.get(len..)?.starts_with(b"\r\n");
    is_whole.then_some((size, len.wrapping_add(2)))
}

#[cfg(test)]
mod tests {
    use super::{BodyLength, Cursor, Decoded, Decoder, HeadLimits, Refusal, Scan};

    const LIMITS: HeadLimits = HeadLimits {
        head_len_max: 256,
        target_len_max: 64,
        headers_max: 4,
    };

    /// The body and the length of what follows it, when the input is received `step` bytes at a time. The chunks after one are taken
    /// one by one, or together as far as they may.
    fn decode(input: &[u8], step: usize, limit: u64) -> Result<(Vec<u8>, usize), Refusal> {
        let one_by_one = decode_together(input, step, limit, 0);
        let together = decode_together(input, step, limit, 9);
        assert_eq!(one_by_one, together, "{:?}", String::from_utf8_lossy(input));
        one_by_one
    }

    fn decode_together(
        input: &[u8],
        step: usize,
        limit: u64,
        room: usize,
    ) -> Result<(Vec<u8>, usize), Refusal> {
        let mut decoder = Decoder::new(BodyLength::Chunked);
        decoder.limit(limit)?;
        let mut scan = Scan::default();
        let (mut body, mut at, mut visible) = (Vec::new(), 0, step.min(input.len()));
        loop {
            let (taken, decoded) = decoder.decode(&input[at..visible], &mut scan, &LIMITS)?;
            at += taken;
            match decoded {
                Decoded::NeedInput if visible == input.len() => return Ok((body, usize::MAX)),
                Decoded::NeedInput => visible = (visible + step).min(input.len()),
                Decoded::Bytes(bytes) => {
                    body.extend_from_slice(bytes);
                    body.reserve_exact(room);
                    let mut ahead = Cursor::at(&input[..visible], at);
                    decoder.take_chunks(&mut ahead, &mut body, room);
                    at = ahead.position();
                }
                Decoded::End { .. } => return Ok((body, input.len() - at)),
            }
        }
    }

    fn at_every_split(input: &[u8], room: u64) -> Result<(Vec<u8>, usize), Refusal> {
        let whole = decode(input, input.len(), room);
        for step in 1..input.len() {
            assert_eq!(
                decode(input, step, room),
                whole,
                "{:?}",
                String::from_utf8_lossy(input)
            );
        }
        whole
    }

    #[test]
    fn chunks_are_decoded_at_every_split() {
        let input = b"3 \t;a\r\nabc\r\n00A;name=\"v;\"\r\n0123456789\r\n0\r\n\r\nGET";
        assert_eq!(
            at_every_split(input, 100),
            Ok((b"abc0123456789".to_vec(), 3))
        );
        assert_eq!(
            at_every_split(b"0\r\nA: b\r\nC:\r\n\r\nx", 0),
            Ok((vec![], 1))
        );
    }

    #[test]
    fn chunks_are_taken_together_only_if_they_are_plain_complete_and_within_each_bound() {
        let three = b"\r\n3\r\nabc\r\n2\r\nde\r\n1\r\nf\r\n";
        // What follows a first chunk, the bytes that may still come, the room for them, and the chunks that may be taken; then how
        // many are taken, what they hold, and how much is left.
        for (input, limit, room, chunks_max, taken, expected, rest_len) in [
            (&three[..], 6, 6, 3, 3, "abcdef", 0),
            (three, 6, 6, 2, 2, "abcde", 6),
            (three, 6, 5, 3, 2, "abcde", 6),
            (three, 5, 6, 3, 2, "abcde", 6),
            (three, 6, 6, 0, 0, "", three.len() - 2),
            (b"\r", 9, 9, 9, 0, "", 1),
            (b"\rX", 9, 9, 9, 0, "", 2),
            (b"\r\n", 9, 9, 9, 0, "", 0),
            (b"\r\n3\r\nabc\r", 9, 9, 9, 0, "", 7),
            (b"\r\n3\r\nabcd\r\n", 9, 9, 9, 0, "", 9),
            (b"\r\n3;a\r\nabc\r\n", 9, 9, 9, 0, "", 10),
            (b"\r\n3 \r\nabc\r\n", 9, 9, 9, 0, "", 9),
            (b"\r\n0\r\n\r\n", 9, 9, 9, 0, "", 5),
            (b"\r\n\r\n", 9, 9, 9, 0, "", 2),
            (b"\r\ng\r\n", 9, 9, 9, 0, "", 3),
            (b"\r\n000000000000003\r\nabc\r\n", 9, 9, 9, 1, "abc", 0),
            (b"\r\n0000000000000003\r\nabc\r\n", 9, 9, 9, 0, "", 23),
        ] {
            let mut decoder = Decoder::new(BodyLength::Chunked);
            decoder.limit(limit + 1).expect("no length is announced");
            let decoded = decoder.decode(b"1\r\n.", &mut Scan::default(), &LIMITS);
            assert_eq!(decoded, Ok((4, Decoded::Bytes(b"."))));
            let mut body = Vec::with_capacity(room);
            let mut left = Cursor::new(input);
            let input = String::from_utf8_lossy(input);
            let found = decoder.take_chunks(&mut left, &mut body, chunks_max);
            assert_eq!(
                (found, &body[..]),
                (taken, expected.as_bytes()),
                "{input:?}"
            );
            assert_eq!(left.rest().len(), rest_len, "{input:?}");
        }
    }

    #[test]
    fn an_incomplete_body_needs_more_input() {
        for end in 0..19 {
            let input = &b"3\r\nabc\r\n0\r\nA: b\r\n\r\n"[..end];
            assert_eq!(
                at_every_split(input, 9).map(|(_, rest)| rest),
                Ok(usize::MAX),
                "{end}"
            );
        }
    }

    #[test]
    fn malformed_chunks_are_refused_at_every_split() {
        for (input, refusal) in [
            (&b"\r\n\r\n"[..], Refusal::Chunk),
            (b"g\r\n", Refusal::Chunk),
            (b"+3\r\nabc\r\n", Refusal::Chunk),
            (b"-1\r\n", Refusal::Chunk),
            (b" 3\r\nabc\r\n", Refusal::Chunk),
            (b"3 \r\nabc\r\n", Refusal::Chunk),
            (b"3 3\r\nabc\r\n", Refusal::Chunk),
            (b"3\t\n;a\r\nabc\r\n", Refusal::Chunk),
            (b" ;a\r\n", Refusal::Chunk),
            (b"0x3\r\nabc\r\n", Refusal::Chunk),
            (b"3\nabc\r\n", Refusal::Chunk),
            (b"3\r\nabcd\r\n", Refusal::Chunk),
            (b"3\r\nabc\n", Refusal::Chunk),
            (b"3\r\nabc\rX", Refusal::Chunk),
            (b"3;a\nabc", Refusal::Chunk),
            (b"3;a\rb", Refusal::Chunk),
            (b"3;\0\r\n", Refusal::Chunk),
            (b"00000000000000003\r\n", Refusal::Chunk),
            (b"8000000000000001\r\n", Refusal::Chunk),
            (b"ffffffffffffffff\r\n", Refusal::Chunk),
            (b"10000000000000000\r\n", Refusal::Chunk),
            (b"8000000000000000\r\n", Refusal::BodyTooLarge),
            (b"5\r\nabcde\r\n5\r\n", Refusal::BodyTooLarge),
            (b"0\r\nA: b\n\r\n", Refusal::LineEnd),
            (b"0\r\n\n", Refusal::LineEnd),
            (b"0\r\nA : b\r\n\r\n", Refusal::Field),
            (b"0\r\n b\r\n\r\n", Refusal::Field),
            (b"0\r\nContent-Length: 3\r\n\r\n", Refusal::TrailerField),
            (
                b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
                Refusal::TrailerField,
            ),
            (
                b"0\r\na:\r\na:\r\na:\r\na:\r\na:\r\n\r\n",
                Refusal::HeadTooLarge,
            ),
        ] {
            assert_eq!(
                at_every_split(input, 9),
                Err(refusal),
                "{:?}",
                String::from_utf8_lossy(input)
            );
        }
    }

    #[test]
    fn a_trailer_section_is_returned_as_received_and_an_empty_one_as_no_bytes() {
        for (input, section) in [
            (&b"0\r\n\r\n"[..], &b""[..]),
            (b"0\r\nA: b\r\n\r\n", b"A: b\r\n\r\n"),
        ] {
            let mut decoder = Decoder::new(BodyLength::Chunked);
            let decoded = decoder.decode(input, &mut Scan::default(), &LIMITS);
            let end = Decoded::End { trailers: section };
            assert_eq!(decoded, Ok((input.len(), end)));
        }
    }

    #[test]
    fn extensions_are_bounded_over_all_chunks() {
        let chunk = format!("1;{}\r\na\r\n", "e".repeat(1023));
        let four = format!("{}0\r\n\r\n", chunk.repeat(4));
        assert_eq!(decode(four.as_bytes(), 7, 9), Ok((b"aaaa".to_vec(), 0)));
        for line in ["1;\r\n", "1 ;\r\n"] {
            let more = chunk.repeat(4) + line;
            assert_eq!(decode(more.as_bytes(), 7, 9), Err(Refusal::Chunk));
        }
    }
}
