//! Formats numbers for the lines that the operator reads: std's own formatting brings signs, padding and prefixes, most of a
//! kilobyte in the smallest build.

use core::fmt::{self, Write as _};

pub(super) const DECIMAL: u32 = 10;
pub(super) const HEXADECIMAL: u32 = 16;

/// Counts, sizes and error numbers, in decimal. None is negative.
pub(crate) fn decimal(number: impl TryInto<u64>) -> Decimal {
    Decimal(number.try_into().unwrap_or(u64::MAX))
}

/// See [`decimal`].
pub(crate) struct Decimal(u64);

impl fmt::Display for Decimal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_number(formatter, self.0, DECIMAL)
    }
}

/// A call for each digit, at most twenty of them.
pub(super) fn write_number(
    formatter: &mut fmt::Formatter<'_>,
    number: u64,
    base: u32,
) -> fmt::Result {
    let (before, last) = (number / u64::from(base), number % u64::from(base));
    if before != 0 {
        write_number(formatter, before, base)?;
    }
    let digit = u32::try_from(last).ok();
    let digit = digit.and_then(|digit| char::from_digit(digit, base));
    formatter.write_char(digit.unwrap_or(char::REPLACEMENT_CHARACTER))
}

#[cfg(test)]
mod tests {
    use super::decimal;

    #[test]
    fn a_number_is_shown_as_std_shows_it() {
        for number in [0, 1, 9, 10, 99, 100, 65_535, u64::MAX - 1, u64::MAX] {
            assert_eq!(decimal(number).to_string(), number.to_string());
        }
        assert_eq!(decimal(98_i32).to_string(), "98");
        assert_eq!(
            decimal(u128::from(u64::MAX)).to_string(),
            u64::MAX.to_string()
        );
    }
}
