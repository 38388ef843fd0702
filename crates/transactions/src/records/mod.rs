//! The records of `__transaction_state` in Kafka's formats (`TransactionLogKey.json` and
//! `TransactionLogValue.json` of Kafka's transaction coordinator, 4.3). The first two bytes of a
//! key are the type of the record, those of a value its version; a value of `None` is a tombstone.
//!
//! Invariant: Apache Kafka 4.3 can read what is encoded here, and the reverse. Records of unknown
//! types are skipped, and so are unknown tagged fields.

use bytes::Bytes;
pub use dohle_machine::wire::RecordFormatError;
use dohle_machine::wire::{FieldReader, Writer};
use dohle_model::{
    PartitionIndex, ProducerEpoch, ProducerId, Timestamp, TopicName, TopicPartition,
};

use crate::ids::TransactionalId;
use crate::metadata::TransactionMetadata;
use crate::partition_set::PartitionSet;
use crate::state::{TransactionState, TransactionVersion};

#[cfg(test)]
mod tests;

/// The type of a key: the state of a transactional id.
const KEY_TYPE: i16 = 0;
/// The newest version of a value.
const VERSION_MAX: i16 = 1;
/// Tags of a value.
mod tag {
    pub const PREVIOUS_PRODUCER_ID: u32 = 0;
    pub const NEXT_PRODUCER_ID: u32 = 1;
    pub const CLIENT_VERSION: u32 = 2;
}

/// The version of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueVersion {
    /// Not flexible, for `transaction.version` 0: without the previous and the next id of a
    /// producer, and without the version of the client.
    V0,
    /// Flexible, with these fields.
    V1,
}

impl ValueVersion {
    /// Returns the version to write in a cluster with this `transaction.version`.
    #[must_use]
    pub const fn of(version: TransactionVersion) -> Self {
        match version {
            TransactionVersion::V0 => Self::V0,
            TransactionVersion::V1 | TransactionVersion::V2 => Self::V1,
        }
    }
}

/// A record: a transactional id, and its state or a tombstone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionRecord {
    /// The transactional id.
    pub transactional_id: TransactionalId,
    /// The state; `None` is a tombstone.
    pub metadata: Option<TransactionMetadata>,
    /// The version of the value. A tombstone does not store it.
    pub version: ValueVersion,
}

/// Encodes the record's key and value.
///
/// # Errors
/// [`RecordFormatError::TooLong`] when the transactional id is too long for its length field.
pub fn encode(record: &TransactionRecord) -> Result<(Bytes, Option<Bytes>), RecordFormatError> {
    let mut key = Writer::key(KEY_TYPE);
    key.text(record.transactional_id.as_str())?;
    let metadata = record.metadata.as_ref();
    let value = metadata.map(|metadata| encode_value(metadata, record.version));
    Ok((key.finish(), value.transpose()?))
}

fn encode_value(
    metadata: &TransactionMetadata,
    version: ValueVersion,
) -> Result<Bytes, RecordFormatError> {
    let mut value = match version {
        ValueVersion::V0 => Writer::value(0, false),
        ValueVersion::V1 => Writer::value(1, true),
    };
    value.i64(metadata.producer_id.0);
    value.i16(metadata.producer_epoch.0);
    value.i32(metadata.timeout_ms.unwrap_or(i32::MAX));
    value.i8(metadata.state.id());
    if metadata.state == TransactionState::Empty {
        value.null_items();
    } else {
        let topics = metadata.partitions.topics();
        value.items(&topics, |value, (topic, partitions)| {
            value.text(topic.as_str())?;
            value.items(partitions, |value, partition| {
                value.i32(partition.0);
                Ok(())
            })?;
            value.no_tagged();
            Ok(())
        })?;
    }
    value.i64(metadata.updated.0);
    value.i64(Timestamp::to_wire(metadata.started));
    if version == ValueVersion::V1 {
        encode_tags(metadata, &mut value)?;
    }
    Ok(value.finish())
}

/// Fields that have their default value are not stored, as in Kafka.
fn encode_tags(
    metadata: &TransactionMetadata,
    value: &mut Writer,
) -> Result<(), RecordFormatError> {
    let previous = metadata.previous_producer_id;
    let next = metadata.next_producer_id;
    let client = metadata.client_version;
    let has_client = client != TransactionVersion::V0;
    let count = u32::from(previous.is_some()) + u32::from(next.is_some()) + u32::from(has_client);
    value.tagged_count(count);
    for (tag, id) in [
        (tag::PREVIOUS_PRODUCER_ID, previous),
        (tag::NEXT_PRODUCER_ID, next),
    ] {
        if let Some(id) = id {
            value.tagged_field(tag, |value| {
                value.i64(id.0);
                Ok(())
            })?;
        }
    }
    if has_client {
        value.tagged_field(tag::CLIENT_VERSION, |value| {
            value.i16(i16::from(client.level()));
            Ok(())
        })?;
    }
    Ok(())
}

