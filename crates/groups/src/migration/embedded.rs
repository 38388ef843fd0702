//! The consumer embedded protocol: the bytes that consumers of the classic protocol put into
//! JoinGroup and SyncGroup. They are a version (0 to 3) and a subscription or an assignment.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use dohle_model::image::MetadataImage;
use dohle_model::{PartitionIndex, TopicId};
use dohle_protocol::messages::consumer_protocol_assignment::{
    ConsumerProtocolAssignmentData, TopicPartition as AssignedPartitions,
};
use dohle_protocol::messages::consumer_protocol_subscription::ConsumerProtocolSubscriptionData;

use crate::modern::member::{Assignment, Reported};
use crate::wire::text;

/// The protocol type of classic groups that use it.
pub(crate) const PROTOCOL_TYPE: &str = "consumer";

/// The newest version.
const VERSION_MAX: i16 = 3;

/// The bytes are not a subscription or assignment of a consumer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Malformed(String);

/// The version of the bytes. A later version than the newest known one is read as that one.
pub(crate) fn version(mut metadata: &[u8]) -> Result<i16, Malformed> {
    match metadata.try_get_i16() {
        Ok(version @ 0..) => Ok(version.min(VERSION_MAX)),
        Ok(version) => Err(Malformed(format!("Unsupported version: {version}"))),
        Err(_) => Err(Malformed("its version is missing".to_owned())),
    }
}

/// The subscription of a member, with the partitions that it reports.
pub(crate) fn subscription(
    metadata: &Bytes,
) -> Result<ConsumerProtocolSubscriptionData, Malformed> {
    let version = version(metadata)?;
    let mut body = metadata.slice(2..);
    ConsumerProtocolSubscriptionData::read(&mut body, version)
        .map_err(|error| Malformed(error.to_string()))
}

/// The assignment of a leader. `None` when it has data of an assignor of the client's own, which an
/// upgrade would lose.
pub(crate) fn assignment(
    assignment: &Bytes,
    image: &MetadataImage,
) -> Result<Option<Assignment>, Malformed> {
    if assignment.is_empty() {
        return Ok(Some(Assignment::new()));
    }
    let version = version(assignment)?;
    let mut body = assignment.slice(2..);
    let data = ConsumerProtocolAssignmentData::read(&mut body, version)
        .map_err(|error| Malformed(error.to_string()))?;
    if data.user_data.is_some_and(|data| !data.is_empty()) {
        return Ok(None);
    }
    let mut assigned = Assignment::new();
    for topic in data.assigned_partitions {
        if let Some(topic_id) = image.topic_ids.get(topic.topic.as_str()) {
            let partitions: BTreeSet<PartitionIndex> = topic
                .partitions
                .iter()
                .copied()
                .map(PartitionIndex)
                .collect();
            assigned.entry(*topic_id).or_default().extend(partitions);
        }
    }
    Ok(Some(assigned))
}

/// The partitions that a member reports in its subscription, without those of deleted topics.
pub(crate) fn reported(
    subscription: &ConsumerProtocolSubscriptionData,
    image: &MetadataImage,
) -> Reported {
    let mut reported = Reported::new();
    for topic in &subscription.owned_partitions {
        if let Some(topic_id) = image.topic_ids.get(topic.topic.as_str()) {
            let partitions = topic.partitions.iter();
            reported.extend(partitions.map(|p| (*topic_id, PartitionIndex(*p))));
        }
    }
    reported
}

/// An assignment in the version of the member's `metadata`. Deleted topics are left out.
pub(crate) fn serialize<'a>(
    topics: impl IntoIterator<Item = (&'a TopicId, Vec<PartitionIndex>)>,
    metadata: &[u8],
    image: &MetadataImage,
) -> Result<Bytes, Malformed> {
    let version = version(metadata)?;
    let mut by_name: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for (topic_id, partitions) in topics {
        if let Some(topic) = image.topics.get(topic_id) {
            let partitions = partitions.iter().map(|partition| partition.0);
            by_name.insert(topic.name.as_str(), partitions.collect());
        }
    }
    let data = ConsumerProtocolAssignmentData {
        assigned_partitions: by_name
            .into_iter()
            .map(|(topic, partitions)| AssignedPartitions {
                topic: text(topic),
                partitions,
                _unknown_tagged_fields: Vec::new(),
            })
            .collect(),
        user_data: None,
        _unknown_tagged_fields: Vec::new(),
    };
    let mut out = BytesMut::new();
    out.put_i16(version);
    data.write(&mut out, version)
        .map_err(|error| Malformed(error.to_string()))?;
    Ok(out.freeze())
}
