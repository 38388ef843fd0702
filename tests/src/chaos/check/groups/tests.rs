//! A group without anomalies, and one change to it for each anomaly.

use super::*;
use crate::chaos::history::Read;

fn assigned(at: Tick, generation: i32, partitions: &[Partition]) -> GroupEvent {
    GroupEvent::Assigned {
        at,
        generation,
        partitions: partitions.to_vec(),
    }
}

fn fetched(sent: Tick, partition: Partition, offset: Option<i64>) -> GroupEvent {
    GroupEvent::Fetched {
        sent,
        answered: sent + 1,
        partition,
        offset,
    }
}

fn polled(partition: Partition, offset: i64) -> GroupEvent {
    GroupEvent::Polled(Read {
        partition,
        offset,
        value: 0,
    })
}

fn committed(sent: Tick, partition: Partition, offset: i64) -> GroupEvent {
    GroupEvent::Committed {
        sent,
        answered: Some(sent + 1),
        partition,
        offset,
    }
}

/// The first member owns both partitions in generation 1, and one of them in generation 2. The
/// second member's first commit was not answered.
fn members() -> Vec<Vec<GroupEvent>> {
    vec![
        vec![
            assigned(1, 1, &[0, 1]),
            fetched(2, 0, None),
            fetched(4, 1, None),
            polled(0, 0),
            polled(1, 0),
            committed(6, 0, 1),
            committed(8, 1, 1),
            assigned(20, 2, &[0]),
            polled(0, 1),
            committed(21, 0, 2),
        ],
        vec![
            assigned(22, 2, &[1]),
            fetched(24, 1, Some(1)),
            polled(1, 1),
            GroupEvent::Committed {
                sent: 26,
                answered: None,
                partition: 1,
                offset: 2,
            },
            polled(1, 3),
            committed(30, 1, 4),
        ],
    ]
}

/// Checks a group whose partitions have the records 0 and 1, and 0, 1 and 3.
fn anomalies(members: &[Vec<GroupEvent>]) -> Vec<Anomaly> {
    let records = [(0, 0), (0, 1), (1, 0), (1, 1), (1, 3)];
    let content = records.map(|place| (place, 7)).into_iter().collect();
    let mut found = Vec::new();
    check(5, members, &content, &mut found);
    found
}

/// Adds an event to a member.
fn with(member: usize, event: GroupEvent) -> Vec<Anomaly> {
    let mut all = members();
    all[member].push(event);
    anomalies(&all)
}

#[test]
fn a_correct_group_has_no_anomalies() {
    assert_eq!(anomalies(&members()), []);
}

#[test]
fn a_committed_offset_is_that_of_the_last_commit_or_of_an_unanswered_one() {
    assert_eq!(with(0, fetched(40, 1, Some(4))), []);
    assert_eq!(with(0, fetched(40, 1, Some(2))), []);
    for offset in [None, Some(1), Some(3)] {
        let found = with(0, fetched(40, 1, offset));
        assert_eq!(found, [Anomaly::WrongCommittedOffset(5, 1, offset)]);
    }
    // The commit is under way, and the former offset is correct as well.
    for offset in [1, 2] {
        assert_eq!(with(1, fetched(21, 0, Some(offset))), []);
    }
}

#[test]
fn a_partition_has_one_owner_in_a_generation() {
    let found = with(1, assigned(40, 2, &[0, 1]));
    assert_eq!(found, [Anomaly::TwoOwners(5, 2, 0)]);
}

#[test]
fn a_former_owner_commits_nothing() {
    let mut all = members();
    // The first member has not heard of generation 2.
    all[0].truncate(7);
    all[0].push(committed(40, 1, 4));
    let found = anomalies(&all);
    assert_eq!(found, [Anomaly::CommitOfFormerOwner(5, 1, 4)]);
}

#[test]
fn no_record_below_a_committed_offset_is_skipped() {
    let mut all = members();
    all[1].retain(|event| *event != polled(1, 1));
    assert_eq!(anomalies(&all), [Anomaly::SkippedByGroup(5, 1, 4, 7)]);
}
