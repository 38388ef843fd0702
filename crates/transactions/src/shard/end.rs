//! Ends transactions: EndTxn, and aborts by the coordinator, which fence the producer.
//!
//! Version 2 of the protocol (KIP-890) raises the epoch with each end, so a request that repeats an
//! earlier one has the epoch below the present one:
//!
//! | State          | abort, repeated | abort          | commit, repeated | commit            |
//! |----------------|-----------------|----------------|------------------|-------------------|
//! | Ongoing        | PRODUCER_FENCED | ends           | PRODUCER_FENCED  | ends              |
//! | Empty          | PRODUCER_FENCED | raises         | PRODUCER_FENCED  | INVALID_TXN_STATE |
//! | CompleteAbort  | succeeds        | raises         | INVALID_TXN_STATE | INVALID_TXN_STATE |
//! | CompleteCommit | INVALID_TXN_STATE | raises       | succeeds         | INVALID_TXN_STATE |
//!
//! Before version 2 a repeated request has the present epoch, and succeeds when the transaction
//! ended in the same way.
//!
//! While the markers of a transaction are being written, requests are refused with the retriable
//! CONCURRENT_TRANSACTIONS: the producer already has its next epoch, and may end the next
//! transaction before this one is complete.

use dohle_model::{ErrorCode, ProducerEpoch, ProducerId};

use super::complete::completed;
use super::{Step, TransactionMachine, check_id, next, time_left, write};
use crate::ids::{ProducerIdAndEpoch, TransactionalId};
use crate::metadata::{EPOCH_MAX, TransactionMetadata};
use crate::requests::{EndTxn, PlannedReply};
use crate::state::{TransactionState, TransactionVersion};
use crate::timer::Timer;

type Reply = PlannedReply<Option<ProducerIdAndEpoch>>;

/// The effect of EndTxn on a transaction.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    /// The transaction ends.
    Now,
    /// There is no transaction, and the epoch is raised as if an empty one were aborted (version
    /// 2).
    Empty,
    /// An earlier request has ended the transaction in the same way.
    Before,
}

impl TransactionMachine {
    /// Commits or aborts the transaction of a producer. The reply is sent once the decision is
    /// committed; the markers are written afterwards.
    pub(crate) fn end_txn(&mut self, request: &EndTxn<'_>, step: &mut Step<'_>) -> Reply {
        if let Err(code) = check_id(request.transactional_id) {
            return PlannedReply::refuse(code);
        }
        let Some((id, metadata)) = self.read(request.transactional_id, step) else {
            return PlannedReply::refuse(ErrorCode::InvalidProducerIdMapping);
        };
        let bumps = request.client_version.bumps_epochs();
        let ended = match bumps {
            true => ended_v2(metadata, request),
            false => ended_v1(metadata, request),
        };
        match ended {
            Err(code) => PlannedReply::refuse(code),
            Ok(Ended::Before) => PlannedReply::Reply(Ok(bumps.then(|| metadata.producer()))),
            Ok(ended) => {
                let end = TransactionEnd {
                    commit: request.commit,
                    version: request.client_version,
                    fresh: request.fresh,
                };
                let prepared = match end.prepared(metadata, step) {
                    Ok(Some(prepared)) => prepared,
                    Ok(None) => return PlannedReply::NeedsProducerId,
                    Err(code) => return PlannedReply::refuse(code),
                };
                let prepared = match ended {
                    Ended::Empty => TransactionMetadata {
                        started: Some(step.wall),
                        ..prepared
                    },
                    Ended::Now | Ended::Before => prepared,
                };
                let id = id.clone();
                let complete = completed(&prepared, step.wall);
                let producer = complete.producer();
                let has_markers = !prepared.partitions.is_empty();
                write(&id, prepared, step);
                match has_markers {
                    true => step.signal(),
                    false => write(&id, complete, step),
                }
                PlannedReply::Reply(Ok(bumps.then_some(producer)))
            }
        }
    }

