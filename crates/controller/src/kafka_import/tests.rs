//! Tests of the conversion of logs, and of what is refused.

mod histories;
#[path = "../../tests/common/kafka_node.rs"]
mod kafka_node;
mod recorded;

use std::net::Ipv4Addr;
use std::path::PathBuf;

use dohle_auth::{AclAuthorizer, AclSettings, Authorizer as _, Principal};
use dohle_model::acl::{Operation, ResourceType};
use dohle_model::image::MetadataImage;
use dohle_model::image::delta::MetadataDelta;
use dohle_model::record::{ConfigResource, MetadataRecord};
use dohle_model::{MetadataOffset, PartitionIndex, Uuid};
use tempfile::TempDir;

use super::*;
use crate::raft::imported::{ImportedEntry, ImportedPayload};
use kafka_node::{
    CLUSTER, KafkaNode, Record, config, directory, encoded, feature, kraft_version, leader_change,
    quorum_state_1, text, voters,
};

fn plan(dirs: &[PathBuf]) -> Result<Import, ImportError> {
    let mut last = 0;
    Import::plan(&Environment::native(), dirs, || {
        last += 1;
        Uuid([last; 16])
    })
}

/// Plans the import of a node.
fn planned(node: &KafkaNode) -> Import {
    let dir = TempDir::new().unwrap();
    node.write(dir.path());
    plan(&[dir.path().to_owned()]).unwrap()
}

/// Records that create a topic and configure brokers, in the order of a log.
fn begin() -> Vec<Record> {
    let names = ["feature", "topic", "partition", "partition_change"];
    names.into_iter().map(encoded).collect()
}

/// A log of three epochs, without a snapshot.
fn node() -> KafkaNode {
    let mut node = KafkaNode::new(1);
    node.append(1, [leader_change()])
        .append(1, begin())
        .append(1, [config("log.cleaner.threads", "1")])
        .append(2, [leader_change()])
        .append(2, [encoded("no_op"), config("log.cleaner.threads", "2")])
        .append(4, [leader_change()])
        .append(4, [config("log.retention.ms", "1000")]);
    node
}

#[test]
fn entries_do_not_depend_on_the_snapshot_that_a_node_begins_with() {
    let whole = planned(&node());
    let whole = whole.log.unwrap();
    assert_eq!(whole.entries[0].index, 0);
    let indexes: Vec<u64> = whole.entries.iter().map(|entry| entry.index).collect();
    assert_eq!(indexes, (0..=22).collect::<Vec<u64>>());
    // Snapshots after the first and the second configuration.
    for (end, epoch, first_batch, value) in [(6, 1, 3, "1"), (9, 2, 5, "2")] {
        let mut node = node();
        node.log.drain(..first_batch);
        node.log_begin = end;
        let mut records = begin();
        records.push(config("log.cleaner.threads", value));
        node.snapshot = Some((end, epoch, Vec::new(), records));
        let log = planned(&node).log.unwrap();
        let snapshot = log.snapshot.unwrap();
        assert_eq!((snapshot.index, snapshot.term), (2 * end, epoch as u64));
        let begin = 2 * end + 1;
        let rest: Vec<ImportedEntry> = whole.entries[begin as usize..].to_vec();
        assert_eq!(log.entries, rest, "after a snapshot up to {end}");
        // The first of the entries is planned on the image of the snapshot.
        let last = &whole.entries[snapshot.index as usize];
        assert_eq!(last.term, snapshot.term);
    }
}

#[test]
fn segments_below_the_snapshot_are_passed_over() {
    let mut with = node();
    let mut records = begin();
    records.push(config("log.cleaner.threads", "1"));
    with.snapshot = Some((6, 1, Vec::new(), records));
    let log = planned(&with).log.unwrap();
    assert_eq!(log.snapshot.unwrap().index, 12);
    let indexes: Vec<u64> = log.entries.iter().map(|entry| entry.index).collect();
    assert_eq!(indexes, (13..=22).collect::<Vec<u64>>());
}

/// Replays the entries as a voter does.
fn replayed(entries: &[ImportedEntry]) -> Vec<(u64, MetadataImage)> {
    use prost::Message;
    let mut image = MetadataImage::default();
    let mut images = Vec::new();
    for entry in entries {
        let ImportedPayload::Normal(payload) = &entry.payload else {
            continue;
        };
        let batch = dohle_rpc::v1::MetadataBatch::decode(payload.clone()).unwrap();
        let committed = dohle_model::batch::CommittedBatch {
            offset: MetadataOffset(entry.index),
            batch: dohle_rpc::convert::batch_from_wire(&batch).unwrap(),
        };
        let replayed = image.replay_batch(&committed, &mut Default::default());
        assert_eq!(replayed, Ok(dohle_model::image::Replayed::Applied));
        images.push((entry.index, image.clone()));
    }
    images
}

