//! Tests of Fetch: limits, waiting, sessions, errors.

use std::time::Duration;

use bytes::Bytes;
use dohle_model::{ErrorCode, TopicId};
use dohle_protocol::messages::fetch_request::{
    FetchPartition, FetchRequestData, FetchTopic, ForgottenTopic,
};
use dohle_protocol::messages::fetch_response::{FetchResponseData, PartitionData};
use dohle_protocol::messages::produce_response::ProduceResponseData;
use dohle_protocol::{ApiKey, KafkaString, KafkaUuid};
use tokio::time::timeout;

use super::data::produce;
use super::harness::{Broker, NODE, OTHER, TestClient, ask, batch};
use crate::wire;

/// A deadline that is exceeded only on a failure.
const DEADLINE: Duration = Duration::from_secs(60);

pub(super) fn partition(index: i32, fetch_offset: i64) -> FetchPartition {
    FetchPartition {
        partition: index,
        current_leader_epoch: -1,
        fetch_offset,
        last_fetched_epoch: -1,
        log_start_offset: -1,
        partition_max_bytes: 1 << 20,
        ..FetchPartition::default()
    }
}

pub(super) fn topic(name: &str, id: TopicId, partitions: Vec<FetchPartition>) -> FetchTopic {
    FetchTopic {
        topic: KafkaString::from(name.to_owned()),
        topic_id: wire::wire_id(id),
        partitions,
        ..FetchTopic::default()
    }
}

pub(super) fn request(topics: Vec<FetchTopic>) -> FetchRequestData {
    FetchRequestData {
        replica_id: -1,
        max_wait_ms: 0,
        min_bytes: 1,
        max_bytes: 1 << 20,
        session_id: 0,
        session_epoch: -1,
        topics,
        ..FetchRequestData::default()
    }
}

/// Identifies topics by name or by id, as the version requires.
pub(super) fn for_version(mut request: FetchRequestData, version: i16) -> FetchRequestData {
    for topic in &mut request.topics {
        if version >= 13 {
            topic.topic = KafkaString::default();
        } else {
            topic.topic_id = KafkaUuid::ZERO;
        }
    }
    request
}

pub(super) async fn fetch(
    client: &mut TestClient,
    version: i16,
    request: FetchRequestData,
) -> FetchResponseData {
    let request = for_version(request, version);
    ask!(client, Fetch, version, request, FetchResponseData)
}

pub(super) fn partitions(response: &FetchResponseData) -> Vec<&PartitionData> {
    response
        .responses
        .iter()
        .flat_map(|topic| &topic.partitions)
        .collect()
}

pub(super) async fn append(client: &mut TestClient, name: &str, index: i32, values: &[&str]) {
    let request = produce(name, index, 1, batch(values));
    let response = ask!(client, Produce, 9, request, ProduceResponseData);
    assert_eq!(response.responses[0].partition_responses[0].error_code, 0);
}

