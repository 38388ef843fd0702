//! Encodes records, in the versions that Kafka 4.3 writes (`GroupCoordinatorRecordHelpers`).

use bytes::Bytes;
use dohle_model::{LeaderEpoch, Timestamp};

use super::{
    ClassicGroupValue, ClassicMetadata, ConsumerCurrentValue, ConsumerGroupValue,
    ConsumerMemberValue, ConsumerRegexValue, ConsumerTargetValue, OffsetKey, OffsetValue, Record,
    RecordFormatError, TopicPartitions, key_type,
};
use dohle_machine::wire::Writer;

impl Record {
    /// The bytes of the key and of the value; `None` is a tombstone.
    ///
    /// # Errors
    /// [`RecordFormatError::TooLong`] when a text is too long for its length field. Ids in keys,
    /// which clients choose, have at most 32,767 bytes.
    pub fn encode(&self) -> Result<(Bytes, Option<Bytes>), RecordFormatError> {
        Ok((self.encode_key()?, self.encode_value()?))
    }

    fn encode_key(&self) -> Result<Bytes, RecordFormatError> {
        let (key_type, group_id, second) = match self {
            Self::Offset(key, _) => return offset_key(key),
            Self::Classic(group, _) => (key_type::CLASSIC, group, None),
            Self::ConsumerGroup(group, _) => (key_type::CONSUMER_GROUP, group, None),
            Self::ConsumerPartitionMetadata(group, _) => {
                (key_type::CONSUMER_PARTITION_METADATA, group, None)
            }
            Self::ConsumerMember(group, member, _) => {
                (key_type::CONSUMER_MEMBER, group, Some(member.as_str()))
            }
            Self::ConsumerTarget(group, _) => (key_type::CONSUMER_TARGET, group, None),
            Self::ConsumerTargetMember(group, member, _) => (
                key_type::CONSUMER_TARGET_MEMBER,
                group,
                Some(member.as_str()),
            ),
            Self::ConsumerCurrent(group, member, _) => {
                (key_type::CONSUMER_CURRENT, group, Some(member.as_str()))
            }
            Self::ConsumerRegex(group, regex, _) => {
                (key_type::CONSUMER_REGEX, group, Some(regex.as_str()))
            }
        };
        let mut writer = Writer::key(key_type);
        writer.text(group_id.as_str())?;
        if let Some(second) = second {
            writer.text(second)?;
        }
        Ok(writer.finish())
    }

    fn encode_value(&self) -> Result<Option<Bytes>, RecordFormatError> {
        match self {
            Self::Offset(_, value) => value.as_ref().map(offset).transpose(),
            Self::Classic(_, value) => value.as_ref().map(classic).transpose(),
            Self::ConsumerGroup(_, value) => value.as_ref().map(consumer_group).transpose(),
            Self::ConsumerPartitionMetadata(_, value) => {
                value.as_ref().map(|()| no_topics()).transpose()
            }
            Self::ConsumerMember(_, _, value) => value.as_ref().map(consumer_member).transpose(),
            Self::ConsumerTarget(_, value) => value.as_ref().map(consumer_target).transpose(),
            Self::ConsumerTargetMember(_, _, value) => {
                value.as_deref().map(consumer_target_member).transpose()
            }
            Self::ConsumerCurrent(_, _, value) => value.as_ref().map(consumer_current).transpose(),
            Self::ConsumerRegex(_, _, value) => value.as_ref().map(consumer_regex).transpose(),
        }
    }
}

fn offset_key(key: &OffsetKey) -> Result<Bytes, RecordFormatError> {
    let mut writer = Writer::key(key_type::OFFSET);
    writer.text(key.group_id.as_str())?;
    writer.text(&key.topic)?;
    writer.i32(key.partition.0);
    Ok(writer.finish())
}

/// Version 1 for an offset with an expiry, for which later versions have no field; otherwise
/// version 4.
fn offset(value: &OffsetValue) -> Result<Bytes, RecordFormatError> {
    let Some(expire_timestamp) = value.expire_timestamp else {
        let mut writer = Writer::value(4, true);
        writer.i64(value.offset.0);
        writer.i32(LeaderEpoch::to_wire(value.leader_epoch));
        writer.text(&value.metadata)?;
        writer.i64(value.commit_timestamp.0);
        let topic_id = value.topic_id.map(|id| {
            move |tagged: &mut Writer| {
                tagged.topic_id(id);
                Ok(())
            }
        });
        writer.tagged(topic_id)?;
        return Ok(writer.finish());
    };
    let mut writer = Writer::value(1, false);
    writer.i64(value.offset.0);
    writer.text(&value.metadata)?;
    writer.i64(value.commit_timestamp.0);
    writer.i64(expire_timestamp.0);
    Ok(writer.finish())
}

