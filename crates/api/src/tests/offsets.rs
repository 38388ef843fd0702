//! Tests of offsets and of the administration of groups, in every version.

use std::time::Duration;

use dohle_model::ErrorCode;
use dohle_model::record::MetadataRecord;
use dohle_protocol::messages::delete_groups_request::DeleteGroupsRequestData;
use dohle_protocol::messages::delete_groups_response::DeleteGroupsResponseData;
use dohle_protocol::messages::describe_groups_request::DescribeGroupsRequestData;
use dohle_protocol::messages::describe_groups_response::DescribeGroupsResponseData;
use dohle_protocol::messages::list_groups_request::ListGroupsRequestData;
use dohle_protocol::messages::list_groups_response::ListGroupsResponseData;
use dohle_protocol::messages::offset_commit_request::{
    OffsetCommitRequestData, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use dohle_protocol::messages::offset_commit_response::OffsetCommitResponseData;
use dohle_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestData, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use dohle_protocol::messages::offset_delete_response::OffsetDeleteResponseData;
use dohle_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestData, OffsetFetchRequestGroup, OffsetFetchRequestTopic,
    OffsetFetchRequestTopics,
};
use dohle_protocol::messages::offset_fetch_response::OffsetFetchResponseData;
use dohle_protocol::{ApiKey, KafkaString, KafkaUuid};
use tokio::time::timeout;

use super::coordinator::Nothing;
use super::harness::{Broker, TestClient, ask};
use crate::wire;

const LOADING: Result<(), ErrorCode> = Err(ErrorCode::CoordinatorLoadInProgress);

/// Starts a broker with topic `t` of two partitions, which coordinates all groups in three shards.
async fn coordinating() -> (Broker, KafkaUuid) {
    let broker = Broker::start(&[]).await;
    let id = broker.topic("t", 2).await;
    broker.topic("__consumer_offsets", 3).await;
    loaded(&broker).await;
    (broker, wire::wire_id(id))
}

