//! Sixteen bytes at once: the first that ends a field name, a field value or a request target. An island of unsafe code, for
//! the vector instructions that every processor of an architecture has, and for text of what they found to be ASCII.
//!
//! SSE2 belongs to x86-64 and NEON to aarch64, so nothing is asked when the program runs. A build for SSE4.2, such as ours for the
//! platform, has one instruction that does the work of a dozen. Elsewhere each byte is looked at, which is also what the tests
//! compare with. `cargo bench --bench instructions` counts what it is worth.

use core::hint::{assert_unchecked, cold_path};

use crate::limits::HEAD_LEN_CEILING;

/// Bytes that are looked at together.
pub(super) const LANES: usize = 16;

/// Bytes that are looked at together with an end: as many as the last field line has after its name, at least.
pub(super) const AFTER: usize = 4;

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
    #[cfg(any(test, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
    const fn is(self, byte: u8) -> bool {
        match self {
            Self::Name => !byte.is_ascii_alphanumeric() && !matches!(byte, b'-' | b'.'),
            Self::Text => byte.is_ascii_control(),
            Self::Target => !byte.is_ascii_graphic() || matches!(byte, b'#' | b'?'),
        }
    }

    /// The position of the first such byte from `at` on, and the four bytes from there on; `None` if there are fewer. What comes
    /// before `at` has no NUL: the block that holds the last bytes begins there.
    #[inline]
    #[expect(
        unsafe_code,
        reason = "with checks the compiler can't leave out this takes a quarter more instructions"
    )]
    pub(super) fn find(self, bytes: &[u8], at: usize) -> Option<(usize, [u8; AFTER])> {
        // What lies further is not in a head.
        let bytes = bytes.get(..HEAD_LEN_CEILING).unwrap_or(bytes);
        let found = self.position_by(bytes, at, add_in_head);
        if found >= bytes.len().saturating_sub(AFTER - 1) {
            return None;
        }
        // SAFETY: it was found in what follows `at` in `bytes`.
        unsafe { assert_unchecked(found >= at && found < bytes.len()) };
        // SAFETY: four bytes begin there, see above.
        let after = unsafe { *bytes.as_ptr().add(found).cast::<[u8; AFTER]>() };
        Some((found, after))
    }

    /// The position alone; that of the end of `bytes` if there is no such byte.
    #[inline]
    pub(super) fn position(self, bytes: &[u8], at: usize) -> usize {
        self.position_by(bytes, at, usize::wrapping_add)
    }

    #[inline]
    #[expect(unsafe_code, reason = "as above")]
    fn position_by(
        self,
        bytes: &[u8],
        mut at: usize,
        add: impl Fn(usize, usize) -> usize,
    ) -> usize {
        // One more than the last place where a block fits.
        let ends = bytes.len().saturating_sub(LANES - 1);
        while at < ends {
            // SAFETY: sixteen bytes begin at `at`, see above.
            let block = unsafe { &*bytes.as_ptr().add(at).cast::<[u8; LANES]>() };
            let len = first(self, block);
            if len < LANES {
                return add(at, len);
            }
            at = at.wrapping_add(LANES);
        }
        cold_path();
        self.position_in_rest(bytes, at)
    }

    /// The same if fewer than sixteen bytes follow `at`.
    #[inline(never)] // Most heads need this once, for their last line.
    fn position_in_rest(self, bytes: &[u8], at: usize) -> usize {
        let rest = bytes.get(at..).unwrap_or_default();
        let len = match bytes.last_chunk() {
            // The last block begins before `at`.
            Some(block) => {
                let from = LANES.saturating_sub(rest.len());
                first_from(self, block, from).wrapping_sub(from)
            }
            // Each end has the NUL of the padding.
            None => first_from(self, &padded(rest), 0),
        };
        at.wrapping_add(len.min(rest.len()))
    }

    /// The bytes before the first such byte, all of them if there is none.
    #[inline(never)] // Each end has a loop in it; only the usual field lines need theirs in place.
    pub(super) fn len_before(self, bytes: &[u8]) -> usize {
        self.position(bytes, 0)
    }

    /// The same, if `byte` ended nothing.
    #[inline(never)] // Several callers.
    fn len_through(self, byte: u8, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        loop {
            let len = self.len_before(rest);
            rest = rest.get(len..).unwrap_or_default();
            match rest {
                [first, after @ ..] if *first == byte => rest = after,
                _ => return bytes.len().wrapping_sub(rest.len()),
            }
        }
    }
}

