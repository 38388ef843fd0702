//! Quotas of clients: set and shown by Kafka's tool and by ours, and enforced on Kafka's clients.
//!
//! Tests assert what a client reports about its throttle time. They measure no speed.

use std::path::PathBuf;

use anyhow::{Context, Result};
use dohle_tests::Cluster;
use dohle_tests::clients::java::tool;
use kacrab_protocol::KafkaString;
use kacrab_protocol::generated as kafka;

use super::console_tools::{ours, theirs};

/// Runs `kafka-configs` of Kafka, or ours, which must succeed.
fn configs(cluster: &Cluster, is_ours: bool, args: &[&str]) -> Result<String> {
    let bootstrap = cluster.bootstrap();
    let output = match is_ours {
        true => ours("configs", &bootstrap, args)?.run()?,
        false => theirs("ConfigCommand", &bootstrap, args).run()?,
    };
    output.clean()
}

#[test]
fn quotas_are_set_described_and_removed_by_kafkas_tool_and_by_ours() -> Result<()> {
    let cluster = Cluster::of(3).start()?;
    let entities: [(&[&str], &str, &str); 5] = [
        (
            &["--entity-type", "clients", "--entity-name", "app"],
            "producer_byte_rate=1024,consumer_byte_rate=2048",
            "Quota configs for client-id 'app' are consumer_byte_rate=2048.0, \
             producer_byte_rate=1024.0",
        ),
        (
            &["--entity-type", "clients", "--entity-default"],
            "request_percentage=200",
            "Quota configs for the default client-id are request_percentage=200.0",
        ),
        (
            &["--entity-type", "users", "--entity-default"],
            "controller_mutation_rate=1.5",
            "Quota configs for the default user-principal are controller_mutation_rate=1.5",
        ),
        (
            &[
                "--entity-type",
                "users",
                "--entity-name",
                "alice",
                "--entity-type",
                "clients",
                "--entity-default",
            ],
            "producer_byte_rate=7",
            "Quota configs for user-principal 'alice', the default client-id are \
             producer_byte_rate=7.0",
        ),
        (
            &["--entity-type", "ips", "--entity-name", "10.1.2.3"],
            "connection_creation_rate=9",
            "Quota configs for ip '10.1.2.3' are connection_creation_rate=9.0",
        ),
    ];
    for (at, (entity, quotas, described)) in entities.into_iter().enumerate() {
        // One tool sets what both describe and the other removes.
        let first_is_ours = at % 2 == 0;
        let set = [entity, &["--alter", "--add-config", quotas]].concat();
        configs(&cluster, first_is_ours, &set)?;
        for is_ours in [true, false] {
            let shown = configs(&cluster, is_ours, &[entity, &["--describe"]].concat())?;
            assert_eq!(shown.trim_end(), described, "ours: {is_ours}");
        }
        let names: Vec<&str> = quotas
            .split(',')
            .filter_map(|quota| quota.split('=').next())
            .collect();
        let names = names.join(",");
        let removed = [entity, &["--alter", "--delete-config", &names]].concat();
        configs(&cluster, !first_is_ours, &removed)?;
        let shown = configs(&cluster, true, &[entity, &["--describe"]].concat())?;
        assert_eq!(shown.trim_end(), "");
    }
    Ok(())
}

/// Returns the largest value of a metric that a performance tool prints.
fn metric(printed: &str, name: &str) -> Result<f64> {
    let values = printed.lines().filter_map(|line| {
        let (key, value) = line.rsplit_once(':')?;
        key.contains(name)
            .then(|| value.trim().parse::<f64>().ok())?
    });
    values
        .reduce(f64::max)
        .with_context(|| format!("no {name} in {printed}"))
}

fn properties(cluster: &Cluster, name: &str, content: &str) -> Result<PathBuf> {
    let path = cluster.scratch().join(name);
    std::fs::write(&path, content)?;
    Ok(path)
}

/// Produces two megabytes with Kafka's tool and this client id, and returns what it prints.
fn produce(cluster: &Cluster, client_id: &str) -> Result<String> {
    tool("ProducerPerformance")
        .args(["--bootstrap-server", &cluster.bootstrap(), "--topic", "t"])
        .args(["--num-records", "2000", "--record-size", "1000"])
        .args(["--throughput", "-1", "--print-metrics"])
        .args(["--command-property", &format!("client.id={client_id}")])
        .run()?
        .clean()
}

