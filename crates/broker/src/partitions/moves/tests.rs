//! Tests of moves on real files, one step at a time.

use std::time::Duration;

use bytes::Bytes;
use dohle_log::{Access, BatchBuilder, BatchOptions};
use dohle_model::features::{CORDONED_LOG_DIRS_FROM, METADATA_VERSION};
use dohle_model::record::{ConfigResource, MetadataRecord, PartitionChange};
use dohle_model::{
    DirectoryId, LeaderEpoch, NodeId, Offset, PartitionIndex, ProducerEpoch, ProducerId, Sequence,
    Timestamp, TopicName, TopicPartition,
};

use super::outcome::Progress;
use super::*;
use crate::partition::{Acks, AppendOrigin, FetchParams, Isolation, LeaderPart, PartOutcome};
use crate::partitions::tests::{Broker, Disks, Quorum, created, directory_id};
use crate::partitions::wall_clock;
use crate::replica::LeaderAnswer;

const NOW: Timestamp = Timestamp(1_000);
/// More steps than any move of these tests has.
const MANY: usize = 60;

fn name() -> TopicPartition {
    let topic = TopicName::new("t").unwrap();
    let partition = PartitionIndex(0);
    TopicPartition { topic, partition }
}

/// A broker with the directories 1 and 2, and a topic `t` of one partition in the first.
struct Mover {
    disks: Disks,
    quorum: Quorum,
    broker: Option<Broker>,
}

impl Mover {
    fn new(records: usize) -> Self {
        let disks = Disks::new();
        let mut quorum = Quorum::new(101);
        quorum.create_in("t", 1, directory_id(1));
        let broker = Some(disks.start(&[1, 2], &quorum));
        let mover = Self {
            disks,
            quorum,
            broker,
        };
        mover.broker().produce("t", records);
        mover
    }

    fn broker(&self) -> &Broker {
        self.broker.as_ref().unwrap()
    }

    fn move_to(&self, dir: u8) -> Result<(), MoveError> {
        let partitions = &self.broker().partitions;
        partitions.move_replica(&name(), &self.disks.path(dir))
    }

    /// Makes steps until the move waits or has ended. Returns how many changed something.
    fn steps(&self, max: usize) -> usize {
        let partitions = &self.broker().partitions;
        let _entered = self.broker().runtime.enter();
        (0..max)
            .take_while(|_| partitions.step_moves() == Progress::Made)
            .count()
    }

    /// The controller commits records.
    fn commit(&mut self, records: Vec<MetadataRecord>) {
        let delta = self.quorum.commit(records);
        let quorum = self.quorum.clone();
        self.broker.as_mut().unwrap().apply(&quorum, delta);
    }

    /// Sets `cordoned.log.dirs` of this broker.
    fn configure(&mut self, cordoned: Option<&str>) {
        self.commit(vec![MetadataRecord::Config {
            resource: ConfigResource::Broker(NodeId(1)),
            key: "cordoned.log.dirs".to_owned(),
            value: cordoned.map(str::to_owned),
        }]);
    }

    /// The controller commits the directory of the replica.
    fn assign(&mut self, dir: u8) {
        let delta = self.quorum.assign(1, dir);
        let quorum = self.quorum.clone();
        self.broker.as_mut().unwrap().apply(&quorum, delta);
    }

    /// A new leader epoch of this broker, or of none.
    fn elect(&mut self, leader: Option<NodeId>) {
        let change = PartitionChange {
            leader: Some(leader),
            ..PartitionChange::default()
        };
        let delta = self.quorum.change(1, change);
        let quorum = self.quorum.clone();
        self.broker.as_mut().unwrap().apply(&quorum, delta);
    }

    /// Completes the move to a directory.
    fn complete(&mut self, dir: u8) {
        assert!(self.steps(MANY) < MANY);
        self.assign(dir);
        assert!(self.steps(MANY) < MANY);
        assert_eq!(self.lives_in(), directory_id(dir));
    }

