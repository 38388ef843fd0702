//! Groups of the classic protocol: JoinGroup, SyncGroup, Heartbeat, LeaveGroup.
//!
//! Such a group lives in memory; a record is written when its leader's assignment is known, when a
//! static member is replaced, and when it becomes empty.

use crate::records::ClassicGroupValue;

/// A group of the classic protocol. One without members holds offsets only.
#[derive(Debug, Default)]
pub struct ClassicGroup {}

impl ClassicGroup {
    /// The group that a record describes.
    #[must_use]
    pub fn of(_value: ClassicGroupValue) -> Self {
        Self {}
    }
}
