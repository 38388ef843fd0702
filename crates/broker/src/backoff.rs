//! How long to wait before something that failed is tried again. Pure.

use std::time::Duration;

/// Waits that double with each failure, from a first one up to a longest one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    first: Duration,
    last: Duration,
    /// Failures since the last success.
    failures: u32,
}

impl Backoff {
    pub(crate) const fn new(first: Duration, last: Duration) -> Self {
        Self {
            first,
            last,
            failures: 0,
        }
    }

    /// Counts a failure, and returns how long to wait after it.
    pub(crate) fn next_wait(&mut self) -> Duration {
        let factor = 1u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        self.failures = self.failures.saturating_add(1);
        self.first.saturating_mul(factor).min(self.last)
    }

    /// Whether there was a failure since the last success.
    pub(crate) fn has_failed(&self) -> bool {
        self.failures > 0
    }

    /// Notes a success: the next wait is the first one again.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_last_and_begin_anew_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));
        let mut waits = |count: usize| -> Vec<u128> {
            assert!(!backoff.has_failed());
            let waits = (0..count).map(|_| backoff.next_wait().as_millis());
            let waits = waits.collect();
            assert!(backoff.has_failed());
            backoff.reset();
            waits
        };
        assert_eq!(waits(7), [50, 100, 200, 400, 800, 1000, 1000]);
        assert_eq!(waits(1), [50]);
        assert_eq!(waits(100).last(), Some(&1000), "no overflow");
    }
}
