//! Tests of controllers that continue from imported metadata of Apache Kafka.

mod crashes;
#[path = "../../common/kafka_node.rs"]
mod kafka_node;

use std::path::{Path, PathBuf};

use dohle_controller::kafka_import::Import;
use dohle_log::Environment;
use dohle_log::directory::metadata_log_path;
use dohle_model::image::MetadataImage;
use dohle_model::record::ConfigResource;
use dohle_model::{NodeId, PartitionIndex, TopicId, Uuid};

use super::cluster::{Broker, Cluster, create, describe};
use kafka_node::{
    KafkaNode, Record, config, encoded, feature, kraft_version, leader_change, quorum_state_1,
    voters,
};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// Plans the import of a node's directory.
fn plan(environment: &Environment, dir: &Path) -> Import {
    Import::plan(environment, &[dir.to_owned()], || Uuid([9; 16])).unwrap()
}

/// Writes the files of a stopped Kafka node, and imports them. Returns the directory of the
/// controller's log.
fn imported(node: &KafkaNode, dir: &Path) -> PathBuf {
    node.write(dir);
    plan(&Environment::native(), dir).write().unwrap();
    assert!(plan(&Environment::native(), dir).is_done());
    metadata_log_path(dir)
}

/// Starts a cluster of the nodes 1 to 3. Those that are `None` begin with an empty disk.
fn start(nodes: [Option<KafkaNode>; 3]) -> Cluster {
    Cluster::start_prepared(3, move |id, dir| {
        let node = &nodes[usize::try_from(id).unwrap() - 1];
        match node {
            Some(node) => (imported(node, dir), kafka_node::directory(id)),
            None => (dir.join("empty"), kafka_node::directory(id)),
        }
    })
}

/// What Kafka wrote first, as the log of node `id`.
fn log(id: i32) -> KafkaNode {
    let mut node = KafkaNode::new(id);
    let names = [
        "feature",
        "topic",
        "partition",
        "acl",
        "scram",
        "quota",
        "producer_ids",
    ];
    node.append(1, [leader_change()])
        .append(1, names.map(encoded))
        .append(1, [encoded("delegation_token")]);
    node
}

fn retention(image: &MetadataImage) -> Option<&str> {
    image.config(&ConfigResource::BrokerDefault, "log.retention.ms")
}

fn retention_ms(value: &str) -> Record {
    config("log.retention.ms", value)
}

#[test]
fn controllers_elect_one_of_them_and_have_kafkas_metadata() {
    let mut cluster = start([1, 2, 3].map(|id| {
        let mut node = log(id);
        node.append(1, [retention_ms("1")]);
        Some(node)
    }));
    runtime().block_on(async {
        let active = cluster.active().await;
        let image = cluster.controller(active).image();
        let topic = image.topic("orders").unwrap();
        let id = TopicId::from_bytes([1, 2, 3, 4, 5, 6, 7, 8, 17, 18, 19, 20, 21, 22, 23, 4]);
        assert_eq!(topic.id, id);
        assert_eq!(retention(&image), Some("1"));
        assert_eq!(image.acls.len(), 1);
        assert_eq!(image.scram_credentials.len(), 1);
        assert_eq!(image.delegation_tokens.len(), 1);
        assert_eq!(image.next_producer_id.0, 3000);
        let partition = &topic.partitions[&PartitionIndex(3)];
        assert_eq!(
            (&*partition.elr, &*partition.last_known_elr),
            (&[NodeId(3)][..], &[NodeId(1)][..])
        );
        // The features are Kafka's: no new cluster was begun.
        assert_eq!(
            image.features.keys().collect::<Vec<_>>(),
            ["metadata.version"]
        );

        // New records follow, and are there after another start.
        let mut client = cluster.client_of(active).await;
        let _broker = Broker::join(&mut client, 11, 1).await;
        create(&mut client, "payments", 7, &[&[11]]).await;
        for id in 1..=3 {
            cluster.stop(id).await;
        }
        for id in 1..=3 {
            cluster.restart(id);
        }
        let active = cluster.active().await;
        let image = cluster.controller(active).image();
        assert!(image.topic("payments").is_some() && image.topic("orders").is_some());
    });
}

/// Gives the node a snapshot of the metadata up to offset 10, where its log begins from now on.
fn begin_with_snapshot(node: &mut KafkaNode) {
    let names = [
        "feature",
        "topic",
        "partition",
        "acl",
        "scram",
        "quota",
        "producer_ids",
    ];
    let mut records: Vec<Record> = names.map(encoded).into();
    records.extend([encoded("delegation_token"), retention_ms("1")]);
    node.snapshot = Some((10, 1, Vec::new(), records));
    node.log_begin = 10;
}

#[test]
fn nodes_with_other_snapshots_and_tails_agree_on_the_most_complete_log() {
    let full = |id| {
        let mut node = log(id);
        node.append(1, [retention_ms("1")])
            .append(1, [retention_ms("2")]);
        node
    };
    // The first has records of an epoch that its leader lost: they were never committed.
    let mut first = full(1);
    for value in ["lost", "lost too", "and this"] {
        first.append(1, [retention_ms(value)]);
    }
    // The second has a snapshot, and the records of the newest epoch.
    let mut second = full(2);
    second.log.drain(..4);
    begin_with_snapshot(&mut second);
    second
        .append(3, [leader_change()])
        .append(3, [retention_ms("3")]);
    // The third has them, too, and no snapshot.
    let mut third = full(3);
    third
        .append(3, [leader_change()])
        .append(3, [retention_ms("3")]);
    let cluster = start([Some(first), Some(second), Some(third)]);
    runtime().block_on(async {
        let active = cluster.active().await;
        assert_ne!(active, 1, "its log ends in an older epoch");
        let image = cluster.controller(active).image();
        assert_eq!(retention(&image), Some("3"));
        for id in 1..=3 {
            // The active controller may write further records meanwhile.
            loop {
                let newest = cluster.controller(active).image();
                let what = "the same metadata";
                let found = cluster.image_where(id, what, |it| it.offset >= newest.offset);
                let found = found.await;
                if found.offset == newest.offset {
                    assert_eq!(*found, *newest, "node {id}");
                    break;
                }
            }
        }
    });
}

