//! Finds the anomalies of a history.
//!
//! The names are those of Jepsen's analyses of Kafka and Redpanda (jepsen.io/analyses, "Bufstream
//! 0.1.0", "Redpanda 21.10.1"). Kafka's transactions do not isolate writes from one another, so the
//! records of two transactions may alternate: write cycles (G0) are no anomaly. The transactions of
//! a run do not read, so there are no cycles of reads (G1c) either.
//!
//! Those of groups are not Jepsen's: see `groups`.
//!
//! Pure.

mod groups;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::history::{
    Content, End, History, Isolation, Outcome, Partition, Read, Transaction, Value,
};

/// Something that a correct cluster does not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Anomaly {
    /// A record was acknowledged, and its transaction, if any, committed; nobody can read it.
    LostWrite(Partition, i64, Value),
    /// A record is in a partition twice, or in two partitions.
    Duplicate(Value, Vec<(Partition, i64)>),
    /// Two records were seen at one offset.
    InconsistentOffset(Partition, i64, BTreeSet<Value>),
    /// A producer's later record of a partition has a smaller offset: the first and the second.
    NonmonotonicSend(Partition, i64, i64),
    /// A reader got an offset that is not above the one before.
    NonmonotonicPoll(usize, Partition, i64, i64),
    /// A reader went from the first to the second offset past a record between them.
    SkippedPoll(usize, Partition, i64, i64, Value),
    /// A reader that read to the end did not get a record at the end.
    Unseen(usize, Partition, i64, Value),
    /// A record of an aborted transaction was read with read_committed (G1a).
    AbortedRead(Partition, i64, Value),
    /// Of a transaction's records that were acknowledged, some can be read and others cannot: the
    /// first of each kind.
    TornTransaction(Transaction, Value, Value),
    /// A value was read that no producer sent.
    NeverSent(Partition, i64, Value),
    /// A member of a group was told a committed offset that the commits do not explain.
    WrongCommittedOffset(usize, Partition, Option<i64>),
    /// Two members of a group owned a partition in the same generation.
    TwoOwners(usize, i32, Partition),
    /// A commit was acknowledged after another member owned the partition in a later generation.
    CommitOfFormerOwner(usize, Partition, i64),
    /// The members of a group went past a record, up to the first offset, without reading it.
    SkippedByGroup(usize, Partition, i64, Value),
}

impl Anomaly {
    /// Returns its name in Jepsen's analyses.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::LostWrite(..) => "lost write",
            Self::Duplicate(..) => "duplicate",
            Self::InconsistentOffset(..) => "inconsistent offset",
            Self::NonmonotonicSend(..) => "nonmonotonic send",
            Self::NonmonotonicPoll(..) => "nonmonotonic poll",
            Self::SkippedPoll(..) => "skipped poll",
            Self::Unseen(..) => "unseen",
            Self::AbortedRead(..) => "aborted read",
            Self::TornTransaction(..) => "torn transaction",
            Self::NeverSent(..) => "never sent",
            Self::WrongCommittedOffset(..) => "wrong committed offset",
            Self::TwoOwners(..) => "two owners",
            Self::CommitOfFormerOwner(..) => "commit of a former owner",
            Self::SkippedByGroup(..) => "skipped by a group",
        }
    }
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.name())?;
        match self {
            Self::LostWrite(partition, offset, value) => write!(
                f,
                "value {value} was acknowledged at offset {offset} of partition {partition} and \
                 cannot be read"
            ),
            Self::Duplicate(value, places) => {
                write!(f, "value {value} is at {places:?} (partition, offset)")
            }
            Self::InconsistentOffset(partition, offset, values) => write!(
                f,
                "offset {offset} of partition {partition} had the values {values:?}"
            ),
            Self::NonmonotonicSend(partition, first, second) => write!(
                f,
                "one producer's records of partition {partition} were acknowledged at offset \
                 {first} and then at {second}"
            ),
            Self::NonmonotonicPoll(reader, partition, first, second) => write!(
                f,
                "reader {reader} of partition {partition} got offset {first} and then {second}"
            ),
            Self::SkippedPoll(reader, partition, first, second, value) => write!(
                f,
                "reader {reader} of partition {partition} went from offset {first} to {second} \
                 past value {value}"
            ),
            Self::Unseen(reader, partition, offset, value) => write!(
                f,
                "reader {reader} read partition {partition} to its end without value {value} at \
                 offset {offset}"
            ),
            Self::AbortedRead(partition, offset, value) => write!(
                f,
                "value {value} of an aborted transaction was read at offset {offset} of partition \
                 {partition} with read_committed"
            ),
            Self::TornTransaction(transaction, seen, missing) => write!(
                f,
                "of transaction {transaction} value {seen} can be read and value {missing} cannot"
            ),
            Self::NeverSent(partition, offset, value) => write!(
                f,
                "value {value} at offset {offset} of partition {partition} was not sent"
            ),
            Self::WrongCommittedOffset(group, partition, offset) => write!(
                f,
                "group {group} had the committed offset {offset:?} of partition {partition}, \
                 against its commits"
            ),
            Self::TwoOwners(group, generation, partition) => write!(
                f,
                "group {group} had two owners of partition {partition} in generation {generation}"
            ),
            Self::CommitOfFormerOwner(group, partition, offset) => write!(
                f,
                "group {group} accepted offset {offset} of partition {partition} from a member \
                 that another one had replaced"
            ),
            Self::SkippedByGroup(group, partition, offset, value) => write!(
                f,
                "group {group} went to offset {offset} of partition {partition} past value {value}"
            ),
        }
    }
}

