//! The state that is kept for a transactional id.

use dohle_model::{ProducerEpoch, ProducerId, Timestamp};

use crate::ids::ProducerIdAndEpoch;
use crate::partition_set::PartitionSet;
use crate::state::{TransactionState, TransactionVersion};

/// The highest epoch. It is never given to a producer, so that the coordinator can always fence.
pub(crate) const EPOCH_MAX: ProducerEpoch = ProducerEpoch(i16::MAX);

/// The state of a transactional id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionMetadata {
    /// The producer's id.
    pub producer_id: ProducerId,
    /// The producer's id before the last change of the state; equal to `producer_id` unless that
    /// change replaced the id.
    pub previous_producer_id: Option<ProducerId>,
    /// The id that the producer gets when the transaction is complete, because the epochs of
    /// `producer_id` are exhausted. Only while the transaction is prepared.
    pub next_producer_id: Option<ProducerId>,
    /// The producer's epoch.
    pub producer_epoch: ProducerEpoch,
    /// The epoch before the last raise, if the producer that has it may continue (KIP-360). Not
    /// stored in records, so `None` after a load.
    pub last_producer_epoch: Option<ProducerEpoch>,
    /// `transaction.timeout.ms` of the producer; `None` for two-phase commit, which has no timeout
    /// (KIP-939).
    pub timeout_ms: Option<i32>,
    /// The state.
    pub state: TransactionState,
    /// The partitions of the transaction.
    pub partitions: PartitionSet,
    /// When the transaction began; `None` before the first one.
    pub started: Option<Timestamp>,
    /// When the state changed last.
    pub updated: Timestamp,
    /// The version of the protocol that the client used for the last change.
    pub client_version: TransactionVersion,
}

impl TransactionMetadata {
    /// Returns the producer's id and epoch.
    #[must_use]
    pub fn producer(&self) -> ProducerIdAndEpoch {
        ProducerIdAndEpoch {
            id: self.producer_id,
            epoch: self.producer_epoch,
        }
    }

    /// Returns whether the producer's next epoch may not be given to a producer.
    #[must_use]
    pub fn is_epoch_exhausted(&self) -> bool {
        is_exhausted(self.producer_epoch)
    }
}

/// Returns whether no further epoch may be given to a producer after this one.
pub(crate) fn is_exhausted(epoch: ProducerEpoch) -> bool {
    epoch.0 >= EPOCH_MAX.0 - 1
}
