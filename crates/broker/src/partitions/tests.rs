//! Tests of a broker's log directories across restarts, driven by images of the metadata.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dohle_log::directory::{LogDirectory, StrayDecision, strays};
use dohle_log::{BatchBuilder, BatchOptions};
use dohle_model::delta::MetadataDelta;
use dohle_model::image::MetadataImage;
use dohle_model::partition::PartitionRegistration;
use dohle_model::record::{MetadataRecord, PartitionChange};
use dohle_model::{
    DirectoryId, IncarnationId, NodeId, Offset, PartitionIndex, Timestamp, TopicId,
    TopicIdPartition, TopicName, TopicPartition, Uuid,
};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{AlterAnswer, ControllerLink, LogDir, Partitions, PartitionsConfig};
use crate::metadata::MetadataChange;
use crate::partition::{Acks, AppendOrigin, Partition};
use crate::replica::IsrProposal;
use crate::replication::{ReplicatorConfig, StreamReplicator};
use crate::testing::capture;

const NODE: NodeId = NodeId(1);

/// A controller that notes the directories that are reported to it, and does nothing else.
#[derive(Clone, Default)]
pub(super) struct Link {
    pub(super) assigned: Arc<Mutex<Vec<DirectoryId>>>,
}

impl ControllerLink for Link {
    fn alter_partition<'a>(
        &'a self,
        _: &'a [(TopicIdPartition, IsrProposal)],
    ) -> BoxFuture<'a, Result<AlterAnswer, String>> {
        Box::pin(std::future::pending())
    }

    fn assign_dirs<'a>(
        &'a self,
        assignments: &'a [(TopicIdPartition, DirectoryId)],
    ) -> BoxFuture<'a, Result<(), String>> {
        let dirs = assignments.iter().map(|(_, dir)| *dir);
        self.assigned.lock().extend(dirs);
        Box::pin(async { Ok(()) })
    }
}

/// The metadata that a quorum commits.
#[derive(Clone)]
pub(super) struct Quorum {
    pub(super) image: Arc<MetadataImage>,
}

impl Quorum {
    /// Creates a quorum that begins with this activation of a controller.
    pub(super) fn new(activation: u8) -> Self {
        let mut quorum = Self {
            image: Arc::default(),
        };
        quorum.activate(activation);
        quorum
    }

    pub(super) fn activate(&mut self, activation: u8) {
        let id = Uuid([activation; 16]);
        self.commit(vec![MetadataRecord::ControllerActivated { id }]);
    }

    pub(super) fn commit(&mut self, records: Vec<MetadataRecord>) -> MetadataDelta {
        let mut image = MetadataImage::clone(&self.image);
        let mut delta = MetadataDelta::default();
        for record in &records {
            image.replay(record, &mut delta).unwrap();
        }
        image.offset.0 += 1;
        self.image = Arc::new(image);
        delta
    }

    /// Creates a topic of one partition that broker 1 leads.
    pub(super) fn create(&mut self, name: &str, id: u8) -> MetadataDelta {
        self.create_in(name, id, DirectoryId::UNASSIGNED)
    }

    pub(super) fn create_in(&mut self, name: &str, id: u8, dir: DirectoryId) -> MetadataDelta {
        self.commit(created(name, id, dir))
    }

    pub(super) fn delete(&mut self, id: u8) -> MetadataDelta {
        let id = topic_id(id);
        self.commit(vec![MetadataRecord::RemoveTopic { id }])
    }

    pub(super) fn change(&mut self, id: u8, change: PartitionChange) -> MetadataDelta {
        self.commit(vec![MetadataRecord::PartitionChange {
            topic_id: topic_id(id),
            partition: PartitionIndex(0),
            change,
        }])
    }

    /// Moves the replica to this directory.
    pub(super) fn assign(&mut self, id: u8, dir: u8) -> MetadataDelta {
        self.change(
            id,
            PartitionChange {
                directories: Some(vec![directory_id(dir)]),
                ..PartitionChange::default()
            },
        )
    }
}

