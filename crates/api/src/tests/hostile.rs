//! Requests that no honest client sends: each is answered with an error or ends its connection, and
//! the broker continues to serve others.

use dohle_protocol::ApiKey;
use dohle_protocol::messages::api_versions_request::ApiVersionsRequestData;
use dohle_protocol::messages::api_versions_response::ApiVersionsResponseData;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::harness::{Broker, ask, frame};
use crate::table::TABLE;

/// Sends bytes on a new connection, and reads until the connection ends or a response arrives.
async fn throw(broker: &Broker, bytes: &[u8]) -> usize {
    let mut client = broker.client();
    client.stream.write_all(bytes).await.unwrap();
    client.stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    client.stream.read_to_end(&mut answer).await.unwrap();
    answer.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_apis_and_versions_end_the_connection() {
    let broker = Broker::start(&[]).await;
    let mut unknown = frame(ApiKey::Metadata, 1, 1, &[0; 8]).to_vec();
    unknown[4..6].copy_from_slice(&999_i16.to_be_bytes());
    assert_eq!(throw(&broker, &unknown).await, 0);
    assert_eq!(
        throw(&broker, &frame(ApiKey::Metadata, 14, 1, &[0; 8])).await,
        0
    );
    assert_eq!(
        throw(&broker, &frame(ApiKey::Metadata, -1, 1, &[0; 8])).await,
        0
    );
    // An API of controllers, which brokers do not serve.
    assert_eq!(throw(&broker, &frame(ApiKey::Vote, 0, 1, &[0; 8])).await, 0);
    // Produce is advertised from 0 and served from 3.
    assert_eq!(
        throw(&broker, &frame(ApiKey::Produce, 2, 1, &[0; 8])).await,
        0
    );
}

#[test]
fn random_bodies_of_apis_without_the_controller_leave_the_broker_alive() {
    let cases = std::env::var("DOHLE_FUZZ_CASES")
        .ok()
        .and_then(|text| text.parse().ok());
    let config = Config {
        cases: cases.unwrap_or(300),
        ..Config::default()
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let broker = runtime.block_on(async {
        let broker = Broker::start(&[("auto.create.topics.enable", "false")]).await;
        broker.topic("t", 2).await;
        broker
    });
    // APIs that the controller answers only wait, because there is no controller here.
    let local = |api: &&crate::pipeline::Api| {
        !matches!(
            api.key,
            ApiKey::CreateTopics
                | ApiKey::DeleteTopics
                | ApiKey::CreatePartitions
                | ApiKey::InitProducerId
                | ApiKey::ElectLeaders
                | ApiKey::AlterConfigs
                | ApiKey::IncrementalAlterConfigs
                | ApiKey::AlterPartitionReassignments
                | ApiKey::DescribeQuorum
                | ApiKey::UnregisterBroker
                | ApiKey::UnregisterController
                | ApiKey::UpdateFeatures
        )
    };
    let apis: Vec<_> = TABLE
        .iter()
        .filter(local)
        .flat_map(|api| (api.version_min..=api.version_max).map(|version| (api.key, version)))
        .collect();
    let body = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        prop::collection::vec(
            prop::sample::select(&[0_u8, 1, 2, 3, b't', 0xff][..]),
            0..100
        ),
    ];
    let mut runner = TestRunner::new(config);
    runner
        .run(
            &(prop::sample::select(apis), body),
            |((key, version), body)| {
                runtime.block_on(throw(&broker, &frame(key, version, 1, &body)));
                Ok(())
            },
        )
        .unwrap();
    runtime.block_on(async {
        let mut client = broker.client();
        let request = ApiVersionsRequestData::default();
        let response = ask!(client, ApiVersions, 0, request, ApiVersionsResponseData);
        assert_eq!(response.error_code, 0, "the broker is still there");
    });
}
