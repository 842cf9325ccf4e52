//! The quick path: parses a complete and plain head in one pass.

use super::index::{HeadIndex, HeadLimits, METHOD_LEN_MAX, Span, Version};
use super::target::index_form;
use crate::h1::byteset::token_len;
use crate::h1::vector::{End, value_len};

/// `None` if something is missing, malformed or unusual: the careful path finds out which.
pub(super) fn parse_at_once(
    input: &[u8],
    limits: &HeadLimits,
    index: &mut HeadIndex,
) -> Option<usize> {
    let input = input
        .split_at_checked(limits.head_len_max)
        .map_or(input, |(head, _)| head);
    let method_len = if input.starts_with(b"GET ") {
        3
    } else {
        token_len(input)
    };
    let (method, rest) = input.split_at_checked(method_len)?;
    if method.is_empty() || method.len() > METHOD_LEN_MAX || !rest.starts_with(b" ") {
        return None;
    }
    let rest = rest.get(1..)?;
    let target_len = End::Target.len_before(rest, input);
    let (target, rest) = rest.split_at_checked(target_len)?;
    if target.is_empty() || target.len() > limits.target_len_max {
        return None;
    }
    // Compares whole words; a pattern would compare byte by byte.
    let (version, fields) = rest.split_first_chunk::<11>()?;
    index.version = if version == b" HTTP/1.1\r\n" {
        Version::Http11
    } else if version == b" HTTP/1.0\r\n" {
        Version::Http10
    } else {
        return None;
    };
    let target_start = method_len.wrapping_add(1);
    index.method = Span::new(0, method_len);
    index.target = Span::new(target_start, target_start.wrapping_add(target_len));
    index_form(method, target, index).ok()?;
    index_plain_fields(input, fields, limits, index)
}

/// Indexes the field lines that `lines` begins with, and returns where the empty line after them ends. `lines` is the last part
/// of `input`. `None` as in [`parse_at_once`].
fn index_plain_fields(
    input: &[u8],
    mut lines: &[u8],
    limits: &HeadLimits,
    index: &mut HeadIndex,
) -> Option<usize> {
    index.fields.clear();
    loop {
        lines = index_usual_lines(input, lines, limits, index);
        let at = input.len().wrapping_sub(lines.len());
        if lines.starts_with(b"\r\n") {
            return Some(at.wrapping_add(2));
        }
        if index.fields.len() >= limits.headers_max {
            return None;
        }
        let name_len = token_len(lines);
        let (value_start, value_len, next) = any_value(lines.get(name_len..)?)?;
        if name_len == 0 {
            return None;
        }
        index.add_field(at, name_len, value_start, value_len);
        lines = next;
    }
}

/// Indexes the lines before the first that is unusual, and returns it and those after it.
fn index_usual_lines<'a>(
    input: &[u8],
    mut lines: &'a [u8],
    limits: &HeadLimits,
    index: &mut HeadIndex,
) -> &'a [u8] {
    while index.fields.len() < limits.headers_max
        && let Some((name_len, value_len, next)) = usual_line(lines)
    {
        let at = input.len().wrapping_sub(lines.len());
        index.add_field(at, name_len, 2, value_len);
        lines = next;
    }
    lines
}

/// The lengths of the name and the value, and the next lines. The usual line has no rare byte in its name, one space before its
/// value and no other white space around it, and is not the end of what has arrived.
fn usual_line(lines: &[u8]) -> Option<(usize, usize, &[u8])> {
    let name_len = End::Name.len_in_blocks(lines)?;
    let line = lines.get(name_len..)?.strip_prefix(b": ")?;
    let value_len = End::Text.len_in_blocks(line)?;
    let (value, rest) = line.split_at_checked(value_len)?;
    let next = rest.strip_prefix(b"\r\n")?;
    match value {
        [] | [b'!'..=0xff] | [b'!'..=0xff, .., b'!'..=0xff] if name_len > 0 => {
            Some((name_len, value_len, next))
        }
        _ => None,
    }
}

/// After a name: where its value begins, how long it is, and the next lines.
#[inline(never)]
fn any_value(after_name: &[u8]) -> Option<(usize, usize, &[u8])> {
    let mut value = after_name.strip_prefix(b":")?;
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    let start = after_name.len().wrapping_sub(value.len());
    let value_len = value_len(value);
    let (mut value, rest) = value.split_at_checked(value_len)?;
    let next = rest.strip_prefix(b"\r\n")?;
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    Some((start, value.len(), next))
}
