//! Bodies out of bytes: by length and chunked. Every slice that comes out is a slice of what went in.
//!
//! Each byte that is thrown away (chunk sizes, extensions, CRLFs) is compared first.

use super::framing::BodyLength;
use super::head::{HeadLimits, Scan};
use super::refusal::Refusal;
use super::trailers;

/// Hexadecimal digits that a chunk size may have, leading zeros included: 64 bits' worth.
const SIZE_DIGITS_MAX: u8 = 16;
/// The largest chunk size taken; anything above it overflows somebody's signed arithmetic.
const SIZE_MAX: u64 = 1 << 63;
/// Bytes of chunk extensions over all chunks of one body: nobody uses them but to waste a server's time.
pub(crate) const EXTENSIONS_LEN_MAX: u16 = 4096;

/// What one step over the input found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decoded<'a> {
    /// All that came is used up, or the rest is no whole trailer section yet.
    NeedInput,
    /// A piece of the body; never empty.
    Bytes(&'a [u8]),
    /// The end, with the trailer section as it came: empty, or field lines and an empty line.
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
    /// An extension, which is passed over up to its CR.
    Extension,
    /// The LF behind a size.
    SizeEnd,
    /// Bytes of a chunk.
    Chunk,
    /// The CR behind a chunk.
    ChunkCr,
    /// The LF behind a chunk.
    ChunkLf,
    /// The trailer section.
    Trailers,
}

/// The state of one body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decoder {
    /// Bytes left of the body, of the chunk, or the size read so far.
    left: u64,
    /// Bytes of a chunked body that may still come.
    room: u64,
    extensions_len: u16,
    digits: u8,
    part: Part,
}

impl Decoder {
    /// A decoder for a body of this length; `body_len_max` binds what is announced and what comes.
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

    /// Bounds the body to `body_len_max` bytes from here on.
    ///
    /// # Errors
    ///
    /// `BodyTooLarge` if more has been announced already.
    pub(crate) fn limit(&mut self, body_len_max: u64) -> Result<(), Refusal> {
        self.room = body_len_max;
        if self.part == Part::Length && self.left > body_len_max {
            return Err(Refusal::BodyTooLarge);
        }
        Ok(())
    }

    /// Bytes that are still to come, where the peer has said so.
    pub(crate) fn announced(&self) -> Option<u64> {
        (self.part == Part::Length).then_some(self.left)
    }

    /// Takes a body of a known length whose bytes are all there; false if these are not so many.
    pub(crate) const fn take_whole(&mut self, len: u64) -> bool {
        let is_whole = matches!(self.part, Part::Length) && self.left == len;
        if is_whole {
            self.left = 0;
        }
        is_whole
    }

