//! Sixteen bytes at once: the first that ends a field name, a field value or a request target. An island of unsafe code, for
//! the vector instructions that every processor of an architecture has, and for text of what they found to be ASCII.
//!
//! SSE2 belongs to x86-64 and NEON to aarch64, so nothing is asked when the program runs. Elsewhere each byte is looked at, which
//! is also what the tests compare with. `cargo bench --bench instructions` counts what it is worth.

/// Bytes that are looked at together.
pub(super) const LANES: usize = 16;

/// Which bytes end a part of a head.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    /// All but letters, digits, `-` and `.`: the end of nearly every field name, and of a host's. Either may go on after it (RFC
    /// 9110 §5.6.2, RFC 3986 §3.2.2).
    Name,
    /// A control byte, HTAB among them: the end of nearly every field value. A value may go on after HTAB (RFC 9110 §5.5).
    Text,
    /// All but visible ASCII, and `#`, which is never sent (RFC 3986 §3.5): the end of a request target. `?` as well, where its
    /// path ends.
    Target,
}

impl End {
    const fn is(self, byte: u8) -> bool {
        match self {
            Self::Name => !byte.is_ascii_alphanumeric() && !matches!(byte, b'-' | b'.'),
            Self::Text => byte.is_ascii_control(),
            Self::Target => !byte.is_ascii_graphic() || matches!(byte, b'#' | b'?'),
        }
    }

    /// The position of the first such byte from `at` on, if there is one. It is not found in fewer than sixteen `bytes`.
    #[inline]
    pub(super) fn position(self, bytes: &[u8], mut at: usize) -> Option<usize> {
        let mut rest = bytes.get(at..)?;
        while let Some((block, after)) = rest.split_first_chunk() {
            let marks = marks(self, block);
            if marks != 0 {
                return Some(at.wrapping_add(first(marks)));
            }
            at = at.wrapping_add(LANES);
            rest = after;
        }
        // The last block, without what was looked at before.
        let known = LANES.wrapping_sub(rest.len());
        let marks = marks(self, bytes.last_chunk()?);
        let left = marks.unbounded_shr(bits(known));
        (left != 0).then(|| at.wrapping_add(first(left)))
    }

    /// The bytes before the first such byte of `rest`, all of them if it has none. `rest` is the last part of `whole`.
    #[inline(never)] // Each end has a loop in it; only the usual field lines need theirs in place.
    pub(super) fn len_before(self, rest: &[u8], whole: &[u8]) -> usize {
        if whole.len() < LANES {
            let position = rest.iter().position(|byte| self.is(*byte));
            return position.unwrap_or(rest.len());
        }
        let start = whole.len().wrapping_sub(rest.len());
        let position = self.position(whole, start);
        position.map_or(rest.len(), |position| position.wrapping_sub(start))
    }

    /// The same, if `byte` ended nothing.
    #[inline(never)] // Several callers.
    fn len_through(self, byte: u8, bytes: &[u8], whole: &[u8]) -> usize {
        let mut rest = bytes;
        loop {
            let len = self.len_before(rest, whole);
            rest = rest.get(len..).unwrap_or_default();
            match rest {
                [first, after @ ..] if *first == byte => rest = after,
                _ => return bytes.len().wrapping_sub(rest.len()),
            }
        }
    }
}

/// The bytes of a field value that `bytes` begins with: no control byte but HTAB (RFC 9110 §5.5).
pub(super) fn value_len(bytes: &[u8]) -> usize {
    End::Text.len_through(b'\t', bytes, bytes)
}

/// The bytes of a request target that `rest` begins with, its query included. `rest` is the last part of `whole`.
pub(super) fn target_len(rest: &[u8], whole: &[u8]) -> usize {
    End::Target.len_through(b'?', rest, whole)
}

/// Bytes that are known to be ASCII, as text; none if they are not. This takes a fraction of what std's check for UTF-8 takes, and
/// is all that a head's parts need.
#[expect(unsafe_code, reason = "std has no stable conversion from ASCII")]
pub(super) fn text(bytes: &[u8]) -> &str {
    debug_assert!(bytes.is_ascii(), "only ASCII is indexed as text");
    if bytes.is_ascii() {
        // SAFETY: ASCII is UTF-8.
        unsafe { core::str::from_utf8_unchecked(bytes) }
    } else {
        ""
    }
}

/// Whether these are the bytes of a field value.
pub(crate) fn is_field_value(value: &[u8]) -> bool {
    value_len(value) == value.len()
}

/// The position of the first marked byte, or more than there are.
const fn first(marks: Marks) -> usize {
    marks.trailing_zeros() as usize / BITS
}

/// The bits of the marks of this many bytes, which are at most [`LANES`].
#[expect(clippy::cast_possible_truncation, reason = "at most 64")]
const fn bits(lanes: usize) -> u32 {
    lanes.wrapping_mul(BITS) as u32
}

