//! Transactions at their leader: the verification before the first batch, and the markers at the
//! end.
//!
//! ```text
//! begin_verification ──▶ guard ──▶ the coordinator is asked ──▶ produce with the guard
//!                                                      write_marker takes the guard away
//! ```
//!
//! Source: `maybeStartTransactionVerification` of Kafka's `UnifiedLog.java`,
//! `handleWriteTxnMarkersRequest` of `KafkaApis.scala`, KIP-98, KIP-890.

use dohle_log::batch::EndTxnMarker;
use dohle_log::{ProducerError, TxnAppend, TxnBegin, VerificationGuard};
use dohle_model::{ProducerEpoch, ProducerId, Timestamp};

use super::Partition;
use super::errors::AppendError;
use super::types::{Acks, AppendOrigin, Appended};

/// The marker that ends a transaction in one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TxnMarker {
    /// The producer.
    pub producer_id: ProducerId,
    /// Its epoch; with `transaction_version` 2 above that of the transaction's records.
    pub producer_epoch: ProducerEpoch,
    /// Committed or aborted.
    pub committed: bool,
    /// The leader epoch of the coordinator's partition of `__transaction_state`.
    pub coordinator_epoch: i32,
    /// The `transaction.version` of the transaction.
    pub transaction_version: i8,
}

impl Partition {
    /// Begins to verify a transaction before its first batch in this partition: the coordinator is
    /// asked next, and the batch produced with [`TxnAppend::Verified`]. `None` when nothing is to
    /// be verified: the transaction is open here, or verification is off and the client adds
    /// partitions itself.
    ///
    /// # Errors
    /// When this broker does not lead, or the epoch is older than one seen.
    pub fn begin_verification(
        &self,
        begin: &TxnBegin,
        now: Timestamp,
    ) -> Result<Option<VerificationGuard>, AppendError> {
        let mut state = self.state.lock();
        let (log, _) = state.leading()?;
        // A client that bumps the epoch relies on the coordinator being asked, which adds the
        // partition to the transaction.
        if !log.config().transaction_verification && !begin.bumps_epoch {
            return Ok(None);
        }
        log.begin_verification(begin, now).map_err(rejected)
    }

    /// Returns how the first batch of a transaction is produced once the coordinator has confirmed
    /// that the partition is in the transaction: see [`dohle_log::Log::confirm_verification`].
    ///
    /// # Errors
    /// As [`Partition::begin_verification`].
    pub fn confirm_verification(
        &self,
        begin: &TxnBegin,
        guard: VerificationGuard,
        now: Timestamp,
    ) -> Result<TxnAppend, AppendError> {
        let mut state = self.state.lock();
        let (log, _) = state.leading()?;
        log.confirm_verification(begin, guard, now)
            .map_err(rejected)
    }

    /// Appends the marker that ends a transaction. As with [`Acks::All`], enough replicas must be
    /// in sync, and the caller continues with [`Partition::wait_committed`]. When the transaction
    /// has already ended here, nothing is appended, and the end of the result is the end of the
    /// log: once it is committed, so is the earlier marker.
    ///
    /// # Errors
    /// As [`Partition::append`]; INVALID_PRODUCER_EPOCH when a newer epoch has written, or the
    /// marker is late; TRANSACTION_COORDINATOR_FENCED when a newer coordinator has ended a
    /// transaction of the producer.
    pub fn write_marker(
        &self,
        marker: &TxnMarker,
        now: Timestamp,
    ) -> Result<Appended, AppendError> {
        let records = EndTxnMarker {
            committed: marker.committed,
            coordinator_epoch: marker.coordinator_epoch,
            timestamp: Some(now),
        };
        let records = records.batch(marker.producer_id, marker.producer_epoch);
        let txn = TxnAppend::marker(marker.transaction_version);
        self.append_in_txn(records, &txn, Acks::All, AppendOrigin::Coordinator, now)
    }
}

fn rejected(error: ProducerError) -> AppendError {
    AppendError::Rejected {
        code: error.code(),
        message: error.to_string(),
        records: Vec::new(),
    }
}
