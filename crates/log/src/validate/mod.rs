//! Admission of a produced batch by the leader: everything that can be said of it before it has an
//! offset.
//!
//! [`admit`] does what is expensive (checksum, walk of the records, recompression, the one copy
//! when the bytes are shared) and needs no lock. [`Admitted::assign`] then only patches a few
//! bytes. Compressed batches stay opaque unless the topic asks to look inside: a codec of its own,
//! keys that compaction needs, or a limit on old timestamps.
//!
//! Source: Kafka's `LogValidator.java` and `UnifiedLog.analyzeAndValidateRecords`.

mod error;
mod recompress;

pub use error::{AdmitError, RecordError};

use bytes::{Bytes, BytesMut};
use dohle_model::{LeaderEpoch, Offset, Timestamp};

use crate::batch::{
    Batch, BatchError, BatchHeader, ControlRecord, EndTxnMarker, RecordIter, patch, stream,
};
use crate::compression::{CompressionType, Decompressor};
use crate::config::{LogConfig, TimestampType};
use error::RecordErrors;

/// Who appends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AppendOrigin {
    /// A producer: everything is checked.
    Client,
    /// A group or transaction coordinator of this cluster: control batches and batches without a
    /// sequence are allowed.
    Coordinator,
}

/// A batch that may be appended; it has no offset yet.
#[derive(Debug)]
pub struct Admitted {
    header: BatchHeader,
    batch: BytesMut,
    origin: AppendOrigin,
    log_append_time: Option<Timestamp>,
    marker: Option<EndTxnMarker>,
}

impl Admitted {
    /// The header; its base offset is 0.
    #[must_use]
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// Who appends.
    #[must_use]
    pub fn origin(&self) -> AppendOrigin {
        self.origin
    }

    /// The time that was put into the batch, for topics with log append time.
    #[must_use]
    pub fn log_append_time(&self) -> Option<Timestamp> {
        self.log_append_time
    }

    /// The end of a transaction that the batch marks.
    #[must_use]
    pub fn marker(&self) -> Option<EndTxnMarker> {
        self.marker
    }

    /// Bytes of the batch as it is stored.
    #[must_use]
    pub fn size(&self) -> usize {
        self.batch.len()
    }

    /// Gives the batch its place. Returns its header and the bytes to write.
    #[must_use]
    pub fn assign(mut self, base_offset: Offset, epoch: LeaderEpoch) -> (BatchHeader, Bytes) {
        patch::set_position(&mut self.batch, base_offset, epoch);
        self.header.base_offset = base_offset;
        self.header.partition_leader_epoch = Some(epoch);
        (self.header, self.batch.freeze())
    }
}

/// Checks a produce payload and makes it ready for the log. `now` is the wall clock.
///
/// # Errors
/// [`AdmitError`] says what is wrong; [`AdmitError::code`] is Kafka's code for it.
pub fn admit(
    records: Bytes,
    config: &LogConfig,
    origin: AppendOrigin,
    now: Timestamp,
) -> Result<Admitted, AdmitError> {
    let mut header = check_header(&records, config, origin)?;
    header.check_crc(&records)?;
    // The topic says whose clock counts: that of a batch for another kind of topic is overruled,
    // and its records have their own timestamps.
    let overruled = header.attributes.timestamp_type() != config.message_timestamp_type;
    header.attributes = header
        .attributes
        .with_timestamp_type(TimestampType::CreateTime);
    let source = header.attributes.compression()?;
    let is_control = header.attributes.is_control();
    // Control records keep their form (KAFKA-7519).
    let target = if is_control {
        source
    } else {
        config.compression_type.resolve(source)
    };
    let append_time =
        (config.message_timestamp_type == TimestampType::LogAppendTime).then_some(now);

    let payload = Payload {
        header: &header,
        bytes: &records,
        config,
        now,
    };
    let (mut batch, max_timestamp) = if source != target {
        let (batch, max) = recompress::recompress(&payload, source, target)?;
        (batch, Some(max))
    } else {
        let max = if source == CompressionType::None {
            Some(payload.check_uncompressed()?)
        } else if payload.needs_look_inside() {
            Some(payload.check_compressed(source)?)
        } else {
            payload.check_max_timestamp()?;
            None
        };
        (to_mut(records), max)
    };

    // Where the records were seen, the header tells the truth about their largest timestamp.
    let max_timestamp = append_time.or(max_timestamp.unwrap_or(header.max_timestamp));
    if source != target || overruled || max_timestamp != header.max_timestamp {
        patch::set_max_timestamp(&mut batch, config.message_timestamp_type, max_timestamp);
    }
    let header = BatchHeader::parse(&batch)?;
    let marker = is_control.then(|| marker(header, &batch)).flatten();
    Ok(Admitted {
        header,
        batch,
        origin,
        log_append_time: append_time,
        marker,
    })
}

