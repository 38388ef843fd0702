//! The requests to a machine of transactions, and what they return. `machine.rs` plans them.

use dohle_model::{ErrorCode, ProducerId, Timestamp, TopicPartition};
use regex::Regex;

use crate::ids::{ProducerIdAndEpoch, TransactionalId};
use crate::markers::{BrokerMarkers, MarkerOutcome};
use crate::partition_set::PartitionSet;
use crate::state::{TransactionState, TransactionVersion};

/// The reply to a request that may need an id for a producer, which only I/O can get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlannedReply<T> {
    /// The reply.
    Reply(Result<T, ErrorCode>),
    /// The request changed nothing. It is to be planned again with `fresh`, an id that no other
    /// producer has.
    NeedsProducerId,
}

impl<T> PlannedReply<T> {
    /// A refusal.
    pub(crate) const fn refuse(code: ErrorCode) -> Self {
        Self::Reply(Err(code))
    }
}

/// InitProducerId with a transactional id. See `TransactionMachine::init_producer_id`.
#[derive(Debug, Clone, Copy)]
pub struct InitProducerId<'a> {
    /// The transactional id.
    pub transactional_id: &'a str,
    /// `transaction.timeout.ms`, as the client sent it.
    pub timeout_ms: i32,
    /// The producer that continues after an error (KIP-360); `None` for a new one.
    pub expected: Option<ProducerIdAndEpoch>,
    /// Whether the transactions of the producer have no timeout (KIP-939).
    pub two_phase_commit: bool,
    /// Whether an open transaction is kept (KIP-939). As in Kafka 4.3, refused with
    /// UNSUPPORTED_VERSION.
    pub keep_prepared: bool,
    /// An id that no other producer has, for [`PlannedReply::NeedsProducerId`].
    pub fresh: Option<ProducerId>,
}

/// Adds partitions to a transaction; AddOffsetsToTxn adds the partition of `__consumer_offsets`.
/// See `TransactionMachine::add_partitions`.
#[derive(Debug, Clone, Copy)]
pub struct AddPartitions<'a> {
    /// The transactional id.
    pub transactional_id: &'a str,
    /// The producer.
    pub producer: ProducerIdAndEpoch,
    /// The partitions.
    pub partitions: &'a [TopicPartition],
    /// The version of the protocol that the client uses.
    pub client_version: TransactionVersion,
}

/// Asks which partitions are in a transaction (verify-only AddPartitionsToTxn).
/// See `TransactionMachine::verify_partitions`.
#[derive(Debug, Clone, Copy)]
pub struct VerifyPartitions<'a> {
    /// The transactional id.
    pub transactional_id: &'a str,
    /// The producer.
    pub producer: ProducerIdAndEpoch,
    /// The partitions.
    pub partitions: &'a [TopicPartition],
}

/// EndTxn. See `TransactionMachine::end_txn`.
#[derive(Debug, Clone, Copy)]
pub struct EndTxn<'a> {
    /// The transactional id.
    pub transactional_id: &'a str,
    /// The producer.
    pub producer: ProducerIdAndEpoch,
    /// Whether the transaction is committed; otherwise it is aborted.
    pub commit: bool,
    /// The version of the protocol that the client uses.
    pub client_version: TransactionVersion,
    /// An id that no other producer has, for [`PlannedReply::NeedsProducerId`].
    pub fresh: Option<ProducerId>,
}

/// Aborts a transaction whose timeout has passed, with a fresh id for its producer: the timer of a
/// transaction sends this when the epochs of the producer are exhausted.
#[derive(Debug, Clone)]
pub struct AbortTimedOut {
    /// The transactional id.
    pub transactional_id: TransactionalId,
    /// An id that no other producer has.
    pub fresh: ProducerId,
}

/// One id of DescribeTransactions. See `TransactionMachine::describe`.
#[derive(Debug, Clone, Copy)]
pub struct Describe<'a> {
    /// The transactional id.
    pub transactional_id: &'a str,
}

/// What DescribeTransactions returns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedTransaction {
    /// The state.
    pub state: TransactionState,
    /// The producer.
    pub producer: ProducerIdAndEpoch,
    /// The timeout as the wire has it: the largest number for two-phase commit.
    pub timeout_ms: i32,
    /// When the transaction began; `None` before the first one.
    pub started: Option<Timestamp>,
    /// Its partitions; of an ended transaction those that still need their marker.
    pub partitions: PartitionSet,
}

/// Which transactions ListTransactions returns.
#[derive(Debug, Clone, Default)]
pub struct TransactionFilter {
    /// Ids of producers; empty for all.
    pub producer_ids: Vec<ProducerId>,
    /// States; `None` for all. A filter that names only unknown states is empty and matches none.
    pub states: Option<Vec<TransactionState>>,
    /// Only transactions that began longer ago than this, in milliseconds; `None` for all.
    pub duration_ms: Option<i64>,
    /// Only transactional ids that match as a whole; `None` for all.
    pub pattern: Option<Regex>,
}

impl TransactionFilter {
    /// Compiles a pattern of ListTransactions. An empty pattern matches all ids.
    ///
    /// # Errors
    /// INVALID_REGULAR_EXPRESSION.
    pub fn pattern(text: &str) -> Result<Option<Regex>, ErrorCode> {
        if text.is_empty() {
            return Ok(None);
        }
        let pattern = Regex::new(&format!("^(?:{text})$"));
        let pattern = pattern.map_err(|_| ErrorCode::InvalidRegularExpression)?;
        Ok(Some(pattern))
    }
}

/// ListTransactions in one shard. See `TransactionMachine::list`.
#[derive(Debug, Clone, Copy)]
pub struct List<'a> {
    /// Which transactions to list.
    pub filter: &'a TransactionFilter,
}

/// What ListTransactions returns for a transactional id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedTransaction {
    /// The transactional id.
    pub transactional_id: TransactionalId,
    /// The id of its producer.
    pub producer_id: ProducerId,
    /// The state.
    pub state: TransactionState,
}

/// What is to be done outside the machine once the records before are committed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outgoing {
    /// Markers to send, by the broker that leads the partitions. Each is to be answered with
    /// [`MarkersAnswered`], whatever happens to it.
    pub markers: Vec<BrokerMarkers>,
    /// Transactions that are to be aborted with [`AbortTimedOut`].
    pub timed_out: Vec<TransactionalId>,
    /// Whether there is more to take.
    pub is_partial: bool,
}

/// Takes the markers that are due; appends no records. The runtime sends this after `Step::signal`.
#[derive(Debug, Clone, Copy)]
pub struct MarkersToSend;

/// Completes the transactions that need no more markers, because their partitions were deleted or
/// because an earlier record could not be appended.
#[derive(Debug, Clone, Copy)]
pub struct CompleteEnded;

/// Reports what became of markers. When the last one of a transaction is written, the transaction
/// is complete.
#[derive(Debug, Clone, Copy)]
pub struct MarkersAnswered<'a> {
    /// The outcomes.
    pub outcomes: &'a [MarkerOutcome],
}
