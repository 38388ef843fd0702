//! The rates of clients: produced bytes, fetched bytes, or request time.

use std::time::{Duration, Instant};

use dohle_model::client_quota::QuotaEntity;

use super::limits::QuotaLimits;
use super::rate::Rate;
use super::sensors::Sensors;
use super::{QuotaType, QuotaWindows};

/// The quotas of one type that are rates, and what clients have used of them. Clients to whom none
/// applies are not counted.
///
/// Source: `ClientQuotaManager` and `ClientRequestQuotaManager`.
#[derive(Debug)]
pub struct ClientRates {
    windows: QuotaWindows,
    throttle_max: Option<Duration>,
    limits: QuotaLimits,
    sensors: Sensors<Rate>,
}

impl ClientRates {
    /// Creates rates without limits. Clients that exceed their request time are throttled for one
    /// window at most, and then checked again (KIP-124).
    #[must_use]
    pub fn new(quota: QuotaType, windows: QuotaWindows) -> Self {
        Self {
            windows,
            throttle_max: (quota == QuotaType::Request).then_some(windows.length),
            limits: QuotaLimits::default(),
            sensors: Sensors::default(),
        }
    }

    /// Sets the quota of an entity, or removes it with `None`. What was used before remains
    /// counted.
    pub fn set_limit(&mut self, entity: &QuotaEntity, limit: Option<f64>) {
        self.limits.set(entity, limit);
    }

    /// Returns whether any quota is set.
    #[must_use]
    pub fn has_limits(&self) -> bool {
        !self.limits.is_empty()
    }

    /// Counts what a client used, and returns for how long it is throttled.
    pub fn record(&mut self, user: &str, client_id: &str, value: f64, now: Instant) -> Duration {
        let windows = self.windows;
        let Some((limit, rate)) = self.rate(user, client_id, now) else {
            return Duration::ZERO;
        };
        rate.record(&windows, value, now);
        let throttle_time = rate.throttle_time(&windows, limit, now);
        self.throttle_max
            .map_or(throttle_time, |max| throttle_time.min(max))
    }

    /// Counts what a client is going to use, unless that exceeds its quota: then nothing is
    /// counted, and the time is returned after which the client may try again.
    ///
    /// A client that has used nothing in the measured time is not throttled, whatever the value is.
    /// Kafka throttles it too, so that a consumer whose quota does not allow a single batch of
    /// records in all windows never gets it.
    pub fn record_unless_throttled(
        &mut self,
        user: &str,
        client_id: &str,
        value: f64,
        now: Instant,
    ) -> Duration {
        let (windows, throttle_max) = (self.windows, self.throttle_max);
        let Some((limit, rate)) = self.rate(user, client_id, now) else {
            return Duration::ZERO;
        };
        let is_first = rate.is_forgotten(&windows, now);
        rate.record(&windows, value, now);
        let throttle_time = rate.throttle_time(&windows, limit, now);
        if throttle_time.is_zero() || is_first {
            return Duration::ZERO;
        }
        rate.record(&windows, -value, now);
        throttle_max.map_or(throttle_time, |max| throttle_time.min(max))
    }

    /// Returns the most that a client may use at once without being throttled in any case, or
    /// `None` when no quota applies to it.
    #[must_use]
    pub fn burst(&self, user: &str, client_id: &str) -> Option<f64> {
        let applicable = self.limits.applicable(user, client_id)?;
        Some(self.windows.burst(applicable.limit))
    }

    fn rate(&mut self, user: &str, client_id: &str, now: Instant) -> Option<(f64, &mut Rate)> {
        let applicable = self.limits.applicable(user, client_id)?;
        let windows = self.windows;
        let rate = self
            .sensors
            .get(applicable.entity, user, client_id, now, |rate| {
                rate.is_forgotten(&windows, now)
            });
        Some((applicable.limit, rate))
    }

    #[cfg(test)]
    pub(super) fn sensors(&self) -> (usize, usize) {
        self.sensors.len()
    }
}
