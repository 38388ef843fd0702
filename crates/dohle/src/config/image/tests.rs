//! Tests of the properties that the image completes, with variables that users of other images set.

use expect_test::{Expect, expect};

use super::*;
use crate::config::NodeConfig;

const HOSTNAME: &str = "c0ffee";

fn variables(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let (name, value) = line.split_once('=').expect("NAME=VALUE");
            (name.to_owned(), value.to_owned())
        })
        .collect()
}

fn started(text: &str, folder: &str) -> NodeConfig {
    let variables = variables(text);
    let mut sources = Sources::default();
    sources.add_environment(variables.clone());
    let read = |path: &str| match path {
        "/shared/controllers" => Ok("0@k-0:9093:AAAAAAAAAAAAAAAAAAAAAA,1@k-1:9093\n".to_owned()),
        _ => Err(std::io::ErrorKind::NotFound.into()),
    };
    sources.complete_voters(&variables, &read).unwrap();
    sources.complete_for_image(&variables, folder);
    NodeConfig::new(sources, HOSTNAME).unwrap()
}

#[track_caller]
fn check(text: &str, expected: Expect) {
    let config = started(text, "/data");
    let texts = |addresses: &[crate::config::ListenerAddress]| {
        let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        texts.join(",")
    };
    let voters: Vec<String> = config.voters.iter().map(ToString::to_string).collect();
    let summary = format!(
        "node {} of {}\nlisteners {}\ncontroller {}\nadvertised {}\n\
         brokers use {}\nvoters {}\ndata {}\n",
        config.node_id,
        config
            .cluster_id
            .as_deref()
            .unwrap_or("the default cluster"),
        texts(&config.listeners.broker),
        config
            .listeners
            .controller
            .as_ref()
            .map_or("none".to_owned(), ToString::to_string),
        texts(&config.listeners.advertised),
        config.listeners.inter_broker,
        voters.join(","),
        config.log_dirs[0].display(),
    );
    expected.assert_eq(&summary);
}