#[cfg(target_arch = "aarch64")]
use neon::{BITS, Marks, marks};
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
use one_by_one::{BITS, Marks, marks};
#[cfg(target_arch = "x86_64")]
use sse2::{BITS, Marks, marks};

#[cfg(target_arch = "x86_64")]
mod sse2 {
    use core::arch::x86_64::{
        __m128i, _mm_add_epi8, _mm_andnot_si128, _mm_cmpeq_epi8, _mm_cmpgt_epi8, _mm_cmplt_epi8,
        _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8,
    };

    use super::{End, LANES};

    pub(super) type Marks = u32;
    pub(super) const BITS: usize = 1;

    #[inline]
    #[expect(
        unsafe_code,
        reason = "calls a function with target features from one without"
    )]
    pub(super) fn marks(end: End, block: &[u8; LANES]) -> Marks {
        // SAFETY: SSE2 belongs to the architecture.
        unsafe { marks_by_sse2(end, block) }
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn marks_by_sse2(end: End, block: &[u8; LANES]) -> Marks {
        let bytes = load(block);
        let marked = match end {
            End::Name => {
                // With this bit letters are small, and nothing else is one.
                let letter = is_within::<b'a', b'z'>(_mm_or_si128(bytes, _mm_set1_epi8(0x20)));
                // `-`, `.` and the digits are one range but for what is between them.
                let other = is_within::<b'-', b'9'>(bytes);
                let other = _mm_andnot_si128(is::<b'/'>(bytes), other);
                return mask(_mm_or_si128(letter, other)) ^ 0xffff;
            }
            End::Text => _mm_or_si128(is_within::<0, 0x1f>(bytes), is::<0x7f>(bytes)),
            End::Target => {
                let part = _mm_or_si128(is::<b'#'>(bytes), is::<b'?'>(bytes));
                _mm_or_si128(is_not_graphic(bytes), part)
            }
        };
        mask(marked)
    }

    /// One load of sixteen bytes, once it is compiled.
    #[inline]
    #[target_feature(enable = "sse2")]
    fn load(block: &[u8; LANES]) -> __m128i {
        let halves = u128::from_le_bytes(*block);
        #[expect(clippy::cast_possible_truncation, reason = "one half each")]
        let (low, high) = (halves as u64, (halves >> 64) as u64);
        _mm_set_epi64x(high.cast_signed(), low.cast_signed())
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn is<const BYTE: u8>(bytes: __m128i) -> __m128i {
        _mm_cmpeq_epi8(bytes, _mm_set1_epi8(const { BYTE.cast_signed() }))
    }

    /// SSE2 compares signed bytes only, so this moves the range to their upper end.
    #[inline]
    #[target_feature(enable = "sse2")]
    fn is_within<const FIRST: u8, const LAST: u8>(bytes: __m128i) -> __m128i {
        let moved = const { 0x7f_u8.wrapping_sub(LAST).cast_signed() };
        let below = const { (0x7e + FIRST - LAST).cast_signed() };
        let bytes = _mm_add_epi8(bytes, _mm_set1_epi8(moved));
        _mm_cmpgt_epi8(bytes, _mm_set1_epi8(below))
    }

    /// All but `!` to `~`: as signed bytes, the largest one and what is below `!`.
    #[inline]
    #[target_feature(enable = "sse2")]
    fn is_not_graphic(bytes: __m128i) -> __m128i {
        _mm_or_si128(
            _mm_cmplt_epi8(bytes, _mm_set1_epi8(0x21)),
            is::<0x7f>(bytes),
        )
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn mask(lanes: __m128i) -> Marks {
        _mm_movemask_epi8(lanes).cast_unsigned()
    }
}

#[cfg(target_arch = "aarch64")]
mod neon {
    use core::arch::aarch64::{
        uint8x16_t, vbicq_u8, vceqq_u8, vcgtq_u8, vcleq_u8, vcombine_u64, vcreate_u64, vdupq_n_u8,
        vget_lane_u64, vmvnq_u8, vorrq_u8, vreinterpret_u64_u8, vreinterpretq_u8_u64,
        vreinterpretq_u16_u8, vshrn_n_u16, vsubq_u8,
    };

    use super::{End, LANES};

    pub(super) type Marks = u64;
    pub(super) const BITS: usize = 4;

    #[inline]
    #[expect(
        unsafe_code,
        reason = "calls a function with target features from one without"
    )]
    pub(super) fn marks(end: End, block: &[u8; LANES]) -> Marks {
        // SAFETY: NEON belongs to the architecture.
        unsafe { marks_by_neon(end, block) }
    }

    #[inline]
    #[target_feature(enable = "neon")]
    fn marks_by_neon(end: End, block: &[u8; LANES]) -> Marks {
        let bytes = load(block);
        let marked = match end {
            End::Name => {
                // With this bit letters are small, and nothing else is one.
                let letter = within(vorrq_u8(bytes, vdupq_n_u8(0x20)), b'a', b'z');
                // `-`, `.` and the digits are one range but for what is between them.
                let other = vbicq_u8(within(bytes, b'-', b'9'), is(bytes, b'/'));
                vmvnq_u8(vorrq_u8(letter, other))
            }
            End::Text => vorrq_u8(vcleq_u8(bytes, vdupq_n_u8(0x1f)), is(bytes, 0x7f)),
            End::Target => {
                let part = vorrq_u8(is(bytes, b'#'), is(bytes, b'?'));
                vorrq_u8(not_graphic(bytes), part)
            }
        };
        mask(marked)
    }

    /// One load of sixteen bytes, once it is compiled.
    #[inline]
    #[target_feature(enable = "neon")]
    fn load(block: &[u8; LANES]) -> uint8x16_t {
        let halves = u128::from_le_bytes(*block);
        #[expect(clippy::cast_possible_truncation, reason = "one half each")]
        let (low, high) = (halves as u64, (halves >> 64) as u64);
        vreinterpretq_u8_u64(vcombine_u64(vcreate_u64(low), vcreate_u64(high)))
    }

    #[inline]
    #[target_feature(enable = "neon")]
    fn is(bytes: uint8x16_t, byte: u8) -> uint8x16_t {
        vceqq_u8(bytes, vdupq_n_u8(byte))
    }

    #[inline]
    #[target_feature(enable = "neon")]
    fn within(bytes: uint8x16_t, first: u8, last: u8) -> uint8x16_t {
        let above = vsubq_u8(bytes, vdupq_n_u8(first));
        vcleq_u8(above, vdupq_n_u8(last.wrapping_sub(first)))
    }

    #[inline]
    #[target_feature(enable = "neon")]
    fn not_graphic(bytes: uint8x16_t) -> uint8x16_t {
        let above = vsubq_u8(bytes, vdupq_n_u8(0x21));
        vcgtq_u8(above, vdupq_n_u8(0x7e - 0x21))
    }

    /// Four bits of each lane: NEON has no instruction that gathers one.
    #[inline]
    #[target_feature(enable = "neon")]
    fn mask(lanes: uint8x16_t) -> Marks {
        let narrow = vshrn_n_u16::<4>(vreinterpretq_u16_u8(lanes));
        vget_lane_u64::<0>(vreinterpret_u64_u8(narrow))
    }
}

