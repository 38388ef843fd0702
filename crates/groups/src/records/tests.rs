//! Tests of encoding and decoding records, of records that Apache Kafka wrote, and of invalid
//! bytes.

use std::fmt::Write as _;

use expect_test::expect_file;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;

/// Records that Apache Kafka 4.3.1 wrote.
const GOLDEN: &str = include_str!("testdata/kafka-4.3.1.txt");

/// What Apache Kafka 4.3.1 wrote in transactions.
const GOLDEN_TRANSACTIONS: &str = include_str!("testdata/kafka-4.3.1-transactions.txt");

/// An entry of the log of a transaction.
pub(crate) enum InTransaction {
    /// A record, its key and value, of this producer id.
    Record(i64, Vec<u8>, Vec<u8>),
    /// The marker of the transaction of this producer id; whether it commits.
    Marker(i64, bool),
}

fn hex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

pub(crate) fn golden() -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    let lines = GOLDEN.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (key, value) = line.split_once(' ').unwrap();
            (hex(key), (value != "null").then(|| hex(value)))
        })
        .collect()
}

pub(crate) fn golden_transactions() -> Vec<InTransaction> {
    let lines = GOLDEN_TRANSACTIONS.lines();
    let lines = lines.filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            let producer = words[0].parse().unwrap();
            match words[1..] {
                [key, value] => InTransaction::Record(producer, hex(key), hex(value)),
                [end] => InTransaction::Marker(producer, end == "committed"),
                _ => panic!("{line:?}"),
            }
        })
        .collect()
}

#[test]
fn what_kafka_wrote_in_transactions_is_written_the_same_here() {
    let mut offsets = Vec::new();
    for entry in golden_transactions() {
        let InTransaction::Record(_, key, value) = entry else {
            continue;
        };
        let record = decode(&key, Some(&value)).unwrap().unwrap();
        let (key_again, value_again) = record.encode().unwrap();
        assert_eq!(key_again, key, "{record:?}");
        assert_eq!(value_again, Some(value.into()), "{record:?}");
        let Record::Offset(_, Some(value)) = record else {
            panic!("{record:?} is no offset");
        };
        offsets.push((value.offset.0, value.leader_epoch.map(|epoch| epoch.0)));
    }
    let of_java_and_librdkafka = [(5, None), (10, None), (15, None)];
    assert_eq!(offsets[..3], of_java_and_librdkafka);
    assert_eq!(offsets[3..5], [(5, Some(0)), (10, Some(0))]);
    assert_eq!(offsets[5..], of_java_and_librdkafka);
}

#[test]
fn what_kafka_wrote_is_understood() {
    let mut text = String::new();
    for (key, value) in golden() {
        let record = decode(&key, value.as_deref()).unwrap();
        writeln!(text, "{record:#?}").unwrap();
    }
    expect_file!["testdata/kafka-4.3.1.expected.txt"].assert_eq(&text);
}

#[test]
fn what_kafka_wrote_is_written_the_same_here() {
    for (key, value) in golden() {
        let record = decode(&key, value.as_deref()).unwrap().unwrap();
        let (key_again, value_again) = record.encode().unwrap();
        assert_eq!(key_again, key, "{record:?}");
        assert_eq!(value_again.as_deref(), value.as_deref(), "{record:?}");
    }
}

#[test]
fn offsets_of_all_versions_are_read() {
    let key = hex("00010001670001740000000f");
    let older = hex("00000001670001740000000f");
    let read = |key: &[u8], value: &str| {
        let value = value.replace(' ', "");
        let Some(Record::Offset(key, value)) = decode(key, Some(&hex(&value))).unwrap() else {
            panic!("an offset");
        };
        assert_eq!((key.group_id.as_str(), &*key.topic), ("g", "t"));
        assert_eq!(key.partition, PartitionIndex(15));
        let value = value.unwrap();
        assert_eq!((value.offset, &*value.metadata), (Offset(7), "m"));
        assert_eq!(value.commit_timestamp, Timestamp(9));
        (value.leader_epoch, value.expire_timestamp)
    };
    let common = "0000000000000007 00016d 0000000000000009";
    assert_eq!(read(&older, &format!("0000 {common}")), (None, None));
    assert_eq!(read(&key, &format!("0000 {common}")), (None, None));
    let expires = Some(Timestamp(11));
    let value = format!("0001 {common} 000000000000000b");
    assert_eq!(read(&key, &value), (None, expires));
    assert_eq!(read(&key, &format!("0002 {common}")), (None, None));
    let epoch = Some(LeaderEpoch(3));
    let value = "0003 0000000000000007 00000003 00016d 0000000000000009";
    assert_eq!(read(&key, value), (epoch, None));
    // The value has an unknown tagged field.
    let value = "0004 0000000000000007 00000003 026d 0000000000000009 01 05 02 abcd";
    assert_eq!(read(&key, value), (epoch, None));
}

