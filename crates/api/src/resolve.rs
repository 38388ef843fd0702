//! Resolves a topic and partition, as a client names them, to the partition on this broker.

use std::sync::Arc;
use std::time::Duration;

use dohle_model::image::{MetadataImage, TopicImage};
use dohle_model::record::Endpoint;
use dohle_model::{ErrorCode, NodeId, PartitionIndex, TopicId, TopicIdPartition, TopicName};
use tokio::time::Instant;

use dohle_broker::metadata::MetadataCache;
use dohle_broker::partition::Partition;
use dohle_broker::partitions::Partitions;

/// How long a request waits for metadata that another broker has already sent to the client. Kafka
/// does not wait at all; clients repeat a request for a topic that is not known yet.
const KNOWN_WITHIN: Duration = Duration::from_millis(100);
/// How long a request waits for the publication of a change that this broker is applying, which
/// takes longer than usual on a busy machine.
const PUBLISHED_WITHIN: Duration = Duration::from_secs(2);

/// Waits a moment for topics that the metadata of this broker do not contain yet: the client may
/// have got a new topic from a broker whose metadata is a few milliseconds ahead. Without this
/// wait, a client that has just created a topic would get UNKNOWN_TOPIC_OR_PARTITION.
pub(super) async fn until_known(
    metadata: &MetadataCache,
    received: Instant,
    known: impl FnMut(&MetadataImage) -> bool,
) {
    let deadline = received + KNOWN_WITHIN;
    // Not an error: the handler looks the topics up again in any case.
    let _ = metadata.wait_until(known, deadline).await;
}

/// Waits until the metadata of this broker no longer list it as a replica of partitions
/// that it has already removed: a change of the metadata is applied to the local replicas before it
/// is published. Without this wait, a client would get NOT_LEADER_OR_FOLLOWER for a topic that was
/// deleted, and look for another leader.
pub(super) async fn until_removed(
    metadata: &MetadataCache,
    node: NodeId,
    removed: &[(u32, TopicIdPartition)],
) {
    let published =
        |image: &MetadataImage| removed.iter().all(|(_, id)| !is_replica(image, id, node));
    // Not an error: the partitions are looked up again in any case.
    let _ = metadata
        .wait_until(published, Instant::now() + PUBLISHED_WITHIN)
        .await;
}

/// Returns the error code of a request that failed with `code` because its partition was removed
/// from this broker meanwhile; otherwise `code`. As Kafka's `getPartitionOrError`, it is
/// UNKNOWN_TOPIC_OR_PARTITION when the topic was deleted, and NOT_LEADER_OR_FOLLOWER when other
/// brokers host the partition.
pub(super) async fn code_if_removed(
    (partitions, metadata, node): (&Partitions, &MetadataCache, NodeId),
    id: TopicIdPartition,
    code: ErrorCode,
) -> ErrorCode {
    let may_be_removed = matches!(
        code,
        ErrorCode::NotLeaderOrFollower | ErrorCode::KafkaStorageError
    );
    if !may_be_removed || partitions.get(&id).is_some() {
        return code;
    }
    until_removed(metadata, node, &[(0, id)]).await;
    match metadata.image().partition(&id) {
        Some(_) => ErrorCode::NotLeaderOrFollower,
        None => ErrorCode::UnknownTopicOrPartition,
    }
}

/// Whether the metadata list the broker among the replicas of the partition.
pub(crate) fn is_replica(image: &MetadataImage, id: &TopicIdPartition, node: NodeId) -> bool {
    let registration = image.partition(id);
    registration.is_some_and(|registration| registration.replicas.contains(&node))
}

/// Returns the topic of this name.
pub(super) fn topic_by_name<'a>(
    image: &'a MetadataImage,
    name: &str,
) -> Result<&'a TopicImage, ErrorCode> {
    image.topic(name).ok_or(ErrorCode::UnknownTopicOrPartition)
}

/// Returns the topic with this id.
pub(super) fn topic_by_id(
    image: &MetadataImage,
    id: Option<TopicId>,
) -> Result<&TopicImage, ErrorCode> {
    id.and_then(|id| image.topics.get(&id))
        .ok_or(ErrorCode::UnknownTopicId)
}

/// Whether this is the name of an internal topic, which need not exist.
pub(super) fn is_internal(name: &str) -> bool {
    TopicName::new(name).is_ok_and(|name| name.is_internal())
}

/// Whether the topic has this partition.
pub(super) fn has_partition(topic: &TopicImage, index: i32) -> bool {
    PartitionIndex::from_wire(index).is_some_and(|index| topic.partitions.contains_key(&index))
}

/// Returns the partition, if this broker hosts it. Returns NOT_LEADER_OR_FOLLOWER when only other
/// brokers host it.
pub(super) fn partition(
    partitions: &Partitions,
    topic: &TopicImage,
    index: i32,
) -> Result<Arc<Partition>, ErrorCode> {
    let index = PartitionIndex::from_wire(index).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    if !topic.partitions.contains_key(&index) {
        return Err(ErrorCode::UnknownTopicOrPartition);
    }
    let id = TopicIdPartition {
        topic_id: topic.id,
        partition: index,
    };
    partitions.get(&id).ok_or(ErrorCode::NotLeaderOrFollower)
}

/// Returns the partition of the topic of this name, if this broker hosts it.
pub(super) fn partition_by_name(
    partitions: &Partitions,
    image: &MetadataImage,
    name: &str,
    index: i32,
) -> Result<Arc<Partition>, ErrorCode> {
    partition(partitions, topic_by_name(image, name)?, index)
}

/// The current leader of a partition, as sent to clients in version 10 of Produce and later
/// (KIP-951).
pub(super) struct CurrentLeader {
    pub id: i32,
    pub epoch: i32,
    pub endpoint: Option<LeaderEndpoint>,
}

/// The address of a leader on the client's listener.
pub(super) struct LeaderEndpoint {
    pub host: String,
    pub port: i32,
    pub rack: Option<String>,
}

/// Returns the leader of a partition, and its address on `listener`; the id -1 and the epoch while
/// there is none.
pub(super) fn current_leader(
    image: &MetadataImage,
    id: &TopicIdPartition,
    listener: &str,
) -> Option<CurrentLeader> {
    let registration = image.partition(id)?;
    let address = |leader: NodeId| {
        let endpoint = live_endpoint(image, leader, listener)?;
        Some(LeaderEndpoint {
            host: endpoint.host.clone(),
            port: i32::from(endpoint.port),
            rack: image
                .brokers
                .get(&leader)
                .and_then(|broker| broker.rack.clone()),
        })
    };
    let endpoint = registration.leader.and_then(address);
    Some(CurrentLeader {
        id: NodeId::to_wire(registration.leader),
        epoch: registration.leader_epoch.0,
        endpoint,
    })
}

/// Returns the address of a live broker on `listener`; `None` when the broker is fenced, gone, or
/// has no such listener.
#[must_use]
pub(crate) fn live_endpoint<'a>(
    image: &'a MetadataImage,
    broker: NodeId,
    listener: &str,
) -> Option<&'a Endpoint> {
    let registration = image.brokers.get(&broker)?;
    if registration.fenced {
        return None;
    }
    registration
        .endpoints
        .iter()
        .find(|endpoint| endpoint.listener == listener)
}
