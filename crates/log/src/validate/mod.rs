//! Validates a batch that a producer sent to the leader: all checks that do not need the batch's
//! offset.
//!
//! [`validate_briefly`] and [`validate_fully`] do the expensive work (checksum, walk over the
//! records, decompression, recompression, the one copy when the bytes are shared) and need no lock.
//! [`ValidatedBatch::assign`] then only patches a few bytes. Compressed batches are decompressed as
//! a stream to check that the records match the header, and stored as they were sent.
//!
//! Invariant: besides the batch itself a validation holds only a window in memory, acquired from
//! the node's [`DecompressionMemory`]; the unpacked size of a batch is bounded by
//! [`UNPACKED_BYTES_MAX`].
//!
//! Source: Kafka's `LogValidator.java` and `UnifiedLog.analyzeAndValidateRecords`.

mod error;
mod recompress;

pub use error::{RecordError, ValidateError};

use bytes::{Bytes, BytesMut};
use dohle_model::{LeaderEpoch, Offset, Timestamp};

use crate::batch::{
    Batch, BatchError, BatchHeader, ControlRecord, EndTxnMarker, RecordIter, RecordWalk,
    StreamError, UNPACKED_BYTES_MAX, patch,
};
use crate::compression::{
    CompressionError, CompressionType, DecompressionMemory, DecompressionPermit, Decompressor,
    working_memory,
};
use crate::config::LogConfig;
use dohle_config::TimestampType;
use error::RecordErrors;

/// The largest compressed batch whose validation counts as brief, in bytes as stored. Brief
/// validations run on network threads.
const BRIEF_COMPRESSED_MAX: usize = 32 << 10;
/// The largest batch that is recompressed in a brief validation, in bytes.
const BRIEF_RECOMPRESSED_MAX: usize = 8 << 10;
/// The largest uncompressed batch that is validated briefly, in bytes.
const BRIEF_UNCOMPRESSED_MAX: usize = 1 << 20;
/// The most bytes that a batch may unpack to in a brief validation.
const BRIEF_UNPACKED_MAX: u64 = 256 << 10;

/// The origin of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AppendOrigin {
    /// A producer: everything is checked.
    Client,
    /// A group or transaction coordinator of this node: control batches and batches without a
    /// sequence are allowed, and batches that this process has compressed itself are not
    /// decompressed.
    Coordinator,
}

/// A valid batch that has no offset yet.
#[derive(Debug)]
pub struct ValidatedBatch {
    header: BatchHeader,
    batch: BytesMut,
    origin: AppendOrigin,
    log_append_time: Option<Timestamp>,
    marker: Option<EndTxnMarker>,
}

impl ValidatedBatch {
    /// Returns the header; its base offset is 0.
    #[must_use]
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// Returns the origin of the append.
    #[must_use]
    pub fn origin(&self) -> AppendOrigin {
        self.origin
    }

    /// Returns the time that was set in the batch, for topics with log append time.
    #[must_use]
    pub fn log_append_time(&self) -> Option<Timestamp> {
        self.log_append_time
    }

    /// Returns the transaction marker in the batch, if it has one.
    #[must_use]
    pub fn marker(&self) -> Option<EndTxnMarker> {
        self.marker
    }

    /// Returns the size of the batch as it is stored, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.batch.len()
    }

    /// Sets the batch's base offset and leader epoch. Returns its header and the bytes to write.
    #[must_use]
    pub fn assign(mut self, base_offset: Offset, epoch: LeaderEpoch) -> (BatchHeader, Bytes) {
        assert_eq!(
            self.header.size as usize,
            self.batch.len(),
            "size of the batch that gets the offset {base_offset}"
        );
        patch::set_position(&mut self.batch, base_offset, epoch);
        self.header.base_offset = base_offset;
        self.header.partition_leader_epoch = Some(epoch);
        (self.header, self.batch.freeze())
    }
}

/// The result of a brief validation.
#[derive(Debug)]
pub enum Brief {
    /// The batch may be appended.
    ValidatedBatch(ValidatedBatch),
    /// The validation would take longer than a network thread may take, or needs memory that is not
    /// free now: [`validate_fully`] must validate the batch, on a thread that may block.
    Postponed(Bytes),
}

