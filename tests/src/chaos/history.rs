//! What clients did during a run, and what they were answered.

use std::collections::BTreeMap;

/// A partition: its place in the list of the run's partitions.
pub type Partition = usize;
/// A value: each is sent once, so it identifies its record.
pub type Value = u64;
/// A transaction: its place in [`History::transactions`].
pub type Transaction = usize;

/// A point in time: those of later events are greater.
pub type Tick = u64;

/// The answers to one record that was sent, including those to its retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was acknowledged at this offset.
    Acknowledged(i64),
    /// There was no answer, or an error that does not exclude that the record was appended.
    Unknown,
}

/// One record that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Send {
    /// Where to.
    pub partition: Partition,
    /// Its value.
    pub value: Value,
    /// The answers.
    pub outcome: Outcome,
    /// Its transaction, if it has one.
    pub transaction: Option<Transaction>,
}

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Its commit was acknowledged.
    Committed,
    /// Its abort was acknowledged, or its producer was initialized again without a commit.
    Aborted,
    /// The producer asked for a commit and was not answered.
    Unknown,
}

/// The records that a reader may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Those of aborted and open transactions, too.
    ReadUncommitted,
    /// None of aborted or open transactions.
    ReadCommitted,
}

/// One record that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Read {
    /// Where from.
    pub partition: Partition,
    /// Its offset.
    pub offset: i64,
    /// Its value.
    pub value: Value,
}

/// A consumer that reads every partition from its beginning, without seeking, during the run and
/// then to the end.
#[derive(Debug, Clone)]
pub struct Reader {
    /// What it may see.
    pub isolation: Isolation,
    /// The records in the order in which it got them.
    pub reads: Vec<Read>,
}

/// Something that happened to a member of a consumer group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupEvent {
    /// It was told that it owns these partitions, and no others, from a generation or epoch on.
    Assigned {
        /// When it was told.
        at: Tick,
        /// The generation, or the member epoch.
        generation: i32,
        /// The partitions.
        partitions: Vec<Partition>,
    },
    /// It was told a committed offset. It reads on from there, or from the beginning.
    Fetched {
        /// When it asked.
        sent: Tick,
        /// When it was answered.
        answered: Tick,
        /// The partition.
        partition: Partition,
        /// The offset; `None` when there is none.
        offset: Option<i64>,
    },
    /// It got a record of a partition that it owns.
    Polled(Read),
    /// It asked for a commit, which was not refused.
    Committed {
        /// When it asked.
        sent: Tick,
        /// When the commit was acknowledged; `None` when it is unknown whether it happened.
        answered: Option<Tick>,
        /// The partition.
        partition: Partition,
        /// The offset.
        offset: i64,
    },
}

/// The content of partitions, by partition and offset.
pub type Content = BTreeMap<(Partition, i64), Value>;

/// Everything that happened.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// The records of each producer, in the order in which it sent them.
    pub producers: Vec<Vec<Send>>,
    /// The ends of the transactions.
    pub transactions: Vec<End>,
    /// The consumers.
    pub readers: Vec<Reader>,
    /// The consumer groups: for each member, what happened to it, in that order.
    pub groups: Vec<Vec<Vec<GroupEvent>>>,
    /// What a new read_committed consumer reads after the run.
    pub committed: Content,
    /// What a new read_uncommitted consumer reads after the run.
    pub uncommitted: Content,
}
