//! Interruptions at each step of an import, by a loss of power or a signal, in a simulated file
//! system: Kafka's files stay as they were, and a second run completes the import.

use std::path::{Path, PathBuf};

use dohle_controller::raft::recovery;
use dohle_log::Environment;
use dohle_log::directory::{MetadataLog, metadata_log, metadata_log_path};
use dohle_storage::FileSystem;
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

/// Imports without an interruption. Returns what is on the disk then, and the number of operations.
fn import(files: Files) -> (Files, u64) {
    interrupt(files, 1, NEVER)
}

/// Imports with a loss of power before operation `cut_at`.
fn interrupt(files: Files, seed: u64, cut_at: u64) -> (Files, u64) {
    let power = Power::new(seed, cut_at, |_| {});
    let disk = power.disk(files);
    let import = plan(&disk.environment(), Path::new(DIR));
    import.write().unwrap();
    let operations = power.operations();
    (disk.after_power_loss(), operations)
}

/// Imports, and ends the process before operation `kill_at`: what it wrote before stays, whether it
/// was synced or not.
fn kill(files: Files, kill_at: u64) -> Files {
    let mut operations = 0;
    let power = Power::new(1, NEVER, move |_| {
        operations += 1;
        if operations == kill_at {
            std::panic::resume_unwind(Box::new("killed"));
        }
    });
    let disk = power.disk(files);
    let run = || {
        let import = plan(&disk.environment(), Path::new(DIR));
        import.write().unwrap();
    };
    let killed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
    assert!(killed.is_err(), "fewer than {kill_at} operations");
    let mut left = Files::new();
    let mut dirs = vec![PathBuf::from(DIR)];
    while let Some(dir) = dirs.pop() {
        for entry in disk.list(&dir).unwrap() {
            let path = dir.join(entry.name);
            if entry.is_directory {
                dirs.push(path);
            } else {
                let content = disk.read(&path).unwrap();
                left.insert(path, Some(content));
            }
        }
        left.insert(dir, None);
    }
    left
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

/// The files that an import begins with.
struct Case {
    /// Kafka's own.
    kafkas: Files,
    all: Files,
    /// Term and offset of the last entry.
    last: (u64, u64),
    /// What the directory has until the import is complete.
    until: MetadataLog,
}

/// A node without a snapshot, one with a snapshot, and one on which Kafka ran after an import.
fn cases() -> [Case; 3] {
    let files = |node: &KafkaNode| node.files(Path::new(DIR));
    let new = |with_snapshot| Case {
        kafkas: files(&node(with_snapshot)),
        all: files(&node(with_snapshot)),
        last: (3, 24),
        until: MetadataLog::Kafka,
    };
    let (mut all, _) = import(files(&node(false)));
    let mut longer = node(false);
    longer.append(4, [leader_change()]);
    let mut kafkas = files(&longer);
    // The earlier import gave the directory its id.
    kafkas.retain(|path, _| !path.ends_with("meta.properties"));
    all.extend(kafkas.clone());
    let outdated = Case {
        kafkas,
        all,
        last: (4, 26),
        until: MetadataLog::Outdated,
    };
    [new(false), new(true), outdated]
}

/// Checks that nothing of Kafka's changed, and that a second run completes the import. Returns
/// whether the first run was interrupted before its end.
fn check_second_run(case: &Case, left: Files, at: u64, reads_log: bool) -> bool {
    check_kafkas_files(&case.kafkas, &left);
    let found = state(&left);
    let is_interrupted = found == case.until;
    assert!(
        is_interrupted || found == MetadataLog::Imported,
        "{found:?} after an interruption before operation {at}"
    );
    let (left, _) = import(left);
    check_kafkas_files(&case.kafkas, &left);
    assert_eq!(state(&left), MetadataLog::Imported);
    if reads_log {
        check_log(&left, case.last);
    }
    is_interrupted
}

#[test]
fn an_import_that_loses_power_at_any_step_is_completed_by_a_second_run() {
    for case in cases() {
        let (_, operations) = import(case.all.clone());
        assert!(operations > 20, "{operations} operations");
        let mut interrupted = 0;
        for seed in 0..3 {
            for cut_at in 1..=operations {
                let (left, _) = interrupt(case.all.clone(), seed, cut_at);
                // Reading the log takes more time than all the rest.
                interrupted += u32::from(check_second_run(&case, left, cut_at, seed == 0));
            }
        }
        assert!(interrupted > 20, "{interrupted} imports were interrupted");
    }
}

#[test]
fn an_import_that_is_killed_at_any_step_is_completed_by_a_second_run() {
    for case in cases() {
        let (_, operations) = import(case.all.clone());
        let mut interrupted = 0;
        for kill_at in 1..=operations {
            let left = kill(case.all.clone(), kill_at);
            interrupted += u32::from(check_second_run(&case, left, kill_at, true));
        }
        assert!(interrupted > 20, "{interrupted} imports were interrupted");
    }
}

/// Checks that a voter finds the whole log.
fn check_log(files: &Files, last: (u64, u64)) {
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
        (last.0, last.1, last.0)
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
    // What Dohle wrote in between, which must not be read together with the new log.
    let left = metadata_log_path(dir.path()).join("snapshot-of-dohle");
    std::fs::write(&left, "").unwrap();
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
    assert!(!left.exists());
    let runtime = super::runtime();
    let found = runtime.block_on(recovery::inspect(&metadata_log_path(dir.path())));
    assert_eq!(found.unwrap().unwrap().last_term, 4);
}