#[test]
fn classic_groups_of_all_versions_are_read() {
    let key = hex("0002000167");
    let head = "000163 00000005 ffff ffff";
    let member = "00016d 000163 000168";
    let read = |value: &str| {
        let value = hex(&value.replace(' ', ""));
        let Some(Record::Classic(_, Some(group))) = decode(&key, Some(&value)).unwrap() else {
            panic!("a group");
        };
        assert_eq!((group.protocol_type.as_str(), group.generation), ("c", 5));
        let member = group.members[0].clone();
        assert_eq!(
            (&*member.subscription, &*member.assignment),
            (&b"s"[..], &b"a"[..])
        );
        let timeouts = (member.rebalance_timeout, member.session_timeout);
        (
            group.current_state_timestamp,
            member.group_instance_id,
            timeouts,
        )
    };
    let tail = "00000001 73 00000001 61";
    let value = format!("0000 {head} 00000001 {member} 00000008 {tail}");
    assert_eq!(read(&value), (None, None, (8, 8)));
    let value = format!("0001 {head} 00000001 {member} 00000009 00000008 {tail}");
    assert_eq!(read(&value), (None, None, (9, 8)));
    let value = format!("0002 {head} 000000000000000a 00000001 {member} 00000009 00000008 {tail}");
    assert_eq!(read(&value), (Some(Timestamp(10)), None, (9, 8)));
    let member = "00016d 000169 000163 000168";
    let value = format!("0003 {head} 000000000000000a 00000001 {member} 00000009 00000008 {tail}");
    let instance = Some(InstanceId::new("i"));
    assert_eq!(
        read(&value),
        (Some(Timestamp(10)), instance.clone(), (9, 8))
    );
    let value = "0004 0263 00000005 00 00 000000000000000a 02 026d 0269 0263 0268 00000009 \
                 00000008 \
                 0273 0261 00 00";
    assert_eq!(read(value), (Some(Timestamp(10)), instance, (9, 8)));
}

#[test]
fn types_of_the_future_are_left_alone_and_versions_of_the_future_are_refused() {
    // The key of a share group.
    assert_eq!(decode(&hex("000b000167"), Some(&hex("000000"))), Ok(None));
    assert_eq!(decode(&hex("7fff"), None), Ok(None));
    let key = hex("0002000167");
    let newer = RecordFormatError::Version {
        version: 5,
        last: 4,
    };
    assert_eq!(decode(&key, Some(&hex("0005"))), Err(newer));
    assert_eq!(decode(&[0], None), Err(RecordFormatError::Truncated));
    assert_eq!(decode(&key, Some(&[])), Err(RecordFormatError::Truncated));
}

#[test]
fn a_count_that_the_bytes_cannot_hold_is_refused_before_memory_is_taken() {
    let key = hex("00080001670001 6d".replace(' ', "").as_str());
    // A count of 2^31 - 2 topics.
    let value = hex("0000 00000001 00000001 00 ffffffff07"
        .replace(' ', "")
        .as_str());
    assert_eq!(
        decode(&key, Some(&value)),
        Err(RecordFormatError::Truncated)
    );
}

#[test]
fn an_id_that_is_too_long_for_a_key_is_refused() {
    let record = Record::Classic(GroupId::new(&"g".repeat(40_000)), None);
    let too_long = RecordFormatError::TooLong { length: 40_000 };
    assert_eq!(record.encode(), Err(too_long));
}

fn text() -> impl Strategy<Value = String> {
    "[a-zä]{0,4}"
}

fn member_id() -> impl Strategy<Value = MemberId> {
    text().prop_map(|text| MemberId::new(&text))
}

fn bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..200).prop_map(Bytes::from)
}

