//! The state of a log's producers: their last batches, for idempotence, and the start of their
//! transactions.
//!
//! `check` is pure and decides before an append; `update` applies the append. `verification` tracks
//! the transactions that are being verified with the coordinator. `snapshot` is the file format.
//!
//! Source: Kafka's `ProducerStateManager.java`, `ProducerAppendInfo.java`, KIP-98, KIP-360,
//! KIP-890, KIP-1228.

mod check;
mod error;
pub mod snapshot;
mod verification;

pub use check::TxnAppend;
pub(crate) use check::{AppendContext, ProducerCheck};
pub use error::ProducerError;
pub use verification::{TxnBegin, VerificationGuard};

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use dohle_model::{Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

use crate::batch::{Batch, BatchHeader, ControlRecord, EndTxnMarker};
use crate::index::AbortedTxn;
use verification::Verifications;

/// The number of batches that are kept for each producer, which is the most that one may have in
/// flight.
pub const BATCHES_RETAINED: usize = 5;

/// The metadata of a batch that a producer wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchMetadata {
    /// The sequence of the last record; `None` for batches of a coordinator, which have no
    /// sequence.
    pub last_sequence: Option<Sequence>,
    /// The offset of the last record.
    pub last_offset: Offset,
    /// The last offset, relative to the first.
    pub offset_delta: i32,
    /// The batch's largest timestamp.
    pub timestamp: Option<Timestamp>,
}

impl BatchMetadata {
    /// Returns the offset of the first record.
    #[must_use]
    pub fn first_offset(&self) -> Offset {
        Offset(self.last_offset.0 - i64::from(self.offset_delta))
    }

    /// Returns the sequence of the first record.
    #[must_use]
    pub fn first_sequence(&self) -> Option<Sequence> {
        let first = i64::from(self.last_sequence?.0) - i64::from(self.offset_delta);
        Some(Sequence(first.rem_euclid(i64::from(i32::MAX) + 1) as i32))
    }
}

/// The state of one producer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProducerEntry {
    /// The newest epoch of the producer; `None` while its batches have none.
    pub epoch: Option<ProducerEpoch>,
    /// The newest epoch of a coordinator that ended a transaction of the producer.
    pub coordinator_epoch: Option<i32>,
    /// The timestamp of the producer's last append.
    pub last_timestamp: Option<Timestamp>,
    /// The first offset of the producer's open transaction.
    pub current_txn_first_offset: Option<Offset>,
    /// The last batches of the producer's epoch, oldest first, at most [`BATCHES_RETAINED`].
    pub batches: VecDeque<BatchMetadata>,
}

/// A transaction that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct CompletedTxn {
    first_offset: Offset,
    /// The offset of its marker.
    last_offset: Offset,
}

/// The state of all producers of one log.
///
/// Invariant: `ongoing_txns` has an entry for exactly the producers with a
/// `current_txn_first_offset`; `unreplicated_starts` has the first offsets of `unreplicated_txns`,
/// which are sorted by their last offsets; the state is the result of the log's records below
/// `end_offset`.
#[derive(Debug, Clone, Default)]
pub struct ProducerState {
    producers: HashMap<ProducerId, ProducerEntry>,
    ongoing_txns: BTreeMap<Offset, ProducerId>,
    /// The ended transactions whose markers are not below the high watermark yet, in the order of
    /// their markers.
    unreplicated_txns: VecDeque<CompletedTxn>,
    /// The first offsets of `unreplicated_txns`.
    unreplicated_starts: BTreeSet<Offset>,
    verifications: Verifications,
    end_offset: Offset,
}

impl ProducerState {
    /// Creates the state without producers, for a log that begins at `end_offset`.
    #[must_use]
    pub fn new(end_offset: Offset) -> Self {
        Self {
            end_offset,
            ..Self::default()
        }
    }

    /// Returns the offset below which the state covers the log.
    #[must_use]
    pub fn end_offset(&self) -> Offset {
        self.end_offset
    }

    /// Returns the state of a producer.
    #[must_use]
    pub fn producer(&self, id: ProducerId) -> Option<&ProducerEntry> {
        self.producers.get(&id)
    }

    /// Iterates over all producers.
    pub fn producers(&self) -> impl Iterator<Item = (ProducerId, &ProducerEntry)> {
        self.producers.iter().map(|(id, entry)| (*id, entry))
    }

