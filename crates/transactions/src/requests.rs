//! The requests to a machine of transactions, and their replies. `machine.rs` plans them.

use dohle_model::{ErrorCode, ProducerId, Timestamp, TopicPartition};
use regex::Regex;

use crate::ids::{ProducerIdAndEpoch, TransactionalId};
use crate::markers::{BrokerMarkers, MarkerOutcome};
use crate::partition_set::PartitionSet;
use crate::re2;
use crate::state::{TransactionState, TransactionVersion};

/// The reply to a request that may need a new producer id, which only I/O can provide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlannedReply<T> {
    /// The reply.
    Reply(Result<T, ErrorCode>),
    /// The request changed nothing. It must be planned again with `fresh`, an id that no other
    /// producer has.
    NeedsProducerId,
}

impl<T> PlannedReply<T> {
    /// Returns a refusal with this code.
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

/// DescribeTransactions for one id. See `TransactionMachine::describe`.
#[derive(Debug, Clone, Copy)]
pub struct Describe<'a> {
    /// The transactional id.
    pub transactional_id: &'a str,
}

/// The description of a transactional id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedTransaction {
    /// The state.
    pub state: TransactionState,
    /// The producer.
    pub producer: ProducerIdAndEpoch,
    /// The timeout as clients see it: the largest number for two-phase commit.
    pub timeout_ms: i32,
    /// When the transaction began; `None` before the first one.
    pub started: Option<Timestamp>,
    /// The partitions; of an ended transaction only those that still need their marker.
    pub partitions: PartitionSet,
}

/// Selects the transactions that ListTransactions returns.
#[derive(Debug, Clone, Default)]
pub struct TransactionFilter {
    /// Ids of producers; empty for all.
    pub producer_ids: Vec<ProducerId>,
    /// States; `None` for all. A filter that names only unknown states is empty and matches none.
    pub states: Option<Vec<TransactionState>>,
    /// Selects transactions that began longer ago than this, in milliseconds; `None` for all.
    pub duration_ms: Option<i64>,
    /// Selects transactional ids that match this expression as a whole; `None` for all.
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
        if re2::refuses(text) {
            return Err(ErrorCode::InvalidRegularExpression);
        }
        // Compiled alone first, so that a pattern cannot close the group around it.
        let pattern = Regex::new(text).and_then(|_| Regex::new(&format!("^(?:{text})$")));
        let pattern = pattern.map_err(|_| ErrorCode::InvalidRegularExpression)?;
        Ok(Some(pattern))
    }
}

/// ListTransactions in one shard. See `TransactionMachine::list`.
#[derive(Debug, Clone, Copy)]
pub struct List<'a> {
    /// Selects the transactions.
    pub filter: &'a TransactionFilter,
}

/// The entry of a transactional id in ListTransactions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedTransaction {
    /// The transactional id.
    pub transactional_id: TransactionalId,
    /// The id of its producer.
    pub producer_id: ProducerId,
    /// The state.
    pub state: TransactionState,
}

/// The work outside the machine, to be done once the records before it are committed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outgoing {
    /// Markers to send, by the broker that leads the partitions. The outcome of each must be
    /// reported with [`MarkersAnswered`].
    pub markers: Vec<BrokerMarkers>,
    /// Transactions that must be aborted with [`AbortTimedOut`].
    pub timed_out: Vec<TransactionalId>,
    /// Whether more work can be taken.
    pub is_partial: bool,
}

/// Takes the markers that are due; appends no records. The runtime sends this after `Step::signal`.
#[derive(Debug, Clone, Copy)]
pub struct MarkersToSend;

/// Completes the transactions that need no more markers, because their partitions were deleted or
/// because an earlier record could not be appended.
#[derive(Debug, Clone, Copy)]
pub struct CompleteEnded;

/// Reports the outcomes of markers. When the last marker of a transaction is written, the
/// transaction is complete.
#[derive(Debug, Clone, Copy)]
pub struct MarkersAnswered<'a> {
    /// The outcomes.
    pub outcomes: &'a [MarkerOutcome],
}
