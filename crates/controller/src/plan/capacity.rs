//! Checks whether brokers have room for more replicas: each replica may permanently need an open
//! file.

use std::collections::BTreeMap;

use dohle_model::{ApiError, ErrorCode, NodeId};

use super::Draft;

/// Returns how many replicas a broker with this limit of open files may host. The other half of the
/// limit is for connections, and for files that are read.
fn replicas_max(open_files_max: u64) -> u64 {
    open_files_max / 2
}

/// Refuses new partitions with these replicas when one of the brokers has no room for its share.
/// Brokers that did not report a limit have room.
pub(super) fn check_new_partitions(
    draft: &Draft,
    assignment: &[Vec<NodeId>],
) -> Result<(), ApiError> {
    let brokers = assignment.iter().flatten().copied();
    Capacity::default().check(draft, assignment.len(), brokers)
}

/// The numbers of partitions and hosted replicas, for a request of many partitions: counted when a
/// check first needs them, and kept up to date by [`Capacity::on_change`].
#[derive(Debug, Default)]
pub(super) struct Capacity {
    /// The number of partitions in the cluster.
    partitions: Option<usize>,
    /// The number of replicas on each broker that reported a limit.
    hosted: Option<BTreeMap<NodeId, u64>>,
}

impl Capacity {
    /// Refuses a new replica of an existing partition on each of these brokers when one of them has
    /// no room for it.
    pub fn check_new_replicas(
        &mut self,
        draft: &Draft,
        brokers: impl Iterator<Item = NodeId>,
    ) -> Result<(), ApiError> {
        self.check(draft, 0, brokers)
    }

    /// Checks the room of each broker. `brokers` contains a broker once for each replica that it
    /// would get; `new_partitions` is the number of partitions to be created.
    fn check(
        &mut self,
        draft: &Draft,
        new_partitions: usize,
        brokers: impl Iterator<Item = NodeId>,
    ) -> Result<(), ApiError> {
        let mut new: BTreeMap<NodeId, u64> = BTreeMap::new();
        for broker in brokers.filter(|broker| draft.open_files_max.contains_key(broker)) {
            *new.entry(broker).or_default() += 1;
        }
        let Some(least) = new.keys().map(|id| draft.open_files_max[id]).min() else {
            return Ok(());
        };
        // A broker hosts at most one replica of a partition: in most clusters the number of
        // partitions is far below the limit, and no replicas have to be counted.
        let partitions = *self.partitions.get_or_insert_with(|| {
            let topics = draft.image.topics.values();
            topics.map(|topic| topic.partitions.len()).sum()
        });
        if (partitions + new_partitions) as u64 <= replicas_max(least) {
            return Ok(());
        }
        let hosted = self.hosted.get_or_insert_with(|| count(draft));
        for (broker, new) in new {
            let hosted = hosted.get(&broker).copied().unwrap_or_default();
            let files = draft.open_files_max[&broker];
            if hosted + new > replicas_max(files) {
                return Err(ErrorCode::PolicyViolation.because(format!(
                    "broker {broker} has no room for {new} more partitions: it hosts {hosted}, and \
                     may host {} with its limit of {files} open files; raise the limit (ulimit \
                     -n), or spread the partitions over more brokers",
                    replicas_max(files)
                )));
            }
        }
        Ok(())
    }

    /// Updates the numbers after the replicas of a partition changed.
    pub fn on_change(&mut self, before: &[NodeId], after: &[NodeId]) {
        let Some(hosted) = &mut self.hosted else {
            return;
        };
        for broker in before {
            if let Some(count) = hosted.get_mut(broker) {
                assert!(
                    *count > 0,
                    "broker {broker} loses a replica, and hosts none"
                );
                *count -= 1;
            }
        }
        for broker in after {
            if let Some(count) = hosted.get_mut(broker) {
                *count += 1;
            }
        }
    }
}

/// Counts the replicas on each broker that reported a limit.
fn count(draft: &Draft) -> BTreeMap<NodeId, u64> {
    let limited = draft.open_files_max.keys();
    let mut hosted: BTreeMap<NodeId, u64> = limited.map(|id| (*id, 0)).collect();
    let topics = draft.image.topics.values();
    for partition in topics.flat_map(|topic| topic.partitions.values()) {
        for broker in &partition.replicas {
            if let Some(count) = hosted.get_mut(broker) {
                *count += 1;
            }
        }
    }
    hosted
}
