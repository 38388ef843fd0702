//! Tests of reassignments: start, complete, replace, cancel.

use expect_test::expect;

use super::check;

#[test]
fn a_reassignment_ends_when_its_target_is_in_sync() {
    check(
        "brokers 1 2 3 4 5
         topic foo 1,2,3
         reassign foo-0 = 4,5,1
         isr foo-0 by 1 = 1,2,3,4
         isr foo-0 by 1 = 1,2,3,4,5",
        expect![[r#"
            > brokers 1 2 3 4 5
              broker 1 epoch 0
              broker 1 unfenced
              broker 2 epoch 1
              broker 2 unfenced
              broker 3 epoch 2
              broker 3 unfenced
              broker 4 epoch 3
              broker 4 unfenced
              broker 5 epoch 4
              broker 5 unfenced
            > topic foo 1,2,3
              topic foo
              foo-0 replicas 1,2,3 isr [1,2,3] leader 1 epochs 0/0
            > reassign foo-0 = 4,5,1
              foo-0 replicas 4,5,1,2,3 isr [1,2,3] leader 1 epochs 0/1 adding [4,5] removing [2,3]
            > isr foo-0 by 1 = 1,2,3,4
              foo-0 replicas 4,5,1,2,3 isr [1,2,3,4] leader 1 epochs 0/2 adding [4,5] removing [2,3]
            > isr foo-0 by 1 = 1,2,3,4,5
              foo-0 replicas 4,5,1 isr [1,4,5] leader 1 epochs 1/3
        "#]],
    );
}

#[test]
fn replicas_that_join_and_leave_are_sorted_as_in_kafka() {
    check(
        "brokers 1 2 3 4 5
         topic foo 3,2,1
         isr foo-0 by 3 = 3,1
         isr foo-0 by 3 = 3,1,2
         reassign foo-0 = 5,4
         cancel foo-0",
        expect![[r#"
            > brokers 1 2 3 4 5
              broker 1 epoch 0
              broker 1 unfenced
              broker 2 epoch 1
              broker 2 unfenced
              broker 3 epoch 2
              broker 3 unfenced
              broker 4 epoch 3
              broker 4 unfenced
              broker 5 epoch 4
              broker 5 unfenced
            > topic foo 3,2,1
              topic foo
              foo-0 replicas 3,2,1 isr [3,2,1] leader 3 epochs 0/0
            > isr foo-0 by 3 = 3,1
              foo-0 replicas 3,2,1 isr [1,3] leader 3 epochs 0/1
            > isr foo-0 by 3 = 3,1,2
              foo-0 replicas 3,2,1 isr [1,2,3] leader 3 epochs 0/2
            > reassign foo-0 = 5,4
              foo-0 replicas 5,4,1,2,3 isr [1,2,3] leader 3 epochs 0/3 adding [4,5] removing [1,2,3]
            > cancel foo-0
              foo-0 replicas 1,2,3 isr [1,2,3] leader 3 epochs 1/4
        "#]],
    );
}

#[test]
fn the_leader_learns_that_it_was_reassigned_away() {
    check(
        "brokers 1 2
         topic foo 1
         reassign foo-0 = 2
         isr foo-0 by 1 = 1,2",
        expect![[r#"
            > brokers 1 2
              broker 1 epoch 0
              broker 1 unfenced
              broker 2 epoch 1
              broker 2 unfenced
            > topic foo 1
              topic foo
              foo-0 replicas 1 isr [1] leader 1 epochs 0/0
            > reassign foo-0 = 2
              foo-0 replicas 2,1 isr [1] leader 1 epochs 0/1 adding [2] removing [1]
            > isr foo-0 by 1 = 1,2
              NEW_LEADER_ELECTED
              foo-0 replicas 2 isr [2] leader 2 epochs 1/2
        "#]],
    );
}

#[test]
fn a_reordering_is_done_at_once() {
    check(
        "brokers 1 2 3
         topic foo 1,2,3
         reassign foo-0 = 3,1,2
         elect preferred foo-0",
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
            > reassign foo-0 = 3,1,2
              foo-0 replicas 3,1,2 isr [1,2,3] leader 1 epochs 0/1
            > elect preferred foo-0
              foo-0: 
              foo-0 replicas 3,1,2 isr [1,2,3] leader 3 epochs 1/2
        "#]],
    );
}

#[test]
fn a_cancelled_reassignment_leaves_the_former_replicas() {
    check(
        "brokers 1 2 3 4
         topic foo 1,2
         cancel foo-0
         reassign foo-0 = 3,4
         isr foo-0 by 1 = 1,2,3
         cancel foo-0",
        expect![[r#"
            > brokers 1 2 3 4
              broker 1 epoch 0
              broker 1 unfenced
              broker 2 epoch 1
              broker 2 unfenced
              broker 3 epoch 2
              broker 3 unfenced
              broker 4 epoch 3
              broker 4 unfenced
            > topic foo 1,2
              topic foo
              foo-0 replicas 1,2 isr [1,2] leader 1 epochs 0/0
            > cancel foo-0
              NO_REASSIGNMENT_IN_PROGRESS: foo-0 is not being reassigned
            > reassign foo-0 = 3,4
              foo-0 replicas 3,4,1,2 isr [1,2] leader 1 epochs 0/1 adding [3,4] removing [1,2]
            > isr foo-0 by 1 = 1,2,3
              foo-0 replicas 3,4,1,2 isr [1,2,3] leader 1 epochs 0/2 adding [3,4] removing [1,2]
            > cancel foo-0
              foo-0 replicas 1,2 isr [1,2] leader 1 epochs 1/3
        "#]],
    );
}

#[test]
fn a_newer_reassignment_replaces_a_running_one() {
    check(
        "brokers 1 2 3 4 5
         topic foo 1,2,3
         reassign foo-0 = 2,3,4
         reassign foo-0 = 2,3,5
         cancel foo-0",
        expect![[r#"
            > brokers 1 2 3 4 5
              broker 1 epoch 0
              broker 1 unfenced
              broker 2 epoch 1
              broker 2 unfenced
              broker 3 epoch 2
              broker 3 unfenced
              broker 4 epoch 3
              broker 4 unfenced
              broker 5 epoch 4
              broker 5 unfenced
            > topic foo 1,2,3
              topic foo
              foo-0 replicas 1,2,3 isr [1,2,3] leader 1 epochs 0/0
            > reassign foo-0 = 2,3,4
              foo-0 replicas 2,3,4,1 isr [1,2,3] leader 1 epochs 0/1 adding [4] removing [1]
            > reassign foo-0 = 2,3,5
              foo-0 replicas 2,3,5,1 isr [1,2,3] leader 1 epochs 1/2 adding [5] removing [1]
            > cancel foo-0
              foo-0 replicas 2,3,1 isr [1,2,3] leader 1 epochs 2/3
        "#]],
    );
}

#[test]
fn cancelling_never_loses_records_unasked() {
    check(
        "brokers 1 2
         topic foo 1
         reassign foo-0 = 2,1
         reassign foo-0 = 2
         fence 1
         cancel foo-0
         reassign-same-size foo-0 = 1,2
         reassign foo-0 = 1,1
         reassign foo-0 = 7
         reassign nope-0 = 1",
        expect![[r#"
            > brokers 1 2
              broker 1 epoch 0
              broker 1 unfenced
              broker 2 epoch 1
              broker 2 unfenced
            > topic foo 1
              topic foo
              foo-0 replicas 1 isr [1] leader 1 epochs 0/0
            > reassign foo-0 = 2,1
              foo-0 replicas 2,1 isr [1] leader 1 epochs 0/1 adding [2]
            > reassign foo-0 = 2
              foo-0 replicas 2,1 isr [1] leader 1 epochs 0/2 adding [2] removing [1]
            > fence 1
              foo-0 replicas 2,1 isr [] leader none epochs 1/3 elr [1] last known [1] adding [2] removing [1]
              broker 1 fenced
            > cancel foo-0
              foo-0 replicas 1 isr [] leader none epochs 2/4 elr [1] last known [1]
            > reassign-same-size foo-0 = 1,2
              INVALID_REPLICATION_FACTOR: foo-0 has 1 replicas, the reassignment gives it 2, and changing the replication factor was not allowed
            > reassign foo-0 = 1,1
              INVALID_REPLICA_ASSIGNMENT: The manual partition assignment includes the broker 1 more than once.
            > reassign foo-0 = 7
              INVALID_REPLICA_ASSIGNMENT: The manual partition assignment includes broker 7, but no such broker is registered; registered are [1, 2].
            > reassign nope-0 = 1
              UNKNOWN_TOPIC_OR_PARTITION: there is no partition nope-0
        "#]],
    );
}

#[test]
fn cancelling_keeps_the_replica_that_alone_may_still_lead() {
    check(
        "brokers 1 2
         topic foo 1
         reassign foo-0 = 2
         fence 1
         elect unclean foo-0
         fence 2
         cancel foo-0
         unfence 2
         cancel foo-0",
        expect![[r#"
            > brokers 1 2
              broker 1 epoch 0
              broker 1 unfenced
              broker 2 epoch 1
              broker 2 unfenced
            > topic foo 1
              topic foo
              foo-0 replicas 1 isr [1] leader 1 epochs 0/0
            > reassign foo-0 = 2
              foo-0 replicas 2,1 isr [1] leader 1 epochs 0/1 adding [2] removing [1]
            > fence 1
              foo-0 replicas 2,1 isr [] leader none epochs 1/2 elr [1] last known [1] adding [2] removing [1]
              broker 1 fenced
            > elect unclean foo-0
              foo-0: 
              foo-0 replicas 2,1 isr [2] leader 2 epochs 2/3 adding [2] removing [1] recovering
            > fence 2
              foo-0 replicas 2,1 isr [] leader none epochs 3/4 elr [2] last known [2] adding [2] removing [1] recovering
              broker 2 fenced
            > cancel foo-0
              INVALID_REPLICA_ASSIGNMENT: cancelling the reassignment of foo-0 would lose records: none of its former replicas [1] is in sync, and unclean.leader.election.enable is false or none of them is online
            > unfence 2
              broker 2 unfenced
              foo-0 replicas 2,1 isr [2] leader 2 epochs 4/5 adding [2] removing [1] recovering
            > cancel foo-0
              INVALID_REPLICA_ASSIGNMENT: cancelling the reassignment of foo-0 would lose records: none of its former replicas [1] is in sync, and unclean.leader.election.enable is false or none of them is online
        "#]],
    );
}

#[test]
fn cancelling_takes_no_partition_from_those_that_are_in_sync() {
    check(
        "brokers 1 2 3
         topic foo 1
         config foo min.insync.replicas=2
         reassign foo-0 = 2,3
         isr foo-0 by 1 = 1,2
         fence 1
         cancel foo-0",
        expect![[r#"
            > brokers 1 2 3
              broker 1 epoch 0
              broker 1 unfenced
              broker 2 epoch 1
              broker 2 unfenced
              broker 3 epoch 2
              broker 3 unfenced
            > topic foo 1
              topic foo
              foo-0 replicas 1 isr [1] leader 1 epochs 0/0
            > config foo min.insync.replicas=2
              Config { resource: Topic("foo"), key: "min.insync.replicas", value: Some("2") }
            > reassign foo-0 = 2,3
              foo-0 replicas 2,3,1 isr [1] leader 1 epochs 0/1 adding [2,3] removing [1]
            > isr foo-0 by 1 = 1,2
              foo-0 replicas 2,3,1 isr [1,2] leader 1 epochs 0/2 adding [2,3] removing [1]
            > fence 1
              foo-0 replicas 2,3,1 isr [2] leader 2 epochs 1/3 elr [1] adding [2,3] removing [1]
              broker 1 fenced
            > cancel foo-0
              INVALID_REPLICA_ASSIGNMENT: cancelling the reassignment of foo-0 would lose records: none of its former replicas [1] is in sync, and unclean.leader.election.enable is false or none of them is online
        "#]],
    );
}

#[test]
fn a_reassignment_ends_while_a_replica_that_it_keeps_is_down() {
    check(
        "brokers 1 2 3 4
         topic foo 1,3
         topic bar 1,2,3
         fence 3
         reassign foo-0 = 2,3
         isr foo-0 by 1 = 1,2
         cancel foo-0
         reassign bar-0 = 3,4
         isr bar-0 by 1 = 1,2,4",
        expect![[r#"
            > brokers 1 2 3 4
              broker 1 epoch 0
              broker 1 unfenced
              broker 2 epoch 1
              broker 2 unfenced
              broker 3 epoch 2
              broker 3 unfenced
              broker 4 epoch 3
              broker 4 unfenced
            > topic foo 1,3
              topic foo
              foo-0 replicas 1,3 isr [1,3] leader 1 epochs 0/0
            > topic bar 1,2,3
              topic bar
              bar-0 replicas 1,2,3 isr [1,2,3] leader 1 epochs 0/0
            > fence 3
              foo-0 replicas 1,3 isr [1] leader 1 epochs 0/1
              bar-0 replicas 1,2,3 isr [1,2] leader 1 epochs 0/1
              broker 3 fenced
            > reassign foo-0 = 2,3
              foo-0 replicas 2,3,1 isr [1] leader 1 epochs 0/2 adding [2] removing [1]
            > isr foo-0 by 1 = 1,2
              NEW_LEADER_ELECTED
              foo-0 replicas 2,3 isr [2] leader 2 epochs 1/3
            > cancel foo-0
              NO_REASSIGNMENT_IN_PROGRESS: foo-0 is not being reassigned
            > reassign bar-0 = 3,4
              bar-0 replicas 3,4,1,2 isr [1,2] leader 1 epochs 0/2 adding [4] removing [1,2]
            > isr bar-0 by 1 = 1,2,4
              bar-0 replicas 3,4,1,2 isr [1,2,4] leader 1 epochs 0/3 adding [4] removing [1,2]
        "#]],
    );
}
