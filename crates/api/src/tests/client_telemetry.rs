//! Metrics that clients push, from the request to the series.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use dohle_log::compression::{CompressionLevel, CompressionType, compress};
use dohle_model::ErrorCode as Code;
use dohle_model::record::{ConfigResource, MetadataRecord};
use dohle_protocol::messages::api_versions_request::ApiVersionsRequestData;
use dohle_protocol::messages::api_versions_response::ApiVersionsResponseData;
use dohle_protocol::messages::{
    GetTelemetrySubscriptionsRequestData, GetTelemetrySubscriptionsResponseData,
    PushTelemetryRequestData, PushTelemetryResponseData,
};
use dohle_protocol::{ApiKey, KafkaUuid};
use dohle_rpc::opentelemetry::metric::Data;
use dohle_rpc::opentelemetry::number_data_point::Value;
use dohle_rpc::opentelemetry::{
    Metric, MetricsData, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
};
use dohle_telemetry::text::{Format, render};
use dohle_telemetry::{Collect as _, Rules, Scrape};
use prost::Message as _;

use super::harness::{Broker, TestClient, ask};
use crate::client_telemetry::{ClientIdentity, Sender};

async fn subscribe(broker: &Broker, name: &str, entries: &[(&str, &str)]) {
    let records = entries.iter().map(|(key, value)| MetadataRecord::Config {
        resource: ConfigResource::ClientMetrics(name.into()),
        key: (*key).to_owned(),
        value: Some((*value).to_owned()),
    });
    broker.apply(&records.collect::<Vec<_>>()).await;
}

async fn question(client: &mut TestClient, id: KafkaUuid) -> GetTelemetrySubscriptionsResponseData {
    let request = GetTelemetrySubscriptionsRequestData {
        client_instance_id: id,
        ..Default::default()
    };
    let response = GetTelemetrySubscriptionsResponseData::default();
    let answer = ask!(
        client,
        GetTelemetrySubscriptions,
        0,
        request,
        GetTelemetrySubscriptionsResponseData
    );
    if answer.error_code != 0 {
        let error_code = answer.error_code;
        assert_eq!(
            answer,
            GetTelemetrySubscriptionsResponseData {
                error_code,
                ..response
            }
        );
    }
    answer
}

/// Pushes for a subscription; `change` changes the request.
async fn push(
    client: &mut TestClient,
    of: &GetTelemetrySubscriptionsResponseData,
    change: impl FnOnce(&mut PushTelemetryRequestData),
) -> i16 {
    let mut request = PushTelemetryRequestData {
        client_instance_id: of.client_instance_id,
        subscription_id: of.subscription_id,
        metrics: sent(5.0).into(),
        ..Default::default()
    };
    change(&mut request);
    let answer = ask!(client, PushTelemetry, 0, request, PushTelemetryResponseData);
    assert_eq!(answer.throttle_time_ms, 0);
    answer.error_code
}

/// Returns the message of a count that has grown.
fn sent(growth: f64) -> Vec<u8> {
    let sum = Sum {
        data_points: vec![NumberDataPoint {
            attributes: Vec::new(),
            value: Some(Value::AsDouble(growth)),
        }],
        aggregation_temporality: 1,
        is_monotonic: true,
    };
    let metric = Metric {
        name: "org.apache.kafka.producer.record.send.total".to_owned(),
        data: Some(Data::Sum(sum)),
    };
    let resource_metrics = ResourceMetrics {
        resource: None,
        scope_metrics: vec![ScopeMetrics {
            metrics: vec![metric],
        }],
    };
    MetricsData {
        resource_metrics: vec![resource_metrics],
    }
    .encode_to_vec()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut compressed = Vec::new();
    let level = CompressionLevel::default();
    compress(CompressionType::Gzip, level, bytes, &mut compressed).unwrap();
    compressed
}

