//! Which partition is fetched from which leader: one [`super::fetcher::Fetcher`] a leader broker.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dohle_model::image::MetadataImage;
use dohle_model::{BrokerEpoch, IncarnationId, NodeId, TopicIdPartition};
use parking_lot::Mutex;
use tokio::runtime::Handle;

use super::fetcher::{Fetcher, Hello, Target};
use crate::partition::Partition;

/// The fetchers of one broker.
#[derive(Debug)]
pub(crate) struct Fetchers {
    node: NodeId,
    cluster_id: Arc<str>,
    incarnation: IncarnationId,
    listener: String,
    runtimes: Vec<Handle>,
    next_runtime: AtomicUsize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    image: Arc<MetadataImage>,
    by_leader: HashMap<NodeId, Fetcher>,
    assigned: HashMap<TopicIdPartition, NodeId>,
    /// Fetchers with something new to say.
    dirty: BTreeSet<NodeId>,
    stopped: bool,
}

impl Fetchers {
    pub(crate) fn new(
        node: NodeId,
        cluster_id: String,
        incarnation: IncarnationId,
        listener: String,
        runtimes: Vec<Handle>,
    ) -> Self {
        Self {
            node,
            cluster_id: cluster_id.into(),
            incarnation,
            listener,
            runtimes,
            next_runtime: AtomicUsize::new(0),
            inner: Mutex::default(),
        }
    }

    /// Takes over brokers' addresses and this broker's registration.
    pub(crate) fn set_image(&self, image: &Arc<MetadataImage>) {
        let mut inner = self.inner.lock();
        inner.image = Arc::clone(image);
        for (leader, fetcher) in &inner.by_leader {
            fetcher.set_target(self.target(image, *leader));
        }
    }

    /// Fetches a partition from `leader` from now on, under the epoch that the partition knows.
    pub(crate) fn follow(&self, partition: &Arc<Partition>, leader: NodeId) {
        let id = partition.id();
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        if inner.stopped {
            return;
        }
        if let Some(before) = inner.assigned.insert(id, leader)
            && before != leader
        {
            inner.unassign(id, before);
        }
        let fetcher = inner.by_leader.entry(leader).or_insert_with(|| {
            let at = self.next_runtime.fetch_add(1, Ordering::Relaxed) % self.runtimes.len();
            Fetcher::start(
                leader,
                self.target(&inner.image, leader),
                &self.runtimes[at],
            )
        });
        fetcher.add(partition);
        inner.dirty.insert(leader);
    }

    /// Fetches a partition no more.
    pub(crate) fn stop(&self, id: TopicIdPartition) {
        let mut inner = self.inner.lock();
        if let Some(leader) = inner.assigned.remove(&id) {
            inner.unassign(id, leader);
        }
    }

    /// Sends what changed since the last flush; ends fetchers without partitions.
    pub(crate) fn flush(&self) {
        let mut inner = self.inner.lock();
        for leader in std::mem::take(&mut inner.dirty) {
            let Some(fetcher) = inner.by_leader.get(&leader) else {
                continue;
            };
            if fetcher.is_idle() {
                inner.by_leader.remove(&leader);
            } else {
                fetcher.flush();
            }
        }
    }

    /// Ends all fetchers; none begins any more.
    pub(crate) async fn shutdown(&self) {
        let fetchers = {
            let mut inner = self.inner.lock();
            inner.stopped = true;
            inner.assigned.clear();
            std::mem::take(&mut inner.by_leader)
        };
        for (_, fetcher) in fetchers {
            fetcher.shutdown().await;
        }
    }

    /// Where a leader is reached, and as whom. `None` until the metadata says both.
    fn target(&self, image: &MetadataImage, leader: NodeId) -> Option<Target> {
        let broker = image.brokers.get(&leader)?;
        let endpoint = broker
            .endpoints
            .iter()
            .find(|it| it.listener == self.listener)?;
        let own = image.brokers.get(&self.node)?;
        let broker_epoch: BrokerEpoch = own.epoch;
        Some(Target {
            host: endpoint.host.clone(),
            port: endpoint.port,
            // A leader that was started again is another one, at the same address.
            leader_epoch: broker.epoch,
            hello: Hello {
                cluster_id: Arc::clone(&self.cluster_id),
                node: self.node,
                broker_epoch,
                incarnation: self.incarnation,
            },
        })
    }
}

impl Inner {
    fn unassign(&mut self, id: TopicIdPartition, leader: NodeId) {
        if let Some(fetcher) = self.by_leader.get(&leader) {
            fetcher.remove(id);
            self.dirty.insert(leader);
        }
    }
}
