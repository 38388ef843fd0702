//! Tests of the formatting of directories, and of contradictions between them.

use expect_test::{Expect, expect};

use super::*;
use crate::config::Sources;
use crate::test_support::folded;

/// Returns a source of the ids 1, 2, 3, …
fn numbered() -> impl FnMut() -> Uuid {
    let mut last = 0;
    move || {
        last += 1;
        Uuid([last; 16])
    }
}

/// Returns the configuration of a combined node with one voter, or three.
fn config(root: &Path, voters: &str, changes: &[(&str, &str)]) -> NodeConfig {
    let mut sources = Sources {
        has_file: true,
        ..Sources::default()
    };
    let dirs = format!("{},{}", root.join("a").display(), root.join("b").display());
    for (name, value) in [
        ("process.roles", "broker,controller"),
        ("node.id", "1"),
        ("controller.quorum.voters", voters),
        ("controller.listener.names", "CONTROLLER"),
        (
            "listeners",
            "PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093",
        ),
        ("log.dirs", dirs.as_str()),
    ]
    .iter()
    .chain(changes)
    {
        sources.add_override(&format!("{name}={value}")).unwrap();
    }
    NodeConfig::new(sources, "host1").unwrap()
}

const ALONE: &str = "1@localhost:9093";
const THREE: &str = "1@localhost:9093,2@localhost:9095,3@localhost:9097";

fn meta_properties(root: &Path, dir: &str) -> String {
    std::fs::read_to_string(root.join(dir).join("meta.properties")).unwrap()
}

#[track_caller]
fn check_refused(root: &Path, config: &NodeConfig, expected: Expect) {
    let error = Directories::open(config, numbered()).unwrap_err();
    let text = error
        .to_string()
        .replace(&root.display().to_string(), "ROOT");
    expected.assert_eq(&folded(&text));
}

#[test]
fn a_node_alone_formats_its_directories_and_finds_them_again() {
    let root = tempfile::tempdir().unwrap();
    let config = config(root.path(), ALONE, &[]);
    let first = Directories::open(&config, numbered()).unwrap();
    assert_eq!(first.formatted.len(), 2);
    let (cluster_id, metadata_id) = (first.cluster_id.clone(), first.metadata_id);
    assert_eq!(metadata_id, first.log_dirs[0].id);
    assert_eq!(
        meta_properties(root.path(), "b"),
        format!(
            "node.id=1\nversion=1\ndirectory.id={}\ncluster.id={cluster_id}\n",
            first.log_dirs[1].id
        )
    );
    drop(first);
    let second = Directories::open(&config, || panic!("nothing is new")).unwrap();
    assert_eq!(second.formatted, Vec::<PathBuf>::new());
    assert_eq!(
        (second.cluster_id, second.metadata_id),
        (cluster_id, metadata_id)
    );
}

#[test]
fn a_directory_of_its_own_for_metadata_is_formatted_too() {
    let root = tempfile::tempdir().unwrap();
    let metadata = root.path().join("m").display().to_string();
    let config = config(root.path(), ALONE, &[("metadata.log.dir", &metadata)]);
    let opened = Directories::open(&config, numbered()).unwrap();
    assert_eq!(opened.log_dirs.len(), 2);
    assert!(opened.metadata.is_some());
    assert!(meta_properties(root.path(), "m").contains(&opened.metadata_id.to_string()));
}