pub(super) fn created(name: &str, id: u8, dir: DirectoryId) -> Vec<MetadataRecord> {
    let registration = PartitionRegistration::new(vec![NODE], vec![dir], vec![NODE]);
    vec![
        MetadataRecord::Topic {
            name: TopicName::new(name).unwrap(),
            id: topic_id(id),
        },
        MetadataRecord::Partition {
            topic_id: topic_id(id),
            partition: PartitionIndex(0),
            registration,
        },
    ]
}

pub(super) fn topic_id(id: u8) -> TopicId {
    TopicId::from_bytes([id; 16])
}

pub(super) fn directory_id(dir: u8) -> DirectoryId {
    DirectoryId::from_bytes([dir; 16])
}

/// A broker's disks.
pub(super) struct Disks {
    folder: TempDir,
}

impl Disks {
    pub(super) fn new() -> Self {
        Self {
            folder: TempDir::new().unwrap(),
        }
    }

    pub(super) fn path(&self, dir: u8) -> PathBuf {
        self.folder.path().join(format!("d{dir}"))
    }

    /// Returns the partitions' directories in a log directory, with the random part of the names
    /// removed.
    pub(super) fn partitions(&self, dir: u8) -> Vec<String> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(self.path(dir)).unwrap() {
            let entry = entry.unwrap();
            if entry.path().is_dir() {
                let name = entry.file_name().into_string().unwrap();
                let kind = ["-delete", "-stray", "-future"]
                    .iter()
                    .find(|kind| name.ends_with(**kind))
                    .unwrap_or(&"");
                let base = name.split('.').next().unwrap();
                names.push(format!("{base}{kind}"));
            }
        }
        names.sort();
        names
    }

    /// Returns the directory that is to be deleted.
    pub(super) fn marked(&self, dir: u8) -> PathBuf {
        let entries = std::fs::read_dir(self.path(dir)).unwrap();
        let mut paths = entries.map(|entry| entry.unwrap().path());
        let is_marked = |path: &PathBuf| path.to_string_lossy().ends_with("-delete");
        paths.find(is_marked).unwrap()
    }

    /// Starts a broker with these directories. It has followed the metadata when this returns,
    /// unless it waits for a decision.
    pub(super) fn start(&self, dirs: &[u8], quorum: &Quorum) -> Broker {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let link = Link::default();
        let log_dirs = dirs.iter().map(|dir| LogDir {
            id: directory_id(*dir),
            directory: LogDirectory::open(&self.path(*dir)).unwrap(),
        });
        let config = PartitionsConfig {
            node: NODE,
            cluster_id: "cluster".to_owned(),
            log_dirs: log_dirs.collect(),
            offline_dirs: Vec::new(),
            properties: Arc::default(),
            controller: Arc::new(link.clone()),
            replicator: StreamReplicator::new(ReplicatorConfig {
                node: NODE,
                cluster_id: "cluster".to_owned(),
                incarnation: IncarnationId::from_bytes([7; 16]),
                listener: "PLAINTEXT".to_owned(),
                connector: Default::default(),
                runtimes: vec![runtime.handle().clone()],
            }),
        };
        let partitions = {
            let _entered = runtime.enter();
            Partitions::open(config)
        };
        let mut broker = Broker {
            link,
            runtime,
            partitions,
            image: Arc::default(),
            waits: false,
        };
        let delta = MetadataDelta::between(&broker.image, &quorum.image);
        broker.follow(quorum, delta, true);
        broker
    }
}

/// A running broker.
pub(super) struct Broker {
    pub(super) link: Link,
    pub(super) runtime: Runtime,
    pub(super) partitions: Arc<Partitions>,
    image: Arc<MetadataImage>,
    /// Whether it waits for a decision on its strays.
    waits: bool,
}

