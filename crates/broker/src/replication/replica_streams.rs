//! The streams on which this broker follows partitions: one [`FollowerStream`] to each leader
//! broker for the partitions that keep up, another while there are partitions that are far behind,
//! and a third for those of them whose replication is throttled.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use dohle_model::image::MetadataImage;
use dohle_model::{BrokerEpoch, IncarnationId, NodeId, Offset, TopicIdPartition};
use dohle_rpc::replication_transport::TransportError;
use dohle_tls::Connector;
use parking_lot::Mutex;
use tokio::runtime::Handle;

use super::follower_stream::{
    ChangeStream, FollowerStream, Hello, LeaderEndpoint, ReplicationStream,
};
use super::records;
use super::stream_report::StreamReport;
use crate::partition::Partition;
use crate::partitions::RecordStream;

/// The parameters of replication.
#[derive(Debug)]
pub struct ReplicatorConfig {
    /// This broker.
    pub node: NodeId,
    /// The cluster's id, which leaders compare with theirs.
    pub cluster_id: String,
    /// This run of the process.
    pub incarnation: IncarnationId,
    /// `inter.broker.listener.name`: the listener at which other brokers are reached.
    pub listener: String,
    /// Connects to that listener of other brokers.
    pub connector: Connector,
    /// The runtimes that replication streams run on, handed out round robin; at least one.
    pub runtimes: Vec<Handle>,
}

/// The replica streams of one broker.
#[derive(Debug)]
pub(super) struct ReplicaStreams {
    this: Weak<Self>,
    node: NodeId,
    cluster_id: Arc<str>,
    incarnation: IncarnationId,
    listener: String,
    connector: Connector,
    runtimes: Vec<Handle>,
    next_runtime: AtomicUsize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    image: Arc<MetadataImage>,
    by_leader: HashMap<(NodeId, ReplicationStream), FollowerStream>,
    assigned: HashMap<TopicIdPartition, (NodeId, ReplicationStream)>,
    /// Streams with messages to send.
    dirty: BTreeSet<(NodeId, ReplicationStream)>,
    stopped: bool,
}