    /// Aborts a transaction whose timeout has passed. Does nothing when the transaction has ended
    /// meanwhile, and sets the timer again when a newer one is open.
    pub(crate) fn abort_timed_out(
        &mut self,
        transactional_id: &TransactionalId,
        fresh: Option<ProducerId>,
        step: &mut Step<'_>,
    ) {
        self.timed_out.remove(transactional_id);
        let Some(metadata) = self.get(transactional_id.as_str()) else {
            return;
        };
        let Some(left) = time_left(metadata, step.wall) else {
            return;
        };
        let timer = Timer::Timeout(transactional_id.clone());
        if !left.is_zero() {
            self.timers.set(timer, step.now + left);
            return;
        }
        match Abort::fence(metadata, fresh, step) {
            Fenced::Prepared(prepared) => {
                tracing::info!(
                    %transactional_id,
                    producer_id = %prepared.producer_id,
                    producer_epoch = %prepared.producer_epoch,
                    timeout_ms = prepared.timeout_ms,
                    "aborting a transaction that has timed out"
                );
                write(transactional_id, prepared, step);
            }
            Fenced::NeedsProducerId => {
                self.timed_out.insert(transactional_id.clone());
                // Set in case no id is available.
                self.timers.set(timer, step.now + ABORT_AGAIN);
            }
        }
        step.signal();
    }
}

/// The time after which an abort that needs a new producer id is tried again.
const ABORT_AGAIN: std::time::Duration = std::time::Duration::from_secs(1);

fn ended_v1(metadata: &TransactionMetadata, request: &EndTxn<'_>) -> Result<Ended, ErrorCode> {
    if metadata.producer_id != request.producer.id {
        return Err(ErrorCode::InvalidProducerIdMapping);
    }
    if metadata.producer_epoch != request.producer.epoch {
        return Err(ErrorCode::ProducerFenced);
    }
    match metadata.state {
        TransactionState::Ongoing => Ok(Ended::Now),
        TransactionState::CompleteCommit if request.commit => Ok(Ended::Before),
        TransactionState::CompleteAbort if !request.commit => Ok(Ended::Before),
        state if state.is_prepared() => Err(ErrorCode::ConcurrentTransactions),
        state => refuse(state, request),
    }
}

fn ended_v2(metadata: &TransactionMetadata, request: &EndTxn<'_>) -> Result<Ended, ErrorCode> {
    // Before the checks of id and epoch: the producer may have a new id already, while its
    // last transaction is not complete.
    if metadata.state.is_prepared() {
        return Err(ErrorCode::ConcurrentTransactions);
    }
    let (current, producer) = (metadata.producer_epoch, request.producer);
    let is_current = producer.epoch == current;
    // The repeated request exhausted the epochs of the previous id.
    let after_rotation = metadata.previous_producer_id == Some(producer.id)
        && producer.epoch == ProducerEpoch(EPOCH_MAX.0 - 1)
        && current == ProducerEpoch(0);
    let is_repeated = after_rotation || producer.epoch.0.checked_add(1) == Some(current.0);
    if metadata.producer_id != producer.id && !after_rotation {
        return Err(ErrorCode::InvalidProducerIdMapping);
    }
    let is_valid = match metadata.state {
        TransactionState::Empty | TransactionState::Ongoing => is_current,
        TransactionState::CompleteCommit | TransactionState::CompleteAbort => {
            is_repeated || is_current
        }
        TransactionState::PrepareCommit
        | TransactionState::PrepareAbort
        | TransactionState::Dead
        | TransactionState::PrepareEpochFence => false,
    };
    if !is_valid {
        return Err(ErrorCode::ProducerFenced);
    }
    match (metadata.state, request.commit) {
        (TransactionState::Ongoing, _) => Ok(Ended::Now),
        (TransactionState::Empty, false) => Ok(Ended::Empty),
        (TransactionState::CompleteCommit, true) | (TransactionState::CompleteAbort, false)
            if is_repeated =>
        {
            Ok(Ended::Before)
        }
        (TransactionState::CompleteCommit | TransactionState::CompleteAbort, false)
            if !is_repeated =>
        {
            Ok(Ended::Empty)
        }
        (state, _) => refuse(state, request),
    }
}

