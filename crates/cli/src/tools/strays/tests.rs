//! Strays in folders of a test.

use super::*;

/// A log directory with these partitions, of 10 bytes each.
fn directory(folder: &Path, names: &[&str]) -> PathBuf {
    let dir = folder.join("d");
    for name in names {
        let partition = dir.join(name);
        std::fs::create_dir_all(&partition).unwrap();
        std::fs::write(partition.join("00000000000000000000.log"), [0; 10]).unwrap();
    }
    dir
}

const T: &str = "t-0.0000000000000000000000000000000a-stray";
const U: &str = "u-3.0000000000000000000000000000000b-stray";

#[test]
fn strays_are_listed_adopted_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let dirs = [directory(folder.path(), &[T, U, "v-0"])];
    let text = list(&dirs, &[]).unwrap();
    let text = text.replace(folder.path().to_str().unwrap(), "ROOT");
    expect_test::expect![[r#"
        Partition: t-0	TopicId: unknown	Bytes: 10	State: stray	LogDir: ROOT/d
        Partition: u-3	TopicId: unknown	Bytes: 10	State: stray	LogDir: ROOT/d
        2 stray partitions, 20 bytes.
    "#]]
    .assert_eq(&text);
    let error = select(&dirs, &["v-0"]).unwrap_err().to_string();
    assert_eq!(error, "no stray partition is named v-0");
    adopt(&dirs, &["t-0"]).unwrap();
    assert!(dirs[0].join("t-0").is_dir());
    let selected = select(&dirs, &[]).unwrap();
    for (answer, expected) in [("y\n", true), ("n\n", false), ("", false)] {
        let mut asked = Vec::new();
        let answer = confirmed(&selected, &mut answer.as_bytes(), &mut asked).unwrap();
        assert_eq!(answer, expected);
        assert!(String::from_utf8(asked).unwrap().contains("Delete 1 stray"));
    }
    delete(&selected).unwrap();
    assert!(!dirs[0].join(U).exists());
    assert!(dirs[0].join("t-0").is_dir() && dirs[0].join("v-0").is_dir());
}

#[test]
fn adopting_replaces_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let dirs = [directory(folder.path(), &[T, "t-0"])];
    let error = adopt(&dirs, &[]).unwrap_err().to_string();
    assert!(error.contains("d/t-0 already exists"), "{error}");
    assert!(dirs[0].join(T).is_dir());
}

#[test]
fn a_running_brokers_directory_is_not_changed() {
    let folder = tempfile::tempdir().unwrap();
    let dirs = [directory(folder.path(), &[T])];
    let _running = LogDirectory::open(&dirs[0]).unwrap();
    list(&dirs, &[]).unwrap();
    let error = adopt(&dirs, &[]).unwrap_err().to_string();
    assert!(error.contains("in use by another process"), "{error}");
    delete(&select(&dirs, &[]).unwrap()).unwrap_err();
    assert!(dirs[0].join(T).is_dir());
}

#[test]
fn partitions_that_wait_for_a_decision_are_decided_where_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let dirs = [directory(folder.path(), &["t-0", "u-0"])];
    let decision = || {
        let directory = LogDirectory::open(&dirs[0]).unwrap();
        directory.stray_decision().unwrap()
    };
    let wait = || {
        let directory = LogDirectory::open(&dirs[0]).unwrap();
        directory
            .set_stray_decision(Some(StrayDecision::Pending))
            .unwrap();
    };
    wait();
    assert!(list(&dirs, &[]).unwrap().contains("waits for a decision"));
    adopt(&dirs, &[]).unwrap();
    assert_eq!(decision(), Some(StrayDecision::Adopted));
    assert!(dirs[0].join("t-0").is_dir());
    wait();
    delete(&select(&dirs, &["t-0"]).unwrap()).unwrap();
    assert_eq!(decision(), Some(StrayDecision::Pending));
    delete(&select(&dirs, &[]).unwrap()).unwrap();
    assert_eq!(decision(), None);
    assert!(!dirs[0].join("u-0").exists());
}