    /// Another leader truncates the log of 10 records to `kept` ones; this broker leads again, and
    /// appends `count` records of a new epoch.
    fn replace_records(&mut self, kept: i64, count: u8) {
        let replica = self.broker().replica("t");
        self.elect(Some(NodeId(2)));
        let subscription = replica.begin_subscription(NodeId(2)).unwrap().subscription;
        let answer = LeaderAnswer {
            subscription,
            leader_epoch: replica.leader_epoch(),
            error: None,
            diverging: Some((LeaderEpoch(0), Offset(kept))),
        };
        let part = LeaderPart {
            answer,
            high_watermark: Offset::ZERO,
            log_start_offset: Offset::ZERO,
        };
        let PartOutcome::Truncate(truncation) = replica.on_leader_part(&part, Bytes::new(), NOW)
        else {
            panic!("the log is not truncated");
        };
        replica.truncate_to_leader(&truncation, NOW);
        assert_eq!(replica.positions().log_end_offset, Offset(kept));
        self.elect(Some(NodeId(1)));
        for value in 100..100 + count {
            let records = batch(&[&[value]], None);
            replica
                .append(records, Acks::Leader, AppendOrigin::Client, wall_clock())
                .unwrap();
        }
    }

    /// Attempts the swap that was decided before.
    fn swap(&self) -> Progress {
        let partitions = &self.broker().partitions;
        let _entered = self.broker().runtime.enter();
        let id = self.broker().replica("t").id();
        let running = partitions.moves.get(&id).unwrap();
        let mut work = running.work.lock();
        partitions.swap(&running, &mut work).unwrap()
    }

    fn lives_in(&self) -> DirectoryId {
        self.broker().replica("t").directory()
    }

    fn restart(&mut self, dirs: &[u8], clean: bool) {
        let broker = self.broker.take().unwrap();
        if clean {
            broker.stop()
        } else {
            broker.kill()
        }
        self.broker = Some(self.disks.start(dirs, &self.quorum));
    }

    /// Returns all batches of the log.
    fn records(&self) -> Bytes {
        let params = FetchParams {
            fetch_offset: self.broker().replica("t").positions().log_start_offset,
            current_leader_epoch: None,
            last_fetched_epoch: None,
            max_bytes: 1 << 24,
            min_one: true,
            isolation: Isolation::LogEnd,
            leader_only: false,
        };
        self.broker().replica("t").read(&params).unwrap().records
    }

    fn future(&self) -> Option<ReplicaInfo> {
        let dirs = self.broker().partitions.log_dirs();
        let mut all = dirs.into_iter().flat_map(|dir| dir.replicas);
        all.find(|replica| replica.is_future)
    }

    /// Waits until this is the last directory that the broker has reported to the controller.
    fn await_assigned(&self, dir: u8) {
        let assigned = &self.broker().link.assigned;
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while assigned.lock().last() != Some(&directory_id(dir)) {
            assert!(
                std::time::Instant::now() < deadline,
                "{:?}",
                assigned.lock()
            );
            std::thread::yield_now();
        }
    }
}

fn batch(values: &[&[u8]], producer: Option<(i64, i32)>) -> Bytes {
    let mut options = BatchOptions::default();
    if let Some((id, sequence)) = producer {
        options.producer = ProducerId::from_wire(id)
            .zip(ProducerEpoch::from_wire(0))
            .map(|(id, epoch)| (id, epoch, Sequence::from_wire(sequence)));
    }
    let mut batch = BatchBuilder::new(options);
    for value in values {
        // Producers of old records expire.
        batch.append(Some(wall_clock()), None, Some(value), &[]);
    }
    batch.build().unwrap()
}

