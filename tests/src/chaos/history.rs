//! What clients did during a run, and what they were answered.

use std::collections::BTreeMap;

/// A partition: its place in the list of the run's partitions.
pub type Partition = usize;
/// A value: each is sent once, so it identifies its record.
pub type Value = u64;
/// A transaction: its place in [`History::transactions`].
pub type Transaction = usize;

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
    /// What a new read_committed consumer reads after the run.
    pub committed: Content,
    /// What a new read_uncommitted consumer reads after the run.
    pub uncommitted: Content,
}
