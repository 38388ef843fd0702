//! InitProducerId with a transactional id (KIP-98, KIP-360, KIP-939).

use dohle_model::{ErrorCode, ProducerEpoch, ProducerId};

use super::end::{Abort, Fenced};
use super::{Step, TransactionMachine, check_id, next, write};
use crate::ids::{ProducerIdAndEpoch, TransactionalId};
use crate::metadata::{EPOCH_MAX, TransactionMetadata, is_exhausted};
use crate::partition_set::PartitionSet;
use crate::requests::{InitProducerId, PlannedReply};
use crate::state::{TransactionState, TransactionVersion};

type Reply = PlannedReply<ProducerIdAndEpoch>;

impl TransactionMachine {
    /// Gives a producer its id and the next epoch, which fences the producers before it. An open
    /// transaction is aborted first: the client gets CONCURRENT_TRANSACTIONS and retries.
    ///
    /// A producer that sends its present epoch continues after an error (KIP-360). When the epochs
    /// are exhausted it gets a new id.
    pub(crate) fn init_producer_id(
        &mut self,
        request: &InitProducerId<'_>,
        step: &mut Step<'_>,
    ) -> Reply {
        let timeout_ms = match timeout(request, step) {
            Ok(timeout_ms) => timeout_ms,
            Err(code) => return PlannedReply::refuse(code),
        };
        let Some((id, metadata)) = self.read(request.transactional_id, step) else {
            let Some(fresh) = request.fresh else {
                return PlannedReply::NeedsProducerId;
            };
            let id = TransactionalId::new(request.transactional_id);
            let metadata = created(fresh, timeout_ms, step);
            let producer = metadata.producer();
            write(&id, metadata, step);
            return PlannedReply::Reply(Ok(producer));
        };
        // Id and epoch change when a prepared transaction is complete.
        if let Some(expected) = request.expected
            && !metadata.state.is_prepared()
            && !may_continue(metadata, expected)
        {
            return PlannedReply::refuse(ErrorCode::ProducerFenced);
        }
        match metadata.state {
            TransactionState::Empty
            | TransactionState::CompleteCommit
            | TransactionState::CompleteAbort => {
                let expected = request.expected.map(|producer| producer.epoch);
                let initialized = match initialized(metadata, expected, request.fresh) {
                    Initialized::Next(producer, last) => (producer, last),
                    Initialized::NeedsProducerId => return PlannedReply::NeedsProducerId,
                    Initialized::Fenced => {
                        return PlannedReply::refuse(ErrorCode::ProducerFenced);
                    }
                };
                let (producer, last_producer_epoch) = initialized;
                assert!(
                    producer.epoch < EPOCH_MAX,
                    "{id}: producer {} gets the epoch {} that fences it",
                    producer.id,
                    producer.epoch
                );
                assert!(
                    producer.id != metadata.producer_id
                        || producer.epoch >= metadata.producer_epoch,
                    "{id}: producer {} gets the epoch {} after {}",
                    producer.id,
                    producer.epoch,
                    metadata.producer_epoch
                );
                let changed = TransactionMetadata {
                    producer_id: producer.id,
                    producer_epoch: producer.epoch,
                    last_producer_epoch,
                    timeout_ms,
                    partitions: PartitionSet::default(),
                    started: None,
                    ..next(metadata, TransactionState::Empty, step.wall)
                };
                write(&id.clone(), changed, step);
                PlannedReply::Reply(Ok(producer))
            }
            TransactionState::Ongoing => match Abort::fence(metadata, request.fresh, step) {
                Fenced::Prepared(prepared) => {
                    write(&id.clone(), prepared, step);
                    step.signal();
                    PlannedReply::refuse(ErrorCode::ConcurrentTransactions)
                }
                Fenced::NeedsProducerId => PlannedReply::NeedsProducerId,
            },
            // `Dead` and `PrepareEpochFence` are never stored. A log with one of them is damaged,
            // and the id is treated like one that is being completed until an operator intervenes.
            TransactionState::PrepareCommit
            | TransactionState::PrepareAbort
            | TransactionState::Dead
            | TransactionState::PrepareEpochFence => {
                PlannedReply::refuse(ErrorCode::ConcurrentTransactions)
            }
        }
    }
}

/// Returns the timeout for a producer's transactions; `None` for two-phase commit. The checks are
/// in Kafka's order.
fn timeout(request: &InitProducerId<'_>, step: &Step<'_>) -> Result<Option<i32>, ErrorCode> {
    check_id(request.transactional_id)?;
    if request.two_phase_commit && !step.config.two_phase_commit_enable {
        return Err(ErrorCode::TransactionalIdAuthorizationFailed);
    }
    if request.keep_prepared {
        return Err(ErrorCode::UnsupportedVersion);
    }
    if request.two_phase_commit {
        return Ok(None);
    }
    let millis = u128::try_from(request.timeout_ms).unwrap_or(0);
    let allowed = 1..=step.config.transaction_max_timeout.as_millis();
    if !allowed.contains(&millis) {
        return Err(ErrorCode::InvalidTransactionTimeout);
    }
    Ok(Some(request.timeout_ms))
}

/// Returns the state of a new id.
fn created(fresh: ProducerId, timeout_ms: Option<i32>, step: &Step<'_>) -> TransactionMetadata {
    TransactionMetadata {
        producer_id: fresh,
        previous_producer_id: Some(fresh),
        next_producer_id: None,
        producer_epoch: ProducerEpoch(0),
        last_producer_epoch: None,
        timeout_ms,
        state: TransactionState::Empty,
        partitions: PartitionSet::default(),
        started: None,
        updated: step.wall,
        client_version: TransactionVersion::V0,
    }
}

/// Returns whether the id of a producer that sends its id and epoch is not fenced. A producer whose
/// last epoch was exhausted, and which has not received the response with the new id, sends the
/// previous id.
fn may_continue(metadata: &TransactionMetadata, expected: ProducerIdAndEpoch) -> bool {
    expected.id == metadata.producer_id
        || (Some(expected.id) == metadata.previous_producer_id && is_exhausted(expected.epoch))
}

enum Initialized {
    /// The producer, and the previous epoch that may continue.
    Next(ProducerIdAndEpoch, Option<ProducerEpoch>),
    NeedsProducerId,
    Fenced,
}

fn initialized(
    metadata: &TransactionMetadata,
    expected: Option<ProducerEpoch>,
    fresh: Option<ProducerId>,
) -> Initialized {
    let current = metadata.producer_epoch;
    if expected.is_none_or(|expected| expected == current) {
        let last = expected.map(|_| current);
        if !metadata.is_epoch_exhausted() {
            let producer = ProducerIdAndEpoch {
                id: metadata.producer_id,
                epoch: ProducerEpoch(current.0 + 1),
            };
            return Initialized::Next(producer, last);
        }
        return fresh.map_or(Initialized::NeedsProducerId, |id| {
            let epoch = ProducerEpoch(0);
            Initialized::Next(ProducerIdAndEpoch { id, epoch }, last)
        });
    }
    // The producer did not receive the response to the request that raised the epoch.
    if expected == metadata.last_producer_epoch && current < EPOCH_MAX {
        return Initialized::Next(metadata.producer(), metadata.last_producer_epoch);
    }
    Initialized::Fenced
}
