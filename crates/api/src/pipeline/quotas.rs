//! Quotas: how long a request is held back because its sender exceeds one.

use std::fmt::Debug;
use std::time::Duration;

use super::request::RequestContext;

/// The quota that an API's requests count towards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ThrottleClass {
    /// Counts towards `producer_byte_rate`, besides [`Self::Request`].
    Produce,
    /// Counts towards `consumer_byte_rate`, besides [`Self::Request`].
    Fetch,
    /// Counts towards `controller_mutation_rate`, besides [`Self::Request`].
    ControllerMutation,
    /// Counts towards `request_percentage`.
    Request,
}

/// Keeps the quotas and what was used of them.
pub(crate) trait Quotas: Debug + Send + Sync {
    /// Records a request of `bytes` bytes and returns how long it is held back.
    fn throttle_time(
        &self,
        class: ThrottleClass,
        request: &RequestContext,
        bytes: usize,
    ) -> Duration;
}

/// Holds no request back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unlimited;

impl Quotas for Unlimited {
    fn throttle_time(
        &self,
        _class: ThrottleClass,
        _request: &RequestContext,
        _bytes: usize,
    ) -> Duration {
        Duration::ZERO
    }
}
