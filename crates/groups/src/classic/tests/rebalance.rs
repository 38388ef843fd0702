//! Tests of the rebalance: how long it waits, and for which members.

use expect_test::expect;

use crate::classic::tests::driver::check;

#[test]
fn an_empty_group_waits_for_more_members_up_to_the_rebalance_timeout() {
    check(
        "
        join a v3 rebalance=10s
        tick 2s
        join b v3 rebalance=10s
        tick 2s
        join c v3 rebalance=10s
        tick 2s
        leave c-05
        join d v3 rebalance=10s
        tick 6s
        ",
        expect![[r#"
            > join a v3 rebalance=10s
              write g gen=0 ""/none leader=none
              = PreparingRebalance gen=0 initial leader=a-01 a-01(joins)
            > tick 2s
            > join b v3 rebalance=10s
              = PreparingRebalance gen=0 initial leader=a-01 a-01(joins) b-03(joins)
            > tick 2s
              after 1s: join timer
            > join c v3 rebalance=10s
              = PreparingRebalance gen=0 initial leader=a-01 a-01(joins) b-03(joins) c-05(joins)
            > tick 2s
              after 2s: join timer
            > leave c-05
              c: UNKNOWN_MEMBER_ID id=
              left: ok [c-05 ok]
              = PreparingRebalance gen=0 initial leader=a-01 a-01(joins) b-03(joins)
            > join d v3 rebalance=10s
              = PreparingRebalance gen=0 initial leader=a-01 a-01(joins) b-03(joins) d-08(joins)
            > tick 6s
              after 3s: join timer
              after 4s: join timer
              a: joined gen=1 id=a-01 leader=a-01 protocol=consumer/range a-01: b-03: d-08:
              b: joined gen=1 id=b-03 leader=a-01 protocol=consumer/range
              d: joined gen=1 id=d-08 leader=a-01 protocol=consumer/range
              = CompletingRebalance gen=1 leader=a-01 a-01(to sync) b-03(to sync) d-08(to sync)
        "#]],
    );
}

#[test]
fn an_empty_group_waits_once_when_nobody_follows() {
    check(
        "
        join a v3
        tick 2999ms
        tick 1ms
        ",
        expect![[r#"
            > join a v3
              write g gen=0 ""/none leader=none
              = PreparingRebalance gen=0 initial leader=a-01 a-01(joins)
            > tick 2999ms
            > tick 1ms
              after 1ms: join timer
              a: joined gen=1 id=a-01 leader=a-01 protocol=consumer/range a-01:
              = CompletingRebalance gen=1 leader=a-01 a-01(to sync)
        "#]],
    );
}

#[test]
fn without_a_delay_a_rebalance_completes_at_once() {
    check(
        "
        set group.initial.rebalance.delay.ms=0
        join a v3
        ---
        tick 0s
        ",
        expect![[r#"
            > tick 0s
              after 0ns: join timer
              a: joined gen=1 id=a-01 leader=a-01 protocol=consumer/range a-01:
              = CompletingRebalance gen=1 leader=a-01 a-01(to sync)
        "#]],
    );
}

#[test]
fn a_rebalance_completes_when_all_have_joined() {
    check(
        "
        join a v3
        tick 3s
        sync a assign=a:x
        join b
        ---
        join b
        heartbeat a
        join a
        sync b
        sync a assign=a:x,b:y
        ",
        expect![[r#"
            > join b
              = PreparingRebalance gen=1 leader=a-01 a-01 b-06(joins)
            > heartbeat a
              a: REBALANCE_IN_PROGRESS
            > join a
              a: joined gen=2 id=a-01 leader=a-01 protocol=consumer/range a-01: b-06:
              b: joined gen=2 id=b-06 leader=a-01 protocol=consumer/range
              = CompletingRebalance gen=2 leader=a-01 a-01(to sync) b-06(to sync)
            > sync b
              = CompletingRebalance gen=2 leader=a-01 a-01(to sync) b-06(syncs)
            > sync a assign=a:x,b:y
              write g gen=2 "consumer"/range leader=a-01 a-01::"x" b-06::"y"
              a: synced "x" protocol=consumer/range
              b: synced "y" protocol=consumer/range
              = Stable gen=2 leader=a-01 a-01 b-06
        "#]],
    );
}

#[test]
fn members_that_do_not_join_in_time_are_removed() {
    check(
        "
        join a v3 rebalance=20s session=30s
        join b v3 rebalance=20s session=30s
        tick 6s
        sync a assign=a:x,b:y
        sync b
        join b protocols=range:t rebalance=20s session=30s
        tick 15s
        heartbeat a
        tick 5s
        heartbeat a
        timers
        ",
        expect![[r#"
            > join a v3 rebalance=20s session=30s
              write g gen=0 ""/none leader=none
              = PreparingRebalance gen=0 initial leader=a-01 a-01(joins)
            > join b v3 rebalance=20s session=30s
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
            > join b protocols=range:t rebalance=20s session=30s
              = PreparingRebalance gen=1 leader=a-01 a-01 b-03(joins)
            > tick 15s
            > heartbeat a
              a: REBALANCE_IN_PROGRESS
            > tick 5s
              after 5s: join timer
              b: joined gen=2 id=b-03 leader=b-03 protocol=consumer/range b-03:t
              = CompletingRebalance gen=2 leader=b-03 b-03(to sync)
            > heartbeat a
              a: UNKNOWN_MEMBER_ID
            > timers
              sync timer in 20s
              session of b-03 in 30s
        "#]],
    );
}

#[test]
fn static_members_that_do_not_join_in_time_stay_until_they_do_not_sync() {
    check(
        "
        join a v3 instance=i rebalance=20s session=30s
        join b v3 rebalance=20s session=30s
        tick 6s
        sync a assign=a:x,b:y
        sync b
        tick 10s
        heartbeat a
        join b protocols=range:t rebalance=20s session=30s
        tick 20s
        sync b assign=b:y
        heartbeat b
        tick 20s
        ",
        expect![[r#"
            > join a v3 instance=i rebalance=20s session=30s
              write g gen=0 ""/none leader=none
              = PreparingRebalance gen=0 initial leader=i-01 i-01(joins)
            > join b v3 rebalance=20s session=30s
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
            > tick 10s
            > heartbeat a
              a: ok
            > join b protocols=range:t rebalance=20s session=30s
              = PreparingRebalance gen=1 leader=i-01 b-03(joins) i-01
            > tick 20s
              after 20s: join timer
              b: joined gen=2 id=b-03 leader=b-03 protocol=consumer/range b-03:t i-01(i):
              = CompletingRebalance gen=2 leader=b-03 b-03(to sync) i-01(to sync)
            > sync b assign=b:y
              write g gen=2 "consumer"/range leader=b-03 b-03:t:"y" i-01(i)::""
              b: synced "y" protocol=consumer/range
              = Stable gen=2 leader=b-03 b-03 i-01(to sync)
            > heartbeat b
              b: ok
            > tick 20s
              after 20s: sync timer
              = PreparingRebalance gen=2 leader=b-03 b-03
        "#]],
    );
}

#[test]
fn a_new_member_waits_five_minutes_at_most() {
    check(
        "
        set group.initial.rebalance.delay.ms=0
        join a v3 rebalance=1000s session=1000s
        tick 0s
        sync a assign=a:x
        join b v3
        tick 299s
        tick 1s
        ",
        expect![[r#"
            > set group.initial.rebalance.delay.ms=0
              = no group
            > join a v3 rebalance=1000s session=1000s
              write g gen=0 ""/none leader=none
              = PreparingRebalance gen=0 initial leader=a-01 a-01(joins)
            > tick 0s
              after 0ns: join timer
              a: joined gen=1 id=a-01 leader=a-01 protocol=consumer/range a-01:
              = CompletingRebalance gen=1 leader=a-01 a-01(to sync)
            > sync a assign=a:x
              write g gen=1 "consumer"/range leader=a-01 a-01::"x"
              a: synced "x" protocol=consumer/range
              = Stable gen=1 leader=a-01 a-01
            > join b v3
              = PreparingRebalance gen=1 leader=a-01 a-01 b-06(joins)
            > tick 299s
            > tick 1s
              after 1s: session of b-06
              b: UNKNOWN_MEMBER_ID id=
              = PreparingRebalance gen=1 leader=a-01 a-01
        "#]],
    );
}

#[test]
fn a_member_that_waits_is_not_removed_for_its_silence() {
    check(
        "
        set group.initial.rebalance.delay.ms=0
        join a v3 session=10s rebalance=60s
        join b v3 session=60s rebalance=60s
        tick 0s
        sync a assign=a:x,b:y
        sync b
        join a
        tick 30s
        join b
        timers
        ",
        expect![[r#"
            > set group.initial.rebalance.delay.ms=0
              = no group
            > join a v3 session=10s rebalance=60s
              write g gen=0 ""/none leader=none
              = PreparingRebalance gen=0 initial leader=a-01 a-01(joins)
            > join b v3 session=60s rebalance=60s
              = PreparingRebalance gen=0 initial leader=a-01 a-01(joins) b-03(joins)
            > tick 0s
              after 0ns: join timer
              after 0ns: join timer
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
            > join a
              = PreparingRebalance gen=1 leader=a-01 a-01(joins) b-03
            > tick 30s
              after 10s: session of a-01
            > join b
              a: joined gen=2 id=a-01 leader=a-01 protocol=consumer/range a-01: b-03:
              b: joined gen=2 id=b-03 leader=a-01 protocol=consumer/range
              = CompletingRebalance gen=2 leader=a-01 a-01(to sync) b-03(to sync)
            > timers
              session of a-01 in 10s
              session of b-03 in 10s
              sync timer in 60s
        "#]],
    );
}

#[test]
fn all_of_a_group_that_was_empty_may_leave_before_it_begins() {
    check(
        "
        join a v3
        tick 1s
        leave a-01
        tick 2s
        timers
        ",
        expect![[r#"
            > join a v3
              write g gen=0 ""/none leader=none
              = PreparingRebalance gen=0 initial leader=a-01 a-01(joins)
            > tick 1s
            > leave a-01
              a: UNKNOWN_MEMBER_ID id=
              left: ok [a-01 ok]
              = PreparingRebalance gen=0 initial
            > tick 2s
              after 2s: join timer
              write g gen=1 "consumer"/none leader=none
              = Empty gen=1
            > timers
        "#]],
    );
}
