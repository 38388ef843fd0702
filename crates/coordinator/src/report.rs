//! What a coordinator does now, as a person looks at it: its partitions, parked requests and
//! timers.

use std::time::Duration;

use dohle_machine::Machine;
use dohle_model::{LeaderEpoch, PartitionIndex};

use super::Coordinator;
use super::shard::State;

/// A partition that this broker coordinates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardReport {
    /// The partition of the coordinator's topic.
    pub partition: PartitionIndex,
    /// The leader epoch in which this broker coordinates it.
    pub leader_epoch: LeaderEpoch,
    /// The state of its load.
    pub load: Load,
    /// The number of its parked requests.
    pub parked: usize,
    /// The number of its timers.
    pub timers: usize,
}

/// The state of a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// The log is being read.
    Loading,
    /// The partition is served.
    Done,
    /// The log could not be read. The next request reads it again.
    Failed,
    /// This broker does not coordinate it any more.
    Resigned,
}

impl Load {
    /// A word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Loading => "loading",
            Self::Done => "loaded",
            Self::Failed => "failed",
            Self::Resigned => "resigned",
        }
    }
}

/// A timer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimerReport<T> {
    /// The partition of the coordinator's topic.
    pub partition: PartitionIndex,
    /// The timer.
    pub timer: T,
    /// The time until it expires.
    pub left: Duration,
}

impl<M: Machine> Coordinator<M> {
    /// Reports on the partitions, by their indexes.
    #[must_use]
    pub fn report(&self) -> Vec<ShardReport> {
        let mut reports = Vec::new();
        for shard in self.shards() {
            let (load, timers) = match &mut *shard.state.lock() {
                State::Loading => (Load::Loading, 0),
                State::Active(machine) => (Load::Done, machine.timers().len()),
                State::Failed(_) => (Load::Failed, 0),
                State::Resigned => (Load::Resigned, 0),
            };
            reports.push(ShardReport {
                partition: shard.partition.id().partition,
                leader_epoch: shard.leader_epoch,
                load,
                parked: shard.replies.len(),
                timers,
            });
        }
        reports.sort_by_key(|report| report.partition);
        reports
    }

    /// Returns the timers that are `wanted`: at most `max`, those that expire first, in this order.
    /// Holds the lock of one partition at a time while it looks through its timers.
    #[must_use]
    pub fn timers(
        &self,
        max: usize,
        wanted: impl Fn(&M::Timer) -> bool,
    ) -> Vec<TimerReport<M::Timer>> {
        let now = self.started.elapsed();
        let mut reports = Vec::new();
        for shard in self.shards() {
            let partition = shard.partition.id().partition;
            if let State::Active(machine) = &mut *shard.state.lock() {
                let timers = machine.timers().iter();
                let timers = timers.filter(|(_, timer)| wanted(timer)).take(max);
                reports.extend(timers.map(|(deadline, timer)| TimerReport {
                    partition,
                    timer: timer.clone(),
                    left: deadline.saturating_sub(now),
                }));
            }
        }
        reports.sort_by_key(|report| (report.left, report.partition));
        reports.truncate(max);
        reports
    }
}
