//! Requests about topics and their records.

use bytes::Bytes;
use dohle_broker::partitions::wall_clock;
use dohle_log::{BatchBuilder, BatchOptions};
use dohle_model::acl::{Operation as Op, ResourceType as On};
use dohle_model::{ErrorCode as Code, ProducerEpoch, ProducerId, Sequence};
use dohle_protocol::KafkaUuid;
use dohle_protocol::messages as m;

use super::{CLUSTER_DENIED, Case, ID_DENIED, SHOWN, TOPIC_DENIED, case, name};
use crate::wire;

pub(super) fn cases(topic_id: KafkaUuid) -> Vec<Case> {
    let mut cases = metadata(topic_id);
    cases.extend(produce(topic_id));
    cases.extend(fetch(topic_id));
    cases.extend(offsets());
    cases
}

/// A request for the metadata of a topic, which is not created.
pub(in crate::tests::permissions) fn metadata_of(topic: &str) -> m::MetadataRequestData {
    let topic = m::metadata_request::MetadataRequestTopic {
        name: Some(name(topic)),
        ..Default::default()
    };
    metadata_request(Some(vec![topic]))
}

fn metadata_request(
    topics: Option<Vec<m::metadata_request::MetadataRequestTopic>>,
) -> m::MetadataRequestData {
    m::MetadataRequestData {
        topics,
        allow_auto_topic_creation: false,
        include_topic_authorized_operations: true,
        ..Default::default()
    }
}

fn metadata(topic_id: KafkaUuid) -> Vec<Case> {
    let (request, named) = (metadata_request, metadata_of);
    let by_id = request(Some(vec![m::metadata_request::MetadataRequestTopic {
        topic_id,
        ..Default::default()
    }]));
    let with_cluster = m::MetadataRequestData {
        include_cluster_authorized_operations: true,
        ..request(None)
    };
    let creating = m::MetadataRequestData {
        allow_auto_topic_creation: true,
        ..named("missing")
    };
    let denied_create = [(On::Cluster, Op::Create), (On::Topic, Op::Create)];
    let describe_topics = |topics: &[&str]| m::DescribeTopicPartitionsRequestData {
        topics: topics
            .iter()
            .map(|it| m::describe_topic_partitions_request::TopicRequest {
                name: name(it),
                ..Default::default()
            })
            .collect(),
        response_partition_limit: 10,
        ..Default::default()
    };
    let describe_cluster = m::DescribeClusterRequestData {
        include_cluster_authorized_operations: true,
        endpoint_type: 1,
        ..Default::default()
    };
    vec![
        case!(ApiVersions 2, m::ApiVersionsRequestData::default(),
            |r: m::ApiVersionsResponseData| [r.error_code], [wire::NONE]),
        case!(Metadata 9, named("t"),
            |r: m::MetadataResponseData| topics_of(&r), [TOPIC_DENIED]),
        case!(Metadata 12, by_id,
            |r: m::MetadataResponseData| topics_of(&r), [TOPIC_DENIED]),
        // Also without the permission to create the topic.
        case!(Metadata 9, with_cluster,
            |r: m::MetadataResponseData| {
                let mut codes = topics_of(&r);
                codes.push(shown(r.cluster_authorized_operations > 0));
                codes
            }, [0])
        .denying(
            &[(On::Cluster, Op::Describe)],
            &[0, SHOWN, 0, SHOWN, 0, SHOWN, 0],
        ),
        case!(Metadata 9, creating,
            |r: m::MetadataResponseData| topics_of(&r), [TOPIC_DENIED])
        .forwarded()
        .denying(&denied_create, &[TOPIC_DENIED]),
        case!(Metadata 9, named("missing"),
            |r: m::MetadataResponseData| topics_of(&r), [TOPIC_DENIED])
        .denying(
            &denied_create,
            &[Code::UnknownTopicOrPartition.code(), SHOWN],
        ),
        case!(DescribeTopicPartitions 0, describe_topics(&["t"]),
            |r: m::DescribeTopicPartitionsResponseData| described(&r), [TOPIC_DENIED]),
        case!(DescribeTopicPartitions 0, describe_topics(&[]),
            |r: m::DescribeTopicPartitionsResponseData| described(&r), []),
        case!(DescribeCluster 1, describe_cluster,
            |r: m::DescribeClusterResponseData|
                [r.error_code, shown(r.cluster_authorized_operations != 0)], [wire::NONE, 0]),
    ]
}

