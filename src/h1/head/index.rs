//! What is known of a head: the positions of its parts, its version, and the form of its target.

use super::fields::{FieldSpan, Fields, Span, Wanted};
use crate::h1::vector::text;

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

/// The positions of a head's parts in its bytes. A worker reuses one for all requests.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeadIndex {
    pub(super) method: Span,
    pub(super) target: Span,
    /// The target's path: it ends at a `?`, or where the target ends.
    pub(super) path: Span,
    /// The authority inside an absolute-form or authority-form target.
    pub(super) authority: Span,
    pub(super) fields: Fields,
    pub(super) form: TargetForm,
    pub(super) version: Version,
}

impl HeadIndex {
    /// An index that notes the field lines with wanted names, which are then found without a walk over all lines.
    pub(crate) fn noting(wanted: &'static Wanted) -> Self {
        Self {
            fields: Fields::noting(wanted),
            ..Self::default()
        }
    }

    /// Makes memory for the lines of a usual head.
    pub(crate) fn prepare(&mut self) {
        self.fields.grow();
    }

    /// Names and values of the fields of `section`, which must be the one that was indexed.
    pub(in crate::h1) fn fields_of<'a>(
        &self,
        section: &'a [u8],
    ) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        let named = |field: &FieldSpan| (text(field.name.of(section)), field.value.of(section));
        self.fields.all().iter().map(named)
    }
}
