//! Moving along received bytes, with checks in one place.

/// What is left of a slice of bytes, and how far it has been read.
///
/// A move past the end is a defect of ours, never of the peer's: a debug build stops there, a release reads nothing more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
    whole_len: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            whole_len: bytes.len(),
        }
    }

    /// A cursor that has already read `position` bytes.
    #[inline]
    pub(crate) fn at(bytes: &'a [u8], position: usize) -> Self {
        let mut cursor = Self::new(bytes);
        cursor.skip(position);
        cursor
    }

    /// Bytes that have been read.
    pub(crate) const fn position(&self) -> usize {
        self.whole_len.wrapping_sub(self.rest.len())
    }

    /// Bytes that have not been read.
    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `len` bytes, without reading them; `None` if there are fewer.
    #[inline]
    pub(crate) fn peek(&self, len: usize) -> Option<&'a [u8]> {
        self.rest.get(..len)
    }

    /// Reads the next `len` bytes, of which there must be as many.
    #[inline]
    pub(crate) fn take(&mut self, len: usize) -> &'a [u8] {
        debug_assert!(len <= self.rest.len(), "a cursor moved past the end");
        let (taken, rest) = self.rest.split_at_checked(len).unwrap_or_default();
        self.rest = rest;
        taken
    }

    /// Passes over the next `len` bytes, of which there must be as many.
    #[inline]
    pub(crate) fn skip(&mut self, len: usize) {
        self.take(len);
    }
}

#[cfg(test)]
mod tests {
    use super::Cursor;

    #[test]
    fn what_was_read_and_what_is_left_make_up_the_whole() {
        let mut cursor = Cursor::at(b"abcdef", 1);
        assert_eq!((cursor.position(), cursor.rest()), (1, &b"bcdef"[..]));
        assert_eq!(cursor.take(2), b"bc");
        assert_eq!(cursor.peek(3), Some(&b"def"[..]));
        assert_eq!(cursor.peek(4), None);
        cursor.skip(3);
        assert!(cursor.is_empty());
        assert_eq!((cursor.position(), cursor.take(0)), (6, &b""[..]));
    }

    #[test]
    #[cfg_attr(debug_assertions, should_panic(expected = "past the end"))]
    fn a_move_past_the_end_is_caught_in_a_debug_build_and_reads_nothing_in_a_release() {
        let mut cursor = Cursor::at(b"abc", 1);
        assert_eq!(cursor.take(3), b"");
        assert!(cursor.is_empty());
    }
}
