//! Subscriptions that arrived before this broker's metadata reached their leader epoch: the
//! follower has received the result of an election earlier than the leader. They wait here instead
//! of being refused, so that replication begins as soon as the leader has applied the election.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use dohle_model::TopicIdPartition;
use dohle_rpc::v1;
use parking_lot::Mutex;

/// A stream on which subscriptions have arrived.
pub(super) trait SubscribedStream: std::fmt::Debug + Send + Sync {
    /// Begins a subscription that waited.
    fn resume(self: Arc<Self>, subscribe: &v1::Subscribe);
}

/// The waiting subscriptions: at most one for each partition of each stream.
#[derive(Debug, Default)]
pub(super) struct PendingSubscriptions {
    waiting: Mutex<HashMap<TopicIdPartition, Vec<PendingSubscription>>>,
}

#[derive(Debug)]
struct PendingSubscription {
    stream: Weak<dyn SubscribedStream>,
    subscribe: v1::Subscribe,
}

impl PendingSubscriptions {
    /// Keeps a subscription until [`PendingSubscriptions::release`]. Of two subscriptions of one
    /// stream the newer is kept.
    pub(super) fn park(
        &self,
        id: TopicIdPartition,
        stream: Weak<dyn SubscribedStream>,
        subscribe: v1::Subscribe,
    ) {
        let mut waiting = self.waiting.lock();
        let parked = waiting.entry(id).or_default();
        let is_newer =
            |it: &PendingSubscription| it.subscribe.subscription > subscribe.subscription;
        parked.retain(|it| {
            it.stream.strong_count() > 0 && (!it.stream.ptr_eq(&stream) || is_newer(it))
        });
        if !parked.iter().any(|it| it.stream.ptr_eq(&stream)) {
            parked.push(PendingSubscription { stream, subscribe });
        }
    }

    /// Drops a subscription that the follower has given up.
    pub(super) fn forget(&self, id: TopicIdPartition, stream: &Weak<dyn SubscribedStream>) {
        let mut waiting = self.waiting.lock();
        if let Some(parked) = waiting.get_mut(&id) {
            parked.retain(|it| !it.stream.ptr_eq(stream));
            if parked.is_empty() {
                waiting.remove(&id);
            }
        }
    }

    /// Answers the subscriptions of a partition that this broker leads now.
    pub(super) fn release(&self, id: TopicIdPartition) {
        let parked = self.waiting.lock().remove(&id).unwrap_or_default();
        for PendingSubscription { stream, subscribe } in parked {
            if let Some(stream) = stream.upgrade() {
                stream.resume(&subscribe);
            }
        }
    }
}