/// Consumes them with Kafka's tool, and returns what it prints.
fn consume(cluster: &Cluster, client_id: &str) -> Result<String> {
    let file = properties(
        cluster,
        "consumer.properties",
        &format!("client.id={client_id}\n"),
    )?;
    tool("ConsumerPerformance")
        .args(["--bootstrap-server", &cluster.bootstrap(), "--topic", "t"])
        .args(["--num-records", "2000", "--timeout", "60000"])
        .args(["--print-metrics", "--command-config"])
        .arg(file)
        .run()?
        .ok()
}

#[test]
fn kafkas_clients_above_their_quota_are_throttled_and_lose_nothing() -> Result<()> {
    // One window, so that a client exceeds its quota after a second's worth of bytes.
    let cluster = Cluster::of(1).property("quota.window.num", "2").start()?;
    cluster.create_topic("t", 1, 1, &[])?;
    let limit = "producer_byte_rate=600000,consumer_byte_rate=600000";
    let entity = ["--entity-type", "clients", "--entity-name", "limited"];
    configs(
        &cluster,
        false,
        &[&entity[..], &["--alter", "--add-config", limit]].concat(),
    )?;
    let free = produce(&cluster, "free")?;
    assert!(free.contains("2000 records sent"), "{free}");
    assert_eq!(metric(&free, "produce-throttle-time-max")?, 0.0);
    let limited = produce(&cluster, "limited")?;
    assert!(limited.contains("2000 records sent"), "{limited}");
    assert!(metric(&limited, "produce-throttle-time-max")? > 0.0);

    let free = consume(&cluster, "free")?;
    assert_eq!(metric(&free, "fetch-throttle-time-max")?, 0.0);
    let limited = consume(&cluster, "limited")?;
    assert!(metric(&limited, "fetch-throttle-time-max")? > 0.0);
    Ok(())
}

/// Creates a topic with one replica at any broker, on a connection of its own, and returns the
/// error and the throttle time.
fn create(cluster: &Cluster, name: &str, partitions: i32, version: i16) -> Result<(i16, i32)> {
    let request = kafka::CreateTopicsRequestData {
        topics: vec![kafka::create_topics_request::CreatableTopic {
            name: KafkaString::from(name.to_owned()),
            num_partitions: partitions,
            replication_factor: 1,
            ..Default::default()
        }],
        timeout_ms: 30_000,
        ..Default::default()
    };
    let response = cluster.connect()?.call(&request, version)?;
    Ok((response.topics[0].error_code, response.throttle_time_ms))
}

const THROTTLING_QUOTA_EXCEEDED: i16 = 89;

#[test]
fn a_client_above_its_quota_of_mutations_is_refused_or_only_throttled() -> Result<()> {
    let cluster = Cluster::of(3)
        .property("controller.quota.window.num", "1")
        .start()?;
    let entity = ["--entity-type", "clients", "--entity-default"];
    let limit = "controller_mutation_rate=0.001";
    configs(
        &cluster,
        true,
        &[&entity[..], &["--alter", "--add-config", limit]].concat(),
    )?;
    // Accepted, since nothing was used before. The debt is four partitions.
    assert_eq!(create(&cluster, "first", 4, 7)?, (0, 0));
    let (code, throttle_time) = create(&cluster, "second", 1, 7)?;
    assert_eq!(code, THROTTLING_QUOTA_EXCEEDED);
    assert!(throttle_time > 3_000_000, "{throttle_time}");
    // Version 5 does not know the error.
    let (code, throttle_time) = create(&cluster, "second", 1, 5)?;
    assert_eq!(code, 0);
    assert!(throttle_time > 4_000_000, "{throttle_time}");
    // Requests that change nothing are not throttled, nor is a client without a quota.
    cluster.connect()?.live_brokers()?;
    configs(
        &cluster,
        false,
        &[
            &entity[..],
            &["--alter", "--delete-config", "controller_mutation_rate"],
        ]
        .concat(),
    )?;
    assert_eq!(create(&cluster, "third", 4, 7)?, (0, 0));
    Ok(())
}