#[test]
fn a_replica_moves_once_the_metadata_name_its_new_directory() {
    let mut mover = Mover::new(50);
    let before = mover.records();
    mover.move_to(2).unwrap();
    assert_eq!(mover.future().unwrap().offset_lag, 50);
    assert!(mover.steps(MANY) < MANY);
    mover.await_assigned(2);
    // However long the controller takes, nothing is swapped, and new records are copied.
    mover.broker().produce("t", 3);
    let lag = mover.future().unwrap();
    assert_eq!((lag.offset_lag, lag.partition.clone()), (3, name()));
    assert!(mover.steps(MANY) < MANY);
    assert_eq!(mover.future().unwrap().offset_lag, 0);
    assert_eq!(mover.lives_in(), directory_id(1));
    assert_eq!(mover.disks.partitions(2), ["t-0-future"]);

    mover.assign(2);
    mover.broker().produce("t", 2);
    assert!(mover.steps(MANY) < MANY);
    assert_eq!(mover.lives_in(), directory_id(2));
    assert!(mover.future().is_none());
    assert_eq!(mover.disks.partitions(1), ["t-0-delete"]);
    assert_eq!(mover.disks.partitions(2), ["t-0"]);
    let after = mover.records();
    assert!(after.starts_with(&before));
    mover.broker().produce("t", 5);
    let all = mover.records();
    for clean in [false, true] {
        mover.restart(&[1, 2], clean);
        assert_eq!(mover.lives_in(), directory_id(2));
        assert_eq!(mover.records(), all);
        assert_eq!(mover.disks.partitions(1), [""; 0]);
    }
}

#[test]
fn readers_and_flushes_that_began_before_a_swap_end_well() {
    let mut mover = Mover::new(20);
    let replica = mover.broker().replica("t");
    mover.move_to(2).unwrap();
    assert!(mover.steps(MANY) < MANY);
    mover.assign(2);
    let params = FetchParams {
        fetch_offset: Offset(3),
        current_leader_epoch: None,
        last_fetched_epoch: None,
        max_bytes: 1 << 20,
        min_one: true,
        isolation: Isolation::HighWatermark,
        leader_only: true,
    };
    let located = replica.locate(&params, 0, Access::Disk).unwrap();
    assert!(mover.steps(MANY) < MANY);
    assert_eq!(mover.lives_in(), directory_id(2));
    assert!(!located.records.is_empty());
    replica.flush(NOW).unwrap();
    replica.flush(NOW).unwrap();
    mover.broker().produce("t", 1);
    assert_eq!(replica.positions().high_watermark, Offset(21));
    assert!(replica.offline().is_none());
    let failed = mover.broker().partitions.failed_dirs();
    assert!(failed.borrow().is_empty());
}

#[test]
fn a_copy_follows_a_truncation_even_just_before_the_swap() {
    for promised_first in [false, true] {
        let mut mover = Mover::new(10);
        mover.move_to(2).unwrap();
        assert!(mover.steps(MANY) < MANY);
        if promised_first {
            mover.assign(2);
        }
        mover.replace_records(4, 6);
        let all = mover.records();
        mover.complete(2);
        assert_eq!(mover.records(), all);
    }
}

#[test]
fn a_swap_that_was_decided_is_refused_when_its_reasons_have_changed() {
    // As many records as before, of another epoch.
    let mut mover = Mover::new(10);
    mover.move_to(2).unwrap();
    assert!(mover.steps(MANY) < MANY);
    mover.assign(2);
    mover.replace_records(4, 6);
    let all = mover.records();
    assert_eq!(mover.swap(), Progress::Waits);
    assert_eq!(mover.lives_in(), directory_id(1));
    mover.complete(2);
    assert_eq!(mover.records(), all);

    // The metadata name the old directory again.
    let mut mover = Mover::new(10);
    mover
        .broker()
        .replica("t")
        .delete_records(Some(Offset(3)))
        .unwrap();
    mover.move_to(2).unwrap();
    assert!(mover.steps(MANY) < MANY);
    mover.assign(2);
    mover.assign(1);
    assert_eq!(mover.swap(), Progress::Waits);
    assert_eq!(mover.lives_in(), directory_id(1));
    // A crash right after a swap finds the log start in the checkpoint.
    let checkpoint = mover.disks.path(2).join("log-start-offset-checkpoint");
    let text = std::fs::read_to_string(checkpoint).unwrap();
    assert!(text.contains("t 0 3\n"), "{text}");
}

