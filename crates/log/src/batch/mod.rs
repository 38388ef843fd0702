//! Record batches of format v2: the bytes on disk are the bytes on the wire.
//!
//! `header` parses and checks headers, `iter` iterates over a buffer of batches, `record` iterates
//! over the records of a batch in memory, `stream` reads records while they are decompressed,
//! `patch` changes the fields that the leader may change, `builder` creates batches. Invalid bytes
//! never cause a panic here, and the memory allocated for them is bounded by their number.
//!
//! Source: Kafka's `DefaultRecordBatch.java` and `DefaultRecord.java`.

mod builder;
mod control;
mod header;
mod iter;
pub(crate) mod patch;
mod record;
mod stream;
pub(crate) mod varint;

pub use builder::{BatchBuilder, BatchOptions, RecordHeader};
pub use control::{ControlRecord, EndTxnMarker};
pub use header::{Attributes, BATCH_HEADER_SIZE, BatchError, BatchHeader, LOG_OVERHEAD, crc32c};
pub use iter::{Batch, Batches};
pub use record::{HeaderIter, RecordIter, RecordView};
pub use stream::{RecordHead, RecordStream, UNPACKED_BYTES_MAX};
pub(crate) use stream::{RecordWalk, StreamError};