/// Adds a length to a position in a head, in 32 bits: the length is the result of an instruction that has as many.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a head is never longer than HEAD_LEN_CEILING"
)]
#[inline]
const fn add_in_head(at: usize, len: usize) -> usize {
    (at as u32).wrapping_add(len as u32) as usize
}

/// The bytes of a field value that `bytes` begins with: no control byte but HTAB (RFC 9110 §5.5).
pub(super) fn value_len(bytes: &[u8]) -> usize {
    End::Text.len_through(b'\t', bytes)
}

/// The bytes of a request target that `bytes` begins with, its query included.
pub(super) fn target_len(bytes: &[u8]) -> usize {
    End::Target.len_through(b'?', bytes)
}

/// Bytes that are known to be ASCII, as text; none if they are not. This takes a fraction of what std's check for UTF-8 takes, and
/// is all that a head's parts need.
#[expect(unsafe_code, reason = "std has no stable conversion from ASCII")]
pub(super) fn text(bytes: &[u8]) -> &str {
    debug_assert!(bytes.is_ascii(), "only ASCII is indexed as text");
    if is_ascii(bytes) {
        // SAFETY: ASCII is UTF-8.
        unsafe { core::str::from_utf8_unchecked(bytes) }
    } else {
        ""
    }
}

/// As std's, which looks at what is shorter than a word byte by byte. The first and the last bytes of a text may overlap.
#[inline]
fn is_ascii(bytes: &[u8]) -> bool {
    // The smallest build has no room for what is quicker.
    if cfg!(smallest) {
        return is_other_ascii(bytes);
    }
    if bytes.len() <= 16
        && let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk())
    {
        let either = u64::from_le_bytes(*first) | u64::from_le_bytes(*last);
        return either & 0x8080_8080_8080_8080 == 0;
    }
    if bytes.len() < 8
        && let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk())
    {
        let either = u32::from_le_bytes(*first) | u32::from_le_bytes(*last);
        return either & 0x8080_8080 == 0;
    }
    is_other_ascii(bytes)
}

#[inline(never)] // Std's is long in place, and each part of a head has one.
const fn is_other_ascii(bytes: &[u8]) -> bool {
    bytes.is_ascii()
}

/// Pads fewer than sixteen bytes with zeros.
pub(super) fn padded(bytes: &[u8]) -> [u8; 16] {
    /// Joins the first and the last `part` bytes. Where they overlap, they agree.
    fn joined(first: u64, last: u64, part: usize, len: usize) -> [u8; 16] {
        #[expect(clippy::cast_possible_truncation, reason = "fewer than sixteen")]
        let others = len.wrapping_sub(part) as u32;
        (u128::from(first) | u128::from(last).wrapping_shl(others.wrapping_mul(8))).to_le_bytes()
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        joined(
            u64::from_le_bytes(*first),
            u64::from_le_bytes(*last),
            8,
            bytes.len(),
        )
    } else if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
        joined(first.into(), last.into(), 4, bytes.len())
    } else {
        let mut run = [0; 16];
        for (place, byte) in run.iter_mut().zip(bytes) {
            *place = *byte;
        }
        run
    }
}

/// Whether these are the bytes of a field value.
pub(crate) fn is_field_value(value: &[u8]) -> bool {
    value_len(value) == value.len()
}