pub(super) fn records(data: &PartitionData) -> Bytes {
    data.records.clone().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_version_of_fetch_reads_what_was_produced() {
    let broker = Broker::start(&[]).await;
    let id = broker.topic("t", 1).await;
    let mut client = broker.client();
    append(&mut client, "t", 0, &["a", "b"]).await;
    for version in 4..=18 {
        let wanted = request(vec![topic("t", id, vec![partition(0, 0)])]);
        let response = fetch(&mut client, version, wanted).await;
        let found = partitions(&response);
        assert_eq!(found.len(), 1, "version {version}");
        assert_eq!((found[0].error_code, found[0].high_watermark), (0, 2));
        // Everything but base offset and leader epoch is unchanged.
        assert_eq!(
            records(found[0])[21..],
            batch(&["a", "b"])[21..],
            "version {version}"
        );
        let end = request(vec![topic("t", id, vec![partition(0, 2)])]);
        let response = fetch(&mut client, version, end).await;
        assert_eq!(records(partitions(&response)[0]).len(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_batch_comes_whole_and_the_rest_within_the_limits() {
    let broker = Broker::start(&[]).await;
    let id = broker.topic("t", 2).await;
    let mut client = broker.client();
    let long = "x".repeat(1000);
    for index in [0, 0, 1] {
        append(&mut client, "t", index, &[&long]).await;
    }
    let one = batch(&[&long]).len();
    let sizes = |response: &FetchResponseData| {
        partitions(response)
            .iter()
            .map(|data| records(data).len())
            .collect::<Vec<_>>()
    };
    let both = vec![topic("t", id, vec![partition(0, 0), partition(1, 0)])];
    let tiny = FetchRequestData {
        max_bytes: 1,
        ..request(both.clone())
    };
    assert_eq!(sizes(&fetch(&mut client, 12, tiny).await), [one, 0]);
    let mut small = request(both.clone());
    small.topics[0].partitions[0].partition_max_bytes = 1;
    assert_eq!(sizes(&fetch(&mut client, 12, small).await), [one, one]);
    assert_eq!(
        sizes(&fetch(&mut client, 12, request(both)).await),
        [2 * one, one]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fetch_waits_for_records_and_no_longer_than_asked() {
    let broker = Broker::start(&[]).await;
    let id = broker.topic("t", 1).await;
    let (mut consumer, mut producer) = (broker.client(), broker.client());
    let wanted = FetchRequestData {
        max_wait_ms: i32::MAX,
        ..request(vec![topic("t", id, vec![partition(0, 0)])])
    };
    let mut body = bytes::BytesMut::new();
    for_version(wanted.clone(), 13)
        .write(&mut body, 13)
        .unwrap();
    consumer.send(ApiKey::Fetch, 13, &body).await;
    append(&mut producer, "t", 0, &["a"]).await;
    // The deadline is before the end of the wait, so the records have ended it.
    let answer = timeout(DEADLINE, consumer.receive(ApiKey::Fetch, 13)).await;
    let response = FetchResponseData::read(&mut answer.unwrap(), 13).unwrap();
    assert!(!records(partitions(&response)[0]).is_empty());

    // Without partitions there is nothing to wait for.
    let empty = FetchRequestData {
        topics: Vec::new(),
        ..wanted.clone()
    };
    for version in [4, 12, 13, 18] {
        let response = timeout(DEADLINE, fetch(&mut consumer, version, empty.clone())).await;
        assert_eq!(partitions(&response.unwrap()).len(), 0, "{version}");
    }

    // `min_bytes` is larger than the log: the wait ends at its limit, and the response has what
    // exists.
    let more = FetchRequestData {
        max_wait_ms: 50,
        min_bytes: 100_000,
        ..wanted
    };
    let response = timeout(DEADLINE, fetch(&mut consumer, 13, more)).await;
    let response = response.unwrap();
    assert!(!records(partitions(&response)[0]).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_tells_only_what_is_new() {
    let broker = Broker::start(&[]).await;
    let id = broker.topic("t", 3).await;
    let mut client = broker.client();
    let all = vec![topic(
        "t",
        id,
        (0..3).map(|index| partition(index, 0)).collect(),
    )];
    let first = FetchRequestData {
        session_epoch: 0,
        ..request(all)
    };
    let response = fetch(&mut client, 13, first).await;
    let session_id = response.session_id;
    assert_ne!(session_id, 0);
    assert_eq!(partitions(&response).len(), 3);

    let next = |session_epoch, topics| FetchRequestData {
        session_id,
        session_epoch,
        ..request(topics)
    };
    assert_eq!(
        partitions(&fetch(&mut client, 13, next(1, vec![])).await).len(),
        0
    );

    append(&mut client, "t", 1, &["a"]).await;
    let response = fetch(&mut client, 13, next(2, vec![])).await;
    let found = partitions(&response);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].partition_index, found[0].high_watermark), (1, 1));
    assert!(!records(found[0]).is_empty());

    // The records are sent again until the consumer moves its position.
    let response = fetch(&mut client, 13, next(3, vec![])).await;
    assert_eq!(partitions(&response).len(), 1);
    let moved = vec![topic("t", id, vec![partition(1, 1)])];
    let response = fetch(&mut client, 13, next(4, moved)).await;
    assert_eq!(partitions(&response).len(), 0);

    let forgotten = ForgottenTopic {
        topic_id: wire::wire_id(id),
        partitions: vec![2],
        ..ForgottenTopic::default()
    };
    let forget = FetchRequestData {
        forgotten_topics_data: vec![forgotten],
        ..next(5, vec![])
    };
    fetch(&mut client, 13, forget).await;
    append(&mut client, "t", 2, &["b"]).await;
    append(&mut client, "t", 0, &["c"]).await;
    let response = fetch(&mut client, 13, next(6, vec![])).await;
    let found = partitions(&response);
    assert_eq!(found.len(), 1, "what was forgotten is not told");
    assert_eq!(found[0].partition_index, 0);

    let code = |code: ErrorCode| code.code();
    let response = fetch(&mut client, 13, next(6, vec![])).await;
    assert_eq!(
        response.error_code,
        code(ErrorCode::InvalidFetchSessionEpoch)
    );
    let response = fetch(&mut client, 12, next(7, vec![])).await;
    assert_eq!(
        response.error_code,
        code(ErrorCode::FetchSessionTopicIdError)
    );
    let gone = FetchRequestData {
        session_id: 12345,
        ..next(1, vec![])
    };
    let response = fetch(&mut client, 13, gone).await;
    assert_eq!(response.error_code, code(ErrorCode::FetchSessionIdNotFound));

    let close = next(-1, vec![]);
    assert_eq!(fetch(&mut client, 13, close).await.session_id, 0);
    let response = fetch(&mut client, 13, next(7, vec![])).await;
    assert_eq!(response.error_code, code(ErrorCode::FetchSessionIdNotFound));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_session_wakes_for_each_of_its_partitions() {
    let broker = Broker::start(&[]).await;
    let id = broker.topic("t", 50).await;
    let (mut consumer, mut producer) = (broker.client(), broker.client());
    let all = vec![topic(
        "t",
        id,
        (0..50).map(|index| partition(index, 0)).collect(),
    )];
    let first = FetchRequestData {
        session_epoch: 0,
        ..request(all)
    };
    let session_id = fetch(&mut consumer, 13, first).await.session_id;
    let mut moved = vec![];
    for (epoch, index) in (1..).zip([7, 49, 7, 0]) {
        let wait = FetchRequestData {
            session_id,
            session_epoch: epoch,
            max_wait_ms: 20_000,
            ..request(std::mem::take(&mut moved))
        };
        let mut body = bytes::BytesMut::new();
        for_version(wait, 13).write(&mut body, 13).unwrap();
        consumer.send(ApiKey::Fetch, 13, &body).await;
        append(&mut producer, "t", index, &["a"]).await;
        let mut answer = consumer.receive(ApiKey::Fetch, 13).await;
        let response = FetchResponseData::read(&mut answer, 13).unwrap();
        let found = partitions(&response);
        assert_eq!(found.len(), 1, "{epoch}");
        assert_eq!(found[0].partition_index, index);
        moved = vec![topic(
            "t",
            id,
            vec![partition(index, found[0].high_watermark)],
        )];
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_fetched_is_answered_at_once() {
    let broker = Broker::start(&[]).await;
    let id = broker.topic("t", 1).await;
    let away = broker.topic_led_by("away", 1, OTHER, vec![OTHER]).await;
    let mut client = broker.client();
    let unknown = TopicId::from_bytes([7; 16]);
    let mut stale = partition(0, 0);
    stale.current_leader_epoch = 2;
    let mut ahead = partition(0, 0);
    ahead.current_leader_epoch = 4;
    let cases = [
        (
            topic("t", id, vec![partition(0, 9)]),
            ErrorCode::OffsetOutOfRange,
        ),
        (
            topic("t", id, vec![partition(0, -5)]),
            ErrorCode::OffsetOutOfRange,
        ),
        (
            topic("t", id, vec![partition(5, 0)]),
            ErrorCode::UnknownTopicOrPartition,
        ),
        (topic("t", id, vec![stale]), ErrorCode::FencedLeaderEpoch),
        (topic("t", id, vec![ahead]), ErrorCode::UnknownLeaderEpoch),
        // A partition without records does not keep the error back.
        (
            topic("t", id, vec![partition(5, 0), partition(0, 0)]),
            ErrorCode::UnknownTopicOrPartition,
        ),
        (
            topic("none", unknown, vec![partition(0, 0)]),
            ErrorCode::UnknownTopicId,
        ),
        (
            topic("zero", TopicId::ZERO, vec![partition(0, 0)]),
            ErrorCode::UnknownTopicId,
        ),
        (
            topic("away", away, vec![partition(0, 0)]),
            ErrorCode::NotLeaderOrFollower,
        ),
    ];
    for (wanted, code) in cases {
        let wanted = FetchRequestData {
            max_wait_ms: i32::MAX,
            ..request(vec![wanted])
        };
        let response = timeout(DEADLINE, fetch(&mut client, 16, wanted)).await;
        let response = response.expect("an answer before the end of the wait");
        let found = partitions(&response);
        assert_eq!(ErrorCode::from_code(found[0].error_code), Some(code));
        if code == ErrorCode::NotLeaderOrFollower {
            assert_eq!(found[0].current_leader.leader_id, OTHER.0);
            assert_eq!(response.node_endpoints[0].host.as_str(), "host2");
        }
    }
    let nothing = FetchRequestData {
        max_wait_ms: i32::MAX,
        ..request(Vec::new())
    };
    let response = timeout(DEADLINE, fetch(&mut client, 16, nothing)).await;
    let response = response.expect("an answer before the end of the wait");
    assert!(response.responses.is_empty());
    let by_name = request(vec![topic("none", unknown, vec![partition(0, 0)])]);
    let response = fetch(&mut client, 12, by_name).await;
    let code = ErrorCode::UnknownTopicOrPartition.code();
    assert_eq!(partitions(&response)[0].error_code, code);
    let replica = FetchRequestData {
        replica_id: 2,
        ..request(vec![])
    };
    assert_eq!(
        fetch(&mut client, 12, replica).await.error_code,
        ErrorCode::InvalidRequest.code()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fetch_that_waits_is_told_when_the_leader_changes() {
    use dohle_model::record::{MetadataRecord, PartitionChange};
    let broker = Broker::start(&[]).await;
    let id = broker.topic_led_by("t", 1, NODE, vec![NODE, OTHER]).await;
    let mut client = broker.client();
    let wanted = FetchRequestData {
        max_wait_ms: 20_000,
        ..request(vec![topic("t", id, vec![partition(0, 0)])])
    };
    let mut body = bytes::BytesMut::new();
    for_version(wanted, 10).write(&mut body, 10).unwrap();
    client.send(ApiKey::Fetch, 10, &body).await;
    let change = PartitionChange {
        leader: Some(Some(OTHER)),
        ..PartitionChange::default()
    };
    let partition = dohle_model::PartitionIndex(0);
    broker
        .apply(&[MetadataRecord::PartitionChange {
            topic_id: id,
            partition,
            change,
        }])
        .await;
    let mut answer = client.receive(ApiKey::Fetch, 10).await;
    let response = FetchResponseData::read(&mut answer, 10).unwrap();
    let code = ErrorCode::NotLeaderOrFollower.code();
    assert_eq!(partitions(&response)[0].error_code, code);
}

/// Removes a topic from the metadata while a fetch waits for one of its partitions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fetch_that_waits_returns_an_unknown_topic_when_the_topic_is_deleted() {
    use dohle_model::record::MetadataRecord;
    let broker = Broker::start(&[]).await;
    for version in [10, 12, 13, 18] {
        let id = broker.topic("t", 1).await;
        let mut client = broker.client();
        let all = vec![topic("t", id, vec![partition(0, 0)])];
        let first = FetchRequestData {
            session_epoch: 0,
            ..request(all)
        };
        let session_id = fetch(&mut client, version, first).await.session_id;
        let wait = FetchRequestData {
            session_id,
            session_epoch: 1,
            max_wait_ms: i32::MAX,
            ..request(Vec::new())
        };
        let mut body = bytes::BytesMut::new();
        wait.write(&mut body, version).unwrap();
        client.send(ApiKey::Fetch, version, &body).await;
        broker.apply(&[MetadataRecord::RemoveTopic { id }]).await;
        let answer = timeout(DEADLINE, client.receive(ApiKey::Fetch, version)).await;
        let response = FetchResponseData::read(&mut answer.unwrap(), version).unwrap();
        let code = ErrorCode::UnknownTopicOrPartition.code();
        assert_eq!(partitions(&response)[0].error_code, code, "{version}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_keeps_the_name_of_a_topic_that_was_deleted_and_created_anew() {
    use dohle_model::record::MetadataRecord;
    let broker = Broker::start(&[]).await;
    let id = broker.topic("t", 1).await;
    let never = TopicId::from_bytes([7; 16]);
    let mut client = broker.client();
    let one = |id| topic("t", id, vec![partition(0, 0)]);
    let first = FetchRequestData {
        session_epoch: 0,
        ..request(vec![one(id), one(never)])
    };
    let session_id = fetch(&mut client, 13, first).await.session_id;
    let mut epochs = 1..;
    let mut codes = async || {
        let next = FetchRequestData {
            session_id,
            session_epoch: epochs.next().unwrap(),
            ..request(Vec::new())
        };
        let response = fetch(&mut client, 13, next).await;
        let code = |topic: TopicId| {
            let topics = &response.responses;
            let found = topics
                .iter()
                .find(|found| found.topic_id == wire::wire_id(topic));
            found.map(|found| found.partitions[0].error_code)
        };
        [code(id), code(never)]
    };
    let unknown = Some(ErrorCode::UnknownTopicId.code());
    assert_eq!(codes().await, [None, unknown]);
    broker.apply(&[MetadataRecord::RemoveTopic { id }]).await;
    let deleted = Some(ErrorCode::UnknownTopicOrPartition.code());
    assert_eq!(codes().await, [deleted, unknown]);
    broker.topic("t", 1).await;
    let other = Some(ErrorCode::InconsistentTopicId.code());
    assert_eq!(codes().await, [other, unknown]);
}
