//! Tests of LeaveGroup, and of groups that become empty.

use expect_test::expect;

use crate::classic::tests::driver::check;

#[test]
fn the_last_member_that_leaves_leaves_an_empty_group() {
    check(
        "
        join a v3
        tick 3s
        ---
        sync a assign=a:x
        leave a
        timers
        describe
        join a v3 id=none
        tick 3s
        ",
        expect![[r#"
            > sync a assign=a:x
              write g gen=1 "consumer"/range leader=a-01 a-01::"x"
              a: synced "x" protocol=consumer/range
              = Stable gen=1 leader=a-01 a-01
            > leave a
              write g gen=2 "consumer"/none leader=none
              left: ok [a-01 ok]
              = Empty gen=2
            > timers
            > describe
              Empty "consumer"/""
            > join a v3 id=none
              = PreparingRebalance gen=2 initial leader=a-08 a-08(joins)
            > tick 3s
              after 3s: join timer
              a: joined gen=3 id=a-08 leader=a-08 protocol=consumer/range a-08:
              = CompletingRebalance gen=3 leader=a-08 a-08(to sync)
        "#]],
    );
}

#[test]
fn when_a_member_leaves_the_others_rebalance() {
    check(
        "
        join a v3
        join b v3
        tick 6s
        sync a assign=a:x,b:y
        sync b
        leave a
        heartbeat b
        join b
        ",
        expect![[r#"
            > join a v3
              write g gen=0 ""/none leader=none
              = PreparingRebalance gen=0 initial leader=a-01 a-01(joins)
            > join b v3
              = PreparingRebalance gen=0 initial leader=a-01 a-01(joins) b-03(joins)
            > tick 6s
              after 3s: join timer
              after 6s: join timer
              a: joined gen=1 id=a-01 leader=a-01 protocol=consumer/range a-01: b-03:
              b: joined gen=1 id=b-03 leader=a-01 protocol=consumer/range
              = CompletingRebalance gen=1 leader=a-01 a-01(to sync) b-03(to sync)
            > sync a assign=a:x,b:y
              write g gen=1 "consumer"/range leader=a-01 a-01::"x" b-03::"y"
              a: synced "x" protocol=consumer/range
              = Stable gen=1 leader=a-01 a-01 b-03(to sync)
            > sync b
              b: synced "y" protocol=consumer/range
              = Stable gen=1 leader=a-01 a-01 b-03
            > leave a
              left: ok [a-01 ok]
              = PreparingRebalance gen=1 leader=b-03 b-03
            > heartbeat b
              b: REBALANCE_IN_PROGRESS
            > join b
              b: joined gen=2 id=b-03 leader=b-03 protocol=consumer/range b-03:
              = CompletingRebalance gen=2 leader=b-03 b-03(to sync)
        "#]],
    );
}

#[test]
fn several_leave_at_once() {
    check(
        "
        join a v3
        join b v3
        ---
        join c v3
        tick 9s
        sync a assign=a:x,b:y,c:z
        leave a b z-01
        join c
        ",
        expect![[r#"
            > join c v3
              = PreparingRebalance gen=0 initial leader=a-01 a-01(joins) b-03(joins) c-04(joins)
            > tick 9s
              after 3s: join timer
              after 6s: join timer
              a: joined gen=1 id=a-01 leader=a-01 protocol=consumer/range a-01: b-03: c-04:
              b: joined gen=1 id=b-03 leader=a-01 protocol=consumer/range
              c: joined gen=1 id=c-04 leader=a-01 protocol=consumer/range
              = CompletingRebalance gen=1 leader=a-01 a-01(to sync) b-03(to sync) c-04(to sync)
            > sync a assign=a:x,b:y,c:z
              write g gen=1 "consumer"/range leader=a-01 a-01::"x" b-03::"y" c-04::"z"
              a: synced "x" protocol=consumer/range
              = Stable gen=1 leader=a-01 a-01 b-03(to sync) c-04(to sync)
            > leave a b z-01
              left: ok [a-01 ok] [b-03 ok] [z-01 UNKNOWN_MEMBER_ID]
              = PreparingRebalance gen=1 leader=c-04 c-04
            > join c
              c: joined gen=2 id=c-04 leader=c-04 protocol=consumer/range c-04:
              = CompletingRebalance gen=2 leader=c-04 c-04(to sync)
        "#]],
    );
}

#[test]
fn before_version_3_one_member_leaves() {
    check(
        "
        join a v3
        tick 3s
        ---
        leave a v2
        leave a v1
        leave a v0 group=other
        leave a v0 group=
        ",
        expect![[r#"
            > leave a v2
              write g gen=2 "consumer"/none leader=none
              left: ok
              = Empty gen=2
            > leave a v1
              left: UNKNOWN_MEMBER_ID
            > leave a v0 group=other
              left: UNKNOWN_MEMBER_ID
            > leave a v0 group=
              left: INVALID_GROUP_ID
        "#]],
    );
}

#[test]
fn members_of_a_group_that_is_not_there_are_unknown() {
    check(
        "
        leave a-01 b-02
        leave a-01 group=
        ",
        expect![[r#"
            > leave a-01 b-02
              left: ok [a-01 UNKNOWN_MEMBER_ID] [b-02 UNKNOWN_MEMBER_ID]
              = no group
            > leave a-01 group=
              left: INVALID_GROUP_ID
        "#]],
    );
}

#[test]
fn a_pending_member_leaves() {
    check(
        "
        join a
        leave a
        timers
        ",
        expect![[r#"
            > join a
              write g gen=0 ""/none leader=none
              a: MEMBER_ID_REQUIRED id=a-01
              = Empty gen=0 a-01(pending)
            > leave a
              left: ok [a-01 ok]
              = Empty gen=0
            > timers
        "#]],
    );
}

#[test]
fn a_pending_member_that_leaves_no_longer_holds_a_rebalance_up() {
    check(
        "
        set group.initial.rebalance.delay.ms=0
        join a v3
        tick 0s
        sync a assign=a:x
        ---
        join b
        join a
        leave b
        ",
        expect![[r#"
            > join b
              b: MEMBER_ID_REQUIRED id=b-06
              = Stable gen=1 leader=a-01 a-01 b-06(pending)
            > join a
              = PreparingRebalance gen=1 leader=a-01 a-01(joins) b-06(pending)
            > leave b
              a: joined gen=2 id=a-01 leader=a-01 protocol=consumer/range a-01:
              left: ok [b-06 ok]
              = CompletingRebalance gen=2 leader=a-01 a-01(to sync)
        "#]],
    );
}

#[test]
fn a_pending_member_that_leaves_a_stable_group_begins_a_rebalance() {
    check(
        "
        join a v3
        tick 3s
        sync a assign=a:x
        ---
        join b
        leave b
        heartbeat a
        ",
        expect![[r#"
            > join b
              b: MEMBER_ID_REQUIRED id=b-06
              = Stable gen=1 leader=a-01 a-01 b-06(pending)
            > leave b
              left: ok [b-06 ok]
              = PreparingRebalance gen=1 leader=a-01 a-01
            > heartbeat a
              a: REBALANCE_IN_PROGRESS
        "#]],
    );
}

#[test]
fn a_member_that_leaves_while_it_waits_to_join_is_answered() {
    check(
        "
        join a v3
        tick 3s
        sync a assign=a:x
        ---
        join b v3
        leave b-04
        join b v3
        leave b-06
        join a
        ",
        expect![[r#"
            > join b v3
              = PreparingRebalance gen=1 leader=a-01 a-01 b-06(joins)
            > leave b-04
              left: ok [b-04 UNKNOWN_MEMBER_ID]
            > join b v3
              = PreparingRebalance gen=1 leader=a-01 a-01 b-06(joins) b-08(joins)
            > leave b-06
              b: UNKNOWN_MEMBER_ID id=
              left: ok [b-06 ok]
              = PreparingRebalance gen=1 leader=a-01 a-01 b-08(joins)
            > join a
              a: joined gen=2 id=a-01 leader=a-01 protocol=consumer/range a-01: b-08:
              b: joined gen=2 id=b-08 leader=a-01 protocol=consumer/range
              = CompletingRebalance gen=2 leader=a-01 a-01(to sync) b-08(to sync)
        "#]],
    );
}

#[test]
fn static_members_are_removed_by_their_instance_ids() {
    check(
        "
        join a instance=i
        join b instance=j
        tick 6s
        ---
        sync a assign=a:x,b:y
        leave none instance=j
        leave none instance=k
        leave none
        describe
        ",
        expect![[r#"
            > sync a assign=a:x,b:y
              write g gen=1 "consumer"/range leader=i-01 i-01(i)::"x" j-03(j)::"y"
              a: synced "x" protocol=consumer/range
              = Stable gen=1 leader=i-01 i-01 j-03(to sync)
            > leave none instance=j
              left: ok [(j) ok]
              = PreparingRebalance gen=1 leader=i-01 i-01
            > leave none instance=k
              left: ok [(k) UNKNOWN_MEMBER_ID]
            > leave none
              left: ok [ UNKNOWN_MEMBER_ID]
            > describe
              PreparingRebalance "consumer"/""
              i-01 instance=i client=a host=/127.0.0.1 metadata= assignment="x"
        "#]],
    );
}

#[test]
fn an_empty_group_that_could_not_be_written_is_empty_nevertheless() {
    check(
        "
        hold
        join a v3
        written
        tick 3s
        leave a
        failed NOT_LEADER_OR_FOLLOWER
        describe
        ",
        expect![[r#"
            > hold
              = no group
            > join a v3
              write g gen=0 ""/none leader=none
              = PreparingRebalance gen=0 initial leader=a-01 a-01(joins)
            > written
            > tick 3s
              after 3s: join timer
              a: joined gen=1 id=a-01 leader=a-01 protocol=consumer/range a-01:
              = CompletingRebalance gen=1 leader=a-01 a-01(to sync)
            > leave a
              write g gen=2 "consumer"/none leader=none
              left: ok [a-01 ok]
              = Empty gen=2
            > failed NOT_LEADER_OR_FOLLOWER
            > describe
              Empty "consumer"/""
        "#]],
    );
}
