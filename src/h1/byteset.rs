//! Sets of allowed bytes. As tables: one load per byte, where a chain of ranges is a dozen instructions. As words: eight
//! bytes at once, where nearly all bytes are allowed.

use super::cursor::Cursor;

/// RFC 9110 §5.6.2: whether a byte is allowed in a token.
pub(crate) fn is_token_byte(byte: u8) -> bool {
    TOKEN.has(byte)
}

/// Compares a token with a field name, ignoring case. Setting one bit makes letters lower-case, and turns no other byte of a
/// token into a letter or a hyphen. Without an early end, since the compiler then compares sixteen bytes at once.
pub(super) fn is_named<const LEN: usize>(token: &[u8], lowercase: &[u8; LEN]) -> bool {
    token.as_array::<LEN>().is_some_and(|token| {
        let pairs = token.iter().zip(lowercase);
        pairs.fold(true, |same, (byte, small)| same & (byte | 0x20 == *small))
    })
}

/// The length of the token that `bytes` begins with.
pub(super) fn token_len(bytes: &[u8]) -> usize {
    TOKEN.len_of(bytes)
}

/// The length of the unreserved bytes and sub-delims that `bytes` begins with: those that a registered name has unencoded
/// (RFC 3986 §3.2.2).
pub(super) fn name_len(bytes: &[u8]) -> usize {
    NAME.len_of(bytes)
}

/// The length of the bytes allowed in a request target that `bytes` begins with: visible ASCII except `#`, which begins a
/// fragment and is never sent (RFC 3986 §3.5).
pub(super) fn target_len(bytes: &[u8]) -> usize {
    let is_bad = |byte: u8| byte <= b' ' || byte >= 0x7f || byte == b'#';
    let bad =
        |word: u64| below(word, 0x21) | equal(word, 0x7f) | equal(word, b'#') | (word & HIGH_BITS);
    clean_len(bytes, bad, is_bad)
}

/// The length of what `bytes` begins with up to the first control byte. HTAB is one.
#[inline(never)]
pub(super) fn text_len(bytes: &[u8]) -> usize {
    let is_bad = |byte: u8| byte < b' ' || byte == 0x7f;
    clean_len(bytes, |word| below(word, b' ') | equal(word, 0x7f), is_bad)
}

/// The length before the first bad byte. `bad_in` marks the bad bytes of a word in their highest bits; after the first one
/// its marks may be wrong.
fn clean_len(bytes: &[u8], bad_in: impl Fn(u64) -> u64, is_bad: impl Fn(u8) -> bool) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut len = 0_usize;
    for word in words {
        let bad = bad_in(u64::from_le_bytes(*word));
        if bad != 0 {
            // The lowest byte of the word is the first.
            return len.wrapping_add(bad.trailing_zeros() as usize / 8);
        }
        len = len.wrapping_add(8);
    }
    let end = rest.iter().position(|byte| is_bad(*byte));
    len.wrapping_add(end.unwrap_or(rest.len()))
}

const LOW_BITS: u64 = u64::from_le_bytes([1; 8]);
const HIGH_BITS: u64 = u64::from_le_bytes([0x80; 8]);

/// Marks the bytes below `bound`, which is at most 0x80. Because of a borrow, only marks above a correct one can be wrong.
const fn below(word: u64, bound: u8) -> u64 {
    word.wrapping_sub(LOW_BITS.wrapping_mul(bound as u64)) & !word & HIGH_BITS
}

/// Marks the bytes equal to `byte`, with the same restriction.
const fn equal(word: u64, byte: u8) -> u64 {
    below(word ^ LOW_BITS.wrapping_mul(byte as u64), 1)
}

/// The two sets in one table, with one bit each.
static SETS: [u8; 256] = {
    let mut table = [0; 256];
    add(&mut table, TOKEN, b"!#$%&'*+-.^_`|~");
    add(&mut table, NAME, b"-._~!$&'()*+,;=");
    table
};

const TOKEN: ByteSet = ByteSet(1);
const NAME: ByteSet = ByteSet(2);

#[expect(
    clippy::indexing_slicing,
    reason = "a byte is always an index into 256 entries"
)]
const fn add(table: &mut [u8; 256], set: ByteSet, bytes: &[u8]) {
    let mut byte = 0_u8;
    while byte < 0x80 {
        if byte.is_ascii_alphanumeric() {
            table[byte as usize] |= set.0;
        }
        byte = byte.wrapping_add(1);
    }
    let mut rest = bytes;
    while let [byte, others @ ..] = rest {
        table[*byte as usize] |= set.0;
        rest = others;
    }
}

