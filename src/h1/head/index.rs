//! What is known of a head: the positions of its parts, its version, and the form of its target.

use crate::h1::cursor::Cursor;
use crate::limits::HEAD_LEN_CEILING;

/// The longest method that is accepted, in bytes: the longest registered one has 17 (RFC 9110 §16.1.1).
pub(super) const METHOD_LEN_MAX: usize = 32;

/// The bounds that a head must keep. All in bytes but `headers_max`, which counts field lines.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadLimits {
    pub(crate) head_len_max: usize,
    pub(crate) target_len_max: usize,
    pub(crate) headers_max: usize,
}

/// The protocol version of a request; a later 1.x is served as 1.1 (RFC 9110 §2.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Version {
    Http10,
    #[default]
    Http11,
}

/// The four forms of a request target (RFC 9112 §3.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum TargetForm {
    #[default]
    Origin,
    Absolute,
    Authority,
    Asterisk,
}

/// A half-open range of bytes in a head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u16,
    pub(super) end: u16,
}

impl Span {
    pub(super) const fn new(start: usize, end: usize) -> Self {
        Self {
            start: Self::position(start),
            end: Self::position(end),
        }
    }

    /// A position in a head, or its end.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a head is never longer than HEAD_LEN_CEILING"
    )]
    pub(super) const fn position(at: usize) -> u16 {
        debug_assert!(
            at <= HEAD_LEN_CEILING,
            "a head longer than HEAD_LEN_CEILING was accepted"
        );
        at as u16
    }

    /// The position of `part`, which httparse borrowed from `whole`.
    pub(super) fn within(whole: &[u8], part: &[u8]) -> Self {
        let start = part.as_ptr().addr().wrapping_sub(whole.as_ptr().addr());
        Self::new(start, start.wrapping_add(part.len()))
    }

    pub(super) fn of(self, bytes: &[u8]) -> &[u8] {
        let len = self.end.saturating_sub(self.start);
        Cursor::at(bytes, usize::from(self.start)).take(usize::from(len))
    }

    pub(super) const fn is_empty(self) -> bool {
        self.start >= self.end
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FieldSpan {
    pub(super) name: Span,
    pub(super) value: Span,
}

/// The positions of a head's parts in its bytes. A worker reuses one for all requests.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeadIndex {
    pub(super) method: Span,
    pub(super) target: Span,
    /// Where the target's path ends: at a `?`, or at its end.
    pub(super) path_end: u16,
    /// The authority inside an absolute-form or authority-form target.
    pub(super) authority: Span,
    pub(super) fields: Vec<FieldSpan>,
    pub(super) form: TargetForm,
    pub(super) version: Version,
}

impl HeadIndex {
    /// Adds the field line at `at`. Its value begins `value_start` bytes after its name.
    #[inline]
    pub(super) fn add_field(
        &mut self,
        at: usize,
        name_len: usize,
        value_start: usize,
        value_len: usize,
    ) {
        let name_end = at.wrapping_add(name_len);
        let start = name_end.wrapping_add(value_start);
        self.fields.push(FieldSpan {
            name: Span::new(at, name_end),
            value: Span::new(start, start.wrapping_add(value_len)),
        });
    }

    /// Names and values of the fields of `section`, which must be the one that was indexed.
    pub(in crate::h1) fn fields_of<'a>(
        &self,
        section: &'a [u8],
    ) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        let named = |field: &FieldSpan| (text(field.name.of(section)), field.value.of(section));
        self.fields.iter().map(named)
    }
}

/// Bytes that are known to be ASCII since the head was indexed, as text.
pub(super) fn text(bytes: &[u8]) -> &str {
    core::str::from_utf8(bytes).unwrap_or_default()
}
