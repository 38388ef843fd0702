//! Quotas: what a request uses of them, and for how long its client is throttled.
//!
//! A throttled client gets its response at once, with `throttle_time_ms`, and its connection begins
//! no further request before that time is over (KIP-219). Where no quota is set, a request costs a
//! load of one atomic number.

use std::fmt::Debug;
use std::time::Duration;

use dohle_auth::quotas::QuotaType;

/// The quota that an API's requests count towards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ThrottleClass {
    /// Counts towards `producer_byte_rate`, besides [`Self::Request`].
    Produce,
    /// Counts towards `consumer_byte_rate`, besides [`Self::Request`]. The handler counts the
    /// records, because a client above its quota gets none.
    Fetch,
    /// Counts towards `controller_mutation_rate`, besides [`Self::Request`]. The active controller
    /// counts the partitions.
    ControllerMutation,
    /// Counts towards `request_percentage`.
    Request,
}

/// The client that quotas apply to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QuotaClient<'a> {
    /// The name of the user.
    pub user: &'a str,
    /// `client.id`; empty without one.
    pub client_id: &'a str,
}

/// Keeps the quotas and what was used of them.
pub(crate) trait Quotas: Debug + Send + Sync {
    /// Returns whether any quota of this type is set.
    fn are_set(&self, quota: QuotaType) -> bool;

    /// Counts what a client used, and returns for how long it is throttled.
    fn record(&self, quota: QuotaType, client: QuotaClient<'_>, value: f64) -> Duration;

    /// Counts what a client is going to use, unless it would be throttled: then it is not to use
    /// it, and the throttle time is returned.
    fn record_unless_throttled(
        &self,
        quota: QuotaType,
        client: QuotaClient<'_>,
        value: f64,
    ) -> Duration;

    /// Returns the most that a client may use at once without being throttled in any case, or
    /// `None` when no quota applies to it.
    fn burst(&self, quota: QuotaType, client: QuotaClient<'_>) -> Option<f64>;
}

/// Throttles nobody.
#[cfg(test)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unlimited;

#[cfg(test)]
impl Quotas for Unlimited {
    fn are_set(&self, _quota: QuotaType) -> bool {
        false
    }

    fn record(&self, _quota: QuotaType, _client: QuotaClient<'_>, _value: f64) -> Duration {
        Duration::ZERO
    }

    fn record_unless_throttled(
        &self,
        _quota: QuotaType,
        _client: QuotaClient<'_>,
        _value: f64,
    ) -> Duration {
        Duration::ZERO
    }

    fn burst(&self, _quota: QuotaType, _client: QuotaClient<'_>) -> Option<f64> {
        None
    }
}
