//! Makes batches: for internal topics, control records, compaction and tests.

use bytes::Bytes;
use dohle_model::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

use super::header::{
    ATTRIBUTES_AT, Attributes, BASE_SEQUENCE_AT, BASE_TIMESTAMP_AT, BATCH_HEADER_SIZE, CRC_AT,
    LAST_OFFSET_DELTA_AT, LEADER_EPOCH_AT, LENGTH_AT, LOG_OVERHEAD, MAGIC_AT, MAX_TIMESTAMP_AT,
    PRODUCER_EPOCH_AT, PRODUCER_ID_AT, RECORD_COUNT_AT,
};
use super::patch::set_crc;
use super::varint::{write_i32, write_i64};
use crate::compression::{self, CompressionError, CompressionLevel, CompressionType};
use dohle_config::TimestampType;

/// A header of a record: key and value.
pub type RecordHeader<'a> = (&'a str, Option<&'a [u8]>);

/// The properties of a batch apart from its records.
#[derive(Debug, Clone, Copy, Default)]
pub struct BatchOptions {
    /// The offset of the first record.
    pub base_offset: Offset,
    /// The leader's epoch; `None` for batches that a producer sends.
    pub partition_leader_epoch: Option<LeaderEpoch>,
    /// The codec.
    pub compression: CompressionType,
    /// The codec's level.
    pub compression_level: CompressionLevel,
    /// The log append time, for topics whose timestamp type is log append time; otherwise `None`.
    pub log_append_time: Option<Timestamp>,
    /// Id, epoch and first sequence of an idempotent producer. Transaction markers have no
    /// sequence.
    pub producer: Option<(ProducerId, ProducerEpoch, Option<Sequence>)>,
    /// Whether the batch is part of a transaction.
    pub transactional: bool,
    /// Whether the batch holds control records.
    pub control: bool,
}

/// Collects records into one batch.
#[derive(Debug)]
pub struct BatchBuilder {
    options: BatchOptions,
    records: Vec<u8>,
    scratch: Vec<u8>,
    count: i32,
    last_offset_delta: i32,
    base_timestamp: Option<i64>,
    max_timestamp: i64,
}

impl BatchBuilder {
    /// Creates an empty batch.
    #[must_use]
    pub fn new(options: BatchOptions) -> Self {
        Self {
            options,
            records: Vec::new(),
            scratch: Vec::new(),
            count: 0,
            last_offset_delta: -1,
            base_timestamp: None,
            max_timestamp: -1,
        }
    }

