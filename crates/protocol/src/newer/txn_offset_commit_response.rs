//! TxnOffsetCommit, response. In version 6 topics have an id in place of a name (KIP-1319):
//!
//! ```json
//! { "name": "Name", "type": "string", "versions": "0-5", "ignorable": true },
//! { "name": "TopicId", "type": "uuid", "versions": "6+", "ignorable": true }
//! ```

use bytes::{Bytes, BytesMut};
use kacrab_protocol::generated::txn_offset_commit_response as codec;
use kacrab_protocol::primitives::{read_i32, write_i32};
use kacrab_protocol::uuid::{read_uuid, write_uuid};
use kacrab_protocol::{KafkaString, KafkaUuid, ProtocolError};

use super::{read_array, skip_tagged_fields, write_array, write_no_tagged_fields};

pub use codec::TxnOffsetCommitResponsePartition;

const IDS: i16 = 6;
/// The version of the codec whose partitions are those of version 6.
const PARTITIONS: i16 = 5;

/// The response.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TxnOffsetCommitResponseData {
    /// How long the request was throttled, in milliseconds.
    pub throttle_time_ms: i32,
    /// The outcomes by topic.
    pub topics: Vec<TxnOffsetCommitResponseTopic>,
}

/// The outcomes for a topic.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TxnOffsetCommitResponseTopic {
    /// Its name, before version 6.
    pub name: KafkaString,
    /// Its id, from version 6 on.
    pub topic_id: KafkaUuid,
    /// The outcomes.
    pub partitions: Vec<TxnOffsetCommitResponsePartition>,
}

impl TxnOffsetCommitResponseData {
    /// Decodes a body.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn read(body: &mut Bytes, version: i16) -> Result<Self, ProtocolError> {
        if version != IDS {
            let older = codec::TxnOffsetCommitResponseData::read(body, version)?;
            let topics = older.topics.into_iter();
            let topics = topics.map(|topic| TxnOffsetCommitResponseTopic {
                name: topic.name,
                topic_id: KafkaUuid::ZERO,
                partitions: topic.partitions,
            });
            return Ok(Self {
                throttle_time_ms: older.throttle_time_ms,
                topics: topics.collect(),
            });
        }
        let response = Self {
            throttle_time_ms: read_i32(body)?,
            topics: read_array(body, |body| {
                let topic = TxnOffsetCommitResponseTopic {
                    name: KafkaString::default(),
                    topic_id: read_uuid(body)?,
                    partitions: read_array(body, |body| {
                        TxnOffsetCommitResponsePartition::read(body, PARTITIONS)
                    })?,
                };
                skip_tagged_fields(body)?;
                Ok(topic)
            })?,
        };
        skip_tagged_fields(body)?;
        Ok(response)
    }

    /// Encodes the body: the names of topics, or their ids, as the version has them.
    ///
    /// # Errors
    /// When a field does not fit.
    pub fn write(&self, out: &mut BytesMut, version: i16) -> Result<(), ProtocolError> {
        if version != IDS {
            let topics = self.topics.iter();
            let topics = topics.map(|topic| codec::TxnOffsetCommitResponseTopic {
                name: topic.name.clone(),
                partitions: topic.partitions.clone(),
                ..codec::TxnOffsetCommitResponseTopic::default()
            });
            let older = codec::TxnOffsetCommitResponseData {
                throttle_time_ms: self.throttle_time_ms,
                topics: topics.collect(),
                ..codec::TxnOffsetCommitResponseData::default()
            };
            return older.write(out, version);
        }
        write_i32(out, self.throttle_time_ms);
        write_array(out, &self.topics, |out, topic| {
            write_uuid(out, &topic.topic_id);
            write_array(out, &topic.partitions, |out, partition| {
                partition.write(out, PARTITIONS)
            })?;
            write_no_tagged_fields(out)
        })?;
        write_no_tagged_fields(out)
    }
}
