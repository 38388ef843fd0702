//! The transactions of one partition of `__transaction_state`.
//!
//! The requests are in one file for each concern: `init` (InitProducerId), `partitions` (adding and
//! verifying partitions), `end` (EndTxn, fencing, timeouts), `complete` (markers), `describe`,
//! `expire`.

mod complete;
mod describe;
mod end;
mod expire;
mod init;
mod partitions;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dohle_machine::Timers;
use dohle_model::{ErrorCode, Offset, Timestamp};

use crate::ids::TransactionalId;
use crate::markers::Ending;
use crate::metadata::TransactionMetadata;
use crate::records::{TransactionRecord, ValueVersion};
use crate::state::{TransactionState, TransactionVersion};
use crate::timer::Timer;

/// One step of the machine.
pub type Step<'a> = dohle_machine::Step<'a, TransactionMachine>;
/// The effects of a step.
pub type Effects = dohle_machine::Effects<TransactionMachine>;

/// The machine of transactions; see the crate.
#[derive(Debug, Default)]
pub struct TransactionMachine {
    transactions: BTreeMap<TransactionalId, Transaction>,
    /// The prepared transactions of `transactions`, with their partitions that have no marker yet.
    ending: BTreeMap<TransactionalId, Ending>,
    /// The ids in `ending` with markers to take, or with no markers left.
    due: BTreeSet<TransactionalId>,
    /// The ids in `ending` that become due when the timer of the markers expires.
    due_later: BTreeSet<TransactionalId>,
    /// Transactions whose timeout has passed, and whose abort needs a fresh id for the producer.
    timed_out: BTreeSet<TransactionalId>,
    pub(crate) timers: Timers<Timer>,
    /// The log end after the records that were appended.
    end: Offset,
    /// The id at which the search for expired ids continues.
    expiry: Option<TransactionalId>,
}

/// The entry of a transactional id.
#[derive(Debug)]
struct Transaction {
    metadata: TransactionMetadata,
    /// The log end after its newest record, which replies about it wait for; zero after a load.
    written: Offset,
}

impl TransactionMachine {
    /// Returns the entry of a transactional id.
    #[must_use]
    pub fn get(&self, transactional_id: &str) -> Option<&TransactionMetadata> {
        let transaction = self.transactions.get(transactional_id)?;
        Some(&transaction.metadata)
    }

    /// Returns the number of transactional ids.
    #[must_use]
    pub fn len(&self) -> usize {
        self.transactions.len()
    }

    /// Returns whether there are no transactional ids.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.transactions.is_empty()
    }

    /// Returns all transactional ids with their states.
    pub fn iter(&self) -> impl Iterator<Item = (&TransactionalId, &TransactionMetadata)> {
        let transactions = self.transactions.iter();
        transactions.map(|(id, transaction)| (id, &transaction.metadata))
    }

    pub(crate) fn replay_record(&mut self, record: TransactionRecord) {
        let TransactionRecord {
            transactional_id,
            metadata,
            ..
        } = record;
        self.ending.remove(&transactional_id);
        let Some(metadata) = metadata else {
            self.transactions.remove(&transactional_id);
            return;
        };
        if metadata.state.is_prepared() {
            let ending = Ending::of(&metadata.partitions);
            self.ending.insert(transactional_id.clone(), ending);
            self.due.insert(transactional_id.clone());
        }
        let transaction = Transaction {
            metadata,
            written: Offset::ZERO,
        };
        self.transactions.insert(transactional_id, transaction);
        assert!(
            self.ending.len() <= self.transactions.len(),
            "{} transactions end, of {} in all",
            self.ending.len(),
            self.transactions.len()
        );
    }

    pub(crate) fn set_written(&mut self, ids: &BTreeSet<TransactionalId>, end: Offset) {
        assert!(
            end >= self.end,
            "records end at {end} after some that ended at {}",
            self.end
        );
        self.end = end;
        for id in ids {
            if let Some(transaction) = self.transactions.get_mut(id) {
                transaction.written = end;
            }
        }
    }

    /// Sets the timers of open transactions, and raises the signal for ended ones, which need their
    /// markers.
    pub(crate) fn start_timers(&mut self, step: &mut Step<'_>) {
        for (id, transaction) in &self.transactions {
            if let Some(left) = time_left(&transaction.metadata, step.wall) {
                self.timers.set(Timer::Timeout(id.clone()), step.now + left);
            }
        }
        if !self.ending.is_empty() {
            step.signal();
        }
    }

    /// Returns the state of an id for a plan, and holds back the replies of its step until the
    /// state is committed.
    fn read(
        &self,
        transactional_id: &str,
        step: &mut Step<'_>,
    ) -> Option<(&TransactionalId, &TransactionMetadata)> {
        let found = self.transactions.get_key_value(transactional_id);
        let (id, transaction) = found?;
        assert!(
            transaction.written <= self.end,
            "{id}: written up to {}, all records end at {}",
            transaction.written,
            self.end
        );
        step.read_up_to(transaction.written);
        Some((id, &transaction.metadata))
    }
}

