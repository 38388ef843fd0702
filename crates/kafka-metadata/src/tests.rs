//! Tests of decoding what Apache Kafka encoded, of invalid bytes, and of the conversion.

use expect_test::{expect, expect_file};

use super::*;
use dohle_model::features;
use dohle_model::image::MetadataImage;
use dohle_model::record::{MetadataRecord, PartitionChange};
use dohle_model::{DirectoryId, NodeId, PartitionIndex, ProducerId, TopicId};

const GOLDEN: &str = include_str!("testdata/kafka-4.4.0.txt");

fn hex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// Returns the name, the version and the bytes of each record.
fn golden() -> impl Iterator<Item = (&'static str, &'static str, Vec<u8>)> {
    let lines = GOLDEN.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        (words[0], words[1], hex(words[2]))
    })
}

fn is_control(name: &str) -> bool {
    matches!(name, "voters" | "kraft_version")
}

fn decode(name: &str, bytes: &[u8]) -> Result<String, DecodeError> {
    let kind = match name {
        "voters" => 6i16,
        "kraft_version" => 5,
        _ => return KafkaRecord::decode(bytes).map(|record| format!("{record:?}")),
    };
    let key = [0i16.to_be_bytes(), kind.to_be_bytes()].concat();
    ControlRecord::decode(&key, bytes).map(|record| format!("{record:?}"))
}

/// The records with this name, in the order of the file.
fn records(name: &str) -> Vec<KafkaRecord> {
    let found = golden().filter(|(known, ..)| *known == name);
    found
        .map(|(.., bytes)| KafkaRecord::decode(&bytes).unwrap())
        .collect()
}

fn one(name: &str) -> KafkaRecord {
    records(name).remove(0)
}

#[test]
fn each_field_of_each_record_is_read() {
    let decoded = golden().map(|(name, version, bytes)| {
        let record = decode(name, &bytes).unwrap();
        format!("{name} {version}: {record}\n")
    });
    expect_file!["testdata/kafka-4.4.0-decoded.txt"].assert_eq(&decoded.collect::<String>());
}

#[test]
fn bytes_that_end_early_or_late_are_refused() {
    for (name, version, bytes) in golden() {
        for len in 0..bytes.len() {
            // The fields after the voters' version are not needed, and not read.
            let ends = decode(name, &bytes[..len]);
            let needed = !(is_control(name) && len + 1 == bytes.len());
            let ignored = matches!(
                name,
                "no_op" | "register_controller" | "unregister_controller"
            );
            let enough = ignored && len >= 3;
            assert_eq!(
                ends.is_err(),
                needed && !enough,
                "{name} {version}, {len} bytes"
            );
        }
        let longer = [&bytes[..], &[0]].concat();
        let read_to_the_end = KafkaRecord::decode(&bytes)
            .is_ok_and(|record| record != KafkaRecord::NoOp && !is_control(name));
        assert_eq!(decode(name, &longer).is_err(), read_to_the_end, "{name}");
    }
}

#[test]
fn damaged_bytes_never_cause_a_panic() {
    for (name, _, bytes) in golden() {
        for at in 0..bytes.len() {
            for value in [0, 1, 2, 0x7f, 0x80, 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] = value;
                drop(decode(name, &damaged));
            }
        }
    }
}

#[test]
fn records_of_newer_releases_are_named() {
    let error = |bytes: &[u8]| KafkaRecord::decode(bytes).unwrap_err().to_string();
    expect!["its frame has version 2, and only version 1 is known"].assert_eq(&error(&[2, 0, 0]));
    expect!["it has type 99 in version 3, which Apache Kafka 4.4 does not have"]
        .assert_eq(&error(&[1, 99, 3]));
    expect!["it has type 5 in version 3, which Apache Kafka 4.4 does not have"]
        .assert_eq(&error(&[1, 5, 3]));
    let control = ControlRecord::decode(&[0, 0, 0, 7], &[0, 0]);
    assert!(matches!(control, Err(DecodeError::Unknown { kind: 7, .. })));
}

fn convert(records: impl IntoIterator<Item = KafkaRecord>) -> (Conversion, Vec<MetadataRecord>) {
    let (mut conversion, mut converted) = (Conversion::default(), Vec::new());
    for record in records {
        conversion.replay(record, &mut converted).unwrap();
    }
    (conversion, converted)
}

