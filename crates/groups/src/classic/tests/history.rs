//! Tests of the history of rebalances.

use expect_test::expect;

use crate::classic::tests::driver::check;

#[test]
fn each_rebalance_has_its_cause() {
    check(
        "
        join a v3
        join b v3
        tick 6s
        sync a assign=a:x,b:y
        sync b
        leave b
        join a
        sync a assign=a:x
        join c v3 session=20s
        join a
        sync a assign=a:x
        sync c
        tick 9s
        heartbeat a
        tick 9s
        heartbeat a
        tick 3s
        ---
        history
        ",
        expect![[r#"
            > history
              27s ago: to 1, members 1: member a-01 at 127.0.0.1 joined
              27s ago: to 1, members 2 (meanwhile): member b-03 at 127.0.0.1 joined
              21s ago: to 2, members 1: member b-03 at 127.0.0.1 left
              21s ago: to 3, members 2: member c-0d at 127.0.0.1 joined
              1s ago: to 4, members 1: member c-0d at 127.0.0.1 timed out: no heartbeat for 20000 ms, its session timeout
        "#]],
    );
}

#[test]
fn members_that_do_not_join_or_sync_in_time_are_named() {
    check(
        "
        join a v3 rebalance=5s session=60s
        join b v3 rebalance=5s session=60s
        tick 6s
        sync a assign=a:x,b:y
        tick 6s
        ---
        history
        tick 6s
        history
        ",
        expect![[r#"
            > history
              12s ago: to 1, members 1: member a-01 at 127.0.0.1 joined
              12s ago: to 1, members 2 (meanwhile): member b-03 at 127.0.0.1 joined
              2s ago: to 2, members 1: member b-03 at 127.0.0.1 timed out: did not ask for an assignment within 5000 ms, the rebalance timeout
            > tick 6s
              after 3s: join timer
              write g gen=2 "consumer"/none leader=none
              = Empty gen=2
            > history
              18s ago: to 1, members 1: member a-01 at 127.0.0.1 joined
              18s ago: to 1, members 2 (meanwhile): member b-03 at 127.0.0.1 joined
              8s ago: to 2, members 1: member b-03 at 127.0.0.1 timed out: did not ask for an assignment within 5000 ms, the rebalance timeout
              3s ago: to 2, members 0 (meanwhile): member a-01 at 127.0.0.1 timed out: did not join again within 5000 ms, the rebalance timeout (max.poll.interval.ms of Java clients)
        "#]],
    );
}

#[test]
fn a_rebalance_that_its_leader_asks_for_differs_from_one_of_another_member() {
    check(
        "
        join a v3
        join b v3
        tick 6s
        sync a assign=a:x,b:y
        sync b
        ---
        join b protocols=range:t
        join a
        sync a assign=a:x,b:y
        sync b
        join a
        history
        ",
        expect![[r#"
            > join b protocols=range:t
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
            > join a
              = PreparingRebalance gen=2 leader=a-01 a-01(joins) b-03
            > history
              6s ago: to 1, members 1: member a-01 at 127.0.0.1 joined
              6s ago: to 1, members 2 (meanwhile): member b-03 at 127.0.0.1 joined
              0s ago: to 2, members 2: member b-03 at 127.0.0.1 joined again, and changed its subscription, its assignors, or the partitions that it has (cooperative rebalancing)
              0s ago: to 3, members 2: member a-01 at 127.0.0.1, which assigns the partitions, asked for a rebalance
        "#]],
    );
}

#[test]
fn another_coordinator_begins_with_an_empty_history() {
    check(
        "
        join a v3
        tick 3s
        sync a assign=a:x
        reload
        history
        ",
        expect![[r#"
            > join a v3
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
            > reload
            > history
        "#]],
    );
}
