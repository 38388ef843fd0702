//! Tests of ConsumerGroupDescribe, and of a log that Kafka wrote.

use std::fmt::Write as _;

use dohle_machine::Machine as _;
use dohle_model::PartitionIndex;
use dohle_protocol::messages::consumer_group_describe_response::{Assignment, DescribedGroup};
use expect_test::{Expect, expect};

use super::harness::Harness;
use crate::ids::{GroupId, MemberId};
use crate::records::{Record, TopicPartitions, decode, tests::golden};
use crate::test_scripts::ScriptDriver as _;

fn shown(assignment: &Assignment) -> String {
    let topics = assignment.topic_partitions.iter();
    let topics = topics.map(|topic| format!("{}:{:?}", topic.topic_name, topic.partitions));
    topics.collect::<Vec<_>>().join(" ")
}

fn words(group: &DescribedGroup) -> String {
    let mut out = format!(
        "{} {:?} {:?}, {} by {}, epoch {}, target {}, operations {}\n",
        group.group_id,
        group.error_code,
        group.error_message.as_ref().map(ToString::to_string),
        group.group_state,
        group.assignor_name,
        group.group_epoch,
        group.assignment_epoch,
        group.authorized_operations
    );
    for member in &group.members {
        let names: Vec<String> = member
            .subscribed_topic_names
            .iter()
            .map(ToString::to_string)
            .collect();
        let _ = writeln!(
            out,
            "  {} type {} epoch {} {} at {}, instance {:?}, rack {:?}, {names:?} /{}/\n    \
             has {}\n    target {}",
            member.member_id,
            member.member_type,
            member.member_epoch,
            member.client_id,
            member.client_host,
            member.instance_id.as_ref().map(ToString::to_string),
            member.rack_id.as_ref().map(ToString::to_string),
            member
                .subscribed_topic_regex
                .as_ref()
                .map_or("", |regex| regex.as_str()),
            shown(&member.assignment),
            shown(&member.target_assignment)
        );
    }
    out
}

#[track_caller]
fn describe(harness: &mut Harness, group_id: &str, expected: Expect) {
    let group = harness.step(|shard, step| shard.describe_consumer_group(group_id, step));
    expected.assert_eq(&words(&group.expect("an answer")));
}

#[test]
fn a_group_is_described_with_what_its_members_have_and_should_have() {
    let mut harness = Harness::default();
    harness.run_script(
        "topic foo 4
         topic bar 1
         join A foo rack=r1 assignor=range
         join B bar regex=f.* i=b
         cjoin C foo
         cjoin C foo
         beat A",
    );
    describe(
        &mut harness,
        "g",
        expect![[r#"
            g 0 None, Reconciling by range, epoch 4, target 4, operations -2147483648
              A type 1 epoch 2 A at /127.0.0.1, instance None, rack Some("r1"), ["foo"] //
                has foo:[0, 1, 2, 3]
                target foo:[2]
              AwMDAwMDAwMDAwMDAwMDAw type 0 epoch 4 C at /127.0.0.1, instance None, rack None, ["foo"] //
                has 
                target foo:[3]
              B type 1 epoch 3 B at /127.0.0.1, instance Some("b"), rack None, ["bar"] /f.*/
                has bar:[0]
                target foo:[0, 1] bar:[0]
        "#]],
    );
}

#[test]
fn what_is_no_consumer_group_is_not_found() {
    let mut harness = Harness::default();
    harness.run_script("topic foo 1\n cjoin A foo\n cjoin A foo");
    describe(
        &mut harness,
        "g",
        expect![[r#"
        g 69 Some("Group g is not a consumer group."),  by , epoch 0, target 0, operations -2147483648
    "#]],
    );
    describe(
        &mut harness,
        "other",
        expect![[r#"
        other 69 Some("Group other not found."),  by , epoch 0, target 0, operations -2147483648
    "#]],
    );
}

#[test]
fn a_log_that_kafka_wrote_is_taken_over() {
    let mut harness = Harness::default();
    for (key, value) in golden() {
        let record = decode(&key, value.as_deref()).expect("a record");
        harness.shard.replay(record.expect("a known record"));
    }
    harness.step(|shard, step| shard.on_loaded(step));
    let mut out = String::new();
    let groups: std::collections::BTreeMap<_, _> = harness.shard.groups.iter().collect();
    for (group_id, group) in groups {
        let Some(group) = group.consumer() else {
            continue;
        };
        let _ = writeln!(
            out,
            "{group_id} {} epoch {} target {}",
            group.state().name(),
            group.group_epoch(),
            group.assignment_epoch()
        );
        for member in group.members().values() {
            let size = member.common.all_partitions().count();
            let _ = writeln!(
                out,
                "  {} {:?} epoch {}, {} partitions, instance {:?}, {:?} /{}/, classic {}",
                member.common.client_id,
                member.common.state,
                member.common.member_epoch,
                size,
                member.common.instance_id,
                member.common.subscribed_topic_names,
                member.subscribed_topic_regex,
                member.uses_classic_protocol()
            );
        }
    }
    expect![[r#"
        modern Reconciling epoch 2 target 2
          gen Stable epoch -2, 2 partitions, instance Some("nest-2"), {"jay", "rook"} //, classic false
    "#]].assert_eq(&out);
}

#[test]
fn targets_of_the_log_that_overlap_or_do_not_exist_are_assigned_once() {
    let mut harness = Harness::default();
    harness.run_script("topic foo 2\n join A foo\n join B foo\n ack A\n ack A\n ack B");
    let foo = harness.image.topic_ids.get("foo").copied();
    for (member, partitions) in [("A", vec![0]), ("B", vec![0, -1])] {
        let topic = TopicPartitions {
            topic_id: foo.expect("a topic"),
            partitions: partitions.into_iter().map(PartitionIndex).collect(),
            assignment_epochs: Vec::new(),
        };
        let (group_id, member_id) = (GroupId::new("g"), MemberId::new(member));
        let record = Record::ConsumerTargetMember(group_id, member_id, Some(vec![topic]));
        harness.shard.replay(record);
    }
    harness.run_script("topic foo 3\n beat A");
    let group = harness.group().expect("a group");
    let mut assigned: Vec<PartitionIndex> = group
        .members()
        .keys()
        .filter_map(|member_id| group.target(member_id.as_str()))
        .flat_map(|target| target.values().flatten().copied())
        .collect();
    assigned.sort_unstable();
    assert_eq!(assigned, [0, 1, 2].map(PartitionIndex));
}
