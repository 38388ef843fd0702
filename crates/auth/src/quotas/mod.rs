//! Quotas: which of them applies to a client, what was used of them, and how long a client that
//! exceeds one is throttled.
//!
//! ```text
//! (user, client id) ──▶ QuotaLimits ──▶ limit and scope ──▶ Rate or TokenBucket ──▶ throttle time
//! ```
//!
//! [`ClientRates`] has the quotas that are rates over sampled windows: produced bytes, fetched
//! bytes and request time. [`MutationBuckets`] has the token buckets of controller mutations,
//! [`ConnectionRates`] the limits of connections per second, and [`ReplicationRate`] the limit of
//! bytes between brokers.
//!
//! Invariant: memory depends on the quotas that are set and on [`SENSORS_MAX`], not on the number
//! of names that clients invent; see [`sensors`](self::sensors).
//!
//! Source: KIP-13, KIP-55, KIP-124, KIP-219, KIP-546, KIP-599, KIP-612; KIP-73 for
//! replication.

mod connections;
mod limits;
mod mutations;
mod rate;
mod rates;
mod replication;
pub(crate) mod sensors;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use connections::{ConnectionLimits, ConnectionRates, ConnectionThrottle};
pub use limits::{Applicable, EntityRef, QuotaLimits, Scope, applicable};
pub use mutations::{Enforcement, Exceeded, MutationBuckets, MutationQuota};
pub use rate::Rate;
pub use rates::ClientRates;
pub use replication::ReplicationRate;
pub use sensors::SENSORS_MAX;

/// A type of quota on the clients of a user, with a client id, or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QuotaType {
    /// Bytes of Produce requests per second.
    Produce,
    /// Bytes of Fetch responses per second.
    Fetch,
    /// Time that a broker spends on requests, in percent of one thread.
    Request,
    /// Partitions that are created or deleted per second.
    ControllerMutation,
}

impl QuotaType {
    /// Every type.
    pub const ALL: [Self; 4] = [
        Self::Produce,
        Self::Fetch,
        Self::Request,
        Self::ControllerMutation,
    ];

    /// Returns the name under which quotas of this type are set.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Produce => "producer_byte_rate",
            Self::Fetch => "consumer_byte_rate",
            Self::Request => "request_percentage",
            Self::ControllerMutation => "controller_mutation_rate",
        }
    }
}

/// The name under which the limit of an address's connections per second is set.
pub const CONNECTION_CREATION_RATE: &str = "connection_creation_rate";

/// The samples over which a rate is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaWindows {
    /// The number of samples, the current one included (`quota.window.num`).
    pub samples: u32,
    /// The length of one sample (`quota.window.size.seconds`).
    pub length: Duration,
}

impl QuotaWindows {
    /// Returns the time after which a sample no longer counts.
    #[must_use]
    pub fn span(&self) -> Duration {
        self.length.saturating_mul(self.samples)
    }

    /// Returns what a client may use at once, after a time without use, before it exceeds `limit`.
    #[must_use]
    pub fn burst(&self, limit: f64) -> f64 {
        limit * f64::from(self.samples.saturating_sub(1)) * self.length.as_secs_f64()
    }
}

impl Default for QuotaWindows {
    /// Kafka's default: ten whole windows of a second, and the current one.
    fn default() -> Self {
        Self {
            samples: 11,
            length: Duration::from_secs(1),
        }
    }
}

/// Returns `milliseconds` as Kafka rounds a throttle time; zero when it is not positive.
fn rounded(milliseconds: f64) -> Duration {
    // The wire has 32 bits for it. A cast saturates.
    Duration::from_millis(milliseconds.round().min(f64::from(i32::MAX)) as u64)
}
