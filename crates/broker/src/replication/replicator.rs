//! Replication of one broker, for the registry of partitions and for the server of its followers.

use std::ops::Range;
use std::sync::Arc;

use dohle_model::image::MetadataImage;
use dohle_model::{NodeId, Offset, TopicIdPartition};
use dohle_rpc::replication_transport::TransportError;
use futures::future::BoxFuture;

use super::pending_subscriptions::PendingSubscriptions;
use super::replica_streams::{ReplicaStreams, ReplicatorConfig};
use super::stream_report::StreamReport;
use crate::partition::Partition;
use crate::partitions::{RecordStream, Replicator};

/// Replication over streams between brokers.
#[derive(Debug)]
pub struct StreamReplicator {
    streams: Arc<ReplicaStreams>,
    pending: Arc<PendingSubscriptions>,
}

impl StreamReplicator {
    /// Creates the replication of a broker, without partitions.
    ///
    /// # Panics
    /// Without a runtime.
    #[must_use]
    pub fn new(config: ReplicatorConfig) -> Arc<Self> {
        assert!(!config.runtimes.is_empty(), "replication has a runtime");
        Arc::new(Self {
            streams: ReplicaStreams::new(config),
            pending: Arc::default(),
        })
    }

    /// Reports on the streams from leaders, by leader.
    #[must_use]
    pub fn report(&self) -> Vec<StreamReport> {
        self.streams.report()
    }

    pub(super) fn pending(&self) -> &Arc<PendingSubscriptions> {
        &self.pending
    }
}

impl Replicator for StreamReplicator {
    fn set_image(&self, image: &Arc<MetadataImage>) {
        self.streams.set_image(image);
    }

    fn follow(&self, partition: &Arc<Partition>, leader: NodeId) {
        self.streams.follow(partition, leader);
    }

    fn stop(&self, id: TopicIdPartition) {
        self.streams.stop(id);
    }

    fn flush(&self) {
        self.streams.flush();
    }

    fn on_became_leader(&self, id: TopicIdPartition) {
        self.pending.release(id);
    }

    fn records<'a>(
        &'a self,
        broker: NodeId,
        id: TopicIdPartition,
        range: &'a Range<Offset>,
    ) -> BoxFuture<'a, Result<RecordStream, TransportError>> {
        Box::pin(self.streams.records(broker, id, range))
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.streams.shutdown())
    }
}
