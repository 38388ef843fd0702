//! Whether the leader may append a batch: epochs, sequences and transactions of its producer.
//!
//! Source: `analyzeAndValidateProducerState` of Kafka's `UnifiedLog.java`,
//! `ProducerAppendInfo.java`, KIP-890, KIP-1228.

use dohle_model::{ErrorCode, ProducerEpoch, ProducerId, Sequence};

use super::verification::VerificationGuard;
use super::{BatchMetadata, ProducerEntry, ProducerState};
use crate::batch::{BatchHeader, EndTxnMarker};
use crate::validate::AppendOrigin;

/// What is appended besides the batch itself, for batches of transactions.
#[derive(Debug, Clone, Default)]
pub enum TxnAppend {
    /// Nothing: a batch of an open transaction or of none, or a marker of a transaction whose
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
    /// For a marker of a transaction of this `transaction.version`.
    #[must_use]
    pub fn marker(transaction_version: i8) -> Self {
        match transaction_version {
            2.. => Self::BumpedMarker,
            _ => Self::Plain,
        }
    }
}

/// How a batch that is not refused is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProducerCheck {
    /// It is appended.
    Append,
    /// It was appended before, here.
    Duplicate(BatchMetadata),
    /// It is a marker of a transaction that has ended in this partition: nothing is to be written.
    AlreadyEnded,
}

/// Why a producer's batch or marker is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProducerError {
    /// A batch is missing between the last one and this.
    #[error(
        "out of order sequence number for producer {producer_id} with epoch {epoch}: {sequence} \
         follows {}", last_sequence.map_or("nothing".to_owned(), |last| last.to_string())
    )]
    OutOfOrderSequence {
        /// The producer.
        producer_id: ProducerId,
        /// The epoch of the batch.
        epoch: ProducerEpoch,
        /// The first sequence of the batch.
        sequence: Sequence,
        /// The last sequence of the batch before.
        last_sequence: Option<Sequence>,
    },
    /// A batch with a smaller sequence is to be verified and appended first.
    #[error(
        "out of order sequence number for producer {producer_id} with epoch {epoch}: {sequence} \
         comes after {lowest}, which was sent for the same transaction and is not in the log yet"
    )]
    EarlierSequencePending {
        /// The producer.
        producer_id: ProducerId,
        /// The epoch of the batch.
        epoch: ProducerEpoch,
        /// The first sequence of the batch.
        sequence: Sequence,
        /// The smallest sequence that waits.
        lowest: Sequence,
    },
    /// A newer incarnation of the producer has written.
    #[error("epoch {epoch} of producer {producer_id} is older than the last seen epoch {current}")]
    InvalidProducerEpoch {
        /// The producer.
        producer_id: ProducerId,
        /// The epoch of the batch.
        epoch: ProducerEpoch,
        /// The newest epoch seen.
        current: ProducerEpoch,
    },
    /// A marker whose epoch is that of a transaction that is open: the marker belongs to an earlier
    /// one.
    #[error(
        "the marker with epoch {epoch} of producer {producer_id} is late: records of epoch \
         {current} follow the transaction that it ended"
    )]
    LateMarker {
        /// The producer.
        producer_id: ProducerId,
        /// The epoch of the marker.
        epoch: ProducerEpoch,
        /// The newest epoch seen.
        current: ProducerEpoch,
    },
    /// A batch outside a transaction while one of the producer is open.
    #[error("producer {producer_id} has an open transaction, a transactional write is expected")]
    InvalidTxnState {
        /// The producer.
        producer_id: ProducerId,
    },
    /// The first batch of a transaction in this partition, and the coordinator has not confirmed
    /// that the partition belongs to the transaction, or the transaction ended meanwhile.
    #[error(
        "the records of producer {producer_id} with epoch {epoch} are not part of an ongoing \
         transaction that includes this partition"
    )]
    NotVerified {
        /// The producer.
        producer_id: ProducerId,
        /// The epoch of the batch.
        epoch: ProducerEpoch,
    },
    /// A newer coordinator has ended a transaction.
    #[error("coordinator epoch {epoch} for producer {producer_id} is older than {current}")]
    TransactionCoordinatorFenced {
        /// The producer.
        producer_id: ProducerId,
        /// The epoch of the marker.
        epoch: i32,
        /// The newest epoch seen.
        current: i32,
    },
}

impl ProducerError {
    /// Kafka's code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::OutOfOrderSequence { .. } | Self::EarlierSequencePending { .. } => {
                ErrorCode::OutOfOrderSequenceNumber
            }
            Self::InvalidProducerEpoch { .. } | Self::LateMarker { .. } => {
                ErrorCode::InvalidProducerEpoch
            }
            Self::InvalidTxnState { .. } | Self::NotVerified { .. } => ErrorCode::InvalidTxnState,
            Self::TransactionCoordinatorFenced { .. } => ErrorCode::TransactionCoordinatorFenced,
        }
    }
}

/// Who appends, and what for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AppendContext<'a> {
    pub(crate) origin: AppendOrigin,
    pub(crate) txn: &'a TxnAppend,
    /// `transaction.partition.verification.enable`.
    pub(crate) requires_verification: bool,
}

impl ProducerState {
    /// Whether a batch may be appended by the leader. Batches without a producer id always may.
    ///
    /// # Errors
    /// [`ProducerError`] when it may not.
    pub(crate) fn check(
        &self,
        header: &BatchHeader,
        marker: Option<&EndTxnMarker>,
        context: &AppendContext<'_>,
    ) -> Result<ProducerCheck, ProducerError> {
        let (Some(producer_id), Some(epoch)) = (header.producer_id, header.producer_epoch) else {
            return Ok(ProducerCheck::Append);
        };
        let entry = self.producers.get(&producer_id);
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
            // A producer that is not known, its state expired or deleted, may begin anywhere.
            None => true,
            Some(current) if current != epoch => sequence == Sequence(0),
            // Of this epoch only a marker was seen: it begins at 0.
            Some(_) => match last_sequence {
                None => sequence == Sequence(0),
                Some(last) => sequence == last.plus(1),
            },
        };
        if in_order { Ok(()) } else { out_of_order }
    }
}

impl ProducerEntry {
    /// The sequence of its last record.
    fn last_sequence(&self) -> Option<Sequence> {
        self.batches.back()?.last_sequence
    }

    /// Whether a transaction of this epoch is open. One of another epoch may have ended elsewhere.
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

    /// A marker of a producer that is known. `bumped`: its epoch is above that of the records.
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
        // Without the bump a marker of a newer coordinator is written once more: from then on the
        // log refuses what an older one still sends, which might end a later transaction.
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
