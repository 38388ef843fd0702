//! Counts the partitions that a client's request creates or deletes towards its quota (KIP-599).
//!
//! The buckets are those of the active controller, so a quota holds for the cluster. They are full
//! when another controller becomes active.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dohle_auth::quotas::{
    Applicable, Enforcement, MutationBuckets, MutationQuota, QuotaType, applicable,
};
use dohle_model::image::MetadataImage;
use dohle_protocol::ApiKey;
use dohle_rpc::v1;
use parking_lot::Mutex;

use crate::plan::Draft;

/// The account of one request. A request may be planned more than once, and is charged once.
pub(super) struct MutationAccount {
    buckets: Arc<Mutex<MutationBuckets>>,
    user: String,
    client_id: String,
    enforcement: Enforcement,
    /// The partitions that were taken from the bucket so far.
    charged: f64,
}

/// For how long a client is throttled since the request was planned.
pub(super) struct Throttled {
    time: Duration,
    since: Instant,
}

impl Throttled {
    /// Returns the rest of the throttle time, in milliseconds.
    pub fn rest_ms(&self) -> i32 {
        let rest = self.time.saturating_sub(self.since.elapsed());
        i32::try_from(rest.as_millis()).unwrap_or(i32::MAX)
    }
}

impl MutationAccount {
    /// Returns the account of a request, or `None` for an API whose requests have none.
    pub fn new(
        buckets: &Arc<Mutex<MutationBuckets>>,
        key: ApiKey,
        sender: Option<&v1::ForwardSender>,
    ) -> Option<Self> {
        let strict_since = match key {
            ApiKey::CreateTopics => 6,
            ApiKey::DeleteTopics => 5,
            ApiKey::CreatePartitions => 3,
            _ => return None,
        };
        let sender = sender?;
        let user = sender.principal.strip_prefix("User:");
        Some(Self {
            buckets: Arc::clone(buckets),
            user: user.unwrap_or(&sender.principal).to_owned(),
            client_id: sender.client_id.clone(),
            enforcement: match sender.api_version >= strict_since {
                true => Enforcement::Strict,
                false => Enforcement::Permissive,
            },
            charged: 0.0,
        })
    }

    /// Plans the request, and takes what it is charged from the client's bucket.
    pub fn charge<R>(
        &mut self,
        draft: &mut Draft,
        plan: impl FnOnce(&mut Draft) -> R,
    ) -> (R, Option<Throttled>) {
        let image = draft.image.clone();
        let Some(quota) = self.applicable(&image) else {
            return (plan(draft), None);
        };
        let now = Instant::now();
        let (user, client_id) = (self.user.as_str(), self.client_id.as_str());
        let mut buckets = self.buckets.lock();
        draft.mutation_quota =
            buckets.quota(&quota, user, client_id, self.charged, self.enforcement, now);
        drop(buckets);
        let response = plan(draft);
        let planned = std::mem::replace(&mut draft.mutation_quota, MutationQuota::UNLIMITED);
        let before = self.charged;
        let mut buckets = self.buckets.lock();
        let charged = buckets.settle(&quota, user, client_id, &planned, before, now);
        drop(buckets);
        self.charged = charged;
        let throttled = Throttled {
            time: planned.throttle_time(),
            since: now,
        };
        (response, Some(throttled))
    }

    /// Returns the quota that applies to the client.
    fn applicable(&self, image: &MetadataImage) -> Option<Applicable<'_>> {
        if image.client_quotas.is_empty() {
            return None;
        }
        applicable(&self.user, &self.client_id, |entity| {
            let quotas = image.client_quotas.get(&entity.to_entity())?;
            let limit = quotas.get(QuotaType::ControllerMutation.key())?;
            Some(limit.0)
        })
    }
}