/// Returns how much time is left until an open transaction times out; `None` when it is not open or
/// has no timeout. A transaction times out once more time than its timeout has passed.
fn time_left(metadata: &TransactionMetadata, wall: Timestamp) -> Option<Duration> {
    if metadata.state != TransactionState::Ongoing {
        return None;
    }
    let timeout = i64::from(metadata.timeout_ms?);
    let started = metadata.started.unwrap_or(metadata.updated).0;
    let left = started.saturating_add(timeout).saturating_sub(wall.0);
    Some(Duration::from_millis(
        u64::try_from(left.saturating_add(1)).unwrap_or(0),
    ))
}

/// Adds a record with the new state of an id.
fn write(id: &TransactionalId, metadata: TransactionMetadata, step: &mut Step<'_>) {
    check(id, &metadata);
    let version = ValueVersion::of(TransactionVersion::of(step.image));
    step.write(TransactionRecord {
        transactional_id: id.clone(),
        metadata: Some(metadata),
        version,
    });
}

/// Checks a planned state before it is written.
fn check(id: &TransactionalId, metadata: &TransactionMetadata) {
    use TransactionState::{Dead, Ongoing, PrepareAbort, PrepareCommit, PrepareEpochFence};
    let state = metadata.state;
    assert!(
        !matches!(state, Dead | PrepareEpochFence),
        "{id}: the state {state} is never written"
    );
    assert!(
        metadata.producer_epoch.0 >= 0,
        "{id}: epoch {} is written with the state {state}",
        metadata.producer_epoch
    );
    let has_started = metadata.started.is_some();
    assert!(
        has_started || !matches!(state, Ongoing | PrepareCommit | PrepareAbort),
        "{id}: the state {state} is written without the time at which the transaction began"
    );
    let may_have = matches!(state, Ongoing | PrepareCommit | PrepareAbort);
    assert!(
        may_have || metadata.partitions.is_empty(),
        "{id}: the state {state} is written with the partitions {:?}",
        metadata.partitions
    );
    assert!(
        state.is_prepared() || metadata.next_producer_id.is_none(),
        "{id}: the state {state} is written with the next producer id {:?}",
        metadata.next_producer_id
    );
    assert!(
        metadata.next_producer_id != Some(metadata.producer_id),
        "{id}: producer {} gets its own id as its next",
        metadata.producer_id
    );
    assert!(
        metadata.previous_producer_id.is_some(),
        "{id}: the state {state} is written without the producer id before it"
    );
    assert!(
        !has_started || state != TransactionState::Empty,
        "{id}: the state {state} is written with the begin {:?} of a transaction",
        metadata.started
    );
}

/// Returns a copy of the state, from which the next state is made.
fn next(
    metadata: &TransactionMetadata,
    state: TransactionState,
    wall: Timestamp,
) -> TransactionMetadata {
    TransactionMetadata {
        previous_producer_id: Some(metadata.producer_id),
        state,
        updated: wall,
        ..metadata.clone()
    }
}

/// Refuses an empty transactional id.
fn check_id(transactional_id: &str) -> Result<(), ErrorCode> {
    match transactional_id {
        "" => Err(ErrorCode::InvalidRequest),
        _ => Ok(()),
    }
}
