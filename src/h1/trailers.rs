//! The trailer section of a chunked body (RFC 9112 §7.1.2): fields as in a head, except those that frame.

use super::cursor::Cursor;
use super::framing::is_framing_field;
use super::head::{HeadIndex, HeadLimits, Scan, Section, find_end, index_fields};
use super::refusal::Refusal;

/// Checks the trailer section that `input` begins with, and returns its length; `None` if it is incomplete.
pub(crate) fn parse_trailers(
    input: &[u8],
    scan: &mut Scan,
    limits: &HeadLimits,
) -> Result<Option<usize>, Refusal> {
    let Some(end) = find_end(input, scan, Section::Trailers, limits)? else {
        return Ok(None);
    };
    *scan = Scan::NEW;
    if end == 2 {
        // An empty section is only its empty line.
        return Ok(Some(end));
    }
    for (name, _) in trailer_fields(Cursor::new(input).take(end), limits)? {
        if is_framing_field(name) {
            return Err(Refusal::TrailerField);
        }
    }
    Ok(Some(end))
}

/// The fields of a complete trailer section.
pub(crate) fn trailer_fields<'a>(
    section: &'a [u8],
    limits: &HeadLimits,
) -> Result<Vec<(&'a str, &'a [u8])>, Refusal> {
    let mut index = HeadIndex::default();
    index_fields(section, 0, limits, &mut index)?;
    Ok(index.fields_of(section).collect())
}
