//! Tests of requests for topics that the metadata of this broker do not contain yet.

use std::time::Duration;

use bytes::BytesMut;
use dohle_model::ErrorCode;
use dohle_protocol::ApiKey;
use dohle_protocol::messages::produce_response::ProduceResponseData;
use tokio::time::timeout;

use super::data::produce;
use super::harness::{Broker, TestClient, batch};

const DEADLINE: Duration = Duration::from_secs(20);

async fn send(client: &mut TestClient, topic: &str, value: &str) {
    let mut body = BytesMut::new();
    let request = produce(topic, 0, 1, batch(&[value]));
    request.write(&mut body, 9).unwrap();
    client.send(ApiKey::Produce, 9, &body).await;
}

/// Receives the code and the offset of the last request.
async fn receive(client: &mut TestClient) -> (i16, i64) {
    let answer = client.receive(ApiKey::Produce, 9);
    let mut answer = timeout(DEADLINE, answer).await.expect("an answer");
    let answer = ProduceResponseData::read(&mut answer, 9).unwrap();
    let partition = &answer.responses[0].partition_responses[0];
    (partition.error_code, partition.base_offset)
}

#[tokio::test]
async fn a_produce_waits_for_a_topic_that_is_about_to_be_known() {
    let broker = Broker::start(&[]).await;
    let mut client = broker.client();
    send(&mut client, "new", "a").await;
    // The request has arrived and waits.
    tokio::task::yield_now().await;
    broker.topic("new", 1).await;
    assert_eq!(receive(&mut client).await, (0, 0));
    send(&mut client, "new", "b").await;
    assert_eq!(receive(&mut client).await, (0, 1));
}

#[tokio::test]
async fn a_produce_to_a_topic_that_never_comes_is_refused() {
    let broker = Broker::start(&[]).await;
    let mut client = broker.client();
    send(&mut client, "none", "a").await;
    let code = ErrorCode::UnknownTopicOrPartition.code();
    assert_eq!(receive(&mut client).await, (code, -1));
}
