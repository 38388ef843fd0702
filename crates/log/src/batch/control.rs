//! Control records: the markers that end transactions.

use super::iter::Batch;
use crate::compression::CompressionType;
use dohle_model::Timestamp;

/// The marker that ends a transaction on one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndTxnMarker {
    /// Committed or aborted.
    pub committed: bool,
    /// The epoch of the coordinator that wrote it.
    pub coordinator_epoch: i32,
    /// When it was written.
    pub timestamp: Option<Timestamp>,
}

/// What a control batch says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlRecord {
    /// A transaction ends.
    EndTxn(EndTxnMarker),
    /// Any other kind; it means nothing to a partition's log.
    Other(i16),
}

impl ControlRecord {
    /// The first record of a control batch; `None` when compaction has emptied it or it is broken.
    #[must_use]
    pub fn of(batch: &Batch<'_>) -> Option<Self> {
        // By Kafka's rule control batches are never compressed. One that is has no meaning here:
        // this runs under the log's lock, where nothing is decompressed.
        if batch.header.attributes.compression().ok()? != CompressionType::None {
            return None;
        }
        let record = batch.records(batch.payload()).next()?.ok()?;
        let key = record.key?;
        let kind = i16::from_be_bytes(key.get(2..4)?.try_into().ok()?);
        if kind > 1 {
            return Some(Self::Other(kind));
        }
        let value = record.value?;
        let coordinator_epoch = i32::from_be_bytes(value.get(2..6)?.try_into().ok()?);
        Some(Self::EndTxn(EndTxnMarker {
            committed: kind == 1,
            coordinator_epoch,
            timestamp: record.timestamp,
        }))
    }

    /// Key and value of an end-transaction marker.
    #[must_use]
    pub fn encode_end_txn(committed: bool, coordinator_epoch: i32) -> ([u8; 4], [u8; 6]) {
        let mut value = [0; 6];
        value[2..].copy_from_slice(&coordinator_epoch.to_be_bytes());
        ([0, 0, 0, u8::from(committed)], value)
    }
}
