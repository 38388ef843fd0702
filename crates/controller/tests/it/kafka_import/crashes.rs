//! Losses of power at each step of an import, in a simulated file system: Kafka's files stay as
//! they were, and a second run completes the import.

use std::path::Path;

use dohle_controller::raft::recovery;
use dohle_log::Environment;
use dohle_log::directory::{MetadataLog, metadata_log, metadata_log_path};
use dohle_storage::simulated::Power;

use super::kafka_node::{self, Files, KafkaNode, encoded, leader_change};
use super::{log, plan, retention_ms};

const DIR: &str = "/data";
const NEVER: u64 = u64::MAX;

fn node(with_snapshot: bool) -> KafkaNode {
    let mut node = log(2);
    node.has_directory_id = false;
    node.append(3, [leader_change()])
        .append(3, [retention_ms("3"), retention_ms("4")]);
    if with_snapshot {
        node.log.drain(..3);
        node.log_begin = 9;
        node.snapshot = Some((9, 1, Vec::new(), vec![encoded("feature"), encoded("topic")]));
    }
    node
}

/// Imports with a loss of power before operation `cut_at`. Returns what is on the disk then, and
/// the number of operations.
fn import(files: Files, seed: u64, cut_at: u64) -> (Files, u64) {
    let power = Power::new(seed, cut_at, |_| {});
    let disk = power.disk(files);
    let import = plan(&disk.environment(), Path::new(DIR));
    import.write().unwrap();
    let operations = power.operations();
    (disk.after_power_loss(), operations)
}

fn state(files: &Files) -> MetadataLog {
    let disk = Power::new(0, NEVER, |_| {}).disk(files.clone());
    metadata_log(&*disk.environment().files, Path::new(DIR)).unwrap()
}

/// Checks that nothing of Kafka's has changed, but for the added id.
fn check_kafkas_files(before: &Files, after: &Files) {
    for (path, content) in before {
        let now = after
            .get(path)
            .unwrap_or_else(|| panic!("{path:?} is gone"));
        if path.ends_with("meta.properties") {
            let text = |bytes: &Option<Vec<u8>>| {
                String::from_utf8(bytes.clone().unwrap_or_default()).unwrap()
            };
            let (was, is) = (text(content), text(now));
            let added = is.strip_prefix(&was);
            let expected = "directory.id=CQkJCQkJCQkJCQkJCQkJCQ\n";
            assert!(added == Some("") || added == Some(expected), "{is}");
        } else {
            assert_eq!(now, content, "{path:?}");
        }
    }
}

#[test]
fn an_import_that_loses_power_at_any_step_is_completed_by_a_second_run() {
    for with_snapshot in [false, true] {
        let before = node(with_snapshot).files(Path::new(DIR));
        let (_, operations) = import(before.clone(), 1, NEVER);
        assert!(operations > 20, "{operations} operations");
        let mut interrupted = 0;
        for seed in 0..3 {
            for cut_at in 1..=operations {
                let (left, _) = import(before.clone(), seed, cut_at);
                check_kafkas_files(&before, &left);
                let found = state(&left);
                interrupted += u32::from(found == MetadataLog::Kafka);
                assert!(
                    matches!(found, MetadataLog::Kafka | MetadataLog::Imported),
                    "{found:?} after a loss of power before operation {cut_at}"
                );
                let (left, _) = import(left, seed, NEVER);
                check_kafkas_files(&before, &left);
                assert_eq!(state(&left), MetadataLog::Imported);
                // Reading it takes more time than all the rest.
                if seed == 0 {
                    check_log(&left);
                }
            }
        }
        assert!(interrupted > 20, "{interrupted} imports were interrupted");
    }
}

/// Checks that a voter finds the whole log.
fn check_log(files: &Files) {
    let dir = tempfile::tempdir().unwrap();
    let moved = files.iter().map(|(path, content)| {
        let path = path.strip_prefix(DIR).unwrap_or(Path::new(""));
        (dir.path().join(path), content.clone())
    });
    kafka_node::write(&moved.collect());
    let runtime = super::runtime();
    let found = runtime.block_on(recovery::inspect(&metadata_log_path(dir.path())));
    let found = found.unwrap().unwrap();
    assert_eq!(
        (found.last_term, found.last_offset.0, found.voted_term),
        (3, 24, 3)
    );
}

#[test]
fn an_import_after_kafka_ran_again_replaces_the_earlier_one() {
    let dir = tempfile::tempdir().unwrap();
    let environment = Environment::native();
    let mut node = node(false);
    node.write(dir.path());
    plan(&environment, dir.path()).write().unwrap();
    assert!(plan(&environment, dir.path()).is_done());
    node.append(4, [leader_change()]).write(dir.path());
    let state = metadata_log(&*environment.files, dir.path()).unwrap();
    assert_eq!(state, MetadataLog::Outdated);
    let again = plan(&environment, dir.path());
    assert!(
        again
            .report()
            .to_string()
            .contains("since an earlier import")
    );
    again.write().unwrap();
    let runtime = super::runtime();
    let found = runtime.block_on(recovery::inspect(&metadata_log_path(dir.path())));
    assert_eq!(found.unwrap().unwrap().last_term, 4);
}
