//! Tests of invalid requests, and of epochs other than the member's.

use dohle_model::ErrorCode;
use dohle_protocol::messages::consumer_group_heartbeat_request::ConsumerGroupHeartbeatRequestData;
use expect_test::expect;

use super::check;
use super::harness::{GROUP, Harness};
use crate::step::Caller;
use crate::wire::text;

#[test]
fn epochs_other_than_the_members_are_fenced() {
    check(
        "
        topic foo 2
        beat A epoch=2
        join A foo
        beat A epoch=3
        join B foo
        beat A
        ack A
        beat A epoch=2
        beat A epoch=2 have=foo:0,1
        beat A epoch=2 have=foo:0
        beat A epoch=0
        beat C epoch=2
        leave C
        ",
        expect![[r#"
            topic foo 2
            beat A epoch=2
              A: GroupIdNotFound Consumer group g not found.
            join A foo
              + member A foo
              + epoch 2
              + target A foo:0,1
              + target 2
              + A Stable 2<-0 has foo:0,1
              A: epoch 2, has foo:0,1
            beat A epoch=3
              A: FencedMemberEpoch The consumer group member has a greater member epoch (3) than the one known by the group coordinator (2). The member must abandon all its partitions and rejoin.
            join B foo
              + member B foo
              + epoch 3
              + target A foo:0
              + target B foo:1
              + target 3
              + B UnreleasedPartitions 3<-0 has -
              B: epoch 3, has -
            beat A
              + A UnrevokedPartitions 2<-2 has foo:0, gives back foo:1
              A: epoch 2, has foo:0
            ack A
              + A Stable 3<-2 has foo:0
              A: epoch 3
            beat A epoch=2
              A: FencedMemberEpoch The consumer group member has a smaller member epoch (2) than the one known by the group coordinator (3). The member must abandon all its partitions and rejoin.
            beat A epoch=2 have=foo:0,1
              A: FencedMemberEpoch The consumer group member has a smaller member epoch (2) than the one known by the group coordinator (3). The member must abandon all its partitions and rejoin.
            beat A epoch=2 have=foo:0
              A: epoch 3, has foo:0
            beat A epoch=0
              A: InvalidRequest RebalanceTimeoutMs must be provided in first request.
            beat C epoch=2
              C: UnknownMemberId Member C is not a member of group g.
            leave C
              C: InvalidRequest MemberId can't be empty.
        "#]],
    );
}

#[test]
fn a_member_that_joins_again_is_told_everything() {
    check(
        "
        topic foo 2
        join A foo
        join A foo
        beat A
        beat A topics=foo timeout=100 have=foo:0,1
        ",
        expect![[r#"
            topic foo 2
            join A foo
              + member A foo
              + epoch 2
              + target A foo:0,1
              + target 2
              + A Stable 2<-0 has foo:0,1
              A: epoch 2, has foo:0,1
            join A foo
              A: epoch 2, has foo:0,1
            beat A
              A: epoch 2
            beat A topics=foo timeout=100 have=foo:0,1
              + member A foo
              A: epoch 2, has foo:0,1
        "#]],
    );
}

fn first() -> ConsumerGroupHeartbeatRequestData {
    ConsumerGroupHeartbeatRequestData {
        group_id: text(GROUP),
        member_id: text("A"),
        rebalance_timeout_ms: 1_000,
        subscribed_topic_names: Some(vec![text("foo")]),
        topic_partitions: Some(Vec::new()),
        ..ConsumerGroupHeartbeatRequestData::default()
    }
}

#[track_caller]
fn refused(
    version: i16,
    change: impl FnOnce(&mut ConsumerGroupHeartbeatRequestData),
) -> (Option<ErrorCode>, String) {
    let mut request = first();
    change(&mut request);
    let caller = Caller {
        client_id: "A",
        client_host: "/127.0.0.1",
        version,
    };
    let mut harness = Harness::default();
    let answer = harness.step(|shard, step| shard.consumer_group_heartbeat(&request, caller, step));
    let answer = answer.expect("an answer");
    assert!(answer.error_code == 0 || harness.log.is_empty());
    let message = answer.error_message.map(|text| text.to_string());
    let code = ErrorCode::from_code(answer.error_code);
    (code, message.unwrap_or_default())
}

#[test]
fn requests_that_make_no_sense_are_refused_with_kafkas_words() {
    let invalid = |message: &str| (Some(ErrorCode::InvalidRequest), message.to_owned());
    assert_eq!(refused(1, |_| {}), (None, String::new()));
    // Before version 1 the coordinator creates the id.
    assert_eq!(
        refused(0, |r| r.member_id = text("")),
        (None, String::new())
    );
    let no_member = invalid("MemberId can't be empty.");
    assert_eq!(refused(1, |r| r.member_id = text("")), no_member);
    assert_eq!(refused(1, |r| r.member_id = text(" ")), no_member);
    let leaves = |epoch| {
        move |r: &mut ConsumerGroupHeartbeatRequestData| {
            r.member_id = text("");
            r.member_epoch = epoch;
        }
    };
    assert_eq!(refused(0, leaves(5)), no_member);
    assert_eq!(refused(0, leaves(-1)), no_member);
    assert_eq!(
        refused(1, |r| r.group_id = text(" ")),
        invalid("GroupId can't be empty.")
    );
    assert_eq!(
        refused(1, |r| r.instance_id = Some(text(""))),
        invalid("InstanceId can't be empty.")
    );
    assert_eq!(
        refused(1, |r| r.rack_id = Some(text(""))),
        invalid("RackId can't be empty.")
    );
    assert_eq!(
        refused(1, |r| r.rebalance_timeout_ms = -1),
        invalid("RebalanceTimeoutMs must be provided in first request.")
    );
    assert_eq!(
        refused(1, |r| r.topic_partitions = None),
        invalid("TopicPartitions must be empty when (re-)joining.")
    );
    assert_eq!(
        refused(1, |r| r.subscribed_topic_names = None),
        invalid(
            "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when \
             (re-)joining."
        )
    );
    assert_eq!(
        refused(1, |r| r.member_epoch = -2),
        invalid("InstanceId can't be null.")
    );
    assert_eq!(
        refused(1, |r| r.member_epoch = -3),
        invalid("MemberEpoch is invalid.")
    );
    assert_eq!(
        refused(1, |r| r.server_assignor = Some(text("sticky"))),
        (
            Some(ErrorCode::UnsupportedAssignor),
            "ServerAssignor sticky is not supported. Supported assignors: uniform, range."
                .to_owned()
        )
    );
}
