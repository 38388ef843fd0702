//! Record batches that are encoded once and sent many times.
//!
//! What differs between two batches is at their beginning: timestamps, the producer's id, epoch and
//! sequence, and, where the end-to-end latency is measured, the time at which the batch is due. The
//! rest is shared. The checksum of the whole is computed from that of the beginning and the known
//! one of the rest, so the rest is not read again.
//!
//! Pure.

use bytes::{Bytes, BytesMut};
use crc_fast::{CrcAlgorithm, checksum, checksum_combine};
use kacrab_protocol::compression::Compression;
use kacrab_protocol::record::{Record, RecordBatch, RecordError};

use crate::keys;
use crate::random::Random;

/// The bytes of a batch before its records.
pub(crate) const HEADER_BYTES: usize = 61;
/// Where the checksum is, and where the bytes that it covers begin.
const CRC: usize = 17;
const CHECKED: usize = 21;
const FIRST_TIMESTAMP: usize = 27;
const MAX_TIMESTAMP: usize = 35;
const PRODUCER_ID: usize = 43;
const PRODUCER_EPOCH: usize = 51;
const BASE_SEQUENCE: usize = 53;
const BATCH_LENGTH: usize = 8;
/// The bytes of a batch that its length does not count.
const LOG_OVERHEAD: usize = 12;
const TRANSACTIONAL: i16 = 1 << 4;

/// The bytes of a [`DueMark`] at the beginning of a value.
pub const MARK_BYTES: usize = 16;

/// The content of the batches.
#[derive(Debug, Clone)]
pub(crate) struct BatchContent<'a> {
    pub records: usize,
    /// Bytes of each value.
    pub record_size: usize,
    /// Of each value, this many bytes are random; the others are equal.
    pub random_bytes: usize,
    /// The numbers of the keys; empty for records without keys.
    pub keys: &'a [u64],
    pub compression: Compression,
    pub transactional: bool,
    /// Whether batches carry a [`DueMark`].
    pub marked: bool,
    pub seed: u64,
}

/// The beginning of the first value of a batch, when the end-to-end latency is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DueMark {
    /// Tells the records of this run from others.
    pub run: u64,
    /// When the batch is due, in nanoseconds since the run began.
    pub due: u64,
}

impl DueMark {
    fn bytes(self) -> [u8; MARK_BYTES] {
        let mut bytes = [0; MARK_BYTES];
        bytes[..8].copy_from_slice(&self.run.to_be_bytes());
        bytes[8..].copy_from_slice(&self.due.to_be_bytes());
        bytes
    }

    /// Reads the beginning of a value; `None` when it is too short.
    pub(crate) fn read(value: &[u8]) -> Option<Self> {
        let run = u64::from_be_bytes(*value.first_chunk()?);
        let due = u64::from_be_bytes(*value.get(8..)?.first_chunk()?);
        Some(Self { run, due })
    }
}

/// The producer of a batch, and the batch's place in the order of its partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sequenced {
    pub producer_id: i64,
    pub epoch: i16,
    pub base_sequence: i32,
}

/// What differs between the batches of one template.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp {
    /// Milliseconds since 1970.
    pub timestamp_ms: i64,
    pub producer: Option<Sequenced>,
    pub mark: Option<DueMark>,
}

/// A batch in two parts.
#[derive(Debug, Clone)]
pub(crate) struct StampedBatch {
    pub head: BytesMut,
    pub tail: Bytes,
}

impl StampedBatch {
    pub(crate) fn len(&self) -> usize {
        self.head.len() + self.tail.len()
    }
}

/// An encoded batch.
#[derive(Debug, Clone)]
pub(crate) struct BatchTemplate {
    /// The part that is copied and changed.
    head: Bytes,
    tail: Bytes,
    tail_crc: u32,
    shift: CrcShift,
    /// The records without compression, for batches that are compressed when they are sent.
    fresh: Option<Bytes>,
    compression: Compression,
    /// Where the first value begins: in the batch, or in `fresh`.
    first_value: usize,
    pub(crate) records: usize,
    /// Bytes of keys and values.
    pub(crate) payload_bytes: usize,
}

