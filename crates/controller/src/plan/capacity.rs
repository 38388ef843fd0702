//! Whether brokers have room for more partitions: each partition may need an open file for good.

use std::collections::BTreeMap;

use dohle_model::{ApiError, ErrorCode, NodeId};

use super::Draft;

/// Partitions that a broker may host that has so many open files: the other half is for
/// connections, and for files that are read.
fn partitions_max(open_files_max: u64) -> u64 {
    open_files_max / 2
}

/// Refuses new partitions with these replicas when one of the brokers has no room for its part.
/// Brokers that did not report a limit have room.
pub(super) fn check(draft: &Draft, assignment: &[Vec<NodeId>]) -> Result<(), ApiError> {
    let mut new: BTreeMap<NodeId, u64> = BTreeMap::new();
    for broker in assignment.iter().flatten() {
        if draft.open_files_max.contains_key(broker) {
            *new.entry(*broker).or_default() += 1;
        }
    }
    let Some(least) = new.keys().map(|id| draft.open_files_max[id]).min() else {
        return Ok(());
    };
    // A broker hosts one replica of a partition at most: most clusters are far below the limit,
    // and nothing has to be counted.
    let topics = draft.image.topics.values();
    let all: usize = topics.map(|topic| topic.partitions.len()).sum();
    if (all + assignment.len()) as u64 <= partitions_max(least) {
        return Ok(());
    }
    let mut hosted: BTreeMap<NodeId, u64> = new.keys().map(|id| (*id, 0)).collect();
    let topics = draft.image.topics.values();
    for partition in topics.flat_map(|topic| topic.partitions.values()) {
        for broker in &partition.replicas {
            if let Some(count) = hosted.get_mut(broker) {
                *count += 1;
            }
        }
    }
    for (broker, new) in new {
        let (hosted, files) = (hosted[&broker], draft.open_files_max[&broker]);
        if hosted + new > partitions_max(files) {
            return Err(ErrorCode::PolicyViolation.because(format!(
                "broker {broker} has no room for {new} more partitions: it hosts {hosted}, and may \
                 host {} with its limit of {files} open files; raise the limit (ulimit -n), or \
                 spread the partitions over more brokers",
                partitions_max(files)
            )));
        }
    }
    Ok(())
}
