//! Histograms that many threads fill, and the percentiles of what they recorded.
//!
//! Values are counted in fixed buckets, of which there are four for each power of two: a percentile
//! is wrong by at most an eighth of its value. Recording takes no lock, and allocates once for each
//! thread that records in a histogram.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::counter::{Counter, SHARDS, shard_of_thread};

/// Values from here on are counted in the last bucket.
const VALUE_END: u64 = 1 << 32;
const BUCKETS: usize = bucket_of(VALUE_END - 1) + 1;
/// Percentiles are those of the values that were recorded in this time at least, and in twice this
/// time at most.
const WINDOW: Duration = Duration::from_secs(150);

/// The percentiles that Kafka's histograms have: the name of the attribute, and the share.
pub(crate) const PERCENTILES: [(&str, f64); 6] = [
    ("50thPercentile", 0.5),
    ("75thPercentile", 0.75),
    ("95thPercentile", 0.95),
    ("98thPercentile", 0.98),
    ("99thPercentile", 0.99),
    ("999thPercentile", 0.999),
];

const fn bucket_of(value: u64) -> usize {
    let value = if value < VALUE_END {
        value
    } else {
        VALUE_END - 1
    };
    if value < 4 {
        return value as usize;
    }
    let power = value.ilog2();
    let quarter = (value >> (power - 2)) & 3;
    (power as usize - 1) * 4 + quarter as usize
}

/// Returns the first value of a bucket, and the number of values that it is for.
const fn range_of(bucket: usize) -> (u64, u64) {
    if bucket < 4 {
        return (bucket as u64, 1);
    }
    let (power, quarter) = (bucket / 4 + 1, bucket % 4);
    let width = 1 << (power - 2);
    ((4 + quarter as u64) * width, width)
}

/// One thread's part of a histogram.
#[derive(Debug)]
struct Part {
    sum: Counter,
    min: AtomicU64,
    max: AtomicU64,
    buckets: [Counter; BUCKETS],
}

impl Default for Part {
    fn default() -> Self {
        Self {
            sum: Counter::default(),
            min: AtomicU64::new(u64::MAX),
            max: AtomicU64::new(0),
            buckets: std::array::from_fn(|_| Counter::default()),
        }
    }
}

impl Part {
    fn record(&self, value: u64) {
        self.buckets[bucket_of(value)].add(1);
        if value > 0 {
            self.sum.add(value);
        }
        // Most of the time neither changes, and a load is cheaper.
        if value < self.min.load(Ordering::Relaxed) {
            self.min.fetch_min(value, Ordering::Relaxed);
        }
        if value > self.max.load(Ordering::Relaxed) {
            self.max.fetch_max(value, Ordering::Relaxed);
        }
    }
}

/// `N` histograms of non-negative numbers that the same threads fill.
#[derive(Debug)]
pub struct Histograms<const N: usize> {
    shards: [OnceLock<Box<[Part; N]>>; SHARDS],
}

impl<const N: usize> Default for Histograms<N> {
    fn default() -> Self {
        Self {
            shards: std::array::from_fn(|_| OnceLock::new()),
        }
    }
}

impl<const N: usize> Histograms<N> {
    /// Counts values: for each the number of its histogram, and the value.
    ///
    /// # Panics
    /// When there is no such histogram.
    pub fn record<const M: usize>(&self, values: [(usize, u64); M]) {
        let shard = &self.shards[shard_of_thread()];
        let parts = shard.get_or_init(|| Box::new(std::array::from_fn(|_| Part::default())));
        for (histogram, value) in values {
            parts[histogram].record(value);
        }
    }

    /// Returns what one of the histograms has recorded so far.
    #[must_use]
    pub fn recorded(&self, histogram: usize) -> Recorded {
        let mut recorded = Recorded::default();
        for parts in self.shards.iter().filter_map(OnceLock::get) {
            recorded.add(&parts[histogram]);
        }
        recorded
    }
}

/// What a histogram has recorded.
#[derive(Debug, Clone)]
pub struct Recorded {
    sum: u64,
    min: u64,
    max: u64,
    buckets: [u64; BUCKETS],
}

impl Default for Recorded {
    fn default() -> Self {
        Self {
            sum: 0,
            min: u64::MAX,
            max: 0,
            buckets: [0; BUCKETS],
        }
    }
}

