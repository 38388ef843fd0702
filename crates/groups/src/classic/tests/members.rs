//! Tests of sessions: heartbeats, and members that fail.

use expect_test::expect;

use crate::classic::tests::driver::check;

#[test]
fn a_member_that_is_silent_for_its_session_is_removed() {
    check(
        "
        join a v3 session=10s
        join b v3 session=20s
        tick 6s
        sync a assign=a:x,b:y
        sync b
        tick 9s
        heartbeat a
        tick 9s
        heartbeat a
        tick 2s
        join a
        ",
        expect![[r#"
            > join a v3 session=10s
              write g gen=0 ""/none leader=none
              = PreparingRebalance gen=0 initial leader=a-01 a-01(joins)
            > join b v3 session=20s
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
            > tick 9s
            > heartbeat a
              a: ok
            > tick 9s
            > heartbeat a
              a: ok
            > tick 2s
              after 2s: session of b-03
              = PreparingRebalance gen=1 leader=a-01 a-01
            > join a
              a: joined gen=2 id=a-01 leader=a-01 protocol=consumer/range a-01:
              = CompletingRebalance gen=2 leader=a-01 a-01(to sync)
        "#]],
    );
}

#[test]
fn the_last_member_that_fails_leaves_an_empty_group() {
    check(
        "
        join a v3 session=10s
        tick 3s
        sync a assign=a:x
        tick 10s
        timers
        ",
        expect![[r#"
            > join a v3 session=10s
              write g gen=0 ""/none leader=none
              = PreparingRebalance gen=0 initial leader=a-01 a-01(joins)
            > tick 3s
              after 3s: join timer
              a: joined gen=1 id=a-01 leader=a-01 protocol=consumer/range a-01:
              = CompletingRebalance gen=1 leader=a-01 a-01(to sync)
            > sync a assign=a:x
              write g gen=1 "consumer"/range leader=a-01 a-01::"x"
              a: synced "x" protocol=consumer/range
              = Stable gen=1 leader=a-01 a-01
            > tick 10s
              after 10s: session of a-01
              write g gen=2 "consumer"/none leader=none
              = Empty gen=2
            > timers
        "#]],
    );
}

#[test]
fn a_member_that_fails_before_it_syncs_begins_a_rebalance() {
    check(
        "
        join a v3 session=10s
        join b v3 session=20s
        tick 6s
        ---
        sync b
        tick 10s
        join b
        ",
        expect![[r#"
            > sync b
              = CompletingRebalance gen=1 leader=a-01 a-01(to sync) b-03(syncs)
            > tick 10s
              after 10s: session of a-01
              b: REBALANCE_IN_PROGRESS
              = PreparingRebalance gen=1 leader=b-03 b-03
            > join b
              b: joined gen=2 id=b-03 leader=b-03 protocol=consumer/range b-03:
              = CompletingRebalance gen=2 leader=b-03 b-03(to sync)
        "#]],
    );
}

#[test]
fn a_member_that_fails_during_a_rebalance_no_longer_holds_it_up() {
    check(
        "
        join a v3 session=10s
        join b v3 session=20s
        tick 6s
        sync a assign=a:x,b:y
        sync b
        ---
        tick 5s
        join b protocols=range:t
        tick 5s
        ",
        expect![[r#"
            > tick 5s
            > join b protocols=range:t
              = PreparingRebalance gen=1 leader=a-01 a-01 b-03(joins)
            > tick 5s
              after 5s: session of a-01
              b: joined gen=2 id=b-03 leader=b-03 protocol=consumer/range b-03:t
              = CompletingRebalance gen=2 leader=b-03 b-03(to sync)
        "#]],
    );
}

#[test]
fn heartbeats_are_checked() {
    check(
        "
        heartbeat a
        heartbeat a group=
        join a v3
        heartbeat a id=a-03 gen=0
        tick 3s
        heartbeat a gen=0
        heartbeat a gen=2
        heartbeat a id=z-01
        heartbeat a
        sync a assign=a:x
        heartbeat a
        join b v3
        heartbeat a
        tick 9s
        heartbeat a
        ",
        expect![[r#"
            > heartbeat a
              a: UNKNOWN_MEMBER_ID
              = no group
            > heartbeat a group=
              a: INVALID_GROUP_ID
            > join a v3
              write g gen=0 ""/none leader=none
              = PreparingRebalance gen=0 initial leader=a-03 a-03(joins)
            > heartbeat a id=a-03 gen=0
              a: REBALANCE_IN_PROGRESS
            > tick 3s
              after 3s: join timer
              a: joined gen=1 id=a-03 leader=a-03 protocol=consumer/range a-03:
              = CompletingRebalance gen=1 leader=a-03 a-03(to sync)
            > heartbeat a gen=0
              a: ILLEGAL_GENERATION
            > heartbeat a gen=2
              a: ILLEGAL_GENERATION
            > heartbeat a id=z-01
              a: UNKNOWN_MEMBER_ID
            > heartbeat a
              a: ok
            > sync a assign=a:x
              write g gen=1 "consumer"/range leader=a-03 a-03::"x"
              a: synced "x" protocol=consumer/range
              = Stable gen=1 leader=a-03 a-03
            > heartbeat a
              a: ok
            > join b v3
              = PreparingRebalance gen=1 leader=a-03 a-03 b-0e(joins)
            > heartbeat a
              a: REBALANCE_IN_PROGRESS
            > tick 9s
            > heartbeat a
              a: REBALANCE_IN_PROGRESS
        "#]],
    );
}

#[test]
fn commits_are_checked() {
    check(
        "
        join z
        commit x gen=-1 id=none
        commit x gen=3
        join a v3
        commit x gen=-1 id=none
        tick 3s
        commit a
        sync a assign=a:x
        commit a
        commit a gen=0
        commit a gen=-1
        commit a id=b-01
        commit x gen=-1 id=none
        commit a instance=i
        ",
        expect![[r#"
            > join z
              write g gen=0 ""/none leader=none
              z: MEMBER_ID_REQUIRED id=z-01
              = Empty gen=0 z-01(pending)
            > commit x gen=-1 id=none
              x: ok
            > commit x gen=3
              x: UNKNOWN_MEMBER_ID
            > join a v3
              = PreparingRebalance gen=0 initial leader=a-05 a-05(joins) z-01(pending)
            > commit x gen=-1 id=none
              x: UNKNOWN_MEMBER_ID
            > tick 3s
              after 3s: join timer
              a: joined gen=1 id=a-05 leader=a-05 protocol=consumer/range a-05:
              = CompletingRebalance gen=1 leader=a-05 a-05(to sync) z-01(pending)
            > commit a
              a: REBALANCE_IN_PROGRESS
            > sync a assign=a:x
              write g gen=1 "consumer"/range leader=a-05 a-05::"x"
              a: synced "x" protocol=consumer/range
              = Stable gen=1 leader=a-05 a-05 z-01(pending)
            > commit a
              a: ok
            > commit a gen=0
              a: ILLEGAL_GENERATION
            > commit a gen=-1
              a: ILLEGAL_GENERATION
            > commit a id=b-01
              a: UNKNOWN_MEMBER_ID
            > commit x gen=-1 id=none
              x: UNKNOWN_MEMBER_ID
            > commit a instance=i
              a: UNKNOWN_MEMBER_ID
        "#]],
    );
}