/// A set of bytes that includes all letters and digits, as its bit in the table.
#[derive(Clone, Copy)]
struct ByteSet(u8);

impl ByteSet {
    #[expect(
        clippy::indexing_slicing,
        reason = "a byte is always an index into 256 entries"
    )]
    const fn mark(byte: u8) -> u8 {
        SETS[byte as usize]
    }

    const fn has(self, byte: u8) -> bool {
        Self::mark(byte) & self.0 != 0
    }

    /// The length of the bytes in the set that `bytes` begins with. Four at a time, with one branch for all of them.
    #[inline(never)]
    fn len_of(self, bytes: &[u8]) -> usize {
        let marks = |four: &[u8; 4]| {
            four.iter()
                .fold(self.0, |all, byte| all & Self::mark(*byte))
        };
        let mut len = 0_usize;
        for four in bytes.as_chunks::<4>().0 {
            if marks(four) == 0 {
                break;
            }
            len = len.wrapping_add(4);
        }
        let rest = Cursor::at(bytes, len).rest();
        let end = rest.iter().position(|byte| !self.has(*byte));
        len.wrapping_add(end.unwrap_or(rest.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::{
        ByteSet, NAME, TOKEN, add, is_named, is_token_byte, name_len, target_len, text_len,
        token_len,
    };

    #[test]
    fn the_first_bad_byte_is_found_at_every_position() {
        let is_target = |byte: u8| matches!(byte, 0x21..0x7f) && byte != b'#';
        let is_text = |byte: u8| byte >= b' ' && byte != 0x7f;
        let stride = crate::sim::scaled("one byte in", 1, 37);
        for byte in (0..=255_u8).step_by(stride) {
            for at in 0..20 {
                for after in [0, b'\r', b'a', 0x7f, 0x80, 0xff] {
                    let mut bytes = [b'a'; 20];
                    bytes[at] = byte;
                    if let Some(next) = bytes.get_mut(at + 1) {
                        *next = after;
                    }
                    let first = |is_good: fn(u8) -> bool| {
                        bytes.iter().position(|byte| !is_good(*byte)).unwrap_or(20)
                    };
                    assert_eq!(target_len(&bytes), first(is_target), "{bytes:?}");
                    assert_eq!(text_len(&bytes), first(is_text), "{bytes:?}");
                    assert_eq!(token_len(&bytes), first(is_token_byte), "{bytes:?}");
                }
            }
        }
    }

    #[test]
    fn each_table_has_exactly_the_bytes_of_its_grammar() {
        for byte in 0..=u8::MAX {
            let is_letter_or_digit = matches!(byte, b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z');
            // RFC 9110 §5.6.2, tchar.
            let is_tchar = is_letter_or_digit || b"!#$%&'*+-.^_`|~".contains(&byte);
            assert_eq!(is_token_byte(byte), is_tchar, "{byte}");
            // RFC 3986 §2.2 and §2.3, sub-delims and unreserved.
            let is_name_byte = is_letter_or_digit || b"!$&'()*+,;=-._~".contains(&byte);
            assert_eq!(name_len(&[byte]) == 1, is_name_byte, "{byte}");
        }
    }

    #[test]
    fn a_name_matches_in_any_case_and_no_other_name_does() {
        for name in ["keep-alive", "KEEP-ALIVE", "Keep-Alive"] {
            assert!(is_named(name.as_bytes(), b"keep-alive"), "{name}");
        }
        for name in ["", "keep-aliv", "keep-alive2", "keep_alive", "keep-alivf"] {
            assert!(!is_named(name.as_bytes(), b"keep-alive"), "{name}");
        }
    }

    #[test]
    fn a_set_has_letters_digits_and_the_bytes_added() {
        let mut table = [0; 256];
        add(&mut table, TOKEN, b"\0-\xff");
        add(&mut table, NAME, b"-");
        let of = |set: ByteSet| {
            table
                .iter()
                .filter(move |marks| *marks & set.0 != 0)
                .count()
        };
        assert_eq!((of(TOKEN), of(NAME)), (3 + 10 + 26 + 26, 1 + 10 + 26 + 26));
    }
}
