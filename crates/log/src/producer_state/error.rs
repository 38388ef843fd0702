//! The reasons for which the leader rejects a batch of a producer, with Kafka's error codes.

use dohle_model::{ErrorCode, ProducerEpoch, ProducerId, Sequence};

/// The reason why a producer's batch or marker is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProducerError {
    /// A batch is missing between the last one and this one.
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
    /// A batch with a smaller sequence must be verified and appended first.
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
        /// The smallest sequence that is being verified.
        lowest: Sequence,
    },
    /// A newer instance of the producer has written to the log.
    #[error("epoch {epoch} of producer {producer_id} is older than the last seen epoch {current}")]
    InvalidProducerEpoch {
        /// The producer.
        producer_id: ProducerId,
        /// The epoch of the batch.
        epoch: ProducerEpoch,
        /// The newest epoch seen.
        current: ProducerEpoch,
    },
    /// A marker has the epoch of an open transaction, but belongs to an earlier one.
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
    /// A batch is outside a transaction although the producer has an open one.
    #[error("producer {producer_id} has an open transaction, a transactional write is expected")]
    InvalidTxnState {
        /// The producer.
        producer_id: ProducerId,
    },
    /// The first batch of a transaction in this partition, when the coordinator has not confirmed
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
    /// A marker of a coordinator that is older than one that has already ended a transaction.
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
    /// Returns Kafka's error code.
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
