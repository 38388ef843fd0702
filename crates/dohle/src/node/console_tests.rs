//! The console's API, over a node in this process.

use std::collections::BTreeMap;
use std::path::Path;

use dohle_admin::{Cluster, Connection, NewTopic, PartitionId, commit_offsets, create_topic};
use serde_json::{Value, json};

use super::super::http::tests::{config, free_port, get};
use super::*;
use crate::Node;
use crate::test_support::loggers;

/// Starts a node, and returns its port for HTTP and a client of it.
async fn start(scratch: &Path) -> (Node, u16, Cluster) {
    let port = free_port();
    let config = config(
        scratch,
        &format!("http.listeners=http://127.0.0.1:{port}\n"),
    );
    let connection = Connection {
        bootstrap: bootstrap(&config).unwrap(),
        ..Connection::default()
    };
    let node = Node::start(config, "localhost", loggers()).await.unwrap();
    let cluster = Cluster::connect(&connection).await.unwrap();
    (node, port, cluster)
}

/// Returns the status and the body of an answer of the API.
async fn read(port: u16, path: &'static str) -> (u16, Value) {
    let answer = get(port, path).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_console_shows_what_clients_have_made() {
    let scratch = tempfile::tempdir().unwrap();
    let (node, port, cluster) = start(scratch.path()).await;
    let (status, overview) = read(port, "/api/v1/overview").await;
    assert_eq!(status, 200);
    assert_eq!(overview["clusterId"], node.cluster_id());
    assert_eq!(overview["brokers"][0]["id"], 1);
    assert_eq!(overview["quorum"]["leaderId"], 1);
    assert_eq!(overview["topics"], 0);
    assert_eq!(overview["problems"], json!([]));
    assert_eq!(read(port, "/api/v1/topics").await.1["topics"], json!([]));
    assert_eq!(read(port, "/api/v1/groups").await.1["groups"], json!([]));

    let topic = NewTopic {
        name: "orders".to_owned(),
        partitions: Some(2),
        replication_factor: Some(1),
        configs: BTreeMap::from([("cleanup.policy".to_owned(), "compact".to_owned())]),
        ..NewTopic::default()
    };
    create_topic(&cluster, topic).await.unwrap();
    let (_, topics) = read(port, "/api/v1/topics").await;
    let expected = json!([{
        "name": "orders", "internal": false, "partitions": 2, "replicationFactor": 1,
        "underReplicated": 0, "offline": 0, "bytes": 0,
    }]);
    assert_eq!(topics["topics"], expected);
    let (_, topic) = read(port, "/api/v1/topics/orders").await;
    let partition = json!({
        "partition": 1, "leader": 1, "replicas": [1], "isr": [1], "elr": [], "lastKnownElr": [],
        "startOffset": 0, "endOffset": 0, "bytes": { "1": 0 },
    });
    assert_eq!(topic["partitions"][1], partition);
    let configs = topic["configs"].as_array().unwrap();
    let differing = configs.iter().filter(|config| config["changed"] == true);
    let differing: Vec<&Value> = differing.collect();
    let policy = json!({
        "name": "cleanup.policy", "value": "compact", "default": "delete", "changed": true,
        "source": "DYNAMIC_TOPIC_CONFIG", "sensitive": false, "readOnly": false,
    });
    assert_eq!(differing, [&policy]);

    let offsets = BTreeMap::from([(PartitionId::new("orders", 1), 0)]);
    commit_offsets(&cluster, "billing", &offsets).await.unwrap();
    let (_, groups) = read(port, "/api/v1/groups").await;
    assert_eq!(groups["groups"][0]["group"], "billing");
    assert_eq!(groups["groups"][0]["lag"], 0);
    let (_, group) = read(port, "/api/v1/groups/billing").await;
    assert_eq!(group["state"], "Empty");
    let expected = json!([{
        "topic": "orders", "partition": 1, "committed": 0, "endOffset": 0, "lag": 0,
        "member": null,
    }]);
    assert_eq!(group["offsets"], expected);

    let (_, brokers) = read(port, "/api/v1/brokers").await;
    let broker = &brokers["brokers"][0];
    // __consumer_offsets has been made since.
    assert!(broker["leaders"].as_u64() > Some(2), "{broker}");
    assert_eq!(broker["leaders"], broker["replicas"]);
    let (_, broker) = read(port, "/api/v1/brokers/1").await;
    let dirs = broker["logDirs"].as_array().unwrap();
    assert_eq!(dirs.len(), 1, "{broker}");
    assert_eq!(dirs[0]["error"], Value::Null);
    let configs = broker["configs"].as_array().unwrap();
    assert!(
        configs.iter().any(|it| it["name"] == "http.listeners"),
        "{broker}"
    );
    let (_, traffic) = read(port, "/api/v1/traffic").await;
    assert_eq!(traffic["bytesOut"], 0);
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_exist_is_not_found() {
    let scratch = tempfile::tempdir().unwrap();
    let (node, port, _) = start(scratch.path()).await;
    for (path, message) in [
        ("/api/v1/topics/none", "There is no topic \"none\"."),
        (
            "/api/v1/groups/none",
            "There is no group of consumers \"none\".",
        ),
        ("/api/v1/brokers/7", "There is no broker 7."),
    ] {
        let expected = json!({ "error": { "status": 404, "message": message } });
        assert_eq!(read(port, path).await, (404, expected));
    }
    node.shutdown().await;
}

#[test]
fn the_console_needs_a_listener_without_tls_and_authentication() {
    let scratch = tempfile::tempdir().unwrap();
    let found = |more: &str| bootstrap(&config(scratch.path(), more));
    let plain = found("").unwrap();
    assert!(plain.starts_with("127.0.0.1:"), "{plain}");
    let secured = "listener.security.protocol.map=PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT\n\
                   sasl.enabled.mechanisms=SCRAM-SHA-256\n\
                   sasl.mechanism.inter.broker.protocol=SCRAM-SHA-256\n\
                   listener.name.plaintext.scram-sha-256.sasl.jaas.config=\
                   org.apache.kafka.common.security.scram.ScramLoginModule required \
                   username=\"n\" password=\"p\";\n";
    let why = found(secured).unwrap_err();
    assert!(why.contains("PLAINTEXT"), "{why}");
}

#[test]
fn a_listener_that_only_this_machine_reaches_is_not_shown_to_others() {
    let scratch = tempfile::tempdir().unwrap();
    let found = |http: &str| {
        let listener = format!("http.listeners=http://{http}\n");
        bootstrap(&config(scratch.path(), &listener))
    };
    assert!(found("localhost:9644").is_ok());
    let why = found("0.0.0.0:9644").unwrap_err();
    assert!(why.contains("bound to localhost"), "{why}");
}
