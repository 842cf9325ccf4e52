//! The quick path: parses a complete and plain head in one pass.

use super::index::{FieldSpan, HeadIndex, HeadLimits, METHOD_LEN_MAX, Span, Version};
use super::target::index_form;
use crate::h1::byteset::{target_len, text_len, token_len};

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
    let rest = rest.strip_prefix(b" ")?;
    let (target, rest) = rest.split_at_checked(target_len(rest))?;
    if method.is_empty()
        || method.len() > METHOD_LEN_MAX
        || target.is_empty()
        || target.len() > limits.target_len_max
    {
        return None;
    }
    let (version, fields) = rest.split_first_chunk::<11>()?;
    // Compares whole words; a pattern would compare byte by byte.
    index.version = if version == b" HTTP/1.1\r\n" {
        Version::Http11
    } else if version == b" HTTP/1.0\r\n" {
        Version::Http10
    } else {
        return None;
    };
    let target_start = method_len.wrapping_add(1);
    index.method = Span::new(0, method_len);
    index.target = Span::new(target_start, target_start.wrapping_add(target.len()));
    index_form(method, target, index).ok()?;
    let fields_start = input.len().saturating_sub(fields.len());
    index_plain_fields(input, fields_start, limits, index)
}

/// Indexes field lines from byte `at` on, and returns the end of the empty line after them. `None` as in [`parse_at_once`].
fn index_plain_fields(
    input: &[u8],
    mut at: usize,
    limits: &HeadLimits,
    index: &mut HeadIndex,
) -> Option<usize> {
    index.fields.clear();
    loop {
        let line = input.get(at..)?;
        if line.starts_with(b"\r\n") {
            return Some(at.wrapping_add(2));
        }
        if index.fields.len() >= limits.headers_max {
            return None;
        }
        let name_len = token_len(line);
        let after_name = line.get(name_len..)?;
        let (value_start, value_len, next) = match after_name {
            [b':', b' ', value @ ..] => {
                let value_len = text_len(value);
                let (text, next) = value.split_at_checked(value_len)?;
                match (text, next) {
                    // The usual case: one space before the value, and no other white space around it.
                    ([b'!'..=0xff, .., b'!'..=0xff], [b'\r', b'\n', ..]) => {
                        (2, value_len, value_len.wrapping_add(4))
                    }
                    _ => any_value(after_name)?,
                }
            }
            _ => any_value(after_name)?,
        };
        if name_len == 0 {
            return None;
        }
        let name_end = at.wrapping_add(name_len);
        let start = name_end.wrapping_add(value_start);
        index.fields.push(FieldSpan {
            name: Span::new(at, name_end),
            value: Span::new(start, start.wrapping_add(value_len)),
        });
        at = name_end.wrapping_add(next);
    }
}

/// After a name: where its value begins, how long it is, and where the next line begins.
#[inline(never)]
fn any_value(after_name: &[u8]) -> Option<(usize, usize, usize)> {
    let mut value = after_name.strip_prefix(b":")?;
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    let start = after_name.len().wrapping_sub(value.len());
    let mut value_len = text_len(value);
    while let Some([b'\t', text @ ..]) = value.get(value_len..) {
        value_len = value_len.wrapping_add(1).wrapping_add(text_len(text));
    }
    let (mut value, rest) = value.split_at_checked(value_len)?;
    let next = rest.strip_prefix(b"\r\n")?;
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    Some((
        start,
        value.len(),
        after_name.len().wrapping_sub(next.len()),
    ))
}
