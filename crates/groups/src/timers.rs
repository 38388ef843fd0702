//! The timers of a shard.

use crate::ids::{GroupId, MemberId};

/// The purpose of a timer. There is at most one timer for each value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// A classic group waits for its members to join; also `group.initial.rebalance.delay.ms`.
    ClassicJoin(GroupId),
    /// A classic group waits for its members to sync.
    ClassicSync(GroupId),
    /// The session of a member of a classic group, or of an id that was given to a member which has
    /// yet to join with it.
    ClassicSession(GroupId, MemberId),
    /// A member of a consumer group has to heartbeat.
    ConsumerSession(GroupId, MemberId),
    /// A member of a consumer group has to give back what was revoked.
    ConsumerRebalance(GroupId, MemberId),
    /// A member of a consumer group that uses the classic protocol has to join again.
    ConsumerJoin(GroupId, MemberId),
    /// A member of a consumer group that uses the classic protocol has to sync.
    ConsumerSync(GroupId, MemberId),
}

/// The timers of all groups of a shard.
pub type Timers = dohle_machine::Timers<Timer>;
