//! What Bitnami's Kafka chart does with the image, in our words: an init container sources our
//! functions and completes a properties file with placeholders, and the image starts a node with
//! that file. With the chart's default values, that is a quorum of three, with SASL on all
//! listeners and generated passwords in files. The files are in `tests/images/chart`.
#![cfg(target_os = "linux")]

use std::path::{Path, PathBuf};
use std::process::Command;

use dohle::config::{NodeConfig, Sources, open_listener_warnings};
use expect_test::{Expect, expect};
use tempfile::TempDir;

fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/images/chart")
}

fn write(folder: &Path, name: &str, content: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path
}

/// Runs the init container of a pod. Returns the folder that it shares with the node's container.
fn prepared(pod: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    write(folder.path(), "nodes", "n&0/de\n");
    write(folder.path(), "ctl", "c0ntrol\n");
    write(folder.path(), "clients", "first\n");
    let functions = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/image/libkafka.sh");
    // The file exists from an earlier start of the pod.
    let properties = write(folder.path(), "server.properties", "node.id=99\n");
    let output = Command::new("bash")
        .arg("-e")
        .arg(chart().join("init.sh"))
        .env("FUNCTIONS", functions)
        .env("PREPARE", chart())
        .env("KAFKA_CONF_FILE", properties)
        .env("SHARED", folder.path())
        .env("SECRETS", folder.path())
        .env("MY_POD_NAME", pod)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    folder
}

/// Returns the configuration of the node in that pod.
fn node(pod: &str) -> NodeConfig {
    let folder = prepared(pod);
    let path = |name: &str| folder.path().join(name).display().to_string();
    let variables = [
        ("KAFKA_CFG_PROCESS_ROLES", "controller,broker".to_owned()),
        (
            "KAFKA_INITIAL_CONTROLLERS_FILE",
            path("initial-controllers.txt"),
        ),
        (
            "KAFKA_KRAFT_CLUSTER_ID",
            "abcdefghijklmnopqrstuv".to_owned(),
        ),
        ("KAFKA_KRAFT_BOOTSTRAP_SCRAM_USERS", "true".to_owned()),
        ("KAFKA_CLIENT_USERS", "app".to_owned()),
        ("KAFKA_CLIENT_PASSWORDS_FILE", path("clients")),
        ("KAFKA_INTER_BROKER_USER", "nodes".to_owned()),
        ("KAFKA_INTER_BROKER_PASSWORD_FILE", path("nodes")),
        ("KAFKA_CONTROLLER_USER", "ctl".to_owned()),
        ("KAFKA_CONTROLLER_PASSWORD_FILE", path("ctl")),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value));
    let mut sources = Sources::default();
    let file = std::fs::read(path("server.properties")).unwrap();
    sources.add_file("server.properties", &file).unwrap();
    sources.add_environment(variables.iter().cloned());
    let read = &|path: &str| std::fs::read_to_string(path);
    sources.complete_voters(&variables, read).unwrap();
    sources.complete_for_image(&variables, "/bitnami/kafka/data");
    sources.complete_security(&variables, read).unwrap();
    NodeConfig::new(sources, pod).unwrap_or_else(|fault| panic!("{fault}"))
}

#[track_caller]
fn check(pod: &str, expected: Expect) {
    let config = node(pod);
    let open = open_listener_warnings(&config);
    assert!(open.is_empty(), "{open:?}");
    let advertised: Vec<String> = config
        .listeners
        .advertised
        .iter()
        .map(ToString::to_string)
        .collect();
    let voters: Vec<String> = config.voters.iter().map(ToString::to_string).collect();
    let users: Vec<&str> = config
        .first_users
        .iter()
        .map(|user| user.name.as_str())
        .collect();
    let properties = config.properties();
    let jaas = |listener: &str| {
        let line = &properties[&format!("listener.name.{listener}.plain.sasl.jaas.config")];
        line.split_once("required ").unwrap().1.to_owned()
    };
    expected.assert_eq(&format!(
        "node {} of {} at {}\nvoters {}\nusers {users:?}\n{}\n{}\n{}\n",
        config.node_id,
        config
            .cluster_id
            .as_deref()
            .unwrap_or("the default cluster"),
        advertised.join(","),
        voters.join(","),
        jaas("client"),
        jaas("internal"),
        jaas("controller"),
    ));
}

#[test]
fn a_pod_of_the_chart_with_default_values_is_a_node() {
    check(
        "k-controller-2",
        expect![[r#"
        node 2 of abcdefghijklmnopqrstuv at CLIENT://k-controller-2:9092,INTERNAL://k-controller-2:9094
        voters 0@k-controller-0:9093,1@k-controller-1:9093,2@k-controller-2:9093
        users ["app", "app"]
        user_app="first";
        username="nodes" password="n&0/de" user_nodes="n&0/de" user_app="first";
        username="ctl" password="c0ntrol" user_ctl="c0ntrol" user_app="first";
    "#]],
    );
}