#[test]
fn one_of_several_voters_needs_the_clusters_id() {
    let root = tempfile::tempdir().unwrap();
    check_refused(
        root.path(),
        &config(root.path(), THREE, &[]),
        expect![[r#"
        the directories of node 1 are empty and no cluster id is
        given: set CLUSTER_ID (or cluster.id) to the same id on
        every node of the cluster, for example
        CLUSTER_ID=AQEBAQEBAQEBAQEBAQEBAQ"#]],
    );
    let given = config(
        root.path(),
        THREE,
        &[("cluster.id", "AAAAAAAAAAAAAAAAAAAAAQ")],
    );
    assert_eq!(
        Directories::open(&given, numbered()).unwrap().cluster_id,
        "AAAAAAAAAAAAAAAAAAAAAQ"
    );
}

#[test]
fn directories_of_another_cluster_or_node_are_refused_with_the_way_out() {
    let root = tempfile::tempdir().unwrap();
    let first = config(
        root.path(),
        ALONE,
        &[("cluster.id", "AAAAAAAAAAAAAAAAAAAAAQ")],
    );
    drop(Directories::open(&first, numbered()).unwrap());
    let other = config(
        root.path(),
        ALONE,
        &[("cluster.id", "AAAAAAAAAAAAAAAAAAAAAg")],
    );
    check_refused(
        root.path(),
        &other,
        expect![[r#"
        ROOT/a/meta.properties belongs to cluster
        AAAAAAAAAAAAAAAAAAAAAQ, this node is configured for cluster
        AAAAAAAAAAAAAAAAAAAAAg; set CLUSTER_ID (or cluster.id) to
        AAAAAAAAAAAAAAAAAAAAAQ to use these data, or move the
        directory away (mv ROOT/a ROOT/a.old) to begin anew"#]],
    );
    let other = config(root.path(), "2@localhost:9093", &[("node.id", "2")]);
    check_refused(
        root.path(),
        &other,
        expect![[r#"
        ROOT/a/meta.properties belongs to node 1, this node has
        node.id=2; set node.id=1 to use these data, or move the
        directory away (mv ROOT/a ROOT/a.old) to begin anew"#]],
    );
}

#[test]
fn a_directory_that_is_in_use_copied_or_without_identity_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let config = config(root.path(), ALONE, &[]);
    let used = Directories::open(&config, numbered()).unwrap();
    check_refused(
        root.path(),
        &config,
        expect![[r#"
        ROOT/a is in use by another process, which holds the lock on
        its file .lock; stop that process, or give this node a log
        directory of its own"#]],
    );
    drop(used);
    let (a, b) = (
        root.path().join("a/meta.properties"),
        root.path().join("b/meta.properties"),
    );
    std::fs::copy(&a, &b).unwrap();
    check_refused(
        root.path(),
        &config,
        expect![[r#"
        ROOT/a and ROOT/b have the same directory.id
        AgICAgICAgICAgICAgICAg, one is a copy of the other: take one
        of them out of log.dirs"#]],
    );
    std::fs::remove_file(&b).unwrap();
    std::fs::create_dir(root.path().join("b/topic-0")).unwrap();
    check_refused(
        root.path(),
        &config,
        expect![[r#"
        ROOT/b has partitions in it and no meta.properties: put that
        file back, or move the directory away (mv ROOT/b ROOT/b.old)
        to begin anew"#]],
    );
}

#[test]
fn a_fresh_id_never_looks_like_an_option() {
    for _ in 0..1000 {
        assert!(!fresh_id().to_string().starts_with('-'));
    }
}

#[test]
fn a_default_cluster_id_is_for_new_directories_only() {
    let root = tempfile::tempdir().unwrap();
    let with_default = |id: &str| NodeConfig {
        cluster_id_default: Some(id.to_owned()),
        ..config(root.path(), THREE, &[])
    };
    let opened = Directories::open(&with_default("first"), numbered()).unwrap();
    assert_eq!(opened.cluster_id, "first");
    drop(opened);
    let opened = Directories::open(&with_default("second"), numbered()).unwrap();
    assert_eq!(opened.cluster_id, "first");
}

/// Returns the content of a directory: its files with their content.
fn content(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(content(&path));
        } else {
            found.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
    found
}

#[test]
fn a_volume_of_apache_kafka_is_refused_and_not_changed() {
    let root = tempfile::tempdir().unwrap();
    let config = config(root.path(), ALONE, &[]);
    for dir in ["a", "b"] {
        std::fs::create_dir_all(root.path().join(dir)).unwrap();
        let kafkas = "version=1\ncluster.id=AAAAAAAAAAAAAAAAAAAAAQ\nnode.id=1\n\
                      directory.id=AAAAAAAAAAAAAAAAAAAAAg\n";
        std::fs::write(root.path().join(dir).join("meta.properties"), kafkas).unwrap();
    }
    for file in ["00000000000000000000.log", "quorum-state"] {
        let log = root.path().join("b/__cluster_metadata-0");
        std::fs::create_dir_all(&log).unwrap();
        std::fs::write(log.join(file), "").unwrap();
        let before = content(root.path());
        check_refused(
            root.path(),
            &config,
            expect![[r#"
                ROOT/b has the metadata of an Apache Kafka node. To go on
                with its topics, stop Kafka on all nodes of the cluster, and
                run this command on each node, with its own directories (in
                containers, in place of the image's command, with the same
                volumes): dohle storage import-kafka ROOT/a ROOT/b. Nothing
                was changed. To begin anew, point log.dirs and
                metadata.log.dir elsewhere"#]],
        );
        assert_eq!(content(root.path()), before);
        std::fs::remove_dir_all(log).unwrap();
    }
}

#[test]
fn the_command_of_an_import_can_be_pasted_into_a_shell() {
    let dirs = ["/plain/dir_1", "/with space", "/it's"].map(PathBuf::from);
    assert_eq!(
        import_command(&dirs),
        r"dohle storage import-kafka /plain/dir_1 '/with space' '/it'\''s'"
    );
}

#[test]
fn imported_metadata_are_used_until_kafka_runs_again() {
    let root = tempfile::tempdir().unwrap();
    let config = config(root.path(), ALONE, &[]);
    let log = root.path().join("a/__cluster_metadata-0");
    std::fs::create_dir_all(&log).unwrap();
    let segment = log.join("00000000000000000000.log");
    std::fs::write(&segment, "abc").unwrap();
    let properties = "version=1\ncluster.id=AAAAAAAAAAAAAAAAAAAAAQ\nnode.id=1\n\
                      directory.id=AAAAAAAAAAAAAAAAAAAAAg\n";
    std::fs::write(root.path().join("a/meta.properties"), properties).unwrap();
    let mark = "version=1\nkafka.log.end=00000000000000000000.log:3\n";
    std::fs::write(log.join("dohle-import.properties"), mark).unwrap();
    assert_eq!(config.metadata_dir(), log.join("dohle"));
    drop(Directories::open(&config, numbered()).unwrap());

    std::fs::write(&segment, "abcd").unwrap();
    let before = content(root.path());
    check_refused(
        root.path(),
        &config,
        expect![[r#"
            Apache Kafka was running on ROOT/a since its metadata were
            imported. To go on from where Kafka stopped, stop it on all
            nodes of the cluster, and run this command on each node,
            with its own directories: dohle storage import-kafka ROOT/a
            ROOT/b. What Dohle wrote to the metadata before is discarded
            then. Nothing was changed"#]],
    );
    assert_eq!(content(root.path()), before);
}

#[test]
fn a_directory_that_cannot_be_opened_is_offline_and_the_node_goes_on() {
    let root = tempfile::tempdir().unwrap();
    let config = config(root.path(), ALONE, &[]);
    let first = Directories::open(&config, numbered()).unwrap();
    let (a, b) = (first.log_dirs[0].id, first.log_dirs[1].id);
    drop(first);
    let meta = root.path().join("b/meta.properties");
    for damage in ["", "garbage", "version=1\ncluster.id=x\n"] {
        std::fs::write(&meta, damage).unwrap();
        let opened = Directories::open(&config, || panic!("nothing is new")).unwrap();
        assert_eq!(opened.log_dirs.len(), 1);
        assert_eq!(opened.log_dirs[0].id, a);
        assert_eq!(opened.offline.len(), 1);
        assert_eq!(opened.offline[0].path, root.path().join("b"));
        assert!(opened.offline[0].reason.contains("b/meta.properties"));
        // No file in it has changed.
        assert_eq!(std::fs::read_to_string(&meta).unwrap(), damage);
    }
    // The system returns an error, because a file is in the directory's place.
    std::fs::rename(root.path().join("b"), root.path().join("away")).unwrap();
    std::fs::write(root.path().join("b"), "no directory").unwrap();
    let opened = Directories::open(&config, || panic!("nothing is new")).unwrap();
    assert_eq!((opened.log_dirs.len(), opened.offline.len()), (1, 1));
    drop(opened);
    // Without the directory that holds the metadata, the node does not start.
    std::fs::remove_file(root.path().join("b")).unwrap();
    std::fs::rename(root.path().join("away"), root.path().join("b")).unwrap();
    std::fs::write(root.path().join("a/meta.properties"), "").unwrap();
    let error = Directories::open(&config, numbered()).unwrap_err();
    assert!(error.to_string().contains("a/meta.properties"), "{error}");
    assert_ne!(a, b);
}