    /// Returns whether there are no producers.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.producers.is_empty() && self.unreplicated_txns.is_empty()
    }

    /// Applies a batch that was read from a log, like [`ProducerState::update`].
    pub(crate) fn take_batch(&mut self, batch: &Batch<'_>) -> Option<AbortedTxn> {
        let is_control = batch.header.attributes.is_control();
        let marker = is_control.then(|| ControlRecord::of(batch)).flatten();
        match marker {
            Some(ControlRecord::EndTxn(marker)) => self.update(&batch.header, Some(&marker)),
            _ => self.update(&batch.header, None),
        }
    }

    /// Applies a batch that was appended. Returns the aborted transaction that the batch ends, if
    /// it ends one, for the transaction index.
    pub fn update(
        &mut self,
        header: &BatchHeader,
        marker: Option<&EndTxnMarker>,
    ) -> Option<AbortedTxn> {
        if let Some(id) = header.producer_id
            && header.attributes.is_transactional()
        {
            // The transaction has either begun here or ended.
            self.verifications.end(id);
        }
        let aborted = match (header.producer_id, header.producer_epoch) {
            (Some(id), Some(epoch)) if header.attributes.is_control() => {
                marker.and_then(|marker| self.end_txn(id, epoch, header.base_offset, marker))
            }
            (Some(id), epoch) if !header.attributes.is_control() => {
                self.append_data(id, epoch, header);
                None
            }
            _ => None,
        };
        self.end_offset = header.next_offset();
        aborted
    }

    fn append_data(&mut self, id: ProducerId, epoch: Option<ProducerEpoch>, header: &BatchHeader) {
        let entry = self.producers.entry(id).or_default();
        entry.adopt_epoch(epoch);
        if entry.batches.len() == BATCHES_RETAINED {
            entry.batches.pop_front();
        }
        entry.batches.push_back(BatchMetadata {
            last_sequence: header.last_sequence(),
            last_offset: header.last_offset(),
            offset_delta: header.last_offset_delta,
            timestamp: header.max_timestamp,
        });
        entry.last_timestamp = header.max_timestamp;
        if header.attributes.is_transactional() && entry.current_txn_first_offset.is_none() {
            entry.current_txn_first_offset = Some(header.base_offset);
            self.ongoing_txns.insert(header.base_offset, id);
        }
    }

    fn end_txn(
        &mut self,
        id: ProducerId,
        epoch: ProducerEpoch,
        offset: Offset,
        marker: &EndTxnMarker,
    ) -> Option<AbortedTxn> {
        let entry = self.producers.entry(id).or_default();
        entry.adopt_epoch(Some(epoch));
        entry.coordinator_epoch = entry.coordinator_epoch.max(Some(marker.coordinator_epoch));
        entry.last_timestamp = marker.timestamp;
        let first_offset = entry.current_txn_first_offset.take()?;
        self.ongoing_txns.remove(&first_offset);
        self.unreplicated_txns.push_back(CompletedTxn {
            first_offset,
            last_offset: offset,
        });
        self.unreplicated_starts.insert(first_offset);
        if marker.committed {
            return None;
        }
        let last_stable_offset = self
            .ongoing_txns
            .keys()
            .next()
            .copied()
            .unwrap_or(offset.plus(1));
        Some(AbortedTxn {
            producer_id: id,
            first_offset,
            last_offset: offset,
            last_stable_offset,
        })
    }

    /// Returns the first offset that a reader of committed records must not reach: the start of a
    /// transaction that is open, or whose marker is not below the high watermark.
    #[must_use]
    pub fn first_unstable_offset(&self) -> Option<Offset> {
        let ongoing = self.ongoing_txns.keys().next();
        let unreplicated = self.unreplicated_starts.first();
        ongoing.into_iter().chain(unreplicated).min().copied()
    }

    /// Removes ended transactions whose marker is below the high watermark.
    pub fn on_high_watermark(&mut self, high_watermark: Offset) {
        let is_replicated = |txn: &mut CompletedTxn| txn.last_offset < high_watermark;
        while let Some(txn) = self.unreplicated_txns.pop_front_if(is_replicated) {
            self.unreplicated_starts.remove(&txn.first_offset);
        }
    }

    /// Applies the log's new start `log_start_offset`.
    pub fn on_log_start_offset(&mut self, log_start_offset: Offset) {
        self.on_high_watermark(log_start_offset);
        self.end_offset = self.end_offset.max(log_start_offset);
    }

    /// Removes producers that have been idle for `expiration` and have no open transaction, and
    /// verifications that began as long ago. Returns the number of removed producers.
    pub fn remove_expired(&mut self, now: Timestamp, expiration: Duration) -> usize {
        let before = self.producers.len();
        self.producers
            .retain(|_, entry| !entry.is_expired(now, expiration));
        self.verifications.remove_expired(now, expiration);
        before - self.producers.len()
    }

    /// Adds the state of a producer from a snapshot.
    pub(crate) fn load(&mut self, id: ProducerId, entry: ProducerEntry) {
        if let Some(offset) = entry.current_txn_first_offset {
            self.ongoing_txns.insert(offset, id);
        }
        self.producers.insert(id, entry);
    }

    /// Moves the end over a gap that compaction left, without records.
    pub(crate) fn set_end_offset(&mut self, end_offset: Offset) {
        self.end_offset = end_offset;
    }
}

impl ProducerEntry {
    fn adopt_epoch(&mut self, epoch: Option<ProducerEpoch>) {
        if self.epoch != epoch {
            self.batches.clear();
            self.epoch = epoch;
        }
    }

    fn is_expired(&self, now: Timestamp, expiration: Duration) -> bool {
        let idle = now
            .0
            .saturating_sub(Timestamp::to_wire(self.last_timestamp));
        self.current_txn_first_offset.is_none()
            && i128::from(idle) >= expiration.as_millis() as i128
    }
}