impl Broker {
    fn follow(&mut self, quorum: &Quorum, delta: MetadataDelta, is_first: bool) {
        let local = delta.local_changes(NODE, &self.image, &quorum.image);
        let change = MetadataChange {
            before: std::mem::replace(&mut self.image, Arc::clone(&quorum.image)),
            after: Arc::clone(&quorum.image),
            delta,
            local,
            is_first,
        };
        self.waits = self.partitions.awaits_stray_decision(&change);
        if !self.waits {
            let _entered = self.runtime.enter();
            self.partitions.apply_change(&change);
        }
    }

    /// Follows committed records.
    pub(super) fn apply(&mut self, quorum: &Quorum, delta: MetadataDelta) {
        self.follow(quorum, delta, false);
    }

    /// Follows a snapshot.
    pub(super) fn apply_snapshot(&mut self, quorum: &Quorum) {
        let delta = MetadataDelta::between(&self.image, &quorum.image);
        self.follow(quorum, delta, false);
    }

    pub(super) fn replica(&self, topic: &str) -> Arc<Partition> {
        let name = TopicPartition {
            topic: TopicName::new(topic).unwrap(),
            partition: PartitionIndex(0),
        };
        self.partitions.get_by_name(&name).unwrap()
    }

    pub(super) fn log_end(&self, topic: &str) -> i64 {
        self.replica(topic).positions().log_end_offset.0
    }

    pub(super) fn produce(&self, topic: &str, count: usize) {
        for at in 0..count {
            let mut batch = BatchBuilder::new(BatchOptions::default());
            batch.append(Some(Timestamp(1_000)), None, Some(&[at as u8]), &[]);
            let batch = batch.build().unwrap();
            self.replica(topic)
                .append(batch, Acks::Leader, AppendOrigin::Client, Timestamp(1_000))
                .unwrap();
        }
    }

    /// Stops the broker cleanly.
    pub(super) fn stop(self) {
        self.runtime
            .block_on(self.partitions.shutdown(None))
            .unwrap();
        self.kill();
    }

    /// Stops the broker without closing anything.
    pub(super) fn kill(self) {
        drop(self.partitions);
        self.runtime.shutdown_timeout(Duration::from_secs(20));
    }
}

fn size_of(dir: &Path) -> u64 {
    strays(dir).unwrap().iter().map(|stray| stray.size).sum()
}

/// Returns a broker's disk with topics `t` (id 1) and `u` (id 2) of three records each, and their
/// quorum.
fn two_topics() -> (Disks, Quorum) {
    let disks = Disks::new();
    let mut quorum = Quorum::new(101);
    quorum.create("t", 1);
    quorum.create("u", 2);
    let broker = disks.start(&[1], &quorum);
    broker.produce("t", 3);
    broker.produce("u", 3);
    broker.stop();
    (disks, quorum)
}

#[test]
fn a_topic_deleted_while_the_broker_was_down_is_deleted() {
    let (disks, mut quorum) = two_topics();
    quorum.activate(102);
    quorum.delete(1);
    let broker = disks.start(&[1], &quorum);
    assert_eq!(disks.partitions(1), ["t-0-delete", "u-0"]);
    broker.stop();
    disks.start(&[1], &quorum).kill();
    assert_eq!(disks.partitions(1), ["u-0"]);
}

#[test]
fn the_last_topic_deleted_while_the_broker_was_down_needs_no_decision() {
    let (disks, mut quorum) = two_topics();
    quorum.delete(1);
    quorum.delete(2);
    let broker = disks.start(&[1], &quorum);
    assert!(!broker.waits);
    assert_eq!(disks.partitions(1), ["t-0-delete", "u-0-delete"]);
}

#[test]
fn a_replica_moved_away_while_the_broker_was_down_is_deleted() {
    let (disks, mut quorum) = two_topics();
    let to = PartitionChange {
        replicas: Some(vec![NodeId(2)]),
        directories: Some(vec![DirectoryId::UNASSIGNED]),
        isr: Some(vec![NodeId(2)]),
        leader: Some(Some(NodeId(2))),
        ..PartitionChange::default()
    };
    quorum.change(1, to);
    let _broker = disks.start(&[1], &quorum);
    assert_eq!(disks.partitions(1), ["t-0-delete", "u-0"]);
}

