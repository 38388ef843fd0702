//! Histograms of latencies.
//!
//! Pure: times are arguments, in nanoseconds.

use hdrhistogram::Histogram;
use serde::Serialize;

/// The largest latency that is distinguished: an hour. Longer ones count as an hour.
const MAX_MICROS: u64 = 3_600_000_000;
/// Values are kept with this many significant digits.
const DIGITS: u8 = 3;

/// The latencies of records, in microseconds. Its size depends on the longest latency, not on the
/// number of records: 16 KiB, and 8 KiB for each doubling from 2 ms on.
#[derive(Debug, Clone)]
pub struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        Self(Histogram::new(DIGITS).expect("a histogram can have three digits"))
    }
}

impl Latencies {
    /// Counts `records` with this latency in nanoseconds.
    pub fn record(&mut self, nanos: u64, records: u64) {
        // Memory is all that it can lack.
        let _ = self.0.record_n((nanos / 1000).min(MAX_MICROS), records);
    }

    /// Adds the counts of others.
    pub fn add(&mut self, other: &Self) {
        // Both grow as needed.
        let _ = self.0.add(&other.0);
    }

    /// Returns the number of records.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// Returns the latency in milliseconds below which this percentage of the records is; 0 without
    /// records.
    #[must_use]
    pub fn percentile_ms(&self, percent: f64) -> f64 {
        self.0.value_at_percentile(percent) as f64 / 1000.0
    }

    /// Returns the summary.
    #[must_use]
    pub fn summary(&self) -> LatencySummary {
        let ms = |micros: u64| micros as f64 / 1000.0;
        let steps = match self.0.is_empty() {
            true => Vec::new(),
            // Five steps for each halving of the distance to 100 %.
            false => self.0.iter_quantiles(5).collect(),
        };
        let percentiles = steps.iter().map(|step| PercentilePoint {
            percentile: step.quantile_iterated_to() * 100.0,
            ms: ms(step.value_iterated_to()),
            count: step.count_since_last_iteration(),
        });
        LatencySummary {
            count: self.count(),
            mean_ms: self.0.mean() / 1000.0,
            p50_ms: self.percentile_ms(50.0),
            p90_ms: self.percentile_ms(90.0),
            p99_ms: self.percentile_ms(99.0),
            p999_ms: self.percentile_ms(99.9),
            p9999_ms: self.percentile_ms(99.99),
            max_ms: ms(self.0.max()),
            percentiles: percentiles.collect(),
        }
    }
}

/// Latencies in milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct LatencySummary {
    /// The number of records.
    pub count: u64,
    /// The mean.
    pub mean_ms: f64,
    /// The median.
    pub p50_ms: f64,
    /// 90 % of the records were at most as late.
    pub p90_ms: f64,
    /// 99 %.
    pub p99_ms: f64,
    /// 99.9 %.
    pub p999_ms: f64,
    /// 99.99 %.
    pub p9999_ms: f64,
    /// The longest.
    pub max_ms: f64,
    /// The whole distribution.
    pub percentiles: Vec<PercentilePoint>,
}

/// One step of a distribution.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PercentilePoint {
    /// The percentage of the records whose latency is at most `ms`.
    pub percentile: f64,
    /// The latency in milliseconds.
    pub ms: f64,
    /// The number of records since the step before.
    pub count: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_has_the_percentiles_and_all_records() {
        let mut latencies = Latencies::default();
        latencies.record(1_000_000, 990);
        let mut slow = Latencies::default();
        slow.record(500_000_000, 9);
        slow.record(u64::MAX, 1);
        latencies.add(&slow);
        let summary = latencies.summary();
        assert_eq!(summary.count, 1000);
        let close = |value: f64, expected: f64| (value - expected).abs() <= expected / 1000.0;
        assert!(close(summary.p50_ms, 1.0), "{summary:?}");
        assert!(close(summary.p99_ms, 1.0), "{summary:?}");
        assert!(close(latencies.percentile_ms(99.5), 500.0), "{summary:?}");
        assert!(close(summary.max_ms, 3_600_000.0), "{summary:?}");
        let counted: u64 = summary.percentiles.iter().map(|step| step.count).sum();
        assert_eq!(counted, 1000);
        assert_eq!(summary.percentiles.last().unwrap().percentile, 100.0);
    }

    #[test]
    fn a_summary_without_records_is_zero() {
        let summary = Latencies::default().summary();
        assert_eq!(summary, LatencySummary::default());
    }
}