impl ReplicaStreams {
    pub(super) fn new(config: ReplicatorConfig) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            this: Weak::clone(this),
            node: config.node,
            cluster_id: config.cluster_id.into(),
            incarnation: config.incarnation,
            listener: config.listener,
            connector: config.connector,
            runtimes: config.runtimes,
            next_runtime: AtomicUsize::new(0),
            inner: Mutex::default(),
        })
    }

    /// Updates the brokers' addresses and this broker's registration.
    pub(super) fn set_image(&self, image: &Arc<MetadataImage>) {
        let mut inner = self.inner.lock();
        inner.image = Arc::clone(image);
        for ((leader, _), follower_stream) in &inner.by_leader {
            follower_stream.set_target(self.target(image, *leader));
        }
    }

    /// Follows `leader` for a partition, in the partition's own leader epoch.
    pub(super) fn follow(&self, partition: &Arc<Partition>, leader: NodeId) {
        let mut inner = self.inner.lock();
        let is_behind = !self.is_member(&inner.image, partition);
        let kind = match is_behind && partition.is_throttled_follower() {
            true => ReplicationStream::Throttled,
            false => ReplicationStream::Live,
        };
        self.assign(&mut inner, partition, (leader, kind));
    }

    fn assign(
        &self,
        inner: &mut Inner,
        partition: &Arc<Partition>,
        to: (NodeId, ReplicationStream),
    ) {
        let id = partition.id();
        if inner.stopped {
            return;
        }
        if let Some(before) = inner.assigned.insert(id, to)
            && before != to
        {
            inner.unassign(id, before);
        }
        let follower_stream = inner.by_leader.entry(to).or_insert_with(|| {
            let at = self.next_runtime.fetch_add(1, Ordering::Relaxed) % self.runtimes.len();
            let target = self.target(&inner.image, to.0);
            FollowerStream::start(
                to.0,
                to.1,
                target,
                Weak::clone(&self.this) as _,
                &self.runtimes[at],
            )
        });
        follower_stream.add(partition);
        inner.dirty.insert(to);
    }

    /// Returns whether this broker is in the ISR of a partition.
    fn is_member(&self, image: &MetadataImage, partition: &Partition) -> bool {
        let registration = image.partition(&partition.id());
        registration.is_some_and(|registration| registration.isr.contains(&self.node))
    }

    /// Stops following a partition.
    pub(super) fn stop(&self, id: TopicIdPartition) {
        let mut inner = self.inner.lock();
        if let Some(from) = inner.assigned.remove(&id) {
            inner.unassign(id, from);
        }
    }

    /// Sends the messages that are due since the last flush, and ends streams without partitions.
    pub(super) fn flush(&self) {
        self.inner.lock().flush();
    }

    /// Ends all streams. No stream begins after that.
    pub(super) async fn shutdown(&self) {
        let replica_streams = {
            let mut inner = self.inner.lock();
            inner.stopped = true;
            inner.assigned.clear();
            std::mem::take(&mut inner.by_leader)
        };
        for (_, follower_stream) in replica_streams {
            follower_stream.shutdown().await;
        }
    }

    /// Reports on the streams, by leader.
    pub(super) fn report(&self) -> Vec<StreamReport> {
        let inner = self.inner.lock();
        let streams = inner.by_leader.values();
        let mut reports: Vec<StreamReport> = streams.map(FollowerStream::report).collect();
        reports.sort_by_key(|report| (report.leader, report.kind));
        reports
    }

    /// Asks a broker for the committed records of a range, for a repair.
    ///
    /// # Errors
    /// When the broker has no known address, cannot be reached, or does not have the records.
    pub(super) async fn records(
        &self,
        broker: NodeId,
        id: TopicIdPartition,
        range: &Range<Offset>,
    ) -> Result<RecordStream, TransportError> {
        let target = {
            let inner = self.inner.lock();
            self.target(&inner.image, broker)
        };
        let unknown = || TransportError::Broken(format!("broker {broker} has no address"));
        records::request(&target.ok_or_else(unknown)?, id, range).await
    }

    /// Returns a leader's address and the hello to send to it. `None` until the metadata has both
    /// brokers.
    fn target(&self, image: &MetadataImage, leader: NodeId) -> Option<LeaderEndpoint> {
        let broker = image.brokers.get(&leader)?;
        let endpoint = broker
            .endpoints
            .iter()
            .find(|it| it.listener == self.listener)?;
        let own = image.brokers.get(&self.node)?;
        let broker_epoch: BrokerEpoch = own.epoch;
        Some(LeaderEndpoint {
            host: endpoint.host.clone(),
            port: endpoint.port,
            // Distinguishes a leader that was restarted at the same address.
            leader_epoch: broker.epoch,
            hello: Hello {
                cluster_id: Arc::clone(&self.cluster_id),
                node: self.node,
                broker_epoch,
                incarnation: self.incarnation,
            },
            connector: self.connector.clone(),
        })
    }
}

impl ChangeStream for ReplicaStreams {
    fn change_stream(&self, partition: &Arc<Partition>, leader: NodeId, kind: ReplicationStream) {
        let mut inner = self.inner.lock();
        let assigned = inner.assigned.get(&partition.id()).copied();
        // A change of the metadata may have assigned another leader meanwhile.
        if assigned.is_some_and(|(known, before)| known == leader && before != kind) {
            tracing::debug!(partition = %partition.name(), ?kind, "replica changed its stream");
            self.assign(&mut inner, partition, (leader, kind));
            inner.flush();
        }
    }

    fn is_in_sync(&self, partition: &Partition) -> bool {
        let image = Arc::clone(&self.inner.lock().image);
        self.is_member(&image, partition)
    }
}

impl Inner {
    fn unassign(&mut self, id: TopicIdPartition, from: (NodeId, ReplicationStream)) {
        if let Some(follower_stream) = self.by_leader.get(&from) {
            follower_stream.remove(id);
            self.dirty.insert(from);
        }
    }

    fn flush(&mut self) {
        for key in std::mem::take(&mut self.dirty) {
            let Some(follower_stream) = self.by_leader.get(&key) else {
                continue;
            };
            if follower_stream.is_idle() {
                self.by_leader.remove(&key);
            } else {
                follower_stream.flush();
            }
        }
    }
}
