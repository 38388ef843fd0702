//! TxnOffsetCommit, request. In version 6 topics have an id in place of a name (KIP-1319):
//!
//! ```json
//! { "name": "Name", "type": "string", "versions": "0-5", "ignorable": true },
//! { "name": "TopicId", "type": "uuid", "versions": "6+", "ignorable": true }
//! ```
//!
//! and `GenerationId` is called `GenerationIdOrMemberEpoch`.

use bytes::{Bytes, BytesMut};
use kacrab_protocol::generated::txn_offset_commit_request as codec;
use kacrab_protocol::primitives::{read_i16, read_i32, read_i64, write_i16, write_i32, write_i64};
use kacrab_protocol::string::{
    read_compact_nullable_string, read_compact_string, write_compact_nullable_string,
    write_compact_string,
};
use kacrab_protocol::uuid::{read_uuid, write_uuid};
use kacrab_protocol::{KafkaString, KafkaUuid, ProtocolError};

use super::{read_array, skip_tagged_fields, write_array, write_no_tagged_fields};

pub use codec::TxnOffsetCommitRequestPartition;

const IDS: i16 = 6;
/// The version of the codec whose partitions are those of version 6.
const PARTITIONS: i16 = 5;

/// The request.
#[derive(Debug, Clone, PartialEq)]
pub struct TxnOffsetCommitRequestData {
    /// The transactional id.
    pub transactional_id: KafkaString,
    /// The group.
    pub group_id: KafkaString,
    /// The producer.
    pub producer_id: i64,
    /// The producer's epoch.
    pub producer_epoch: i16,
    /// The generation of a classic group, or the member's epoch; -1 without membership.
    pub generation_id_or_member_epoch: i32,
    /// The member; empty without membership.
    pub member_id: KafkaString,
    /// The member's `group.instance.id`.
    pub group_instance_id: Option<KafkaString>,
    /// The offsets by topic.
    pub topics: Vec<TxnOffsetCommitRequestTopic>,
}

/// The offsets of a topic.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TxnOffsetCommitRequestTopic {
    /// Its name, before version 6.
    pub name: KafkaString,
    /// Its id, from version 6 on.
    pub topic_id: KafkaUuid,
    /// The offsets.
    pub partitions: Vec<TxnOffsetCommitRequestPartition>,
}

impl Default for TxnOffsetCommitRequestData {
    fn default() -> Self {
        Self::from(codec::TxnOffsetCommitRequestData::default())
    }
}

impl From<codec::TxnOffsetCommitRequestData> for TxnOffsetCommitRequestData {
    fn from(older: codec::TxnOffsetCommitRequestData) -> Self {
        let topics = older.topics.into_iter();
        let topics = topics.map(|topic| TxnOffsetCommitRequestTopic {
            name: topic.name,
            topic_id: KafkaUuid::ZERO,
            partitions: topic.partitions,
        });
        Self {
            transactional_id: older.transactional_id,
            group_id: older.group_id,
            producer_id: older.producer_id,
            producer_epoch: older.producer_epoch,
            generation_id_or_member_epoch: older.generation_id,
            member_id: older.member_id,
            group_instance_id: older.group_instance_id,
            topics: topics.collect(),
        }
    }
}

impl TxnOffsetCommitRequestData {
    /// Decodes a body.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn read(body: &mut Bytes, version: i16) -> Result<Self, ProtocolError> {
        if version != IDS {
            return codec::TxnOffsetCommitRequestData::read(body, version).map(Self::from);
        }
        let request = Self {
            transactional_id: read_compact_string(body)?,
            group_id: read_compact_string(body)?,
            producer_id: read_i64(body)?,
            producer_epoch: read_i16(body)?,
            generation_id_or_member_epoch: read_i32(body)?,
            member_id: read_compact_string(body)?,
            group_instance_id: read_compact_nullable_string(body)?,
            topics: read_array(body, |body| {
                let topic = TxnOffsetCommitRequestTopic {
                    name: KafkaString::default(),
                    topic_id: read_uuid(body)?,
                    partitions: read_array(body, |body| {
                        TxnOffsetCommitRequestPartition::read(body, PARTITIONS)
                    })?,
                };
                skip_tagged_fields(body)?;
                Ok(topic)
            })?,
        };
        skip_tagged_fields(body)?;
        Ok(request)
    }

    /// Encodes the body: the names of topics, or their ids, as the version has them.
    ///
    /// # Errors
    /// When a field is set that does not exist in this version.
    pub fn write(&self, out: &mut BytesMut, version: i16) -> Result<(), ProtocolError> {
        if version != IDS {
            return self.older().write(out, version);
        }
        write_compact_string(out, &self.transactional_id)?;
        write_compact_string(out, &self.group_id)?;
        write_i64(out, self.producer_id);
        write_i16(out, self.producer_epoch);
        write_i32(out, self.generation_id_or_member_epoch);
        write_compact_string(out, &self.member_id)?;
        write_compact_nullable_string(out, self.group_instance_id.as_ref())?;
        write_array(out, &self.topics, |out, topic| {
            write_uuid(out, &topic.topic_id);
            write_array(out, &topic.partitions, |out, partition| {
                partition.write(out, PARTITIONS)
            })?;
            write_no_tagged_fields(out)
        })?;
        write_no_tagged_fields(out)
    }

    fn older(&self) -> codec::TxnOffsetCommitRequestData {
        let topics = self.topics.iter();
        let topics = topics.map(|topic| codec::TxnOffsetCommitRequestTopic {
            name: topic.name.clone(),
            partitions: topic.partitions.clone(),
            ..codec::TxnOffsetCommitRequestTopic::default()
        });
        codec::TxnOffsetCommitRequestData {
            transactional_id: self.transactional_id.clone(),
            group_id: self.group_id.clone(),
            producer_id: self.producer_id,
            producer_epoch: self.producer_epoch,
            generation_id: self.generation_id_or_member_epoch,
            member_id: self.member_id.clone(),
            group_instance_id: self.group_instance_id.clone(),
            topics: topics.collect(),
            ..codec::TxnOffsetCommitRequestData::default()
        }
    }
}
