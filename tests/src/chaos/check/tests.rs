//! A history for each anomaly, and histories that look like one and are correct.

use super::*;
use crate::chaos::history::{Reader, Send};

fn sent(partition: Partition, value: Value, outcome: Outcome) -> Send {
    Send {
        partition,
        value,
        outcome,
        transaction: None,
    }
}

fn acknowledged(partition: Partition, value: Value, offset: i64) -> Send {
    sent(partition, value, Outcome::Acknowledged(offset))
}

fn read(partition: Partition, offset: i64, value: Value) -> Read {
    Read {
        partition,
        offset,
        value,
    }
}

fn content(records: &[(Partition, i64, Value)]) -> Content {
    let entry =
        |(partition, offset, value): &(Partition, i64, Value)| ((*partition, *offset), *value);
    records.iter().map(entry).collect()
}

/// A run without anomalies: values 1 to 3 without a transaction, 3 without an answer; 10 and 11 in
/// a committed transaction, 20 in an aborted one, 30 in one whose end is unknown.
fn history() -> History {
    let in_transaction = |send: Send, number| Send {
        transaction: Some(number),
        ..send
    };
    let transactional = vec![
        in_transaction(acknowledged(0, 10, 2), 0),
        in_transaction(acknowledged(1, 11, 0), 0),
        in_transaction(acknowledged(1, 20, 2), 1),
        in_transaction(acknowledged(1, 30, 4), 2),
    ];
    let committed = [(0, 0, 1), (0, 1, 2), (0, 2, 10), (0, 4, 3), (1, 0, 11)];
    let uncommitted = [&committed[..], &[(1, 2, 20), (1, 4, 30)]].concat();
    let reads = |records: &[(Partition, i64, Value)]| {
        records.iter().map(|(p, o, v)| read(*p, *o, *v)).collect()
    };
    History {
        producers: vec![
            vec![
                acknowledged(0, 1, 0),
                acknowledged(0, 2, 1),
                sent(0, 3, Outcome::Unknown),
            ],
            transactional,
        ],
        transactions: vec![End::Committed, End::Aborted, End::Unknown],
        readers: vec![
            Reader {
                isolation: Isolation::ReadCommitted,
                reads: reads(&committed),
            },
            Reader {
                isolation: Isolation::ReadUncommitted,
                reads: reads(&uncommitted),
            },
        ],
        groups: Vec::new(),
        committed: content(&committed),
        uncommitted: content(&uncommitted),
    }
}

/// Returns the anomalies of the history after a change.
fn after(change: impl FnOnce(&mut History)) -> Vec<Anomaly> {
    let mut history = history();
    change(&mut history);
    check(&history)
}

#[test]
fn a_history_without_anomalies_has_none() {
    assert_eq!(check(&history()), []);
}

#[test]
fn a_record_without_an_answer_may_be_missing() {
    let found = after(|history| {
        history.committed.remove(&(0, 4));
        history.uncommitted.remove(&(0, 4));
        for reader in &mut history.readers {
            reader.reads.retain(|read| read.value != 3);
        }
    });
    assert_eq!(found, []);
}

#[test]
fn an_acknowledged_record_that_nobody_can_read_is_lost() {
    let found = after(|history| {
        history.committed.remove(&(0, 1));
        history.uncommitted.remove(&(0, 1));
    });
    assert_eq!(found, [Anomaly::LostWrite(0, 1, 2)]);
}

#[test]
fn an_acknowledged_record_of_a_committed_transaction_is_lost() {
    let found = after(|history| {
        history.committed.remove(&(1, 0));
    });
    assert_eq!(found, [Anomaly::LostWrite(1, 0, 11)]);
}

#[test]
fn a_record_that_is_there_twice_is_a_duplicate() {
    let found = after(|history| {
        history.committed.insert((0, 5), 2);
        history.uncommitted.insert((0, 5), 2);
        for reader in &mut history.readers {
            reader.reads.push(read(0, 5, 2));
        }
    });
    assert_eq!(found, [Anomaly::Duplicate(2, vec![(0, 1), (0, 5)])]);
}

