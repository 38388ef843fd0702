//! Tests of a broker with two log directories, one of which fails.

use dohle_model::{DirectoryId, ErrorCode};
use dohle_protocol::ApiKey;
use dohle_protocol::messages::describe_log_dirs_request::DescribeLogDirsRequestData;
use dohle_protocol::messages::describe_log_dirs_response::DescribeLogDirsResponseData;
use dohle_protocol::messages::fetch_request::FetchRequestData;
use dohle_protocol::messages::fetch_response::FetchResponseData;
use dohle_protocol::messages::produce_response::ProduceResponseData;

use super::data::produce;
use super::fetch::{fetch, for_version, partition, partitions, records, request, topic};
use super::harness::{Broker, DIRS, TestClient, ask, batch};

const FAILED: i16 = ErrorCode::KafkaStorageError as i16;

pub(super) async fn append(client: &mut TestClient, name: &str, value: &str) -> i16 {
    let request = produce(name, 0, -1, batch(&[value]));
    let response = ask!(client, Produce, 9, request, ProduceResponseData);
    response.responses[0].partition_responses[0].error_code
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_log_directory_goes_offline_and_the_others_serve_on() {
    let broker = Broker::start_with(&[("log.segment.bytes", "1048576")], &DIRS).await;
    let id = broker.topic_in("failing", DIRS[0]).await;
    let neighbour = broker.topic_in("neighbour", DIRS[0]).await;
    let healthy = broker.topic_in("healthy", DIRS[1]).await;
    let mut client = broker.client();
    let half = "x".repeat(600_000);
    assert_eq!(append(&mut client, "failing", &half).await, 0);
    assert_eq!(append(&mut client, "healthy", "a").await, 0);

    // A consumer waits for a partition in the same directory.
    let mut waiting = broker.client();
    let wanted = FetchRequestData {
        max_wait_ms: 60_000,
        ..request(vec![topic("neighbour", neighbour, vec![partition(0, 0)])])
    };
    let mut body = bytes::BytesMut::new();
    for_version(wanted, 12).write(&mut body, 12).unwrap();
    waiting.send(ApiKey::Fetch, 12, &body).await;

    // A folder at the path of the next segment prevents its creation.
    let next = "failing-0/00000000000000000001.log";
    std::fs::create_dir(broker.replicas.dirs[0].path().join(next)).unwrap();
    assert_eq!(append(&mut client, "failing", &half).await, FAILED);
    let mut failed = broker.context.partitions.failed_dirs();
    let failed = failed.wait_for(|failed| !failed.is_empty()).await.unwrap();
    assert_eq!(failed.iter().collect::<Vec<_>>(), [&DIRS[0]]);
    drop(failed);

    let mut answer = waiting.receive(ApiKey::Fetch, 12).await;
    let response = FetchResponseData::read(&mut answer, 12).unwrap();
    assert_eq!(partitions(&response)[0].error_code, FAILED);
    for (name, id) in [("failing", id), ("neighbour", neighbour)] {
        assert_eq!(append(&mut client, name, "b").await, FAILED, "{name}");
        let wanted = request(vec![topic(name, id, vec![partition(0, 0)])]);
        let response = fetch(&mut client, 12, wanted).await;
        assert_eq!(partitions(&response)[0].error_code, FAILED, "{name}");
    }

    assert_eq!(append(&mut client, "healthy", "b").await, 0);
    let wanted = request(vec![topic("healthy", healthy, vec![partition(0, 0)])]);
    let response = fetch(&mut client, 12, wanted).await;
    let found = partitions(&response)[0];
    assert_eq!((found.error_code, found.high_watermark), (0, 2));
    assert!(!records(found).is_empty());
    // A new replica is created in the directory that is online.
    let fresh = broker.topic_in("fresh", DirectoryId::UNASSIGNED).await;
    let lives_in = broker.partition(fresh, 0).directory();
    assert_eq!(
        (lives_in, append(&mut client, "fresh", "a").await),
        (DIRS[1], 0)
    );

    let request = DescribeLogDirsRequestData::default();
    let response = ask!(
        client,
        DescribeLogDirs,
        4,
        request,
        DescribeLogDirsResponseData
    );
    let codes: Vec<i16> = response.results.iter().map(|dir| dir.error_code).collect();
    assert_eq!(codes, [FAILED, 0]);
}
