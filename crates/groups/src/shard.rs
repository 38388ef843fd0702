//! The state of one partition of `__consumer_offsets`: its groups, their offsets, and the timers.

use std::collections::HashMap;

use dohle_model::{ErrorCode, Offset};

use crate::classic::ClassicGroup;
use crate::consumer::ConsumerGroup;
use crate::consumer::metadata::Topics;
use crate::ids::GroupId;
use crate::offsets::GroupOffsets;
use crate::records::Record;
use crate::step::{Step, Written};
use crate::timers::{Timer, Timers};

/// The groups of one coordinator partition.
///
/// Invariant: what a replay of the partition from its start makes is what planning made, but for
/// what only lives in memory: timers, parked requests, members that were not written yet.
#[derive(Debug, Default)]
pub struct Shard {
    /// The groups, those included that have nothing but offsets.
    pub(crate) groups: HashMap<GroupId, Group>,
    /// The timers of all groups.
    pub(crate) timers: Timers,
    /// What is known of topics, for consumer groups.
    pub(crate) topics: Topics,
    /// The log end after the last record of a group that is gone: what reads of groups wait for
    /// that are not there.
    pub(crate) deleted: Offset,
}

/// A group: what its members are, and its offsets.
#[derive(Debug)]
pub struct Group {
    /// Its members, by protocol.
    pub kind: Kind,
    /// Its offsets.
    pub offsets: GroupOffsets,
    /// The log end after the last record that was written for it: what reads wait for.
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
    /// Makes a record part of the state: one that was just appended, or one of the partition's log
    /// when a broker becomes coordinator. Sets no timers and replies to nobody.
    pub fn replay(&mut self, record: Record) {
        match record {
            Record::Offset(key, value) => self.replay_offset(key, value),
            Record::Classic(group_id, value) => self.replay_classic(group_id, value),
            Record::ConsumerPartitionMetadata(..)
            | Record::ConsumerGroup(..)
            | Record::ConsumerMember(..)
            | Record::ConsumerTarget(..)
            | Record::ConsumerTargetMember(..)
            | Record::ConsumerCurrent(..)
            | Record::ConsumerRegex(..) => self.replay_consumer(record),
        }
    }

    /// The whole log was replayed, and this broker serves the shard from now on: sessions begin.
    pub fn on_loaded(&mut self, step: &mut Step<'_>) {
        self.on_classic_loaded(step);
        self.on_consumer_loaded(step);
    }

    /// When [`Shard::on_timeout`] has something to do.
    #[must_use]
    pub fn next_deadline(&self) -> Option<std::time::Duration> {
        self.timers.next()
    }

    /// Handles one timer that ran out, and answers which. To be called, with a fresh step each,
    /// until [`Shard::next_deadline`] lies in the future.
    pub fn on_timeout(&mut self, step: &mut Step<'_>) -> Option<Timer> {
        let timer = self.timers.take_expired(step.now)?;
        match timer {
            Timer::ClassicJoin(_) | Timer::ClassicSync(_) | Timer::ClassicSession(..) => {
                self.on_classic_timeout(&timer, step);
            }
            Timer::ConsumerSession(..)
            | Timer::ConsumerRebalance(..)
            | Timer::ConsumerJoin(..)
            | Timer::ConsumerSync(..) => self.on_consumer_timeout(&timer, step),
        }
        Some(timer)
    }

    /// What a timer asked for could not be written: it runs out again at `deadline`, unless it was
    /// set anew since.
    pub fn on_timeout_failed(&mut self, timer: Timer, deadline: std::time::Duration) {
        if self.timers.deadline(&timer).is_none() {
            self.timers.set(timer, deadline);
        }
    }

    /// The records that `written` came with are committed, or could not be written.
    pub fn on_written(
        &mut self,
        written: Written,
        outcome: Result<(), ErrorCode>,
        step: &mut Step<'_>,
    ) {
        match &written {
            Written::Assignment { .. } | Written::StaticMember { .. } | Written::Empty { .. } => {
                self.on_classic_written(&written, outcome, step);
            }
            Written::Downgraded {
                group_id,
                rebalance,
            } => {
                if outcome.is_ok() {
                    self.on_downgraded(group_id, *rebalance, step);
                }
            }
        }
    }

    /// Records of these groups were appended and replayed, and end at `end`: what reads of them
    /// wait for.
    pub fn appended(&mut self, group_ids: impl IntoIterator<Item = GroupId>, end: Offset) {
        for group_id in group_ids {
            match self.groups.get_mut(&group_id) {
                Some(group) => group.written = end,
                None => self.deleted = end,
            }
        }
    }

    /// Up to where the log must be committed before what is known of a group may be told.
    #[must_use]
    pub fn written(&self, group_id: &str) -> Offset {
        self.groups
            .get(group_id)
            .map_or(self.deleted, |group| group.written)
    }
}
