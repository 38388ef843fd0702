//! Token buckets of controller mutations (KIP-599).
//!
//! A bucket fills at the rate of the quota, up to what the quota allows in all windows together. A
//! request may take more tokens than there are, but only while there is no debt.

use std::time::{Duration, Instant};

use super::limits::Applicable;
use super::sensors::Sensors;
use super::{QuotaWindows, rounded};

/// A bucket. Source: `org.apache.kafka.common.metrics.stats.TokenBucket`.
#[derive(Debug, Clone, Copy, Default)]
struct TokenBucket {
    /// The tokens and when they were counted; `None` is a full bucket.
    counted: Option<(f64, Instant)>,
    /// When the bucket will be full.
    full_at: Option<Instant>,
}

impl TokenBucket {
    /// Returns the tokens; negative ones are a debt.
    fn tokens(&self, windows: &QuotaWindows, limit: f64, now: Instant) -> f64 {
        let burst = f64::from(windows.samples) * windows.length.as_secs_f64() * limit;
        let Some((tokens, at)) = self.counted else {
            return burst;
        };
        let elapsed = now.saturating_duration_since(at).as_secs_f64();
        burst.min(tokens + limit * elapsed)
    }

    fn set(&mut self, windows: &QuotaWindows, limit: f64, tokens: f64, now: Instant) {
        let burst = f64::from(windows.samples) * windows.length.as_secs_f64() * limit;
        let tokens = tokens.min(burst);
        let lacking = Duration::try_from_secs_f64((burst - tokens) / limit);
        self.full_at = now.checked_add(lacking.unwrap_or(Duration::MAX));
        self.counted = Some((tokens, now));
    }

    fn is_full(&self, now: Instant) -> bool {
        self.counted.is_none() || self.full_at.is_some_and(|at| now >= at)
    }
}

/// How a request is treated whose client has no tokens left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enforcement {
    /// It is refused: its version knows the error THROTTLING_QUOTA_EXCEEDED.
    Strict,
    /// It is carried out, and the client is throttled.
    Permissive,
}

/// A mutation was refused: the client has used its quota, and may try again after this time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exceeded(pub Duration);

/// The quota of one request: the tokens that its client has, and what the request takes of them.
///
/// It is a value, so a plan can be made again: nothing is taken from the bucket before
/// [`MutationBuckets::settle`].
#[derive(Debug, Clone, Copy)]
pub struct MutationQuota {
    bounds: Option<Bounds>,
    charged: f64,
    throttle_time: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Bounds {
    tokens: f64,
    limit: f64,
    enforcement: Enforcement,
}

impl MutationQuota {
    /// The quota of a client to whom none applies.
    pub const UNLIMITED: Self = Self {
        bounds: None,
        charged: 0.0,
        throttle_time: Duration::ZERO,
    };

    /// Takes a token for each of the partitions that are to be created or deleted.
    ///
    /// # Errors
    /// When the client is in debt and the quota is strict. Nothing is taken then.
    pub fn charge(&mut self, partitions: usize) -> Result<(), Exceeded> {
        let Some(bounds) = &mut self.bounds else {
            return Ok(());
        };
        let debt = |tokens: f64| rounded(-tokens / bounds.limit * 1_000.0);
        if bounds.enforcement == Enforcement::Strict && bounds.tokens < 0.0 {
            self.throttle_time = debt(bounds.tokens);
            return Err(Exceeded(self.throttle_time));
        }
        bounds.tokens -= partitions as f64;
        self.charged += partitions as f64;
        if bounds.enforcement == Enforcement::Permissive && bounds.tokens < 0.0 {
            self.throttle_time = debt(bounds.tokens);
        }
        Ok(())
    }

    /// Returns for how long the client is throttled.
    #[must_use]
    pub fn throttle_time(&self) -> Duration {
        self.throttle_time
    }
}

/// The buckets of all clients.
///
/// Source: `ControllerMutationQuotaManager`.
#[derive(Debug)]
pub struct MutationBuckets {
    windows: QuotaWindows,
    sensors: Sensors<TokenBucket>,
}

impl MutationBuckets {
    /// Creates full buckets.
    #[must_use]
    pub fn new(windows: QuotaWindows) -> Self {
        Self {
            windows,
            sensors: Sensors::default(),
        }
    }

    /// Returns the quota of a request of this client, to whom `applicable` applies. `before` was
    /// taken from the bucket for the same request when it was planned before.
    pub fn quota(
        &mut self,
        applicable: &Applicable<'_>,
        user: &str,
        client_id: &str,
        before: f64,
        enforcement: Enforcement,
        now: Instant,
    ) -> MutationQuota {
        let windows = self.windows;
        let bucket = self.bucket(applicable, user, client_id, now);
        MutationQuota {
            bounds: Some(Bounds {
                tokens: bucket.tokens(&windows, applicable.limit, now) + before,
                limit: applicable.limit,
                enforcement,
            }),
            ..MutationQuota::UNLIMITED
        }
    }

    /// Takes what a request was charged from the bucket, and gives back `before`. Returns what is
    /// taken now.
    pub fn settle(
        &mut self,
        applicable: &Applicable<'_>,
        user: &str,
        client_id: &str,
        quota: &MutationQuota,
        before: f64,
        now: Instant,
    ) -> f64 {
        let windows = self.windows;
        let limit = applicable.limit;
        let bucket = self.bucket(applicable, user, client_id, now);
        let tokens = bucket.tokens(&windows, limit, now) + before - quota.charged;
        bucket.set(&windows, limit, tokens, now);
        quota.charged
    }

    fn bucket(
        &mut self,
        applicable: &Applicable<'_>,
        user: &str,
        client_id: &str,
        now: Instant,
    ) -> &mut TokenBucket {
        let entity = applicable.entity;
        self.sensors
            .get(entity, user, client_id, now, |bucket| bucket.is_full(now))
    }
}