#[test]
fn a_partition_that_metadata_never_deleted_is_kept_as_a_stray() {
    let (disks, _) = two_topics();
    // Another history contains one of the topics: the quorum was restored from a backup.
    let mut restored = Quorum::new(109);
    for _ in 0..10 {
        restored.activate(110);
    }
    restored.create("u", 2);
    let broker = disks.start(&[1], &restored);
    assert_eq!(disks.partitions(1), ["t-0-stray", "u-0"]);
    assert_eq!(broker.log_end("u"), 3);
    broker.stop();
    let size = size_of(&disks.path(1));
    assert!(size > 200, "{size}");
    // Strays survive restarts.
    for _ in 0..2 {
        disks.start(&[1], &restored).stop();
        assert_eq!(disks.partitions(1), ["t-0-stray", "u-0"]);
    }
    // Once adopted, the topic with the same id uses the records.
    let directory = LogDirectory::open(&disks.path(1)).unwrap();
    let stray = strays(&disks.path(1)).unwrap().remove(0);
    assert_eq!(stray.topic_id, Some(topic_id(1)));
    directory.adopt(&stray).unwrap();
    drop(directory);
    restored.create("t", 1);
    let broker = disks.start(&[1], &restored);
    assert_eq!(broker.log_end("t"), 3);
    assert_eq!(disks.partitions(1), ["t-0", "u-0"]);
}

#[test]
fn a_quorum_that_lost_its_newest_records_has_deleted_nothing() {
    let disks = Disks::new();
    let mut quorum = Quorum::new(101);
    quorum.create("u", 2);
    let mut behind = quorum.clone();
    quorum.create("t", 1);
    let broker = disks.start(&[1], &quorum);
    broker.produce("t", 3);
    broker.stop();
    // The surviving voter lacked the newest record, but its metadata have a higher offset now.
    for activation in 120..130 {
        behind.activate(activation);
    }
    let broker = disks.start(&[1], &behind);
    assert_eq!(disks.partitions(1), ["t-0-stray", "u-0"]);
    broker.stop();
    // The quorum's metadata have not reached that offset.
    let disks = Disks::new();
    let mut quorum = Quorum::new(101);
    quorum.create("u", 2);
    let behind = quorum.clone();
    quorum.create("t", 1);
    disks.start(&[1], &quorum).stop();
    let _broker = disks.start(&[1], &behind);
    assert_eq!(disks.partitions(1), ["t-0-stray", "u-0"]);
}

#[test]
fn without_its_record_of_the_metadata_a_directory_loses_nothing() {
    for content in [None, Some(""), Some("0\n7\ngarbage")] {
        let (disks, mut quorum) = two_topics();
        let path = disks.path(1).join("metadata-applied-checkpoint");
        match content {
            None => std::fs::remove_file(path).unwrap(),
            Some(text) => std::fs::write(path, text).unwrap(),
        }
        quorum.delete(1);
        let broker = disks.start(&[1], &quorum);
        assert_eq!(disks.partitions(1), ["t-0-stray", "u-0"]);
        assert_eq!(broker.log_end("u"), 3);
    }
}

#[test]
fn a_partition_copied_into_the_directory_is_not_taken_for_a_deleted_one() {
    let (disks, quorum) = two_topics();
    let from = disks.path(1).join("copied-0");
    std::fs::create_dir(&from).unwrap();
    std::fs::write(from.join("partition.metadata"), {
        let id = topic_id(77);
        format!("version: 0\ntopic_id: {id}")
    })
    .unwrap();
    let _broker = disks.start(&[1], &quorum);
    assert_eq!(disks.partitions(1), ["copied-0-stray", "t-0", "u-0"]);
}

