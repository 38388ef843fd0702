//! Tests of whole rebalances, as clients experience them.

use expect_test::expect;

use crate::classic::tests::driver::check;

#[test]
fn a_rebalance_that_nobody_joins_waits_until_sessions_end() {
    check(
        "
        join a v3 instance=i rebalance=10s session=60s
        join b v3 rebalance=10s session=60s
        tick 6s
        sync a assign=a:x,b:y
        sync b
        leave b
        tick 10s
        timers
        tick 50s
        timers
        ",
        expect![[r#"
            > join a v3 instance=i rebalance=10s session=60s
              write g gen=0 ""/none leader=none
              = PreparingRebalance gen=0 initial leader=i-01 i-01(joins)
            > join b v3 rebalance=10s session=60s
              = PreparingRebalance gen=0 initial leader=i-01 b-03(joins) i-01(joins)
            > tick 6s
              after 3s: join timer
              after 6s: join timer
              b: joined gen=1 id=b-03 leader=i-01 protocol=consumer/range
              a: joined gen=1 id=i-01 leader=i-01 protocol=consumer/range b-03: i-01(i):
              = CompletingRebalance gen=1 leader=i-01 b-03(to sync) i-01(to sync)
            > sync a assign=a:x,b:y
              write g gen=1 "consumer"/range leader=i-01 b-03::"y" i-01(i)::"x"
              a: synced "x" protocol=consumer/range
              = Stable gen=1 leader=i-01 b-03(to sync) i-01
            > sync b
              b: synced "y" protocol=consumer/range
              = Stable gen=1 leader=i-01 b-03 i-01
            > leave b
              left: ok [b-03 ok]
              = PreparingRebalance gen=1 leader=i-01 i-01
            > tick 10s
              after 10s: join timer
            > timers
              join timer in 10s
              session of i-01 in 50s
            > tick 50s
              after 10s: join timer
              after 20s: join timer
              after 30s: join timer
              after 40s: join timer
              after 50s: join timer
              after 50s: session of i-01
              write g gen=2 "consumer"/none leader=none
              = Empty gen=2
            > timers
        "#]],
    );
}

#[test]
fn a_rebalance_that_nobody_joins_completes_when_a_static_member_comes() {
    check(
        "
        join a v3 instance=i rebalance=10s session=60s
        join b v3 rebalance=10s session=60s
        tick 6s
        sync a assign=a:x,b:y
        sync b
        leave b
        tick 10s
        ---
        join a instance=i
        ",
        expect![[r#"
            > join a instance=i
              a: joined gen=2 id=i-01 leader=i-01 protocol=consumer/range i-01(i):
              = CompletingRebalance gen=2 leader=i-01 i-01(to sync)
        "#]],
    );
}

#[test]
fn a_member_that_commits_before_it_joins_again_stays() {
    check(
        "
        set group.initial.rebalance.delay.ms=0
        join a v3 session=10s
        join b v3 session=10s
        tick 0s
        commit a
        sync a assign=a:x,b:y
        sync b
        tick 9s
        commit a
        heartbeat b
        join b protocols=range:t
        tick 9s
        commit a
        tick 9s
        join a
        ",
        expect![[r#"
            > set group.initial.rebalance.delay.ms=0
              = no group
            > join a v3 session=10s
              write g gen=0 ""/none leader=none
              = PreparingRebalance gen=0 initial leader=a-01 a-01(joins)
            > join b v3 session=10s
              = PreparingRebalance gen=0 initial leader=a-01 a-01(joins) b-03(joins)
            > tick 0s
              after 0ns: join timer
              after 0ns: join timer
              a: joined gen=1 id=a-01 leader=a-01 protocol=consumer/range a-01: b-03:
              b: joined gen=1 id=b-03 leader=a-01 protocol=consumer/range
              = CompletingRebalance gen=1 leader=a-01 a-01(to sync) b-03(to sync)
            > commit a
              a: REBALANCE_IN_PROGRESS
            > sync a assign=a:x,b:y
              write g gen=1 "consumer"/range leader=a-01 a-01::"x" b-03::"y"
              a: synced "x" protocol=consumer/range
              = Stable gen=1 leader=a-01 a-01 b-03(to sync)
            > sync b
              b: synced "y" protocol=consumer/range
              = Stable gen=1 leader=a-01 a-01 b-03
            > tick 9s
            > commit a
              a: ok
            > heartbeat b
              b: ok
            > join b protocols=range:t
              = PreparingRebalance gen=1 leader=a-01 a-01 b-03(joins)
            > tick 9s
            > commit a
              a: ok
            > tick 9s
              after 1s: session of b-03
            > join a
              a: joined gen=2 id=a-01 leader=a-01 protocol=consumer/range a-01: b-03:t
              b: joined gen=2 id=b-03 leader=a-01 protocol=consumer/range
              = CompletingRebalance gen=2 leader=a-01 a-01(to sync) b-03(to sync)
        "#]],
    );
}

#[test]
fn an_eager_group_gives_everything_back_and_shares_it_anew() {
    check(
        "
        join a v3 protocols=range:t
        tick 3s
        sync a assign=a:t0+t1
        join b v3 protocols=range:t
        heartbeat a
        join a protocols=range:t
        sync b
        sync a assign=a:t0,b:t1
        leave b
        heartbeat a
        join a protocols=range:t
        sync a assign=a:t0+t1
        ",
        expect![[r#"
            > join a v3 protocols=range:t
              write g gen=0 ""/none leader=none
              = PreparingRebalance gen=0 initial leader=a-01 a-01(joins)
            > tick 3s
              after 3s: join timer
              a: joined gen=1 id=a-01 leader=a-01 protocol=consumer/range a-01:t
              = CompletingRebalance gen=1 leader=a-01 a-01(to sync)
            > sync a assign=a:t0+t1
              write g gen=1 "consumer"/range leader=a-01 a-01:t:"t0+t1"
              a: synced "t0+t1" protocol=consumer/range
              = Stable gen=1 leader=a-01 a-01
            > join b v3 protocols=range:t
              = PreparingRebalance gen=1 leader=a-01 a-01 b-06(joins)
            > heartbeat a
              a: REBALANCE_IN_PROGRESS
            > join a protocols=range:t
              a: joined gen=2 id=a-01 leader=a-01 protocol=consumer/range a-01:t b-06:t
              b: joined gen=2 id=b-06 leader=a-01 protocol=consumer/range
              = CompletingRebalance gen=2 leader=a-01 a-01(to sync) b-06(to sync)
            > sync b
              = CompletingRebalance gen=2 leader=a-01 a-01(to sync) b-06(syncs)
            > sync a assign=a:t0,b:t1
              write g gen=2 "consumer"/range leader=a-01 a-01:t:"t0" b-06:t:"t1"
              a: synced "t0" protocol=consumer/range
              b: synced "t1" protocol=consumer/range
              = Stable gen=2 leader=a-01 a-01 b-06
            > leave b
              left: ok [b-06 ok]
              = PreparingRebalance gen=2 leader=a-01 a-01
            > heartbeat a
              a: REBALANCE_IN_PROGRESS
            > join a protocols=range:t
              a: joined gen=3 id=a-01 leader=a-01 protocol=consumer/range a-01:t
              = CompletingRebalance gen=3 leader=a-01 a-01(to sync)
            > sync a assign=a:t0+t1
              write g gen=3 "consumer"/range leader=a-01 a-01:t:"t0+t1"
              a: synced "t0+t1" protocol=consumer/range
              = Stable gen=3 leader=a-01 a-01
        "#]],
    );
}

#[test]
fn a_cooperative_group_moves_partitions_in_two_rebalances() {
    check(
        "
        join a v3 protocols=cooperative-sticky:t
        tick 3s
        sync a assign=a:t0+t1
        join b v3 protocols=cooperative-sticky:t
        heartbeat a
        commit a
        join a protocols=cooperative-sticky:t
        sync b
        sync a assign=a:t0
        join a protocols=cooperative-sticky:t
        heartbeat b
        join b protocols=cooperative-sticky:t
        sync a assign=a:t0,b:t1
        sync b
        ",
        expect![[r#"
            > join a v3 protocols=cooperative-sticky:t
              write g gen=0 ""/none leader=none
              = PreparingRebalance gen=0 initial leader=a-01 a-01(joins)
            > tick 3s
              after 3s: join timer
              a: joined gen=1 id=a-01 leader=a-01 protocol=consumer/cooperative-sticky a-01:t
              = CompletingRebalance gen=1 leader=a-01 a-01(to sync)
            > sync a assign=a:t0+t1
              write g gen=1 "consumer"/cooperative-sticky leader=a-01 a-01:t:"t0+t1"
              a: synced "t0+t1" protocol=consumer/cooperative-sticky
              = Stable gen=1 leader=a-01 a-01
            > join b v3 protocols=cooperative-sticky:t
              = PreparingRebalance gen=1 leader=a-01 a-01 b-06(joins)
            > heartbeat a
              a: REBALANCE_IN_PROGRESS
            > commit a
              a: ok
            > join a protocols=cooperative-sticky:t
              a: joined gen=2 id=a-01 leader=a-01 protocol=consumer/cooperative-sticky a-01:t b-06:t
              b: joined gen=2 id=b-06 leader=a-01 protocol=consumer/cooperative-sticky
              = CompletingRebalance gen=2 leader=a-01 a-01(to sync) b-06(to sync)
            > sync b
              = CompletingRebalance gen=2 leader=a-01 a-01(to sync) b-06(syncs)
            > sync a assign=a:t0
              write g gen=2 "consumer"/cooperative-sticky leader=a-01 a-01:t:"t0" b-06:t:""
              a: synced "t0" protocol=consumer/cooperative-sticky
              b: synced "" protocol=consumer/cooperative-sticky
              = Stable gen=2 leader=a-01 a-01 b-06
            > join a protocols=cooperative-sticky:t
              = PreparingRebalance gen=2 leader=a-01 a-01(joins) b-06
            > heartbeat b
              b: REBALANCE_IN_PROGRESS
            > join b protocols=cooperative-sticky:t
              a: joined gen=3 id=a-01 leader=a-01 protocol=consumer/cooperative-sticky a-01:t b-06:t
              b: joined gen=3 id=b-06 leader=a-01 protocol=consumer/cooperative-sticky
              = CompletingRebalance gen=3 leader=a-01 a-01(to sync) b-06(to sync)
            > sync a assign=a:t0,b:t1
              write g gen=3 "consumer"/cooperative-sticky leader=a-01 a-01:t:"t0" b-06:t:"t1"
              a: synced "t0" protocol=consumer/cooperative-sticky
              = Stable gen=3 leader=a-01 a-01 b-06(to sync)
            > sync b
              b: synced "t1" protocol=consumer/cooperative-sticky
              = Stable gen=3 leader=a-01 a-01 b-06
        "#]],
    );
}