#[cfg(target_arch = "aarch64")]
use neon::first_from;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
use one_by_one::first_from;
#[cfg(all(target_arch = "x86_64", not(target_feature = "sse4.2")))]
use sse2::first_from;
#[cfg(all(target_arch = "x86_64", target_feature = "sse4.2"))]
use sse42::{first, first_from};

/// The position of the first byte that ends the part, or [`LANES`].
#[cfg(not(all(target_arch = "x86_64", target_feature = "sse4.2")))]
#[inline]
fn first(end: End, block: &[u8; LANES]) -> usize {
    first_from(end, block, 0)
}

/// The first bit that is set from this position on, or [`LANES`].
#[cfg(target_arch = "x86_64")]
#[inline]
fn first_mark(marks: u32, from: usize) -> usize {
    ((marks | 1 << LANES) >> from << from).trailing_zeros() as usize
}

/// One load of sixteen bytes, once it is compiled.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "sse2")]
fn load(block: &[u8; LANES]) -> core::arch::x86_64::__m128i {
    let halves = u128::from_le_bytes(*block);
    #[expect(clippy::cast_possible_truncation, reason = "one half each")]
    let (low, high) = (halves as u64, (halves >> 64) as u64);
    core::arch::x86_64::_mm_set_epi64x(high.cast_signed(), low.cast_signed())
}

#[cfg(all(target_arch = "x86_64", any(test, target_feature = "sse4.2")))]
mod sse42 {
    use core::arch::x86_64::{
        _SIDD_BIT_MASK, _SIDD_CMP_RANGES, _SIDD_NEGATIVE_POLARITY, _mm_cmpistri, _mm_cmpistrm,
        _mm_cvtsi128_si32,
    };

    use super::{End, LANES, load};

    /// The position of the first byte that ends the part, or [`LANES`].
    #[cfg(target_feature = "sse4.2")]
    #[inline]
    #[expect(
        unsafe_code,
        reason = "calls a function with target features from one without"
    )]
    pub(super) fn first(end: End, block: &[u8; LANES]) -> usize {
        // SAFETY: this build is for processors with SSE4.2 only.
        unsafe { first_by_sse42(end, block) }
    }

    /// One instruction compares all bytes with up to eight ranges of those that a part may have. It takes NUL for the end of the
    /// block, and so for an end.
    #[inline]
    #[target_feature(enable = "sse4.2")]
    pub(super) fn first_by_sse42(end: End, block: &[u8; LANES]) -> usize {
        const HOW: i32 = _SIDD_CMP_RANGES | _SIDD_NEGATIVE_POLARITY;
        let len = _mm_cmpistri::<HOW>(load(end.ranges()), load(block));
        len.cast_unsigned() as usize
    }

    /// The position of the first byte that ends the part, from this one on, or [`LANES`]. There is no NUL before it.
    #[cfg(target_feature = "sse4.2")]
    #[expect(
        unsafe_code,
        reason = "calls a function with target features from one without"
    )]
    pub(super) fn first_from(end: End, block: &[u8; LANES], from: usize) -> usize {
        // SAFETY: this build is for processors with SSE4.2 only.
        let marks = unsafe { marks_by_sse42(end, block) };
        super::first_mark(marks, from)
    }

    /// One bit a byte.
    #[inline]
    #[target_feature(enable = "sse4.2")]
    pub(super) fn marks_by_sse42(end: End, block: &[u8; LANES]) -> u32 {
        const HOW: i32 = _SIDD_CMP_RANGES | _SIDD_NEGATIVE_POLARITY | _SIDD_BIT_MASK;
        let marks = _mm_cmpistrm::<HOW>(load(end.ranges()), load(block));
        _mm_cvtsi128_si32(marks).cast_unsigned()
    }

    impl End {
        /// The first and the last byte of each range that does not end the part, and NUL.
        const fn ranges(self) -> &'static [u8; LANES] {
            match self {
                Self::Name => b"--..09AZaz\0\0\0\0\0\0",
                Self::Text => b" ~\x80\xff\0\0\0\0\0\0\0\0\0\0\0\0",
                Self::Target => b"!\"$>@~\0\0\0\0\0\0\0\0\0\0",
            }
        }
    }
}