#[test]
fn a_batch_takes_effect_with_its_last_record() {
    let log = planned(&node()).log.unwrap();
    let images = replayed(&log.entries);
    let topics = |index: u64| {
        let (_, image) = images.iter().find(|(at, _)| *at == index).unwrap();
        (image.features.len(), image.topics.len())
    };
    // The batch has the offsets 1 to 4.
    assert_eq!(topics(2 + 2 * 3), (0, 0));
    assert_eq!(topics(2 + 2 * 4), (1, 1));
    let (index, last) = images.last().unwrap();
    assert_eq!((*index, last.offset.0), (22, 22));
    let value = |key| last.config(&ConfigResource::BrokerDefault, key);
    assert_eq!(value("log.cleaner.threads"), Some("2"));
    assert_eq!(value("log.retention.ms"), Some("1000"));
}

#[test]
fn eligible_leaders_tokens_and_blocks_of_producer_ids_are_carried_over() {
    let mut node = KafkaNode::new(1);
    node.append(1, [leader_change()])
        .append(1, [feature("eligible.leader.replicas.version", 1)])
        .append(1, ["feature", "topic", "partition"].map(encoded))
        .append(1, ["delegation_token", "producer_ids"].map(encoded));
    let images = replayed(&planned(&node).log.unwrap().entries);
    let (_, image) = images.last().unwrap();
    assert_eq!(image.feature_level("eligible.leader.replicas.version"), 1);
    let topic = image.topic("orders").unwrap();
    let partition = &topic.partitions[&PartitionIndex(3)];
    let ids = |nodes: &[NodeId]| nodes.iter().map(|node| node.0).collect::<Vec<i32>>();
    assert_eq!(
        (
            ids(&partition.isr),
            ids(&partition.elr),
            ids(&partition.last_known_elr)
        ),
        (vec![2, 1], vec![3], vec![1])
    );
    let token = image.delegation_tokens.values().next().unwrap();
    assert_eq!(
        (
            &*token.id,
            &*token.owner,
            &*token.requester,
            &*token.renewers[0]
        ),
        ("token", "User:alice", "User:bob", "User:carol")
    );
    let times = (token.issued.0, token.expires.0, token.expires_last.0);
    assert_eq!(times, (1, 2, 3));
    assert_eq!(image.next_producer_id.0, 3000);
}

#[test]
fn a_transaction_that_has_not_ended_has_no_effect() {
    let mut node = node();
    node.append(4, [encoded("begin"), config("log.retention.ms", "2000")]);
    let import = planned(&node);
    let report = import.report().to_string();
    assert!(report.contains("ends within a transaction"), "{report}");
    let log = import.log.unwrap();
    let (_, last) = replayed(&log.entries).pop().unwrap();
    assert_eq!(last.offset.0, 26);
    let value = last.config(&ConfigResource::BrokerDefault, "log.retention.ms");
    assert_eq!(value, Some("1000"));
}

#[test]
fn the_vote_is_that_of_quorum_state_unless_the_log_is_newer() {
    let vote = |state: String| {
        let mut node = node();
        node.quorum_state = state;
        planned(&node).log.unwrap().vote
    };
    let state = |epoch, voted| kafka_node::quorum_state(epoch, voted, &[1, 2, 3]);
    assert_eq!(vote(state(7, 3)), (7, NodeId(3)));
    assert_eq!(vote(state(7, -1)), (7, NodeId(1)));
    assert_eq!(vote(state(2, 3)), (4, NodeId(1)));
    assert_eq!(vote(state(4, 2)), (4, NodeId(2)));
}

#[test]
fn voters_are_those_that_the_log_records_with_kraft_version_1() {
    let mut node = KafkaNode::new(2);
    node.quorum_state = quorum_state_1(3, 1);
    node.snapshot = Some((5, 1, vec![kraft_version(), voters(&[1])], begin()));
    node.log_begin = 5;
    node.append(2, [leader_change()])
        .append(2, [voters(&[1, 2])])
        .append(3, [encoded("no_op")]);
    let import = planned(&node);
    let of = |ids: &[(i32, &str)]| -> Vec<imported::ImportedVoter> {
        let voter = |(id, address): &(i32, &str)| imported::ImportedVoter {
            id: NodeId(*id),
            address: (*address).to_owned(),
            directory: directory(*id),
        };
        ids.iter().map(voter).collect()
    };
    assert_eq!(
        import.report().quorum_voters.as_deref(),
        Some("1@localhost:9001,2@localhost:9002")
    );
    let log = import.log.unwrap();
    assert_eq!(log.snapshot.unwrap().voters, of(&[(1, "localhost:9001")]));
    assert_eq!(log.vote, (3, NodeId(1)));
    let both = of(&[(1, "localhost:9001"), (2, "localhost:9002")]);
    let voters = log.entries.iter().find(|entry| entry.index == 13).unwrap();
    assert_eq!(voters.payload, ImportedPayload::Voters(both));

    // A node that is no voter, or was one with another disk, has no log to vote with.
    for (id, directory_of) in [(3, 3), (2, 1)] {
        let dir = TempDir::new().unwrap();
        node.id = id;
        let mut files = node.files(dir.path());
        let meta = files.get_mut(&dir.path().join("meta.properties")).unwrap();
        let text = String::from_utf8(meta.take().unwrap()).unwrap();
        let ids = [
            directory(id).to_string(),
            directory(directory_of).to_string(),
        ];
        *meta = Some(text.replace(&ids[0], &ids[1]).into());
        kafka_node::write(&files);
        assert!(plan(&[dir.path().to_owned()]).unwrap().log.is_none());
    }
}