#[test]
fn a_copy_that_was_swapped_in_names_the_directory_of_a_log_that_cannot_be_removed() {
    let mut mover = Mover::new(3);
    mover.move_to(2).unwrap();
    assert!(mover.steps(MANY) < MANY);
    mover.assign(2);
    // The old directory cannot be renamed.
    std::fs::remove_dir_all(mover.disks.path(1).join("t-0")).unwrap();
    mover.steps(MANY);
    assert_eq!(mover.lives_in(), directory_id(2));
    let note = mover.disks.path(2).join("t-0/replaced-directory.deleted");
    let note = std::fs::read_to_string(note).unwrap();
    assert_eq!(note, directory_id(1).to_string());
}

#[test]
fn a_copy_begins_where_delete_records_left_the_log() {
    let mut mover = Mover::new(0);
    let replica = mover.broker().replica("t");
    let values: [&[u8]; 4] = [b"a", b"b", b"c", b"d"];
    for _ in 0..3 {
        let records = batch(&values, None);
        replica
            .append(records, Acks::Leader, AppendOrigin::Client, wall_clock())
            .unwrap();
    }
    // In the middle of a batch, before the move and while it runs.
    replica.delete_records(Some(Offset(1))).unwrap();
    mover.move_to(2).unwrap();
    assert!(mover.steps(MANY) < MANY);
    replica.delete_records(Some(Offset(6))).unwrap();
    mover.complete(2);
    assert_eq!(replica.positions().log_start_offset, Offset(6));
    // The start is in the checkpoint of the new directory.
    drop(replica);
    mover.restart(&[1, 2], false);
    let positions = mover.broker().replica("t").positions();
    assert_eq!(
        (positions.log_start_offset, positions.log_end_offset),
        (Offset(6), Offset(12))
    );
    assert_eq!(mover.lives_in(), directory_id(2));
}

#[test]
fn producers_whose_records_are_deleted_are_known_after_a_move() {
    // Some of the records are deleted before the move, or all.
    for deleted in [1, 2] {
        for clean in [true, false] {
            let mut mover = Mover::new(0);
            let replica = mover.broker().replica("t");
            let send = |replica: &Partition, id, sequence| {
                let records = batch(&[b"x"], Some((id, sequence)));
                replica.append(records, Acks::Leader, AppendOrigin::Client, wall_clock())
            };
            send(&replica, 7, 0).unwrap();
            send(&replica, 8, 0).unwrap();
            replica.delete_records(Some(Offset(deleted))).unwrap();
            mover.move_to(2).unwrap();
            mover.complete(2);
            let known = |mover: &Mover| {
                let producers = mover.broker().replica("t").producers().unwrap();
                let known = producers.iter().map(|producer| producer.producer_id.0);
                known.collect::<std::collections::BTreeSet<_>>()
            };
            let all = std::collections::BTreeSet::from([7, 8]);
            assert_eq!(known(&mover), all);
            drop(replica);
            mover.restart(&[1, 2], clean);
            let case = format!("deleted {deleted}, clean {clean}");
            assert_eq!(known(&mover), all, "{case}");
            assert_eq!(mover.lives_in(), directory_id(2));
            // A batch that is sent again is not appended again.
            let replica = mover.broker().replica("t");
            let end = replica.positions().log_end_offset;
            send(&replica, 7, 0).unwrap();
            assert_eq!(replica.positions().log_end_offset, end, "{case}");
        }
    }
}

#[test]
fn a_stop_after_any_step_loses_nothing() {
    for clean in [false, true] {
        for promised in [false, true] {
            for steps in 0..8 {
                let mut mover = Mover::new(12);
                mover.move_to(2).unwrap();
                if promised {
                    mover.assign(2);
                }
                mover.steps(steps);
                mover.broker().produce("t", 2);
                let all = mover.records();
                mover.restart(&[1, 2], clean);
                let case = format!("clean {clean}, promised {promised}, steps {steps}");
                assert_eq!(mover.records(), all, "{case}");
                assert_eq!(
                    mover.future().is_some(),
                    mover.lives_in() == directory_id(1),
                    "{case}"
                );
                mover.broker().produce("t", 1);
                let all = mover.records();
                mover.complete(2);
                assert_eq!(mover.records(), all, "{case}");
                mover.restart(&[1, 2], false);
                assert_eq!(mover.lives_in(), directory_id(2), "{case}");
                assert_eq!(mover.records(), all, "{case}");
                assert_eq!(mover.disks.partitions(1), [""; 0], "{case}");
            }
        }
    }
}

