//! One range of bytes (RFC 9110 §14.1.2).

/// What a `Range` field asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Range {
    /// All of it: the field is not of this form, or has several ranges, which a server may ignore (§14.2).
    All,
    Part(core::ops::Range<u64>),
    /// No byte of the range is there.
    Unsatisfiable,
}

impl Range {
    /// Of something with `len` bytes.
    pub(super) fn of(field: &str, len: u64) -> Self {
        let Some((unit, range)) = field.split_once('=') else {
            return Self::All;
        };
        let Some((first, last)) = range.split_once('-') else {
            return Self::All;
        };
        if !unit.eq_ignore_ascii_case("bytes") {
            return Self::All;
        }
        let part = match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(len),
            (Some(first), None) if last.is_empty() => first..len,
            (None, Some(suffix)) if first.is_empty() => len.saturating_sub(suffix)..len,
            _ => return Self::All,
        };
        if part.is_empty() {
            Self::Unsatisfiable
        } else {
            Self::Part(part)
        }
    }
}

/// Digits; a number beyond any file is as large as may be.
fn number(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::Range;

    #[test]
    fn a_range_is_a_part_of_the_file_or_none() {
        let huge = "9".repeat(40);
        for (field, len, expected) in [
            ("bytes=0-0", 10, Range::Part(0..1)),
            ("bytes=0-9", 10, Range::Part(0..10)),
            ("bytes=3-", 10, Range::Part(3..10)),
            ("bytes=-3", 10, Range::Part(7..10)),
            ("bytes=-30", 10, Range::Part(0..10)),
            ("BYTES = 1-2 ", 10, Range::All),
            ("Bytes=1-2", 10, Range::Part(1..3)),
            ("bytes=9-100", 10, Range::Part(9..10)),
            ("bytes=10-", 10, Range::Unsatisfiable),
            ("bytes=10-11", 10, Range::Unsatisfiable),
            ("bytes=-0", 10, Range::Unsatisfiable),
            ("bytes=0-", 0, Range::Unsatisfiable),
            ("bytes=-1", 0, Range::Unsatisfiable),
            (&format!("bytes=0-{huge}"), 10, Range::Part(0..10)),
            (&format!("bytes={huge}-"), 10, Range::Unsatisfiable),
            (&format!("bytes=-{huge}"), 10, Range::Part(0..10)),
            ("bytes=2-1", 10, Range::All),
            ("bytes=0-1,3-4", 10, Range::All),
            ("bytes=-", 10, Range::All),
            ("bytes=", 10, Range::All),
            ("bytes=a-b", 10, Range::All),
            ("bytes=+1-2", 10, Range::All),
            ("bytes=1--2", 10, Range::All),
            ("lines=1-2", 10, Range::All),
            ("1-2", 10, Range::All),
            ("", 10, Range::All),
        ] {
            assert_eq!(Range::of(field, len), expected, "{field} of {len}");
        }
    }
}