#[cfg(any(test, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
mod one_by_one {
    use super::{End, LANES};

    pub(super) type Marks = u32;
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    pub(super) const BITS: usize = 1;

    pub(super) fn marks(end: End, block: &[u8; LANES]) -> Marks {
        let bytes = block.iter().rev();
        bytes.fold(0, |marks, byte| marks << 1 | u32::from(end.is(*byte)))
    }
}

#[cfg(test)]
mod tests {
    use super::{BITS, End, LANES, first, marks, one_by_one};

    const ENDS: [End; 3] = [End::Name, End::Text, End::Target];

    #[test]
    fn each_byte_is_marked_at_each_position_as_its_definition_says() {
        let stride = crate::sim::scaled("one byte in", 1, 37);
        for end in ENDS {
            for byte in (0..=u8::MAX).step_by(stride) {
                for at in 0..LANES {
                    let mut block = [b'a'; LANES];
                    block[at] = byte;
                    let expected = one_by_one::marks(end, &block).trailing_zeros() as usize;
                    let marks = marks(end, &block);
                    let found = (first(marks) < LANES).then(|| first(marks));
                    let expected = (expected < LANES).then_some(expected);
                    assert_eq!(found, expected, "{end:?} {byte} {at}");
                    let count = marks.count_ones() as usize / BITS;
                    assert_eq!(count, usize::from(end.is(byte)), "{end:?} {byte} {at}");
                }
            }
        }
    }

    #[test]
    fn the_first_end_is_found_in_an_input_of_any_length_from_any_position() {
        let len_end = crate::sim::scaled("lengths below", 3 * LANES + 2, LANES + 3);
        for end in ENDS {
            for len in 0..len_end {
                for marked in 0..=len {
                    let mut input = vec![b'a'; len];
                    if let Some(byte) = input.get_mut(marked) {
                        *byte = 0;
                    }
                    for at in 0..=len {
                        let expected = if at <= marked { marked - at } else { len - at };
                        let found = end.len_before(&input[at..], &input);
                        assert_eq!(found, expected, "{end:?} {len} {marked} {at}");
                    }
                }
            }
        }
    }
}