/// The directories of three nodes that stopped in turn: the first before the last record that was
/// committed, and the last after a record that only it has.
fn with_three_ends() -> [KafkaNode; 3] {
    let [mut first, mut second, mut last] = [1, 2, 3].map(|id| {
        let mut node = log(id);
        let elr = feature("eligible.leader.replicas.version", 1);
        node.append(1, [elr, retention_ms("1")]);
        node
    });
    first.append(1, [retention_ms("not committed")]);
    for node in [&mut second, &mut last] {
        node.append(3, [leader_change()])
            .append(3, [config("log.cleaner.threads", "3"), retention_ms("3")]);
    }
    last.append(3, [retention_ms("4")]);
    [first, second, last]
}

#[test]
fn no_majority_of_nodes_with_different_ends_loses_a_committed_record() {
    // Each of the three ends is once that of the node that starts later.
    for missing in 1..=3 {
        let nodes = with_three_ends();
        let mut cluster = Cluster::start_prepared_without(missing, 3, |id, dir| {
            let node = nodes.iter().find(|node| node.id == id).unwrap();
            (imported(node, dir), kafka_node::directory(id))
        });
        let case = format!("node {missing} starts later");
        runtime().block_on(async {
            let committed = |image: &MetadataImage| {
                let value = image.config(&ConfigResource::BrokerDefault, "log.cleaner.threads");
                let retention = retention(image);
                value == Some("3") && (retention == Some("3") || retention == Some("4"))
            };
            let active = cluster.active().await;
            assert!(committed(&cluster.controller(active).image()), "{case}");
            let mut client = cluster.client_of(active).await;
            let _broker = Broker::join(&mut client, 11, 1).await;
            create(&mut client, "payments", 7, &[&[11]]).await;
            let decided = cluster.controller(active).image();
            cluster.restart(missing);
            for id in 1..=3 {
                let what = format!("node {id} has what the others decided, {case}");
                let image = cluster.image_where(id, &what, |it| it.offset >= decided.offset);
                let image = image.await;
                assert!(committed(&image), "node {id}, {case}");
                assert_eq!(retention(&image), retention(&decided), "node {id}, {case}");
                assert!(image.topic("payments").is_some(), "node {id}, {case}");
            }
        });
    }
}

#[test]
fn a_node_that_lags_behind_everything_in_the_log_gets_the_snapshot() {
    let mut behind = log(1);
    behind.log.truncate(2);
    let ahead = [2, 3].map(|id| {
        let mut node = KafkaNode::new(id);
        begin_with_snapshot(&mut node);
        node.log = vec![(2, vec![leader_change()])];
        node
    });
    let [second, third] = ahead;
    let cluster = start([Some(behind), Some(second), Some(third)]);
    runtime().block_on(async {
        let active = cluster.active().await;
        assert_ne!(active, 1);
        let what = "the metadata of the snapshot";
        let image = cluster.image_where(1, what, |it| retention(it) == Some("1"));
        assert!(image.await.topic("orders").is_some());
    });
}

#[test]
fn a_node_without_an_import_is_filled_by_those_that_have_one() {
    let [first, second] = [1, 2].map(|id| {
        let mut node = log(id);
        node.append(1, [retention_ms("1")]);
        Some(node)
    });
    let cluster = start([first, second, None]);
    runtime().block_on(async {
        let active = cluster.active().await;
        assert_ne!(active, 3);
        let filled = cluster.image_where(3, "the metadata", |it| retention(it) == Some("1"));
        assert!(filled.await.topic("orders").is_some());
        let leader = cluster.controller(3).wait_for_leader().await;
        assert_eq!(leader, Some(NodeId(active)));
    });
}

#[test]
fn voters_that_the_log_records_elect_one_of_them() {
    let cluster = start([1, 2, 3].map(|id| {
        let mut node = log(id);
        node.log.drain(..1);
        node.log
            .insert(0, (1, vec![leader_change(), kraft_version(), voters(&[1])]));
        node.append(1, [voters(&[1, 2])])
            .append(1, [voters(&[1, 2, 3])])
            .append(1, [retention_ms("1")]);
        node.quorum_state = quorum_state_1(1, 1);
        Some(node)
    }));
    runtime().block_on(async {
        let active = cluster.active().await;
        let image = cluster.controller(active).image();
        assert_eq!(retention(&image), Some("1"));
        let (partition, _) = describe(&mut cluster.client().await).await.unwrap();
        let ids = partition
            .current_voters
            .iter()
            .map(|voter| voter.replica_id);
        assert_eq!(ids.collect::<Vec<_>>(), [1, 2, 3]);
        for voter in &partition.current_voters {
            let directory = kafka_node::directory(voter.replica_id).to_bytes();
            assert_eq!(voter.replica_directory_id.to_bytes(), directory);
        }
    });
}
