//! The records of `__consumer_offsets` in Kafka's formats (the schemas `*Key.json` and
//! `*Value.json` of Kafka's group coordinator, 4.3). The first two bytes of a key are the type of
//! the record; a value of `None` is a tombstone.
//!
//! Invariant: Apache Kafka 4.3 can read what is encoded here, and the reverse. Records of unknown
//! types are skipped.

use std::sync::Arc;

use bytes::Bytes;
use dohle_model::{LeaderEpoch, Offset, PartitionIndex, Timestamp, TopicId};

use crate::ids::{GroupId, InstanceId, MemberId};

mod decode;
mod encode;
#[cfg(test)]
pub(crate) mod tests;

pub use decode::decode;
pub use dohle_machine::wire::RecordFormatError;

/// The first two bytes of a key.
mod key_type {
    pub const OFFSET_LEGACY: i16 = 0;
    pub const OFFSET: i16 = 1;
    pub const CLASSIC: i16 = 2;
    pub const CONSUMER_GROUP: i16 = 3;
    pub const CONSUMER_PARTITION_METADATA: i16 = 4;
    pub const CONSUMER_MEMBER: i16 = 5;
    pub const CONSUMER_TARGET: i16 = 6;
    pub const CONSUMER_TARGET_MEMBER: i16 = 7;
    pub const CONSUMER_CURRENT: i16 = 8;
    pub const CONSUMER_REGEX: i16 = 16;
}

/// A record: its key, and its value or a tombstone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// `OffsetCommit`, type 1 (types 0 and 1 on reading).
    Offset(OffsetKey, Option<OffsetValue>),
    /// `GroupMetadata`, type 2: a classic group.
    Classic(GroupId, Option<ClassicGroupValue>),
    /// `ConsumerGroupMetadata`, type 3: a consumer group and its epoch.
    ConsumerGroup(GroupId, Option<ConsumerGroupValue>),
    /// `ConsumerGroupPartitionMetadata`, type 4: written by Kafka before 4.1, here only as
    /// tombstone; its content is not read.
    ConsumerPartitionMetadata(GroupId, Option<()>),
    /// `ConsumerGroupMemberMetadata`, type 5.
    ConsumerMember(GroupId, MemberId, Option<ConsumerMemberValue>),
    /// `ConsumerGroupTargetAssignmentMetadata`, type 6.
    ConsumerTarget(GroupId, Option<ConsumerTargetValue>),
    /// `ConsumerGroupTargetAssignmentMember`, type 7.
    ConsumerTargetMember(GroupId, MemberId, Option<Vec<TopicPartitions>>),
    /// `ConsumerGroupCurrentMemberAssignment`, type 8.
    ConsumerCurrent(GroupId, MemberId, Option<ConsumerCurrentValue>),
    /// `ConsumerGroupRegularExpression`, type 16.
    ConsumerRegex(GroupId, String, Option<ConsumerRegexValue>),
}

impl Record {
    /// The group of the record.
    #[must_use]
    pub fn group_id(&self) -> &GroupId {
        match self {
            Self::Offset(key, _) => &key.group_id,
            Self::Classic(group_id, _)
            | Self::ConsumerGroup(group_id, _)
            | Self::ConsumerPartitionMetadata(group_id, _)
            | Self::ConsumerMember(group_id, ..)
            | Self::ConsumerTarget(group_id, _)
            | Self::ConsumerTargetMember(group_id, ..)
            | Self::ConsumerCurrent(group_id, ..)
            | Self::ConsumerRegex(group_id, ..) => group_id,
        }
    }

    /// Whether it is a tombstone.
    #[must_use]
    pub fn is_tombstone(&self) -> bool {
        match self {
            Self::Offset(_, value) => value.is_none(),
            Self::Classic(_, value) => value.is_none(),
            Self::ConsumerGroup(_, value) => value.is_none(),
            Self::ConsumerPartitionMetadata(_, value) => value.is_none(),
            Self::ConsumerMember(_, _, value) => value.is_none(),
            Self::ConsumerTarget(_, value) => value.is_none(),
            Self::ConsumerTargetMember(_, _, value) => value.is_none(),
            Self::ConsumerCurrent(_, _, value) => value.is_none(),
            Self::ConsumerRegex(_, _, value) => value.is_none(),
        }
    }
}

