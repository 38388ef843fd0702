//! The limit of bytes that replication may use.

use std::time::{Duration, Instant};

use super::QuotaWindows;
use super::rate::Rate;

/// The bytes per second of the replicas that are throttled on one side, as leaders or as followers
/// (KIP-73).
///
/// Which replicas those are, and that replicas in the ISR are never delayed, is the caller's part.
/// A broker records what it transfers and asks afterwards, so one transfer exceeds the limit
/// before the next waits.
///
/// Source: `ReplicationQuotaManager`.
#[derive(Debug)]
pub struct ReplicationRate {
    windows: QuotaWindows,
    limit: Option<u64>,
    rate: Rate,
}

impl ReplicationRate {
    /// Creates a rate without a limit.
    #[must_use]
    pub fn new(windows: QuotaWindows) -> Self {
        Self {
            windows,
            limit: None,
            rate: Rate::default(),
        }
    }

    /// Sets the limit in bytes per second, or removes it. What was transferred before remains
    /// counted.
    pub fn set_limit(&mut self, limit: Option<u64>) {
        self.limit = limit;
    }

    /// Returns the limit in bytes per second.
    #[must_use]
    pub fn limit(&self) -> Option<u64> {
        self.limit
    }

    /// Counts bytes that were transferred.
    pub fn record(&mut self, bytes: usize, now: Instant) {
        self.rate.record(&self.windows, bytes as f64, now);
    }

    /// Returns how long nothing more may be transferred; zero while the rate is within the limit.
    pub fn delay(&mut self, now: Instant) -> Duration {
        let Some(limit) = self.limit else {
            return Duration::ZERO;
        };
        self.rate.simple_delay(&self.windows, limit as f64, now)
    }
}
