//! Tests of requests that are refused, and of the messages.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use dohle_model::image::MetadataImage;
use dohle_model::record::ConfigResource;
use dohle_model::{BrokerEpoch, NodeId, ProducerId};
use dohle_protocol::messages::alter_configs_request::{
    AlterConfigsRequestData, AlterConfigsResource, AlterableConfig,
};
use dohle_protocol::messages::alter_partition_reassignments_request::{
    AlterPartitionReassignmentsRequestData, ReassignablePartition, ReassignableTopic,
};
use dohle_protocol::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsRequestData, CreatePartitionsTopic,
};
use dohle_protocol::messages::create_topics_request::{CreatableTopic, CreateTopicsRequestData};
use dohle_protocol::messages::delete_topics_request::{DeleteTopicState, DeleteTopicsRequestData};
use dohle_protocol::uuid;
use expect_test::expect;

use super::{Harness, alter_configs, check, kafka_string, settings, shown, topic_id, topic_uuid};
use crate::plan::{
    ConfigSchema, configs, create_partitions, create_topics, delete_topics, producer_ids,
    reassignments,
};

#[test]
fn alter_partition_refuses_what_a_leader_may_not_propose() {
    check(
        "brokers 1 2 3
         topic foo 1,2,3
         isr foo-0 by 1 = 1,2 epochs 1 0
         isr foo-0 by 1 = 1,2 epochs 0 1
         isr foo-0 by 1 = 1,2 epochs -1 0
         isr foo-0 by 1 = 1,2 epochs 0 -1
         isr foo-0 by 2 = 1,2
         isr foo-0 by 1 = 2,3
         isr foo-0 by 1 = 1,1
         isr foo-0 by 1 = 1,7
         isr foo-0 by 7 = 7
         isr bar-0 by 1 = 1
         isr foo-9 by 1 = 1
         isr foo-0 by 1 = 1
         fence 2
         isr foo-0 by 1 = 1,2
         shutdown 3
         isr foo-0 by 1 = 1,3",
        expect![[r#"
            > brokers 1 2 3
              broker 1 epoch 0
              broker 1 unfenced
              broker 2 epoch 1
              broker 2 unfenced
              broker 3 epoch 2
              broker 3 unfenced
            > topic foo 1,2,3
              topic foo
              foo-0 replicas 1,2,3 isr [1,2,3] leader 1 epochs 0/0
            > isr foo-0 by 1 = 1,2 epochs 1 0
              NOT_CONTROLLER
            > isr foo-0 by 1 = 1,2 epochs 0 1
              NOT_CONTROLLER
            > isr foo-0 by 1 = 1,2 epochs -1 0
              FENCED_LEADER_EPOCH
            > isr foo-0 by 1 = 1,2 epochs 0 -1
              INVALID_UPDATE_VERSION
            > isr foo-0 by 2 = 1,2
              INVALID_REQUEST
            > isr foo-0 by 1 = 2,3
              INVALID_REQUEST
            > isr foo-0 by 1 = 1,1
              INVALID_REQUEST
            > isr foo-0 by 1 = 1,7
              INVALID_REQUEST
            > isr foo-0 by 7 = 7
              BROKER_ID_NOT_REGISTERED: broker 7 is not registered
            > isr bar-0 by 1 = 1
              UNKNOWN_TOPIC_ID
            > isr foo-9 by 1 = 1
              UNKNOWN_TOPIC_OR_PARTITION
            > isr foo-0 by 1 = 1
              foo-0 replicas 1,2,3 isr [1] leader 1 epochs 0/1
            > fence 2
              broker 2 fenced
            > isr foo-0 by 1 = 1,2
              INELIGIBLE_REPLICA
              foo-0 replicas 1,2,3 isr [1] leader 1 epochs 0/2
            > shutdown 3
              broker 3 shutting down
            > isr foo-0 by 1 = 1,3
              INELIGIBLE_REPLICA
              foo-0 replicas 1,2,3 isr [1] leader 1 epochs 0/3
        "#]],
    );
}

#[test]
fn nothing_is_created_while_the_metadata_log_has_little_space_and_all_else_goes_on() {
    let mut world = Harness::new(true);
    world.run("brokers 1 2");
    world.run("topic foo 1,2");
    world.draft.shortage = Some(Arc::from("3 bytes are free"));
    let refused = world.run("topic bar 1,2");
    assert_eq!(refused.trim(), "KAFKA_STORAGE_ERROR: 3 bytes are free");
    let request = CreatePartitionsRequestData {
        topics: vec![CreatePartitionsTopic {
            name: kafka_string("foo"),
            count: 2,
            ..CreatePartitionsTopic::default()
        }],
        ..CreatePartitionsRequestData::default()
    };
    let refused = create_partitions::create(&mut world.draft, &request);
    let refused = &refused.results[0];
    let refused = shown(refused.error_code, refused.error_message.as_ref());
    assert_eq!(refused, "KAFKA_STORAGE_ERROR: 3 bytes are free");
    let before = world.draft.records.len();
    assert!(world.run("fence 2").contains("broker 2 fenced"));
    let request = DeleteTopicsRequestData {
        topics: vec![DeleteTopicState {
            name: Some(kafka_string("foo")),
            ..DeleteTopicState::default()
        }],
        ..DeleteTopicsRequestData::default()
    };
    let deleted = delete_topics::delete(&mut world.draft, &request);
    assert_eq!(deleted.responses[0].error_code, 0);
    assert!(world.draft.image.topic("foo").is_none());
    assert!(world.draft.records.len() > before + 1);
    world.draft.shortage = None;
    assert!(world.run("topic bar 1,2").contains("topic bar"));
}

#[test]
fn a_replica_joins_the_isr_only_under_the_registration_that_its_leader_saw() {
    check(
        "brokers 1 2
         topic foo 1,2
         isr foo-0 by 1 = 1
         isr foo-0 by 1 = 1,2@0
         isr foo-0 by 1 = 1,2@2
         isr foo-0 by 1 = 1@7,2@1
         isr foo-0 by 1 = 1@0,2@1",
        expect![[r#"
            > brokers 1 2
              broker 1 epoch 0
              broker 1 unfenced
              broker 2 epoch 1
              broker 2 unfenced
            > topic foo 1,2
              topic foo
              foo-0 replicas 1,2 isr [1,2] leader 1 epochs 0/0
            > isr foo-0 by 1 = 1
              foo-0 replicas 1,2 isr [1] leader 1 epochs 0/1
            > isr foo-0 by 1 = 1,2@0
              INELIGIBLE_REPLICA
              foo-0 replicas 1,2 isr [1] leader 1 epochs 0/2
            > isr foo-0 by 1 = 1,2@2
              INELIGIBLE_REPLICA
              foo-0 replicas 1,2 isr [1] leader 1 epochs 0/3
            > isr foo-0 by 1 = 1@7,2@1
              INELIGIBLE_REPLICA
              foo-0 replicas 1,2 isr [1] leader 1 epochs 0/4
            > isr foo-0 by 1 = 1@0,2@1
              foo-0 replicas 1,2 isr [1,2] leader 1 epochs 0/5
        "#]],
    );
}

#[test]
fn topics_are_created_with_assignments_or_placed() {
    check(
        "topic early
         brokers 1 2 3
         topic placed
         topic placed
         topic a.b 1
         topic a_b 1
         topic bad/name 1
         topic none 1,1
         topic none 9
         topic none 1 1,2
         fence 3
         topic partly 3,1
         topic none 3",
        expect![[r#"
            > topic early
              INVALID_REPLICATION_FACTOR: Unable to replicate the partition 3 time(s): a replication factor of 3 needs as many brokers, but 0 are registered (0 of them running).
            > brokers 1 2 3
              broker 1 epoch 0
              broker 1 unfenced
              broker 2 epoch 1
              broker 2 unfenced
              broker 3 epoch 2
              broker 3 unfenced
            > topic placed
              topic placed
              placed-0 replicas 2,3,1 isr [2,3,1] leader 2 epochs 0/0
              placed-1 replicas 3,1,2 isr [3,1,2] leader 3 epochs 0/0
            > topic placed
              TOPIC_ALREADY_EXISTS: Topic 'placed' already exists.
            > topic a.b 1
              topic a.b
              a.b-0 replicas 1 isr [1] leader 1 epochs 0/0
            > topic a_b 1
              INVALID_TOPIC_EXCEPTION: Topic 'a_b' collides with existing topic: a.b ('.' and '_' are one character in the names of metrics)
            > topic bad/name 1
              INVALID_TOPIC_EXCEPTION: topic name "bad/name" has the character '/'; only ASCII letters, digits, '.', '_' and '-' are allowed
            > topic none 1,1
              INVALID_REPLICA_ASSIGNMENT: The manual partition assignment includes the broker 1 more than once.
            > topic none 9
              INVALID_REPLICA_ASSIGNMENT: The manual partition assignment includes broker 9, but no such broker is registered; registered are [1, 2, 3].
            > topic none 1 1,2
              INVALID_REPLICA_ASSIGNMENT: The manual partition assignment includes a partition with 2 replica(s), but this is not consistent with previous partitions, which have 1 replica(s).
            > fence 3
              placed-0 replicas 2,3,1 isr [2,1] leader 2 epochs 0/1
              placed-1 replicas 3,1,2 isr [1,2] leader 1 epochs 1/1
              broker 3 fenced
            > topic partly 3,1
              topic partly
              partly-0 replicas 3,1 isr [1] leader 1 epochs 0/0
            > topic none 3
              INVALID_REPLICA_ASSIGNMENT: All brokers specified in the manual partition assignment for partition 0 are fenced or in controlled shutdown.
        "#]],
    );
}

fn creatable(name: &str, partitions: i32, replication_factor: i16) -> CreatableTopic {
    CreatableTopic {
        name: kafka_string(name),
        num_partitions: partitions,
        replication_factor,
        ..CreatableTopic::default()
    }
}

fn world() -> Harness {
    let mut world = Harness::new(true);
    world.run("brokers 1 2");
    world
}

fn create(world: &mut Harness, topic: CreatableTopic, validate_only: bool) -> String {
    create_by(world, 77, topic, validate_only)
}

/// Creates a topic with the request of this number, from which the topic's id derives.
fn create_by(
    world: &mut Harness,
    number: u8,
    topic: CreatableTopic,
    validate_only: bool,
) -> String {
    let request = CreateTopicsRequestData {
        topics: vec![topic],
        validate_only,
        ..CreateTopicsRequestData::default()
    };
    let response = create_topics::create(&mut world.draft, &request, topic_uuid(number));
    let result = &response.topics[0];
    let outcome = shown(result.error_code, result.error_message.as_ref());
    format!(
        "{} partitions, {} replicas {outcome}\n",
        result.num_partitions, result.replication_factor
    )
}

#[test]
fn numbers_that_cannot_be_are_refused_in_words() {
    let mut world = world();
    let mut output = String::new();
    for (partitions, replication_factor) in
        [(0, 1), (-2, 1), (1, 0), (1, 3), (1, -1), (i32::MAX, 1)]
    {
        let topic = creatable("foo", partitions, replication_factor);
        output += &create(&mut world, topic, false);
    }
    expect![[r#"
        -1 partitions, -1 replicas INVALID_PARTITIONS: Number of partitions was set to an invalid non-positive value. Use 1 or more, or -1 for the default.
        -1 partitions, -1 replicas INVALID_PARTITIONS: Number of partitions was set to an invalid non-positive value. Use 1 or more, or -1 for the default.
        -1 partitions, -1 replicas INVALID_REPLICATION_FACTOR: Replication factor must be larger than 0, or -1 to use the default value.
        -1 partitions, -1 replicas INVALID_REPLICATION_FACTOR: Unable to replicate the partition 3 time(s): a replication factor of 3 needs as many brokers, but 2 are registered (2 of them running).
        -1 partitions, -1 replicas INVALID_REPLICATION_FACTOR: Unable to replicate the partition 3 time(s): a replication factor of 3 needs as many brokers, but 2 are registered (2 of them running).
        -1 partitions, -1 replicas POLICY_VIOLATION: 2147483647 partitions are more than one request may create (10000 in all): use several requests
    "#]].assert_eq(&output);
}

#[test]
fn partitions_are_refused_when_any_broker_that_would_get_one_has_no_room() {
    let mut world = world();
    world.draft.open_files_max = [(NodeId(1), 1_000), (NodeId(2), 20)].into();
    let mut output = create(&mut world, creatable("foo", 8, 2), false);
    output += &create_by(&mut world, 78, creatable("bar", 3, 2), false);
    output += &create_by(&mut world, 78, creatable("bar", 2, 2), false);
    let topic = CreatePartitionsTopic {
        name: kafka_string("foo"),
        count: 9,
        assignments: None,
        ..CreatePartitionsTopic::default()
    };
    let more = CreatePartitionsRequestData {
        topics: vec![topic],
        ..CreatePartitionsRequestData::default()
    };
    let response = create_partitions::create(&mut world.draft, &more);
    let refused = &response.results[0];
    output += &shown(refused.error_code, refused.error_message.as_ref());
    output.push('\n');
    // One broker has another limit, and one reported none.
    world.draft.open_files_max.remove(&NodeId(2));
    let response = create_partitions::create(&mut world.draft, &more);
    let added = &response.results[0];
    output += &shown(added.error_code, added.error_message.as_ref());
    expect![[r#"
        8 partitions, 2 replicas 
        -1 partitions, -1 replicas POLICY_VIOLATION: broker 2 has no room for 3 more partitions: it hosts 8, and may host 10 with its limit of 20 open files; raise the limit (ulimit -n), or spread the partitions over more brokers
        2 partitions, 2 replicas 
        POLICY_VIOLATION: broker 2 has no room for 1 more partitions: it hosts 10, and may host 10 with its limit of 20 open files; raise the limit (ulimit -n), or spread the partitions over more brokers
    "#]].assert_eq(&output);
}

#[test]
fn reassignments_are_refused_when_a_broker_that_would_get_a_replica_has_no_room() {
    let mut world = Harness::new(true);
    world.run("brokers 1 2 3");
    for name in ["a", "b", "c", "d"] {
        world.run(&format!("topic {name} 1"));
    }
    world.draft.open_files_max = [(NodeId(1), 1_000), (NodeId(2), 4)].into();
    let mut output = String::new();
    let mut reassign = |world: &mut Harness, wanted: &[(&str, Option<&[i32]>)]| {
        let topic = |(name, replicas): &(&str, Option<&[i32]>)| ReassignableTopic {
            name: kafka_string(name),
            partitions: vec![ReassignablePartition {
                partition_index: 0,
                replicas: replicas.map(<[i32]>::to_vec),
                ..ReassignablePartition::default()
            }],
            ..ReassignableTopic::default()
        };
        let request = AlterPartitionReassignmentsRequestData {
            topics: wanted.iter().map(topic).collect(),
            allow_replication_factor_change: true,
            ..AlterPartitionReassignmentsRequestData::default()
        };
        let response = reassignments::alter(&mut world.draft, &request);
        for topic in response.responses {
            let partition = &topic.partitions[0];
            let outcome = shown(partition.error_code, partition.error_message.as_ref());
            output += &format!("{}: {outcome}\n", topic.name);
        }
    };
    let to_2: Option<&[i32]> = Some(&[2]);
    let all = ["a", "b", "c", "d"].map(|name| (name, to_2));
    reassign(&mut world, &all);
    // An existing replica needs no more room, and one that is removed makes room.
    reassign(
        &mut world,
        &[("a", Some(&[2, 1])), ("b", None), ("c", to_2)],
    );
    // A broker without a reported limit has room.
    reassign(&mut world, &[("d", Some(&[3]))]);
    expect![[r#"
        a: 
        b: 
        c: POLICY_VIOLATION: broker 2 has no room for 1 more partitions: it hosts 2, and may host 2 with its limit of 4 open files; raise the limit (ulimit -n), or spread the partitions over more brokers
        d: POLICY_VIOLATION: broker 2 has no room for 1 more partitions: it hosts 2, and may host 2 with its limit of 4 open files; raise the limit (ulimit -n), or spread the partitions over more brokers
        a: 
        b: 
        c: 
        d: 
    "#]].assert_eq(&output);
}

#[test]
fn validation_changes_nothing() {
    let mut world = world();
    let records = world.draft.records.len();
    let output = create(&mut world, creatable("foo", 5, 2), true);
    expect![[r#"
        5 partitions, 2 replicas 
    "#]]
    .assert_eq(&output);
    assert_eq!(world.draft.records.len(), records);
    assert!(world.draft.image.topic("foo").is_none());
}

#[test]
fn a_repeated_creation_with_the_same_id_succeeds() {
    let mut world = world();
    create(&mut world, creatable("foo", 5, 2), false);
    let records = world.draft.records.len();
    let again = create(&mut world, creatable("foo", 5, 2), false);
    expect![[r#"
        5 partitions, 2 replicas 
    "#]]
    .assert_eq(&again);
    assert_eq!(world.draft.records.len(), records);
    expect![[r#"
        -1 partitions, -1 replicas TOPIC_ALREADY_EXISTS: Topic 'foo' already exists.
    "#]]
    .assert_eq(&create_by(&mut world, 78, creatable("foo", 5, 2), false));
}

#[test]
fn topics_of_one_request_have_different_ids_that_every_attempt_derives() {
    let mut world = world();
    let names: Vec<String> = (0..40).map(|number| format!("topic-{number}")).collect();
    let topics = names.iter().map(|name| creatable(name, 1, 1));
    let request = CreateTopicsRequestData {
        topics: topics.collect(),
        ..CreateTopicsRequestData::default()
    };
    let first = create_topics::create(&mut world.draft, &request, topic_uuid(77));
    assert!(first.topics.iter().all(|topic| topic.error_code == 0));
    let ids: HashSet<_> = first.topics.iter().map(|topic| topic.topic_id).collect();
    assert_eq!(ids.len(), 40);
    // A response may have been lost, so the next attempt gets the same response.
    let records = world.draft.records.len();
    let second = create_topics::create(&mut world.draft, &request, topic_uuid(77));
    assert_eq!(first, second);
    assert_eq!(world.draft.records.len(), records);
}

#[test]
fn the_metadata_log_and_a_topic_that_is_named_twice_are_not_created() {
    let mut world = world();
    let names = ["foo", "bar", "foo", "__cluster_metadata"];
    let request = CreateTopicsRequestData {
        topics: names.map(|name| creatable(name, 1, 1)).to_vec(),
        ..CreateTopicsRequestData::default()
    };
    let response = create_topics::create(&mut world.draft, &request, topic_uuid(77));
    let mut output = String::new();
    for result in response.topics {
        let outcome = shown(result.error_code, result.error_message.as_ref());
        output += &format!("{} {outcome}\n", result.name);
    }
    expect![[r#"
        foo INVALID_REQUEST: topic "foo" is named more than once in the request
        bar 
        __cluster_metadata INVALID_REQUEST: __cluster_metadata is the quorum's own log, not a topic to be created
    "#]]
    .assert_eq(&output);
}

#[test]
fn partitions_are_added_to_what_is_there() {
    let mut world = world();
    create(&mut world, creatable("foo", 2, 2), false);
    let mut output = String::new();
    for (count, assignment) in [
        (1, None),
        (2, None),
        (3, Some("1")),
        (3, Some("2,1")),
        (5, Some("2,1")),
        (5, None),
    ] {
        let assignment = assignment.map(|replicas| CreatePartitionsAssignment {
            broker_ids: super::ids(replicas),
            ..CreatePartitionsAssignment::default()
        });
        let topic = CreatePartitionsTopic {
            name: kafka_string("foo"),
            count,
            assignments: assignment.map(|assignment| vec![assignment]),
            ..CreatePartitionsTopic::default()
        };
        let request = CreatePartitionsRequestData {
            topics: vec![topic],
            ..CreatePartitionsRequestData::default()
        };
        let response = create_partitions::create(&mut world.draft, &request);
        let result = &response.results[0];
        let partitions = world.draft.image.topic("foo").unwrap().partitions.len();
        let outcome = shown(result.error_code, result.error_message.as_ref());
        output += &format!("{partitions} {outcome}\n");
    }
    expect![[r#"
        2 INVALID_PARTITIONS: The topic foo currently has 2 partition(s); 1 would not be an increase.
        2 INVALID_PARTITIONS: Topic already has 2 partition(s).
        2 INVALID_REPLICA_ASSIGNMENT: The manual partition assignment includes a partition with 1 replica(s), but this is not consistent with previous partitions, which have 2 replica(s).
        3 
        3 INVALID_REPLICA_ASSIGNMENT: Attempted to add 2 additional partition(s), but only 1 assignment(s) were specified.
        5 
    "#]].assert_eq(&output);
}

#[test]
fn a_topic_that_is_named_twice_gets_no_partitions_and_one_answer() {
    let mut world = world();
    create(&mut world, creatable("foo", 2, 2), false);
    create_by(&mut world, 79, creatable("bar", 2, 2), false);
    let topic = |name: &str, count| CreatePartitionsTopic {
        name: kafka_string(name),
        count,
        assignments: None,
        ..CreatePartitionsTopic::default()
    };
    let request = CreatePartitionsRequestData {
        topics: vec![topic("foo", 3), topic("bar", 3), topic("foo", 4)],
        ..CreatePartitionsRequestData::default()
    };
    let response = create_partitions::create(&mut world.draft, &request);
    let mut output = String::new();
    for result in response.results {
        let partitions = world
            .draft
            .image
            .topic(result.name.as_str())
            .unwrap()
            .partitions
            .len();
        let outcome = shown(result.error_code, result.error_message.as_ref());
        output += &format!("{} {partitions} {outcome}\n", result.name);
    }
    expect![[r#"
        foo 2 INVALID_REQUEST: the topic is named more than once
        bar 3 
    "#]]
    .assert_eq(&output);
}

#[test]
fn topics_are_deleted_by_name_or_id() {
    let mut world = world();
    create(&mut world, creatable("foo", 2, 2), false);
    let mut output = String::new();
    for (name, id) in [
        ("bar", Bytes::new()),
        ("", topic_id(3)),
        ("", topic_id(77)),
        ("foo", Bytes::new()),
    ] {
        let id = <[u8; 16]>::try_from(&id[..]).unwrap_or_default();
        let topic = DeleteTopicState {
            name: (!name.is_empty()).then(|| kafka_string(name)),
            topic_id: uuid(id),
            ..DeleteTopicState::default()
        };
        let request = DeleteTopicsRequestData {
            topics: vec![topic],
            ..DeleteTopicsRequestData::default()
        };
        let result = delete_topics::delete(&mut world.draft, &request)
            .responses
            .remove(0);
        let outcome = shown(result.error_code, result.error_message.as_ref());
        output += &format!("{} {outcome}\n", result.name.unwrap_or_default());
    }
    expect![[r#"
        bar UNKNOWN_TOPIC_OR_PARTITION: there is no topic bar
         UNKNOWN_TOPIC_ID: there is no topic with the id MgAAAAAAAAAAAAAAAAAAAw
        foo 
        foo UNKNOWN_TOPIC_OR_PARTITION: there is no topic foo
    "#]]
    .assert_eq(&output);
    assert!(world.draft.indexes.leaderless.is_empty());
    assert!(world.draft.image.replicas_of.is_empty());
}

/// Plans AlterConfigs of a topic. Returns its outcome.
fn replace_configs(world: &mut Harness, topic: &str, ops: &[(&str, i8, Option<&str>)]) -> String {
    let configs = ops.iter().map(|(name, _, value)| AlterableConfig {
        name: kafka_string(name),
        value: value.map(kafka_string),
        ..AlterableConfig::default()
    });
    let request = AlterConfigsRequestData {
        resources: vec![AlterConfigsResource {
            resource_type: 2,
            resource_name: kafka_string(topic),
            configs: configs.collect(),
            ..AlterConfigsResource::default()
        }],
        ..AlterConfigsRequestData::default()
    };
    let response = configs::replace(&mut world.draft, &request);
    let result = &response.responses[0];
    shown(result.error_code, result.error_message.as_ref())
}

#[test]
fn configs_are_set_deleted_appended_and_replaced() {
    let mut world = world();
    create(&mut world, creatable("foo", 1, 1), false);
    let mut output = String::new();
    type Op = (&'static str, i8, Option<&'static str>);
    let cases: [(bool, &[Op]); 8] = [
        (false, &[("a", 0, Some("1")), ("b", 0, Some("2"))]),
        (
            false,
            &[("cleanup.policy", 2, Some("compact")), ("a", 1, None)],
        ),
        (false, &[("cleanup.policy", 2, Some("delete,compact"))]),
        (false, &[("cleanup.policy", 3, Some("compact"))]),
        (false, &[("b", 2, Some("x"))]),
        (false, &[("b", 0, None)]),
        (false, &[("b", 0, Some("1")), ("b", 0, Some("2"))]),
        (true, &[("c", 0, Some("3"))]),
    ];
    for (replace_all, ops) in cases {
        let outcome = match replace_all {
            true => replace_configs(&mut world, "foo", ops),
            false => alter_configs(&mut world.draft, (2, "foo"), ops),
        };
        let configs: Vec<_> = world.draft.image.configs.values().collect();
        output += &format!("{configs:?} {outcome}\n");
    }
    expect![[r#"
        [{"a": "1", "b": "2"}, {"min.insync.replicas": "1"}] 
        [{"b": "2", "cleanup.policy": "compact"}, {"min.insync.replicas": "1"}] 
        [{"b": "2", "cleanup.policy": "compact,delete"}, {"min.insync.replicas": "1"}] 
        [{"b": "2", "cleanup.policy": "delete"}, {"min.insync.replicas": "1"}] 
        [{"b": "2", "cleanup.policy": "delete"}, {"min.insync.replicas": "1"}] INVALID_CONFIG: Can't append to or subtract from b because its type is not LIST.
        [{"b": "2", "cleanup.policy": "delete"}, {"min.insync.replicas": "1"}] INVALID_REQUEST: b has no value; to remove it use delete
        [{"b": "2", "cleanup.policy": "delete"}, {"min.insync.replicas": "1"}] INVALID_REQUEST: b is listed twice
        [{"c": "3"}, {"min.insync.replicas": "1"}] 
    "#]].assert_eq(&output);
}

/// A schema that accepts nothing.
#[derive(Debug)]
struct NoConfig;

impl ConfigSchema for NoConfig {
    fn check(&self, _: &ConfigResource, name: &str, _: &str) -> Result<(), String> {
        Err(format!("not {name}"))
    }

    fn check_together(
        &self,
        _: &ConfigResource,
        _: &MetadataImage,
        _: &BTreeMap<String, String>,
    ) -> Result<(), String> {
        Ok(())
    }

    fn is_list(&self, _: &ConfigResource, _: &str) -> bool {
        false
    }

    fn default_value(&self, _: &ConfigResource, name: &str) -> Option<String> {
        ["interval.ms", "match"].contains(&name).then(String::new)
    }
}

#[test]
fn values_of_client_metrics_are_stored_without_blanks_around_them() {
    let mut world = world();
    let ops = [("metrics", 0, Some(" a. "))];
    assert_eq!(alter_configs(&mut world.draft, (16, "sub"), &ops), "");
    let resource = ConfigResource::ClientMetrics("sub".into());
    assert_eq!(world.draft.image.configs[&resource]["metrics"], "a.");
}

#[test]
fn what_is_wrong_with_a_configuration_has_a_code_that_depends_on_the_resource() {
    let mut world = world();
    create(&mut world, creatable("foo", 1, 1), false);
    let mut settings = settings();
    settings.configs = Arc::new(NoConfig);
    world.draft.settings = Arc::new(settings);
    let mut output = String::new();
    let resources = [
        (2, "foo"),
        (4, "1"),
        (4, ""),
        (4, "77"),
        (4, "one"),
        (16, "sub"),
        (16, ""),
        (32, "g"),
        (32, ""),
    ];
    for (kind, name) in resources {
        let outcome = alter_configs(&mut world.draft, (kind, name), &[("a", 0, Some("1"))]);
        output += &format!("{kind} {name:?} {outcome}\n");
    }
    for (name, value) in [("interval.ms", "1"), ("interval.ms", "x"), ("match", "1")] {
        let outcome = alter_configs(&mut world.draft, (16, "sub"), &[(name, 0, Some(value))]);
        output += &format!("{name}={value} {outcome}\n");
    }
    expect![[r#"
        2 "foo" INVALID_CONFIG: not a
        4 "1" INVALID_REQUEST: not a
        4 "" INVALID_REQUEST: not a
        4 "77" INVALID_REQUEST: broker 77 is not registered
        4 "one" INVALID_REQUEST: "one" is not a broker's id
        16 "sub" INVALID_REQUEST: not a
        16 "" INVALID_REQUEST: the resource has no name
        32 "g" INVALID_CONFIG: not a
        32 "" INVALID_REQUEST: Default group resources are not allowed.
        interval.ms=1 INVALID_REQUEST: not interval.ms
        interval.ms=x INVALID_CONFIG: not interval.ms
        match=1 INVALID_CONFIG: not match
    "#]]
    .assert_eq(&output);
}

#[test]
fn producer_ids_come_in_blocks_and_never_twice() {
    let mut world = world();
    let epoch = world.draft.image.brokers[&NodeId(1)].epoch;
    let allocate = |world: &mut Harness, epoch| {
        producer_ids::allocate(&mut world.draft, NodeId(1), epoch).map_err(|e| e.to_string())
    };
    assert_eq!(allocate(&mut world, epoch), Ok(ProducerId(0)));
    assert_eq!(allocate(&mut world, epoch), Ok(ProducerId(1000)));
    let stale = allocate(&mut world, BrokerEpoch(77)).unwrap_err();
    expect!["STALE_BROKER_EPOCH: broker 1 sent epoch 77, but is registered with epoch 0"]
        .assert_eq(&stale);
}
