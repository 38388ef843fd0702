//! The answers of a consumer group to the questions that a shard asks of every kind of group: which
//! members may commit and fetch offsets, and so on.

use dohle_model::{ErrorCode, Timestamp};

use crate::committer::{CommitPartition, Committer, MEMBER_EPOCHS};
use crate::ids::GroupId;
use crate::kind::GroupKind;
use crate::modern::consumer::group::ConsumerGroup;
use crate::modern::consumer::member::ConsumerMember;
use crate::records::Record;
use crate::step::Failed;

impl GroupKind for ConsumerGroup {
    fn type_name(&self) -> &'static str {
        "consumer"
    }

    fn protocol_type(&self) -> &str {
        "consumer"
    }

    fn state_name(&self) -> &'static str {
        self.state().name()
    }

    fn member_count(&self) -> usize {
        self.members().len()
    }

    fn is_empty(&self) -> bool {
        ConsumerGroup::is_empty(self)
    }

    fn is_subscribed_to(&self, topic: &str) -> bool {
        ConsumerGroup::is_subscribed_to(self, topic)
    }

    fn validate_offset_commit(&self, committer: &Committer<'_>) -> Result<(), Failed> {
        let Committer {
            member_id,
            epoch,
            version,
            ..
        } = *committer;
        let partitions: Vec<CommitPartition<'_>> = committer.partitions().collect();
        if !committer.in_transaction {
            return self.validate_offset_commit(member_id, epoch, version, &partitions);
        }
        // A client that commits in a transaction need not name a member, and may use any version.
        if !committer.names_member() {
            return Ok(());
        }
        let outcome = self.validate_offset_commit(member_id, epoch, MEMBER_EPOCHS, &partitions);
        outcome.map_err(|failed| match failed.code {
            ErrorCode::StaleMemberEpoch if !committer.knows_member_epochs() => {
                ErrorCode::IllegalGeneration.into()
            }
            _ => failed,
        })
    }

    fn validate_offset_fetch(
        &self,
        member_id: Option<&str>,
        member_epoch: i32,
    ) -> Result<(), Failed> {
        self.validate_offset_fetch(member_id, member_epoch)
    }

    fn validate_offset_delete(&self) -> Result<(), Failed> {
        Ok(())
    }

    fn retained_from(&self, committed: Timestamp) -> Option<Timestamp> {
        Some(committed)
    }

    fn tombstones(&self, group_id: &GroupId) -> Vec<Record> {
        ConsumerGroup::tombstones(self, group_id)
    }
}

impl ConsumerGroup {
    /// Checks that a member may commit offsets of these partitions. The member may send an epoch
    /// older than its own for partitions that were assigned to it at that epoch or earlier
    /// (KIP-1251).
    ///
    /// # Errors
    /// UNKNOWN_MEMBER_ID, UNSUPPORTED_VERSION; STALE_MEMBER_EPOCH, which is ILLEGAL_GENERATION for
    /// members of the classic protocol.
    pub(crate) fn validate_offset_commit(
        &self,
        member_id: &str,
        member_epoch: i32,
        version: i16,
        partitions: &[CommitPartition<'_>],
    ) -> Result<(), Failed> {
        // While the group is empty, tools and consumers that assign partitions themselves may
        // commit.
        if member_epoch < 0 && self.is_empty() {
            return Ok(());
        }
        let member = self.committing_member(member_id)?;
        if !member.uses_classic_protocol() && version < MEMBER_EPOCHS {
            return Err(Failed::because(
                ErrorCode::UnsupportedVersion,
                "OffsetCommit version 9 or above must be used by members using the consumer group \
                 protocol",
            ));
        }
        let current = member.common.member_epoch;
        if member_epoch > current {
            let what = epoch_name(member);
            let message = format!(
                "Received {what} {member_epoch} is newer than current member epoch {current}."
            );
            return Err(stale(member, message));
        }
        if member_epoch == current {
            return Ok(());
        }
        let mut partitions = partitions.iter();
        partitions.try_for_each(|partition| had(member, member_epoch, partition))
    }

    /// Checks that a client may fetch offsets. A client that names no member may.
    ///
    /// # Errors
    /// UNKNOWN_MEMBER_ID; STALE_MEMBER_EPOCH, which is ILLEGAL_GENERATION for members of the
    /// classic protocol.
    pub(crate) fn validate_offset_fetch(
        &self,
        member_id: Option<&str>,
        member_epoch: i32,
    ) -> Result<(), Failed> {
        let Some(member_id) = member_id else {
            return match member_epoch {
                ..0 => Ok(()),
                _ => self.committing_member("").map(|_| ()),
            };
        };
        let member = self.committing_member(member_id)?;
        let current = member.common.member_epoch;
        if member_epoch == current {
            return Ok(());
        }
        let what = epoch_name(member);
        let message = format!(
            "The received {what} {member_epoch} does not match the expected member epoch \
             {current}."
        );
        Err(stale(member, message))
    }

    fn committing_member(&self, member_id: &str) -> Result<&ConsumerMember, Failed> {
        self.member(member_id).ok_or_else(|| {
            let message = format!("Member {member_id} is not a member of the group.");
            Failed::because(ErrorCode::UnknownMemberId, message)
        })
    }
}

/// Checks that a partition was assigned to a member at an epoch or earlier, and that the member
/// still has the partition or has yet to give it back.
fn had(member: &ConsumerMember, epoch: i32, partition: &CommitPartition<'_>) -> Result<(), Failed> {
    let CommitPartition {
        topic,
        partition: p,
        ..
    } = partition;
    let since = partition.topic_id;
    let since = since.and_then(|id| member.common.assignment_epoch(id, partition.partition));
    let message = match since {
        Some(since) if since <= epoch => return Ok(()),
        Some(since) => format!(
            "Received {} {epoch} is older than assignment epoch {since} for partition {topic}-{p}.",
            epoch_name(member)
        ),
        None => {
            format!("Partition {topic}-{p} is not assigned or pending revocation for member.")
        }
    };
    Err(stale(member, message))
}

fn epoch_name(member: &ConsumerMember) -> &'static str {
    match member.uses_classic_protocol() {
        true => "generation id",
        false => "member epoch",
    }
}

fn stale(member: &ConsumerMember, message: String) -> Failed {
    let code = match member.uses_classic_protocol() {
        true => ErrorCode::IllegalGeneration,
        false => ErrorCode::StaleMemberEpoch,
    };
    Failed::because(code, message)
}
