//! Quotas: what a request uses of them, and for how long its client is throttled.
//!
//! A throttled client gets its response at once, with `throttle_time_ms`, and its connection begins
//! no further request before that time is over (KIP-219). Where no quota is set, a request costs a
//! load of one atomic number.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use dohle_auth::quotas::QuotaType;

use super::request::{Call, RequestContext};
use super::respond::Respond;

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

/// Keeps the quotas and what was used of them.
pub(crate) trait Quotas: Debug + Send + Sync {
    /// Returns whether any quota of this type is set.
    fn are_set(&self, quota: QuotaType) -> bool;

    /// Counts what a client used, and returns for how long it is throttled.
    fn record(&self, quota: QuotaType, client: &RequestContext, value: f64) -> Duration;

    /// Counts what a client is going to use, unless it would be throttled: then it is not to use
    /// it, and the throttle time is returned.
    fn record_unless_throttled(
        &self,
        quota: QuotaType,
        client: &RequestContext,
        value: f64,
    ) -> Duration;

    /// Returns the most that a client may use at once without being throttled in any case, or
    /// `None` when no quota applies to it.
    fn burst(&self, quota: QuotaType, client: &RequestContext) -> Option<f64>;
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

    fn record(&self, _quota: QuotaType, _client: &RequestContext, _value: f64) -> Duration {
        Duration::ZERO
    }

    fn record_unless_throttled(
        &self,
        _quota: QuotaType,
        _client: &RequestContext,
        _value: f64,
    ) -> Duration {
        Duration::ZERO
    }

    fn burst(&self, _quota: QuotaType, _client: &RequestContext) -> Option<f64> {
        None
    }
}

/// What a request uses of its client's quotas.
pub(super) struct Usage {
    quotas: Arc<dyn Quotas>,
    client: RequestContext,
    /// The size of a Produce request.
    produced: Option<usize>,
}

impl Usage {
    /// Begins to measure a request, if that is necessary.
    pub fn of(call: &Call) -> Option<Self> {
        let produced = call.quotas.are_set(QuotaType::Produce)
            && call.throttle_class == ThrottleClass::Produce;
        if !produced && !call.quotas.are_set(QuotaType::Request) {
            return None;
        }
        Some(Self {
            quotas: Arc::clone(&call.quotas),
            client: call.request.clone(),
            produced: produced.then_some(call.frame_bytes),
        })
    }

    /// Counts what the request used, once its response is known. `spent` is the time for which it
    /// occupied a thread. Sets the throttle time in the response, which may have a longer one
    /// already.
    pub fn record(&self, response: &mut impl Respond, spent: Duration) -> Duration {
        let mut throttle_time = Duration::ZERO;
        if let Some(bytes) = self.produced {
            throttle_time = self
                .quotas
                .record(QuotaType::Produce, &self.client, bytes as f64);
        }
        if !response.is_exempt() {
            let percentage = spent.as_secs_f64() * 100.0;
            let of_time = self
                .quotas
                .record(QuotaType::Request, &self.client, percentage);
            throttle_time = throttle_time.max(of_time);
        }
        if let Some(field) = response.throttle_time_ms() {
            *field = (*field).max(i32::try_from(throttle_time.as_millis()).unwrap_or(i32::MAX));
        }
        throttle_time
    }
}
