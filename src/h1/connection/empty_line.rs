//! The empty line that is allowed before a request line (RFC 9112 §2.2).

use crate::h1::refusal::Refusal;

/// How much of the one empty line that is ignored has arrived. It may arrive in two halves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EmptyLine {
    None,
    Half,
    Whole,
}

impl EmptyLine {
    /// The bytes of the empty line that `input` begins with.
    ///
    /// # Errors
    ///
    /// If it is a second one, or none.
    pub(super) fn skip(&mut self, input: &[u8]) -> Result<usize, Refusal> {
        let mut skipped = 0_usize;
        for byte in input {
            *self = match (*self, byte) {
                (Self::None, b'\r') => Self::Half,
                (Self::Half, b'\n') => Self::Whole,
                (Self::Half, _) | (Self::None | Self::Whole, b'\r' | b'\n') => {
                    return Err(Refusal::EmptyLine);
                }
                (Self::None | Self::Whole, _) => break,
            };
            skipped = skipped.saturating_add(1);
        }
        Ok(skipped)
    }
}
