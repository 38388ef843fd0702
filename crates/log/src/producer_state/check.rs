//! Checks whether the leader may append a batch: epochs, sequences and transactions of its
//! producer.
//!
//! Source: `analyzeAndValidateProducerState` of Kafka's `UnifiedLog.java`,
//! `ProducerAppendInfo.java`, KIP-890, KIP-1228.

use dohle_model::{ProducerEpoch, ProducerId, Sequence};

use super::error::ProducerError;
use super::verification::VerificationGuard;
use super::{BatchMetadata, ProducerEntry, ProducerState};
use crate::batch::{BatchHeader, EndTxnMarker};
use crate::validate::AppendOrigin;

/// The context of an append that the batch itself does not contain, for batches of transactions.
#[derive(Debug, Clone, Default)]
pub enum TxnAppend {
    /// No context: a batch of an open transaction or of none, or a marker of a transaction whose
    /// version does not bump the producer epoch (`transaction.version` 0 and 1).
    #[default]
    Plain,
    /// The coordinator confirmed that the partition belongs to the transaction.
    Verified(VerificationGuard),
    /// A marker of a transaction whose version bumps the producer epoch (`transaction.version` 2):
    /// the marker's epoch is above that of the records (KIP-1228).
    BumpedMarker,
}

impl TxnAppend {
    /// Returns the context for a marker of a transaction with this `transaction.version`.
    #[must_use]
    pub fn marker(transaction_version: i8) -> Self {
        match transaction_version {
            2.. => Self::BumpedMarker,
            _ => Self::Plain,
        }
    }
}

/// The result of a check that did not reject the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProducerCheck {
    /// The batch must be appended.
    Append,
    /// The batch is already in the log: it was appended before.
    Duplicate(BatchMetadata),
    /// The batch is a marker of a transaction that has already ended in this partition: nothing is
    /// written.
    AlreadyEnded,
}

/// The origin and purpose of an append.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AppendContext<'a> {
    pub(crate) origin: AppendOrigin,
    pub(crate) txn: &'a TxnAppend,
    /// `transaction.partition.verification.enable`.
    pub(crate) requires_verification: bool,
}

impl ProducerState {
    /// Checks whether the leader may append a batch. A batch without a producer id is always
    /// accepted.
    ///
    /// # Errors
    /// [`ProducerError`] when it may not.
    pub(crate) fn check(
        &self,
        header: &BatchHeader,
        marker: Option<&EndTxnMarker>,
        context: &AppendContext<'_>,
    ) -> Result<ProducerCheck, ProducerError> {
        let Some(producer_id) = header.producer_id else {
            return Ok(ProducerCheck::Append);
        };
        let entry = self.producers.get(&producer_id);
        let Some(epoch) = header.producer_epoch else {
            return check_without_epoch(entry, producer_id, header, context);
        };
        if header.attributes.is_control() {
            return match (entry, marker) {
                (Some(entry), Some(marker)) => {
                    let bumped = matches!(context.txn, TxnAppend::BumpedMarker);
                    entry.check_marker(producer_id, epoch, marker, bumped)
                }
                _ => Ok(ProducerCheck::Append),
            };
        }
        let is_client = context.origin == AppendOrigin::Client;
        if is_client && let Some(batch) = entry.and_then(|entry| entry.find_duplicate(header)) {
            return Ok(ProducerCheck::Duplicate(batch));
        }
        if let Some(entry) = entry {
            entry.check_epoch(producer_id, epoch)?;
        }
        let is_transactional = header.attributes.is_transactional();
        if is_transactional
            && context.requires_verification
            && !entry.is_some_and(|entry| entry.has_ongoing_txn(epoch))
            && !self.is_verified(producer_id, context.txn)
        {
            return Err(ProducerError::NotVerified { producer_id, epoch });
        }
        if is_client && let Some(sequence) = header.base_sequence {
            self.check_sequence(entry, producer_id, epoch, sequence)?;
        }
        let is_open = entry.is_some_and(|entry| entry.current_txn_first_offset.is_some());
        if is_open && !is_transactional {
            return Err(ProducerError::InvalidTxnState { producer_id });
        }
        Ok(ProducerCheck::Append)
    }

    fn is_verified(&self, producer_id: ProducerId, txn: &TxnAppend) -> bool {
        match txn {
            TxnAppend::Verified(guard) => self.verifications.is_current(producer_id, guard),
            TxnAppend::Plain | TxnAppend::BumpedMarker => false,
        }
    }