/// Refuses an end that does not fit the state.
fn refuse(state: TransactionState, request: &EndTxn<'_>) -> Result<Ended, ErrorCode> {
    let transactional_id = request.transactional_id;
    let commit = request.commit;
    tracing::debug!(
        %transactional_id,
        %state,
        commit,
        "refused to end a transaction in this state"
    );
    Err(ErrorCode::InvalidTxnState)
}

/// The end of a transaction: how, and for whom.
struct TransactionEnd {
    commit: bool,
    version: TransactionVersion,
    fresh: Option<ProducerId>,
}

impl TransactionEnd {
    /// Returns the prepared transaction; `None` when it needs a fresh id.
    fn prepared(
        &self,
        metadata: &TransactionMetadata,
        step: &Step<'_>,
    ) -> Result<Option<TransactionMetadata>, ErrorCode> {
        assert!(
            !metadata.state.is_prepared(),
            "a transaction of producer {} in the state {} ends again",
            metadata.producer_id,
            metadata.state
        );
        let state = match self.commit {
            true => TransactionState::PrepareCommit,
            false => TransactionState::PrepareAbort,
        };
        let mut prepared = next(metadata, state, step.wall);
        prepared.client_version = self.version;
        if !self.version.bumps_epochs() {
            prepared.client_version = TransactionVersion::V0;
            return Ok(Some(prepared));
        }
        if metadata.is_epoch_exhausted() {
            let Some(fresh) = self.fresh else {
                return Ok(None);
            };
            prepared.next_producer_id = Some(fresh);
        }
        prepared.last_producer_epoch = Some(metadata.producer_epoch);
        match metadata.producer_epoch.0.checked_add(1) {
            Some(epoch) => prepared.producer_epoch = ProducerEpoch(epoch),
            // No producer has this epoch, so this is an abort by the coordinator.
            None if !self.commit => {}
            None => return Err(ErrorCode::ProducerFenced),
        }
        Ok(Some(prepared))
    }
}

/// An abort by the coordinator.
pub(super) struct Abort;

/// The result of [`Abort::fence`].
pub(super) enum Fenced {
    /// The prepared transaction.
    Prepared(TransactionMetadata),
    /// The epochs are exhausted, so a new producer id is needed.
    NeedsProducerId,
}

impl Abort {
    /// Aborts an open transaction with an epoch that its producer does not have.
    pub(super) fn fence(
        metadata: &TransactionMetadata,
        fresh: Option<ProducerId>,
        step: &Step<'_>,
    ) -> Fenced {
        assert_eq!(
            metadata.state,
            TransactionState::Ongoing,
            "a transaction of producer {} that is not open is aborted",
            metadata.producer_id
        );
        let end = TransactionEnd {
            commit: false,
            version: TransactionVersion::of(step.image),
            fresh,
        };
        let Ok(Some(mut prepared)) = end.prepared(metadata, step) else {
            return Fenced::NeedsProducerId;
        };
        if !end.version.bumps_epochs() {
            let epoch = metadata.producer_epoch.0;
            prepared.producer_epoch = ProducerEpoch(epoch.saturating_add(1));
            prepared.last_producer_epoch = None;
        }
        let (before, after) = (metadata.producer_epoch, prepared.producer_epoch);
        assert!(
            after > before || before == EPOCH_MAX,
            "producer {} is fenced with epoch {after}, it has {before}",
            metadata.producer_id
        );
        Fenced::Prepared(prepared)
    }
}
