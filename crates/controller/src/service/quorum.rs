//! DescribeQuorum (KIP-595, KIP-836): describes voters from Raft's state, and observers from their
//! heartbeats.

use std::sync::Arc;

use dohle_model::{DirectoryId, ErrorCode, METADATA_TOPIC, MetadataOffset, NodeId};
use dohle_protocol::messages::describe_quorum_request::{self, DescribeQuorumRequestData};
use dohle_protocol::messages::describe_quorum_response::{
    DescribeQuorumResponseData, Listener, Node, PartitionData, ReplicaState, TopicData,
};
use dohle_protocol::{text, uuid};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tonic::Status;

use super::Inner;
use crate::actor::Message;
use crate::clock;

pub(super) async fn describe(
    inner: Arc<Inner>,
    request: DescribeQuorumRequestData,
) -> Result<DescribeQuorumResponseData, Status> {
    inner.wait_for_controller().await;
    // Without a leader, every voter answers from its own observations.
    if inner.activity.borrow().leader.is_some() {
        inner.check_active()?;
    }
    if !is_about_metadata(&request.topics) {
        return Ok(DescribeQuorumResponseData {
            topics: request.topics.into_iter().map(unknown_topic).collect(),
            ..DescribeQuorumResponseData::default()
        });
    }
    let topic = TopicData {
        topic_name: text(METADATA_TOPIC),
        partitions: vec![partition(&inner).await?],
        ..TopicData::default()
    };
    Ok(DescribeQuorumResponseData {
        topics: vec![topic],
        nodes: nodes(&inner),
        ..DescribeQuorumResponseData::default()
    })
}

/// Returns whether a request names the quorum's only partition, once, and nothing else. As in
/// Kafka, each other request is about partitions that do not exist.
fn is_about_metadata(topics: &[describe_quorum_request::TopicData]) -> bool {
    let [topic] = topics else { return false };
    let indexes = topic.partitions.iter().map(|one| one.partition_index);
    topic.topic_name.as_str() == METADATA_TOPIC && indexes.eq([0])
}

fn unknown_topic(topic: describe_quorum_request::TopicData) -> TopicData {
    let indexes = topic.partitions.iter().map(|one| one.partition_index);
    TopicData {
        partitions: indexes.map(unknown_partition).collect(),
        topic_name: topic.topic_name,
        ..TopicData::default()
    }
}

fn unknown_partition(index: i32) -> PartitionData {
    PartitionData {
        partition_index: index,
        error_code: ErrorCode::UnknownTopicOrPartition.code(),
        error_message: Some(text(&format!(
            "a request names the quorum's only partition, {METADATA_TOPIC}-0, once and alone"
        ))),
        ..PartitionData::default()
    }
}

/// Returns the addresses of the voters.
fn nodes(inner: &Inner) -> Vec<Node> {
    let voters = inner.config.voters.iter();
    let node = |(node, voter): (&NodeId, &crate::VoterAddress)| Node {
        node_id: node.0,
        listeners: vec![Listener {
            name: text(&voter.listener),
            host: text(&voter.host),
            port: voter.port,
            ..Listener::default()
        }],
        ..Node::default()
    };
    voters.map(node).collect()
}

async fn partition(inner: &Inner) -> Result<PartitionData, Status> {
    let (reply, observers) = oneshot::channel();
    if inner.actor.send(Message::Observers(reply)).await.is_err() {
        return Err(inner.not_active());
    }
    let observers = observers.await.map_err(|_| inner.not_active())?;
    let quorum = inner.quorum.describe();
    let config = &inner.config;
    let clock = Clock::now();
    let leader = inner.activity.borrow().leader;
    let replica =
        |node: NodeId, directory: DirectoryId, end: Option<MetadataOffset>, fetch, caught_up| {
            let directory = if node == config.node_id {
                config.directory_id
            } else {
                directory
            };
            ReplicaState {
                replica_id: node.0,
                replica_directory_id: uuid(directory.to_bytes()),
                log_end_offset: end.map_or(-1, |end| i64::try_from(end.0).unwrap_or(i64::MAX)),
                last_fetch_timestamp: clock.millis(fetch),
                last_caught_up_timestamp: clock.millis(caught_up),
                ..ReplicaState::default()
            }
        };
    let published = inner.published.borrow().image.offset;
    let voters = quorum.voters.iter();
    let observers = observers
        .into_iter()
        .filter(|(node, ..)| !config.voters.contains_key(node));
    Ok(PartitionData {
        leader_id: NodeId::to_wire(leader),
        leader_epoch: i32::try_from(quorum.term).unwrap_or(i32::MAX),
        high_watermark: i64::try_from(quorum.high_watermark.0).unwrap_or(i64::MAX),
        current_voters: voters
            .map(|v| {
                let (fetch, caught_up) = (v.last_fetch, v.last_caught_up);
                replica(v.node_id, v.directory, v.log_end_offset, fetch, caught_up)
            })
            .collect(),
        observers: observers
            .map(|(node, offset, heard)| {
                // Brokers never receive offsets that Raft uses itself: a broker that has replayed
                // the last batch is caught up.
                let caught_up = offset >= published;
                let end = if caught_up {
                    quorum.high_watermark
                } else {
                    next(offset)
                };
                replica(
                    node,
                    DirectoryId::ZERO,
                    Some(end),
                    Some(heard),
                    Some(heard).filter(|_| caught_up),
                )
            })
            .collect(),
        ..PartitionData::default()
    })
}

fn next(offset: MetadataOffset) -> MetadataOffset {
    MetadataOffset(offset.0.saturating_add(1))
}

/// Converts instants of the monotonic clock to wall-clock timestamps.
struct Clock {
    instant: Instant,
    millis: i64,
}

impl Clock {
    fn now() -> Self {
        Self {
            instant: Instant::now(),
            millis: clock::now().0,
        }
    }

    fn millis(&self, at: Option<Instant>) -> i64 {
        let Some(at) = at else { return -1 };
        let ago = self.instant.saturating_duration_since(at).as_millis();
        self.millis
            .saturating_sub(i64::try_from(ago).unwrap_or(i64::MAX))
    }
}