fn classic(value: &ClassicGroupValue) -> Result<Bytes, RecordFormatError> {
    let mut writer = Writer::value(3, false);
    writer.text(&value.protocol_type)?;
    writer.i32(value.generation);
    writer.nullable_text(value.protocol.as_deref())?;
    writer.nullable_text(value.leader.as_ref().map(|id| id.as_str()))?;
    writer.i64(Timestamp::to_wire(value.current_state_timestamp));
    writer.items(&value.members, |writer, member| {
        writer.text(member.member_id.as_str())?;
        let instance = member.group_instance_id.as_ref();
        writer.nullable_text(instance.map(|id| id.as_str()))?;
        writer.text(&member.client_id)?;
        writer.text(&member.client_host)?;
        writer.i32(member.rebalance_timeout);
        writer.i32(member.session_timeout);
        writer.bytes(&member.subscription)?;
        writer.bytes(&member.assignment)
    })?;
    Ok(writer.finish())
}

fn consumer_group(value: &ConsumerGroupValue) -> Result<Bytes, RecordFormatError> {
    let mut writer = Writer::value(0, true);
    writer.i32(value.epoch);
    let hash = (value.metadata_hash != 0).then_some(|tagged: &mut Writer| {
        tagged.i64(value.metadata_hash);
        Ok(())
    });
    writer.tagged(hash)?;
    Ok(writer.finish())
}

/// `ConsumerGroupPartitionMetadataValue` without topics.
fn no_topics() -> Result<Bytes, RecordFormatError> {
    let mut writer = Writer::value(0, true);
    writer.items::<()>(&[], |_, ()| Ok(()))?;
    writer.no_tagged();
    Ok(writer.finish())
}

fn consumer_member(value: &ConsumerMemberValue) -> Result<Bytes, RecordFormatError> {
    let mut writer = Writer::value(0, true);
    let instance = value.instance_id.as_ref();
    writer.nullable_text(instance.map(|id| id.as_str()))?;
    writer.nullable_text(value.rack_id.as_deref())?;
    writer.text(&value.client_id)?;
    writer.text(&value.client_host)?;
    writer.items(&value.subscribed_topic_names, |writer, name| {
        writer.text(name)
    })?;
    writer.nullable_text(value.subscribed_topic_regex.as_deref())?;
    writer.i32(value.rebalance_timeout_ms);
    writer.nullable_text(value.server_assignor.as_deref())?;
    // Kafka's generated code reads a field that is left out as a struct of defaults, not as null.
    let written = value.classic.as_ref() != Some(&ClassicMetadata::default());
    let classic = written.then_some(|tagged: &mut Writer| {
        let Some(classic) = &value.classic else {
            tagged.i8(0);
            return Ok(());
        };
        tagged.i8(1);
        tagged.i32(classic.session_timeout_ms);
        tagged.items(&classic.supported_protocols, |tagged, (name, metadata)| {
            tagged.text(name)?;
            tagged.bytes(metadata)?;
            tagged.no_tagged();
            Ok(())
        })?;
        tagged.no_tagged();
        Ok(())
    });
    writer.tagged(classic)?;
    Ok(writer.finish())
}

fn consumer_target(value: &ConsumerTargetValue) -> Result<Bytes, RecordFormatError> {
    let mut writer = Writer::value(0, true);
    writer.i32(value.assignment_epoch);
    let timestamp = value.assignment_timestamp.map(|timestamp| {
        move |tagged: &mut Writer| {
            tagged.i64(timestamp.0);
            Ok(())
        }
    });
    writer.tagged(timestamp)?;
    Ok(writer.finish())
}

fn consumer_target_member(topics: &[TopicPartitions]) -> Result<Bytes, RecordFormatError> {
    let mut writer = Writer::value(0, true);
    writer.items(topics, |writer, topic| {
        writer.topic_id(topic.topic_id);
        partitions(writer, topic)?;
        writer.no_tagged();
        Ok(())
    })?;
    writer.no_tagged();
    Ok(writer.finish())
}

fn consumer_current(value: &ConsumerCurrentValue) -> Result<Bytes, RecordFormatError> {
    let mut writer = Writer::value(0, true);
    writer.i32(value.member_epoch);
    writer.i32(value.previous_member_epoch);
    writer.i8(value.state);
    for topics in [
        &value.assigned_partitions,
        &value.partitions_pending_revocation,
    ] {
        writer.items(topics, |writer, topic| {
            writer.topic_id(topic.topic_id);
            partitions(writer, topic)?;
            let epochs = &topic.assignment_epochs;
            writer.tagged((!epochs.is_empty()).then_some(|tagged: &mut Writer| {
                tagged.items(epochs, |tagged, epoch| {
                    tagged.i32(*epoch);
                    Ok(())
                })
            }))
        })?;
    }
    writer.no_tagged();
    Ok(writer.finish())
}

fn partitions(writer: &mut Writer, topic: &TopicPartitions) -> Result<(), RecordFormatError> {
    writer.items(&topic.partitions, |writer, partition| {
        writer.i32(partition.0);
        Ok(())
    })
}

fn consumer_regex(value: &ConsumerRegexValue) -> Result<Bytes, RecordFormatError> {
    let mut writer = Writer::value(0, true);
    writer.items(&value.topics, |writer, topic| writer.text(topic))?;
    writer.i64(value.version);
    writer.i64(value.timestamp.0);
    writer.no_tagged();
    Ok(writer.finish())
}