#[test]
fn the_first_recorded_voters_count_where_quorum_state_has_none() {
    // A controller that joined a cluster with `kraft.version` 1, and stopped before it wrote a new
    // version of the file.
    let mut node = KafkaNode::new(2);
    node.quorum_state = kafka_node::quorum_state(1, -1, &[]);
    node.append(1, [leader_change(), kraft_version(), voters(&[1, 2])]);
    let log = planned(&node).log.unwrap();
    let ImportedPayload::Voters(first) = &log.entries[0].payload else {
        panic!("{:?}", log.entries[0]);
    };
    let ids: Vec<i32> = first.iter().map(|voter| voter.id.0).collect();
    assert_eq!((log.entries[0].index, ids), (0, vec![1, 2]));
}

#[test]
fn a_node_that_never_ran_has_no_log() {
    let mut node = KafkaNode::new(1);
    node.quorum_state = quorum_state_1(0, -1);
    node.snapshot = Some((0, 0, vec![kraft_version(), voters(&[1])], Vec::new()));
    let import = planned(&node);
    assert!(import.log.is_none());
    let report = import.report().to_string();
    assert!(report.contains("this node never ran"), "{report}");
}

#[test]
fn what_has_no_meaning_is_reported() {
    let mut node = node();
    node.append(4, [feature("of.today", 3)]);
    let report = planned(&node).report().to_string();
    assert!(
        report.contains("feature of.today at level 3: Dohle does not have it yet"),
        "{report}"
    );
}

/// Returns an ACL that allows a user to read the topic `orders`, or denies it.
fn acl(id: u8, user: &str, permission: u8) -> Record {
    let mut bytes = vec![1, 18, 0];
    bytes.extend_from_slice(&[id; 16]);
    bytes.push(2);
    text(&mut bytes, "orders");
    bytes.push(3);
    text(&mut bytes, user);
    text(&mut bytes, "*");
    bytes.extend_from_slice(&[3, permission, 0]);
    Record::Metadata(bytes)
}

/// CVE-2024-27309: while Kafka migrated a cluster from ZooKeeper, a resource from which an ACL was
/// removed kept one other ACL at most.
#[test]
fn an_acl_that_is_removed_before_or_after_the_import_leaves_the_others_in_force() {
    const ALLOW: u8 = 3;
    const DENY: u8 = 2;
    let removed = |id| Record::Metadata([&[1, 19, 0][..], &[id; 16], &[0]].concat());
    let acls = [
        acl(1, "User:alice", ALLOW),
        acl(2, "User:*", ALLOW),
        acl(3, "User:bob", ALLOW),
        acl(4, "User:mallory", DENY),
    ];
    let mut node = KafkaNode::new(1);
    node.append(1, [leader_change()])
        .append(1, begin())
        .append(1, acls)
        .append(1, [removed(1)]);
    let log = planned(&node).log.unwrap();
    let (_, image) = replayed(&log.entries).pop().unwrap();
    let authorizer = AclAuthorizer::new(AclSettings::parse("", false).unwrap());
    authorizer.follow(&MetadataImage::default(), &image);
    let allowed = || {
        ["alice", "bob", "carol", "mallory"].map(|user| {
            let (user, host) = (Principal::user(user), Ipv4Addr::LOCALHOST.into());
            authorizer.is_allowed(
                &user,
                host,
                Operation::Read,
                (ResourceType::Topic, "orders"),
            )
        })
    };
    assert_eq!(allowed(), [true, true, true, false]);
    let (mut after, mut delta) = (image.clone(), MetadataDelta::default());
    let id = Uuid([2; 16]);
    let removal = MetadataRecord::RemoveAccessControlEntry { id };
    after.replay(&removal, &mut delta).unwrap();
    authorizer.apply(&image, &after, &delta);
    assert_eq!(allowed(), [false, true, false, false]);
}