impl Recorded {
    fn add(&mut self, part: &Part) {
        self.sum = self.sum.wrapping_add(part.sum.get());
        self.min = self.min.min(part.min.load(Ordering::Relaxed));
        self.max = self.max.max(part.max.load(Ordering::Relaxed));
        for (total, counter) in self.buckets.iter_mut().zip(&part.buckets) {
            *total += counter.get();
        }
    }

    /// Returns how many values were recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Adds as many zeros as are missing for this number of values: who records many zeros may
    /// leave them out.
    #[must_use]
    pub fn with_zeros(mut self, count: u64) -> Self {
        let missing = count.saturating_sub(self.count());
        if missing > 0 {
            self.buckets[0] += missing;
            self.min = 0;
        }
        self
    }

    fn mean(&self) -> f64 {
        match self.count() {
            0 => 0.0,
            count => self.sum as f64 / count as f64,
        }
    }

    /// Returns the standard deviation, if each value is in the middle of its bucket.
    fn std_dev(&self) -> f64 {
        let (count, mean) = (self.count(), self.mean());
        let squares = self.buckets.iter().enumerate().map(|(bucket, values)| {
            let distance = self.value_in(bucket, 0.5) - mean;
            distance * distance * *values as f64
        });
        match count {
            0 | 1 => 0.0,
            count => (squares.sum::<f64>() / (count - 1) as f64).sqrt(),
        }
    }

    /// Returns the value below which this share of the values is that were recorded after
    /// `earlier`; 0 when there are none.
    fn percentile(&self, share: f64, earlier: &Self) -> f64 {
        let new = |bucket: usize| self.buckets[bucket].saturating_sub(earlier.buckets[bucket]);
        let count: u64 = (0..BUCKETS).map(new).sum();
        let rank = (share * count as f64).ceil().max(1.0) as u64;
        let mut before = 0;
        for bucket in 0..BUCKETS {
            let values = new(bucket);
            if before + values >= rank && values > 0 {
                let position = ((rank - before) as f64 - 0.5) / values as f64;
                return self.value_in(bucket, position);
            }
            before += values;
        }
        0.0
    }

    /// Returns the value at this position of a bucket, where 0 is its beginning and 1 its end. No
    /// value is outside the range of those that were recorded.
    fn value_in(&self, bucket: usize, position: f64) -> f64 {
        let (first, width) = range_of(bucket);
        let end = (first + width).min(self.max.saturating_add(1));
        let first = first.max(self.min).min(end.saturating_sub(1));
        match end - first {
            ..=1 => first as f64,
            width => first as f64 + width as f64 * position,
        }
    }
}

/// The percentiles of the last minutes, for one histogram.
///
/// As in Kafka, count, mean, minimum and maximum are those since the start, and percentiles those
/// of about five minutes.
#[derive(Debug)]
pub struct RecentPercentiles {
    /// What was recorded before the window, and when that was read.
    before: Recorded,
    /// What was recorded when the first half of the window was over.
    middle: Recorded,
    middle_since: Instant,
}