/// Replays converted records as Dohle does.
fn replayed(records: &[MetadataRecord]) -> MetadataImage {
    let mut image = MetadataImage::default();
    for record in records {
        image.replay(record, &mut Default::default()).unwrap();
    }
    image
}

#[test]
fn a_cluster_is_converted_record_by_record() {
    let begin = [
        "feature",
        "register_broker",
        "topic",
        "partition",
        "config",
        "acl",
        "scram",
        "quota",
        "producer_ids",
        "delegation_token",
    ];
    let (conversion, converted) =
        convert(begin.map(|name| records(name).pop().unwrap_or_else(|| one(name))));
    let image = conversion.image();
    assert_eq!(*image, replayed(&converted));
    assert_eq!(image.topics.len(), 1);
    assert_eq!(image.brokers[&NodeId(1)].epoch.0, 42);
    assert_eq!(image.acls.len(), 1);
    assert_eq!(image.scram_credentials.len(), 1);
    assert_eq!(image.next_producer_id, ProducerId(3000));
    assert_eq!(image.delegation_tokens.len(), 1);
    assert_eq!(conversion.without_meaning(), Vec::<String>::new());

    let end = [
        "remove_topic",
        "unregister_broker",
        "remove_acl",
        "remove_scram",
        "remove_token",
    ];
    let all = begin
        .iter()
        .map(|name| records(name).pop().unwrap())
        .chain(end.iter().map(|name| one(name)));
    let (conversion, converted) = convert(all);
    let image = conversion.image();
    assert_eq!(*image, replayed(&converted));
    assert!(image.topics.is_empty() && image.brokers.is_empty() && image.acls.is_empty());
    assert!(image.scram_credentials.is_empty() && image.delegation_tokens.is_empty());
}

#[test]
fn the_image_does_not_depend_on_where_a_snapshot_begins() {
    let log: Vec<KafkaRecord> = [
        "feature",
        "topic",
        "partition",
        "partition_change",
        "clear_elr",
    ]
    .iter()
    .map(|name| records(name).pop().unwrap())
    .collect();
    let (whole, _) = convert(log.clone());
    for at in 0..log.len() {
        let (first, _) = convert(log[..at].to_vec());
        let mut image = first.image().clone();
        let mut rest = Conversion::from_image(image.clone());
        let mut converted = Vec::new();
        for record in &log[at..] {
            rest.replay(record.clone(), &mut converted).unwrap();
        }
        for record in &converted {
            image.replay(record, &mut Default::default()).unwrap();
        }
        assert_eq!(image, *whole.image(), "from {at} on");
    }
}

#[test]
fn a_transaction_takes_effect_at_its_end_or_not_at_all() {
    let topic = one("topic");
    let mut conversion = Conversion::default();
    let mut replay = |record: KafkaRecord| {
        let mut converted = Vec::new();
        conversion.replay(record, &mut converted).unwrap();
        (converted.len(), conversion.image().topics.len())
    };
    assert_eq!(replay(one("begin")), (0, 0));
    assert_eq!(replay(topic.clone()), (0, 0));
    assert_eq!(replay(one("abort")), (0, 0));
    assert_eq!(replay(one("begin")), (0, 0));
    assert_eq!(replay(topic), (0, 0));
    assert_eq!(replay(one("end")), (1, 1));
    assert!(!conversion.is_within_transaction());
    let again = conversion.replay(one("end"), &mut Vec::new());
    assert_eq!(again, Err(ConversionError::Transaction));
}

#[test]
fn cleared_eligible_leaders_raise_the_partition_epoch_once() {
    let partition = || records("partition").pop().unwrap();
    let (conversion, _) = convert([
        one("topic"),
        partition(),
        one("clear_elr"),
        one("clear_elr"),
    ]);
    let topic = conversion.image().topic("orders").unwrap();
    let registration = &topic.partitions[&PartitionIndex(3)];
    assert!(registration.elr.is_empty() && registration.last_known_elr.is_empty());
    assert_eq!(registration.partition_epoch.0, 10);
}