fn timestamp() -> impl Strategy<Value = Timestamp> {
    (1..i64::MAX).prop_map(Timestamp)
}

fn topic_id() -> impl Strategy<Value = TopicId> {
    (1..u128::MAX).prop_map(|id| TopicId::from_bytes(id.to_be_bytes()))
}

fn topics(epochs: bool) -> impl Strategy<Value = Vec<TopicPartitions>> {
    let partitions = vec(any::<i32>(), 0..5);
    let topic =
        (topic_id(), partitions, any::<bool>()).prop_map(move |(topic_id, indexes, with)| {
            TopicPartitions {
                topic_id,
                assignment_epochs: match epochs && with {
                    true => indexes.iter().map(|index| index.wrapping_add(1)).collect(),
                    false => Vec::new(),
                },
                partitions: indexes.into_iter().map(PartitionIndex).collect(),
            }
        });
    vec(topic, 0..4)
}

fn offset() -> impl Strategy<Value = OffsetValue> {
    let epoch = option::of((0..i32::MAX).prop_map(LeaderEpoch));
    let tail = (option::of(timestamp()), option::of(topic_id()));
    (any::<i64>(), epoch, text(), timestamp(), tail).prop_map(
        |(offset, leader_epoch, metadata, commit_timestamp, (expire_timestamp, topic_id))| {
            let expires = expire_timestamp.is_some();
            OffsetValue {
                offset: Offset(offset),
                metadata: Arc::from(metadata),
                commit_timestamp,
                expire_timestamp,
                // Version 1, which has an expiry, has neither of these fields.
                leader_epoch: leader_epoch.filter(|_| !expires),
                topic_id: topic_id.filter(|_| !expires),
            }
        },
    )
}

fn classic() -> impl Strategy<Value = ClassicGroupValue> {
    let timeouts = (0..i32::MAX, any::<i32>());
    let texts = (member_id(), option::of(text()), text(), text());
    let member = (texts, timeouts, bytes(), bytes()).prop_map(
        |((member_id, instance, client_id, client_host), timeouts, subscription, assignment)| {
            ClassicMemberValue {
                member_id,
                group_instance_id: instance.map(|id| InstanceId::new(&id)),
                client_id,
                client_host,
                rebalance_timeout: timeouts.0,
                session_timeout: timeouts.1,
                subscription,
                assignment,
            }
        },
    );
    let head = (
        text(),
        any::<i32>(),
        option::of(text()),
        option::of(member_id()),
    );
    (head, option::of(timestamp()), vec(member, 0..4)).prop_map(
        |((protocol_type, generation, protocol, leader), current_state_timestamp, members)| {
            ClassicGroupValue {
                protocol_type,
                generation,
                protocol,
                leader,
                current_state_timestamp,
                members,
            }
        },
    )
}

fn consumer_member() -> impl Strategy<Value = ConsumerMemberValue> {
    let classic = (any::<i32>(), vec((text(), bytes()), 0..3));
    let classic = classic.prop_map(
        |(session_timeout_ms, supported_protocols)| ClassicMetadata {
            session_timeout_ms,
            supported_protocols,
        },
    );
    let options = || option::of(text());
    (
        (options(), options(), options(), options()),
        (text(), text(), vec(text(), 0..4)),
        any::<i32>(),
        option::of(classic),
    )
        .prop_map(
            |(options, texts, rebalance_timeout_ms, classic)| ConsumerMemberValue {
                instance_id: options.0.map(|id| InstanceId::new(&id)),
                rack_id: options.1,
                client_id: texts.0,
                client_host: texts.1,
                subscribed_topic_names: texts.2,
                subscribed_topic_regex: options.2,
                rebalance_timeout_ms,
                server_assignor: options.3,
                classic,
            },
        )
}

fn consumer_current() -> impl Strategy<Value = ConsumerCurrentValue> {
    let numbers = (any::<i32>(), any::<i32>(), any::<i8>());
    (numbers, topics(true), topics(true)).prop_map(|(numbers, assigned, pending)| {
        ConsumerCurrentValue {
            member_epoch: numbers.0,
            previous_member_epoch: numbers.1,
            state: numbers.2,
            assigned_partitions: assigned,
            partitions_pending_revocation: pending,
        }
    })
}

