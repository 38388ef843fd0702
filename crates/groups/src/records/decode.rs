//! Decodes records, in every version that Kafka 4.3 reads.
//!
//! The sizes given to `items` are those of an item whose texts and arrays are empty.

use std::sync::Arc;

use dohle_model::{LeaderEpoch, Offset, PartitionIndex, Timestamp};

use super::{
    ClassicGroupValue, ClassicMemberValue, ClassicMetadata, ConsumerCurrentValue,
    ConsumerGroupValue, ConsumerMemberValue, ConsumerRegexValue, ConsumerTargetValue, OffsetKey,
    OffsetValue, Record, RecordFormatError, TopicPartitions, key_type,
};
use crate::ids::{GroupId, InstanceId, MemberId};
use dohle_machine::wire::FieldReader;

/// The record in a key and a value; `None` when the type in the key is not known.
///
/// # Errors
/// When the bytes end too early, are of a version that is not known, or violate their schema.
pub fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<Record>, RecordFormatError> {
    let mut key = FieldReader::new(key);
    let record = match key.i16()? {
        key_type::OFFSET_LEGACY => Record::Offset(offset_key(&mut key)?, at(value, 0, 1, offset)?),
        key_type::OFFSET => Record::Offset(offset_key(&mut key)?, at(value, 4, 4, offset)?),
        key_type::CLASSIC => Record::Classic(group_id(&mut key)?, at(value, 4, 4, classic)?),
        key_type::CONSUMER_GROUP => {
            Record::ConsumerGroup(group_id(&mut key)?, at(value, 0, 0, consumer_group)?)
        }
        key_type::CONSUMER_PARTITION_METADATA => {
            Record::ConsumerPartitionMetadata(group_id(&mut key)?, at(value, 0, 0, |_, _| Ok(()))?)
        }
        key_type::CONSUMER_MEMBER => {
            let (group, member) = (group_id(&mut key)?, member_id(&mut key)?);
            Record::ConsumerMember(group, member, at(value, 0, 0, consumer_member)?)
        }
        key_type::CONSUMER_TARGET => {
            Record::ConsumerTarget(group_id(&mut key)?, at(value, 0, 0, consumer_target)?)
        }
        key_type::CONSUMER_TARGET_MEMBER => {
            let (group, member) = (group_id(&mut key)?, member_id(&mut key)?);
            let value = at(value, 0, 0, consumer_target_member)?;
            Record::ConsumerTargetMember(group, member, value)
        }
        key_type::CONSUMER_CURRENT => {
            let (group, member) = (group_id(&mut key)?, member_id(&mut key)?);
            Record::ConsumerCurrent(group, member, at(value, 0, 0, consumer_current)?)
        }
        key_type::CONSUMER_REGEX => {
            let (group, regex) = (group_id(&mut key)?, key.text()?.to_owned());
            Record::ConsumerRegex(group, regex, at(value, 0, 0, consumer_regex)?)
        }
        _ => return Ok(None),
    };
    Ok(Some(record))
}