    /// Appends a record at the next offset. With `timestamp: None` the record has no timestamp.
    pub fn append(
        &mut self,
        timestamp: Option<Timestamp>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[RecordHeader<'_>],
    ) {
        let delta = self.last_offset_delta + 1;
        self.append_at(delta, timestamp, key, value, headers);
    }

    /// Appends a record at an offset relative to the base offset. The offset must be larger than
    /// that of the record before.
    ///
    /// # Panics
    /// When the offset is not larger than the one before, or the batch exceeds 2 GiB, the most that
    /// its length fields can express.
    pub fn append_at(
        &mut self,
        offset_delta: i32,
        timestamp: Option<Timestamp>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[RecordHeader<'_>],
    ) {
        assert!(
            offset_delta > self.last_offset_delta,
            "offsets inside a batch increase"
        );
        let timestamp = Timestamp::to_wire(timestamp);
        let base = *self.base_timestamp.get_or_insert(timestamp);
        let body = &mut self.scratch;
        body.clear();
        body.push(0);
        write_i64(body, timestamp.wrapping_sub(base));
        write_i32(body, offset_delta);
        write_slice(body, key);
        write_slice(body, value);
        write_i32(body, length(headers.len()));
        for (key, value) in headers {
            write_slice(body, Some(key.as_bytes()));
            write_slice(body, *value);
        }
        write_i32(&mut self.records, length(body.len()));
        self.records.extend_from_slice(body);
        self.last_offset_delta = offset_delta;
        self.max_timestamp = self.max_timestamp.max(timestamp);
        self.count += 1;
    }

    /// Returns the number of records appended so far.
    #[must_use]
    pub fn record_count(&self) -> i32 {
        self.count
    }

    /// Returns the size of the appended records in bytes, before compression.
    #[must_use]
    pub fn size(&self) -> usize {
        BATCH_HEADER_SIZE + self.records.len()
    }

    /// Compresses the records and returns the batch.
    ///
    /// # Errors
    /// When the codec fails, which does not happen for data in memory.
    ///
    /// # Panics
    /// When no record was appended.
    pub fn build(self) -> Result<Bytes, CompressionError> {
        assert!(self.count > 0, "a batch has at least one record");
        let mut out = vec![0; BATCH_HEADER_SIZE];
        match self.options.compression {
            CompressionType::None => out.extend_from_slice(&self.records),
            codec => {
                let level = self.options.compression_level;
                compression::compress(codec, level, &self.records, &mut out)?;
            }
        }
        let (max_timestamp, kind) = match self.options.log_append_time {
            Some(time) => (time.0, TimestampType::LogAppendTime),
            None => (self.max_timestamp, TimestampType::CreateTime),
        };
        let fields = HeaderFields {
            options: &self.options,
            timestamp_type: kind,
            last_offset_delta: self.last_offset_delta,
            base_timestamp: self.base_timestamp.unwrap_or(-1),
            max_timestamp,
            count: self.count,
        };
        fields.write(&mut out);
        Ok(Bytes::from(out))
    }
}

struct HeaderFields<'a> {
    options: &'a BatchOptions,
    timestamp_type: TimestampType,
    last_offset_delta: i32,
    base_timestamp: i64,
    max_timestamp: i64,
    count: i32,
}

impl HeaderFields<'_> {
    fn write(&self, batch: &mut [u8]) {
        let options = self.options;
        let mut attributes = i16::from(options.compression.id());
        for (set, bit) in [
            (
                self.timestamp_type == TimestampType::LogAppendTime,
                Attributes::TIMESTAMP_TYPE,
            ),
            (options.transactional, Attributes::TRANSACTIONAL),
            (options.control, Attributes::CONTROL),
        ] {
            attributes |= if set { bit } else { 0 };
        }
        let epoch = options.partition_leader_epoch;
        let (id, producer_epoch, sequence) = match options.producer {
            Some((id, epoch, sequence)) => (id.0, epoch.0, Sequence::to_wire(sequence)),
            None => (-1, -1, -1),
        };
        let size = length(batch.len() - LOG_OVERHEAD);
        let mut put = |at: usize, bytes: &[u8]| batch[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &options.base_offset.0.to_be_bytes());
        put(LENGTH_AT, &size.to_be_bytes());
        put(LEADER_EPOCH_AT, &LeaderEpoch::to_wire(epoch).to_be_bytes());
        put(MAGIC_AT, &[2]);
        put(CRC_AT, &[0; 4]);
        put(ATTRIBUTES_AT, &attributes.to_be_bytes());
        put(LAST_OFFSET_DELTA_AT, &self.last_offset_delta.to_be_bytes());
        put(BASE_TIMESTAMP_AT, &self.base_timestamp.to_be_bytes());
        put(MAX_TIMESTAMP_AT, &self.max_timestamp.to_be_bytes());
        put(PRODUCER_ID_AT, &id.to_be_bytes());
        put(PRODUCER_EPOCH_AT, &producer_epoch.to_be_bytes());
        put(BASE_SEQUENCE_AT, &sequence.to_be_bytes());
        put(RECORD_COUNT_AT, &self.count.to_be_bytes());
        set_crc(batch);
    }
}

fn write_slice(out: &mut Vec<u8>, slice: Option<&[u8]>) {
    match slice {
        None => write_i32(out, -1),
        Some(slice) => {
            write_i32(out, length(slice.len()));
            out.extend_from_slice(slice);
        }
    }
}

fn length(length: usize) -> i32 {
    i32::try_from(length).expect("a batch is smaller than 2 GiB")
}