/// Returns the error code of each topic, and whether the operations on it are shown.
fn topics_of(response: &m::MetadataResponseData) -> Vec<i16> {
    let codes = response.topics.iter().flat_map(|topic| {
        let is_shown =
            topic.topic_authorized_operations != i32::MIN || !topic.partitions.is_empty();
        [Some(topic.error_code), is_shown.then_some(SHOWN)]
    });
    codes.flatten().collect()
}

fn described(response: &m::DescribeTopicPartitionsResponseData) -> Vec<i16> {
    let topics = response.topics.iter().flat_map(|topic| {
        let is_shown =
            topic.topic_authorized_operations != i32::MIN || !topic.partitions.is_empty();
        [Some(topic.error_code), is_shown.then_some(SHOWN)]
    });
    topics.flatten().collect()
}

fn shown(is_shown: bool) -> i16 {
    if is_shown { SHOWN } else { 0 }
}

fn batch(transactional: bool) -> Bytes {
    let producer = (ProducerId(1), ProducerEpoch(0), Some(Sequence(0)));
    let mut builder = BatchBuilder::new(BatchOptions {
        producer: transactional.then_some(producer),
        transactional,
        ..BatchOptions::default()
    });
    builder.append(Some(wall_clock()), None, Some(b"v"), &[]);
    builder.build().unwrap()
}