#[test]
fn an_acknowledgement_at_another_offset_than_the_record_is_found() {
    let found = after(|history| history.producers[0][1].outcome = Outcome::Acknowledged(2));
    let both = BTreeSet::from([2, 10]);
    assert_eq!(
        found,
        [
            Anomaly::InconsistentOffset(0, 2, both),
            Anomaly::Duplicate(2, vec![(0, 1), (0, 2)])
        ]
    );
}

#[test]
fn a_value_that_only_one_reader_saw_at_an_offset_is_found() {
    let found = after(|history| {
        let seen = &mut history.readers[1].reads;
        let at = seen.iter().position(|read| read.value == 3).unwrap();
        seen[at].value = 99;
    });
    let both = BTreeSet::from([3, 99]);
    let never_sent = Anomaly::NeverSent(0, 4, 99);
    assert_eq!(found, [never_sent, Anomaly::InconsistentOffset(0, 4, both)]);
}

#[test]
fn a_later_record_at_a_smaller_offset_is_a_nonmonotonic_send() {
    let found = after(|history| history.producers[0].swap(0, 1));
    assert_eq!(found, [Anomaly::NonmonotonicSend(0, 1, 0)]);
}

#[test]
fn a_reader_that_goes_back_is_a_nonmonotonic_poll() {
    let found = after(|history| history.readers[0].reads.insert(2, read(0, 0, 1)));
    assert_eq!(
        found,
        [
            Anomaly::NonmonotonicPoll(0, 0, 1, 0),
            // From offset 0 it goes past the one that it had read before.
            Anomaly::SkippedPoll(0, 0, 0, 2, 2)
        ]
    );
}

#[test]
fn a_reader_that_leaves_out_a_record_has_skipped_it() {
    let found = after(|history| {
        history.readers[0].reads.remove(1);
    });
    assert_eq!(found, [Anomaly::SkippedPoll(0, 0, 0, 2, 2)]);
    let found = after(|history| {
        history.readers[0].reads.remove(0);
    });
    assert_eq!(found, [Anomaly::SkippedPoll(0, 0, -1, 1, 1)]);
}

#[test]
fn a_reader_that_ends_before_the_last_record_has_not_seen_it() {
    let found = after(|history| {
        history.readers[1].reads.pop();
    });
    assert_eq!(found, [Anomaly::Unseen(1, 1, 4, 30)]);
}

#[test]
fn a_record_of_an_aborted_transaction_must_not_be_read_with_read_committed() {
    let found = after(|history| history.readers[0].reads.push(read(1, 2, 20)));
    assert_eq!(found, [Anomaly::AbortedRead(1, 2, 20)]);
    let found = after(|history| {
        history.committed.insert((1, 2), 20);
        history.readers[0].reads.push(read(1, 2, 20));
    });
    assert_eq!(found, [Anomaly::AbortedRead(1, 2, 20)]);
}

#[test]
fn a_transaction_without_an_answer_is_there_as_a_whole_or_not_at_all() {
    let both = |history: &mut History| {
        history.producers[1].push(Send {
            transaction: Some(2),
            ..acknowledged(0, 31, 6)
        });
        history.uncommitted.insert((0, 6), 31);
        history.readers[1].reads.push(read(0, 6, 31));
    };
    assert_eq!(after(both), []);
    let found = after(|history| {
        both(history);
        history.committed.insert((0, 6), 31);
        history.readers[0].reads.push(read(0, 6, 31));
    });
    assert_eq!(found, [Anomaly::TornTransaction(2, 31, 30)]);
}

#[test]
fn a_value_that_nobody_sent_is_found() {
    let found = after(|history| {
        history.uncommitted.insert((1, 5), 99);
        history.readers[1].reads.push(read(1, 5, 99));
    });
    assert_eq!(found, [Anomaly::NeverSent(1, 5, 99)]);
}