#[test]
fn a_broker_whose_partitions_are_all_foreign_waits_for_a_decision() {
    let (disks, quorum) = two_topics();
    let mut foreign = Quorum::new(109);
    for activation in 110..120 {
        foreign.activate(activation);
    }
    foreign.create("v", 3);
    let broker = disks.start(&[1], &foreign);
    assert!(broker.waits);
    assert_eq!(disks.partitions(1), ["t-0", "u-0"]);
    broker.kill();
    let waiting = strays(&disks.path(1)).unwrap();
    assert_eq!(waiting.len(), 2);
    assert!(waiting.iter().all(|stray| stray.in_place));
    // Connected to its own quorum again, it continues without reading a log again.
    let broker = disks.start(&[1], &quorum);
    assert!(!broker.waits);
    assert!(broker.partitions.dirs[0].clean);
    assert_eq!((broker.log_end("t"), broker.log_end("u")), (3, 3));
    broker.stop();
    assert_eq!(strays(&disks.path(1)).unwrap(), []);
    // An operator decides to use the other quorum: the partitions are kept.
    disks.start(&[1], &foreign).kill();
    let directory = LogDirectory::open(&disks.path(1)).unwrap();
    directory
        .set_stray_decision(Some(StrayDecision::Adopted))
        .unwrap();
    drop(directory);
    let broker = disks.start(&[1], &foreign);
    assert!(!broker.waits);
    assert_eq!(disks.partitions(1), ["t-0-stray", "u-0-stray", "v-0"]);
    broker.stop();
    // From now on the directory belongs to the other quorum's history.
    assert!(!disks.start(&[1], &foreign).waits);
}

#[test]
fn a_topic_of_the_same_name_does_not_get_the_records_of_an_older_one() {
    // The topic was deleted and created again while the broker was down.
    let (disks, mut quorum) = two_topics();
    quorum.delete(1);
    quorum.create("t", 11);
    let broker = disks.start(&[1], &quorum);
    assert_eq!(broker.log_end("t"), 0);
    assert_eq!(disks.partitions(1), ["t-0", "t-0-delete", "u-0"]);
    broker.stop();
    // In another history, the directory with this name is kept.
    let (disks, _) = two_topics();
    let mut other = Quorum::new(109);
    other.create("u", 2);
    other.create("t", 11);
    let broker = disks.start(&[1], &other);
    assert_eq!(broker.log_end("t"), 0);
    assert_eq!(disks.partitions(1), ["t-0", "t-0-stray", "u-0"]);
}

#[test]
fn a_snapshot_of_another_history_deletes_nothing_while_the_broker_runs() {
    let (disks, mut quorum) = two_topics();
    let mut broker = disks.start(&[1], &quorum);
    let mut other = Quorum::new(109);
    for activation in 110..120 {
        other.activate(activation);
    }
    other.create("u", 2);
    broker.apply_snapshot(&other);
    assert_eq!(disks.partitions(1), ["t-0-stray", "u-0"]);
    broker.kill();
    // A snapshot of the same history causes the deletion.
    let (disks, _) = two_topics();
    let mut broker = disks.start(&[1], &quorum);
    quorum.delete(1);
    broker.apply_snapshot(&quorum);
    assert_eq!(disks.partitions(1), ["t-0-delete", "u-0"]);
}

#[test]
fn a_deletion_that_fails_leaves_nothing_to_a_new_topic_of_the_same_name() {
    let (disks, mut quorum) = two_topics();
    let mut broker = disks.start(&[1], &quorum);
    // The rename fails, because the directory was moved away.
    std::fs::rename(disks.path(1).join("t-0"), disks.path(1).join("away")).unwrap();
    let mut records = vec![MetadataRecord::RemoveTopic { id: topic_id(1) }];
    records.extend(created("t", 11, DirectoryId::UNASSIGNED));
    let delta = quorum.commit(records);
    broker.apply(&quorum, delta);
    assert!(broker.partitions.dirs[0].offline().is_some());
    assert_eq!(disks.partitions(1), ["away", "u-0"]);
    broker.kill();
    // The directory of an older topic still exists when a new topic uses its name.
    let (disks, mut quorum) = two_topics();
    let mut broker = disks.start(&[1], &quorum);
    std::fs::create_dir(disks.path(1).join("w-0")).unwrap();
    for file in ["partition.metadata", "00000000000000000000.log"] {
        let from = disks.path(1).join("t-0").join(file);
        std::fs::copy(from, disks.path(1).join("w-0").join(file)).unwrap();
    }
    let delta = quorum.create("w", 12);
    broker.apply(&quorum, delta);
    assert_eq!(broker.log_end("w"), 0);
    assert_eq!(disks.partitions(1), ["t-0", "u-0", "w-0", "w-0-stray"]);
}

