//! The value of the field `Date`. The caller reads the clock.

/// Length of an IMF-fixdate, in bytes.
pub(crate) const DATE_LEN: usize = 29;

/// The field line `Date` and the empty line, as most heads end: formatted once per second, and copied in one step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DateLine([u8; 39]);

impl DateLine {
    pub(crate) const fn new(date: &[u8; DATE_LEN]) -> Self {
        let mut line = *b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n";
        if let Some((_, rest)) = line.split_at_mut_checked(6)
            && let Some(place) = rest.first_chunk_mut()
        {
            *place = *date;
        }
        Self(line)
    }

    pub(crate) const fn with_empty_line(&self) -> &[u8; 39] {
        &self.0
    }
}

const SECONDS_A_DAY: u64 = 86_400;
/// The first day of 1970 first. One text and no list of texts, whose addresses would take more room than the names.
const WEEKDAYS: &[u8; 21] = b"ThuFriSatSunMonTueWed";
const MONTHS: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
/// The last second of the year 9999: the format has four digits for the year.
const SECOND_MAX: u64 = 253_402_300_799;

/// The IMF-fixdate (RFC 9110 §5.6.7) of a Unix time in seconds.
pub(crate) fn imf_fixdate(unix_seconds: u64) -> [u8; DATE_LEN] {
    let seconds = unix_seconds.min(SECOND_MAX);
    let days = seconds / SECONDS_A_DAY;
    let second = seconds % SECONDS_A_DAY;
    let (year, month, day) = civil_from_days(days);

    let weekday = usize::try_from(days % 7).unwrap_or(0);
    let ([w1, w2, w3], [m1, m2, m3]) = (name(WEEKDAYS, weekday), name(MONTHS, month));
    let ([d1, d2], [c1, c2], [y1, y2]) =
        (two_digits(day), two_digits(year / 100), two_digits(year));
    let ([h1, h2], [n1, n2], [s1, s2]) = (
        two_digits(second / 3600),
        two_digits(second / 60 % 60),
        two_digits(second % 60),
    );
    [
        w1, w2, w3, b',', b' ', d1, d2, b' ', m1, m2, m3, b' ', c1, c2, y1, y2, b' ', h1, h2, b':',
        n1, n2, b':', s1, s2, b' ', b'G', b'M', b'T',
    ]
}

/// The name at this place in a text of names.
fn name(names: &[u8], at: usize) -> [u8; 3] {
    let name = names.as_chunks().0.get(at);
    name.copied().unwrap_or_default()
}

/// The last two digits.
fn two_digits(number: u64) -> [u8; 2] {
    let digit = |value: u64| b'0'.wrapping_add(u8::try_from(value % 10).unwrap_or(0));
    [digit(number / 10), digit(number)]
}

/// Year, month (0–11) and day (1–31) of a day counted from 1970-01-01, by counting in years that begin in March,
/// so that the leap day is a year's last.
pub(crate) fn civil_from_days(days: u64) -> (u64, usize, u64) {
    let shifted = days.saturating_add(719_468);
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let leap_days = (day_of_era / 1_460).saturating_add(day_of_era / 146_096);
    let year_of_era = day_of_era
        .saturating_add(day_of_era / 36_524)
        .saturating_sub(leap_days)
        / 365;
    let days_before_year = year_of_era
        .saturating_mul(365)
        .saturating_add(year_of_era / 4)
        .saturating_sub(year_of_era / 100);
    let day_of_year = day_of_era.saturating_sub(days_before_year);
    let month_from_march = day_of_year.saturating_mul(5).saturating_add(2) / 153;
    let days_before_month = month_from_march.saturating_mul(153).saturating_add(2) / 5;
    let day = day_of_year
        .saturating_sub(days_before_month)
        .saturating_add(1);
    let month = month_from_march.saturating_add(2) % 12;
    let year = era
        .saturating_mul(400)
        .saturating_add(year_of_era)
        .saturating_add(u64::from(month < 2));
    (year, usize::try_from(month).unwrap_or(0), day)
}

#[cfg(test)]
mod tests {
    use super::imf_fixdate;

    #[test]
    fn known_instants_have_their_known_dates() {
        for (seconds, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"),
            (1_709_251_199, "Thu, 29 Feb 2024 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (u64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            assert_eq!(
                core::str::from_utf8(&imf_fixdate(seconds)),
                Ok(text),
                "{seconds}"
            );
        }
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut last = (1970, 0, 1);
        let days_max = crate::sim::scaled("days", 150_000, 800);
        for days in (1..).take(days_max) {
            let now = super::civil_from_days(days);
            let next_day = (now.0 == last.0 && now.1 == last.1 && now.2 == last.2 + 1)
                || (now.2 == 1 && (now.0, now.1) == (last.0, last.1 + 1))
                || (now == (last.0 + 1, 0, 1) && last.1 == 11 && last.2 == 31);
            assert!(next_day, "{last:?} is followed by {now:?}");
            last = now;
        }
    }
}