impl RecentPercentiles {
    /// Begins a window at `now`, which includes what was recorded before.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            before: Recorded::default(),
            middle: Recorded::default(),
            middle_since: now,
        }
    }

    /// Passes the attributes that Kafka's histograms have to `out`, all numbers but the count
    /// multiplied by `factor`, and moves the window.
    pub fn attributes(
        &mut self,
        recorded: Recorded,
        factor: f64,
        now: Instant,
        out: &mut dyn FnMut(&'static str, crate::Value<'static>),
    ) {
        let count = recorded.count();
        let min = if count == 0 { 0 } else { recorded.min };
        let mut double = |name, value: f64| out(name, crate::Value::Double(value * factor));
        double("Max", recorded.max as f64);
        double("Mean", recorded.mean());
        double("Min", min as f64);
        double("StdDev", recorded.std_dev());
        for (name, share) in PERCENTILES {
            double(name, recorded.percentile(share, &self.before));
        }
        out("Count", crate::Value::from(count));
        if now.saturating_duration_since(self.middle_since) >= WINDOW {
            self.before = std::mem::replace(&mut self.middle, recorded);
            self.middle_since = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::Value;

    /// Returns the attributes of a histogram as numbers.
    fn read(
        window: &mut RecentPercentiles,
        recorded: Recorded,
        at: Instant,
    ) -> BTreeMap<&'static str, f64> {
        let mut attributes = BTreeMap::new();
        window.attributes(recorded, 1.0, at, &mut |name, value| {
            let value = match value {
                Value::Long(value) => value as f64,
                Value::Double(value) => value,
                Value::Text(_) => f64::NAN,
            };
            attributes.insert(name, value);
        });
        attributes
    }

    #[test]
    fn buckets_are_next_to_each_other() {
        let mut next = 0;
        for bucket in 0..BUCKETS {
            let (first, width) = range_of(bucket);
            assert_eq!(first, next, "bucket {bucket}");
            assert_eq!(bucket_of(first), bucket);
            assert_eq!(bucket_of(first + width - 1), bucket);
            next = first + width;
        }
        assert_eq!(next, VALUE_END);
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_are_near_those_of_the_values() {
        let histograms = Histograms::<2>::default();
        std::thread::scope(|scope| {
            for thread in 0..2 * SHARDS as u64 {
                let histograms = &histograms;
                scope.spawn(move || {
                    for value in 0..10_000 {
                        histograms.record([(1, value * 2 * SHARDS as u64 + thread)]);
                    }
                });
            }
        });
        let end = 20_000.0 * SHARDS as f64;
        let now = Instant::now();
        let found = read(
            &mut RecentPercentiles::new(now),
            histograms.recorded(1),
            now,
        );
        assert_eq!(
            (found["Count"], found["Min"], found["Max"]),
            (end, 0.0, end - 1.0)
        );
        assert_eq!(found["Mean"], (end - 1.0) / 2.0);
        let near = |name: &str, expected: f64| {
            let wrong = (found[name] - expected).abs() / expected;
            assert!(wrong < 0.02, "{name}: {} for {expected}", found[name]);
        };
        near("StdDev", end / 12_f64.sqrt());
        for (name, share) in PERCENTILES {
            near(name, share * end);
        }
        assert_eq!(histograms.recorded(0).count(), 0);
    }

    #[test]
    fn an_empty_histogram_has_zeros_and_few_values_are_exact() {
        let now = Instant::now();
        let histograms = Histograms::<1>::default();
        let found = read(
            &mut RecentPercentiles::new(now),
            histograms.recorded(0),
            now,
        );
        assert!(found.len() == 11 && found.values().all(|value| *value == 0.0));
        histograms.record([(0, 1000)]);
        let found = read(
            &mut RecentPercentiles::new(now),
            histograms.recorded(0),
            now,
        );
        assert_eq!(
            (found["50thPercentile"], found["999thPercentile"]),
            (1000.0, 1000.0)
        );
        assert_eq!(
            (found["Min"], found["Mean"], found["Max"]),
            (1000.0, 1000.0, 1000.0)
        );
        let zeros = histograms.recorded(0).with_zeros(100);
        let found = read(&mut RecentPercentiles::new(now), zeros, now);
        assert_eq!(
            (found["Count"], found["Min"], found["Mean"]),
            (100.0, 0.0, 10.0)
        );
        assert_eq!(found["99thPercentile"], 0.0);
        let high = found["999thPercentile"];
        assert!((896.0..=1000.0).contains(&high), "{high}");
    }

    #[test]
    fn percentiles_forget_what_was_long_ago() {
        let start = Instant::now();
        let mut window = RecentPercentiles::new(start);
        let histograms = Histograms::<1>::default();
        let mut at = |minutes: u32| {
            let found = read(
                &mut window,
                histograms.recorded(0),
                start + minutes * WINDOW,
            );
            (found["50thPercentile"], found["Count"])
        };
        histograms.record([(0, 7), (0, 7), (0, 7)]);
        assert_eq!(at(0), (7.0, 3.0));
        assert_eq!(at(1), (7.0, 3.0), "the first half ends");
        histograms.record([(0, 2)]);
        assert_eq!(at(2), (7.0, 4.0), "the second half ends");
        assert_eq!(at(2), (2.0, 4.0));
        assert_eq!(at(3), (2.0, 4.0));
        assert_eq!(at(4), (0.0, 4.0), "nothing is recent");
    }
}
