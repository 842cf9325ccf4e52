//! The parts of an indexed head, as text and bytes.

use core::ops::Range;

use super::fields::{FieldSpan, Names, Span};
use super::index::{HeadIndex, TargetForm, Version};
use crate::h1::byteset::is_named;
use crate::h1::vector::text;

/// A head: its bytes and the positions of its parts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadView<'a> {
    bytes: &'a [u8],
    index: &'a HeadIndex,
}

impl<'a> HeadView<'a> {
    pub(crate) const fn new(bytes: &'a [u8], index: &'a HeadIndex) -> Self {
        Self { bytes, index }
    }

    pub(crate) const fn index(self) -> &'a HeadIndex {
        self.index
    }

    /// All of its bytes, from the method to the empty line.
    pub(crate) const fn as_bytes(self) -> &'a [u8] {
        self.bytes
    }

    pub(crate) fn method(self) -> &'a str {
        // A head begins with its method. The smallest build has no room for a second way.
        if cfg!(not(smallest)) && self.bytes.starts_with(b"GET ") {
            "GET"
        } else if cfg!(not(smallest)) && self.bytes.starts_with(b"POST ") {
            "POST"
        } else {
            text(self.index.method.of(self.bytes))
        }
    }

    pub(crate) fn is_head(self) -> bool {
        self.bytes.starts_with(b"HEAD ")
    }

    /// The target as it was sent.
    pub(crate) fn target(self) -> &'a str {
        text(self.index.target.of(self.bytes))
    }

    /// The target without scheme, authority and query; `*` and an authority-form target unchanged. Empty if an absolute-form
    /// target has no path.
    pub(crate) fn path(self) -> &'a str {
        text(self.index.path.of(self.bytes))
    }

    /// What follows the first `?` of the target.
    pub(crate) fn query(self) -> Option<&'a str> {
        let (mark, end) = (self.index.path.end, self.index.target.end);
        (mark < end).then(|| {
            let start = mark.saturating_add(1);
            text(Span { start, end }.of(self.bytes))
        })
    }

    /// Path and query.
    #[cfg(any(test, feature = "_sim"))]
    pub(crate) fn path_and_query(self) -> &'a str {
        let (start, end) = (self.index.path.start, self.index.target.end);
        text(Span { start, end }.of(self.bytes))
    }

    pub(crate) fn authority(self) -> Option<&'a str> {
        let span = self.index.authority;
        (!span.is_empty()).then(|| text(span.of(self.bytes)))
    }

    pub(crate) const fn form(self) -> TargetForm {
        self.index.form
    }

    pub(crate) const fn version(self) -> Version {
        self.index.version
    }

    /// The field lines in the order received: names as sent, values trimmed.
    pub(crate) fn fields(self) -> impl ExactSizeIterator<Item = (&'a str, &'a [u8])> + Clone {
        self.raw_fields()
            .map(|field| (text(field.name()), field.value()))
    }

    /// The same without the conversion to text, for callers that need few of them.
    pub(crate) fn raw_fields(self) -> impl ExactSizeIterator<Item = RawField<'a>> + Clone {
        let bytes = self.bytes;
        let fields = self.index.fields.all().iter();
        fields.map(move |span| RawField { bytes, span })
    }

    /// Whether a line may have one of the names that frame few messages.
    #[inline]
    pub(in crate::h1) const fn may_be_unusual(self) -> bool {
        !self.index.fields.unusual.is_empty()
    }

    /// The lines with names that frame most messages, and perhaps others, if there is no [unusual one](Self::may_be_unusual).
    #[inline]
    pub(in crate::h1) fn usual_fields(self) -> impl Iterator<Item = RawField<'a>> {
        let fields = &self.index.fields;
        self.fields_of(fields.noted(fields.usual))
    }

    /// The lines with names that frame the message, in their order, and perhaps others.
    pub(in crate::h1) fn framing_fields(self) -> impl Iterator<Item = RawField<'a>> {
        let fields = &self.index.fields;
        self.fields_of(fields.some(fields.usual.and(fields.unusual)))
    }

    /// Whether a line may have one of these names, for which the handler looks.
    #[inline]
    pub(crate) const fn may_have(self, names: Names) -> bool {
        !self.index.fields.for_handler(names).is_empty()
    }

    /// The lines with these names, for which the handler looks, in their order, and perhaps others.
    pub(crate) fn fields_with(self, names: Names) -> impl Iterator<Item = RawField<'a>> {
        let fields = &self.index.fields;
        self.fields_of(fields.some(fields.for_handler(names)))
    }

    fn fields_of(
        self,
        spans: impl Iterator<Item = &'a FieldSpan>,
    ) -> impl Iterator<Item = RawField<'a>> {
        let bytes = self.bytes;
        spans.map(move |span| RawField { bytes, span })
    }
}

/// A field line that was not converted yet. The length of its name rules out nearly all other names without reading a
/// byte.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawField<'a> {
    bytes: &'a [u8],
    span: &'a FieldSpan,
}

impl<'a> RawField<'a> {
    pub(crate) fn name_len(self) -> usize {
        self.span.name.len()
    }

    pub(crate) fn name(self) -> &'a [u8] {
        self.span.name.of(self.bytes)
    }

    pub(crate) fn value(self) -> &'a [u8] {
        self.span.value.of(self.bytes)
    }

    /// The head, and where the value is in it.
    pub(in crate::h1) fn value_in_head(self) -> (&'a [u8], Range<usize>) {
        let Span { start, end } = self.span.value;
        (self.bytes, usize::from(start)..usize::from(end))
    }

    pub(crate) fn is_named<const LEN: usize>(self, lowercase: &[u8; LEN]) -> bool {
        is_named(self.name(), lowercase)
    }
}
