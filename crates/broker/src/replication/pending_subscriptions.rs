//! Subscriptions that came before the metadata that this broker needs to answer them: a follower
//! that heard of an election sooner than its leader. They wait here instead of being refused, so
//! that replication begins the moment the leader knows.

use std::collections::HashMap;
use std::sync::Weak;

use dohle_model::TopicIdPartition;
use dohle_rpc::v1;
use parking_lot::Mutex;

use super::leader_stream::LeaderSession;

/// The waiting subscriptions. Bounded by the followers' partitions: of each stream at most one a
/// partition counts.
#[derive(Debug, Default)]
pub(super) struct PendingSubscriptions {
    waiting: Mutex<HashMap<TopicIdPartition, Vec<PendingSubscription>>>,
}

#[derive(Debug)]
struct PendingSubscription {
    stream: Weak<LeaderSession>,
    subscribe: v1::Subscribe,
}

impl PendingSubscriptions {
    /// Keeps a subscription until [`PendingSubscriptions::release`].
    pub(super) fn park(
        &self,
        id: TopicIdPartition,
        stream: Weak<LeaderSession>,
        subscribe: v1::Subscribe,
    ) {
        let mut waiting = self.waiting.lock();
        let parked = waiting.entry(id).or_default();
        parked.retain(|it| it.stream.strong_count() > 0 && !it.stream.ptr_eq(&stream));
        parked.push(PendingSubscription { stream, subscribe });
    }

    /// The follower does not want it any more.
    pub(super) fn forget(&self, id: TopicIdPartition, stream: &Weak<LeaderSession>) {
        let mut waiting = self.waiting.lock();
        if let Some(parked) = waiting.get_mut(&id) {
            parked.retain(|it| !it.stream.ptr_eq(stream));
            if parked.is_empty() {
                waiting.remove(&id);
            }
        }
    }

    /// This broker leads the partition now: the subscriptions are answered.
    pub(super) fn release(&self, id: TopicIdPartition) {
        let parked = self.waiting.lock().remove(&id).unwrap_or_default();
        for PendingSubscription { stream, subscribe } in parked {
            if let Some(stream) = stream.upgrade() {
                stream.subscribe(&subscribe);
            }
        }
    }
}
