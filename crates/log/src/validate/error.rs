//! The reasons for which a produced batch is rejected, with Kafka's error codes.

use dohle_model::{ErrorCode, Offset, Timestamp};

use crate::batch::BatchError;
use crate::config::LogConfig;

/// The problem of one record of a batch, as produce responses contain it (KIP-467).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordError {
    /// The record's index in the batch, from 0.
    pub batch_index: i32,
    /// The description of the problem.
    pub message: String,
}

/// The reason why a produced batch is rejected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValidateError {
    /// The bytes are not a valid batch.
    #[error("{0}")]
    Batch(#[from] BatchError),
    /// There are no bytes.
    #[error("the produce data have no record batch")]
    NoBatch,
    /// The first batch is followed by further bytes.
    #[error("the produce data have {trailing} bytes after the first record batch")]
    MoreThanOneBatch {
        /// Bytes after the first batch.
        trailing: usize,
    },
    /// The batch, as it was sent or as it would be stored, exceeds `max.message.bytes`.
    #[error("the record batch has {size} bytes, more than max.message.bytes={max}")]
    TooLarge {
        /// Bytes of the batch, or a lower bound of them.
        size: u64,
        /// The limit.
        max: u32,
    },
    /// A compressed batch unpacks to more bytes than any batch may.
    #[error("the record batch unpacks to more than {0} bytes: make smaller batches")]
    Unpacked(u64),
    /// A record of a compressed batch exceeds `max.decompressed.message.bytes`.
    #[error(
        "record {index} of the batch unpacks to {size} bytes, more than \
         max.decompressed.message.bytes={max}"
    )]
    RecordTooLarge {
        /// The record's index in the batch.
        index: u32,
        /// Its size.
        size: u32,
        /// The limit.
        max: u32,
    },
    /// The base offset is not 0, as it must be in produced batches.
    #[error("the record batch has base offset {0}, 0 is expected")]
    BaseOffset(Offset),
    /// The count of records is 0 or does not match the range of offsets.
    #[error("the record batch has a count of {count} records for a range of {range} offsets")]
    Count {
        /// The count in the header.
        count: i32,
        /// The last offset delta plus 1.
        range: i64,
    },
    /// A client sent control records, which only coordinators may write.
    #[error("clients are not allowed to write control records")]
    ControlBatch,
    /// A client set log append time, which only brokers may set.
    #[error("producers should not set the timestamp type to LogAppendTime")]
    TimestampType,
    /// The batch has a producer id without a sequence.
    #[error("the record batch has a producer id, but no sequence number")]
    Sequence,
    /// The batch of a transaction has a producer id without an epoch.
    #[error("the record batch of a transaction has a producer id, but no producer epoch")]
    ProducerEpoch,
    /// The topic does not accept some of the records.
    #[error("{}", records_text(.errors))]
    Records {
        /// Whether one of the reasons is a timestamp.
        timestamp: bool,
        /// The first of the records' errors.
        errors: Vec<RecordError>,
    },
}

impl ValidateError {
    /// Returns Kafka's error code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Batch(error) => error.code(),
            Self::TooLarge { .. } => ErrorCode::MessageTooLarge,
            Self::TimestampType
            | Self::Records {
                timestamp: true, ..
            } => ErrorCode::InvalidTimestamp,
            Self::ProducerEpoch => ErrorCode::InvalidProducerEpoch,
            Self::NoBatch
            | Self::Unpacked(_)
            | Self::RecordTooLarge { .. }
            | Self::MoreThanOneBatch { .. }
            | Self::BaseOffset(_)
            | Self::Count { .. }
            | Self::ControlBatch
            | Self::Sequence
            | Self::Records { .. } => ErrorCode::InvalidRecord,
        }
    }

    /// Returns the errors of single records; empty when the batch as a whole is invalid.
    #[must_use]
    pub fn record_errors(&self) -> &[RecordError] {
        match self {
            Self::Records { errors, .. } => errors,
            _ => &[],
        }
    }
}

fn records_text(errors: &[RecordError]) -> String {
    match errors.first() {
        None => "records were rejected".to_owned(),
        Some(first) => format!(
            "one or more records have been rejected, first record {}: {}",
            first.batch_index, first.message
        ),
    }
}

/// Collects the first errors of a batch's records.
#[derive(Debug, Default)]
pub(super) struct RecordErrors {
    timestamp: bool,
    errors: Vec<RecordError>,
}

impl RecordErrors {
    /// The most errors that are kept, so that a batch of millions of invalid records is rejected
    /// with a few of them.
    const KEPT_MAX: usize = 16;

    fn push(&mut self, index: u32, message: impl FnOnce() -> String) {
        if self.errors.len() < Self::KEPT_MAX {
            let batch_index = i32::try_from(index).unwrap_or(i32::MAX);
            self.errors.push(RecordError {
                batch_index,
                message: message(),
            });
        }
    }

    pub(super) fn key(&mut self, index: u32) {
        self.push(index, || {
            "Compacted topic cannot accept message without key".to_owned()
        });
    }

    pub(super) fn offset(&mut self, index: u32, delta: i32) {
        self.push(index, || {
            format!("Record {index} of the batch has offset delta {delta}")
        });
    }

    pub(super) fn timestamp(&mut self, index: u32, at: i64, now: Timestamp, config: &LogConfig) {
        self.timestamp = true;
        let bound = |limit: Option<std::time::Duration>, sign: i128, unlimited: i64| {
            limit.map_or(i128::from(unlimited), |limit| {
                i128::from(now.0) + sign * limit.as_millis() as i128
            })
        };
        let low = bound(config.message_timestamp_before_max_ms, -1, 0);
        let high = bound(config.message_timestamp_after_max_ms, 1, i64::MAX);
        self.push(index, || {
            format!("Timestamp {at} is out of range, it should be within [{low}, {high}]")
        });
    }

    pub(super) fn finish(self) -> Result<(), ValidateError> {
        if self.errors.is_empty() {
            return Ok(());
        }
        Err(ValidateError::Records {
            timestamp: self.timestamp,
            errors: self.errors,
        })
    }
}