/// Decodes a value, unless it is a tombstone. `last` is the newest version, `flexible` the first
/// flexible one.
fn at<T>(
    value: Option<&[u8]>,
    last: i16,
    flexible: i16,
    fields: impl FnOnce(&mut FieldReader<'_>, i16) -> Result<T, RecordFormatError>,
) -> Result<Option<T>, RecordFormatError> {
    let Some(value) = value else {
        return Ok(None);
    };
    let mut value = FieldReader::new(value);
    let version = value.i16()?;
    if !(0..=last).contains(&version) {
        return Err(RecordFormatError::Version { version, last });
    }
    value.flexible(version >= flexible);
    fields(&mut value, version).map(Some)
}

fn group_id(reader: &mut FieldReader<'_>) -> Result<GroupId, RecordFormatError> {
    reader.text().map(GroupId::new)
}

fn member_id(reader: &mut FieldReader<'_>) -> Result<MemberId, RecordFormatError> {
    reader.text().map(MemberId::new)
}

fn owned(text: Option<&str>) -> Option<String> {
    text.map(str::to_owned)
}

fn offset_key(key: &mut FieldReader<'_>) -> Result<OffsetKey, RecordFormatError> {
    Ok(OffsetKey {
        group_id: group_id(key)?,
        topic: Arc::from(key.text()?),
        partition: PartitionIndex(key.i32()?),
    })
}

fn offset(value: &mut FieldReader<'_>, version: i16) -> Result<OffsetValue, RecordFormatError> {
    let offset = Offset(value.i64()?);
    let leader_epoch = match version {
        3.. => LeaderEpoch::from_wire(value.i32()?),
        _ => None,
    };
    let metadata = Arc::from(value.text()?);
    let commit_timestamp = Timestamp(value.i64()?);
    let expire_timestamp = match version {
        1 => Timestamp::from_wire(value.i64()?),
        _ => None,
    };
    let mut topic_id = None;
    value.tagged(|tag, value| {
        if tag == 0 {
            topic_id = Some(value.topic_id()?).filter(|id| !id.is_zero());
        }
        Ok(())
    })?;
    Ok(OffsetValue {
        offset,
        leader_epoch,
        metadata,
        commit_timestamp,
        expire_timestamp,
        topic_id,
    })
}

fn classic(
    value: &mut FieldReader<'_>,
    version: i16,
) -> Result<ClassicGroupValue, RecordFormatError> {
    let group = ClassicGroupValue {
        protocol_type: value.text()?.to_owned(),
        generation: value.i32()?,
        protocol: owned(value.nullable_text()?),
        leader: value.nullable_text()?.map(MemberId::new),
        current_state_timestamp: match version {
            2.. => Timestamp::from_wire(value.i64()?),
            _ => None,
        },
        members: value.items(9, |value| classic_member(value, version))?,
    };
    value.no_tagged()?;
    Ok(group)
}

fn classic_member(
    value: &mut FieldReader<'_>,
    version: i16,
) -> Result<ClassicMemberValue, RecordFormatError> {
    let member_id = member_id(value)?;
    let group_instance_id = match version {
        3.. => value.nullable_text()?.map(InstanceId::new),
        _ => None,
    };
    let client_id = value.text()?.to_owned();
    let client_host = value.text()?.to_owned();
    // Version 0 has one timeout for both purposes, as -1 means in later versions.
    let rebalance_timeout = match version {
        1.. => value.i32()?,
        _ => -1,
    };
    let session_timeout = value.i32()?;
    let member = ClassicMemberValue {
        member_id,
        group_instance_id,
        client_id,
        client_host,
        rebalance_timeout: match rebalance_timeout {
            -1 => session_timeout,
            timeout => timeout,
        },
        session_timeout,
        subscription: value.bytes()?,
        assignment: value.bytes()?,
    };
    value.no_tagged()?;
    Ok(member)
}

fn consumer_group(
    value: &mut FieldReader<'_>,
    _: i16,
) -> Result<ConsumerGroupValue, RecordFormatError> {
    let epoch = value.i32()?;
    let mut metadata_hash = 0;
    value.tagged(|tag, value| {
        if tag == 0 {
            metadata_hash = value.i64()?;
        }
        Ok(())
    })?;
    Ok(ConsumerGroupValue {
        epoch,
        metadata_hash,
    })
}

fn consumer_member(
    value: &mut FieldReader<'_>,
    _: i16,
) -> Result<ConsumerMemberValue, RecordFormatError> {
    let mut member = ConsumerMemberValue {
        instance_id: value.nullable_text()?.map(InstanceId::new),
        rack_id: owned(value.nullable_text()?),
        client_id: value.text()?.to_owned(),
        client_host: value.text()?.to_owned(),
        subscribed_topic_names: value.items(1, |value| value.text().map(str::to_owned))?,
        subscribed_topic_regex: owned(value.nullable_text()?),
        rebalance_timeout_ms: value.i32()?,
        server_assignor: owned(value.nullable_text()?),
        // Null is written out, and defaults are left out.
        classic: Some(ClassicMetadata::default()),
    };
    value.tagged(|tag, value| {
        if tag == 0 {
            member.classic = classic_metadata(value)?;
        }
        Ok(())
    })?;
    Ok(member)
}

fn classic_metadata(
    value: &mut FieldReader<'_>,
) -> Result<Option<ClassicMetadata>, RecordFormatError> {
    if value.i8()? <= 0 {
        return Ok(None);
    }
    let metadata = ClassicMetadata {
        session_timeout_ms: value.i32()?,
        supported_protocols: value.items(3, |value| {
            let protocol = (value.text()?.to_owned(), value.bytes()?);
            value.no_tagged()?;
            Ok(protocol)
        })?,
    };
    value.no_tagged()?;
    Ok(Some(metadata))
}

fn consumer_target(
    value: &mut FieldReader<'_>,
    _: i16,
) -> Result<ConsumerTargetValue, RecordFormatError> {
    let assignment_epoch = value.i32()?;
    let mut assignment_timestamp = None;
    value.tagged(|tag, value| {
        if tag == 0 {
            assignment_timestamp = Some(Timestamp(value.i64()?)).filter(|at| at.0 != 0);
        }
        Ok(())
    })?;
    Ok(ConsumerTargetValue {
        assignment_epoch,
        assignment_timestamp,
    })
}

fn consumer_target_member(
    value: &mut FieldReader<'_>,
    _: i16,
) -> Result<Vec<TopicPartitions>, RecordFormatError> {
    let topics = topics(value)?;
    value.no_tagged()?;
    Ok(topics)
}

fn consumer_current(
    value: &mut FieldReader<'_>,
    _: i16,
) -> Result<ConsumerCurrentValue, RecordFormatError> {
    let current = ConsumerCurrentValue {
        member_epoch: value.i32()?,
        previous_member_epoch: value.i32()?,
        state: value.i8()?,
        assigned_partitions: topics(value)?,
        partitions_pending_revocation: topics(value)?,
    };
    value.no_tagged()?;
    Ok(current)
}

fn topics(value: &mut FieldReader<'_>) -> Result<Vec<TopicPartitions>, RecordFormatError> {
    value.items(18, |value| {
        let topic_id = value.topic_id()?;
        let partitions = value.items(4, |value| value.i32().map(PartitionIndex))?;
        let mut assignment_epochs = Vec::new();
        value.tagged(|tag, value| {
            if tag == 0 {
                let epochs = value.nullable_items(4, FieldReader::i32)?;
                assignment_epochs = epochs.unwrap_or_default();
            }
            Ok(())
        })?;
        if !assignment_epochs.is_empty() && assignment_epochs.len() != partitions.len() {
            let (epochs, partitions) = (assignment_epochs.len(), partitions.len());
            return Err(RecordFormatError::Invalid(format!(
                "{epochs} assignment epochs for {partitions} partitions"
            )));
        }
        Ok(TopicPartitions {
            topic_id,
            partitions,
            assignment_epochs,
        })
    })
}

fn consumer_regex(
    value: &mut FieldReader<'_>,
    _: i16,
) -> Result<ConsumerRegexValue, RecordFormatError> {
    let regex = ConsumerRegexValue {
        topics: value.items(1, |value| value.text().map(str::to_owned))?,
        version: value.i64()?,
        timestamp: Timestamp(value.i64()?),
    };
    value.no_tagged()?;
    Ok(regex)
}