/// Validates a produce payload, if that takes at most about a millisecond, and prepares it for the
/// log. Never blocks. `now` is the wall clock time.
///
/// # Errors
/// The [`ValidateError`] that was found; [`ValidateError::code`] is Kafka's code for it.
pub fn validate_briefly(
    records: Bytes,
    config: &LogConfig,
    origin: AppendOrigin,
    now: Timestamp,
    memory: &DecompressionMemory,
) -> Result<Brief, ValidateError> {
    match run(&records, config, origin, now, Effort::Brief(memory)) {
        Ok(checked) => Ok(Brief::ValidatedBatch(
            checked.finish(records, config, origin)?,
        )),
        Err(Stop::Postponed) => Ok(Brief::Postponed(records)),
        Err(Stop::Refused(error)) => Err(error),
    }
}

/// Validates a produce payload and prepares it for the log. Waits for memory to decompress in, and
/// may compute for long.
///
/// # Errors
/// The same as for [`validate_briefly`].
pub fn validate_fully(
    records: Bytes,
    config: &LogConfig,
    origin: AppendOrigin,
    now: Timestamp,
    memory: &DecompressionMemory,
) -> Result<ValidatedBatch, ValidateError> {
    match run(&records, config, origin, now, Effort::Full(memory)) {
        Ok(checked) => checked.finish(records, config, origin),
        Err(Stop::Refused(error)) => Err(error),
        Err(Stop::Postponed) => unreachable!("only a brief check is postponed"),
    }
}

/// Does the same as [`validate_fully`] with memory of its own, for coordinators, whose batches are
/// not decompressed.
///
/// # Errors
/// The same as for [`validate_briefly`].
pub fn validate(
    records: Bytes,
    config: &LogConfig,
    origin: AppendOrigin,
    now: Timestamp,
) -> Result<ValidatedBatch, ValidateError> {
    validate_fully(
        records,
        config,
        origin,
        now,
        &DecompressionMemory::default(),
    )
}

/// The time and memory that a validation may use.
#[derive(Clone, Copy)]
enum Effort<'a> {
    Brief(&'a DecompressionMemory),
    Full(&'a DecompressionMemory),
}

impl<'a> Effort<'a> {
    /// Returns whether a batch of this size is too large to be validated briefly.
    fn is_too_large(self, size: usize, source: CompressionType, target: CompressionType) -> bool {
        let max = match (source, target) {
            (CompressionType::None, CompressionType::None) => BRIEF_UNCOMPRESSED_MAX,
            (source, target) if source != target => BRIEF_RECOMPRESSED_MAX,
            _ => BRIEF_COMPRESSED_MAX,
        };
        matches!(self, Self::Brief(_)) && size > max
    }

    fn unpacked_max(self) -> u64 {
        match self {
            Self::Brief(_) => BRIEF_UNPACKED_MAX,
            Self::Full(_) => UNPACKED_BYTES_MAX,
        }
    }

    /// Returns how to stop when the batch unpacks to more bytes than [`Effort::unpacked_max`]
    /// allows.
    fn too_large(self) -> Stop {
        match self {
            Self::Brief(_) => Stop::Postponed,
            Self::Full(_) => Stop::Refused(ValidateError::Unpacked(UNPACKED_BYTES_MAX)),
        }
    }

    /// Acquires memory to decompress in.
    fn memory(self, bytes: u64) -> Result<DecompressionPermit<'a>, Stop> {
        match self {
            Self::Brief(memory) => memory.try_acquire(bytes).ok_or(Stop::Postponed),
            Self::Full(memory) => Ok(memory.acquire(bytes)),
        }
    }
}

/// The reason why a validation ends without a batch.
enum Stop {
    Refused(ValidateError),
    Postponed,
}

impl From<ValidateError> for Stop {
    fn from(error: ValidateError) -> Self {
        Self::Refused(error)
    }
}

impl From<BatchError> for Stop {
    fn from(error: BatchError) -> Self {
        Self::Refused(error.into())
    }
}