/// Waits until all shards are loaded.
async fn loaded(broker: &Broker) {
    let loaded = async {
        loop {
            let shards = broker.context.groups.run_in_all(&Nothing).await;
            if !shards.contains(&LOADING) {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(10), loaded).await.unwrap();
}

/// Returns the id where the version names topics by id (from 10 on).
fn id_for(version: i16, id: KafkaUuid) -> KafkaUuid {
    match version {
        10.. => id,
        _ => KafkaUuid::ZERO,
    }
}

fn text(text: &str) -> KafkaString {
    KafkaString::from(text.to_owned())
}

/// Returns a commit without membership for topic `t`, or for the topic with this id.
fn commit(group: &str, id: KafkaUuid, offsets: &[(i32, i64)]) -> OffsetCommitRequestData {
    let partition = |(index, offset): &(i32, i64)| OffsetCommitRequestPartition {
        partition_index: *index,
        committed_offset: *offset,
        committed_metadata: Some(text("note")),
        ..OffsetCommitRequestPartition::default()
    };
    let topic = OffsetCommitRequestTopic {
        name: text("t"),
        topic_id: id,
        partitions: offsets.iter().map(partition).collect(),
        ..OffsetCommitRequestTopic::default()
    };
    OffsetCommitRequestData {
        group_id: text(group),
        topics: vec![topic],
        ..OffsetCommitRequestData::default()
    }
}

/// Returns partition and code of each result.
fn codes(response: &OffsetCommitResponseData) -> Vec<(i32, i16)> {
    let topics = response.topics.iter();
    topics
        .flat_map(|topic| &topic.partitions)
        .map(|partition| (partition.partition_index, partition.error_code))
        .collect()
}

/// Fetches the group's offsets of `t`. Returns partition, offset and code of each, and the code of
/// the group.
async fn fetch(
    client: &mut TestClient,
    version: i16,
    group: &str,
    id: KafkaUuid,
    indexes: Option<&[i32]>,
) -> (Vec<(i32, i64, i16)>, i16) {
    if version < 8 {
        let topic = |indexes: &[i32]| OffsetFetchRequestTopic {
            name: text("t"),
            partition_indexes: indexes.to_vec(),
            ..OffsetFetchRequestTopic::default()
        };
        let request = OffsetFetchRequestData {
            group_id: text(group),
            topics: indexes.map(|indexes| vec![topic(indexes)]),
            ..OffsetFetchRequestData::default()
        };
        let answer = ask!(
            client,
            OffsetFetch,
            version,
            request,
            OffsetFetchResponseData
        );
        let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
        let partitions =
            partitions.map(|it| (it.partition_index, it.committed_offset, it.error_code));
        return (partitions.collect(), answer.error_code);
    }
    let request = OffsetFetchRequestData {
        groups: vec![asked(group, id, indexes)],
        ..OffsetFetchRequestData::default()
    };
    let answer = ask!(
        client,
        OffsetFetch,
        version,
        request,
        OffsetFetchResponseData
    );
    let group = &answer.groups[0];
    let partitions = group.topics.iter().flat_map(|topic| &topic.partitions);
    let partitions = partitions.map(|it| (it.partition_index, it.committed_offset, it.error_code));
    (partitions.collect(), group.error_code)
}

fn asked(group: &str, id: KafkaUuid, indexes: Option<&[i32]>) -> OffsetFetchRequestGroup {
    let topic = |indexes: &[i32]| OffsetFetchRequestTopics {
        name: text("t"),
        topic_id: id,
        partition_indexes: indexes.to_vec(),
        ..OffsetFetchRequestTopics::default()
    };
    OffsetFetchRequestGroup {
        group_id: text(group),
        member_epoch: -1,
        topics: indexes.map(|indexes| vec![topic(indexes)]),
        ..OffsetFetchRequestGroup::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_are_committed_and_fetched_in_every_version() {
    let (broker, id) = coordinating().await;
    let mut client = broker.client();
    for version in 2..=10 {
        let request = commit("g", id_for(version, id), &[(0, i64::from(version))]);
        let answer = ask!(
            client,
            OffsetCommit,
            version,
            request,
            OffsetCommitResponseData
        );
        assert_eq!(codes(&answer), [(0, 0)], "version {version}");
        for fetched in 1..=10 {
            let id = id_for(fetched, id);
            let expected = vec![(0, i64::from(version), 0), (1, -1, 0)];
            let answer = fetch(&mut client, fetched, "g", id, Some(&[0, 1])).await;
            assert_eq!(answer, (expected, 0), "version {fetched}");
            if fetched >= 2 {
                let all = fetch(&mut client, fetched, "g", id, None).await;
                assert_eq!(all, (vec![(0, i64::from(version), 0)], 0));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_exist_is_refused_partition_by_partition() {
    let (broker, id) = coordinating().await;
    let mut client = broker.client();
    let unknown = ErrorCode::UnknownTopicOrPartition.code();
    let request = commit("g", KafkaUuid::ZERO, &[(0, 5), (2, 6), (-1, 7)]);
    let answer = ask!(client, OffsetCommit, 9, request, OffsetCommitResponseData);
    assert_eq!(answer.topics.len(), 1, "a topic is answered once");
    assert_eq!(codes(&answer), [(2, unknown), (-1, unknown), (0, 0)]);

    let mut request = commit("g", KafkaUuid::ZERO, &[(0, 9)]);
    request.topics[0].name = text("gone");
    let answer = ask!(client, OffsetCommit, 9, request, OffsetCommitResponseData);
    assert_eq!(codes(&answer), [(0, unknown)]);

    let stranger = KafkaUuid::from_parts(7, 7);
    let request = commit("g", stranger, &[(0, 9)]);
    let answer = ask!(client, OffsetCommit, 10, request, OffsetCommitResponseData);
    let unknown_id = ErrorCode::UnknownTopicId.code();
    assert_eq!(codes(&answer), [(0, unknown_id)]);
    let fetched = fetch(&mut client, 10, "g", stranger, Some(&[0])).await;
    assert_eq!(fetched, (vec![(0, -1, unknown_id)], 0));
    assert_eq!(
        fetch(&mut client, 10, "g", id, None).await,
        (vec![(0, 5, 0)], 0)
    );

    let partition = |index| OffsetDeleteRequestPartition {
        partition_index: index,
        ..OffsetDeleteRequestPartition::default()
    };
    let topic = |name: &str| OffsetDeleteRequestTopic {
        name: text(name),
        partitions: vec![partition(0), partition(5)],
        ..OffsetDeleteRequestTopic::default()
    };
    let request = OffsetDeleteRequestData {
        group_id: text("g"),
        topics: vec![topic("t"), topic("gone")],
        ..OffsetDeleteRequestData::default()
    };
    let answer = ask!(client, OffsetDelete, 0, request, OffsetDeleteResponseData);
    let topics = answer.topics.iter().flat_map(|topic| &topic.partitions);
    let outcomes: Vec<_> = topics
        .map(|it| (it.partition_index, it.error_code))
        .collect();
    assert_eq!(outcomes, [(5, unknown), (0, 0), (0, unknown), (5, unknown)]);
    assert_eq!(fetch(&mut client, 10, "g", id, None).await, (vec![], 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_of_different_shards_are_served_by_one_request() {
    let (broker, id) = coordinating().await;
    let mut client = broker.client();
    let names: Vec<String> = (0..9).map(|number| format!("group-{number}")).collect();
    for (offset, name) in (0..).zip(&names) {
        let request = commit(name, id, &[(0, offset)]);
        let answer = ask!(client, OffsetCommit, 10, request, OffsetCommitResponseData);
        assert_eq!(codes(&answer), [(0, 0)]);
    }
    let groups = names.iter().map(|name| asked(name, id, None)).collect();
    let request = OffsetFetchRequestData {
        groups,
        ..OffsetFetchRequestData::default()
    };
    let answer = ask!(client, OffsetFetch, 10, request, OffsetFetchResponseData);
    let offsets = answer.groups.iter();
    let offsets = offsets.map(|group| group.topics[0].partitions[0].committed_offset);
    assert_eq!(offsets.collect::<Vec<_>>(), (0..9).collect::<Vec<_>>());

    let request = DeleteGroupsRequestData {
        groups_names: [&names[0], &names[0], &names[4]]
            .map(|name| text(name))
            .to_vec(),
        ..DeleteGroupsRequestData::default()
    };
    let answer = ask!(client, DeleteGroups, 2, request, DeleteGroupsResponseData);
    let outcomes = answer.results.iter();
    let outcomes: Vec<_> = outcomes
        .map(|it| (it.group_id.as_str(), it.error_code))
        .collect();
    assert_eq!(outcomes, [("group-0", 0), ("group-4", 0)]);

    let request = ListGroupsRequestData::default();
    let answer = ask!(client, ListGroups, 5, request, ListGroupsResponseData);
    let listed = answer.groups.iter().map(|it| it.group_id.to_string());
    let left = names
        .iter()
        .filter(|name| !["group-0", "group-4"].contains(&name.as_str()));
    assert_eq!(
        listed.collect::<Vec<_>>(),
        left.cloned().collect::<Vec<_>>(),
        "in the order of the ids, not of the shards"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_are_listed_described_and_deleted_in_every_version() {
    let (broker, id) = coordinating().await;
    let mut client = broker.client();
    for version in 0..=6 {
        let request = commit("g", id, &[(0, 5)]);
        let answer = ask!(client, OffsetCommit, 10, request, OffsetCommitResponseData);
        assert_eq!(codes(&answer), [(0, 0)]);
        if version <= 5 {
            let request = ListGroupsRequestData {
                types_filter: if version == 5 {
                    vec![text("Classic")]
                } else {
                    vec![]
                },
                states_filter: if version >= 4 {
                    vec![text("Empty")]
                } else {
                    vec![]
                },
                ..ListGroupsRequestData::default()
            };
            let answer = ask!(client, ListGroups, version, request, ListGroupsResponseData);
            assert_eq!(
                (answer.error_code, answer.groups.len()),
                (0, 1),
                "{version}"
            );
        }
        let request = DescribeGroupsRequestData {
            groups: vec![text("g"), text("nobody")],
            include_authorized_operations: version >= 3,
            ..DescribeGroupsRequestData::default()
        };
        let answer = ask!(
            client,
            DescribeGroups,
            version,
            request,
            DescribeGroupsResponseData
        );
        let not_found = ErrorCode::GroupIdNotFound.code();
        let nobody = if version >= 6 { not_found } else { 0 };
        let groups = answer.groups.iter();
        let groups =
            groups.map(|it| (it.group_id.as_str(), it.group_state.as_str(), it.error_code));
        let expected = [("g", "Empty", 0), ("nobody", "Dead", nobody)];
        assert_eq!(groups.collect::<Vec<_>>(), expected, "version {version}");
        let operations = if version >= 3 { 0xd48 } else { i32::MIN };
        assert_eq!(answer.groups[0].authorized_operations, operations);

        let request = DeleteGroupsRequestData {
            groups_names: vec![text("g"), text("nobody")],
            ..DeleteGroupsRequestData::default()
        };
        let answer = ask!(
            client,
            DeleteGroups,
            version.min(3),
            request,
            DeleteGroupsResponseData
        );
        let codes = answer.results.iter().map(|it| it.error_code);
        assert_eq!(codes.collect::<Vec<_>>(), [0, not_found]);
        let messages = answer.results.iter().map(|it| &it.error_message);
        let messages = messages.map(|it| it.as_ref().map(KafkaString::as_str));
        let message = (version >= 3).then_some("Group nobody not found.");
        assert_eq!(messages.collect::<Vec<_>>(), [None, message]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_does_not_coordinate_a_group_says_so() {
    let broker = Broker::start(&[]).await;
    let id = wire::wire_id(broker.topic("t", 2).await);
    let mut client = broker.client();
    let elsewhere = ErrorCode::NotCoordinator.code();
    let request = commit("g", id, &[(0, 5), (9, 6)]);
    let answer = ask!(client, OffsetCommit, 10, request, OffsetCommitResponseData);
    let unknown = ErrorCode::UnknownTopicOrPartition.code();
    assert_eq!(codes(&answer), [(9, unknown), (0, elsewhere)]);
    // Version 1 has an error field only for partitions.
    let fetched = fetch(&mut client, 1, "g", id, Some(&[0])).await;
    assert_eq!(fetched, (vec![(0, -1, elsewhere)], 0));
    for version in 2..=10 {
        let fetched = fetch(&mut client, version, "g", id_for(version, id), Some(&[0])).await;
        assert_eq!(fetched, (vec![], elsewhere), "version {version}");
    }
    let request = ListGroupsRequestData::default();
    let answer = ask!(client, ListGroups, 5, request, ListGroupsResponseData);
    assert_eq!((answer.error_code, answer.groups.len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_go_with_their_topic() {
    let (broker, id) = coordinating().await;
    let mut client = broker.client();
    for group in ["a", "b", "c"] {
        let request = commit(group, id, &[(0, 5), (1, 6)]);
        let answer = ask!(client, OffsetCommit, 10, request, OffsetCommitResponseData);
        assert_eq!(codes(&answer), [(0, 0), (1, 0)]);
    }
    let topic_id = wire::topic_id(id).unwrap();
    broker
        .apply(&[MetadataRecord::RemoveTopic { id: topic_id }])
        .await;
    for group in ["a", "b", "c"] {
        let gone = async {
            // Version 9 identifies topics by name, so it returns remaining offsets of a deleted
            // topic.
            while fetch(&mut client, 9, group, KafkaUuid::ZERO, None).await != (vec![], 0) {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(10), gone).await.unwrap();
    }
}

/// Requests in every version, and the responses of Apache Kafka 4.3.1.
const OF_KAFKA: &str = include_str!("testdata/groups-kafka-4.3.1.txt");

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = (0..text.len()).step_by(2);
    digits
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_answered_as_kafka_does_to_the_byte() {
    let (broker, _) = coordinating().await;
    let id = hex(&broker.topic("kestrel", 2).await.to_bytes());
    let mut client = broker.client();
    for line in OF_KAFKA.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split(' ').collect();
        let [key, version, request, expected] = words[..] else {
            panic!("{line}");
        };
        let key = ApiKey::from_i16(key.parse().unwrap()).unwrap();
        let version = version.parse().unwrap();
        let request = unhex(&request.replace("<topic-id>", &id));
        let answer = client.exchange(key, version, &request).await;
        let answer = hex(&answer).replace(&id, "<topic-id>");
        assert_eq!(
            answer,
            expected,
            "{key:?} version {version}: {}",
            hex(&request)
        );
    }
}