#[test]
fn the_directory_in_the_metadata_decides_between_two_copies() {
    let disks = Disks::new();
    let mut quorum = Quorum::new(101);
    quorum.create_in("t", 1, directory_id(1));
    let broker = disks.start(&[1], &quorum);
    broker.produce("t", 2);
    broker.stop();
    // The disk is away, and the replica is built again on another disk.
    let broker = disks.start(&[2], &quorum);
    broker.produce("t", 5);
    quorum.assign(1, 2);
    broker.stop();
    let broker = disks.start(&[1, 2], &quorum);
    assert_eq!(broker.log_end("t"), 5);
    assert_eq!(broker.replica("t").directory(), directory_id(2));
    assert_eq!(disks.partitions(1), ["t-0-stray"]);
    assert_eq!(disks.partitions(2), ["t-0"]);
    broker.stop();
    // With both disks, the other copy is kept.
    let broker = disks.start(&[1, 2], &quorum);
    assert_eq!(broker.log_end("t"), 5);
    assert_eq!(disks.partitions(1), ["t-0-stray"]);
}

#[test]
fn a_log_of_unknown_identity_is_offline_alone() {
    let (disks, quorum) = two_topics();
    let id = disks.path(1).join("t-0").join("partition.metadata");
    std::fs::write(&id, "garbage").unwrap();
    // The directory's own record contains the id.
    let broker = disks.start(&[1], &quorum);
    assert_eq!((broker.log_end("t"), broker.log_end("u")), (3, 3));
    broker.stop();
    assert!(std::fs::read_to_string(&id).unwrap().contains("topic_id"));
    std::fs::write(&id, "garbage").unwrap();
    std::fs::remove_file(disks.path(1).join("metadata-applied-checkpoint")).unwrap();
    let broker = disks.start(&[1], &quorum);
    assert_eq!(broker.log_end("u"), 3);
    assert_eq!(broker.replica("t").positions().log_end_offset, Offset::ZERO);
    assert!(!broker.replica("t").is_leader());
    assert_eq!(disks.partitions(1), ["t-0", "u-0"]);
    assert!(broker.partitions.dirs[0].offline().is_none());
}

#[test]
fn a_damaged_log_is_offline_alone() {
    let (disks, quorum) = two_topics();
    // What compaction put there was whole, and then the disk lost its end.
    let path = disks.path(1).join("t-0").join("00000000000000000000.log");
    let whole = std::fs::read(&path).unwrap();
    let torn = path.with_extension("log.swap");
    std::fs::write(&torn, &whole[..whole.len() - 3]).unwrap();
    let broker = disks.start(&[1], &quorum);
    let reason = broker.replica("t").offline().unwrap().to_string();
    assert!(reason.contains(torn.to_str().unwrap()), "{reason}");
    assert!(broker.partitions.dirs[0].offline().is_none());
    assert_eq!(broker.log_end("u"), 3);
    broker.produce("u", 1);
    assert_eq!(disks.partitions(1), ["t-0", "u-0"]);
    broker.stop();
    // The other partition starts again, and the damage is still there to be repaired.
    let broker = disks.start(&[1], &quorum);
    assert_eq!(broker.log_end("u"), 4);
    assert!(broker.replica("t").offline().is_some());
    assert!(torn.exists());
}

