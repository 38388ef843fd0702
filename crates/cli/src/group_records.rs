//! Records of `__consumer_offsets` as Kafka's tools show them: JSON with the fields that the
//! record's version has.
//!
//! Pure. `dohle-groups` decodes the bytes.

use bytes::{Buf, Bytes};
use dohle_groups::records::{
    ClassicGroupValue, ConsumerCurrentValue, ConsumerMemberValue, OffsetValue, Record, RecordError,
    TopicPartitions, decode,
};
use kacrab_protocol::generated::{
    ConsumerProtocolAssignmentData, ConsumerProtocolSubscriptionData,
};

use crate::ordered_json::{Json, fields, object};

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
) -> Result<Option<Shown>, RecordError> {
    let Some(record) = decode(key, value)? else {
        return Ok(None);
    };
    let version = value.and_then(first).unwrap_or_default();
    let data = match &record {
        Record::Offset(_, value) => value.as_ref().map(|value| offset(value, version)),
        Record::Classic(_, value) => value.as_ref().map(|v| classic(v, version, embedded)),
        Record::ConsumerGroup(_, value) => value.map(|value| {
            let mut fields = fields! { "epoch": value.epoch };
            if value.metadata_hash != 0 {
                fields.push(("metadataHash", value.metadata_hash.into()));
            }
            Json::Object(fields)
        }),
        Record::ConsumerPartitionMetadata(_, value) => value.map(|()| Json::Null),
        Record::ConsumerMember(_, _, value) => value.as_ref().map(member),
        Record::ConsumerTarget(_, value) => value.map(|value| {
            let mut fields = fields! { "assignmentEpoch": value.assignment_epoch };
            if let Some(timestamp) = value.assignment_timestamp {
                fields.push(("assignmentTimestamp", timestamp.0.into()));
            }
            Json::Object(fields)
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
    let mut fields = fields! { "offset": value.offset.0 };
    if version >= 3 {
        let epoch = value.leader_epoch.map_or(-1, |epoch| i64::from(epoch.0));
        fields.push(("leaderEpoch", epoch.into()));
    }
    fields.push(("metadata", Json::from(&*value.metadata)));
    fields.push(("commitTimestamp", value.commit_timestamp.0.into()));
    if version == 1 {
        let expire = value.expire_timestamp.map_or(-1, |timestamp| timestamp.0);
        fields.push(("expireTimestamp", expire.into()));
    }
    if let Some(id) = value.topic_id {
        fields.push(("topicId", Json::Text(id.to_string())));
    }
    Json::Object(fields)
}

fn classic(value: &ClassicGroupValue, version: i16, embedded: Embedded) -> Json {
    let mut fields = fields! {
        "protocolType": value.protocol_type.as_str(),
        "generation": value.generation,
        "protocol": Json::text_or_null(value.protocol.as_ref()),
        "leader": Json::text_or_null(value.leader.as_ref()),
    };
    if version >= 2 {
        let since = value
            .current_state_timestamp
            .map_or(-1, |timestamp| timestamp.0);
        fields.push(("currentStateTimestamp", since.into()));
    }
    let decoded = embedded == Embedded::Decoded && value.protocol_type == "consumer";
    let members = Json::list(&value.members, |member| {
        let mut fields = fields! { "memberId": member.member_id.as_str() };
        if version >= 3 {
            let instance = member.group_instance_id.as_ref();
            fields.push(("groupInstanceId", Json::text_or_null(instance)));
        }
        fields.push(("clientId", Json::from(member.client_id.as_str())));
        fields.push(("clientHost", Json::from(member.client_host.as_str())));
        if version >= 1 {
            fields.push(("rebalanceTimeout", member.rebalance_timeout.into()));
        }
        fields.push(("sessionTimeout", member.session_timeout.into()));
        let shown = |bytes: &Bytes, decode: fn(Bytes) -> Option<Json>| {
            let decoded = decoded.then(|| decode(bytes.clone())).flatten();
            decoded.unwrap_or_else(|| Json::base64(bytes))
        };
        fields.push(("subscription", shown(&member.subscription, subscription)));
        fields.push(("assignment", shown(&member.assignment, assignment)));
        Json::Object(fields)
    });
    fields.push(("members", members));
    Json::Object(fields)
}

fn bytes_or_null(bytes: Option<&Bytes>) -> Json {
    bytes.map_or(Json::Null, |bytes| Json::base64(bytes))
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
    let mut fields = fields! {
        "topics": Json::list(&data.topics, |topic| topic.as_str().into()),
        "userData": bytes_or_null(data.user_data.as_ref()),
    };
    if version >= 1 {
        let owned = Json::list(&data.owned_partitions, |topic| {
            object! {
                "topic": topic.topic.as_str(),
                "partitions": Json::list(&topic.partitions, |number| (*number).into()),
            }
        });
        fields.push(("ownedPartitions", owned));
    }
    if version >= 2 {
        fields.push(("generationId", data.generation_id.into()));
    }
    if version >= 3 {
        fields.push(("rackId", Json::text_or_null(data.rack_id.as_ref())));
    }
    Some(Json::Object(fields))
}

fn assignment(mut bytes: Bytes) -> Option<Json> {
    let version = embedded_version(&mut bytes, 3)?;
    let data = ConsumerProtocolAssignmentData::read(&mut bytes, version).ok()?;
    let assigned = Json::list(&data.assigned_partitions, |topic| {
        object! {
            "topic": topic.topic.as_str(),
            "partitions": Json::list(&topic.partitions, |number| (*number).into()),
        }
    });
    Some(object! {
        "assignedPartitions": assigned,
        "userData": bytes_or_null(data.user_data.as_ref()),
    })
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
        "instanceId": Json::text_or_null(value.instance_id.as_ref()),
        "rackId": Json::text_or_null(value.rack_id.as_ref()),
        "clientId": value.client_id.as_str(),
        "clientHost": value.client_host.as_str(),
        "subscribedTopicNames": Json::list(names, |name| name.as_str().into()),
        "subscribedTopicRegex": Json::text_or_null(value.subscribed_topic_regex.as_ref()),
        "rebalanceTimeoutMs": value.rebalance_timeout_ms,
        "serverAssignor": Json::text_or_null(value.server_assignor.as_ref()),
        "classicMemberMetadata": classic,
    }
}

fn current(value: &ConsumerCurrentValue) -> Json {
    object! {
        "memberEpoch": value.member_epoch,
        "previousMemberEpoch": value.previous_member_epoch,
        "state": i32::from(value.state),
        "assignedPartitions": partitions(&value.assigned_partitions),
        "partitionsPendingRevocation": partitions(&value.partitions_pending_revocation),
    }
}

fn partitions(topics: &[TopicPartitions]) -> Json {
    Json::list(topics, |topic| {
        let mut fields = fields! {
            "topicId": topic.topic_id.to_string(),
            "partitions": Json::list(&topic.partitions, |partition| partition.0.into()),
        };
        if !topic.assignment_epochs.is_empty() {
            let epochs = Json::list(&topic.assignment_epochs, |epoch| (*epoch).into());
            fields.push(("assignmentEpochs", epochs));
        }
        Json::Object(fields)
    })
}