fn record() -> impl Strategy<Value = Record> {
    let group = || text().prop_map(|text| GroupId::new(&text));
    let key = (group(), text(), any::<i32>()).prop_map(|(group_id, topic, partition)| OffsetKey {
        group_id,
        topic: Arc::from(topic),
        partition: PartitionIndex(partition),
    });
    let epoch =
        (any::<i32>(), any::<i64>()).prop_map(|(epoch, metadata_hash)| ConsumerGroupValue {
            epoch,
            metadata_hash,
        });
    let target = (any::<i32>(), option::of(timestamp()));
    let target = target.prop_map(
        |(assignment_epoch, assignment_timestamp)| ConsumerTargetValue {
            assignment_epoch,
            assignment_timestamp,
        },
    );
    let regex = (vec(text(), 0..4), any::<i64>(), any::<i64>());
    let regex = regex.prop_map(|(topics, version, timestamp)| ConsumerRegexValue {
        topics,
        version,
        timestamp: Timestamp(timestamp),
    });
    let id = member_id;
    prop_oneof![
        (key, option::of(offset())).prop_map(|(key, value)| Record::Offset(key, value)),
        (group(), option::of(classic())).prop_map(|(group, value)| Record::Classic(group, value)),
        (group(), option::of(epoch)).prop_map(|(group, value)| Record::ConsumerGroup(group, value)),
        (group(), option::of(Just(())))
            .prop_map(|(group, value)| Record::ConsumerPartitionMetadata(group, value)),
        (group(), id(), option::of(consumer_member()))
            .prop_map(|(group, id, value)| Record::ConsumerMember(group, id, value)),
        (group(), option::of(target))
            .prop_map(|(group, value)| Record::ConsumerTarget(group, value)),
        (group(), id(), option::of(topics(false)))
            .prop_map(|(group, id, value)| Record::ConsumerTargetMember(group, id, value)),
        (group(), id(), option::of(consumer_current()))
            .prop_map(|(group, id, value)| Record::ConsumerCurrent(group, id, value)),
        (group(), text(), option::of(regex))
            .prop_map(|(group, text, value)| Record::ConsumerRegex(group, text, value)),
    ]
}

proptest! {
    #[test]
    fn records_survive_the_way_there_and_back(record in record()) {
        let (key, value) = record.encode().unwrap();
        prop_assert_eq!(decode(&key, value.as_deref()), Ok(Some(record)));
    }

    #[test]
    fn records_that_are_cut_or_overwritten_are_refused_or_decode_to_a_sound_record(
        record in record(),
        cut in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let (key, value) = record.encode().unwrap();
        prop_assert!(decode(&key[..cut.index(key.len())], value.as_deref()).is_err());
        let Some(value) = value else { return Ok(()) };
        check_decoded(&key, &value[..cut.index(value.len())])?;
        let mut value = value.to_vec();
        let at = at.index(value.len());
        value[at] = byte;
        check_decoded(&key, &value)?;
    }

    #[test]
    fn bytes_are_refused_or_decode_to_a_sound_record_and_only_unknown_types_are_skipped(
        key_type in 0_i16..20,
        key in vec(any::<u8>(), 0..30),
        version in 0_i16..6,
        value in vec(any::<u8>(), 0..100),
    ) {
        let key = [&key_type.to_be_bytes()[..], &key].concat();
        let value = [&version.to_be_bytes()[..], &value].concat();
        check_decoded(&key, &value)?;
    }
}

/// The types of records that are decoded; others are skipped.
const KNOWN_TYPES: [i16; 9] = [0, 1, 2, 3, 4, 5, 6, 7, 8];

/// The type of regular expressions.
const REGEX_TYPE: i16 = 16;

/// Checks that bytes are an error, a record of unknown type, or a record that survives encoding and
/// decoding.
fn check_decoded(key: &[u8], value: &[u8]) -> Result<(), TestCaseError> {
    match decode(key, Some(value)) {
        Err(_) => {}
        Ok(None) => {
            let key_type = i16::from_be_bytes([key[0], key[1]]);
            let is_known = KNOWN_TYPES.contains(&key_type) || key_type == REGEX_TYPE;
            prop_assert!(!is_known, "type {} was skipped", key_type);
        }
        Ok(Some(record)) => {
            let (key, value) = record.encode().expect("a decoded record can be encoded");
            prop_assert_eq!(decode(&key, value.as_deref()), Ok(Some(record)));
        }
    }
    Ok(())
}
