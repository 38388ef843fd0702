//! The state of one partition of `__consumer_offsets`: its groups, their offsets, and the timers.

use std::collections::HashMap;

use dohle_model::Offset;

use crate::classic::ClassicGroup;
use crate::ids::GroupId;
use crate::modern::consumer::ConsumerGroup;
use crate::modern::topics::Topics;
use crate::offsets::GroupOffsets;
use crate::timers::Timers;

/// The groups of one coordinator partition.
///
/// Invariant: replaying the partition from its start makes the state that planning made, except for
/// what lives in memory only: timers, parked requests, members that were not written yet.
#[derive(Debug, Default)]
pub struct Shard {
    /// The groups, those included that have nothing but offsets.
    pub(crate) groups: HashMap<GroupId, Group>,
    /// The timers of all groups.
    pub(crate) timers: Timers,
    /// What is known of topics, for consumer groups.
    pub(crate) topics: Topics,
    /// The log end after the last record of a group that was deleted: replies about groups that
    /// do not exist wait for its commit.
    pub(crate) deleted: Offset,
}

/// A group: what its members are, and its offsets.
#[derive(Debug)]
pub struct Group {
    /// Its members, by protocol.
    pub kind: Kind,
    /// Its offsets.
    pub offsets: GroupOffsets,
    /// The log end after the last record that was written for it: replies wait for its commit.
    pub written: Offset,
}

/// Which protocol a group speaks.
#[derive(Debug)]
pub enum Kind {
    /// The classic protocol, or none: only offsets.
    Classic(ClassicGroup),
    /// KIP-848.
    Consumer(ConsumerGroup),
}

impl Group {
    /// A group without members.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            kind: Kind::Classic(ClassicGroup::default()),
            offsets: GroupOffsets::default(),
            written: Offset::ZERO,
        }
    }
}

impl Shard {
    /// The log end that a reply about a group has to wait for: everything that was written for the
    /// group so far lies below it.
    #[must_use]
    pub fn written(&self, group_id: &str) -> Offset {
        self.groups
            .get(group_id)
            .map_or(self.deleted, |group| group.written)
    }
}
