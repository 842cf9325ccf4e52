//! Timestamps in the platform's formats, and request ids, which begin with one.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const SECONDS_A_DAY: u64 = 86_400;

/// `2026-01-31T08:09:10.123`, in UTC, as log records begin.
pub(crate) fn stamp_millis(at: SystemTime) -> String {
    let since = since_epoch(at);
    format!(
        "{}.{:03}",
        seconds_text(since.as_secs()),
        since.subsec_millis()
    )
}

/// `2026-01-31T08:09:10.123456789Z`, as log lines begin in the old error texts.
pub(crate) fn stamp_nanos(at: SystemTime) -> String {
    let since = since_epoch(at);
    format!(
        "{}.{:09}Z",
        seconds_text(since.as_secs()),
        since.subsec_nanos()
    )
}

/// `2026-01-31T08:09:10Z`, for a number of seconds since 1970, as the documents of images have it.
pub(crate) fn stamp_seconds(seconds: u64) -> String {
    format!("{}Z", seconds_text(seconds))
}

/// `1-<8 hex seconds>-<8 hex>-<12 hex>`, the request id of 3.0.
pub(crate) fn request_id() -> String {
    let seconds = since_epoch(SystemTime::now()).as_secs() & 0xffff_ffff;
    let (high, low) = (random(), random());
    format!(
        "1-{seconds:08x}-{:08x}-{:012x}",
        high >> 32,
        low & 0xffff_ffff_ffff
    )
}

/// A UUID, the request id of hooks.
pub(crate) fn hook_id() -> String {
    let (high, low) = (random(), random());
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        0x8000 | (low >> 48 & 0x3fff),
        low & 0xffff_ffff_ffff
    )
}

/// Sixty-four random bits, not for secrets.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// A duration for display: `840 µs`, `12.3 ms`, `4.56 s`.
pub(crate) fn human(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 0.001 {
        format!("{:.0} µs", seconds * 1e6)
    } else if seconds < 1.0 {
        format!("{:.1} ms", seconds * 1e3)
    } else {
        format!("{seconds:.2} s")
    }
}

/// Seconds without trailing zeros: `120`, `1.5`.
pub(crate) fn plain_seconds(duration: Duration) -> String {
    let text = format!("{:.3}", duration.as_secs_f64());
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn since_epoch(at: SystemTime) -> Duration {
    at.duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn seconds_text(seconds: u64) -> String {
    let (year, month, day) = civil(seconds / SECONDS_A_DAY);
    let rest = seconds % SECONDS_A_DAY;
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

/// Days since 1970 to year, month and day: eras of 400 years that begin on 1 March, so that a leap day comes last.
const fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + (month <= 2) as u64;
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leap_days_and_new_years_are_formatted_correctly() {
        let at = |seconds| stamp_millis(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00.000");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00.000");
        assert_eq!(at(1_735_689_599), "2024-12-31T23:59:59.000");
        assert_eq!(stamp_seconds(8_589_934_591), "2242-03-16T12:56:31Z");
    }

    #[test]
    fn a_request_id_has_the_platforms_shape() {
        let id = request_id();
        let lengths: Vec<usize> = id.split('-').map(str::len).collect();
        assert_eq!(lengths, [1, 8, 8, 12], "{id}");
        assert!(id.starts_with("1-"), "{id}");
    }
}
