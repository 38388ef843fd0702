//! The 61 bytes at the head of a batch.

use dohle_model::{ErrorCode, LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

use crate::compression::CompressionType;
use dohle_config::TimestampType;

/// Bytes of base offset and length, which `batch_length` does not count.
pub const LOG_OVERHEAD: usize = 12;
/// Bytes of a v2 header.
pub const BATCH_HEADER_SIZE: usize = 61;

pub(crate) const LENGTH_AT: usize = 8;
pub(crate) const LEADER_EPOCH_AT: usize = 12;
pub(crate) const MAGIC_AT: usize = 16;
pub(crate) const CRC_AT: usize = 17;
pub(crate) const ATTRIBUTES_AT: usize = 21;
pub(crate) const LAST_OFFSET_DELTA_AT: usize = 23;
pub(crate) const BASE_TIMESTAMP_AT: usize = 27;
pub(crate) const MAX_TIMESTAMP_AT: usize = 35;
pub(crate) const PRODUCER_ID_AT: usize = 43;
pub(crate) const PRODUCER_EPOCH_AT: usize = 51;
pub(crate) const BASE_SEQUENCE_AT: usize = 53;
pub(crate) const RECORD_COUNT_AT: usize = 57;

const MAGIC_V2: i8 = 2;

/// The reason why bytes are not a valid batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// There are fewer bytes than a header has, or than the header's length field requires.
    #[error("batch needs {needed} bytes, {available} are available")]
    Truncated {
        /// Bytes that the batch needs, including the header.
        needed: u64,
        /// Bytes that are available.
        available: u64,
    },
    /// The length field is negative or smaller than a header.
    #[error("batch length {0} is smaller than a batch header")]
    InvalidLength(i32),
    /// Magic 0 or 1: message formats that brokers no longer accept.
    #[error("message format v{0} is not supported, only v2 is")]
    UnsupportedMagic(i8),
    /// A magic that belongs to no message format.
    #[error("magic {0} is not the magic of a record batch")]
    InvalidMagic(i8),
    /// The checksum does not match.
    #[error("CRC32C is {computed:#010x}, the batch header has {stored:#010x}")]
    CrcMismatch {
        /// The checksum in the header.
        stored: u32,
        /// The checksum computed from the bytes.
        computed: u32,
    },
    /// The base offset is negative, or the last offset leaves the range of `i64`.
    #[error("base offset {base_offset} and last offset delta {last_offset_delta} are out of range")]
    InvalidOffsets {
        /// The base offset in the header.
        base_offset: i64,
        /// The last offset delta in the header.
        last_offset_delta: i32,
    },
    /// The record count is negative.
    #[error("record count {0} is negative")]
    NegativeCount(i32),
    /// The attributes contain an unknown codec.
    #[error("compression type {0} is unknown")]
    UnknownCompression(u8),
    /// One of the records is invalid.
    #[error("record {index}: {problem}")]
    Record {
        /// The record's index in the batch, from 0.
        index: u32,
        /// What is wrong.
        problem: &'static str,
    },
    /// The batch has fewer or more records than the count in its header.
    #[error("batch has {found} records, its header has a count of {expected}")]
    CountMismatch {
        /// The count in the header.
        expected: i32,
        /// The number of records found.
        found: i32,
    },
    /// The compressed data are invalid or unpack to too many bytes.
    #[error("records cannot be decompressed: {0}")]
    Compression(String),
}

impl BatchError {
    /// Returns the error code that Kafka sends for such a batch.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Truncated { .. }
            | Self::InvalidLength(_)
            | Self::InvalidMagic(_)
            | Self::CrcMismatch { .. } => ErrorCode::CorruptMessage,
            Self::UnsupportedMagic(_) => ErrorCode::UnsupportedForMessageFormat,
            Self::UnknownCompression(_) => ErrorCode::UnsupportedCompressionType,
            Self::InvalidOffsets { .. }
            | Self::NegativeCount(_)
            | Self::Record { .. }
            | Self::CountMismatch { .. }
            | Self::Compression(_) => ErrorCode::InvalidRecord,
        }
    }
}

/// The attributes of a batch: bits 0–2 codec, 3 timestamp type, 4 transactional, 5 control,
/// 6 delete horizon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Attributes(pub i16);