/// Returns the lines of the metrics that contain a text.
fn exposed(broker: &Broker, part: &str) -> Vec<String> {
    let rules = Rules::parse(dohle_telemetry::rules::DEFAULT).unwrap().0;
    let mut scrape = Scrape::new(&rules);
    let telemetry = &broker.context.client_telemetry;
    telemetry.collect(&mut |sample| scrape.add(sample));
    let text = render(&scrape.finish(0.0), Format::Prometheus);
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let lines = lines.filter(|line| line.contains(part));
    lines.map(str::to_owned).collect()
}

const SENT: &str = "org_apache_kafka_producer_record_send_total";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_apis_are_listed_once_there_is_a_subscription() {
    let broker = Broker::start(&[]).await;
    let mut client = broker.client();
    for is_used in [false, true] {
        if is_used {
            subscribe(&broker, "all", &[("metrics", "*")]).await;
        }
        let request = ApiVersionsRequestData::default();
        let response = ask!(client, ApiVersions, 0, request, ApiVersionsResponseData);
        for key in [ApiKey::GetTelemetrySubscriptions, ApiKey::PushTelemetry] {
            let mut listed = response.api_keys.iter();
            assert_eq!(listed.any(|api| api.api_key == key as i16), is_used);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_gets_an_id_and_the_subscriptions_that_match_it() {
    let broker = Broker::start(&[("telemetry.max.bytes", "5000")]).await;
    let mut client = broker.client();
    let none = question(&mut client, KafkaUuid::ZERO).await;
    assert_ne!(none.client_instance_id, KafkaUuid::ZERO);
    assert!(none.requested_metrics.is_empty());
    assert_eq!(none.push_interval_ms, 300_000);
    assert_eq!(none.telemetry_max_bytes, 5000);
    assert_eq!(none.accepted_compression_types, [4, 3, 1, 2]);
    assert!(none.delta_temporality);
    let other = question(&mut client, KafkaUuid::ZERO).await;
    assert_ne!(other.client_instance_id, none.client_instance_id);

    let throttled = question(&mut client, none.client_instance_id).await;
    assert_eq!(throttled.error_code, Code::ThrottlingQuotaExceeded.code());
    // The client of the tests is `test`, and has not named its library.
    let all = [
        ("match", "client_id=te.*,client_software_name=unknown"),
        ("metrics", "a."),
    ];
    subscribe(&broker, "own", &all).await;
    subscribe(
        &broker,
        "other",
        &[("match", "client_id=x"), ("metrics", "*")],
    )
    .await;
    let some = question(&mut client, none.client_instance_id).await;
    assert_eq!(some.client_instance_id, none.client_instance_id);
    assert_ne!(some.subscription_id, none.subscription_id);
    assert_eq!(some.requested_metrics.len(), 1);
    assert_eq!(some.requested_metrics[0].as_str(), "a.");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_a_subscription_holds_from_the_next_request() {
    let broker = Broker::start(&[]).await;
    let mut client = broker.client();
    let id = KafkaUuid::from_parts(1, 1);
    for metrics in ["a.", "b."] {
        subscribe(&broker, "own", &[("metrics", metrics)]).await;
        let subscription = question(&mut client, id).await;
        assert_eq!(subscription.requested_metrics.len(), 1);
        assert_eq!(subscription.requested_metrics[0].as_str(), metrics);
    }
    let removal = MetadataRecord::Config {
        resource: ConfigResource::ClientMetrics("own".into()),
        key: "metrics".to_owned(),
        value: None,
    };
    broker.apply(&[removal]).await;
    let none = question(&mut client, id).await;
    assert_eq!(none.error_code, 0);
    assert!(none.requested_metrics.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn series_name_the_library_of_the_client() {
    let broker = Broker::start(&[]).await;
    let mut client = broker.client();
    let software = ApiVersionsRequestData {
        client_software_name: "java".to_owned().into(),
        client_software_version: "4.3".to_owned().into(),
        ..Default::default()
    };
    ask!(client, ApiVersions, 3, software, ApiVersionsResponseData);
    let matched = "client_software_name=java,client_software_version=4[.]3";
    subscribe(&broker, "own", &[("match", matched), ("metrics", "*")]).await;
    let subscription = question(&mut client, KafkaUuid::ZERO).await;
    assert_eq!(subscription.requested_metrics.len(), 1);
    assert_eq!(push(&mut client, &subscription, |_| {}).await, 0);
    let labels = "client_software_name=\"java\",client_software_version=\"4.3\"";
    assert_eq!(exposed(&broker, labels).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_pushed_becomes_series_that_end_with_the_last_push() {
    let broker = Broker::start(&[]).await;
    let mut client = broker.client();
    let subscription = question(&mut client, KafkaUuid::ZERO).await;
    assert_eq!(push(&mut client, &subscription, |_| {}).await, 0);
    let id = subscription.client_instance_id;
    let line = format!(
        "{SENT}{{client_id=\"test\",client_instance_id=\"{id}\",\
         client_software_name=\"unknown\",client_software_version=\"unknown\"}} 5.0"
    );
    assert_eq!(exposed(&broker, SENT), [line]);
    let throttled = push(&mut client, &subscription, |_| {}).await;
    assert_eq!(throttled, Code::ThrottlingQuotaExceeded.code());
    let last = push(&mut client, &subscription, |push| push.terminating = true).await;
    assert_eq!(last, 0);
    assert_eq!(exposed(&broker, SENT), [""; 0]);
    assert_eq!(
        exposed(&broker, "clientmetrics"),
        [
            "kafka_server_clientmetrics_instance_count 1.0",
            "kafka_server_clientmetrics_plugin_error_total{client_instance_id=\"all\"} 0.0",
            "kafka_server_clientmetrics_plugin_export_total{client_instance_id=\"all\"} 2.0",
            "kafka_server_clientmetrics_throttle_total{client_instance_id=\"all\"} 1.0",
            "kafka_server_clientmetrics_unknown_subscription_request_total 0.0",
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pushes_that_cannot_be_read_are_refused_and_counted() {
    let broker = Broker::start(&[("telemetry.max.bytes", "100")]).await;
    let mut client = broker.client();
    let invalid = push(&mut client, &Default::default(), |_| {}).await;
    assert_eq!(invalid, Code::InvalidRequest.code());
    type Change = fn(&mut PushTelemetryRequestData);
    let cases: [(Change, Code); 7] = [
        (
            |push| push.subscription_id ^= 1,
            Code::UnknownSubscriptionId,
        ),
        (
            |push| push.compression_type = 5,
            Code::UnsupportedCompressionType,
        ),
        (
            |push| push.metrics = vec![0; 101].into(),
            Code::TelemetryTooLarge,
        ),
        (
            |push| push.metrics = vec![0xff; 9].into(),
            Code::InvalidRecord,
        ),
        (|push| push.compression_type = 1, Code::InvalidRecord),
        (
            |push| {
                push.compression_type = 1;
                push.metrics = gzip(&[0; 10_000]).into();
            },
            Code::TelemetryTooLarge,
        ),
        (
            |push| {
                push.terminating = true;
                push.metrics = vec![0xff; 9].into();
            },
            Code::InvalidRecord,
        ),
    ];
    for (change, code) in cases {
        let subscription = question(&mut client, KafkaUuid::ZERO).await;
        assert_eq!(push(&mut client, &subscription, change).await, code.code());
    }
    // A push without metrics is one, too, and nothing is read from it.
    let subscription = question(&mut client, KafkaUuid::ZERO).await;
    let empty = push(&mut client, &subscription, |push| push.metrics.clear()).await;
    assert_eq!(empty, 0);
    assert_eq!(exposed(&broker, SENT), [""; 0]);
    for line in [
        "plugin_error_total{client_instance_id=\"all\"} 4.0",
        "plugin_export_total{client_instance_id=\"all\"} 0.0",
        "unknown_subscription_request_total 1.0",
    ] {
        assert_eq!(exposed(&broker, line).len(), 1, "{line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_series_of_a_client_end_with_its_connection() {
    let broker = Broker::start(&[]).await;
    let mut client = broker.client();
    let subscription = question(&mut client, KafkaUuid::ZERO).await;
    assert_eq!(push(&mut client, &subscription, |_| {}).await, 0);
    assert_eq!(exposed(&broker, SENT).len(), 1);
    // The instance moves to another connection, and does not end with the first.
    let mut second = broker.client();
    let last = push(&mut second, &subscription, |push| push.metrics.clear()).await;
    assert_eq!(last, Code::ThrottlingQuotaExceeded.code());
    let telemetry = std::sync::Arc::clone(&broker.context.client_telemetry);
    let connections = || std::sync::Arc::strong_count(&telemetry);
    let open = connections();
    drop(client);
    until(|| connections() < open).await;
    assert_eq!(exposed(&broker, SENT).len(), 1);
    drop(second);
    until(|| connections() < open - 1).await;
    assert_eq!(exposed(&broker, SENT), [""; 0]);
    assert_eq!(exposed(&broker, "instance_count 0.0").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_connects_again_starts_new_series() {
    let broker = Broker::start(&[]).await;
    let mut client = broker.client();
    // A connection ends the instance that it has named last.
    question(&mut client, KafkaUuid::ZERO).await;
    let subscription = question(&mut client, KafkaUuid::ZERO).await;
    assert_eq!(push(&mut client, &subscription, |_| {}).await, 0);
    let telemetry = std::sync::Arc::clone(&broker.context.client_telemetry);
    let connections = || std::sync::Arc::strong_count(&telemetry);
    let open = connections();
    drop(client);
    until(|| connections() < open).await;
    // No scrape has removed the series of the first connection in between.
    let mut second = broker.client();
    assert_eq!(push(&mut second, &subscription, |_| {}).await, 0);
    let series = exposed(&broker, SENT);
    assert_eq!(series.len(), 1);
    assert!(series[0].ends_with(" 5.0"), "{series:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_expires_without_another_request() {
    let broker = Broker::start(&[]).await;
    subscribe(&broker, "own", &[("interval.ms", "1000")]).await;
    let image = broker.context.image();
    let connected = OnceLock::new();
    let ask_at = |received| {
        let sender = Sender {
            client: ClientIdentity {
                client_id: None,
                software_name: "java".to_owned(),
                software_version: "4".to_owned(),
                address: "10.0.0.7:5000".parse().unwrap(),
            },
            received,
            connected: &connected,
            image: &image,
        };
        let id = KafkaUuid::from_parts(1, 1);
        let telemetry = &broker.context.client_telemetry;
        telemetry.subscription(&sender, id).unwrap();
    };
    let now = Instant::now();
    for (age, count) in [(60, 0), (30, 1)] {
        ask_at(now.checked_sub(Duration::from_secs(age)).unwrap());
        let line = format!("kafka_server_clientmetrics_instance_count {count}.0");
        assert_eq!(exposed(&broker, "instance_count"), [line]);
    }
}

/// Waits until a condition holds, which other tasks bring about.
async fn until(condition: impl Fn() -> bool) {
    let holds = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    let deadline = Duration::from_secs(20);
    tokio::time::timeout(deadline, holds).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn series_beyond_the_limit_are_left_out_and_counted() {
    let broker = Broker::start(&[("metrics.client.series.max", "1")]).await;
    let mut client = broker.client();
    for _ in 0..3 {
        let subscription = question(&mut client, KafkaUuid::ZERO).await;
        assert_eq!(push(&mut client, &subscription, |_| {}).await, 0);
    }
    assert_eq!(exposed(&broker, SENT).len(), 1);
    let left_out = "dohle_metrics_client_series_left_out 2.0";
    assert_eq!(exposed(&broker, left_out), [left_out]);
}