/// [`admit`] and [`Admitted::assign`] in one: the patched batch and its header.
///
/// # Errors
/// As [`admit`].
pub fn validate_and_assign(
    records: Bytes,
    config: &LogConfig,
    origin: AppendOrigin,
    now: Timestamp,
    next_offset: Offset,
    leader_epoch: LeaderEpoch,
) -> Result<(BatchHeader, Bytes), AdmitError> {
    Ok(admit(records, config, origin, now)?.assign(next_offset, leader_epoch))
}

fn to_mut(records: Bytes) -> BytesMut {
    records
        .try_into_mut()
        .unwrap_or_else(|shared| BytesMut::from(&shared[..]))
}

fn marker(header: BatchHeader, bytes: &[u8]) -> Option<EndTxnMarker> {
    match ControlRecord::of(&Batch {
        header,
        bytes,
        position: 0,
    })? {
        ControlRecord::EndTxn(marker) => Some(marker),
        ControlRecord::Other(_) => None,
    }
}

fn check_header(
    records: &[u8],
    config: &LogConfig,
    origin: AppendOrigin,
) -> Result<BatchHeader, AdmitError> {
    if records.is_empty() {
        return Err(AdmitError::NoBatch);
    }
    let header = BatchHeader::parse(records)?;
    let size = header.size as usize;
    if records.len() < size {
        let (needed, available) = (u64::from(header.size), records.len() as u64);
        return Err(BatchError::Truncated { needed, available }.into());
    }
    if records.len() > size {
        return Err(AdmitError::MoreThanOneBatch {
            trailing: records.len() - size,
        });
    }
    if header.size > config.max_message_bytes {
        let (size, max) = (u64::from(header.size), config.max_message_bytes);
        return Err(AdmitError::TooLarge { size, max });
    }
    if header.base_offset != Offset::ZERO {
        return Err(AdmitError::BaseOffset(header.base_offset));
    }
    let range = i64::from(header.last_offset_delta) + 1;
    if header.record_count == 0 || i64::from(header.record_count) != range {
        let (count, range) = (header.record_count, range);
        return Err(AdmitError::Count { count, range });
    }
    if origin == AppendOrigin::Client {
        if header.attributes.is_control() {
            return Err(AdmitError::ControlBatch);
        }
        // A topic with create time overrules it, unless there is no time to take.
        if header.attributes.timestamp_type() == TimestampType::LogAppendTime
            && (config.message_timestamp_type == TimestampType::LogAppendTime
                || header.max_timestamp.is_none())
        {
            return Err(AdmitError::TimestampType);
        }
        if header.producer_id.is_some() {
            if header.base_sequence.is_none() {
                return Err(AdmitError::Sequence);
            }
            if header.producer_epoch.is_none() {
                return Err(AdmitError::ProducerEpoch);
            }
        }
    }
    Ok(header)
}

/// A batch whose header and checksum are good, and the rules for its records.
struct Payload<'a> {
    header: &'a BatchHeader,
    bytes: &'a [u8],
    config: &'a LogConfig,
    now: Timestamp,
}

