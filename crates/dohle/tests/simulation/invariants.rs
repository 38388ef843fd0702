//! Named invariants of a history, as checkers of what was seen after each step. They share nothing
//! with the code that runs, and each is tested with a history that breaks it.

use std::collections::BTreeMap;

use dohle_model::{BrokerEpoch, LeaderEpoch, NodeId, Offset, PartitionEpoch};

/// The partition, as committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommittedView {
    pub leader: Option<NodeId>,
    pub leader_epoch: LeaderEpoch,
    pub partition_epoch: PartitionEpoch,
}

/// A running replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaView {
    pub id: NodeId,
    /// The registration of its process.
    pub process: BrokerEpoch,
    pub leader_epoch: LeaderEpoch,
    pub leads: bool,
    pub high_watermark: Offset,
    pub log_end: Offset,
    /// The ends of the logs in its maximal ISR, without those whose loss of records it cannot have
    /// learnt yet. Empty unless it leads in the committed epoch.
    pub maximal_isr: Vec<(NodeId, Offset)>,
}

/// What was seen so far.
#[derive(Debug, Default)]
pub struct Invariants {
    committed: Option<CommittedView>,
    leaders: BTreeMap<LeaderEpoch, NodeId>,
    replicas: BTreeMap<NodeId, ReplicaView>,
}

impl Invariants {
    /// Checks that the committed epochs never decrease, and that a leader epoch has one leader.
    pub fn on_committed(&mut self, seen: CommittedView) -> Result<(), String> {
        if let Some(before) = self.committed.replace(seen) {
            if seen.leader_epoch < before.leader_epoch {
                return Err(format!("the leader epoch fell: {before:?}, {seen:?}"));
            }
            if seen.partition_epoch < before.partition_epoch {
                return Err(format!("the partition epoch fell: {before:?}, {seen:?}"));
            }
        }
        match seen.leader {
            Some(leader) => self.leads(seen.leader_epoch, leader),
            None => Ok(()),
        }
    }

    /// Checks that a replica's leader epoch and its high watermark never decrease while its process
    /// runs, and that a leader's watermark is at most each log end in its maximal ISR.
    pub fn on_replica(&mut self, seen: ReplicaView) -> Result<(), String> {
        if seen.high_watermark > seen.log_end {
            return Err(format!("the high watermark is past the log: {seen:?}"));
        }
        if seen.leads {
            self.leads(seen.leader_epoch, seen.id)?;
        }
        if let Some((id, end)) = seen
            .maximal_isr
            .iter()
            .find(|(_, end)| *end < seen.high_watermark)
        {
            return Err(format!(
                "the high watermark is above the log end {end} of {id} in the maximal ISR: {seen:?}"
            ));
        }
        if let Some(before) = self.replicas.get(&seen.id)
            && before.process == seen.process
        {
            if seen.leader_epoch < before.leader_epoch {
                return Err(format!("a replica's epoch fell: {before:?}, {seen:?}"));
            }
            // A follower that truncates its log cuts the watermark off with it.
            let truncated = !seen.leads && seen.log_end < before.log_end;
            if seen.leader_epoch == before.leader_epoch
                && seen.high_watermark < before.high_watermark
                && !truncated
            {
                return Err(format!("the high watermark fell: {before:?}, {seen:?}"));
            }
        }
        self.replicas.insert(seen.id, seen);
        Ok(())
    }

    fn leads(&mut self, epoch: LeaderEpoch, id: NodeId) -> Result<(), String> {
        match self.leaders.insert(epoch, id) {
            Some(before) if before != id => {
                Err(format!("two leaders in epoch {epoch}: {before} and {id}"))
            }
            _ => Ok(()),
        }
    }
}

fn committed(leader: i32, leader_epoch: i32, partition_epoch: i32) -> CommittedView {
    CommittedView {
        leader: Some(NodeId(leader)),
        leader_epoch: LeaderEpoch(leader_epoch),
        partition_epoch: PartitionEpoch(partition_epoch),
    }
}

fn replica(id: i32, epoch: i32, high_watermark: i64, log_end: i64) -> ReplicaView {
    ReplicaView {
        id: NodeId(id),
        process: BrokerEpoch(1),
        leader_epoch: LeaderEpoch(epoch),
        leads: true,
        high_watermark: Offset(high_watermark),
        log_end: Offset(log_end),
        maximal_isr: Vec::new(),
    }
}

fn error_of(result: Result<(), String>) -> String {
    result.expect_err("the history is bad")
}

#[test]
fn committed_epochs_that_fall_are_found() {
    let mut invariants = Invariants::default();
    invariants.on_committed(committed(1, 4, 7)).unwrap();
    invariants.on_committed(committed(1, 4, 8)).unwrap();
    assert!(error_of(invariants.on_committed(committed(1, 4, 7))).contains("partition epoch fell"));
    assert!(error_of(invariants.on_committed(committed(1, 3, 9))).contains("leader epoch fell"));
}

#[test]
fn two_leaders_of_one_epoch_are_found() {
    let mut invariants = Invariants::default();
    invariants.on_committed(committed(1, 4, 7)).unwrap();
    assert!(error_of(invariants.on_committed(committed(2, 4, 8))).contains("two leaders"));
    let mut invariants = Invariants::default();
    invariants.on_committed(committed(1, 4, 7)).unwrap();
    invariants.on_replica(replica(1, 4, 0, 0)).unwrap();
    assert!(error_of(invariants.on_replica(replica(2, 4, 0, 0))).contains("two leaders"));
}

#[test]
fn a_replica_whose_epoch_falls_is_found_within_one_process() {
    let mut invariants = Invariants::default();
    invariants.on_replica(replica(1, 4, 0, 0)).unwrap();
    assert!(error_of(invariants.on_replica(replica(1, 3, 0, 0))).contains("epoch fell"));
    let again = ReplicaView {
        process: BrokerEpoch(2),
        ..replica(1, 3, 0, 0)
    };
    invariants.on_replica(again).unwrap();
}

#[test]
fn a_high_watermark_that_falls_is_found() {
    let mut invariants = Invariants::default();
    invariants.on_replica(replica(1, 4, 5, 9)).unwrap();
    assert!(error_of(invariants.on_replica(replica(1, 4, 4, 9))).contains("watermark fell"));
    // A leader truncates nothing, so a shorter log is no excuse for it, as it is for a follower.
    assert!(error_of(invariants.on_replica(replica(1, 4, 4, 4))).contains("watermark fell"));
    let follower = ReplicaView {
        leads: false,
        ..replica(1, 4, 4, 4)
    };
    invariants.on_replica(follower).unwrap();
}

#[test]
fn a_high_watermark_above_a_log_is_found() {
    let mut invariants = Invariants::default();
    assert!(error_of(invariants.on_replica(replica(1, 4, 5, 4))).contains("past the log"));
    let ahead = ReplicaView {
        maximal_isr: vec![(NodeId(2), Offset(5)), (NodeId(3), Offset(4))],
        ..replica(1, 4, 5, 9)
    };
    assert!(error_of(invariants.on_replica(ahead)).contains("log end 4 of 3"));
}