/// Returns all anomalies of a history.
#[must_use]
pub fn check(history: &History) -> Vec<Anomaly> {
    let mut found = Vec::new();
    writes(history, &mut found);
    transactions(history, &mut found);
    places(history, &mut found);
    for (number, reader) in history.readers.iter().enumerate() {
        let content = match reader.isolation {
            Isolation::ReadCommitted => &history.committed,
            Isolation::ReadUncommitted => &history.uncommitted,
        };
        polls(number, &reader.reads, content, &mut found);
    }
    for (number, members) in history.groups.iter().enumerate() {
        groups::check(number, members, &history.committed, &mut found);
    }
    found
}

/// Lost writes, and the order of each producer's offsets.
fn writes(history: &History, found: &mut Vec<Anomaly>) {
    let readable: BTreeSet<Value> = history.committed.values().copied().collect();
    for sends in &history.producers {
        let mut last: BTreeMap<Partition, i64> = BTreeMap::new();
        for send in sends {
            let Outcome::Acknowledged(offset) = send.outcome else {
                continue;
            };
            if let Some(before) = last.insert(send.partition, offset)
                && before >= offset
            {
                found.push(Anomaly::NonmonotonicSend(send.partition, before, offset));
            }
            let end = send.transaction.map(|number| history.transactions[number]);
            let must_be_there = end.is_none_or(|end| end == End::Committed);
            if must_be_there && !readable.contains(&send.value) {
                found.push(Anomaly::LostWrite(send.partition, offset, send.value));
            }
        }
    }
}

/// Reads of aborted transactions, and transactions that can be read in part.
fn transactions(history: &History, found: &mut Vec<Anomaly>) {
    let readable: BTreeSet<Value> = history.committed.values().copied().collect();
    let mut of_value: BTreeMap<Value, Transaction> = BTreeMap::new();
    let mut acknowledged: BTreeMap<Transaction, (Option<Value>, Option<Value>)> = BTreeMap::new();
    for send in history.producers.iter().flatten() {
        let Some(transaction) = send.transaction else {
            continue;
        };
        of_value.insert(send.value, transaction);
        if matches!(send.outcome, Outcome::Acknowledged(_)) {
            let (seen, missing) = acknowledged.entry(transaction).or_default();
            let side = match readable.contains(&send.value) {
                true => seen,
                false => missing,
            };
            side.get_or_insert(send.value);
        }
    }
    for (transaction, sides) in acknowledged {
        if let (Some(seen), Some(missing)) = sides
            && history.transactions[transaction] == End::Unknown
        {
            found.push(Anomaly::TornTransaction(transaction, seen, missing));
        }
    }
    let last = history.committed.iter();
    let last = last.map(|((partition, offset), value)| (*partition, *offset, *value));
    let committed = history
        .readers
        .iter()
        .filter(|reader| reader.isolation == Isolation::ReadCommitted);
    let polled = committed.flat_map(|reader| &reader.reads);
    let polled = polled.map(|read| (read.partition, read.offset, read.value));
    let all: BTreeSet<(Partition, i64, Value)> = last.chain(polled).collect();
    for (partition, offset, value) in all {
        let end = of_value
            .get(&value)
            .map(|number| history.transactions[*number]);
        if end == Some(End::Aborted) {
            found.push(Anomaly::AbortedRead(partition, offset, value));
        }
    }
}

/// Values at more than one place, and places with more than one value.
fn places(history: &History, found: &mut Vec<Anomaly>) {
    let mut at: BTreeMap<(Partition, i64), BTreeSet<Value>> = BTreeMap::new();
    let mut of: BTreeMap<Value, BTreeSet<(Partition, i64)>> = BTreeMap::new();
    let mut see = |partition, offset, value| {
        at.entry((partition, offset)).or_default().insert(value);
        of.entry(value).or_default().insert((partition, offset));
    };
    for ((partition, offset), value) in history.committed.iter().chain(&history.uncommitted) {
        see(*partition, *offset, *value);
    }
    for read in history.readers.iter().flat_map(|reader| &reader.reads) {
        see(read.partition, read.offset, read.value);
    }
    for send in history.producers.iter().flatten() {
        if let Outcome::Acknowledged(offset) = send.outcome {
            see(send.partition, offset, send.value);
        }
    }
    let sent = history.producers.iter().flatten();
    let sent: BTreeSet<Value> = sent.map(|send| send.value).collect();
    for ((partition, offset), values) in at {
        let never_sent = values.difference(&sent);
        found.extend(never_sent.map(|value| Anomaly::NeverSent(partition, offset, *value)));
        if values.len() > 1 {
            found.push(Anomaly::InconsistentOffset(partition, offset, values));
        }
    }
    for (value, places) in of {
        if places.len() > 1 {
            found.push(Anomaly::Duplicate(value, places.into_iter().collect()));
        }
    }
}

/// The order and the completeness of what a reader got.
fn polls(reader: usize, reads: &[Read], content: &Content, found: &mut Vec<Anomaly>) {
    let mut last: BTreeMap<Partition, i64> = BTreeMap::new();
    for read in reads {
        let before = last.insert(read.partition, read.offset).unwrap_or(-1);
        if before >= read.offset {
            let anomaly = Anomaly::NonmonotonicPoll(reader, read.partition, before, read.offset);
            found.push(anomaly);
            continue;
        }
        let between = (read.partition, before + 1)..(read.partition, read.offset);
        if let Some((_, value)) = content.range(between).next() {
            found.push(Anomaly::SkippedPoll(
                reader,
                read.partition,
                before,
                read.offset,
                *value,
            ));
        }
    }
    for ((partition, offset), value) in content {
        if *offset > last.get(partition).copied().unwrap_or(-1) {
            found.push(Anomaly::Unseen(reader, *partition, *offset, *value));
        }
    }
}

#[cfg(test)]
mod tests;
