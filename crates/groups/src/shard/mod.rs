//! The state of one partition of `__consumer_offsets`: its groups, their offsets, and the timers.
//!
//! A request, a timer, a commit or a record arrives here. This folder finds the group, makes it if
//! the request may, and passes the request on by the kind of the group. It is the only place that
//! distinguishes kinds.

mod classic_requests;
mod consumer_requests;
mod describe;
mod lifecycle;
mod offsets;
mod replay;
mod report;

pub use describe::{GroupFilter, GroupSummary};
pub use report::{GroupReport, MemberReport};

use std::collections::{BTreeMap, BTreeSet, HashMap};

use dohle_model::{Offset, ProducerId};

use crate::classic::ClassicGroup;
use crate::history::GroupHistory;
use crate::ids::GroupId;
use crate::kind::GroupKind;
use crate::modern::consumer::ConsumerGroup;
use crate::modern::topics::Topics;
use crate::offsets::GroupOffsets;
use crate::timers::Timers;

/// The groups of one partition of `__consumer_offsets`.
///
/// Invariant: replaying the partition from its start makes the state that planning made, except for
/// what lives in memory only: timers, parked requests, history, members that were not written yet.
#[derive(Debug, Default)]
pub struct Shard {
    /// The groups, those included that have nothing but offsets.
    pub(crate) groups: HashMap<GroupId, Group>,
    /// The timers of all groups.
    pub(crate) timers: Timers,
    /// The topics of the cluster, and which modern groups subscribe to them.
    pub(crate) topics: Topics,
    /// The log end after the last record of a group that was deleted: replies about groups that
    /// do not exist wait for its commit.
    pub(crate) deleted: Offset,
    /// The producers with open transactions, and the groups that they commit offsets to.
    pub(crate) transactions: BTreeMap<ProducerId, BTreeSet<GroupId>>,
    /// The groups whose offsets the present round of expiry has still to look at.
    pub(crate) to_expire: Vec<GroupId>,
    /// The rebalances of the last day. Kept in memory only.
    pub(crate) history: GroupHistory,
}

/// A group: its members, and its offsets.
#[derive(Debug)]
pub struct Group {
    /// Its members, by protocol.
    pub kind: Kind,
    /// Its offsets.
    pub offsets: GroupOffsets,
    /// The log end after the last record that was written for it: replies wait for its commit.
    pub written: Offset,
}

/// The kind of a group: which protocol its members use.
#[derive(Debug)]
pub enum Kind {
    /// The classic protocol, or none: only offsets.
    Classic(ClassicGroup),
    /// The consumer protocol (KIP-848).
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

    /// The group without regard to its kind.
    pub(crate) fn any_kind(&self) -> &dyn GroupKind {
        match &self.kind {
            Kind::Classic(group) => group,
            Kind::Consumer(group) => group,
        }
    }

    /// The classic group, if it is one.
    #[must_use]
    pub fn classic(&self) -> Option<&ClassicGroup> {
        match &self.kind {
            Kind::Classic(group) => Some(group),
            Kind::Consumer(_) => None,
        }
    }

    /// The classic group, if it is one.
    pub(crate) fn classic_mut(&mut self) -> Option<&mut ClassicGroup> {
        match &mut self.kind {
            Kind::Classic(group) => Some(group),
            Kind::Consumer(_) => None,
        }
    }

    /// The consumer group, if it is one.
    #[must_use]
    pub fn consumer(&self) -> Option<&ConsumerGroup> {
        match &self.kind {
            Kind::Consumer(group) => Some(group),
            Kind::Classic(_) => None,
        }
    }

    /// The consumer group, if it is one.
    pub(crate) fn consumer_mut(&mut self) -> Option<&mut ConsumerGroup> {
        match &mut self.kind {
            Kind::Consumer(group) => Some(group),
            Kind::Classic(_) => None,
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

    /// The classic group with this id, if there is one.
    pub(crate) fn classic_group(&self, group_id: &str) -> Option<&ClassicGroup> {
        self.groups.get(group_id)?.classic()
    }

    /// The consumer group with this id, if there is one.
    pub(crate) fn consumer_group(&self, group_id: &str) -> Option<&ConsumerGroup> {
        self.groups.get(group_id)?.consumer()
    }
}