#[test]
fn the_old_log_is_not_used_again_when_a_crash_left_it_after_the_swap() {
    let mut mover = Mover::new(5);
    mover.move_to(2).unwrap();
    mover.complete(2);
    mover.broker().produce("t", 5);
    let all = mover.records();
    // The crash came before the old directory was renamed.
    let marked = mover.disks.marked(1);
    std::fs::rename(marked, mover.disks.path(1).join("t-0")).unwrap();
    crate::partitions::dirs::note_replaced(&mover.disks.path(2).join("t-0"), directory_id(1));
    mover.restart(&[1, 2], false);
    assert_eq!(mover.lives_in(), directory_id(2));
    assert_eq!(mover.records(), all);
    assert_eq!(mover.disks.partitions(1), ["t-0-delete"]);
    // Without the note, which a loss of power may remove, it is kept as any second copy.
    let marked = mover.disks.marked(1);
    std::fs::rename(marked, mover.disks.path(1).join("t-0")).unwrap();
    mover.restart(&[1, 2], false);
    assert_eq!(mover.lives_in(), directory_id(2));
    assert_eq!(mover.records(), all);
    assert_eq!(mover.disks.partitions(1), ["t-0-stray"]);
}

#[test]
fn the_log_in_the_old_directory_is_used_when_the_new_one_is_promised() {
    let mut mover = Mover::new(5);
    mover.move_to(2).unwrap();
    mover.steps(MANY);
    mover.assign(2);
    // Records that only the log has.
    mover.broker().produce("t", 4);
    let all = mover.records();
    mover.restart(&[1, 2], false);
    assert_eq!(
        (mover.lives_in(), mover.records()),
        (directory_id(1), all.clone())
    );
    mover.steps(MANY);
    assert_eq!((mover.lives_in(), mover.records()), (directory_id(2), all));

    // Without the old directory, the copy is all there is.
    let mut mover = Mover::new(5);
    mover.move_to(2).unwrap();
    mover.steps(MANY);
    mover.assign(2);
    let all = mover.records();
    mover.restart(&[2], false);
    assert_eq!((mover.lives_in(), mover.records()), (directory_id(2), all));
    assert_eq!(mover.disks.partitions(2), ["t-0"]);
}

#[test]
fn another_request_changes_the_directory_or_cancels_the_move() {
    let disks = Disks::new();
    let mut quorum = Quorum::new(101);
    quorum.create_in("t", 1, directory_id(1));
    let broker = Some(disks.start(&[1, 2, 3], &quorum));
    let mut mover = Mover {
        disks,
        quorum,
        broker,
    };
    mover.broker().produce("t", 9);
    mover.move_to(2).unwrap();
    mover.steps(MANY);
    mover.await_assigned(2);
    mover.move_to(2).unwrap();
    assert_eq!(mover.disks.partitions(2), ["t-0-future"]);
    mover.move_to(3).unwrap();
    assert_eq!(mover.disks.partitions(2), [""; 0]);
    assert_eq!(mover.disks.partitions(3), ["t-0-future"]);
    mover.await_assigned(1);
    mover.move_to(1).unwrap();
    assert!(mover.future().is_none());
    assert_eq!(mover.disks.partitions(3), [""; 0]);
    assert_eq!(mover.lives_in(), directory_id(1));
    mover.move_to(3).unwrap();
    mover.complete(3);
    assert_eq!(mover.broker().log_end("t"), 9);
}