/// The results of a validation.
struct Checked {
    /// The batch in another codec; its checksum is not updated yet.
    recompressed: Option<BytesMut>,
    /// Whether the topic's timestamp type differs from that of the batch and replaces it.
    overruled: bool,
    max_timestamp: Option<Timestamp>,
    append_time: Option<Timestamp>,
}

fn run(
    records: &Bytes,
    config: &LogConfig,
    origin: AppendOrigin,
    now: Timestamp,
    effort: Effort<'_>,
) -> Result<Checked, Stop> {
    let mut header = check_header(records, config, origin)?;
    let codec = header.attributes.compression();
    // Control records are never recompressed (KAFKA-7519).
    let target = |source| match header.attributes.is_control() {
        true => source,
        false => config.compression_type.resolve(source),
    };
    if let Ok(source) = codec
        && effort.is_too_large(records.len(), source, target(source))
    {
        return Err(Stop::Postponed);
    }
    header.check_crc(records)?;
    let source = codec?;
    let target = target(source);
    // The topic's timestamp type applies. If the batch has another one, its type is replaced, and
    // its records have their own timestamps.
    let overruled = header.attributes.timestamp_type() != config.message_timestamp_type;
    header.attributes = header
        .attributes
        .with_timestamp_type(TimestampType::CreateTime);
    let payload = Payload {
        header: &header,
        bytes: records,
        config,
        now,
        effort,
    };
    let mut recompressed = None;
    let max_timestamp = if source != target {
        let (batch, max) = recompress::recompress(&payload, source, target)?;
        recompressed = Some(batch);
        max
    } else if source == CompressionType::None {
        payload.check_uncompressed()?
    } else if origin == AppendOrigin::Coordinator {
        payload.check_max_timestamp()?;
        header.max_timestamp
    } else {
        payload.check_compressed(source)?
    };
    let append_time =
        (config.message_timestamp_type == TimestampType::LogAppendTime).then_some(now);
    Ok(Checked {
        recompressed,
        overruled,
        max_timestamp: append_time.or(max_timestamp),
        append_time,
    })
}

impl Checked {
    /// Returns the batch in the form to be stored.
    fn finish(
        self,
        records: Bytes,
        config: &LogConfig,
        origin: AppendOrigin,
    ) -> Result<ValidatedBatch, ValidateError> {
        let changed = self.recompressed.is_some() || self.overruled;
        let mut batch = self.recompressed.unwrap_or_else(|| to_mut(records));
        // The header must have the records' largest timestamp, and -1 when they have none, whatever
        // negative number was sent.
        let is_right = patch::raw_max_timestamp(&batch) == Timestamp::to_wire(self.max_timestamp);
        if changed || !is_right {
            let kind = config.message_timestamp_type;
            patch::set_max_timestamp(&mut batch, kind, self.max_timestamp);
        }
        let header = BatchHeader::parse(&batch)?;
        let is_control = header.attributes.is_control();
        let marker = is_control.then(|| marker(header, &batch)).flatten();
        Ok(ValidatedBatch {
            header,
            batch,
            origin,
            log_append_time: self.append_time,
            marker,
        })
    }
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
) -> Result<BatchHeader, ValidateError> {
    if records.is_empty() {
        return Err(ValidateError::NoBatch);
    }
    let header = BatchHeader::parse(records)?;
    let size = header.size as usize;
    if records.len() < size {
        let (needed, available) = (u64::from(header.size), records.len() as u64);
        return Err(BatchError::Truncated { needed, available }.into());
    }
    if records.len() > size {
        return Err(ValidateError::MoreThanOneBatch {
            trailing: records.len() - size,
        });
    }
    if header.size > config.max_message_bytes {
        let (size, max) = (u64::from(header.size), config.max_message_bytes);
        return Err(ValidateError::TooLarge { size, max });
    }
    if header.base_offset != Offset::ZERO {
        return Err(ValidateError::BaseOffset(header.base_offset));
    }
    let range = i64::from(header.last_offset_delta) + 1;
    if header.record_count == 0 || i64::from(header.record_count) != range {
        let (count, range) = (header.record_count, range);
        return Err(ValidateError::Count { count, range });
    }
    if origin == AppendOrigin::Client {
        if header.attributes.is_control() {
            return Err(ValidateError::ControlBatch);
        }
        // A topic with create time replaces the batch's type, unless the records have no timestamps
        // of their own.
        if header.attributes.timestamp_type() == TimestampType::LogAppendTime
            && (config.message_timestamp_type == TimestampType::LogAppendTime
                || header.max_timestamp.is_none())
        {
            return Err(ValidateError::TimestampType);
        }
        if header.producer_id.is_some() {
            if header.base_sequence.is_none() {
                return Err(ValidateError::Sequence);
            }
            if header.producer_epoch.is_none() && header.attributes.is_transactional() {
                return Err(ValidateError::ProducerEpoch);
            }
        }
    }
    Ok(header)
}

