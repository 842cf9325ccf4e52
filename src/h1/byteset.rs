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
