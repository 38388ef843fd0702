//! Completes ended transactions: their markers, and the record that follows the last marker.

use std::collections::BTreeMap;
use std::time::Duration;

use dohle_model::{NodeId, Timestamp};

use super::{Step, TransactionMachine, next, write};
use crate::markers::{BrokerMarkers, Marker, MarkerOutcome, marker};
use crate::metadata::TransactionMetadata;
use crate::partition_set::PartitionSet;
use crate::requests::Outgoing;
use crate::state::TransactionState;
use crate::timer::Timer;

/// The number of partitions whose markers are taken in one step.
const TAKEN_MAX: usize = 20_000;
/// The most transactions that one step completes.
const COMPLETED_MAX: usize = 500;
/// The time after which markers that could not be written are due again.
const RETRY_BACKOFF: Duration = Duration::from_millis(100);

impl TransactionMachine {
    /// Takes markers that are due, a limited number in each step. The others are taken later.
    pub(crate) fn take_outgoing(&mut self, step: &mut Step<'_>) -> Outgoing {
        // Markers are sent once the decisions are committed.
        step.read_up_to(self.end);
        let mut brokers: BTreeMap<NodeId, Vec<Marker>> = BTreeMap::new();
        let mut left = TAKEN_MAX;
        while left > 0
            && let Some(id) = self.due.pop_first()
        {
            let (Some(transaction), Some(ending)) =
                (self.transactions.get(&id), self.ending.get_mut(&id))
            else {
                continue;
            };
            for (broker, partitions) in ending.take(step.image, left) {
                assert!(
                    partitions.len() <= left,
                    "{id}: {} markers were taken, {left} were asked for",
                    partitions.len()
                );
                left -= partitions.len();
                let marker = marker(&id, &transaction.metadata, partitions);
                brokers.entry(broker).or_default().push(marker);
            }
            if ending.is_due() || ending.is_done() {
                self.due_later.insert(id);
            }
        }
        self.set_retry_timer(step);
        let markers = brokers.into_iter();
        let markers = markers.map(|(broker, markers)| BrokerMarkers { broker, markers });
        Outgoing {
            markers: markers.collect(),
            timed_out: std::mem::take(&mut self.timed_out).into_iter().collect(),
            is_partial: !self.due.is_empty(),
        }
    }

    /// Completes the ended transactions whose partitions all have their marker or were deleted.
    pub(crate) fn complete_ended(&mut self, step: &mut Step<'_>) {
        let mut done = Vec::new();
        for id in &self.due {
            let (Some(transaction), Some(ending)) =
                (self.transactions.get(id), self.ending.get_mut(id))
            else {
                continue;
            };
            ending.drop_deleted(step.image);
            if ending.is_done() {
                write(id, completed(&transaction.metadata, step.wall), step);
                done.push(id.clone());
            }
            if done.len() == COMPLETED_MAX {
                break;
            }
        }
        assert!(
            done.len() <= COMPLETED_MAX,
            "one step completes {} transactions",
            done.len()
        );
        for id in done {
            // The completion is not due any more. If its records are not appended, it becomes due
            // again.
            self.due.remove(&id);
            self.due_later.insert(id);
        }
        self.set_retry_timer(step);
    }

    /// Handles the outcomes of markers. Ignores outcomes for a transaction that is complete, or
    /// that belong to another transaction of the same id.
    pub(crate) fn markers_answered(&mut self, outcomes: &[MarkerOutcome], step: &mut Step<'_>) {
        for outcome in outcomes {
            let id = &outcome.transactional_id;
            let (Some(transaction), Some(ending)) =
                (self.transactions.get(id), self.ending.get_mut(id))
            else {
                continue;
            };
            if transaction.metadata.producer() != outcome.producer {
                continue;
            }
            let was_fenced = ending.fenced;
            for (partition, result) in &outcome.partitions {
                ending.answered(partition, *result);
            }
            if ending.fenced && !was_fenced {
                tracing::warn!(
                    transactional_id = %id,
                    producer_id = %outcome.producer.id,
                    producer_epoch = %outcome.producer.epoch,
                    "a partition refused the marker of a transaction because it has a newer \
                     producer epoch or coordinator: this broker sends no more of its markers"
                );
            }
            if ending.is_done() {
                write(id, completed(&transaction.metadata, step.wall), step);
            }
            if ending.is_due() || ending.is_done() {
                // If the record is not appended, the completion is due again when the timer
                // expires.
                self.due_later.insert(id.clone());
            }
        }
        self.set_retry_timer(step);
    }

    /// Handles the expired timer of the markers.
    pub(crate) fn retry_markers(&mut self, step: &mut Step<'_>) {
        self.due.append(&mut self.due_later);
        self.due.retain(|id| self.ending.contains_key(id));
        if !self.due.is_empty() {
            step.signal();
        }
    }

    fn set_retry_timer(&mut self, step: &Step<'_>) {
        if !self.due_later.is_empty() {
            let deadline = step.now + RETRY_BACKOFF;
            self.timers.set_if_absent(Timer::Markers, deadline);
        }
    }
}

/// Returns the complete state that follows a prepared one.
pub(super) fn completed(prepared: &TransactionMetadata, wall: Timestamp) -> TransactionMetadata {
    assert!(
        prepared.state.is_prepared(),
        "a transaction of producer {} in the state {} is completed",
        prepared.producer_id,
        prepared.state
    );
    let state = match prepared.state {
        TransactionState::PrepareCommit => TransactionState::CompleteCommit,
        _ => TransactionState::CompleteAbort,
    };
    let mut complete = TransactionMetadata {
        partitions: PartitionSet::default(),
        next_producer_id: None,
        ..next(prepared, state, wall)
    };
    if prepared.client_version.bumps_epochs()
        && let Some(id) = prepared.next_producer_id
    {
        complete.producer_id = id;
        complete.producer_epoch = dohle_model::ProducerEpoch(0);
    }
    complete
}

#[cfg(test)]
mod tests {
    use dohle_model::{ProducerEpoch, ProducerId};

    use super::*;
    use crate::state::TransactionVersion;

    #[test]
    #[should_panic(expected = "a transaction of producer 7 in the state Ongoing is completed")]
    fn a_completion_of_an_open_transaction_is_noticed() {
        let open = TransactionMetadata {
            producer_id: ProducerId(7),
            previous_producer_id: Some(ProducerId(7)),
            next_producer_id: None,
            producer_epoch: ProducerEpoch(0),
            last_producer_epoch: None,
            timeout_ms: Some(1_000),
            state: TransactionState::Ongoing,
            partitions: PartitionSet::default(),
            started: Some(Timestamp(1)),
            updated: Timestamp(1),
            client_version: TransactionVersion::V2,
        };
        let _ = completed(&open, Timestamp(2));
    }
}