fn producing(topic: &str, topic_id: KafkaUuid, records: Bytes) -> m::ProduceRequestData {
    m::ProduceRequestData {
        acks: 1,
        timeout_ms: 5000,
        topic_data: vec![m::produce_request::TopicProduceData {
            name: name(topic),
            topic_id,
            partition_data: vec![m::produce_request::PartitionProduceData {
                records: Some(records),
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// A record for a topic.
pub(in crate::tests::permissions) fn record_for(topic: &str) -> m::ProduceRequestData {
    producing(topic, KafkaUuid::ZERO, batch(false))
}

/// A record for a topic, in a transactional batch.
pub(in crate::tests::permissions) fn transactional_record_for(
    topic: &str,
) -> m::ProduceRequestData {
    producing(topic, KafkaUuid::ZERO, batch(true))
}

/// A record for topic `t`.
pub(super) fn plain() -> m::ProduceRequestData {
    record_for("t")
}

fn produce(topic_id: KafkaUuid) -> Vec<Case> {
    let transactional = m::ProduceRequestData {
        transactional_id: Some(name("tx")),
        ..transactional_record_for("t")
    };
    // The first batch is not transactional (CVE-2018-17196).
    let mut mixed = transactional.clone();
    mixed.topic_data.insert(0, plain().topic_data.remove(0));
    mixed.topic_data[1].name = name("missing");
    let write = (On::Topic, Op::Write);
    let write_id = (On::TransactionalId, Op::Write);
    vec![
        case!(Produce 9, plain(), |r: m::ProduceResponseData| produced(&r), [TOPIC_DENIED]),
        case!(Produce 13, producing("", topic_id, batch(false)),
            |r: m::ProduceResponseData| produced(&r), [TOPIC_DENIED]),
        case!(Produce 9, producing("missing", KafkaUuid::ZERO, batch(false)),
            |r: m::ProduceResponseData| produced(&r), [TOPIC_DENIED]),
        case!(Produce 12, transactional,
            |r: m::ProduceResponseData| produced(&r), [ID_DENIED])
        .denying(&[write], &[TOPIC_DENIED])
        .denying(&[write_id], &[ID_DENIED]),
        case!(Produce 12, mixed,
            |r: m::ProduceResponseData| produced(&r), [ID_DENIED, ID_DENIED])
        .denying(&[write_id], &[ID_DENIED, ID_DENIED]),
    ]
}

fn produced(response: &m::ProduceResponseData) -> Vec<i16> {
    let partitions = response.responses.iter();
    let partitions = partitions.flat_map(|topic| &topic.partition_responses);
    partitions.map(|partition| partition.error_code).collect()
}

fn fetch(topic_id: KafkaUuid) -> Vec<Case> {
    let request = |topic: &str, topic_id, replica_id| m::FetchRequestData {
        replica_id,
        max_bytes: 1 << 20,
        topics: vec![m::fetch_request::FetchTopic {
            topic: name(topic),
            topic_id,
            partitions: vec![m::fetch_request::FetchPartition {
                partition_max_bytes: 1 << 20,
                ..Default::default()
            }],
            ..Default::default()
        }],
        session_epoch: -1,
        ..Default::default()
    };
    let codes = |response: &m::FetchResponseData| {
        let topics = response.responses.iter();
        let partitions = topics.flat_map(|topic| &topic.partitions);
        let codes = partitions.map(|partition| partition.error_code);
        std::iter::once(response.error_code)
            .chain(codes)
            .collect::<Vec<_>>()
    };
    vec![
        case!(Fetch 12, request("t", KafkaUuid::ZERO, -1),
            |r: m::FetchResponseData| codes(&r), [wire::NONE, TOPIC_DENIED]),
        case!(Fetch 13, request("", topic_id, -1),
            |r: m::FetchResponseData| codes(&r), [wire::NONE, TOPIC_DENIED]),
        case!(Fetch 12, request("missing", KafkaUuid::ZERO, -1),
            |r: m::FetchResponseData| codes(&r), [wire::NONE, TOPIC_DENIED]),
        // A consumer that sends the replica id of broker 2 (CVE-2018-1288).
        case!(Fetch 12, request("t", KafkaUuid::ZERO, 2),
            |r: m::FetchResponseData| codes(&r), [wire::NONE, TOPIC_DENIED])
        .denying(
            &[(On::Cluster, Op::ClusterAction)],
            &[wire::NONE, TOPIC_DENIED],
        ),
    ]
}

pub(super) fn describe_producers() -> m::DescribeProducersRequestData {
    m::DescribeProducersRequestData {
        topics: vec![m::describe_producers_request::TopicRequest {
            name: name("t"),
            partition_indexes: vec![0],
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// A request for the end of a topic.
pub(in crate::tests::permissions) fn offsets_of(topic: &str) -> m::ListOffsetsRequestData {
    m::ListOffsetsRequestData {
        replica_id: -1,
        topics: vec![m::list_offsets_request::ListOffsetsTopic {
            name: name(topic),
            partitions: vec![m::list_offsets_request::ListOffsetsPartition {
                current_leader_epoch: -1,
                timestamp: -1,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn offsets() -> Vec<Case> {
    let epoch = m::OffsetForLeaderEpochRequestData {
        replica_id: -1,
        topics: vec![m::offset_for_leader_epoch_request::OffsetForLeaderTopic {
            topic: name("t"),
            partitions: vec![
                m::offset_for_leader_epoch_request::OffsetForLeaderPartition {
                    current_leader_epoch: -1,
                    ..Default::default()
                },
            ],
            ..Default::default()
        }],
        ..Default::default()
    };
    let delete = m::DeleteRecordsRequestData {
        topics: vec![m::delete_records_request::DeleteRecordsTopic {
            name: name("t"),
            partitions: vec![m::delete_records_request::DeleteRecordsPartition {
                offset: 1,
                ..Default::default()
            }],
            ..Default::default()
        }],
        timeout_ms: 5000,
        ..Default::default()
    };
    let markers = m::WriteTxnMarkersRequestData {
        markers: vec![m::write_txn_markers_request::WritableTxnMarker {
            producer_id: 7,
            topics: vec![m::write_txn_markers_request::WritableTxnMarkerTopic {
                name: name("t"),
                partition_indexes: vec![0],
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let (describe, action) = ((On::Topic, Op::Describe), (On::Cluster, Op::ClusterAction));
    vec![
        case!(ListOffsets 8, offsets_of("t"),
            |r: m::ListOffsetsResponseData| [r.topics[0].partitions[0].error_code],
            [TOPIC_DENIED]),
        case!(OffsetForLeaderEpoch 4, epoch,
            |r: m::OffsetForLeaderEpochResponseData| [r.topics[0].partitions[0].error_code],
            [TOPIC_DENIED])
        .denying(&[describe], &[wire::NONE])
        .denying(&[action], &[wire::NONE]),
        case!(DescribeProducers 0, describe_producers(),
            |r: m::DescribeProducersResponseData| [r.topics[0].partitions[0].error_code],
            [TOPIC_DENIED]),
        case!(WriteTxnMarkers 1, markers,
            |r: m::WriteTxnMarkersResponseData|
                [r.markers[0].topics[0].partitions[0].error_code],
            [CLUSTER_DENIED])
        .denying(&[action], &[wire::NONE])
        .denying(&[(On::Cluster, Op::Alter)], &[wire::NONE]),
        case!(DeleteRecords 2, delete,
            |r: m::DeleteRecordsResponseData| [r.topics[0].partitions[0].error_code],
            [TOPIC_DENIED]),
    ]
}
