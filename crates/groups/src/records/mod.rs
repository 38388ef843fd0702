//! What `__consumer_offsets` holds, in Kafka's formats (the schemas `*Key.json` and `*Value.json`
//! of Kafka's group coordinator, 4.3): a key says what a record is about, its first two bytes are
//! the type; a value of `None` is a tombstone.
//!
//! Invariant: what is encoded here is read by Apache Kafka 4.3, and the other way round. Records of
//! types that are unknown here are left alone.

use std::sync::Arc;

use bytes::Bytes;
use dohle_model::{LeaderEpoch, Offset, PartitionIndex, Timestamp, TopicId};

use crate::ids::{GroupId, InstanceId, MemberId};

mod decode;
mod encode;
#[cfg(test)]
pub(crate) mod tests;
mod wire;

pub use decode::decode;

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

/// Why a record could not be encoded or decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// It ends before its last field.
    #[error("ends before its last field")]
    Truncated,
    /// A number of variable length goes on after its fifth byte.
    #[error("a variable-length number is longer than five bytes")]
    Varint,
    /// A length below that of null.
    #[error("{0} is no length")]
    Length(i64),
    /// Null where there must be a value.
    #[error("null where a value has to be")]
    Null,
    /// A text that is not UTF-8.
    #[error("a text is not UTF-8")]
    Utf8,
    /// A value of a version from the future, or none at all.
    #[error("version {version} of the value is unknown: 0 to {last} are known")]
    Version {
        /// The value's.
        version: i16,
        /// The newest that is known.
        last: i16,
    },
    /// Assignment epochs that are not one a partition.
    #[error("{epochs} assignment epochs for {partitions} partitions")]
    Epochs {
        /// How many epochs.
        epochs: usize,
        /// How many partitions.
        partitions: usize,
    },
    /// Something to encode is longer than its length field can say.
    #[error("a field of {length} bytes is too long for a record")]
    TooLong {
        /// Bytes, or items.
        length: usize,
    },
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
    /// tombstone; what it holds is not read.
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
    /// The group it is about.
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

    /// Whether it deletes what its key names.
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

/// Which offset.
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
    /// What the client keeps with it.
    pub metadata: Arc<str>,
    /// When it was committed.
    pub commit_timestamp: Timestamp,
    /// When it expires, where a client of old said so.
    pub expire_timestamp: Option<Timestamp>,
    /// The topic's id, where it is known.
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
    /// When it came into its state.
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
    /// The topics it names.
    pub subscribed_topic_names: Vec<String>,
    /// The regular expression it subscribes to.
    pub subscribed_topic_regex: Option<String>,
    /// Milliseconds.
    pub rebalance_timeout_ms: i32,
    /// The assignor it asks for.
    pub server_assignor: Option<String>,
    /// What it said as member of the classic protocol, if it speaks that.
    pub classic: Option<ClassicMetadata>,
}

/// What a member of the classic protocol in a consumer group said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClassicMetadata {
    /// Milliseconds.
    pub session_timeout_ms: i32,
    /// The protocols it supports, with their metadata.
    pub supported_protocols: Vec<(String, Bytes)>,
}

/// The target assignment of a consumer group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsumerTargetValue {
    /// The group epoch it was computed for.
    pub assignment_epoch: i32,
    /// When (KIP-1263).
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

/// What a member of a consumer group has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerCurrentValue {
    /// The member epoch.
    pub member_epoch: i32,
    /// The one before, which a member may still name when it has not seen the new one.
    pub previous_member_epoch: i32,
    /// Kafka's `MemberState` as number.
    pub state: i8,
    /// What it may consume.
    pub assigned_partitions: Vec<TopicPartitions>,
    /// What it has to give back.
    pub partitions_pending_revocation: Vec<TopicPartitions>,
}

/// What a regular expression matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerRegexValue {
    /// The topics, sorted.
    pub topics: Vec<String>,
    /// The metadata's version it was resolved at.
    pub version: i64,
    /// When.
    pub timestamp: Timestamp,
}
