//! Who may commit and fetch offsets of a consumer group.

use dohle_model::ErrorCode;

use crate::modern::consumer::group::ConsumerGroup;
use crate::modern::consumer::member::ConsumerMember;
use crate::offsets::CommitPartition;
use crate::step::Failed;

/// From this version on an OffsetCommit has member epochs.
const MEMBER_EPOCHS: i16 = 9;

impl ConsumerGroup {
    /// Whether a member may commit offsets of these partitions. It may name an older epoch than it
    /// is in for partitions that it had then already (KIP-1251).
    ///
    /// # Errors
    /// UNKNOWN_MEMBER_ID, UNSUPPORTED_VERSION; STALE_MEMBER_EPOCH, which is ILLEGAL_GENERATION for
    /// members of the classic protocol.
    pub fn validate_offset_commit(
        &self,
        member_id: &str,
        _instance_id: Option<&str>,
        member_epoch: i32,
        version: i16,
        partitions: &[CommitPartition<'_>],
    ) -> Result<(), Failed> {
        // Tools, and consumers that assign themselves, may commit when there are no members.
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

    /// Whether a member may fetch offsets. Who names no member may.
    ///
    /// # Errors
    /// UNKNOWN_MEMBER_ID; STALE_MEMBER_EPOCH, which is ILLEGAL_GENERATION for members of the
    /// classic protocol.
    pub fn validate_offset_fetch(
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

/// Whether a member had a partition in an epoch, and still has or has yet to give it back.
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
