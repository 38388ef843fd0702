//! Record batches of format v2: the bytes on disk are the bytes on the wire.
//!
//! `header` parses and checks, `iter` walks a buffer of batches, `record` walks the records of one,
//! `stream` walks them as they are decompressed, `patch` changes what the leader may change,
//! `builder` makes new ones. Bytes from outside never panic here and never make anything allocate
//! more than they bring.
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
