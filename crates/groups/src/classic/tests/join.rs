//! Tests of JoinGroup: when it is answered, and with which response.

use expect_test::expect;

use crate::classic::tests::driver::check;

#[test]
fn a_dynamic_member_is_given_an_id_and_joins_with_it() {
    check(
        "
        join a
        join a
        tick 3s
        sync a assign=a:x
        heartbeat a
        leave a
        ",
        expect![[r#"
            > join a
              write g gen=0 ""/none leader=none
              a: MEMBER_ID_REQUIRED id=a-01
              = Empty gen=0 a-01(pending)
            > join a
              = PreparingRebalance gen=0 initial leader=a-01 a-01(joins)
            > tick 3s
              after 3s: join timer
              a: joined gen=1 id=a-01 leader=a-01 protocol=consumer/range a-01:
              = CompletingRebalance gen=1 leader=a-01 a-01(to sync)
            > sync a assign=a:x
              write g gen=1 "consumer"/range leader=a-01 a-01::"x"
              a: synced "x" protocol=consumer/range
              = Stable gen=1 leader=a-01 a-01
            > heartbeat a
              a: ok
            > leave a
              write g gen=2 "consumer"/none leader=none
              left: ok [a-01 ok]
              = Empty gen=2
        "#]],
    );
}

#[test]
fn before_version_4_a_member_joins_without_an_id() {
    check(
        "
        join a v3
        tick 3s
        join b v1 id=none
        describe
        ",
        expect![[r#"
            > join a v3
              write g gen=0 ""/none leader=none
              = PreparingRebalance gen=0 initial leader=a-01 a-01(joins)
            > tick 3s
              after 3s: join timer
              a: joined gen=1 id=a-01 leader=a-01 protocol=consumer/range a-01:
              = CompletingRebalance gen=1 leader=a-01 a-01(to sync)
            > join b v1 id=none
              = PreparingRebalance gen=1 leader=a-01 a-01 b-04(joins)
            > describe
              PreparingRebalance "consumer"/""
              a-01 instance=none client=a host=/127.0.0.1 metadata= assignment=""
              b-04 instance=none client=b host=/127.0.0.1 metadata= assignment=""
        "#]],
    );
}

#[test]
fn two_members_share_the_work() {
    check(
        "
        join a protocols=range:t
        join b protocols=range:t
        join a protocols=range:t
        join b protocols=range:t
        tick 3s
        tick 3s
        sync b
        sync a assign=a:x,b:y
        heartbeat a
        heartbeat b
        describe
        ",
        expect![[r#"
            > join a protocols=range:t
              write g gen=0 ""/none leader=none
              a: MEMBER_ID_REQUIRED id=a-01
              = Empty gen=0 a-01(pending)
            > join b protocols=range:t
              b: MEMBER_ID_REQUIRED id=b-03
              = Empty gen=0 a-01(pending) b-03(pending)
            > join a protocols=range:t
              = PreparingRebalance gen=0 initial leader=a-01 a-01(joins) b-03(pending)
            > join b protocols=range:t
              = PreparingRebalance gen=0 initial leader=a-01 a-01(joins) b-03(joins)
            > tick 3s
              after 3s: join timer
            > tick 3s
              after 3s: join timer
              a: joined gen=1 id=a-01 leader=a-01 protocol=consumer/range a-01:t b-03:t
              b: joined gen=1 id=b-03 leader=a-01 protocol=consumer/range
              = CompletingRebalance gen=1 leader=a-01 a-01(to sync) b-03(to sync)
            > sync b
              = CompletingRebalance gen=1 leader=a-01 a-01(to sync) b-03(syncs)
            > sync a assign=a:x,b:y
              write g gen=1 "consumer"/range leader=a-01 a-01:t:"x" b-03:t:"y"
              a: synced "x" protocol=consumer/range
              b: synced "y" protocol=consumer/range
              = Stable gen=1 leader=a-01 a-01 b-03
            > heartbeat a
              a: ok
            > heartbeat b
              b: ok
            > describe
              Stable "consumer"/"range"
              a-01 instance=none client=a host=/127.0.0.1 metadata=t assignment="x"
              b-03 instance=none client=b host=/127.0.0.1 metadata=t assignment="y"
        "#]],
    );
}

#[test]
fn a_follower_that_joins_again_unchanged_is_told_of_the_generation_there_is() {
    check(
        "
        set group.initial.rebalance.delay.ms=0
        join a v3
        join b v3
        ---
        tick 0s
        join b
        join a
        sync a assign=a:x,b:y
        sync b
        join b
        heartbeat a
        ",
        expect![[r#"
            > tick 0s
              after 0ns: join timer
              after 0ns: join timer
              a: joined gen=1 id=a-01 leader=a-01 protocol=consumer/range a-01: b-03:
              b: joined gen=1 id=b-03 leader=a-01 protocol=consumer/range
              = CompletingRebalance gen=1 leader=a-01 a-01(to sync) b-03(to sync)
            > join b
              b: joined gen=1 id=b-03 leader=a-01 protocol=consumer/range
            > join a
              a: joined gen=1 id=a-01 leader=a-01 protocol=consumer/range a-01: b-03:
            > sync a assign=a:x,b:y
              write g gen=1 "consumer"/range leader=a-01 a-01::"x" b-03::"y"
              a: synced "x" protocol=consumer/range
              = Stable gen=1 leader=a-01 a-01 b-03(to sync)
            > sync b
              b: synced "y" protocol=consumer/range
              = Stable gen=1 leader=a-01 a-01 b-03
            > join b
              b: joined gen=1 id=b-03 leader=a-01 protocol=consumer/range
            > heartbeat a
              a: ok
        "#]],
    );
}

#[test]
fn a_leader_that_joins_again_begins_a_rebalance() {
    check(
        "
        set group.initial.rebalance.delay.ms=0
        join a v3
        join b v3
        tick 0s
        ---
        sync a assign=a:x,b:y
        sync b
        join a
        heartbeat b
        join b
        ",
        expect![[r#"
            > sync a assign=a:x,b:y
              write g gen=1 "consumer"/range leader=a-01 a-01::"x" b-03::"y"
              a: synced "x" protocol=consumer/range
              = Stable gen=1 leader=a-01 a-01 b-03(to sync)
            > sync b
              b: synced "y" protocol=consumer/range
              = Stable gen=1 leader=a-01 a-01 b-03
            > join a
              = PreparingRebalance gen=1 leader=a-01 a-01(joins) b-03
            > heartbeat b
              b: REBALANCE_IN_PROGRESS
            > join b
              a: joined gen=2 id=a-01 leader=a-01 protocol=consumer/range a-01: b-03:
              b: joined gen=2 id=b-03 leader=a-01 protocol=consumer/range
              = CompletingRebalance gen=2 leader=a-01 a-01(to sync) b-03(to sync)
        "#]],
    );
}

#[test]
fn a_member_with_other_metadata_begins_a_rebalance() {
    check(
        "
        set group.initial.rebalance.delay.ms=0
        join a v3
        join b v3
        tick 0s
        ---
        sync b
        join b protocols=range:t
        join a
        sync a assign=a:x,b:y
        sync b
        join b protocols=range:u
        join a
        ",
        expect![[r#"
            > sync b
              = CompletingRebalance gen=1 leader=a-01 a-01(to sync) b-03(syncs)
            > join b protocols=range:t
              b: REBALANCE_IN_PROGRESS
              = PreparingRebalance gen=1 leader=a-01 a-01 b-03(joins)
            > join a
              a: joined gen=2 id=a-01 leader=a-01 protocol=consumer/range a-01: b-03:t
              b: joined gen=2 id=b-03 leader=a-01 protocol=consumer/range
              = CompletingRebalance gen=2 leader=a-01 a-01(to sync) b-03(to sync)
            > sync a assign=a:x,b:y
              write g gen=2 "consumer"/range leader=a-01 a-01::"x" b-03:t:"y"
              a: synced "x" protocol=consumer/range
              = Stable gen=2 leader=a-01 a-01 b-03(to sync)
            > sync b
              b: synced "y" protocol=consumer/range
              = Stable gen=2 leader=a-01 a-01 b-03
            > join b protocols=range:u
              = PreparingRebalance gen=2 leader=a-01 a-01 b-03(joins)
            > join a
              a: joined gen=3 id=a-01 leader=a-01 protocol=consumer/range a-01: b-03:u
              b: joined gen=3 id=b-03 leader=a-01 protocol=consumer/range
              = CompletingRebalance gen=3 leader=a-01 a-01(to sync) b-03(to sync)
        "#]],
    );
}

#[test]
fn a_second_join_of_a_member_takes_the_place_of_the_first() {
    check(
        "
        set group.initial.rebalance.delay.ms=0
        join a v3
        join b v3
        tick 0s
        sync a assign=a:x,b:y
        sync b
        join a
        ---
        join a
        join b
        ",
        expect![[r#"
            > join a
              a: REBALANCE_IN_PROGRESS id=a-01
            > join b
              a: joined gen=2 id=a-01 leader=a-01 protocol=consumer/range a-01: b-03:
              b: joined gen=2 id=b-03 leader=a-01 protocol=consumer/range
              = CompletingRebalance gen=2 leader=a-01 a-01(to sync) b-03(to sync)
        "#]],
    );
}

#[test]
fn a_new_member_that_joins_again_while_it_waits_is_answered_once() {
    check(
        "
        join a
        join a
        ---
        join a
        tick 3s
        ",
        expect![[r#"
            > join a
              a: REBALANCE_IN_PROGRESS id=a-01
            > tick 3s
              after 3s: join timer
              a: joined gen=1 id=a-01 leader=a-01 protocol=consumer/range a-01:
              = CompletingRebalance gen=1 leader=a-01 a-01(to sync)
        "#]],
    );
}

#[test]
fn a_member_with_a_wrong_instance_id_is_unknown_or_fenced() {
    check(
        "
        join a instance=i
        join b instance=j
        tick 6s
        join a instance=k
        join a instance=j
        sync a instance=j
        heartbeat a instance=j
        leave a instance=j
        commit a instance=j
        ",
        expect![[r#"
            > join a instance=i
              write g gen=0 ""/none leader=none
              = PreparingRebalance gen=0 initial leader=i-01 i-01(joins)
            > join b instance=j
              = PreparingRebalance gen=0 initial leader=i-01 i-01(joins) j-03(joins)
            > tick 6s
              after 3s: join timer
              after 6s: join timer
              a: joined gen=1 id=i-01 leader=i-01 protocol=consumer/range i-01(i): j-03(j):
              b: joined gen=1 id=j-03 leader=i-01 protocol=consumer/range
              = CompletingRebalance gen=1 leader=i-01 i-01(to sync) j-03(to sync)
            > join a instance=k
              a: UNKNOWN_MEMBER_ID id=i-01
            > join a instance=j
              a: FENCED_INSTANCE_ID id=i-01
            > sync a instance=j
              a: FENCED_INSTANCE_ID
            > heartbeat a instance=j
              a: FENCED_INSTANCE_ID
            > leave a instance=j
              left: ok [i-01(j) FENCED_INSTANCE_ID]
            > commit a instance=j
              a: FENCED_INSTANCE_ID
        "#]],
    );
}
