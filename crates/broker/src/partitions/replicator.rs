//! The registry's interface to replication. It is a trait because replication is built on the
//! registry: the node creates both, and passes one to the other.

use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use dohle_model::image::MetadataImage;
use dohle_model::{NodeId, Offset, TopicIdPartition};
use dohle_rpc::replication_transport::TransportError;
use futures::future::BoxFuture;
use futures::stream::BoxStream;

use crate::partition::Partition;

/// Batches of records, in the order of their offsets, up to the first error.
pub type RecordStream = BoxStream<'static, Result<Bytes, TransportError>>;

/// Replicates partitions from their leaders, as the registry directs.
pub trait Replicator: Debug + Send + Sync + 'static {
    /// Updates the brokers' addresses and this broker's registration.
    fn set_image(&self, image: &Arc<MetadataImage>);

    /// Follows `leader` for a partition, in the partition's leader epoch, from the next flush on.
    fn follow(&self, partition: &Arc<Partition>, leader: NodeId);

    /// Stops following a partition from the next flush on.
    fn stop(&self, id: TopicIdPartition);

    /// Sends the changes since the last flush to the leaders.
    fn flush(&self);

    /// Answers followers that subscribed before this broker led the partition.
    fn on_became_leader(&self, id: TopicIdPartition);

    /// Requests the committed records of a range from a broker, for a repair.
    ///
    /// # Errors
    /// When the broker has no address, cannot be reached, or refuses the request.
    fn records<'a>(
        &'a self,
        broker: NodeId,
        id: TopicIdPartition,
        range: &'a Range<Offset>,
    ) -> BoxFuture<'a, Result<RecordStream, TransportError>>;

    /// Ends all replication from leaders.
    fn shutdown(&self) -> BoxFuture<'_, ()>;
}
