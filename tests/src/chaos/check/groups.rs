//! Finds the anomalies of a consumer group: what its members were told and did, and the records of
//! the partitions that they own in turn.
//!
//! Records may be read more than once, by the member that commits and by its successor.
//!
//! Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::{Anomaly, Content, Partition};
use crate::chaos::history::{GroupEvent, Tick};

/// A commit that may have happened.
#[derive(Debug, Clone, Copy)]
struct Commit {
    sent: Tick,
    answered: Option<Tick>,
    offset: i64,
}

pub(super) fn check(
    group: usize,
    members: &[Vec<GroupEvent>],
    content: &Content,
    found: &mut Vec<Anomaly>,
) {
    let mut commits: BTreeMap<Partition, Vec<Commit>> = BTreeMap::new();
    for event in members.iter().flatten() {
        if let GroupEvent::Committed {
            sent,
            answered,
            partition,
            offset,
        } = event
        {
            commits.entry(*partition).or_default().push(Commit {
                sent: *sent,
                answered: *answered,
                offset: *offset,
            });
        }
    }
    committed_offsets(group, members, &commits, found);
    owners(group, members, found);
    skipped(group, members, &commits, content, found);
}

/// The offsets that members were told: each is that of a commit that no later one has replaced.
fn committed_offsets(
    group: usize,
    members: &[Vec<GroupEvent>],
    commits: &BTreeMap<Partition, Vec<Commit>>,
    found: &mut Vec<Anomaly>,
) {
    for event in members.iter().flatten() {
        let GroupEvent::Fetched {
            sent,
            answered,
            partition,
            offset,
        } = event
        else {
            continue;
        };
        let commits = commits.get(partition).map_or(&[][..], Vec::as_slice);
        // The begin of the last commit that was acknowledged before the question.
        let before = commits
            .iter()
            .filter(|it| it.answered.is_some_and(|at| at < *sent));
        let last = before.map(|commit| commit.sent).max();
        let explains = |commit: &&Commit| {
            let is_replaced = commit
                .answered
                .zip(last)
                .is_some_and(|(at, last)| at < last);
            Some(commit.offset) == *offset && commit.sent < *answered && !is_replaced
        };
        let is_explained = match offset {
            None => last.is_none(),
            Some(_) => commits.iter().any(|commit| explains(&commit)),
        };
        if !is_explained {
            found.push(Anomaly::WrongCommittedOffset(group, *partition, *offset));
        }
    }
}

/// One owner of a partition in a generation, and none that commits after its successor has begun.
fn owners(group: usize, members: &[Vec<GroupEvent>], found: &mut Vec<Anomaly>) {
    let mut of: BTreeMap<(i32, Partition), BTreeSet<usize>> = BTreeMap::new();
    let mut begins: Vec<(Tick, i32, Partition, usize)> = Vec::new();
    for (member, events) in members.iter().enumerate() {
        for event in events {
            if let GroupEvent::Assigned {
                at,
                generation,
                partitions,
            } = event
            {
                for partition in partitions {
                    of.entry((*generation, *partition))
                        .or_default()
                        .insert(member);
                    begins.push((*at, *generation, *partition, member));
                }
            }
        }
    }
    for ((generation, partition), owners) in of {
        if owners.len() > 1 {
            found.push(Anomaly::TwoOwners(group, generation, partition));
        }
    }
    for (member, events) in members.iter().enumerate() {
        let mut current = 0;
        for event in events {
            match event {
                GroupEvent::Assigned { generation, .. } => current = *generation,
                GroupEvent::Committed {
                    sent,
                    answered: Some(_),
                    partition,
                    offset,
                } => {
                    let has_successor = begins.iter().any(|(at, generation, of, owner)| {
                        at < sent && *generation > current && of == partition && *owner != member
                    });
                    if has_successor {
                        found.push(Anomaly::CommitOfFormerOwner(group, *partition, *offset));
                    }
                }
                _ => {}
            }
        }
    }
}

/// The records below the highest acknowledged commit that no member has read.
fn skipped(
    group: usize,
    members: &[Vec<GroupEvent>],
    commits: &BTreeMap<Partition, Vec<Commit>>,
    content: &Content,
    found: &mut Vec<Anomaly>,
) {
    let polled = members.iter().flatten().filter_map(|event| match event {
        GroupEvent::Polled(read) => Some((read.partition, read.offset)),
        _ => None,
    });
    let polled: BTreeSet<(Partition, i64)> = polled.collect();
    for (partition, commits) in commits {
        let acknowledged = commits.iter().filter(|commit| commit.answered.is_some());
        let end = acknowledged.map(|commit| commit.offset).max().unwrap_or(0);
        for ((_, offset), value) in content.range((*partition, 0)..(*partition, end)) {
            if !polled.contains(&(*partition, *offset)) {
                found.push(Anomaly::SkippedByGroup(group, *partition, end, *value));
            }
        }
    }
}

#[cfg(test)]
mod tests;