#[test]
fn with_nothing_set_a_node_is_reached_at_localhost_through_a_published_port() {
    check(
        "PATH=/usr/local/bin",
        expect![[r#"
            node 1 of the default cluster
            listeners PLAINTEXT://:9092
            controller CONTROLLER://:9093
            advertised PLAINTEXT://localhost:9092
            brokers use PLAINTEXT
            voters 1@localhost:9093
            data /data
        "#]],
    );
}

#[test]
fn bitnami_with_nothing_but_leave_for_plaintext_advertises_the_container() {
    check(
        "ALLOW_PLAINTEXT_LISTENER=yes",
        expect![[r#"
            node 1 of the default cluster
            listeners PLAINTEXT://:9092
            controller CONTROLLER://:9093
            advertised PLAINTEXT://c0ffee:9092
            brokers use PLAINTEXT
            voters 1@localhost:9093
            data /data
        "#]],
    );
}

#[test]
fn bitnami_with_a_broker_id_and_no_node_id_is_that_node() {
    check(
        "KAFKA_ENABLE_KRAFT=yes
         KAFKA_BROKER_ID=7
         ALLOW_PLAINTEXT_LISTENER=yes
         KAFKA_KRAFT_CLUSTER_ID=abcdefghijklmnopqrstuv
         KAFKA_CFG_ADVERTISED_LISTENERS=PLAINTEXT://127.0.0.1:9092",
        expect![[r#"
            node 7 of abcdefghijklmnopqrstuv
            listeners PLAINTEXT://:9092
            controller CONTROLLER://:9093
            advertised PLAINTEXT://127.0.0.1:9092
            brokers use PLAINTEXT
            voters 7@localhost:9093
            data /data
        "#]],
    );
}

#[test]
fn an_advertised_listener_without_a_host_is_the_containers_name() {
    check(
        "KAFKA_CFG_NODE_ID=0
         KAFKA_CFG_PROCESS_ROLES=controller,broker
         KAFKA_CFG_CONTROLLER_QUORUM_VOTERS=0@kafka:9093
         KAFKA_CFG_LISTENERS=PLAINTEXT://:9092,CONTROLLER://:9093
         KAFKA_CFG_ADVERTISED_LISTENERS=PLAINTEXT://:9092
         KAFKA_CFG_LISTENER_SECURITY_PROTOCOL_MAP=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
         KAFKA_CFG_CONTROLLER_LISTENER_NAMES=CONTROLLER
         KAFKA_CFG_INTER_BROKER_LISTENER_NAME=PLAINTEXT",
        expect![[r#"
            node 0 of the default cluster
            listeners PLAINTEXT://:9092
            controller CONTROLLER://:9093
            advertised PLAINTEXT://c0ffee:9092
            brokers use PLAINTEXT
            voters 0@kafka:9093
            data /data
        "#]],
    );
}

#[test]
fn listeners_follow_from_what_is_advertised_and_from_the_voters() {
    check(
        "KAFKA_NODE_ID=2
         KAFKA_PROCESS_ROLES=broker,controller
         CLUSTER_ID=MkU3OEVBNTcwNTJENDM2Qk
         KAFKA_CONTROLLER_LISTENER_NAMES=CONTROLLER
         KAFKA_CONTROLLER_QUORUM_VOTERS=1@kafka1:29093,2@kafka2:29193
         KAFKA_LISTENER_SECURITY_PROTOCOL_MAP=CONTROLLER:PLAINTEXT,IN:PLAINTEXT,OUT:PLAINTEXT
         KAFKA_INTER_BROKER_LISTENER_NAME=IN
         KAFKA_LISTENERS=
         KAFKA_ADVERTISED_LISTENERS=IN://kafka2:29092,OUT://localhost:19092",
        expect![[r#"
            node 2 of MkU3OEVBNTcwNTJENDM2Qk
            listeners IN://:29092,OUT://:19092
            controller CONTROLLER://:29193
            advertised IN://kafka2:29092,OUT://localhost:19092
            brokers use IN
            voters 1@kafka1:29093,2@kafka2:29193
            data /data
        "#]],
    );
}

#[test]
fn a_controller_without_voters_is_alone() {
    // These variables are set by Testcontainers for Kafka's own image.
    check(
        "CLUSTER_ID=4L6g3nShT-eMCtK--X86sw
         KAFKA_LISTENERS=PLAINTEXT://:9092,BROKER://:9093,CONTROLLER://:9094
         KAFKA_LISTENER_SECURITY_PROTOCOL_MAP=\
         PLAINTEXT:PLAINTEXT,BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT
         KAFKA_INTER_BROKER_LISTENER_NAME=BROKER
         KAFKA_PROCESS_ROLES=broker,controller
         KAFKA_CONTROLLER_LISTENER_NAMES=CONTROLLER
         KAFKA_NODE_ID=1
         KAFKA_LOG_FLUSH_INTERVAL_MESSAGES=9223372036854775807
         KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://localhost:32769,BROKER://c0ffee:9093",
        expect![[r#"
            node 1 of 4L6g3nShT-eMCtK--X86sw
            listeners PLAINTEXT://:9092,BROKER://:9093
            controller CONTROLLER://:9094
            advertised PLAINTEXT://localhost:32769,BROKER://c0ffee:9093
            brokers use BROKER
            voters 1@localhost:9094
            data /data
        "#]],
    );
}

#[test]
fn what_is_set_stays_as_it_is() {
    let config = started(
        "KAFKA_LOG_DIRS=/mine
         KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS=500",
        "/data",
    );
    assert_eq!(config.log_dirs, [std::path::PathBuf::from("/mine")]);
    assert_eq!(
        config.properties()["group.initial.rebalance.delay.ms"],
        "500"
    );
    let config = started("KAFKA_CFG_LOG_DIR=/single", "/data");
    assert_eq!(config.log_dirs, [std::path::PathBuf::from("/single")]);
}

#[test]
fn a_node_that_needs_zookeeper_is_refused() {
    let variables = variables("KAFKA_ZOOKEEPER_CONNECT=zookeeper:2181");
    let mut sources = Sources::default();
    sources.add_environment(variables.clone());
    sources.complete_for_image(&variables, "/data");
    let fault = NodeConfig::new(sources, HOSTNAME).unwrap_err();
    assert_eq!(fault, crate::config::ConfigFault::ZooKeeper);
}

#[test]
fn data_lie_where_a_volume_is_mounted() {
    let folder = |mounts: &[&str], with_data: &[&str]| {
        let mounts: Vec<String> = mounts.iter().map(ToString::to_string).collect();
        data_folder(&mounts, |folder| with_data.contains(&folder))
    };
    assert_eq!(folder(&["/", "/proc"], &[]), "/tmp/kraft-combined-logs");
    assert_eq!(folder(&["/", "/bitnami"], &[]), "/bitnami/kafka/data");
    assert_eq!(folder(&["/bitnami/kafka"], &[]), "/bitnami/kafka/data");
    assert_eq!(folder(&["/var/lib/kafka/data"], &[]), "/var/lib/kafka/data");
    assert_eq!(folder(&["/var/lib/kafka"], &[]), "/var/lib/kafka/data");
    assert_eq!(
        folder(&["/tmp/kraft-combined-logs"], &[]),
        "/tmp/kraft-combined-logs"
    );
    // A second volume does not hide existing data.
    assert_eq!(
        folder(
            &["/bitnami/kafka", "/var/lib/kafka/data"],
            &["/var/lib/kafka/data"]
        ),
        "/var/lib/kafka/data"
    );
    // A container is started again with its own file system.
    assert_eq!(
        folder(&["/"], &["/bitnami/kafka/data"]),
        "/bitnami/kafka/data"
    );
}

#[test]
fn mount_points_are_the_fifth_field() {
    let text = "\
        703 567 0:54 / / rw,relatime - overlay overlay rw,lowerdir=/l\n\
        704 703 0:57 / /proc rw,nosuid - proc proc rw\n\
        769 703 254:0 /data/volumes/x/_data /bitnami/kafka rw,relatime - ext4 /dev/vda rw\n\
        770 703 254:0 /home/a /with\\040space rw,relatime - ext4 /dev/vda rw\n";
    assert_eq!(
        mount_points(text),
        ["/", "/proc", "/bitnami/kafka", "/with space"]
    );
}

#[test]
fn key_stores_and_files_with_passwords_are_found_in_their_folder() {
    let variables = [
        ("KAFKA_SSL_KEYSTORE_FILENAME", "node.p12"),
        ("KAFKA_SSL_KEYSTORE_CREDENTIALS", "store"),
        ("KAFKA_SSL_KEY_CREDENTIALS", "key"),
        ("KAFKA_SSL_TRUSTSTORE_FILENAME", "ca.p12"),
        ("KAFKA_SSL_TRUSTSTORE_PASSWORD", "set"),
        ("KAFKA_SSL_TRUSTSTORE_CREDENTIALS", "trust"),
    ];
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let mut sources = Sources::default();
    sources.add_environment(variables.iter().map(owned));
    let read = |file: &str| Ok(format!("content of {file}\n"));
    sources.complete_key_stores(read).unwrap();
    let folder = "/etc/kafka/secrets";
    for (name, value) in [
        ("ssl.keystore.location", format!("{folder}/node.p12")),
        (
            "ssl.keystore.password",
            format!("content of {folder}/store"),
        ),
        ("ssl.key.password", format!("content of {folder}/key")),
        ("ssl.truststore.location", format!("{folder}/ca.p12")),
        ("ssl.truststore.password", "set".to_owned()),
    ] {
        assert_eq!(sources.properties.get(name), Some(&value), "{name}");
    }
    assert!(
        !sources
            .properties
            .keys()
            .any(|name| name.ends_with(".credentials"))
    );

    let mut sources = Sources::default();
    sources.add_environment(variables.iter().map(owned));
    let error = sources.complete_key_stores(|_| Err(std::io::ErrorKind::NotFound.into()));
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("ssl.keystore.credentials is \"store\""),
        "{error}"
    );
}

#[test]
fn bitnamis_initial_controllers_are_the_voters() {
    check(
        "KAFKA_CFG_PROCESS_ROLES=controller,broker
         KAFKA_CFG_NODE_ID=1
         KAFKA_CFG_LISTENERS=CLIENT://:9092,CONTROLLER://:9093
         KAFKA_CFG_LISTENER_SECURITY_PROTOCOL_MAP=CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT
         KAFKA_CFG_INTER_BROKER_LISTENER_NAME=CLIENT
         KAFKA_CFG_CONTROLLER_LISTENER_NAMES=CONTROLLER
         KAFKA_CFG_CONTROLLER_QUORUM_BOOTSTRAP_SERVERS=k-0:9093,k-1:9093
         KAFKA_INITIAL_CONTROLLERS_FILE=/shared/controllers",
        expect![[r#"
            node 1 of the default cluster
            listeners CLIENT://:9092
            controller CONTROLLER://:9093
            advertised CLIENT://c0ffee:9092
            brokers use CLIENT
            voters 0@k-0:9093,1@k-1:9093
            data /data
        "#]],
    );
}

#[test]
fn a_file_of_controllers_that_cannot_be_read_is_an_error() {
    let variables = variables("KAFKA_INITIAL_CONTROLLERS_FILE=/nowhere");
    let read = |_: &str| Err(std::io::ErrorKind::NotFound.into());
    let fault = Sources::default().complete_voters(&variables, &read);
    let fault = fault.unwrap_err().to_string();
    assert!(fault.contains("KAFKA_INITIAL_CONTROLLERS_FILE"), "{fault}");
    assert!(fault.contains("/nowhere"), "{fault}");
}