impl BatchTemplate {
    /// Encodes a batch. `content.records` is at least 1.
    ///
    /// # Errors
    /// When the batch is larger than the format allows.
    pub(crate) fn new(content: &BatchContent<'_>) -> Result<Self, RecordError> {
        let records = content.records();
        let payload_bytes = records
            .iter()
            .map(|record| {
                let size = |part: &Option<Bytes>| part.as_ref().map_or(0, Bytes::len);
                size(&record.key) + size(&record.value)
            })
            .sum();
        let mut first = BytesMut::new();
        records[0].encode(&mut first)?;
        // The number of headers, 0, is behind the value.
        let first_value = first.len() - 1 - content.record_size;
        let count = records.len();
        let mut batch = RecordBatch {
            base_offset: 0,
            partition_leader_epoch: -1,
            magic: 2,
            attributes: 0,
            last_offset_delta: count as i32 - 1,
            first_timestamp: 0,
            max_timestamp: 0,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            records,
        };
        if content.transactional {
            batch.attributes |= TRANSACTIONAL;
        }
        let plain = content.compression == Compression::None;
        let is_fresh = content.marked && !plain;
        let mut fresh = None;
        if is_fresh {
            let mut bytes = BytesMut::new();
            for record in &batch.records {
                record.encode(&mut bytes)?;
            }
            fresh = Some(bytes.freeze());
        }
        batch.attributes |= content.compression as i16;
        let mut bytes = BytesMut::new();
        batch.encode(&mut bytes)?;
        let first_value = match is_fresh {
            true => first_value,
            false => HEADER_BYTES + first_value,
        };
        let head = match content.marked && plain {
            true => first_value + MARK_BYTES,
            false => HEADER_BYTES,
        };
        let head = bytes.split_to(head).freeze();
        let tail = bytes.freeze();
        Ok(Self {
            tail_crc: crc32c(&tail),
            shift: CrcShift::over(tail.len()),
            head,
            tail,
            fresh,
            compression: content.compression,
            first_value,
            records: count,
            payload_bytes,
        })
    }

    /// Returns a batch that is ready to be sent.
    pub(crate) fn stamp(&self, stamp: &Stamp) -> StampedBatch {
        let mut head = BytesMut::from(&self.head[..]);
        let mut put = |at: usize, bytes: &[u8]| head[at..at + bytes.len()].copy_from_slice(bytes);
        put(FIRST_TIMESTAMP, &stamp.timestamp_ms.to_be_bytes());
        put(MAX_TIMESTAMP, &stamp.timestamp_ms.to_be_bytes());
        if let Some(producer) = stamp.producer {
            put(PRODUCER_ID, &producer.producer_id.to_be_bytes());
            put(PRODUCER_EPOCH, &producer.epoch.to_be_bytes());
            put(BASE_SEQUENCE, &producer.base_sequence.to_be_bytes());
        }
        let mark = stamp.mark.map(DueMark::bytes);
        if let (Some(fresh), Some(mark)) = (&self.fresh, mark) {
            let mut records = BytesMut::from(&fresh[..]);
            records[self.first_value..self.first_value + MARK_BYTES].copy_from_slice(&mark);
            // The same records were compressed when the template was made.
            let tail = self.compression.compress(&records).unwrap_or_default();
            let length = (HEADER_BYTES - LOG_OVERHEAD + tail.len()) as i32;
            put(BATCH_LENGTH, &length.to_be_bytes());
            let crc = CrcShift::over(tail.len()).of(crc32c(&head[CHECKED..])) ^ crc32c(&tail);
            head[CRC..CHECKED].copy_from_slice(&crc.to_be_bytes());
            return StampedBatch {
                head,
                tail: tail.into(),
            };
        }
        if let Some(mark) = mark {
            put(self.first_value, &mark);
        }
        let crc = self.shift.of(crc32c(&head[CHECKED..])) ^ self.tail_crc;
        head[CRC..CHECKED].copy_from_slice(&crc.to_be_bytes());
        StampedBatch {
            head,
            tail: self.tail.clone(),
        }
    }
}

impl BatchContent<'_> {
    fn records(&self) -> Vec<Record> {
        let mut random = Random::new(self.seed);
        let record = |index| {
            let key = match self.keys.len() as u64 {
                0 => None,
                keys => Some(self.keys[random.below(keys) as usize]),
            };
            let mut value = BytesMut::zeroed(self.record_size);
            random.fill(&mut value, self.random_bytes);
            Record {
                attributes: 0,
                timestamp_delta: 0,
                offset_delta: index as i32,
                key: key.map(|key| keys::text(key).into()),
                value: Some(value.freeze()),
                headers: Vec::new(),
            }
        };
        (0..self.records).map(record).collect()
    }
}

fn crc32c(bytes: &[u8]) -> u32 {
    checksum(CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

/// What appending a number of bytes does to a checksum of the bytes before them, as a linear map
/// over GF(2): one column for each bit.
#[derive(Debug, Clone)]
struct CrcShift([u32; 32]);

impl CrcShift {
    fn over(length: usize) -> Self {
        let column = |bit: usize| {
            let one = 1 << bit;
            checksum_combine(CrcAlgorithm::Crc32Iscsi, one, 0, length as u64) as u32
        };
        Self(std::array::from_fn(column))
    }

    fn of(&self, crc: u32) -> u32 {
        let bit = |bit: usize| self.0[bit] & 0_u32.wrapping_sub(crc >> bit & 1);
        (0..32).map(bit).fold(0, |sum, column| sum ^ column)
    }
}

#[cfg(test)]
mod tests;

/// Returns a batch as it is sent.
#[cfg(test)]
pub(crate) fn join(batch: &StampedBatch) -> Bytes {
    [&batch.head[..], &batch.tail[..]].concat().into()
}
