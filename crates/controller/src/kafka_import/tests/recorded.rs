//! Imports of directories that several releases of Apache Kafka wrote; `tests/testdata/README.md`
//! describes how.

use std::path::{Path, PathBuf};

use dohle_auth::TokenKey;
use dohle_log::directory::{LogDirectory, MetadataLog, metadata_log, metadata_log_path};
use expect_test::expect_file;

use super::*;

/// The HMACs of the tokens that were created, in base64.
const TOKEN_OF_3_6: &str =
    "C231Ay1fp064Mw8lyPzWoN7kCYyWg6+BT7V+D6FQ9J0IyG3FNlHwKhR9037IY/ehs+8IyMuG1Qp4y8rwxxGJ6A==";
const TOKEN_OF_4_3: &str =
    "coiOPvaBTTRDsNqHlXxtIfqbAAle2hgFQadwUAGBzarh9WFZKWN5WdRG6nzVZyQ3UhrHz4QfhJH/5iMYC5b12Q==";
const TOKEN_OF_4_4: &str =
    "VUkppOO65E20J6lfcMjsv1YuEgC2fXD7dStP2jf7Xb2Lke1xgKMDZf0BCNxmzkPBd5MXwUiF0zZwOBHt77QCyg==";

/// A release, whether its `meta.properties` has a `directory.id`, and the HMAC of its token.
const RELEASES: [(&str, bool, Option<&str>); 4] = [
    ("3.3.2", false, None),
    ("3.6.2", false, Some(TOKEN_OF_3_6)),
    ("4.3.1", true, Some(TOKEN_OF_4_3)),
    ("4.4.0", true, Some(TOKEN_OF_4_4)),
];

/// Copies a directory that this release wrote. Returns the path of the copy.
fn copied(release: &str, name: &str, to: &TempDir) -> PathBuf {
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testdata");
    let copy = to.path().join(name);
    let mut dirs = vec![(
        testdata.join(format!("kafka-{release}/{name}")),
        copy.clone(),
    )];
    while let Some((from, to)) = dirs.pop() {
        std::fs::create_dir_all(&to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let to = to.join(entry.file_name());
            match entry.path().is_dir() {
                true => dirs.push((entry.path(), to)),
                false => drop(std::fs::copy(entry.path(), to).unwrap()),
            }
        }
    }
    copy
}

fn state(dir: &Path) -> MetadataLog {
    metadata_log(&*Environment::native().files, dir).unwrap()
}

fn properties(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("meta.properties")).unwrap()
}

/// Describes the metadata, one thing a line.
fn described(image: &MetadataImage) -> String {
    let mut lines = Vec::new();
    for (name, level) in &image.features {
        lines.push(format!("feature {name}: {level}"));
    }
    for broker in image.brokers.values() {
        lines.push(format!("{broker:?}"));
    }
    for topic in image.topics.values() {
        lines.push(format!("topic {} {}", topic.name, topic.id));
        for (index, partition) in &topic.partitions {
            lines.push(format!("  {index}: {partition:?}"));
        }
    }
    for (resource, entries) in &image.configs {
        for (key, value) in entries.iter() {
            lines.push(format!("{resource:?}: {key}={value}"));
        }
    }
    for (user, credentials) in &image.scram_credentials {
        lines.push(format!("SCRAM of {user:?}: {credentials:?}"));
    }
    for (entity, quotas) in &image.client_quotas {
        lines.push(format!("quotas of {entity:?}: {quotas:?}"));
    }
    for entry in image.acls.values() {
        lines.push(format!("{entry:?}"));
    }
    for token in image.delegation_tokens.values() {
        lines.push(format!("{token:?}"));
    }
    lines.push(format!("next producer id: {}", image.next_producer_id));
    lines.sort_unstable();
    lines.join("\n") + "\n"
}

#[test]
fn what_each_release_wrote_is_imported_on_a_node_that_is_only_a_controller() {
    for (release, has_directory_id, hmac) in RELEASES {
        let root = TempDir::new().unwrap();
        let dir = copied(release, "controller", &root);
        assert_eq!(state(&dir), MetadataLog::Kafka, "{release}");
        let before = properties(&dir);
        assert_eq!(
            before.contains("directory.id"),
            has_directory_id,
            "{release}"
        );
        let path = dir.join(METADATA_LOG_DIR);
        let source = source::read(&*Environment::native().files, &path).unwrap();
        assert!(source.snapshot.is_some(), "{release}");
        let converted = convert(&source).unwrap();
        let image = converted.conversion.image();
        let import = plan(std::slice::from_ref(&dir)).unwrap();
        let report = import.report().to_string();
        let report = report.replace(&dir.display().to_string(), "DIR");
        let found = format!("{report}\n{}", described(image));
        let expected = format!("../../../tests/testdata/kafka-{release}/expected.txt");
        expect_file![expected].assert_eq(&found);
        if let Some(hmac) = hmac {
            let key = TokenKey::new("a-secret").unwrap();
            let token = image.delegation_tokens.values().next().unwrap();
            use base64::Engine as _;
            let own = base64::engine::general_purpose::STANDARD.encode(&*key.hmac(&token.id));
            assert_eq!(own, hmac, "{release}");
        }
        import.write().unwrap();
        assert_eq!(state(&dir), MetadataLog::Imported, "{release}");
        let added = properties(&dir).strip_prefix(&before).map(str::to_owned);
        assert_eq!(
            added.is_some_and(|it| it.is_empty()),
            has_directory_id,
            "{release}"
        );
        assert!(
            metadata_log_path(&dir).join("voter.properties").exists(),
            "{release}"
        );
    }
}

#[test]
fn a_node_that_is_only_a_broker_gets_no_log_and_each_of_its_directories_an_id() {
    for (release, ..) in RELEASES {
        let root = TempDir::new().unwrap();
        let dirs = ["broker-data", "broker"].map(|name| copied(release, name, &root));
        let import = plan(&dirs).unwrap();
        let report = import.report().to_string();
        assert!(
            report.contains("node 2 of cluster") && report.contains("not one of the controllers 1"),
            "{release}: {report}"
        );
        assert!(import.log.is_none(), "{release}");
        import.write().unwrap();
        let ids = dirs.each_ref().map(|dir| {
            let directory = LogDirectory::open(dir).unwrap();
            directory
                .meta_properties()
                .unwrap()
                .unwrap()
                .directory_id
                .unwrap()
        });
        assert_ne!(ids[0], ids[1], "{release}");
        assert_eq!(state(&dirs[0]), MetadataLog::Absent, "{release}");
        assert_eq!(state(&dirs[1]), MetadataLog::Imported, "{release}");
        // What the node does not vote with is not there.
        assert!(!metadata_log_path(&dirs[1]).exists(), "{release}");
        assert!(plan(&dirs).unwrap().is_done(), "{release}");
    }
}