#[cfg(all(target_arch = "x86_64", any(test, not(target_feature = "sse4.2"))))]
mod sse2 {
    use core::arch::x86_64::{
        __m128i, _mm_add_epi8, _mm_andnot_si128, _mm_cmpeq_epi8, _mm_cmpgt_epi8, _mm_cmplt_epi8,
        _mm_movemask_epi8, _mm_or_si128, _mm_set1_epi8,
    };

    use super::{End, LANES, load};

    /// The position of the first byte that ends the part, from this one on, or [`LANES`].
    #[inline]
    #[expect(
        unsafe_code,
        reason = "calls a function with target features from one without"
    )]
    pub(super) fn first_from(end: End, block: &[u8; LANES], from: usize) -> usize {
        // SAFETY: SSE2 belongs to the architecture.
        let marks = unsafe { marks_by_sse2(end, block) };
        super::first_mark(marks, from)
    }

    /// One bit a byte.
    #[inline]
    #[target_feature(enable = "sse2")]
    fn marks_by_sse2(end: End, block: &[u8; LANES]) -> u32 {
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
    fn mask(lanes: __m128i) -> u32 {
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

    /// The position of the first byte that ends the part, from this one on, or [`LANES`].
    #[inline]
    #[expect(
        unsafe_code,
        reason = "calls a function with target features from one without"
    )]
    pub(super) fn first_from(end: End, block: &[u8; LANES], from: usize) -> usize {
        // SAFETY: NEON belongs to the architecture.
        let marks = unsafe { marks_by_neon(end, block) };
        // From the end on there is nothing, and 64 bits cannot be shifted by 64.
        let marks = u32::try_from(from.saturating_mul(4))
            .map_or(0, |bits| marks.unbounded_shr(bits).unbounded_shl(bits));
        marks.trailing_zeros() as usize / 4
    }

    /// Four bits a byte.
    #[inline]
    #[target_feature(enable = "neon")]
    fn marks_by_neon(end: End, block: &[u8; LANES]) -> u64 {
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
    fn mask(lanes: uint8x16_t) -> u64 {
        let narrow = vshrn_n_u16::<4>(vreinterpretq_u16_u8(lanes));
        vget_lane_u64::<0>(vreinterpret_u64_u8(narrow))
    }
}

#[cfg(any(test, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
mod one_by_one {
    use super::{End, LANES};

    /// The position of the first byte that ends the part, from this one on, or [`LANES`].
    pub(super) fn first_from(end: End, block: &[u8; LANES], from: usize) -> usize {
        let mut positions = block.iter().enumerate().skip(from);
        let found = positions.find(|(_, byte)| end.is(**byte));
        found.map_or(LANES, |(position, _)| position)
    }
}

#[cfg(test)]
mod tests {
    use super::{AFTER, End, LANES, first, first_from, is_ascii, one_by_one};
    #[cfg(target_arch = "x86_64")]
    use super::{
        first_mark,
        sse2::first_from as first_by_sse2,
        sse42::{first_by_sse42, marks_by_sse42},
    };

    const ENDS: [End; 3] = [End::Name, End::Text, End::Target];

