//! Which bytes may stand where, as tables: one load a byte where a chain of ranges is a dozen instructions.

/// RFC 9110 §5.6.2: a byte that may stand in a token.
pub(crate) fn is_token_byte(byte: u8) -> bool {
    TOKEN.has(byte)
}

/// RFC 3986 §3.2.2: a byte of a registered name that stands for itself: unreserved or sub-delims.
pub(super) fn is_name_byte(byte: u8) -> bool {
    NAME.has(byte)
}

static TOKEN: ByteSet = ByteSet::new(b"!#$%&'*+-.^_`|~").with_alphanumeric();
static NAME: ByteSet = ByteSet::new(b"-._~!$&'()*+,;=").with_alphanumeric();

/// A set of bytes.
struct ByteSet([bool; 256]);

#[expect(
    clippy::indexing_slicing,
    reason = "a byte is never past the end of 256 places"
)]
impl ByteSet {
    const fn new(bytes: &[u8]) -> Self {
        let mut table = [false; 256];
        let mut rest = bytes;
        while let [byte, behind @ ..] = rest {
            table[*byte as usize] = true;
            rest = behind;
        }
        Self(table)
    }

    const fn with_alphanumeric(mut self) -> Self {
        let mut byte = 0_u8;
        while byte < 0x80 {
            if byte.is_ascii_alphanumeric() {
                self.0[byte as usize] = true;
            }
            byte = byte.wrapping_add(1);
        }
        self
    }

    const fn has(&self, byte: u8) -> bool {
        self.0[byte as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::{ByteSet, is_name_byte, is_token_byte};

    #[test]
    fn each_table_has_the_bytes_of_its_grammar_and_no_other() {
        for byte in 0..=u8::MAX {
            let is_letter_or_digit = matches!(byte, b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z');
            // RFC 9110 §5.6.2, tchar.
            let is_tchar = is_letter_or_digit || b"!#$%&'*+-.^_`|~".contains(&byte);
            assert_eq!(is_token_byte(byte), is_tchar, "{byte}");
            // RFC 3986 §2.2 and §2.3, sub-delims and unreserved.
            let stands_for_itself = is_letter_or_digit || b"!$&'()*+,;=-._~".contains(&byte);
            assert_eq!(is_name_byte(byte), stands_for_itself, "{byte}");
        }
    }

    #[test]
    fn a_set_has_what_it_was_made_of() {
        let set = ByteSet::new(b"\0-\xff");
        let found: Vec<u8> = (0..=u8::MAX).filter(|byte| set.has(*byte)).collect();
        assert_eq!(found, b"\0-\xff");
        let more = set.with_alphanumeric();
        let found = (0..=u8::MAX).filter(|byte| more.has(*byte)).count();
        assert_eq!(found, 3 + 10 + 26 + 26);
    }
}
