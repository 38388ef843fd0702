//! Control records: the markers that end transactions.

use bytes::Bytes;
use dohle_model::{ProducerEpoch, ProducerId, Timestamp};

use super::builder::{BatchBuilder, BatchOptions};
use super::iter::Batch;
use crate::compression::CompressionType;

/// The kinds of control records (`ControlRecordType` of Kafka).
const ABORT: i16 = 0;
const COMMIT: i16 = 1;

/// The marker that ends a transaction on one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndTxnMarker {
    /// Whether the transaction was committed; `false` when it was aborted.
    pub committed: bool,
    /// The epoch of the coordinator that wrote the marker.
    pub coordinator_epoch: i32,
    /// When the marker was written.
    pub timestamp: Option<Timestamp>,
}

/// The content of a control batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlRecord {
    /// The end of a transaction.
    EndTxn(EndTxnMarker),
    /// Any other kind. Other kinds do not affect a partition's log.
    Other(i16),
}

impl ControlRecord {
    /// Parses the first record of a control batch. Returns `None` when compaction has removed the
    /// record or the record is invalid.
    #[must_use]
    pub fn of(batch: &Batch<'_>) -> Option<Self> {
        // Kafka never compresses control batches. A compressed one is ignored, because this runs
        // under the log's lock, where nothing is decompressed.
        if batch.header.attributes.compression().ok()? != CompressionType::None {
            return None;
        }
        let record = batch.records(batch.payload()).next()?.ok()?;
        let key = record.key?;
        let version = i16::from_be_bytes(key.get(..2)?.try_into().ok()?);
        let kind = i16::from_be_bytes(key.get(2..4)?.try_into().ok()?);
        if version < 0 {
            return None;
        }
        if kind != ABORT && kind != COMMIT {
            return Some(Self::Other(kind));
        }
        // Later versions may add fields after those of version 0, the only one today.
        let value = record.value?;
        if i16::from_be_bytes(value.get(..2)?.try_into().ok()?) < 0 {
            return None;
        }
        let coordinator_epoch = i32::from_be_bytes(value.get(2..6)?.try_into().ok()?);
        Some(Self::EndTxn(EndTxnMarker {
            committed: kind == COMMIT,
            coordinator_epoch,
            timestamp: record.timestamp,
        }))
    }

    /// Returns key and value of an end-transaction marker.
    #[must_use]
    pub fn encode_end_txn(committed: bool, coordinator_epoch: i32) -> ([u8; 4], [u8; 6]) {
        let mut value = [0; 6];
        value[2..].copy_from_slice(&coordinator_epoch.to_be_bytes());
        ([0, 0, 0, u8::from(committed)], value)
    }
}

impl EndTxnMarker {
    /// Builds the control batch that ends a transaction of this producer.
    ///
    /// # Panics
    /// Never: an uncompressed batch of one small record can be built.
    #[must_use]
    pub fn batch(&self, producer_id: ProducerId, producer_epoch: ProducerEpoch) -> Bytes {
        let mut builder = BatchBuilder::new(BatchOptions {
            producer: Some((producer_id, producer_epoch, None)),
            transactional: true,
            control: true,
            ..BatchOptions::default()
        });
        let (key, value) = ControlRecord::encode_end_txn(self.committed, self.coordinator_epoch);
        builder.append(self.timestamp, Some(&key), Some(&value), &[]);
        builder
            .build()
            .expect("an uncompressed batch is built without a codec")
    }
}