/// The key of a committed offset.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OffsetKey {
    /// The group.
    pub group_id: GroupId,
    /// The topic's name, as committed.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: PartitionIndex,
}

/// A committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetValue {
    /// The next offset to consume.
    pub offset: Offset,
    /// The leader epoch of the last consumed record.
    pub leader_epoch: Option<LeaderEpoch>,
    /// The text that the client keeps with it.
    pub metadata: Arc<str>,
    /// When it was committed.
    pub commit_timestamp: Timestamp,
    /// When it expires, if an old client set a retention time.
    pub expire_timestamp: Option<Timestamp>,
    /// The topic's id, if it is known.
    pub topic_id: Option<TopicId>,
}

/// A classic group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassicGroupValue {
    /// `consumer`, `connect`, …; empty for a group that only commits.
    pub protocol_type: String,
    /// The generation.
    pub generation: i32,
    /// The protocol that was selected.
    pub protocol: Option<String>,
    /// The leader's id.
    pub leader: Option<MemberId>,
    /// When its state began.
    pub current_state_timestamp: Option<Timestamp>,
    /// The members.
    pub members: Vec<ClassicMemberValue>,
}

/// A member of a classic group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassicMemberValue {
    /// Its id.
    pub member_id: MemberId,
    /// `group.instance.id`.
    pub group_instance_id: Option<InstanceId>,
    /// `client.id`.
    pub client_id: String,
    /// Its address.
    pub client_host: String,
    /// Milliseconds.
    pub rebalance_timeout: i32,
    /// Milliseconds.
    pub session_timeout: i32,
    /// Its metadata of the selected protocol.
    pub subscription: Bytes,
    /// What the leader assigned to it.
    pub assignment: Bytes,
}

/// A consumer group (KIP-848).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsumerGroupValue {
    /// The group epoch.
    pub epoch: i32,
    /// A hash of the metadata of the subscribed topics (KIP-1101).
    pub metadata_hash: i64,
}

/// A member of a consumer group, as it describes itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerMemberValue {
    /// `group.instance.id`.
    pub instance_id: Option<InstanceId>,
    /// `client.rack`.
    pub rack_id: Option<String>,
    /// `client.id`.
    pub client_id: String,
    /// Its address.
    pub client_host: String,
    /// The topics that it subscribes to by name.
    pub subscribed_topic_names: Vec<String>,
    /// The regular expression that it subscribes to.
    pub subscribed_topic_regex: Option<String>,
    /// Milliseconds.
    pub rebalance_timeout_ms: i32,
    /// The assignor that it asks for.
    pub server_assignor: Option<String>,
    /// Its session timeout and protocols, when it uses the classic protocol.
    pub classic: Option<ClassicMetadata>,
}

/// The description of a member of the classic protocol in a consumer group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClassicMetadata {
    /// Milliseconds.
    pub session_timeout_ms: i32,
    /// The protocols that it supports, with their metadata.
    pub supported_protocols: Vec<(String, Bytes)>,
}

/// The target assignment of a consumer group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsumerTargetValue {
    /// The group epoch that it was computed for.
    pub assignment_epoch: i32,
    /// When it was computed (KIP-1263).
    pub assignment_timestamp: Option<Timestamp>,
}

/// Partitions of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicPartitions {
    /// The topic.
    pub topic_id: TopicId,
    /// Its partitions.
    pub partitions: Vec<PartitionIndex>,
    /// The member epoch at which each was assigned; as long as `partitions`, or empty when it is
    /// not kept. Only in current assignments.
    pub assignment_epochs: Vec<i32>,
}

/// The epoch and the partitions of a member of a consumer group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerCurrentValue {
    /// The member epoch.
    pub member_epoch: i32,
    /// The member epoch before, which a member names when it did not receive the last response.
    pub previous_member_epoch: i32,
    /// Kafka's number of the member's state.
    pub state: i8,
    /// The partitions that it may consume.
    pub assigned_partitions: Vec<TopicPartitions>,
    /// The partitions that it has to give back.
    pub partitions_pending_revocation: Vec<TopicPartitions>,
}

/// The topics that a regular expression matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerRegexValue {
    /// The topics, sorted.
    pub topics: Vec<String>,
    /// The version of the metadata that had these topics.
    pub version: i64,
    /// When the expression was resolved.
    pub timestamp: Timestamp,
}
