//! A rate over sampled windows.

use std::time::{Duration, Instant};

use super::{QuotaWindows, rounded};

/// A quantity per second, measured over the most recent windows.
///
/// A sample begins with the first value that is recorded after the sample before it has ended, so a
/// pause leaves a gap. Samples that overlap the measured time are kept as a whole; that takes one
/// sample more than [`QuotaWindows::samples`].
///
/// Source: `Rate`, `SampledStat` and `WindowedSum` in `org.apache.kafka.common.metrics.stats`.
#[derive(Debug, Clone, Default)]
pub struct Rate {
    samples: Vec<Sample>,
    current: usize,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    began: Instant,
    last_event: Instant,
    sum: f64,
}

impl Sample {
    fn new(now: Instant) -> Self {
        Self {
            began: now,
            last_event: now,
            sum: 0.0,
        }
    }
}

impl Rate {
    /// Adds a value. A negative one takes back what was recorded before.
    pub fn record(&mut self, windows: &QuotaWindows, value: f64, now: Instant) {
        match self.samples.get(self.current) {
            None => self.samples.push(Sample::new(now)),
            Some(sample) if now.saturating_duration_since(sample.began) < windows.length => {}
            Some(_) => self.advance(windows, now),
        }
        let sample = &mut self.samples[self.current];
        sample.sum += value;
        sample.last_event = sample.last_event.max(now);
    }

    fn advance(&mut self, windows: &QuotaWindows, now: Instant) {
        self.current = (self.current + 1) % (windows.samples as usize + 1);
        match self.samples.get_mut(self.current) {
            Some(sample) => *sample = Sample::new(now),
            None => {
                self.samples.push(Sample::new(now));
                self.current = self.samples.len() - 1;
            }
        }
    }

    /// Returns the quantity per second, and the time over which it was measured.
    pub fn measure(&mut self, windows: &QuotaWindows, now: Instant) -> (f64, Duration) {
        let elapsed = self.elapsed(windows, now);
        // As though all windows but the current one had passed, so that the first values do not
        // count as a burst.
        let whole = elapsed.as_nanos() / windows.length.as_nanos().max(1);
        let lacking = u128::from(windows.samples.saturating_sub(1)).saturating_sub(whole);
        let lacking = u32::try_from(lacking).unwrap_or(u32::MAX);
        self.over(elapsed + windows.length.saturating_mul(lacking))
    }

    /// Returns how long nothing may be recorded until the rate since the first sample, over at
    /// least one window, is `limit` again; zero when it is not above. Time before the first sample
    /// does not count, so what was not used is not saved up. Source: `SimpleRate`.
    pub fn simple_delay(&mut self, windows: &QuotaWindows, limit: f64, now: Instant) -> Duration {
        let elapsed = self.elapsed(windows, now);
        let (rate, measured) = self.over(elapsed.max(windows.length));
        if rate <= limit {
            return Duration::ZERO;
        }
        let due = rate * measured.as_secs_f64() / limit;
        let delay = Duration::try_from_secs_f64(due - elapsed.as_secs_f64());
        // The samples are forgotten after that time in any case.
        delay.unwrap_or(Duration::MAX).min(windows.span())
    }

    /// Forgets samples that no longer count, and returns the time since the oldest one began.
    fn elapsed(&mut self, windows: &QuotaWindows, now: Instant) -> Duration {
        let span = windows.span();
        for sample in &mut self.samples {
            if now.saturating_duration_since(sample.last_event) >= span {
                *sample = Sample::new(now);
            }
        }
        let oldest = self.samples.iter().map(|sample| sample.began).min();
        oldest.map_or(Duration::ZERO, |began| now.saturating_duration_since(began))
    }

    fn over(&self, measured: Duration) -> (f64, Duration) {
        let measured = measured.max(Duration::from_millis(1));
        let sum: f64 = self.samples.iter().map(|sample| sample.sum).sum();
        (sum / measured.as_secs_f64(), measured)
    }

    /// Returns how long nothing may be recorded until the rate is `limit` again; zero when it is
    /// not above.
    ///
    /// If O is the observed rate over a time of W, it falls to the limit T after a delay of X,
    /// where O * W / (W + X) = T. Source: `QuotaUtils.throttleTime`.
    pub fn throttle_time(&mut self, windows: &QuotaWindows, limit: f64, now: Instant) -> Duration {
        let (rate, measured) = self.measure(windows, now);
        if rate <= limit {
            return Duration::ZERO;
        }
        rounded((rate - limit) / limit * measured.as_secs_f64() * 1_000.0)
    }

    /// Returns whether no value counts any more.
    #[must_use]
    pub fn is_forgotten(&self, windows: &QuotaWindows, now: Instant) -> bool {
        let span = windows.span();
        let is_over = |at: Instant| now.saturating_duration_since(at) >= span;
        let mut samples = self.samples.iter();
        samples.all(|sample| sample.sum == 0.0 || is_over(sample.last_event))
    }
}
