//! What a run of the producer came to, in Kafka's lines.
//!
//! Pure: times are arguments, in milliseconds since the run began.

use crate::numbers::fixed;

/// How many latencies are kept at most.
const SAMPLES_MAX: u64 = 500_000;
const MIB: f64 = 1024.0 * 1024.0;

/// Counts and latencies of delivered records.
#[derive(Debug)]
pub(super) struct Stats {
    began: u64,
    sampling: u64,
    latencies: Vec<u32>,
    count: u64,
    bytes: u64,
    latency_max: u32,
    latency_total: u64,
    window: Window,
    interval: u64,
    steady: bool,
    /// Whether lines are printed on the way.
    windows_printed: bool,
}

/// What came since the last line.
#[derive(Debug, Default)]
struct Window {
    began: u64,
    count: u64,
    bytes: u64,
    latency_max: u32,
    latency_total: u64,
}

impl Stats {
    /// For this many records; a line each `interval` milliseconds.
    pub(super) fn new(records: u64, interval: u64, now: u64, steady: bool) -> Self {
        Self {
            began: now,
            sampling: (records / records.clamp(1, SAMPLES_MAX)).max(1),
            latencies: Vec::new(),
            count: 0,
            bytes: 0,
            latency_max: 0,
            latency_total: 0,
            window: Window {
                began: now,
                ..Window::default()
            },
            interval,
            steady,
            windows_printed: true,
        }
    }

    /// Prints nothing on the way from now on: others do.
    pub(super) fn be_quiet(&mut self) {
        self.windows_printed = false;
    }

    /// How many records have been delivered.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Counts a record; returns a line when it is time for one.
    pub(super) fn record(&mut self, latency: u32, bytes: u64, now: u64) -> Option<String> {
        if self.count.is_multiple_of(self.sampling) {
            self.latencies.push(latency);
        }
        self.count += 1;
        self.bytes += bytes;
        self.latency_total += u64::from(latency);
        self.latency_max = self.latency_max.max(latency);
        let window = &mut self.window;
        window.count += 1;
        window.bytes += bytes;
        window.latency_total += u64::from(latency);
        window.latency_max = window.latency_max.max(latency);
        if now.saturating_sub(window.began) < self.interval {
            return None;
        }
        let line = window.line(now);
        *window = Window {
            began: now,
            ..Window::default()
        };
        self.windows_printed.then_some(line)
    }

    /// The line of the whole run.
    pub(super) fn total(&mut self, now: u64) -> String {
        let elapsed = now.saturating_sub(self.began) as f64;
        self.latencies.sort_unstable();
        let percentile = |share: f64| {
            let index = (share * self.latencies.len() as f64) as usize;
            self.latencies.get(index).copied().unwrap_or(0)
        };
        format!(
            "{}{} records sent, {} records/sec ({} MB/sec), {} ms avg latency, {} ms max latency, \
             {} ms 50th, {} ms 95th, {} ms 99th, {} ms 99.9th.",
            self.count,
            if self.steady { " steady state" } else { "" },
            fixed(1000.0 * self.count as f64 / elapsed, 6),
            fixed(1000.0 * self.bytes as f64 / elapsed / MIB, 2),
            fixed(self.latency_total as f64 / self.count as f64, 2),
            fixed(f64::from(self.latency_max), 2),
            percentile(0.5),
            percentile(0.95),
            percentile(0.99),
            percentile(0.999),
        )
    }
}

impl Window {
    fn line(&self, now: u64) -> String {
        let elapsed = now.saturating_sub(self.began) as f64;
        format!(
            "{} records sent, {} records/sec ({} MB/sec), {} ms avg latency, {} ms max latency.",
            self.count,
            fixed(1000.0 * self.count as f64 / elapsed, 1),
            fixed(1000.0 * self.bytes as f64 / elapsed / MIB, 2),
            fixed(self.latency_total as f64 / self.count as f64, 1),
            fixed(f64::from(self.latency_max), 1),
        )
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn lines_are_kafkas() {
        let mut stats = Stats::new(1000, 500, 0, false);
        let mut lines = Vec::new();
        for number in 0..1000_u32 {
            lines.extend(stats.record(number % 100, 100, u64::from(number)));
        }
        lines.push(stats.total(1000));
        lines.push(Stats::new(10, 500, 0, true).total(0));
        expect![[r#"
            501 records sent, 1002.0 records/sec (0.10 MB/sec), 49.4 ms avg latency, 99.0 ms max latency.
            1000 records sent, 1000.000000 records/sec (0.10 MB/sec), 49.50 ms avg latency, 99.00 ms max latency, 50 ms 50th, 95 ms 95th, 99 ms 99th, 99 ms 99.9th.
            0 steady state records sent, NaN records/sec (NaN MB/sec), NaN ms avg latency, 0.00 ms max latency, 0 ms 50th, 0 ms 95th, 0 ms 99th, 0 ms 99.9th.
        "#]]
        .assert_eq(&(lines.join("\n") + "\n"));
    }
}
