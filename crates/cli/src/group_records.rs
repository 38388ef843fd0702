//! Records of `__consumer_offsets` as Kafka's tools show them: JSON with the fields that the
//! record's version has.
//!
//! Pure. `dohle-groups` decodes the bytes.

use bytes::{Buf, Bytes};
use dohle_groups::records::{
    ClassicGroupValue, ClassicMemberValue, ConsumerCurrentValue, ConsumerMemberValue, OffsetValue,
    Record, RecordFormatError, TopicPartitions, decode,
};
use kacrab_protocol::generated::{
    ConsumerProtocolAssignmentData, ConsumerProtocolSubscriptionData,
};

use crate::ordered_json::{Json, object};

/// A record as JSON.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shown {
    /// The fields of the key.
    pub(crate) key: Json,
    /// The value's version and its fields; `None` for a tombstone.
    pub(crate) value: Option<(i16, Json)>,
}

/// The first two bytes: a key's type, or a value's version.
pub(crate) fn first(bytes: &[u8]) -> Option<i16> {
    bytes.first_chunk().map(|chunk| i16::from_be_bytes(*chunk))
}

/// Converts a record; `None` when its type is unknown.
///
/// # Errors
/// When its bytes do not have the form of its type.
pub(crate) fn show(
    key: &[u8],
    value: Option<&[u8]>,
    embedded: Embedded,
) -> Result<Option<Shown>, RecordFormatError> {
    let Some(record) = decode(key, value)? else {
        return Ok(None);
    };
    let version = value.and_then(first).unwrap_or_default();
    let data = match &record {
        Record::Offset(_, value) => value.as_ref().map(|value| offset(value, version)),
        Record::Classic(_, value) => value.as_ref().map(|v| classic(v, version, embedded)),
        Record::ConsumerGroup(_, value) => value.map(|value| {
            object! {
                "epoch": value.epoch,
                "metadataHash" [value.metadata_hash != 0]: value.metadata_hash,
            }
        }),
        Record::ConsumerPartitionMetadata(_, value) => value.map(|()| Json::Null),
        Record::ConsumerMember(_, _, value) => value.as_ref().map(member),
        Record::ConsumerTarget(_, value) => value.map(|value| {
            let timestamp = value.assignment_timestamp.map(|timestamp| timestamp.0);
            object! {
                "assignmentEpoch": value.assignment_epoch,
                "assignmentTimestamp" [timestamp.is_some()]: timestamp,
            }
        }),
        Record::ConsumerTargetMember(_, _, value) => value
            .as_ref()
            .map(|topics| object! { "topicPartitions": partitions(topics) }),
        Record::ConsumerCurrent(_, _, value) => value.as_ref().map(current),
        Record::ConsumerRegex(_, _, value) => value.as_ref().map(|value| {
            object! {
                "topics": Json::list(&value.topics, |topic| topic.as_str().into()),
                "version": value.version,
                "timestamp": value.timestamp.0,
            }
        }),
    };
    Ok(Some(Shown {
        key: key_of(&record),
        value: data.map(|data| (version, data)),
    }))
}

/// How the subscriptions and assignments of members of classic groups are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Embedded {
    /// Shown as base64.
    Bytes,
    /// Decoded where they are of a consumer.
    Decoded,
}

fn key_of(record: &Record) -> Json {
    let group = |name| (name, Json::from(record.group_id().as_str()));
    let member = |id: &dohle_groups::MemberId| ("memberId", Json::from(id.as_str()));
    Json::Object(match record {
        Record::Offset(key, _) => vec![
            group("group"),
            ("topic", Json::from(&*key.topic)),
            ("partition", key.partition.0.into()),
        ],
        Record::Classic(..) => vec![group("group")],
        Record::ConsumerGroup(..)
        | Record::ConsumerPartitionMetadata(..)
        | Record::ConsumerTarget(..) => vec![group("groupId")],
        Record::ConsumerMember(_, id, _)
        | Record::ConsumerTargetMember(_, id, _)
        | Record::ConsumerCurrent(_, id, _) => vec![group("groupId"), member(id)],
        Record::ConsumerRegex(_, regex, _) => {
            vec![
                group("groupId"),
                ("regularExpression", Json::from(regex.as_str())),
            ]
        }
    })
}

fn offset(value: &OffsetValue, version: i16) -> Json {
    let expire = value.expire_timestamp.map_or(-1, |timestamp| timestamp.0);
    object! {
        "offset": value.offset.0,
        "leaderEpoch" [version >= 3]: value.leader_epoch.map_or(-1, |epoch| i64::from(epoch.0)),
        "metadata": &*value.metadata,
        "commitTimestamp": value.commit_timestamp.0,
        "expireTimestamp" [version == 1]: expire,
        "topicId" [value.topic_id.is_some()]: value.topic_id.map(|id| id.to_string()),
    }
}