/// The segment of a node whose log has these bytes at its end.
fn with_end(change: impl FnOnce(&mut Vec<u8>)) -> Result<Import, ImportError> {
    let dir = TempDir::new().unwrap();
    let mut files = node().files(dir.path());
    let segment = "__cluster_metadata-0/00000000000000000000.log";
    let segment = files.get_mut(&dir.path().join(segment)).unwrap();
    change(segment.as_mut().unwrap());
    kafka_node::write(&files);
    plan(&[dir.path().to_owned()])
}

#[test]
fn a_torn_end_is_ignored_and_reported() {
    let end = |import: Import| import.log.unwrap().entries.last().unwrap().index;
    let import = with_end(|log| log.truncate(log.len() - 7)).unwrap();
    let report = import.report().to_string();
    assert!(report.contains("are not a whole batch"), "{report}");
    assert_eq!(end(import), 20);
    let import = with_end(|log| {
        let last = log.len() - 3;
        log[last] ^= 1;
    });
    assert_eq!(end(import.unwrap()), 20);
    // Reserved space behind the end.
    let import = with_end(|log| log.extend([0; 100])).unwrap();
    assert!(!import.report().to_string().contains("not a whole batch"));
    assert_eq!(end(import), 22);
}

#[test]
fn damage_before_whole_batches_is_refused() {
    let error = with_end(|log| log[65] ^= 1).unwrap_err().to_string();
    assert!(
        error.contains("00000000000000000000.log: at byte 0"),
        "{error}"
    );
    let mut node = node();
    node.log_begin = 1;
    let dir = TempDir::new().unwrap();
    node.write(dir.path());
    let error = plan(&[dir.path().to_owned()]).unwrap_err().to_string();
    assert!(error.contains("the records 0 to 1 are missing"), "{error}");
}

#[test]
fn records_of_a_later_release_and_migrations_are_refused() {
    let refused = |record: Record| {
        let dir = TempDir::new().unwrap();
        let mut node = node();
        node.append(4, [record]).write(dir.path());
        plan(&[dir.path().to_owned()]).unwrap_err().to_string()
    };
    let later = refused(Record::Metadata(vec![1, 99, 0]));
    assert!(later.contains("has type 99 in version 0"), "{later}");
    assert!(later.contains("imports the metadata of Apache Kafka 3.3 to 4.4"));
    let migration = refused(encoded("zk_migration_state"));
    assert!(migration.contains("complete the migration"), "{migration}");
    let gone = refused(encoded("remove_acl"));
    assert!(gone.contains("the record at offset 11: "), "{gone}");
}

#[test]
fn directories_of_something_else_are_refused() {
    let root = TempDir::new().unwrap();
    let dir = |name: &str| root.path().join(name);
    let refused = |names: &[&str]| {
        let dirs: Vec<PathBuf> = names.iter().map(|name| dir(name)).collect();
        plan(&dirs).unwrap_err().to_string()
    };
    assert!(refused(&["nowhere"]).contains("is not a directory"));
    std::fs::create_dir(dir("empty")).unwrap();
    assert!(refused(&["empty"]).contains("has no meta.properties"));
    let properties = |name: &str, text: &str| {
        std::fs::create_dir_all(dir(name)).unwrap();
        std::fs::write(dir(name).join("meta.properties"), text).unwrap();
    };
    properties("old", "version=0\nbroker.id=1\ncluster.id=x\n");
    assert!(refused(&["old"]).contains("migrate the cluster to KRaft"));
    node().write(&dir("kafka"));
    properties(
        "data",
        &format!("version=1\nnode.id=1\ncluster.id={CLUSTER}\n"),
    );
    assert!(refused(&["data"]).contains("none of these directories has __cluster_metadata-0"));
    properties("other", "version=1\nnode.id=1\ncluster.id=x\n");
    let mixed = refused(&["kafka", "other"]);
    assert!(
        mixed.contains(&format!("belongs to cluster {CLUSTER}")),
        "{mixed}"
    );
    properties(
        "second",
        &format!("version=1\nnode.id=2\ncluster.id={CLUSTER}\n"),
    );
    assert!(refused(&["kafka", "second"]).contains("belongs to node 1"));
    node().write(&dir("copy"));
    assert!(refused(&["kafka", "copy"]).contains("Kafka uses one only"));
    properties(
        "ours",
        &format!("version=1\nnode.id=1\ncluster.id={CLUSTER}\n"),
    );
    std::fs::create_dir(dir("ours/__cluster_metadata-0")).unwrap();
    std::fs::write(dir("ours/__cluster_metadata-0/raft-journal"), "").unwrap();
    assert!(refused(&["ours"]).contains("has metadata of Dohle"));
    let held = plan(&[dir("kafka"), dir("data")]).unwrap();
    assert!(refused(&["kafka"]).contains("is in use: Apache Kafka, or Dohle, runs on it"));
    drop(held);
    plan(&[dir("kafka"), dir("data")]).unwrap();
}
