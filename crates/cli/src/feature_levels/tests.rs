//! What is printed, against what Kafka's tools print.

use expect_test::expect;

use super::*;

#[test]
fn releases_have_levels() {
    for (name, level) in [
        ("3.3-IV3", 7),
        ("3.9-IV0", 21),
        ("4.3-IV0", 30),
        ("4.3", 30),
        ("4.4-IV0", 31),
        ("4.4", 33),
        ("3.7", 19),
    ] {
        assert_eq!(metadata_version(name).unwrap(), level, "{name}");
    }
    assert_eq!(release(33), Some(LATEST_RELEASE));
    assert_eq!(display(METADATA_VERSION, 99), "UNKNOWN 99");
    let error = metadata_version("5.0").unwrap_err().to_string();
    assert!(
        error.starts_with("Unknown metadata.version '5.0'."),
        "{error}"
    );
}

#[test]
fn mappings_and_dependencies_are_printed_as_kafka_does() {
    expect![[r#"
        metadata.version=33 (4.4-IV2)
        kraft.version=1
        transaction.version=2
        group.version=1
        eligible.leader.replicas.version=1
        share.version=2
        streams.version=1
    "#]]
    .assert_eq(&render_mapping(None).unwrap());
    let before = render_mapping(Some("4.3")).unwrap();
    assert!(
        before.starts_with("metadata.version=30 (4.3)") && before.contains("share.version=1"),
        "{before}"
    );
    let old = render_mapping(Some("3.9-IV0")).unwrap();
    assert!(
        old.ends_with("share.version=0\nstreams.version=0\n"),
        "{old}"
    );
    let features = [
        "transaction.version=2",
        "eligible.leader.replicas.version=1",
    ];
    expect![[r#"
        transaction.version=2 has no dependencies.
        eligible.leader.replicas.version=1 requires:
            metadata.version=23 (4.0-IV1)
    "#]]
    .assert_eq(&render_dependencies(features.into_iter()).unwrap());
    let error = render_dependencies(["x=1"].into_iter())
        .unwrap_err()
        .to_string();
    assert_eq!(error, "Unknown feature: x");
}
