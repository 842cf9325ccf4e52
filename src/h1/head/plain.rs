//! The quick path: a head that is whole and plain, in one pass.

use super::{FieldSpan, HeadIndex, HeadLimits, METHOD_LEN_MAX, Span, Version, index_form};
use crate::h1::byteset::{target_len, text_len, token_len};

/// `None` means: something is missing, wrong or unusual, and the careful path will say which.
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
    let (method, behind) = input.split_at_checked(method_len)?;
    let behind = behind.strip_prefix(b" ")?;
    let (target, behind) = behind.split_at_checked(target_len(behind))?;
    if method.is_empty()
        || method.len() > METHOD_LEN_MAX
        || target.is_empty()
        || target.len() > limits.target_len_max
    {
        return None;
    }
    let (version, fields) = behind.split_first_chunk::<11>()?;
    // Compared as words: a pattern would be compared byte by byte.
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

/// Indexes field lines from byte `at` on, and gives where the empty line behind them ends. `None` as in the quick path.
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
        let behind = line.get(name_len..)?;
        let (value_start, value_len, next) = match behind {
            [b':', b' ', value @ ..] => {
                let value_len = text_len(value);
                let (text, next) = value.split_at_checked(value_len)?;
                match (text, next) {
                    // As most are: one space before the value, and no other white space around it.
                    ([b'!'..=0xff, .., b'!'..=0xff], [b'\r', b'\n', ..]) => {
                        (2, value_len, value_len.wrapping_add(4))
                    }
                    _ => any_value(behind)?,
                }
            }
            _ => any_value(behind)?,
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

/// Where behind a name its value begins, how long it is, and where the next line begins.
#[inline(never)]
fn any_value(behind: &[u8]) -> Option<(usize, usize, usize)> {
    let mut value = behind.strip_prefix(b":")?;
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    let start = behind.len().wrapping_sub(value.len());
    let mut value_len = text_len(value);
    while let Some([b'\t', behind @ ..]) = value.get(value_len..) {
        value_len = value_len.wrapping_add(1).wrapping_add(text_len(behind));
    }
    let (mut value, rest) = value.split_at_checked(value_len)?;
    let next = rest.strip_prefix(b"\r\n")?;
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    Some((start, value.len(), behind.len().wrapping_sub(next.len())))
}