    fn check_sequence(
        &self,
        entry: Option<&ProducerEntry>,
        producer_id: ProducerId,
        epoch: ProducerEpoch,
        sequence: Sequence,
    ) -> Result<(), ProducerError> {
        let last_sequence = entry.and_then(ProducerEntry::last_sequence);
        let out_of_order = Err(ProducerError::OutOfOrderSequence {
            producer_id,
            epoch,
            sequence,
            last_sequence,
        });
        if let Some(verification) = self.verifications.get(producer_id) {
            let is_empty = entry.is_none_or(|entry| entry.batches.is_empty());
            if verification.bumps_epoch && is_empty && sequence != Sequence(0) {
                return out_of_order;
            }
            let lowest = verification.lowest_sequence;
            if sequence > lowest {
                return Err(ProducerError::EarlierSequencePending {
                    producer_id,
                    epoch,
                    sequence,
                    lowest,
                });
            }
        }
        let in_order = match entry.and_then(|entry| entry.epoch) {
            // An unknown producer, whose state expired or was deleted, may begin with any sequence.
            None => true,
            Some(current) if current != epoch => sequence == Sequence(0),
            // Only a marker of this epoch was seen, so the sequence begins at 0.
            Some(_) => match last_sequence {
                None => sequence == Sequence(0),
                Some(last) => sequence == last.plus(1),
            },
        };
        if in_order { Ok(()) } else { out_of_order }
    }
}

/// Checks a batch that has a producer id and no epoch, as Kafka does: every sequence is accepted,
/// and only a batch that is in the log already is recognised. A producer that has an epoch must not
/// write without it.
fn check_without_epoch(
    entry: Option<&ProducerEntry>,
    producer_id: ProducerId,
    header: &BatchHeader,
    context: &AppendContext<'_>,
) -> Result<ProducerCheck, ProducerError> {
    if header.attributes.is_control() {
        return Ok(ProducerCheck::Append);
    }
    let is_client = context.origin == AppendOrigin::Client;
    if is_client && let Some(batch) = entry.and_then(|entry| entry.find_duplicate(header)) {
        return Ok(ProducerCheck::Duplicate(batch));
    }
    match entry.and_then(|entry| entry.epoch) {
        Some(current) => Err(ProducerError::InvalidProducerEpoch {
            producer_id,
            epoch: ProducerEpoch(ProducerEpoch::to_wire(None)),
            current,
        }),
        None => Ok(ProducerCheck::Append),
    }
}

impl ProducerEntry {
    /// Returns the sequence of the producer's last record.
    fn last_sequence(&self) -> Option<Sequence> {
        self.batches.back()?.last_sequence
    }

    /// Returns whether a transaction of this epoch is open. One of another epoch does not count,
    /// because it may have ended already.
    pub(super) fn has_ongoing_txn(&self, epoch: ProducerEpoch) -> bool {
        self.current_txn_first_offset.is_some() && self.epoch == Some(epoch)
    }

    pub(super) fn check_epoch(
        &self,
        producer_id: ProducerId,
        epoch: ProducerEpoch,
    ) -> Result<(), ProducerError> {
        match self.epoch {
            Some(current) if epoch < current => Err(ProducerError::InvalidProducerEpoch {
                producer_id,
                epoch,
                current,
            }),
            _ => Ok(()),
        }
    }

    fn find_duplicate(&self, header: &BatchHeader) -> Option<BatchMetadata> {
        if self.epoch != header.producer_epoch {
            return None;
        }
        let (first, last) = (header.base_sequence?, header.last_sequence()?);
        let same = |batch: &&BatchMetadata| {
            batch.first_sequence() == Some(first) && batch.last_sequence == Some(last)
        };
        self.batches.iter().find(same).copied()
    }

    /// Checks a marker of a known producer. With `bumped`, its epoch is above that of the records.
    fn check_marker(
        &self,
        producer_id: ProducerId,
        epoch: ProducerEpoch,
        marker: &EndTxnMarker,
        bumped: bool,
    ) -> Result<ProducerCheck, ProducerError> {
        self.check_epoch(producer_id, epoch)?;
        let is_open = self.current_txn_first_offset.is_some();
        let is_current = self.epoch == Some(epoch);
        if bumped && is_current && is_open {
            return Err(ProducerError::LateMarker {
                producer_id,
                epoch,
                current: epoch,
            });
        }
        if let Some(current) = self.coordinator_epoch
            && marker.coordinator_epoch < current
        {
            return Err(ProducerError::TransactionCoordinatorFenced {
                producer_id,
                epoch: marker.coordinator_epoch,
                current,
            });
        }
        // Without the bump, a marker of a newer coordinator is written once more, so that the log
        // rejects later markers of an older coordinator, which could end a later transaction.
        let is_marked = match bumped {
            true => self.coordinator_epoch.is_some(),
            false => self.coordinator_epoch == Some(marker.coordinator_epoch),
        };
        if is_current && !is_open && is_marked {
            return Ok(ProducerCheck::AlreadyEnded);
        }
        Ok(ProducerCheck::Append)
    }
}