#[test]
fn damaged_checkpoints_are_built_again() {
    for damaged in ["", "garbage", "0\n9\nt 0 3\n", "0\n1\nt 0 -7\n"] {
        let (disks, quorum) = two_topics();
        let checkpoints = [
            "recovery-point-offset-checkpoint",
            "replication-offset-checkpoint",
            "log-start-offset-checkpoint",
            "cleaner-offset-checkpoint",
            "metadata-applied-checkpoint",
        ];
        for file in checkpoints.iter().chain(&[".kafka_cleanshutdown"]) {
            std::fs::write(disks.path(1).join(file), damaged).unwrap();
        }
        let (lines, guard) = capture();
        let broker = disks.start(&[1], &quorum);
        drop(guard);
        for file in checkpoints {
            // Kafka leaves this file empty when it has compacted nothing.
            if !damaged.is_empty() || file != "cleaner-offset-checkpoint" {
                lines.assert_one(&["WARN", file]);
            }
        }
        let consequence = "records removed by DeleteRecords may reappear";
        lines.assert_one(&["WARN", "log-start-offset-checkpoint", consequence]);
        assert!(broker.partitions.dirs[0].offline().is_none(), "{damaged:?}");
        assert_eq!((broker.log_end("t"), broker.log_end("u")), (3, 3));
        broker.stop();
        // Both files are intact again.
        let broker = disks.start(&[1], &quorum);
        assert!(broker.partitions.dirs[0].clean);
        assert!(broker.partitions.dirs[0].knows_history(&quorum.image));
    }
}

/// Returns when the partitions' directories were last changed: the time changes when a file in a
/// directory is created, renamed or deleted.
fn changes(disks: &Disks) -> Vec<std::time::SystemTime> {
    let names = disks.partitions(1);
    let modified = |name: String| {
        let path = disks.path(1).join(name);
        path.metadata().unwrap().modified().unwrap()
    };
    names.into_iter().map(modified).collect()
}

/// Idle partitions cost nothing at a clean stop, however many there are. The figure for 10,000
/// partitions is measured with `DOHLE_IDLE_PARTITIONS=10000`, in a release build with
/// `--nocapture`.
#[test]
fn a_clean_stop_touches_no_file_of_an_idle_partition() {
    let count = std::env::var("DOHLE_IDLE_PARTITIONS").ok();
    let count: usize = count.map_or(40, |count| count.parse().unwrap());
    let disks = Disks::new();
    let mut quorum = Quorum::new(101);
    let mut records = Vec::new();
    for at in 0..count {
        let mut created = created(&format!("t{at}"), 1, DirectoryId::UNASSIGNED);
        let id = TopicId::from_bytes((at as u128 + 1).to_be_bytes());
        for record in &mut created {
            match record {
                MetadataRecord::Topic { id: of, .. } => *of = id,
                MetadataRecord::Partition { topic_id, .. } => *topic_id = id,
                _ => {}
            }
        }
        records.extend(created);
    }
    quorum.commit(records);
    // New partitions, then the same ones without new records under a new leader epoch. Half of the
    // partitions have records.
    for run in 0..3 {
        for topic in quorum.image.topics.keys().copied().collect::<Vec<_>>() {
            let partition = PartitionIndex(0);
            let change = PartitionChange {
                leader: Some(Some(NODE)),
                ..PartitionChange::default()
            };
            let change = MetadataRecord::PartitionChange {
                topic_id: topic,
                partition,
                change,
            };
            quorum.commit(vec![change]);
        }
        let began = std::time::Instant::now();
        let broker = disks.start(&[1], &quorum);
        println!(
            "run {run}: {count} partitions opened in {:?}",
            began.elapsed()
        );
        if run == 1 {
            for at in 0..count / 2 {
                broker.produce(&format!("t{at}"), 1);
            }
            println!("half of them get a record");
        }
        let end = if run == 0 { 0 } else { 1 };
        assert_eq!(broker.log_end("t0"), end);
        let before = changes(&disks);
        let began = std::time::Instant::now();
        broker.stop();
        println!("run {run}: stopped in {:?}", began.elapsed());
        if run != 1 {
            assert_eq!(changes(&disks), before);
        }
    }
}