impl Attributes {
    pub(crate) const TIMESTAMP_TYPE: i16 = 1 << 3;
    pub(crate) const TRANSACTIONAL: i16 = 1 << 4;
    pub(crate) const CONTROL: i16 = 1 << 5;
    pub(crate) const DELETE_HORIZON: i16 = 1 << 6;

    /// The codec.
    ///
    /// # Errors
    /// When the bits are not the id of a codec.
    pub fn compression(self) -> Result<CompressionType, BatchError> {
        let id = (self.0 & 0x07) as u8;
        CompressionType::from_id(id).ok_or(BatchError::UnknownCompression(id))
    }

    /// Returns whether the records carry the producer's or the broker's time.
    #[must_use]
    pub fn timestamp_type(self) -> TimestampType {
        if self.0 & Self::TIMESTAMP_TYPE != 0 {
            TimestampType::LogAppendTime
        } else {
            TimestampType::CreateTime
        }
    }

    /// Returns the attributes with another timestamp type.
    #[must_use]
    pub(crate) fn with_timestamp_type(self, kind: TimestampType) -> Self {
        match kind {
            TimestampType::CreateTime => Self(self.0 & !Self::TIMESTAMP_TYPE),
            TimestampType::LogAppendTime => Self(self.0 | Self::TIMESTAMP_TYPE),
        }
    }

    /// Returns whether the batch is part of a transaction.
    #[must_use]
    pub fn is_transactional(self) -> bool {
        self.0 & Self::TRANSACTIONAL != 0
    }

    /// Returns whether the batch holds control records, which consumers do not see.
    #[must_use]
    pub fn is_control(self) -> bool {
        self.0 & Self::CONTROL != 0
    }

    /// Returns whether the base timestamp is compaction's delete horizon (KIP-534).
    #[must_use]
    pub fn has_delete_horizon(self) -> bool {
        self.0 & Self::DELETE_HORIZON != 0
    }

    /// Returns the attributes with a delete horizon.
    #[must_use]
    pub(crate) fn with_delete_horizon(self) -> Self {
        Self(self.0 | Self::DELETE_HORIZON)
    }

    /// Returns the attributes for a batch without records: no codec and no delete horizon.
    #[must_use]
    pub(crate) fn of_empty_batch(self) -> Self {
        Self(self.0 & !(0x07 | Self::DELETE_HORIZON))
    }
}

/// A parsed batch header.
///
/// Invariant of a value from [`BatchHeader::parse`]: the last offset and the one after it are in
/// the range of `i64`, `last_offset_delta` and `record_count` are not negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// The offset of the first record that the batch was produced with. Compaction does not change
    /// it.
    pub base_offset: Offset,
    /// Bytes of the whole batch, including the header.
    pub size: u32,
    /// The epoch of the leader that appended the batch; `None` in a produce request.
    pub partition_leader_epoch: Option<LeaderEpoch>,
    /// CRC32C of the bytes that begin with the attributes.
    pub crc: u32,
    /// Codec and flags.
    pub attributes: Attributes,
    /// The last offset, relative to the base offset.
    pub last_offset_delta: i32,
    /// The base of the records' timestamp deltas, in milliseconds; negative when unset.
    pub base_timestamp: i64,
    /// The largest timestamp of the records, or the log append time.
    pub max_timestamp: Option<Timestamp>,
    /// The id of the idempotent producer, if any.
    pub producer_id: Option<ProducerId>,
    /// The producer's epoch.
    pub producer_epoch: Option<ProducerEpoch>,
    /// The sequence of the first record.
    pub base_sequence: Option<Sequence>,
    /// The number of records in the batch; 0 only after compaction.
    pub record_count: i32,
}

