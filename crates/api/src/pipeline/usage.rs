//! What a request uses of its client's quotas, counted once it has been served.

use std::sync::Arc;
use std::time::Duration;

use dohle_auth::quotas::QuotaType;

use super::quotas::{Quotas, ThrottleClass};
use super::request::{Call, RequestContext};
use super::respond::Respond;

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
            throttle_time =
                self.quotas
                    .record(QuotaType::Produce, self.client.quota_client(), bytes as f64);
        }
        if !response.is_exempt() {
            let percentage = spent.as_secs_f64() * 100.0;
            let of_time =
                self.quotas
                    .record(QuotaType::Request, self.client.quota_client(), percentage);
            throttle_time = throttle_time.max(of_time);
        }
        if let Some(field) = response.throttle_time_ms() {
            *field = (*field).max(i32::try_from(throttle_time.as_millis()).unwrap_or(i32::MAX));
        }
        throttle_time
    }
}