    /// Takes the next step over `input`: how many of its bytes are used up, and what they were.
    pub(crate) fn decode<'a>(
        &mut self,
        input: &'a [u8],
        scan: &mut Scan,
        limits: &HeadLimits,
    ) -> Result<(usize, Decoded<'a>), Refusal> {
        let mut taken = 0_usize;
        loop {
            let rest = input.get(taken..).unwrap_or_default();
            if let Some(len) = self.take_frame(rest)? {
                taken = taken.saturating_add(len);
                continue;
            }
            match self.part {
                Part::Length if self.left == 0 => {
                    return Ok((taken, Decoded::End { trailers: &[] }));
                }
                Part::Length | Part::Chunk => {
                    let bytes = self.take_bytes(rest);
                    let decoded = if bytes.is_empty() {
                        Decoded::NeedInput
                    } else {
                        Decoded::Bytes(bytes)
                    };
                    return Ok((taken.saturating_add(bytes.len()), decoded));
                }
                Part::Trailers => {
                    let Some(len) = trailers::parse_trailers(rest, scan, limits)? else {
                        return Ok((taken, Decoded::NeedInput));
                    };
                    // An empty section is its empty line alone.
                    let trailers = if len > 2 {
                        rest.get(..len).unwrap_or_default()
                    } else {
                        &[]
                    };
                    self.part = Part::Length;
                    self.left = 0;
                    return Ok((taken.saturating_add(len), Decoded::End { trailers }));
                }
                Part::SizeStart
                | Part::Size
                | Part::Extension
                | Part::SizeEnd
                | Part::ChunkCr
                | Part::ChunkLf => {
                    let Some(byte) = rest.first() else {
                        return Ok((taken, Decoded::NeedInput));
                    };
                    self.part = self.on_frame_byte(*byte)?;
                    taken = taken.saturating_add(1);
                }
            }
        }
    }

    /// As many bytes of the body as `input` begins with.
    fn take_bytes<'a>(&mut self, input: &'a [u8]) -> &'a [u8] {
        let len = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(input.len());
        let bytes = input.get(..len).unwrap_or_default();
        self.left = self.left.saturating_sub(bytes.len() as u64);
        if self.left == 0 && self.part == Part::Chunk {
            self.part = Part::ChunkCr;
        }
        bytes
    }

    /// What stands around the chunks, where it is plain and whole. `None` means: look at it byte by byte.
    fn take_frame(&mut self, rest: &[u8]) -> Result<Option<usize>, Refusal> {
        if self.part == Part::ChunkCr && rest.starts_with(b"\r\n") {
            self.part = self.on_chunk_end();
            return Ok(Some(2));
        }
        if self.part != Part::SizeStart {
            return Ok(None);
        }
        let (mut size, mut len) = (0_u64, 0_usize);
        // One digit less than there may be: nothing can overflow.
        for byte in rest
            .iter()
            .take(usize::from(SIZE_DIGITS_MAX).saturating_sub(1))
        {
            let Some(digit) = char::from(*byte).to_digit(16) else {
                break;
            };
            size = size << 4 | u64::from(digit);
            len = len.saturating_add(1);
        }
        let behind = rest.get(len..).unwrap_or_default();
        if len == 0 || !behind.starts_with(b"\r\n") {
            return Ok(None);
        }
        self.left = size;
        self.part = self.on_size_end()?;
        Ok(Some(len.saturating_add(2)))
    }

    /// RFC 9112 §7.1: one byte of what stands around the chunks.
    fn on_frame_byte(&mut self, byte: u8) -> Result<Part, Refusal> {
        match (self.part, byte) {
            (Part::SizeStart | Part::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                self.on_size_digit(byte)
            }
            (Part::Size, b';') => self.on_extension_byte(),
            (Part::Size | Part::Extension, b'\r') => Ok(Part::SizeEnd),
            (Part::Extension, b'\t' | b' '..=b'~' | 0x80..) => self.on_extension_byte(),
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

    fn on_extension_byte(&mut self) -> Result<Part, Refusal> {
        self.extensions_len = self.extensions_len.saturating_add(1);
        if self.extensions_len > EXTENSIONS_LEN_MAX {
            Err(Refusal::Chunk)
        } else {
            Ok(Part::Extension)
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

#[cfg(test)]
mod tests {
    use super::{BodyLength, Decoded, Decoder, HeadLimits, Refusal, Scan};

    const LIMITS: HeadLimits = HeadLimits {
        head_len_max: 256,
        target_len_max: 64,
        headers_max: 4,
    };

    /// The body and what stands behind it, when the input comes `step` bytes at a time.
    fn decode(input: &[u8], step: usize, room: u64) -> Result<(Vec<u8>, usize), Refusal> {
        let mut decoder = Decoder::new(BodyLength::Chunked);
        decoder.limit(room)?;
        let mut scan = Scan::default();
        let (mut body, mut at, mut visible) = (Vec::new(), 0, step.min(input.len()));
        loop {
            let (taken, decoded) = decoder.decode(&input[at..visible], &mut scan, &LIMITS)?;
            at += taken;
            match decoded {
                Decoded::NeedInput if visible == input.len() => return Ok((body, usize::MAX)),
                Decoded::NeedInput => visible = (visible + step).min(input.len()),
                Decoded::Bytes(bytes) => body.extend_from_slice(bytes),
                Decoded::End { .. } => return Ok((body, input.len() - at)),
            }
        }
    }

    fn at_every_cut(input: &[u8], room: u64) -> Result<(Vec<u8>, usize), Refusal> {
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
    fn chunks_become_a_body_at_every_cut() {
        let input = b"3\r\nabc\r\n00A;name=\"v;\"\r\n0123456789\r\n0\r\n\r\nGET";
        assert_eq!(at_every_cut(input, 100), Ok((b"abc0123456789".to_vec(), 3)));
        assert_eq!(
            at_every_cut(b"0\r\nA: b\r\nC:\r\n\r\nx", 0),
            Ok((vec![], 1))
        );
    }

    #[test]
    fn an_unfinished_body_asks_for_more() {
        for end in 0..19 {
            let input = &b"3\r\nabc\r\n0\r\nA: b\r\n\r\n"[..end];
            assert_eq!(
                at_every_cut(input, 9).map(|(_, rest)| rest),
                Ok(usize::MAX),
                "{end}"
            );
        }
    }

    #[test]
    fn what_is_no_chunk_is_refused_at_every_cut() {
        for (input, refusal) in [
            (&b"\r\n\r\n"[..], Refusal::Chunk),
            (b"g\r\n", Refusal::Chunk),
            (b"+3\r\nabc\r\n", Refusal::Chunk),
            (b"-1\r\n", Refusal::Chunk),
            (b" 3\r\nabc\r\n", Refusal::Chunk),
            (b"3 \r\nabc\r\n", Refusal::Chunk),
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
                at_every_cut(input, 9),
                Err(refusal),
                "{:?}",
                String::from_utf8_lossy(input)
            );
        }
    }

    #[test]
    fn a_trailer_section_is_given_as_it_came_and_an_empty_one_as_nothing() {
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
        let more = format!("{}1;\r\n", chunk.repeat(4));
        assert_eq!(decode(more.as_bytes(), 7, 9), Err(Refusal::Chunk));
    }
}