#[test]
fn moves_are_refused_as_apache_kafka_refuses_them() {
    let mover = Mover::new(1);
    let partitions = &mover.broker().partitions;
    let code = |result: Result<(), MoveError>| result.map_err(|error| error.code());
    let nowhere = Path::new("/nowhere");
    let refused = code(partitions.move_replica(&name(), nowhere));
    assert_eq!(refused, Err(ErrorCode::LogDirNotFound));
    let of = |topic: &str| TopicPartition {
        topic: TopicName::new(topic).unwrap(),
        ..name()
    };
    let second = mover.disks.path(2);
    let refused = code(partitions.move_replica(&of("none"), &second));
    assert_eq!(refused, Err(ErrorCode::UnknownTopicOrPartition));
    let refused = code(partitions.move_replica(&of(&"x".repeat(220)), &second));
    assert_eq!(refused, Err(ErrorCode::InvalidTopicException));
    assert_eq!(
        code(partitions.move_replica(&name(), &mover.disks.path(1))),
        Ok(())
    );
    assert!(mover.future().is_none());
    partitions.shared.dir_failed(directory_id(2));
    for topic in ["t", "none"] {
        let refused = code(partitions.move_replica(&of(topic), &second));
        assert_eq!(refused, Err(ErrorCode::KafkaStorageError), "{topic}");
    }
}

#[test]
fn cordoned_directories_get_no_new_replicas_and_keep_those_they_have() {
    let mut mover = Mover::new(3);
    assert_eq!(
        *mover.broker().partitions.cordoned_dirs().borrow(),
        Some([].into())
    );
    let feature = MetadataRecord::FeatureLevel {
        name: METADATA_VERSION.to_owned(),
        level: CORDONED_LOG_DIRS_FROM,
    };
    mover.commit(vec![feature]);
    let second = mover.disks.path(2).display().to_string();
    mover.configure(Some(&second));
    let cordoned = |mover: &Mover| {
        let dirs = mover.broker().partitions.log_dirs();
        dirs.iter().map(|dir| dir.is_cordoned).collect::<Vec<_>>()
    };
    assert_eq!(cordoned(&mover), [false, true]);
    let reported = mover.broker().partitions.cordoned_dirs();
    assert_eq!(*reported.borrow(), Some([directory_id(2)].into()));
    let refused = mover.move_to(2).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::InvalidReplicaAssignment);
    assert!(mover.future().is_none());
    // The first directory has more replicas than the second.
    for (topic, id) in [("u", 2), ("v", 3)] {
        mover.commit(created(topic, id, DirectoryId::UNASSIGNED));
        assert_eq!(mover.broker().replica(topic).directory(), directory_id(1));
    }
    // A replica leaves a cordoned directory, and takes records until then.
    mover.configure(Some("*"));
    assert_eq!(cordoned(&mover), [true, true]);
    mover.broker().produce("t", 2);
    mover.configure(Some(&mover.disks.path(1).display().to_string()));
    mover.move_to(2).unwrap();
    mover.complete(2);
    assert_eq!(mover.broker().log_end("t"), 5);
    mover.configure(None);
    assert_eq!(cordoned(&mover), [false, false]);
}

#[test]
fn nothing_is_cordoned_before_the_version_of_the_metadata_allows_it() {
    let mut mover = Mover::new(1);
    mover.configure(Some("*"));
    assert!(
        mover
            .broker()
            .partitions
            .log_dirs()
            .iter()
            .all(|dir| !dir.is_cordoned)
    );
    mover.move_to(2).unwrap();
}

#[test]
fn a_replica_that_does_not_exist_yet_is_created_where_it_was_requested() {
    let mut mover = Mover::new(1);
    let second = mover.disks.path(2);
    for topic in ["u", "v"] {
        let wanted = TopicPartition {
            topic: TopicName::new(topic).unwrap(),
            ..name()
        };
        let refused = mover.broker().partitions.move_replica(&wanted, &second);
        assert!(matches!(
            refused,
            Err(MoveError::NoReplica { exists: false })
        ));
    }
    for (topic, id) in [("u", 2), ("v", 3), ("w", 4)] {
        let delta = mover.quorum.create(topic, id);
        let quorum = mover.quorum.clone();
        mover.broker.as_mut().unwrap().apply(&quorum, delta);
    }
    let dir = |topic| mover.broker().replica(topic).directory();
    let second = directory_id(2);
    assert_eq!(
        (dir("u"), dir("v"), dir("w")),
        (second, second, directory_id(1))
    );
}

