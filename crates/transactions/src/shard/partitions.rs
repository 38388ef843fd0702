//! Adds partitions to a transaction, and verifies that partitions are in it.

use dohle_model::ErrorCode;

use super::{Step, TransactionMachine, check_id, next, time_left, write};
use crate::ids::ProducerIdAndEpoch;
use crate::metadata::TransactionMetadata;
use crate::records::batch_bytes_max;
use crate::requests::{AddPartitions, VerifyPartitions};
use crate::state::TransactionState;
use crate::timer::Timer;

impl TransactionMachine {
    /// Adds partitions; the first ones begin a transaction. Does nothing and succeeds when all of
    /// them are in the transaction.
    pub(crate) fn add_partitions(
        &mut self,
        request: &AddPartitions<'_>,
        step: &mut Step<'_>,
    ) -> Result<(), ErrorCode> {
        check_id(request.transactional_id)?;
        let found = self.read(request.transactional_id, step);
        let (id, metadata) = found.ok_or(ErrorCode::InvalidProducerIdMapping)?;
        // Before id and epoch, which change when the transaction is complete.
        if metadata.state.is_prepared() {
            return Err(ErrorCode::ConcurrentTransactions);
        }
        check_producer(metadata, request.producer)?;
        let mut added = request.partitions.iter();
        let is_ongoing = metadata.state == TransactionState::Ongoing;
        if is_ongoing && added.all(|partition| metadata.partitions.contains(partition)) {
            return Ok(());
        }
        let mut changed = next(metadata, TransactionState::Ongoing, step.wall);
        changed.client_version = request.client_version;
        if !is_ongoing {
            changed.started = Some(step.wall);
        }
        for partition in request.partitions {
            changed.partitions.insert(partition.clone());
        }
        assert!(
            changed.partitions.len() >= metadata.partitions.len(),
            "{id}: {} partitions become {}",
            metadata.partitions.len(),
            changed.partitions.len()
        );
        let id = id.clone();
        let bytes = batch_bytes_max(&id, &changed.partitions);
        let bytes_max = step.config.record_bytes_max;
        if bytes > bytes_max {
            let partitions = changed.partitions.len();
            tracing::info!(
                transactional_id = %id, partitions, bytes, bytes_max,
                "refused to add partitions to a transaction: its record would be too large for \
                 max.message.bytes of __transaction_state"
            );
            return Err(ErrorCode::UnknownServerError);
        }
        if !is_ongoing && let Some(left) = time_left(&changed, step.wall) {
            // If the record is not appended, the timer finds no open transaction.
            self.timers.set(Timer::Timeout(id.clone()), step.now + left);
        }
        write(&id, changed, step);
        Ok(())
    }

    /// Returns which partitions are in the transaction: TRANSACTION_ABORTABLE for those that are
    /// not.
    pub(crate) fn verify_partitions(
        &mut self,
        request: &VerifyPartitions<'_>,
        step: &mut Step<'_>,
    ) -> Result<Vec<Result<(), ErrorCode>>, ErrorCode> {
        check_id(request.transactional_id)?;
        let found = self.read(request.transactional_id, step);
        let (_, metadata) = found.ok_or(ErrorCode::InvalidProducerIdMapping)?;
        check_producer(metadata, request.producer)?;
        let verify = |partition| match metadata.partitions.contains(partition) {
            true => Ok(()),
            false => Err(ErrorCode::TransactionAbortable),
        };
        Ok(request.partitions.iter().map(verify).collect())
    }
}

/// Checks that a producer may use the transaction now.
fn check_producer(
    metadata: &TransactionMetadata,
    producer: ProducerIdAndEpoch,
) -> Result<(), ErrorCode> {
    if metadata.producer_id != producer.id {
        return Err(ErrorCode::InvalidProducerIdMapping);
    }
    if metadata.producer_epoch != producer.epoch {
        return Err(ErrorCode::ProducerFenced);
    }
    match metadata.state {
        TransactionState::Empty
        | TransactionState::Ongoing
        | TransactionState::CompleteCommit
        | TransactionState::CompleteAbort => Ok(()),
        TransactionState::PrepareCommit
        | TransactionState::PrepareAbort
        | TransactionState::Dead
        | TransactionState::PrepareEpochFence => Err(ErrorCode::ConcurrentTransactions),
    }
}