impl BatchHeader {
    /// Parses the header at the start of `bytes`, which may hold more or less than the batch.
    ///
    /// # Errors
    /// When the header is incomplete or is not a v2 header. The checksum is not verified.
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        let Some(head) = bytes.first_chunk::<BATCH_HEADER_SIZE>() else {
            return Err(Self::explain_short(bytes));
        };
        Self::check_magic(head[MAGIC_AT] as i8)?;
        let length = i32_at(head, LENGTH_AT);
        if length < (BATCH_HEADER_SIZE - LOG_OVERHEAD) as i32 {
            return Err(BatchError::InvalidLength(length));
        }
        let base_offset = i64_at(head, 0);
        let last_offset_delta = i32_at(head, LAST_OFFSET_DELTA_AT);
        let next = base_offset.checked_add(i64::from(last_offset_delta) + 1);
        if base_offset < 0 || last_offset_delta < 0 || next.is_none() {
            return Err(BatchError::InvalidOffsets {
                base_offset,
                last_offset_delta,
            });
        }
        let record_count = i32_at(head, RECORD_COUNT_AT);
        if record_count < 0 {
            return Err(BatchError::NegativeCount(record_count));
        }
        Ok(Self {
            base_offset: Offset(base_offset),
            size: length as u32 + LOG_OVERHEAD as u32,
            partition_leader_epoch: LeaderEpoch::from_wire(i32_at(head, LEADER_EPOCH_AT)),
            crc: i32_at(head, CRC_AT) as u32,
            attributes: Attributes(i16_at(head, ATTRIBUTES_AT)),
            last_offset_delta,
            base_timestamp: i64_at(head, BASE_TIMESTAMP_AT),
            max_timestamp: Timestamp::from_wire(i64_at(head, MAX_TIMESTAMP_AT)),
            producer_id: ProducerId::from_wire(i64_at(head, PRODUCER_ID_AT)),
            producer_epoch: ProducerEpoch::from_wire(i16_at(head, PRODUCER_EPOCH_AT)),
            base_sequence: Sequence::from_wire(i32_at(head, BASE_SEQUENCE_AT)),
            record_count,
        })
    }

    /// Returns the most precise reason why `bytes`, shorter than a v2 header, are not a header. A
    /// message of an older format may be shorter than a v2 header.
    fn explain_short(bytes: &[u8]) -> BatchError {
        if let Some(magic) = bytes.get(MAGIC_AT)
            && let Err(error) = Self::check_magic(*magic as i8)
        {
            return error;
        }
        BatchError::Truncated {
            needed: BATCH_HEADER_SIZE as u64,
            available: bytes.len() as u64,
        }
    }

    fn check_magic(magic: i8) -> Result<(), BatchError> {
        match magic {
            MAGIC_V2 => Ok(()),
            0 | 1 => Err(BatchError::UnsupportedMagic(magic)),
            _ => Err(BatchError::InvalidMagic(magic)),
        }
    }

    /// Compares the checksum with that of `batch`, the bytes of the whole batch.
    ///
    /// # Errors
    /// [`BatchError::Truncated`] when `batch` is shorter than the length in the header, or
    /// [`BatchError::CrcMismatch`].
    pub fn check_crc(&self, batch: &[u8]) -> Result<(), BatchError> {
        let Some(covered) = batch.get(ATTRIBUTES_AT..self.size as usize) else {
            return Err(BatchError::Truncated {
                needed: u64::from(self.size),
                available: batch.len() as u64,
            });
        };
        let computed = crc32c(covered);
        if computed != self.crc {
            return Err(BatchError::CrcMismatch {
                stored: self.crc,
                computed,
            });
        }
        Ok(())
    }

    /// Returns the offset of the last record.
    #[must_use]
    pub fn last_offset(&self) -> Offset {
        self.base_offset.plus(i64::from(self.last_offset_delta))
    }

    /// Returns the offset after the last record.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        self.base_offset.plus(i64::from(self.last_offset_delta) + 1)
    }

    /// Returns the time from which compaction may drop the batch's tombstones and markers
    /// (KIP-534); `None` until compaction has processed them once.
    #[must_use]
    pub fn delete_horizon(&self) -> Option<Timestamp> {
        self.attributes
            .has_delete_horizon()
            .then_some(Timestamp(self.base_timestamp))
    }

    /// Returns the sequence of the last record.
    #[must_use]
    pub fn last_sequence(&self) -> Option<Sequence> {
        self.base_sequence
            .map(|base| base.plus(self.last_offset_delta))
    }
}

/// Computes the CRC32C (Castagnoli), as Kafka does, with the processor's instructions where
/// available.
#[must_use]
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

// The callers pass fixed arrays, or slices whose length they have checked.
fn i16_at(bytes: &[u8; BATCH_HEADER_SIZE], at: usize) -> i16 {
    i16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn i32_at(bytes: &[u8; BATCH_HEADER_SIZE], at: usize) -> i32 {
    i32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn i64_at(bytes: &[u8; BATCH_HEADER_SIZE], at: usize) -> i64 {
    let high = i64::from(i32_at(bytes, at));
    let low = i64::from(i32_at(bytes, at + 4) as u32);
    (high << 32) | low
}
