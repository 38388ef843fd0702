//! Admission of a produced batch by the leader: everything that can be said of it before it has an
//! offset.
//!
//! [`validate_briefly`] and [`validate_fully`] do what is expensive (checksum, walk of the records,
//! decompression, recompression, the one copy when the bytes are shared) and need no lock.
//! [`ValidatedBatch::assign`] then only patches a few bytes. Compressed batches are decompressed as
//! a stream to check that the records are what the header claims, and stored as they came.
//!
//! Invariant: what one admission holds besides the batch itself is a window, taken from the node's
//! [`DecompressionMemory`]; what may come out of a batch is bounded by [`UNPACKED_BYTES_MAX`].
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

/// The largest compressed batch that is checked briefly, in bytes as it is stored.
const BRIEF_COMPRESSED_MAX: usize = 32 << 10;
/// The largest batch that is recompressed briefly.
const BRIEF_RECOMPRESSED_MAX: usize = 8 << 10;
/// The largest uncompressed batch that is checked briefly.
const BRIEF_UNCOMPRESSED_MAX: usize = 1 << 20;
/// The most that may come out of a batch while it is checked briefly.
const BRIEF_UNPACKED_MAX: u64 = 256 << 10;

/// Who appends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AppendOrigin {
    /// A producer: everything is checked.
    Client,
    /// A group or transaction coordinator of this node: control batches and batches without a
    /// sequence are allowed, and what this process has compressed itself is not decompressed.
    Coordinator,
}

/// A batch that may be appended; it has no offset yet.
#[derive(Debug)]
pub struct ValidatedBatch {
    header: BatchHeader,
    batch: BytesMut,
    origin: AppendOrigin,
    log_append_time: Option<Timestamp>,
    marker: Option<EndTxnMarker>,
}

impl ValidatedBatch {
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

/// The outcome of a brief admission.
#[derive(Debug)]
pub enum Brief {
    /// The batch may be appended.
    ValidatedBatch(ValidatedBatch),
    /// To check the batch takes longer than a network thread may take, or memory that is not free
    /// now: [`validate_fully`] has to check it, on a thread that may block.
    Postponed(Bytes),
}

/// Checks a produce payload, if that takes a millisecond at most, and makes it ready for the log.
/// Never blocks. `now` is the wall clock.
///
/// # Errors
/// [`ValidateError`] says what is wrong; [`ValidateError::code`] is Kafka's code for it.
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

/// Checks a produce payload and makes it ready for the log. Waits for memory to decompress in, and
/// may compute for long.
///
/// # Errors
/// As [`validate_briefly`].
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

/// [`validate_fully`] with memory of its own: for coordinators, whose batches are not decompressed.
///
/// # Errors
/// As [`validate_briefly`].
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

/// What a check may take.
#[derive(Clone, Copy)]
enum Effort<'a> {
    Brief(&'a DecompressionMemory),
    Full(&'a DecompressionMemory),
}

impl<'a> Effort<'a> {
    /// Whether a batch of this size is too large to be checked briefly.
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

    /// More comes out than [`Effort::unpacked_max`].
    fn too_large(self) -> Stop {
        match self {
            Self::Brief(_) => Stop::Postponed,
            Self::Full(_) => Stop::Refused(ValidateError::Unpacked(UNPACKED_BYTES_MAX)),
        }
    }

    /// Memory to decompress in.
    fn memory(self, bytes: u64) -> Result<DecompressionPermit<'a>, Stop> {
        match self {
            Self::Brief(memory) => memory.try_acquire(bytes).ok_or(Stop::Postponed),
            Self::Full(memory) => Ok(memory.acquire(bytes)),
        }
    }
}

/// Why a check ends without a batch.
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

/// What a check has found.
struct Checked {
    header: BatchHeader,
    /// The batch in another codec, its checksum stale.
    recompressed: Option<BytesMut>,
    /// The topic's timestamp type is not that of the batch.
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
    // Control records keep their form (KAFKA-7519).
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
    // The topic says whose clock counts: that of a batch for another kind of topic is overruled,
    // and its records have their own timestamps.
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
        header,
        recompressed,
        overruled,
        max_timestamp: append_time.or(max_timestamp),
        append_time,
    })
}

impl Checked {
    /// The batch as it is to be stored.
    fn finish(
        self,
        records: Bytes,
        config: &LogConfig,
        origin: AppendOrigin,
    ) -> Result<ValidatedBatch, ValidateError> {
        let changed = self.recompressed.is_some() || self.overruled;
        let mut batch = self.recompressed.unwrap_or_else(|| to_mut(records));
        // The header tells the truth about the records' largest timestamp.
        if changed || self.max_timestamp != self.header.max_timestamp {
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

/// [`validate`] and [`ValidatedBatch::assign`] in one: the patched batch and its header.
///
/// # Errors
/// As [`validate`].
pub fn validate_and_assign(
    records: Bytes,
    config: &LogConfig,
    origin: AppendOrigin,
    now: Timestamp,
    next_offset: Offset,
    leader_epoch: LeaderEpoch,
) -> Result<(BatchHeader, Bytes), ValidateError> {
    Ok(validate(records, config, origin, now)?.assign(next_offset, leader_epoch))
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
        // A topic with create time overrules it, unless there is no time to take.
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
            if header.producer_epoch.is_none() {
                return Err(ValidateError::ProducerEpoch);
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

    /// Memory to decompress the records in, whose headers are checked for what they ask for.
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

    /// Walks uncompressed records; the largest timestamp.
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

    /// Walks compressed records as they are decompressed; the largest timestamp.
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
        let mut records = RecordWalk::new(self.header, reader, self.effort.unpacked_max());
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
                Err(StreamError::Io(error)) => {
                    let max = self.config.max_message_bytes;
                    return Err(recompress::sink_or_broken(error, codec, max).into());
                }
            }
        }
    }

    /// For batches that are not decompressed: at least what the header says must be in range.
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

    fn finish(self) -> Result<Option<Timestamp>, ValidateError> {
        self.errors.finish()?;
        Ok(self.max_timestamp)
    }
}
