//! Medians and quantiles. Not means: one slow start would move a mean.

use std::time::Duration;

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

    /// This median divided by the other's.
    pub(crate) fn ratio(&self, other: &Self) -> f64 {
        self.median().as_secs_f64() / other.median().as_secs_f64().max(f64::EPSILON)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
