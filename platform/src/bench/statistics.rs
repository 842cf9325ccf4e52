//! Medians and quantiles. Not means: one slow start would move a mean.

use std::time::Duration;

/// Two medians of one run are not further apart than this shows.
const DECIMALS_MAX: i32 = 9;
/// Of zero.
const DECIMALS_DEFAULT: i32 = 2;

/// The values of one measurement, sorted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample(Vec<Duration>);

impl Sample {
    /// Adds a value.
    pub(crate) fn push(&mut self, value: Duration) {
        let at = self.0.partition_point(|known| *known <= value);
        self.0.insert(at, value);
    }

    /// In ascending order.
    pub(crate) fn sorted(&self) -> &[Duration] {
        &self.0
    }

    /// The median.
    pub(crate) fn median(&self) -> Duration {
        self.quantile(50)
    }

    /// The value that this many percent of the values do not exceed.
    pub(crate) fn quantile(&self, percent: usize) -> Duration {
        let last = self.0.len().saturating_sub(1);
        self.0
            .get((last * percent + 50) / 100)
            .copied()
            .unwrap_or_default()
    }

    /// This median divided by the other's, for people.
    pub(crate) fn ratio(&self, other: &Self) -> String {
        significant(self.median().as_secs_f64() / other.median().as_secs_f64().max(f64::EPSILON))
    }
}

/// Three significant digits, whatever the size.
fn significant(value: f64) -> String {
    let decimals = (0..DECIMALS_MAX).find(|decimals| {
        let shown = value * 10_f64.powi(*decimals);
        shown.round() >= 100.0
    });
    let decimals = decimals.unwrap_or(DECIMALS_DEFAULT);
    format!("{value:.*}", usize::try_from(decimals).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_ratios_keep_their_digits() {
        let shown = [0.0, 0.003_456, 0.099_96, 0.5, 1.0, 12.34, 99.96, 1234.5].map(significant);
        assert_eq!(
            shown,
            [
                "0.00", "0.00346", "0.100", "0.500", "1.00", "12.3", "100", "1234"
            ]
        );
    }

    #[test]
    fn one_slow_start_does_not_move_the_median() {
        let mut sample = Sample::default();
        for millis in [3, 1, 900, 2, 4] {
            sample.push(Duration::from_millis(millis));
        }
        assert_eq!(sample.median(), Duration::from_millis(3));
        assert_eq!(sample.quantile(99), Duration::from_millis(900));
        assert_eq!(Sample::default().median(), Duration::ZERO);
    }
}