impl Payload<'_> {
    fn records(&self) -> &[u8] {
        &self.bytes[crate::batch::BATCH_HEADER_SIZE..]
    }

    fn checks_timestamps(&self) -> bool {
        self.config.message_timestamp_type == TimestampType::CreateTime
    }

    fn needs_keys(&self) -> bool {
        self.config.cleanup_policy.compact && !self.header.attributes.is_control()
    }

    fn needs_look_inside(&self) -> bool {
        self.needs_keys()
            || (self.checks_timestamps() && self.config.message_timestamp_before_max_ms.is_some())
    }

    /// The most that may come out of one compressed batch.
    fn uncompressed_max(&self) -> u64 {
        const UNCOMPRESSED_MAX: u64 = 256 << 20;
        UNCOMPRESSED_MAX.max(u64::from(self.config.max_message_bytes))
    }

    /// Walks uncompressed records; the largest timestamp.
    fn check_uncompressed(&self) -> Result<Option<Timestamp>, AdmitError> {
        let mut check = RecordCheck::new(self);
        for (index, record) in RecordIter::new(self.header, self.records()).enumerate() {
            let record = record?;
            check.record(
                index as u32,
                record.timestamp,
                record.offset_delta,
                record.key.is_some(),
            );
        }
        check.finish()
    }

    /// Walks compressed records as they are decompressed; the largest timestamp.
    fn check_compressed(&self, codec: CompressionType) -> Result<Option<Timestamp>, AdmitError> {
        let reader = Decompressor::new(codec, self.records()).map_err(recompress::broken(codec))?;
        self.check_stream(reader, codec)
    }

    fn check_stream(
        &self,
        reader: impl std::io::Read,
        codec: CompressionType,
    ) -> Result<Option<Timestamp>, AdmitError> {
        let mut check = RecordCheck::new(self);
        let reader = std::io::BufReader::with_capacity(16 << 10, reader);
        let count = self.header.record_count;
        let walked = stream::walk(reader, count, self.uncompressed_max(), |record| {
            let timestamp = self
                .header
                .base_timestamp
                .wrapping_add(record.timestamp_delta);
            let timestamp = Timestamp::from_wire(timestamp);
            check.record(record.index, timestamp, record.offset_delta, record.has_key);
        });
        match walked {
            Ok(()) => check.finish(),
            Err(stream::StreamError::Batch(error)) => Err(error.into()),
            Err(stream::StreamError::Io(error)) => Err(recompress::sink_or_broken(
                error,
                codec,
                self.config.max_message_bytes,
            )),
        }
    }

    /// For batches that stay opaque: at least what the header says must be in range.
    fn check_max_timestamp(&self) -> Result<(), AdmitError> {
        let mut errors = RecordErrors::default();
        if self.checks_timestamps() {
            let last = self.header.last_offset_delta as u32;
            self.check_timestamp(last, self.header.max_timestamp, &mut errors);
        }
        errors.finish()
    }

    fn check_timestamp(&self, index: u32, at: Option<Timestamp>, errors: &mut RecordErrors) {
        let Some(Timestamp(timestamp)) = at else {
            return;
        };
        let config = self.config;
        let within = |limit: Option<std::time::Duration>, distance: i64| {
            limit.is_none_or(|limit| i128::from(distance) <= limit.as_millis() as i128)
        };
        let age = self.now.0.saturating_sub(timestamp);
        let early = !within(config.message_timestamp_before_max_ms, age);
        let late = !within(config.message_timestamp_after_max_ms, age.saturating_neg());
        if early || late {
            errors.timestamp(index, timestamp, self.now, config);
        }
    }
}

/// The rules for single records, and what is learnt on the way.
struct RecordCheck<'a> {
    payload: &'a Payload<'a>,
    checks_timestamps: bool,
    needs_keys: bool,
    max_timestamp: Option<Timestamp>,
    errors: RecordErrors,
}

impl<'a> RecordCheck<'a> {
    fn new(payload: &'a Payload<'a>) -> Self {
        Self {
            payload,
            checks_timestamps: payload.checks_timestamps(),
            needs_keys: payload.needs_keys(),
            max_timestamp: None,
            errors: RecordErrors::default(),
        }
    }

    fn record(&mut self, index: u32, at: Option<Timestamp>, offset_delta: i32, has_key: bool) {
        if offset_delta as u32 != index {
            self.errors.offset(index, offset_delta);
        } else if self.needs_keys && !has_key {
            self.errors.key(index);
        } else if self.checks_timestamps {
            self.payload.check_timestamp(index, at, &mut self.errors);
        }
        self.max_timestamp = self.max_timestamp.max(at);
    }

    fn finish(self) -> Result<Option<Timestamp>, AdmitError> {
        self.errors.finish()?;
        Ok(self.max_timestamp)
    }
}
