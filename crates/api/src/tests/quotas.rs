//! Quotas of clients: bytes of Produce and Fetch, the time of requests, and changes of the quotas.

use dohle_auth::quotas::QuotaType;
use dohle_model::client_quota::{QuotaEntity, QuotaValue};
use dohle_model::record::MetadataRecord;
use dohle_protocol::messages::heartbeat_request::HeartbeatRequestData;
use dohle_protocol::messages::heartbeat_response::HeartbeatResponseData;
use dohle_protocol::messages::produce_response::ProduceResponseData;

use super::data::produce;
use super::fetch::{fetch, partition, partitions, records, request, topic};
use super::harness::{Broker, TestClient, ask, batch};

/// Sets a quota of the client id that the tests use, or removes it.
async fn set(broker: &Broker, quota: QuotaType, limit: impl Into<Option<f64>>) {
    let record = MetadataRecord::ClientQuota {
        entity: QuotaEntity::ClientId(Some("test".into())),
        key: quota.key().to_owned(),
        value: limit.into().map(QuotaValue),
    };
    broker.apply(&[record]).await;
}

/// Produces a batch of about a kilobyte.
async fn send(client: &mut TestClient) -> ProduceResponseData {
    let value = "x".repeat(1_000);
    let request = produce("t", 0, 1, batch(&[&value]));
    let response = ask!(client, Produce, 9, request, ProduceResponseData);
    assert_eq!(response.responses[0].partition_responses[0].error_code, 0);
    response
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_above_its_byte_rate_is_throttled_by_the_excess() {
    let broker = Broker::start(&[]).await;
    broker.topic("t", 1).await;
    let mut client = broker.client();
    assert_eq!(send(&mut client).await.throttle_time_ms, 0);
    // More than ten kilobytes in the ten seconds that are measured are too many.
    set(&broker, QuotaType::Produce, 1_000.0).await;
    for n in 0..8 {
        assert_eq!(send(&mut client).await.throttle_time_ms, 0, "{n}");
    }
    for _ in 0..3 {
        // A new connection, because this one may be muted.
        client = broker.client();
        send(&mut client).await;
    }
    client = broker.client();
    let throttle_time = send(&mut client).await.throttle_time_ms;
    assert!((1_000..20_000).contains(&throttle_time), "{throttle_time}");
    // Another user's quota, or none, does not throttle.
    set(&broker, QuotaType::Produce, None).await;
    client = broker.client();
    assert_eq!(send(&mut client).await.throttle_time_ms, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_above_its_byte_rate_gets_no_records_and_loses_none() {
    let broker = Broker::start(&[]).await;
    let id = broker.topic("t", 1).await;
    let mut client = broker.client();
    for _ in 0..12 {
        send(&mut client).await;
    }
    set(&broker, QuotaType::Fetch, 1_000.0).await;
    // A session, whose requests name no partitions. Responses have at most what is allowed at once.
    let mut first = request(vec![topic("t", id, vec![partition(0, 0)])]);
    first.session_epoch = 0;
    let response = fetch(&mut client, 12, first.clone()).await;
    let bytes = records(partitions(&response)[0]).len();
    assert!((8_000..=10_000).contains(&bytes), "{bytes}");
    assert_eq!(response.throttle_time_ms, 0);
    let session_id = response.session_id;
    let mut next = request(Vec::new());
    (next.session_id, next.session_epoch) = (session_id, 1);
    let throttled = fetch(&mut client, 12, next).await;
    assert!(throttled.throttle_time_ms > 1_000, "{throttled:?}");
    assert_eq!(
        (throttled.error_code, throttled.session_id),
        (0, session_id)
    );
    assert!(throttled.responses.is_empty());
    // What it did not get is still there, in the session's next request.
    set(&broker, QuotaType::Fetch, None).await;
    let mut client = broker.client();
    let mut next = request(Vec::new());
    (next.session_id, next.session_epoch) = (session_id, 2);
    let response = fetch(&mut client, 12, next).await;
    assert_eq!(response.throttle_time_ms, 0);
    assert!(records(partitions(&response)[0]).len() > 12_000);
    // A throttled request without a session begins none.
    set(&broker, QuotaType::Fetch, 0.001).await;
    fetch(&mut client, 12, first.clone()).await;
    let mut client = broker.client();
    let throttled = fetch(&mut client, 12, first).await;
    assert!(throttled.throttle_time_ms > 0);
    assert_eq!(throttled.session_id, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_above_its_request_time_is_throttled_for_a_window_at_most() {
    let broker = Broker::start(&[]).await;
    let heartbeat = HeartbeatRequestData::default();
    let mut client = broker.client();
    let response = ask!(client, Heartbeat, 4, heartbeat, HeartbeatResponseData);
    assert_eq!(response.throttle_time_ms, 0);
    set(&broker, QuotaType::Request, 1e-9).await;
    let response = ask!(client, Heartbeat, 4, heartbeat, HeartbeatResponseData);
    assert_eq!(response.throttle_time_ms, 1_000);
    // A producer that waits for no response is exempt.
    broker.topic("t", 1).await;
    let mut client = broker.client();
    let silent = produce("t", 0, 0, batch(&["a"]));
    let mut body = bytes::BytesMut::new();
    silent.write(&mut body, 9).unwrap();
    client.send(dohle_protocol::ApiKey::Produce, 9, &body).await;
    let response = ask!(client, Heartbeat, 4, heartbeat, HeartbeatResponseData);
    assert_eq!(
        response.throttle_time_ms, 1_000,
        "answered without a delay before it"
    );
}
