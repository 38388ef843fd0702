//! The common part of the heartbeats of all modern protocols: epochs with a special meaning, and
//! the check of a member's epoch.

use std::cmp::Ordering;

use crate::modern::member::{ModernMember, Reported};

/// The epoch in the heartbeat of a member that joins.
pub(crate) const JOIN: i32 = 0;
/// The epoch in the heartbeat of a member that leaves.
pub(crate) const LEAVE: i32 = -1;

/// How the epoch in a heartbeat differs from the member's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WrongEpoch {
    /// It is below the member's epoch.
    Smaller,
    /// It is above the member's epoch.
    Greater,
}

/// Checks the epoch in a heartbeat. The previous epoch is accepted from a member that reports no
/// partition but those assigned to it, because that member did not receive the last response.
///
/// # Errors
/// When the epoch is any other.
pub(crate) fn check_epoch(
    member: &ModernMember,
    named: i32,
    reported: Option<&Reported>,
) -> Result<(), WrongEpoch> {
    let may_have = |reported: &Reported| {
        reported.iter().all(|(topic_id, partition)| {
            let assigned = member.assigned_partitions.get(topic_id);
            assigned.is_some_and(|assigned| assigned.contains_key(partition))
        })
    };
    let missed_a_response = named == member.previous_member_epoch && reported.is_some_and(may_have);
    match named.cmp(&member.member_epoch) {
        Ordering::Equal => Ok(()),
        Ordering::Less if missed_a_response => Ok(()),
        Ordering::Less => Err(WrongEpoch::Smaller),
        Ordering::Greater => Err(WrongEpoch::Greater),
    }
}
