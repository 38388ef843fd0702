//! Tests of logs while descriptors are short. One test, because the limit applies to the process.

mod common;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use common::*;
use dohle_log::{AppendError, AppendOrigin, Log, LogConfig, OpenFiles, StorageErrorKind, validate};
use dohle_model::{LeaderEpoch, Offset};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Returns the number of the process's open files in this directory.
fn open_in(dir: &Path) -> usize {
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap();
    let path = |entry: std::io::Result<std::fs::DirEntry>| std::fs::read_link(entry?.path());
    let paths = descriptors.filter_map(|entry| path(entry).ok());
    paths.filter(|path| path.starts_with(dir)).count()
}

/// Opens files until no descriptor is left.
fn exhaust() -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

fn try_append(log: &mut Log) -> Result<(), AppendError> {
    let records = batch(5, 100, NOW.0);
    let validated = validate(records, log.config(), AppendOrigin::Client, NOW).unwrap();
    log.append_as_leader(validated, LeaderEpoch(0), NOW)
        .map(drop)
}

fn is_shortage(error: &AppendError) -> bool {
    matches!(error, AppendError::Storage(error) if error.kind() == StorageErrorKind::Shortage)
}

#[test]
fn logs_run_within_few_descriptors_and_outlive_a_shortage() {
    let limit = getrlimit(Resource::Nofile);
    let few = Rlimit {
        current: Some(40),
        ..limit
    };
    setrlimit(Resource::Nofile, few).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let config = Arc::new(LogConfig {
        segment_bytes: 1_000,
        ..LogConfig::default()
    });
    let open_files = Arc::new(OpenFiles::new(8));
    let open = |name: &str| {
        let (path, open_files) = (dir.path().join(name), Arc::clone(&open_files));
        let opened = Log::open_with(
            &path,
            partition(),
            Arc::clone(&config),
            unclean(),
            open_files,
        );
        opened.unwrap().0
    };

    // The logs have many more segments than there are descriptors, and all of them are read.
    let mut logs = [open("a-0"), open("b-0")];
    for log in &mut logs {
        for at in 0..50 {
            try_append(log).unwrap();
            if at % 10 == 9 {
                log.flush(NOW).unwrap();
            }
        }
    }
    let content: Vec<Vec<u8>> = logs.iter().map(|log| read_all(log, Offset(0))).collect();
    assert!(logs[0].segment_base_offsets().count() > 40);
    assert!(open_files.reading() <= 8);
    assert!(open_in(dir.path()) <= 8 + 2, "{}", open_in(dir.path()));

    // No descriptor is left: open files can be used, and operations that must open a file fail
    // without damage.
    let reopened = open("c-0");
    assert_eq!(open_files.promised(), 1);
    let mut logs = Vec::from(logs);
    logs.push(reopened);
    drop(read_all(&logs[0], Offset(0)));
    let mut held = exhaust();
    assert_eq!(
        read_all(&logs[0], Offset(0)),
        content[0],
        "by closing another file"
    );
    held.extend(exhaust());
    try_append(&mut logs[0]).unwrap();
    let mut failed = Vec::new();
    for log in &mut logs {
        for _ in 0..5 {
            failed.extend(try_append(log).err());
        }
        assert!(!log.is_failed());
    }
    assert!(
        !failed.is_empty() && failed.iter().all(is_shortage),
        "{failed:?}"
    );

    // With free descriptors everything works again, and every offset exists once.
    drop(held);
    for log in &mut logs {
        for _ in 0..5 {
            try_append(log).unwrap();
        }
        let records = read_all(log, Offset(0));
        let mut next = 0;
        for (first, last) in ranges(&records) {
            assert_eq!(first, next);
            next = last + 1;
        }
        assert_eq!(next, log.log_end_offset().0);
    }
    setrlimit(Resource::Nofile, limit).unwrap();
}
