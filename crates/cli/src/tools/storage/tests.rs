//! What is printed, against what Kafka's tool prints for the same directories and options.

use super::*;

#[test]
fn a_new_clusters_levels_are_checked_as_kafka_does() {
    let levels = |options: &[&str]| {
        let line = format!("format -c server.properties -t id {}", options.join(" "));
        let parsed = TOOL.read(&line).unwrap();
        match super::features(&parsed) {
            Ok(levels) => format!("{levels:?}"),
            Err(error) => error.to_string(),
        }
    };
    let mut text = String::new();
    for options in [
        "",
        "--release-version 4.0",
        "-r 3.9-IV0",
        "-r 4.3",
        "-r 4.4",
        "-r 4.5-IV0",
        "-r 3.2",
        "-f transaction.version=1 -f group.version=0",
        "-f metadata.version=25",
        "-f metadata.version=40",
        "-f metadata.version=25 -r 4.0",
        "-f transaction.version=3",
        "-f share.version=0",
        "-f share.version=1",
        "-f nope=0",
        "-r 3.9 -f eligible.leader.replicas.version=1",
    ] {
        let options: Vec<&str> = options.split_whitespace().collect();
        text += &format!("{options:?}: {}\n", levels(&options));
    }
    expect_test::expect![[r#"
        []: None
        ["--release-version", "4.0"]: Some({"eligible.leader.replicas.version": 0, "group.version": 1, "metadata.version": 25, "transaction.version": 2})
        ["-r", "3.9-IV0"]: Some({"eligible.leader.replicas.version": 0, "group.version": 0, "metadata.version": 21, "transaction.version": 0})
        ["-r", "4.3"]: Some({"eligible.leader.replicas.version": 1, "group.version": 1, "metadata.version": 30, "transaction.version": 2})
        ["-r", "4.4"]: Some({"eligible.leader.replicas.version": 1, "group.version": 1, "metadata.version": 33, "transaction.version": 2})
        ["-r", "4.5-IV0"]: No MetadataVersion with feature level 34. Valid feature levels are from 7 to 33.
        ["-r", "3.2"]: Unknown metadata.version '3.2'. Supported metadata.version are: 3.3-IV3, 3.4-IV0, 3.5-IV0, 3.5-IV1, 3.5-IV2, 3.6-IV0, 3.6-IV1, 3.6-IV2, 3.7-IV0, 3.7-IV1, 3.7-IV2, 3.7-IV3, 3.7-IV4, 3.8-IV0, 3.9-IV0, 4.0-IV0, 4.0-IV1, 4.0-IV2, 4.0-IV3, 4.1-IV0, 4.1-IV1, 4.2-IV0, 4.2-IV1, 4.3-IV0, 4.4-IV0, 4.4-IV1, 4.4-IV2, 4.5-IV0
        ["-f", "transaction.version=1", "-f", "group.version=0"]: Some({"eligible.leader.replicas.version": 1, "group.version": 0, "metadata.version": 33, "transaction.version": 1})
        ["-f", "metadata.version=25"]: Some({"eligible.leader.replicas.version": 0, "group.version": 1, "metadata.version": 25, "transaction.version": 2})
        ["-f", "metadata.version=40"]: No MetadataVersion with feature level 40. Valid feature levels are from 7 to 33.
        ["-f", "metadata.version=25", "-r", "4.0"]: Use --release-version instead of --feature metadata.version=X to avoid ambiguity.
        ["-f", "transaction.version=3"]: No feature:transaction.version with feature level 3
        ["-f", "share.version=0"]: Some({"eligible.leader.replicas.version": 1, "group.version": 1, "metadata.version": 33, "share.version": 0, "transaction.version": 2})
        ["-f", "share.version=1"]: --feature share.version=1 is not supported: Dohle has no share.version yet
        ["-f", "nope=0"]: Unsupported feature: nope. Supported features are: eligible.leader.replicas.version, group.version, kraft.version, share.version, streams.version, transaction.version
        ["-r", "3.9", "-f", "eligible.leader.replicas.version=1"]: eligible.leader.replicas.version could not be set to 1 because it depends on metadata.version level 23
    "#]].assert_eq(&text);
}

#[test]
fn directories_are_told_as_kafka_does() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (folder.path().join("a"), folder.path().join("b"));
    let shown = |text: String| text.replace(folder.path().to_str().unwrap(), "DIR");
    let (text, sound) = describe(&[a.clone(), b.clone()]);
    assert!(!sound);
    expect_test::expect![[r#"
        Found problems:
          DIR/a does not exist
          DIR/b does not exist

    "#]]
    .assert_eq(&shown(text));
    std::fs::create_dir(&a).unwrap();
    std::fs::create_dir(&b).unwrap();
    let id = "zuynarinTQBTpfYsu4fmYA";
    let cluster = "4L6g3nShT-eMCtK--X86sw";
    let meta = format!("version=1\ncluster.id={cluster}\nnode.id=1\ndirectory.id={id}\n");
    std::fs::write(a.join("meta.properties"), &meta).unwrap();
    let (text, sound) = describe(&[a, b.clone()]);
    assert!(!sound);
    expect_test::expect![[r#"
        Found log directories:
          DIR/a
          DIR/b

        Found metadata: {cluster.id=4L6g3nShT-eMCtK--X86sw, directory.id=zuynarinTQBTpfYsu4fmYA, node.id=1, version=1}

        Found problem:
          DIR/b is not formatted.

    "#]]
    .assert_eq(&shown(text));
    std::fs::write(b.join("meta.properties"), &meta).unwrap();
    let (_, sound) = describe(&[b]);
    assert!(sound);
}
