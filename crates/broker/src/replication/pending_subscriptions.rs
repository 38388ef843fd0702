//! Subscriptions that arrived before this broker's metadata reached their leader epoch: the
//! follower has received the result of an election earlier than the leader. They wait here instead
//! of being refused, so that replication begins as soon as the leader has applied the election.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use dohle_model::TopicIdPartition;
use dohle_rpc::v1;
use parking_lot::Mutex;

/// A stream on which subscriptions have arrived.
pub(super) trait SubscribedStream: std::fmt::Debug + Send + Sync {
    /// Begins a subscription that waited, unless it is given up before it has begun.
    fn resume(self: Arc<Self>, subscribe: &v1::Subscribe, given_up: &GivenUp);
}

/// Whether the follower has given up a subscription while it is being resumed. The stream checks
/// this under the lock under which it inserts the subscription: one that is given up later is found
/// there.
#[derive(Debug, Clone, Default)]
pub(super) struct GivenUp(Arc<AtomicBool>);

impl GivenUp {
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// The waiting subscriptions: at most one for each partition of each stream.
#[derive(Debug, Default)]
pub(super) struct PendingSubscriptions {
    waiting: Mutex<HashMap<TopicIdPartition, Vec<PendingSubscription>>>,
}

#[derive(Debug, Clone)]
struct PendingSubscription {
    stream: Weak<dyn SubscribedStream>,
    subscribe: v1::Subscribe,
    given_up: GivenUp,
    is_resuming: bool,
}

impl PendingSubscriptions {
    /// Keeps a subscription until [`PendingSubscriptions::release`], unless it is given up. Of two
    /// subscriptions of one stream the newer is kept.
    pub(super) fn park(
        &self,
        id: TopicIdPartition,
        stream: Weak<dyn SubscribedStream>,
        subscribe: v1::Subscribe,
        given_up: &GivenUp,
    ) {
        let mut waiting = self.waiting.lock();
        if given_up.is_set() {
            return;
        }
        let parked = waiting.entry(id).or_default();
        let is_newer =
            |it: &PendingSubscription| it.subscribe.subscription > subscribe.subscription;
        parked.retain(|it| {
            it.stream.strong_count() > 0 && (!it.stream.ptr_eq(&stream) || is_newer(it))
        });
        if !parked.iter().any(|it| it.stream.ptr_eq(&stream)) {
            parked.push(PendingSubscription {
                stream,
                subscribe,
                given_up: GivenUp::default(),
                is_resuming: false,
            });
        }
    }

    /// Drops a subscription that the follower has given up.
    pub(super) fn forget(&self, id: TopicIdPartition, stream: &Weak<dyn SubscribedStream>) {
        let mut waiting = self.waiting.lock();
        if let Some(parked) = waiting.get_mut(&id) {
            for it in parked.extract_if(.., |it| it.stream.ptr_eq(stream)) {
                it.given_up.set();
            }
            if parked.is_empty() {
                waiting.remove(&id);
            }
        }
    }

    /// Answers the subscriptions of a partition that this broker leads now.
    pub(super) fn release(&self, id: TopicIdPartition) {
        let resumed: Vec<PendingSubscription> = {
            let mut waiting = self.waiting.lock();
            let parked = waiting.get_mut(&id).into_iter().flatten();
            let parked = parked.filter(|it| !it.is_resuming);
            parked
                .map(|it| {
                    it.is_resuming = true;
                    it.clone()
                })
                .collect()
        };
        for it in &resumed {
            if let Some(stream) = it.stream.upgrade() {
                stream.resume(&it.subscribe, &it.given_up);
            }
        }
        // They stayed here until now, so that `forget` found them. One that has to wait again is a
        // new entry.
        let mut waiting = self.waiting.lock();
        if let Some(parked) = waiting.get_mut(&id) {
            let is_resumed = |it: &PendingSubscription| {
                let mut resumed = resumed.iter();
                resumed.any(|other| Arc::ptr_eq(&other.given_up.0, &it.given_up.0))
            };
            parked.retain(|it| !is_resumed(it));
            if parked.is_empty() {
                waiting.remove(&id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use dohle_model::{PartitionIndex, TopicId, Uuid};

    use super::*;

    const ID: TopicIdPartition = TopicIdPartition {
        topic_id: TopicId(Uuid([1; 16])),
        partition: PartitionIndex(0),
    };

    /// A stream whose follower gives up the subscription just when it is resumed.
    #[derive(Debug, Default)]
    struct Stream {
        pending: PendingSubscriptions,
        given_up: Mutex<Vec<bool>>,
    }

    impl SubscribedStream for Stream {
        fn resume(self: Arc<Self>, subscribe: &v1::Subscribe, given_up: &GivenUp) {
            let stream: Weak<Self> = Arc::downgrade(&self);
            let stream: Weak<dyn SubscribedStream> = stream;
            let before = given_up.is_set();
            self.pending.forget(ID, &stream);
            self.given_up.lock().extend([before, given_up.is_set()]);
            // The metadata are still too old.
            self.pending.park(ID, stream, subscribe.clone(), given_up);
        }
    }

    #[test]
    fn a_subscription_that_is_given_up_while_it_is_resumed_ends() {
        let stream = Arc::new(Stream::default());
        let weak: Weak<Stream> = Arc::downgrade(&stream);
        let subscribe = v1::Subscribe::default();
        let pending = &stream.pending;
        pending.park(ID, weak, subscribe, &GivenUp::default());
        pending.release(ID);
        assert_eq!(*stream.given_up.lock(), [false, true]);
        pending.release(ID);
        assert_eq!(stream.given_up.lock().len(), 2, "it does not wait again");
        assert!(pending.waiting.lock().is_empty());
    }
}