fn classic(value: &ClassicGroupValue, version: i16, embedded: Embedded) -> Json {
    let since = value
        .current_state_timestamp
        .map_or(-1, |timestamp| timestamp.0);
    let decoded = embedded == Embedded::Decoded && value.protocol_type == "consumer";
    let shown = |bytes: &Bytes, decode: fn(Bytes) -> Option<Json>| {
        let decoded = decoded.then(|| decode(bytes.clone())).flatten();
        decoded.unwrap_or_else(|| Json::base64(bytes))
    };
    let member = |member: &ClassicMemberValue| {
        object! {
            "memberId": member.member_id.as_str(),
            "groupInstanceId" [version >= 3]: text(member.group_instance_id.as_ref()),
            "clientId": member.client_id.as_str(),
            "clientHost": member.client_host.as_str(),
            "rebalanceTimeout" [version >= 1]: member.rebalance_timeout,
            "sessionTimeout": member.session_timeout,
            "subscription": shown(&member.subscription, subscription),
            "assignment": shown(&member.assignment, assignment),
        }
    };
    object! {
        "protocolType": value.protocol_type.as_str(),
        "generation": value.generation,
        "protocol": text(value.protocol.as_ref()),
        "leader": text(value.leader.as_ref()),
        "currentStateTimestamp" [version >= 2]: since,
        "members": Json::list(&value.members, member),
    }
}

/// Returns a text, or null.
fn text(text: Option<&impl ToString>) -> Json {
    text.map(ToString::to_string).into()
}

fn bytes_or_null(bytes: Option<&Bytes>) -> Json {
    bytes.map(|bytes| Json::base64(bytes)).into()
}

/// The version before such bytes; one from the future is read as the newest that is known.
fn embedded_version(bytes: &mut Bytes, last: i16) -> Option<i16> {
    let version = first(bytes)?;
    bytes.advance(2);
    (version >= 0).then_some(version.min(last))
}

fn subscription(mut bytes: Bytes) -> Option<Json> {
    let version = embedded_version(&mut bytes, 3)?;
    let data = ConsumerProtocolSubscriptionData::read(&mut bytes, version).ok()?;
    let owned = data.owned_partitions.iter();
    let owned = owned.map(|topic| of_topic(topic.topic.as_str(), &topic.partitions));
    Some(object! {
        "topics": Json::list(&data.topics, |topic| topic.as_str().into()),
        "userData": bytes_or_null(data.user_data.as_ref()),
        "ownedPartitions" [version >= 1]: owned.collect::<Vec<_>>(),
        "generationId" [version >= 2]: data.generation_id,
        "rackId" [version >= 3]: text(data.rack_id.as_ref()),
    })
}

fn assignment(mut bytes: Bytes) -> Option<Json> {
    let version = embedded_version(&mut bytes, 3)?;
    let data = ConsumerProtocolAssignmentData::read(&mut bytes, version).ok()?;
    let assigned = data.assigned_partitions.iter();
    let assigned = assigned.map(|topic| of_topic(topic.topic.as_str(), &topic.partitions));
    Some(object! {
        "assignedPartitions": assigned.collect::<Vec<_>>(),
        "userData": bytes_or_null(data.user_data.as_ref()),
    })
}

fn of_topic(topic: &str, partitions: &[i32]) -> Json {
    let partitions = Json::list(partitions, |number| (*number).into());
    object! { "topic": topic, "partitions": partitions }
}

fn member(value: &ConsumerMemberValue) -> Json {
    let classic = value.classic.as_ref().map_or(Json::Null, |classic| {
        let protocols = Json::list(&classic.supported_protocols, |(name, metadata)| {
            object! { "name": name.as_str(), "metadata": Json::base64(metadata) }
        });
        object! {
            "sessionTimeoutMs": classic.session_timeout_ms,
            "supportedProtocols": protocols,
        }
    });
    let names = &value.subscribed_topic_names;
    object! {
        "instanceId": text(value.instance_id.as_ref()),
        "rackId": text(value.rack_id.as_ref()),
        "clientId": value.client_id.as_str(),
        "clientHost": value.client_host.as_str(),
        "subscribedTopicNames": Json::list(names, |name| name.as_str().into()),
        "subscribedTopicRegex": text(value.subscribed_topic_regex.as_ref()),
        "rebalanceTimeoutMs": value.rebalance_timeout_ms,
        "serverAssignor": text(value.server_assignor.as_ref()),
        "classicMemberMetadata": classic,
    }
}

fn current(value: &ConsumerCurrentValue) -> Json {
    object! {
        "memberEpoch": value.member_epoch,
        "previousMemberEpoch": value.previous_member_epoch,
        "state": value.state,
        "assignedPartitions": partitions(&value.assigned_partitions),
        "partitionsPendingRevocation": partitions(&value.partitions_pending_revocation),
    }
}

fn partitions(topics: &[TopicPartitions]) -> Json {
    Json::list(topics, |topic| {
        let epochs = &topic.assignment_epochs;
        object! {
            "topicId": topic.topic_id.to_string(),
            "partitions": Json::list(&topic.partitions, |partition| partition.0.into()),
            "assignmentEpochs" [!epochs.is_empty()]: Json::list(epochs, |epoch| (*epoch).into()),
        }
    })
}
