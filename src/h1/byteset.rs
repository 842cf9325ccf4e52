//! Sets of allowed bytes as tables: one load per byte, where a chain of ranges is a dozen instructions.

use super::cursor::Cursor;

/// RFC 9110 §5.6.2: whether a byte is allowed in a token.
pub(super) fn is_token_byte(byte: u8) -> bool {
    TOKEN.has(byte)
}

/// Compares a token, or a part of a field value, with a name in lower case. Setting one bit makes letters lower-case, and turns no
/// other byte of either into a letter or a hyphen. Words at once, of which the last may overlap the one before, and is compared
/// first: many names begin alike.
pub(super) fn is_named<const LEN: usize>(token: &[u8], lowercase: &[u8; LEN]) -> bool {
    token.as_array::<LEN>().is_some_and(|token| match LEN {
        8.. => are_same_words(token, lowercase, |word: &[u8; 8]| {
            u64::from_ne_bytes(*word) | u64::from_ne_bytes(*b"        ")
        }),
        4.. => are_same_words(token, lowercase, |word: &[u8; 4]| {
            u32::from_ne_bytes(*word) | u32::from_ne_bytes(*b"    ")
        }),
        _ => are_same_words(token, lowercase, |[byte]| byte | b' '),
    })
}

/// Compares in words of `WORD` bytes, of which `small` makes a number that is the same in upper and lower case.
#[inline]
fn are_same_words<const LEN: usize, const WORD: usize, N: PartialEq>(
    token: &[u8; LEN],
    lowercase: &[u8; LEN],
    small: impl Fn(&[u8; WORD]) -> N,
) -> bool {
    let is_same = |(token, lowercase)| small(token) == small(lowercase);
    let last = token.last_chunk().zip(lowercase.last_chunk());
    let others = token.as_chunks().0.iter().zip(lowercase.as_chunks().0);
    last.is_some_and(is_same) && others.into_iter().all(is_same)
}

/// The length of the token that `bytes` begins with.
pub(super) fn token_len(bytes: &[u8]) -> usize {
    TOKEN.len_of(bytes)
}

/// RFC 9110 §5.6.2: whether all bytes are allowed in a token, and there is one.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && token_len(bytes) == bytes.len()
}

/// The length of the unreserved bytes and sub-delims that `bytes` begins with: those that a registered name has unencoded
/// (RFC 3986 §3.2.2).
pub(super) fn name_len(bytes: &[u8]) -> usize {
    NAME.len_of(bytes)
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
    use super::{ByteSet, NAME, TOKEN, add, is_named, is_token_byte, name_len, token_len};

    #[test]
    fn a_token_ends_at_its_first_other_byte_at_every_position() {
        for byte in 0..=255_u8 {
            for at in 0..9 {
                let mut bytes = [b'a'; 9];
                bytes[at] = byte;
                let first = bytes.iter().position(|byte| !is_token_byte(*byte));
                assert_eq!(token_len(&bytes), first.unwrap_or(9), "{bytes:?}");
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
        fn check<const LEN: usize>(name: &[u8; LEN]) {
            for same in [name.to_vec(), name.to_ascii_uppercase()] {
                assert!(is_named(&same, name), "{}", same.escape_ascii());
                for at in 0..LEN {
                    for other in [b'_', b'0', same[at] ^ 1] {
                        let mut token = same.clone();
                        token[at] = other;
                        assert!(!is_named(&token, name), "{}", token.escape_ascii());
                    }
                }
                assert!(!is_named(&same[1..], name));
                assert!(!is_named(&[&same[..], b"s"].concat(), name));
            }
        }
        check(b"te");
        check(b"host");
        check(b"expect");
        check(b"upgrade");
        check(b"connection");
        check(b"content-length");
        check(b"transfer-encoding");
        check(b"a-name-of-twenty-two-b");
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