    #[test]
    #[cfg_attr(
        target_arch = "x86_64",
        expect(
            unsafe_code,
            reason = "calls a function for a processor that this one is"
        )
    )]
    fn each_byte_ends_a_part_at_each_position_as_its_definition_says() {
        #[cfg(target_arch = "x86_64")]
        let has_sse42 = std::arch::is_x86_feature_detected!("sse4.2");
        let stride = crate::sim::scaled("one byte in", 1, 37);
        for end in ENDS {
            for byte in (0..=u8::MAX).step_by(stride) {
                for at in 0..LANES {
                    let mut block = [b'a'; LANES];
                    block[at] = byte;
                    let expected = if end.is(byte) { at } else { LANES };
                    assert_eq!(one_by_one::first_from(end, &block, 0), expected);
                    assert_eq!(first(end, &block), expected, "{end:?} {byte} {at}");
                    // What follows the first end makes no difference.
                    block[at..].fill(byte);
                    assert_eq!(first(end, &block), expected, "{end:?} {byte} {at}");
                    #[cfg(target_arch = "x86_64")]
                    assert_eq!(first_by_sse2(end, &block, 0), expected);
                    #[cfg(target_arch = "x86_64")]
                    if has_sse42 {
                        // SAFETY: the processor has it.
                        let found = unsafe { first_by_sse42(end, &block) };
                        assert_eq!(found, expected, "{end:?} {byte} {at}");
                    }
                }
            }
        }
    }

    #[test]
    #[cfg_attr(
        target_arch = "x86_64",
        expect(
            unsafe_code,
            reason = "calls a function for a processor that this one is"
        )
    )]
    fn ends_before_a_position_do_not_count_from_there() {
        #[cfg(target_arch = "x86_64")]
        let has_sse42 = std::arch::is_x86_feature_detected!("sse4.2");
        let stride = crate::sim::scaled("one position in", 1, 4);
        let ends = || (0..=LANES).step_by(stride);
        for end in ENDS {
            for (before, after) in ends().flat_map(|at| ends().map(move |to| (at, to))) {
                let mut block = [b'a'; LANES];
                for at in [before, after] {
                    if let Some(byte) = block.get_mut(at) {
                        *byte = b'\n';
                    }
                }
                for from in 0..=LANES {
                    let expected = one_by_one::first_from(end, &block, from);
                    assert_eq!(first_from(end, &block, from), expected, "{before} {after}");
                    #[cfg(target_arch = "x86_64")]
                    assert_eq!(first_by_sse2(end, &block, from), expected);
                    #[cfg(target_arch = "x86_64")]
                    if has_sse42 {
                        // SAFETY: the processor has it.
                        let marks = unsafe { marks_by_sse42(end, &block) };
                        assert_eq!(first_mark(marks, from), expected, "{before} {after}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_first_end_is_found_in_an_input_of_any_length_from_any_position() {
        let len_end = crate::sim::scaled("lengths below", 3 * LANES + 2, LANES + 3);
        let stride = crate::sim::scaled("one end in", 1, 4);
        for end in ENDS {
            for len in 0..len_end {
                for marked in (0..=len).step_by(stride) {
                    let mut input = vec![b'a'; len];
                    if let Some(byte) = input.get_mut(marked) {
                        *byte = b'\n';
                    }
                    for at in 0..=len {
                        let expected = if at <= marked { marked - at } else { len - at };
                        let found = end.len_before(&input[at..]);
                        assert_eq!(found, expected, "{end:?} {len} {marked} {at}");
                        let rest = &input[at + expected..];
                        let after = rest.first_chunk::<AFTER>();
                        let expected = after.map(|after| (at + expected, *after));
                        assert_eq!(end.find(&input, at), expected, "{end:?} {len} {at}");
                    }
                    assert_eq!(end.find(&input, len + 1), None, "{end:?} {len}");
                }
            }
        }
    }

    #[test]
    fn one_byte_that_is_not_ascii_is_seen_at_each_position_of_a_text() {
        for len in 0..40 {
            let mut bytes = vec![0x7f; len];
            assert!(is_ascii(&bytes), "{len}");
            for at in 0..len {
                bytes[at] = 0x80;
                assert!(!is_ascii(&bytes), "{len} {at}");
                bytes[at] = 0x7f;
            }
        }
    }
}
