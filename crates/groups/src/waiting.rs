//! What a member of a group waits for, for people who ask.

/// What a member waits for, or the group for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// Its JoinGroup is parked until all members have joined.
    ForOthersToJoin,
    /// The group waits for its JoinGroup.
    ToJoin,
    /// Its SyncGroup is parked until the leader has sent the assignment.
    ForAssignment,
    /// The group waits for its SyncGroup.
    ToSync,
    /// It has yet to give partitions back.
    ToGiveBack,
    /// It waits for partitions that other members have yet to give back.
    ForPartitions,
    /// It has yet to receive the newest assignment with a heartbeat.
    ToHeartbeat,
}

impl Waiting {
    /// A sentence about the member, without the member.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::ForOthersToJoin => "has joined and waits for the others to join (JoinGroup)",
            Self::ToJoin => "has to join again (JoinGroup)",
            Self::ForAssignment => "waits for the leader's assignment (SyncGroup)",
            Self::ToSync => "has to ask for its assignment (SyncGroup)",
            Self::ToGiveBack => "has to give partitions back",
            Self::ForPartitions => "waits for partitions that others have to give back",
            Self::ToHeartbeat => "receives its new assignment with its next heartbeat",
        }
    }
}
