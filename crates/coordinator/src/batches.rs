//! Encodes a coordinator's records as batches of the log.

use bytes::Bytes;
use dohle_log::{BatchBuilder, BatchOptions, CompressionType};
use dohle_machine::LogRecord;
use dohle_model::{ErrorCode, Timestamp};
use dohle_transactions::ProducerIdAndEpoch;

/// The largest size of a record besides its key and value, in bytes.
const RECORD_OVERHEAD: usize = 32;

/// A batch, and the records in it.
pub(super) struct RecordBatch<R> {
    pub(super) bytes: Bytes,
    pub(super) records: Vec<R>,
}

/// Encodes the records as batches of at most `bytes_max` before compression. A batch is larger only
/// when a single record is. With `producer` the batches belong to a transaction of that producer.
///
/// # Errors
/// INVALID_REQUEST when a record cannot be encoded, UNKNOWN_SERVER_ERROR when a batch cannot be
/// built.
pub(super) fn batches<R: LogRecord>(
    records: Vec<R>,
    bytes_max: usize,
    codec: CompressionType,
    wall: Timestamp,
    producer: Option<ProducerIdAndEpoch>,
) -> Result<Vec<RecordBatch<R>>, ErrorCode> {
    let options = BatchOptions {
        compression: codec,
        producer: producer.map(|producer| (producer.id, producer.epoch, None)),
        transactional: producer.is_some(),
        ..BatchOptions::default()
    };
    let count = records.len();
    assert!(count > 0, "a batch without records is made");
    let mut batches = Vec::new();
    let mut builder = BatchBuilder::new(options);
    let mut inside = Vec::new();
    for record in records {
        let (key, value) = record.encode().map_err(|error| {
            tracing::info!(subject = ?record.subject(), "refused to append a record: {error}");
            ErrorCode::InvalidRequest
        })?;
        let bytes = key.len() + value.as_ref().map_or(0, Bytes::len) + RECORD_OVERHEAD;
        if !inside.is_empty() && builder.size() + bytes > bytes_max {
            let full = std::mem::replace(&mut builder, BatchBuilder::new(options));
            batches.push(RecordBatch {
                bytes: build(full)?,
                records: std::mem::take(&mut inside),
            });
        }
        builder.append(Some(wall), Some(&key), value.as_deref(), &[]);
        inside.push(record);
    }
    batches.push(RecordBatch {
        bytes: build(builder)?,
        records: inside,
    });
    let inside: usize = batches.iter().map(|batch| batch.records.len()).sum();
    assert_eq!(inside, count, "records that are in the batches");
    Ok(batches)
}

fn build(builder: BatchBuilder) -> Result<Bytes, ErrorCode> {
    builder.build().map_err(|error| {
        tracing::error!("a batch of a coordinator's records cannot be built: {error}");
        ErrorCode::UnknownServerError
    })
}