#[test]
fn a_limit_delays_the_next_step() {
    let mover = Mover::new(40);
    mover.broker().partitions.moves.set_limit(Some(1));
    mover.move_to(2).unwrap();
    mover.steps(1);
    let copied = mover.future().unwrap().offset_lag;
    assert_eq!(copied, 0, "one step copies up to a megabyte");
    mover.broker().produce("t", 10);
    assert_eq!(mover.steps(MANY), 0);
    assert_eq!(mover.future().unwrap().offset_lag, 10);
    mover.broker().partitions.moves.set_limit(None);
    mover.steps(MANY);
    assert_eq!(mover.future().unwrap().offset_lag, 0);
}

#[test]
fn a_directory_that_fails_ends_its_moves() {
    // The new one: the replica stays.
    let mover = Mover::new(9);
    mover.move_to(2).unwrap();
    mover.steps(MANY);
    mover.await_assigned(2);
    mover
        .broker()
        .partitions
        .end_moves_of(directory_id(2), "it is broken");
    mover.await_assigned(1);
    assert!(mover.future().is_none());
    mover.broker().produce("t", 1);
    assert_eq!(mover.lives_in(), directory_id(1));

    // The old one: the replica is offline, and the copy is kept for the next start.
    let mut mover = Mover::new(9);
    mover.move_to(2).unwrap();
    mover.steps(MANY);
    mover.await_assigned(2);
    let replica = mover.broker().replica("t");
    mover.broker().partitions.shared.dir_failed(directory_id(1));
    mover.await_assigned(1);
    assert!(replica.offline().is_some() && mover.future().is_none());
    assert_eq!(mover.disks.partitions(2), ["t-0-future"]);
    assert!(matches!(mover.move_to(2), Err(MoveError::ReplicaOffline)));
    drop(replica);
    mover.restart(&[1, 2], false);
    assert_eq!(mover.future().map(|future| future.offset_lag), Some(0));
    mover.complete(2);
    assert_eq!(mover.broker().log_end("t"), 9);
}

#[test]
fn copies_that_were_left_are_continued_or_deleted() {
    let mut mover = Mover::new(9);
    mover.move_to(2).unwrap();
    mover.steps(MANY);
    let broker = mover.broker.take().unwrap();
    broker.kill();
    // Another copy, as Apache Kafka names them.
    let copy = mover
        .disks
        .path(2)
        .join(format!("t-0.{}-future", "0".repeat(32)));
    std::fs::create_dir(&copy).unwrap();
    dohle_log::partition_metadata::write(&copy, crate::partitions::tests::topic_id(1)).unwrap();
    let foreign = mover
        .disks
        .path(2)
        .join(format!("t-0.{}-future", "1".repeat(32)));
    std::fs::create_dir(&foreign).unwrap();
    dohle_log::partition_metadata::write(&foreign, crate::partitions::tests::topic_id(9)).unwrap();
    mover.broker = Some(mover.disks.start(&[1, 2], &mover.quorum));
    // One of the two is continued, and a copy of another topic id is nobody's.
    assert_eq!(mover.disks.partitions(2), ["t-0-future", "t-0-future"]);
    assert!(foreign.exists());
    mover.complete(2);
    assert_eq!(mover.broker().log_end("t"), 9);

    // The topic is deleted while the broker is down.
    mover.move_to(1).unwrap();
    mover.steps(MANY);
    mover.broker.take().unwrap().kill();
    mover.quorum.delete(1);
    mover.broker = Some(mover.disks.start(&[1, 2], &mover.quorum));
    assert_eq!(mover.disks.partitions(1), [""; 0]);
}

#[test]
fn a_replica_that_is_removed_takes_its_copy_with_it() {
    let mut mover = Mover::new(9);
    mover.move_to(2).unwrap();
    mover.steps(MANY);
    let delta = mover.quorum.delete(1);
    let quorum = mover.quorum.clone();
    mover.broker.as_mut().unwrap().apply(&quorum, delta);
    assert_eq!(mover.disks.partitions(2), [""; 0]);
    assert_eq!(mover.disks.partitions(1), ["t-0-delete"]);
    assert_eq!(mover.steps(MANY), 0);
}