#[test]
fn replicas_that_change_without_directories_keep_those_they_had() {
    let partition = || records("partition").pop().unwrap();
    let (conversion, _) = convert([one("topic"), partition()]);
    let topic = conversion.image().topic("orders").unwrap();
    let before = topic.partitions[&PartitionIndex(3)].clone();
    let change = KafkaRecord::Metadata(MetadataRecord::PartitionChange {
        topic_id: topic.id,
        partition: PartitionIndex(3),
        change: PartitionChange {
            replicas: Some(vec![NodeId(4), NodeId(1)]),
            ..PartitionChange::default()
        },
    });
    let (conversion, _) = convert([one("topic"), partition(), change]);
    let topic = conversion.image().topic("orders").unwrap();
    let expected = [
        DirectoryId::UNASSIGNED,
        before.directory(NodeId(1)).unwrap(),
    ];
    assert_eq!(topic.partitions[&PartitionIndex(3)].directories, expected);
}

fn level(name: &str, level: i16) -> KafkaRecord {
    let name = name.to_owned();
    KafkaRecord::FeatureLevel { name, level }
}

#[test]
fn features_have_levels_that_dohle_has() {
    let (conversion, converted) = convert([
        level("metadata.version", 99),
        level("share.version", 1),
        level("of.tomorrow", 3),
        level("group.version", 1),
        level("of.yesterday", 1),
        level("of.yesterday", 0),
    ]);
    let image = conversion.image();
    assert_eq!(*image, replayed(&converted));
    let (_, newest) = features::supported_range("metadata.version");
    assert_eq!(image.feature_level("metadata.version"), newest);
    assert_eq!(image.feature_level("group.version"), 1);
    let list = conversion.without_meaning().join("\n");
    assert!(list.contains("feature of.tomorrow at level 3: Dohle does not have it yet"));
    assert!(list.contains("feature metadata.version at level 99: becomes"));
    assert!(!list.contains("of.yesterday") && !list.contains("group.version"));
}

#[test]
fn what_has_no_counterpart_is_listed() {
    let unknown = KafkaRecord::UnknownAcl {
        id: TopicId::from_bytes([7; 16]).0,
        text: "an ACL".to_owned(),
    };
    let other = KafkaRecord::WithoutCounterpart("a quota".to_owned());
    let (conversion, _) = convert([unknown.clone(), other.clone()]);
    assert_eq!(conversion.without_meaning(), ["an ACL", "a quota"]);
    let removed = MetadataRecord::RemoveAccessControlEntry {
        id: TopicId::from_bytes([7; 16]).0,
    };
    let (conversion, _) = convert([unknown, other, KafkaRecord::Metadata(removed)]);
    assert_eq!(conversion.without_meaning(), ["a quota"]);
}

#[test]
fn records_that_contradict_those_before_are_refused() {
    let mut conversion = Conversion::default();
    let error = conversion.replay(one("remove_topic"), &mut Vec::new());
    assert!(
        matches!(error, Err(ConversionError::Replay(_))),
        "{error:?}"
    );
    let migration = one("zk_migration_state");
    let error = conversion.replay(migration, &mut Vec::new());
    assert_eq!(error, Err(ConversionError::ZooKeeper));
    let over = KafkaRecord::ZkMigrationState(3);
    assert_eq!(conversion.replay(over, &mut Vec::new()), Ok(()));
}

#[test]
fn both_versions_of_quorum_state_are_read() {
    // As Apache Kafka 4.3.1 writes them.
    let zero = QuorumState::parse(
        r#"{"clusterId":"","leaderId":2,"leaderEpoch":7,"votedId":-1,"appliedOffset":0,
            "currentVoters":[{"voterId":1},{"voterId":2}],"data_version":0}"#,
    );
    let expected = QuorumState {
        epoch: 7,
        leader: Some(NodeId(2)),
        voted_for: None,
        voters: Some([NodeId(1), NodeId(2)].into()),
    };
    assert_eq!(zero, Ok(expected));
    let one = QuorumState::parse(
        r#"{"leaderId":-1,"leaderEpoch":3,"votedId":1,
            "votedDirectoryId":"AAAAAAAAAAAAAAAAAAAAAA","data_version":1}"#,
    );
    let expected = QuorumState {
        epoch: 3,
        leader: None,
        voted_for: Some(NodeId(1)),
        voters: None,
    };
    assert_eq!(one, Ok(expected));
    for text in ["", "{}", r#"{"leaderEpoch":1,"data_version":2}"#] {
        assert!(QuorumState::parse(text).is_err(), "{text}");
    }
}
