//! Tracks transactions while a cleaning reads them: which records were aborted, and which markers
//! no longer have records.
//!
//! Invariant: a cleaning stays below the last stable offset, so every transaction in its range has
//! ended, and all aborted ones are known before it starts.
//!
//! Source: `CleanedTransactionMetadata` of Kafka's `LogCleaner.scala`.

use std::collections::{HashMap, HashSet, VecDeque};

use dohle_model::{Offset, ProducerId};

use crate::batch::{Batch, BatchHeader, ControlRecord};
use crate::index::AbortedTxn;

#[derive(Debug)]
struct Aborted {
    txn: AbortedTxn,
    /// Whether the log still has batches of the transaction.
    has_batches: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Transactions {
    /// The aborted transactions whose first offset is still ahead, ordered by first offset.
    aborted: VecDeque<AbortedTxn>,
    ongoing_aborted: HashMap<ProducerId, Aborted>,
    ongoing_committed: HashSet<ProducerId>,
}

/// What compaction does with a control batch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Marker {
    /// Whether no batch of the transaction is left, so that the marker may be removed once its
    /// delete horizon has passed.
    pub(crate) is_spent: bool,
    /// The aborted transaction that the transaction index must still list for readers.
    pub(crate) aborted: Option<AbortedTxn>,
}

impl Transactions {
    pub(crate) fn new(mut aborted: Vec<AbortedTxn>) -> Self {
        aborted.sort_by_key(|txn| txn.first_offset);
        Self {
            aborted: aborted.into(),
            ..Self::default()
        }
    }

    fn begin_up_to(&mut self, offset: Offset) {
        while let Some(txn) = self
            .aborted
            .front()
            .copied()
            .filter(|txn| txn.first_offset <= offset)
        {
            self.aborted.pop_front();
            self.ongoing_aborted
                .entry(txn.producer_id)
                .or_insert(Aborted {
                    txn,
                    has_batches: false,
                });
        }
    }

    /// Processes a batch of data. Returns whether its transaction was aborted.
    pub(crate) fn on_data(&mut self, header: &BatchHeader) -> bool {
        self.begin_up_to(header.last_offset());
        let Some(id) = header
            .producer_id
            .filter(|_| header.attributes.is_transactional())
        else {
            return false;
        };
        if let Some(aborted) = self.ongoing_aborted.get_mut(&id) {
            aborted.has_batches = true;
            return true;
        }
        self.ongoing_committed.insert(id);
        false
    }

    /// Processes a control batch.
    pub(crate) fn on_control(&mut self, batch: &Batch<'_>) -> Marker {
        let header = &batch.header;
        self.begin_up_to(header.last_offset());
        let kept = |is_spent| Marker {
            is_spent,
            aborted: None,
        };
        if header.record_count == 0 {
            // An earlier cleaning has removed the record.
            return kept(true);
        }
        let Some(id) = header.producer_id else {
            return kept(false);
        };
        match ControlRecord::of(batch) {
            Some(ControlRecord::EndTxn(marker)) if marker.committed => {
                kept(!self.ongoing_committed.remove(&id))
            }
            Some(ControlRecord::EndTxn(_)) => match self.ongoing_aborted.remove(&id) {
                Some(aborted) if aborted.has_batches => Marker {
                    is_spent: false,
                    aborted: Some(aborted.txn),
                },
                _ => kept(true),
            },
            Some(ControlRecord::Other(_)) | None => kept(false),
        }
    }
}
