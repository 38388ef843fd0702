//! Tracks transactions that are being verified with the coordinator before their first batch is
//! appended (KIP-890).
//!
//! The leader asks the coordinator whether a partition belongs to a transaction, and the
//! coordinator may end the transaction before its response arrives. So a verification returns a
//! guard, which the append must pass: a batch of the transaction, or a marker that ends it,
//! invalidates the guard.
//!
//! Source: Kafka's `VerificationStateEntry.java`, `VerificationGuard.java`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use dohle_model::{ProducerEpoch, ProducerId, Sequence, Timestamp};

use super::ProducerState;
use super::error::ProducerError;

/// The first batch of a transaction in a partition, which must be verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TxnBegin {
    /// The producer.
    pub producer_id: ProducerId,
    /// The producer's epoch.
    pub epoch: ProducerEpoch,
    /// The first sequence of the batch; 0 for batches of coordinators, which have none.
    pub sequence: Sequence,
    /// Whether the producer's client bumps the epoch with each transaction
    /// (`transaction.version` 2).
    pub bumps_epoch: bool,
}

/// Proof of one verification. Two verifications never have the same guard.
#[derive(Debug, Clone)]
pub struct VerificationGuard(Arc<()>);

/// A verification that is running, or whose batch is not appended yet.
#[derive(Debug, Clone)]
pub(super) struct Verification {
    guard: VerificationGuard,
    began: Timestamp,
    epoch: ProducerEpoch,
    /// The smallest sequence that was sent. Larger ones are rejected until it is in the log,
    /// because they would make it out of order permanently.
    pub(super) lowest_sequence: Sequence,
    pub(super) bumps_epoch: bool,
}

/// The verifications of one log, at most one for each producer.
#[derive(Debug, Clone, Default)]
pub(super) struct Verifications(HashMap<ProducerId, Verification>);

impl Verifications {
    fn begin(&mut self, begin: &TxnBegin, now: Timestamp) -> VerificationGuard {
        let verification = self
            .0
            .entry(begin.producer_id)
            .or_insert_with(|| Verification {
                guard: VerificationGuard(Arc::new(())),
                began: now,
                epoch: begin.epoch,
                lowest_sequence: begin.sequence,
                bumps_epoch: begin.bumps_epoch,
            });
        if begin.epoch > verification.epoch {
            verification.epoch = begin.epoch;
            verification.lowest_sequence = begin.sequence;
        } else if begin.epoch == verification.epoch {
            let lowest = &mut verification.lowest_sequence;
            *lowest = (*lowest).min(begin.sequence);
        }
        verification.guard.clone()
    }

    pub(super) fn get(&self, id: ProducerId) -> Option<&Verification> {
        self.0.get(&id)
    }

    pub(super) fn is_current(&self, id: ProducerId, guard: &VerificationGuard) -> bool {
        let current = self.0.get(&id);
        current.is_some_and(|current| Arc::ptr_eq(&current.guard.0, &guard.0))
    }

    pub(super) fn end(&mut self, id: ProducerId) {
        self.0.remove(&id);
    }

    pub(super) fn remove_expired(&mut self, now: Timestamp, expiration: Duration) {
        self.0.retain(|_, verification| {
            let age = now.0.saturating_sub(verification.began.0);
            i128::from(age) < expiration.as_millis() as i128
        });
    }
}

impl ProducerState {
    /// Begins to verify a transaction, or continues a verification that began before. Returns
    /// `None` when the transaction is open here and needs no verification.
    ///
    /// # Errors
    /// [`ProducerError::InvalidProducerEpoch`] when the epoch is older than the newest one seen.
    pub(crate) fn begin_verification(
        &mut self,
        begin: &TxnBegin,
        now: Timestamp,
    ) -> Result<Option<VerificationGuard>, ProducerError> {
        if let Some(entry) = self.producers.get(&begin.producer_id) {
            entry.check_epoch(begin.producer_id, begin.epoch)?;
            if entry.has_ongoing_txn(begin.epoch) {
                return Ok(None);
            }
        }
        Ok(Some(self.verifications.begin(begin, now)))
    }

    /// Ends all verifications when the replica begins to lead. Leaders in between may have
    /// acknowledged markers that they had no need to write, and that this log therefore lacks.
    pub(crate) fn end_verifications(&mut self) {
        self.verifications = Verifications::default();
    }

    /// Ends the verification of a producer after a marker has ended its transaction: a batch that
    /// was verified for that transaction is rejected.
    pub(crate) fn end_verification(&mut self, id: ProducerId) {
        self.verifications.end(id);
    }
}