/// A batch whose header and checksum are valid, and the rules for its records.
struct Payload<'a> {
    header: &'a BatchHeader,
    bytes: &'a [u8],
    config: &'a LogConfig,
    now: Timestamp,
    effort: Effort<'a>,
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

    /// Acquires memory to decompress the records in, after checking the sizes in their headers.
    fn memory(&self, codec: CompressionType) -> Result<DecompressionPermit<'_>, Stop> {
        let bytes = working_memory(codec, self.records(), self.effort.unpacked_max());
        match bytes {
            Ok(bytes) => self.effort.memory(bytes),
            Err(CompressionError::TooLarge(_)) => Err(self.effort.too_large()),
            Err(error) => Err(BatchError::Compression(error.to_string()).into()),
        }
    }

    fn decompressor(&self, codec: CompressionType) -> Result<Decompressor<'_>, ValidateError> {
        let (Effort::Brief(memory) | Effort::Full(memory)) = self.effort;
        let reader = Decompressor::new(codec, self.records(), Some(memory));
        reader.map_err(recompress::broken(codec))
    }

    /// Checks uncompressed records. Returns the largest timestamp.
    fn check_uncompressed(&self) -> Result<Option<Timestamp>, ValidateError> {
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

    /// Checks compressed records while they are decompressed. Returns the largest timestamp.
    fn check_compressed(&self, codec: CompressionType) -> Result<Option<Timestamp>, Stop> {
        let _memory = self.memory(codec)?;
        let reader = self.decompressor(codec)?;
        self.check_stream(reader, codec)
    }

    fn check_stream(
        &self,
        reader: impl std::io::Read,
        codec: CompressionType,
    ) -> Result<Option<Timestamp>, Stop> {
        let mut check = RecordCheck::new(self);
        let record_max = match codec {
            CompressionType::None => u32::MAX,
            _ => self.config.max_decompressed_message_bytes,
        };
        let mut records = RecordWalk::new(self.header, reader, self.effort.unpacked_max())
            .limit_records(record_max);
        loop {
            match records.next_head() {
                Ok(Some(record)) => check.record(
                    record.index,
                    record.timestamp,
                    record.offset_delta,
                    record.has_key,
                ),
                Ok(None) => return Ok(check.finish()?),
                Err(StreamError::Batch(error)) => return Err(error.into()),
                Err(StreamError::TooLarge(_)) => return Err(self.effort.too_large()),
                Err(StreamError::RecordTooLarge { index, size }) => {
                    let max = record_max;
                    return Err(ValidateError::RecordTooLarge { index, size, max }.into());
                }
                Err(StreamError::Io(error)) => {
                    let max = self.config.max_message_bytes;
                    return Err(recompress::sink_or_broken(error, codec, max).into());
                }
            }
        }
    }

    /// Checks the largest timestamp in the header, for batches that are not decompressed.
    fn check_max_timestamp(&self) -> Result<(), ValidateError> {
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

/// The rules for single records, and the results collected while they are checked.
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

    fn finish(self) -> Result<Option<Timestamp>, ValidateError> {
        self.errors.finish()?;
        Ok(self.max_timestamp)
    }
}
