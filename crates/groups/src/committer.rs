//! The client that commits offsets, as described by its request.

use dohle_model::{PartitionIndex, TopicId};
use dohle_protocol::messages::offset_commit_request::{
    OffsetCommitRequestData, OffsetCommitRequestTopic,
};

use crate::wire::topic_id_of_wire;

/// The version of OffsetCommit from which on members send their epochs, and its errors are those of
/// KIP-848.
pub(crate) const MEMBER_EPOCHS: i16 = 9;
/// The version of TxnOffsetCommit from which on it has the errors of KIP-848 (KIP-1319).
const MEMBER_EPOCHS_IN_TRANSACTIONS: i16 = 6;

/// The client that commits offsets, as described by its request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Committer<'a> {
    /// Its member id; empty without membership.
    pub member_id: &'a str,
    /// Its `group.instance.id`.
    pub instance_id: Option<&'a str>,
    /// Its generation or member epoch; below zero without membership.
    pub epoch: i32,
    /// The version of the request.
    pub version: i16,
    /// Whether it commits in a transaction (TxnOffsetCommit).
    pub in_transaction: bool,
    topics: &'a [OffsetCommitRequestTopic],
}

/// A partition that a member commits an offset for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CommitPartition<'a> {
    /// The topic's name.
    pub topic: &'a str,
    /// Its id, which the caller has looked up.
    pub topic_id: Option<TopicId>,
    /// The partition.
    pub partition: PartitionIndex,
}

impl<'a> Committer<'a> {
    /// The client that sent a request.
    pub fn of(request: &'a OffsetCommitRequestData, version: i16) -> Self {
        Self {
            member_id: request.member_id.as_str(),
            instance_id: request.group_instance_id.as_ref().map(|id| id.as_str()),
            epoch: request.generation_id_or_member_epoch,
            version,
            in_transaction: false,
            topics: &request.topics,
        }
    }

    /// Returns the client that commits offsets in a transaction.
    pub fn in_transaction(request: &'a OffsetCommitRequestData, version: i16) -> Self {
        Self {
            in_transaction: true,
            ..Self::of(request, version)
        }
    }

    /// Returns whether the request names a member or a generation.
    pub fn names_member(&self) -> bool {
        self.epoch >= 0 || !self.member_id.is_empty() || self.instance_id.is_some()
    }

    /// Returns whether the client expects GROUP_ID_NOT_FOUND and STALE_MEMBER_EPOCH. Others get
    /// ILLEGAL_GENERATION instead.
    pub fn knows_member_epochs(&self) -> bool {
        let from = match self.in_transaction {
            true => MEMBER_EPOCHS_IN_TRANSACTIONS,
            false => MEMBER_EPOCHS,
        };
        self.version >= from
    }

    /// The partitions that it commits offsets for.
    pub fn partitions(&self) -> impl Iterator<Item = CommitPartition<'a>> {
        self.topics.iter().flat_map(|topic| {
            topic.partitions.iter().map(|partition| CommitPartition {
                topic: topic.name.as_str(),
                topic_id: topic_id_of_wire(topic.topic_id),
                partition: PartitionIndex(partition.partition_index),
            })
        })
    }
}