/// The most bytes that a record with these partitions takes as a batch of its own, whatever its
/// state is: some 100 bytes, and 3 for each topic, more than most take. A transaction whose
/// partitions fit can be ended, by a client of any version and after any change of
/// `transaction.version`.
pub(crate) fn batch_bytes_max(id: &TransactionalId, partitions: &PartitionSet) -> usize {
    /// The header of the batch, and the record's fields besides key and value.
    const BATCH: usize = 61 + 25;
    const KEY: usize = 2 + 2;
    /// Version 1 with all tagged fields; the lengths are those of version 0.
    const VALUE: usize = 2 + 8 + 2 + 4 + 1 + 4 + 8 + 8 + TAGGED;
    const TAGGED: usize = 1 + 10 + 10 + 4;
    /// The lengths of a topic's name and partitions, which take more in version 0.
    const TOPIC: usize = 2 + 4;
    const INDEX: usize = 4;
    let mut bytes = BATCH + KEY + id.as_str().len() + VALUE + INDEX * partitions.len();
    let mut last = None;
    for TopicPartition { topic, .. } in partitions.iter() {
        if last != Some(topic) {
            bytes += TOPIC + topic.as_str().len();
            last = Some(topic);
        }
    }
    bytes
}

/// Reads a record; `None` when its type is unknown.
///
/// # Errors
/// When the bytes are not a record of the type that the key names.
pub fn decode(
    key: &[u8],
    value: Option<&[u8]>,
) -> Result<Option<TransactionRecord>, RecordFormatError> {
    let mut key = FieldReader::new(key);
    if key.i16()? != KEY_TYPE {
        return Ok(None);
    }
    let transactional_id = TransactionalId::new(key.text()?);
    let Some(value) = value else {
        return Ok(Some(TransactionRecord {
            transactional_id,
            metadata: None,
            version: ValueVersion::V1,
        }));
    };
    let mut value = FieldReader::new(value);
    let version = match value.i16()? {
        0 => ValueVersion::V0,
        1 => ValueVersion::V1,
        version => {
            let last = VERSION_MAX;
            return Err(RecordFormatError::Version { version, last });
        }
    };
    value.flexible(version == ValueVersion::V1);
    Ok(Some(TransactionRecord {
        transactional_id,
        metadata: Some(decode_value(&mut value)?),
        version,
    }))
}

fn decode_value(value: &mut FieldReader<'_>) -> Result<TransactionMetadata, RecordFormatError> {
    let producer_id = ProducerId(value.i64()?);
    let producer_epoch = ProducerEpoch(value.i16()?);
    let timeout_ms = value.i32()?;
    let state = value.i8()?;
    let state = TransactionState::from_id(state).ok_or_else(|| {
        RecordFormatError::Invalid(format!("{state} is not the state of a transaction"))
    })?;
    let topics = value.nullable_items(5, |value| {
        let topic = value.text()?;
        let topic = TopicName::new(topic)
            .map_err(|error| RecordFormatError::Invalid(format!("a partition's {error}")))?;
        let partitions = value.items(4, |value| value.i32().map(PartitionIndex))?;
        value.no_tagged()?;
        Ok((topic, partitions))
    })?;
    let topics = topics.unwrap_or_default().into_iter();
    let partitions: PartitionSet = topics
        .flat_map(|(topic, indexes)| {
            let indexes = indexes.into_iter();
            indexes.map(move |partition| TopicPartition {
                topic: topic.clone(),
                partition,
            })
        })
        .collect();
    let updated = Timestamp(value.i64()?);
    let started = Timestamp::from_wire(value.i64()?);
    let mut metadata = TransactionMetadata {
        producer_id,
        previous_producer_id: None,
        next_producer_id: None,
        producer_epoch,
        last_producer_epoch: None,
        timeout_ms: (timeout_ms != i32::MAX).then_some(timeout_ms),
        state,
        partitions,
        started,
        updated,
        client_version: TransactionVersion::V0,
    };
    value.tagged(|tag, value| {
        match tag {
            tag::PREVIOUS_PRODUCER_ID => {
                metadata.previous_producer_id = ProducerId::from_wire(value.i64()?);
            }
            tag::NEXT_PRODUCER_ID => {
                metadata.next_producer_id = ProducerId::from_wire(value.i64()?);
            }
            tag::CLIENT_VERSION => {
                metadata.client_version = TransactionVersion::from_level(value.i16()?);
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(metadata)
}
