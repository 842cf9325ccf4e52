//! The quick path: parses a complete and plain head in one pass.

use super::fields::{Fields, Line, Span};
use super::index::{HeadIndex, HeadLimits, METHOD_LEN_MAX, TargetForm, Version};
use crate::h1::vector::{End, target_len};

/// `None` if something is missing, malformed or unusual: the careful path finds out which.
pub(crate) fn parse_at_once(
    input: &[u8],
    limits: &HeadLimits,
    index: &mut HeadIndex,
) -> Option<usize> {
    let input = input
        .split_at_checked(limits.head_len_max)
        .map_or(input, |(head, _)| head);
    let method_len = if input.starts_with(b"GET ") {
        3
    } else if input.starts_with(b"POST ") {
        4
    } else {
        usual_method(input)?
    };
    let target_start = method_len.wrapping_add(1);
    let (path_end, after) = End::Target.find(input, target_start)?;
    let target_end = if after.starts_with(b"?") {
        path_end.wrapping_add(target_len(input.get(path_end..)?))
    } else {
        path_end
    };
    let len = target_end.wrapping_sub(target_start);
    if input.get(target_start) != Some(&b'/') || len > limits.target_len_max {
        return None;
    }
    // Compares whole words; a pattern would compare byte by byte.
    let version = input.get(target_end..)?.first_chunk::<11>()?;
    let (start, end) = (version.first_chunk::<8>()?, version.last_chunk::<4>()?);
    if start != b" HTTP/1." {
        return None;
    }
    index.version = if end == b".1\r\n" {
        Version::Http11
    } else if end == b".0\r\n" {
        Version::Http10
    } else {
        return None;
    };
    index.method = Span::new(0, method_len);
    index.target = Span::new(target_start, target_end);
    index.path = Span::new(target_start, path_end);
    index.form = TargetForm::Origin;
    index.authority = Span::default();
    let fields_start = target_end.wrapping_add(version.len());
    index_usual_fields(input, fields_start, limits, &mut index.fields)
}

/// The length of the method. Not of CONNECT, which has targets of its own, nor of others that begin like it.
#[inline(never)]
fn usual_method(input: &[u8]) -> Option<usize> {
    let len = End::Name.len_before(input);
    let is_usual = (1..=METHOD_LEN_MAX).contains(&len) && input.first() != Some(&b'C');
    (is_usual && input.get(len) == Some(&b' ')).then_some(len)
}

/// Indexes the field lines from byte `at` on, and returns where the empty line after them ends. `None` as in [`parse_at_once`].
#[inline]
fn index_usual_fields(
    input: &[u8],
    mut at: usize,
    limits: &HeadLimits,
    fields: &mut Fields,
) -> Option<usize> {
    fields.clear();
    loop {
        at = fields.extend_in_place(limits.headers_max, at, |at| usual_line(input, at));
        if input.get(at..)?.starts_with(b"\r\n") {
            return Some(at.wrapping_add(2));
        }
        if !fields.is_full() {
            return None;
        }
        fields.grow();
    }
}

/// The field line at `at`. The usual line has no rare byte in its name, one space before its value, and no other white space around
/// it.
#[inline]
fn usual_line(input: &[u8], at: usize) -> Option<Line> {
    let (name_end, [b':', b' ', first, _]) = End::Name.find(input, at)? else {
        return None;
    };
    let start = name_end.wrapping_add(2);
    let (end, after @ [b'\r', b'\n', ..]) = End::Text.find(input, start)? else {
        return None;
    };
    // The byte before an empty value is the space after the colon.
    let has_space_at_end = input.get(end.wrapping_sub(1)) == Some(&b' ') && end > start;
    if first == b' ' || has_space_at_end {
        return None;
    }
    let fourth = input.get(name_end.checked_sub(4)?)?;
    if name_end == at {
        return None;
    }
    Some(Line {
        name: Span::new(at, name_end),
        value: Span::new(start, end),
        fourth: *fourth,
        next: end.wrapping_add(2),
        is_last: after == *b"\r\n\r\n",
    })
}
