//! Tests of static members, which return under another id.

use expect_test::expect;

use crate::classic::tests::driver::check;

#[test]
fn a_static_member_joins_at_once_and_keeps_its_place_while_it_is_away() {
    check(
        "
        join a instance=i
        tick 3s
        sync a instance=i assign=a:x
        tick 9s
        join b instance=i
        sync b instance=i
        heartbeat a gen=1 instance=i
        heartbeat a gen=1
        heartbeat b instance=i
        timers
        ",
        expect![[r#"
            > join a instance=i
              write g gen=0 ""/none leader=none
              = PreparingRebalance gen=0 initial leader=i-01 i-01(joins)
            > tick 3s
              after 3s: join timer
              a: joined gen=1 id=i-01 leader=i-01 protocol=consumer/range i-01(i):
              = CompletingRebalance gen=1 leader=i-01 i-01(to sync)
            > sync a instance=i assign=a:x
              write g gen=1 "consumer"/range leader=i-01 i-01(i)::"x"
              a: synced "x" protocol=consumer/range
              = Stable gen=1 leader=i-01 i-01
            > tick 9s
            > join b instance=i
              write g gen=1 "consumer"/range leader=i-06 i-06(i)::"x"
              b: joined gen=1 id=i-06 leader=i-06 protocol=consumer/range i-06(i): skip
              = Stable gen=1 leader=i-06 i-06
            > sync b instance=i
              b: synced "x" protocol=consumer/range
            > heartbeat a gen=1 instance=i
              a: FENCED_INSTANCE_ID
            > heartbeat a gen=1
              a: UNKNOWN_MEMBER_ID
            > heartbeat b instance=i
              b: ok
            > timers
              session of i-06 in 10s
        "#]],
    );
}

#[test]
fn a_leader_that_comes_back_is_told_to_skip_the_assignment() {
    check(
        "
        join a instance=i
        join b instance=j
        tick 6s
        sync a assign=a:x,b:y
        ---
        sync b
        join c instance=i
        sync c
        heartbeat b
        ",
        expect![[r#"
            > sync b
              b: synced "y" protocol=consumer/range
              = Stable gen=1 leader=i-01 i-01 j-03
            > join c instance=i
              write g gen=1 "consumer"/range leader=i-09 i-09(i)::"x" j-03(j)::"y"
              c: joined gen=1 id=i-09 leader=i-09 protocol=consumer/range i-09(i): j-03(j): skip
              = Stable gen=1 leader=i-09 i-09 j-03
            > sync c
              c: synced "x" protocol=consumer/range
            > heartbeat b
              b: ok
        "#]],
    );
}

#[test]
fn before_version_9_a_leader_that_comes_back_is_not_told_that_it_leads() {
    check(
        "
        join a instance=i
        join b instance=j
        tick 6s
        sync a assign=a:x,b:y
        sync b
        ---
        join c v8 instance=i
        join d v8 instance=j
        heartbeat c
        ",
        expect![[r#"
            > join c v8 instance=i
              write g gen=1 "consumer"/range leader=i-09 i-09(i)::"x" j-03(j)::"y"
              c: joined gen=1 id=i-09 leader=i-01 protocol=consumer/range
              = Stable gen=1 leader=i-09 i-09 j-03
            > join d v8 instance=j
              write g gen=1 "consumer"/range leader=i-09 i-09(i)::"x" j-0b(j)::"y"
              d: joined gen=1 id=j-0b leader=i-09 protocol=consumer/range
              = Stable gen=1 leader=i-09 i-09 j-0b
            > heartbeat c
              c: ok
        "#]],
    );
}

#[test]
fn a_replacement_is_answered_when_it_is_written() {
    check(
        "
        hold
        join a instance=i
        written
        tick 3s
        sync a assign=a:x
        written
        join b instance=i
        written
        ",
        expect![[r#"
            > hold
              = no group
            > join a instance=i
              write g gen=0 ""/none leader=none
              = PreparingRebalance gen=0 initial leader=i-01 i-01(joins)
            > written
            > tick 3s
              after 3s: join timer
              a: joined gen=1 id=i-01 leader=i-01 protocol=consumer/range i-01(i):
              = CompletingRebalance gen=1 leader=i-01 i-01(to sync)
            > sync a assign=a:x
              write g gen=1 "consumer"/range leader=i-01 i-01(i)::"x"
              = CompletingRebalance gen=1 leader=i-01 i-01(syncs)
            > written
              a: synced "x" protocol=consumer/range
              = Stable gen=1 leader=i-01 i-01
            > join b instance=i
              write g gen=1 "consumer"/range leader=i-06 i-06(i)::"x"
              = Stable gen=1 leader=i-06 i-06(joins)
            > written
              b: joined gen=1 id=i-06 leader=i-06 protocol=consumer/range i-06(i): skip
              = Stable gen=1 leader=i-06 i-06
        "#]],
    );
}

#[test]
fn a_replacement_that_could_not_be_written_is_undone() {
    check(
        "
        hold
        join a instance=i session=10s rebalance=20s protocols=range:t
        written
        tick 3s
        sync a assign=a:x
        written
        join b instance=i session=30s rebalance=40s protocols=range:u
        failed NOT_ENOUGH_REPLICAS
        heartbeat a instance=i
        timers
        describe
        ",
        expect![[r#"
            > hold
              = no group
            > join a instance=i session=10s rebalance=20s protocols=range:t
              write g gen=0 ""/none leader=none
              = PreparingRebalance gen=0 initial leader=i-01 i-01(joins)
            > written
            > tick 3s
              after 3s: join timer
              a: joined gen=1 id=i-01 leader=i-01 protocol=consumer/range i-01(i):t
              = CompletingRebalance gen=1 leader=i-01 i-01(to sync)
            > sync a assign=a:x
              write g gen=1 "consumer"/range leader=i-01 i-01(i):t:"x"
              = CompletingRebalance gen=1 leader=i-01 i-01(syncs)
            > written
              a: synced "x" protocol=consumer/range
              = Stable gen=1 leader=i-01 i-01
            > join b instance=i session=30s rebalance=40s protocols=range:u
              write g gen=1 "consumer"/range leader=i-06 i-06(i):u:"x"
              = Stable gen=1 leader=i-06 i-06(joins)
            > failed NOT_ENOUGH_REPLICAS
              b: COORDINATOR_NOT_AVAILABLE id=
              = Stable gen=1 leader=i-01 i-01
            > heartbeat a instance=i
              a: ok
            > timers
              session of i-01 in 10s
            > describe
              Stable "consumer"/"range"
              i-01 instance=i client=a host=/127.0.0.1 metadata=t assignment="x"
        "#]],
    );
}

#[test]
fn a_replacement_counts_for_a_rebalance_that_began_meanwhile() {
    check(
        "
        hold
        join a instance=i
        written
        tick 3s
        sync a assign=a:x
        written
        join b instance=i
        ---
        join c v3
        written
        sync b assign=b:x,c:y
        written
        ",
        expect![[r#"
            > join c v3
              c: joined gen=2 id=c-07 leader=i-06 protocol=consumer/range
              b: joined gen=2 id=i-06 leader=i-06 protocol=consumer/range c-07: i-06(i):
              = CompletingRebalance gen=2 leader=i-06 c-07(to sync) i-06(to sync)
            > written
            > sync b assign=b:x,c:y
              write g gen=2 "consumer"/range leader=i-06 c-07::"y" i-06(i)::"x"
              = CompletingRebalance gen=2 leader=i-06 c-07(to sync) i-06(syncs)
            > written
              b: synced "x" protocol=consumer/range
              = Stable gen=2 leader=i-06 c-07(to sync) i-06
        "#]],
    );
}

#[test]
fn a_replacement_of_a_replacement_fences_the_first() {
    check(
        "
        hold
        join a instance=i
        written
        tick 3s
        sync a assign=a:x
        written
        join b instance=i
        ---
        join c instance=i
        written
        written
        ",
        expect![[r#"
            > join c instance=i
              write g gen=1 "consumer"/range leader=i-07 i-07(i)::"x"
              = Stable gen=1 leader=i-07 i-07(joins)
            > written
            > written
              b: FENCED_INSTANCE_ID id=i-06
              c: joined gen=1 id=i-07 leader=i-07 protocol=consumer/range i-07(i): skip
              = Stable gen=1 leader=i-07 i-07
        "#]],
    );
}

#[test]
fn a_static_member_with_other_protocols_rebalances_only_if_another_one_wins() {
    check(
        "
        join a instance=i protocols=range,roundrobin
        join b instance=j protocols=range,roundrobin
        tick 6s
        sync a assign=a:x,b:y
        sync b
        join c instance=j protocols=range:t,roundrobin
        join d instance=j protocols=roundrobin
        join a instance=i protocols=range,roundrobin
        ",
        expect![[r#"
            > join a instance=i protocols=range,roundrobin
              write g gen=0 ""/none leader=none
              = PreparingRebalance gen=0 initial leader=i-01 i-01(joins)
            > join b instance=j protocols=range,roundrobin
              = PreparingRebalance gen=0 initial leader=i-01 i-01(joins) j-03(joins)
            > tick 6s
              after 3s: join timer
              after 6s: join timer
              a: joined gen=1 id=i-01 leader=i-01 protocol=consumer/range i-01(i): j-03(j):
              b: joined gen=1 id=j-03 leader=i-01 protocol=consumer/range
              = CompletingRebalance gen=1 leader=i-01 i-01(to sync) j-03(to sync)
            > sync a assign=a:x,b:y
              write g gen=1 "consumer"/range leader=i-01 i-01(i)::"x" j-03(j)::"y"
              a: synced "x" protocol=consumer/range
              = Stable gen=1 leader=i-01 i-01 j-03(to sync)
            > sync b
              b: synced "y" protocol=consumer/range
              = Stable gen=1 leader=i-01 i-01 j-03
            > join c instance=j protocols=range:t,roundrobin
              write g gen=1 "consumer"/range leader=i-01 i-01(i)::"x" j-09(j):t:"y"
              c: joined gen=1 id=j-09 leader=i-01 protocol=consumer/range
              = Stable gen=1 leader=i-01 i-01 j-09
            > join d instance=j protocols=roundrobin
              = PreparingRebalance gen=1 leader=i-01 i-01 j-0b(joins)
            > join a instance=i protocols=range,roundrobin
              a: joined gen=2 id=i-01 leader=i-01 protocol=consumer/roundrobin i-01(i): j-0b(j):
              d: joined gen=2 id=j-0b leader=i-01 protocol=consumer/roundrobin
              = CompletingRebalance gen=2 leader=i-01 i-01(to sync) j-0b(to sync)
        "#]],
    );
}

#[test]
fn a_static_member_with_other_protocols_that_do_not_fit_is_refused() {
    check(
        "
        join a instance=i protocols=range
        join b instance=j protocols=range
        tick 6s
        join c instance=j protocols=sticky
        ",
        expect![[r#"
            > join a instance=i protocols=range
              write g gen=0 ""/none leader=none
              = PreparingRebalance gen=0 initial leader=i-01 i-01(joins)
            > join b instance=j protocols=range
              = PreparingRebalance gen=0 initial leader=i-01 i-01(joins) j-03(joins)
            > tick 6s
              after 3s: join timer
              after 6s: join timer
              a: joined gen=1 id=i-01 leader=i-01 protocol=consumer/range i-01(i): j-03(j):
              b: joined gen=1 id=j-03 leader=i-01 protocol=consumer/range
              = CompletingRebalance gen=1 leader=i-01 i-01(to sync) j-03(to sync)
            > join c instance=j protocols=sticky
              c: INCONSISTENT_GROUP_PROTOCOL id=
        "#]],
    );
}

#[test]
fn a_replacement_before_the_assignment_begins_a_rebalance() {
    check(
        "
        join a instance=i
        join b instance=j
        tick 6s
        ---
        sync b
        join c instance=j
        heartbeat a
        join a instance=i
        ",
        expect![[r#"
            > sync b
              = CompletingRebalance gen=1 leader=i-01 i-01(to sync) j-03(syncs)
            > join c instance=j
              b: FENCED_INSTANCE_ID
              = PreparingRebalance gen=1 leader=i-01 i-01 j-07(joins)
            > heartbeat a
              a: REBALANCE_IN_PROGRESS
            > join a instance=i
              a: joined gen=2 id=i-01 leader=i-01 protocol=consumer/range i-01(i): j-07(j):
              c: joined gen=2 id=j-07 leader=i-01 protocol=consumer/range
              = CompletingRebalance gen=2 leader=i-01 i-01(to sync) j-07(to sync)
        "#]],
    );
}

#[test]
fn a_replacement_during_a_rebalance_fences_who_waits() {
    check(
        "
        join a instance=i
        tick 1s
        join b instance=i
        tick 5s
        ",
        expect![[r#"
            > join a instance=i
              write g gen=0 ""/none leader=none
              = PreparingRebalance gen=0 initial leader=i-01 i-01(joins)
            > tick 1s
            > join b instance=i
              a: FENCED_INSTANCE_ID id=i-01
              = PreparingRebalance gen=0 initial leader=i-03 i-03(joins)
            > tick 5s
              after 2s: join timer
              b: joined gen=1 id=i-03 leader=i-03 protocol=consumer/range i-03(i):
              = CompletingRebalance gen=1 leader=i-03 i-03(to sync)
        "#]],
    );
}

#[test]
fn a_replacement_before_it_synced_does_not_remove_anybody_later() {
    check(
        "
        join a instance=i rebalance=20s session=60s
        join b instance=j rebalance=20s session=60s
        tick 6s
        sync a assign=a:x,b:y
        join c instance=j rebalance=20s session=60s
        tick 30s
        heartbeat a
        heartbeat c
        ",
        expect![[r#"
            > join a instance=i rebalance=20s session=60s
              write g gen=0 ""/none leader=none
              = PreparingRebalance gen=0 initial leader=i-01 i-01(joins)
            > join b instance=j rebalance=20s session=60s
              = PreparingRebalance gen=0 initial leader=i-01 i-01(joins) j-03(joins)
            > tick 6s
              after 3s: join timer
              after 6s: join timer
              a: joined gen=1 id=i-01 leader=i-01 protocol=consumer/range i-01(i): j-03(j):
              b: joined gen=1 id=j-03 leader=i-01 protocol=consumer/range
              = CompletingRebalance gen=1 leader=i-01 i-01(to sync) j-03(to sync)
            > sync a assign=a:x,b:y
              write g gen=1 "consumer"/range leader=i-01 i-01(i)::"x" j-03(j)::"y"
              a: synced "x" protocol=consumer/range
              = Stable gen=1 leader=i-01 i-01 j-03(to sync)
            > join c instance=j rebalance=20s session=60s
              write g gen=1 "consumer"/range leader=i-01 i-01(i)::"x" j-08(j)::"y"
              c: joined gen=1 id=j-08 leader=i-01 protocol=consumer/range
              = Stable gen=1 leader=i-01 i-01 j-08
            > tick 30s
            > heartbeat a
              a: ok
            > heartbeat c
              c: ok
        "#]],
    );
}

#[test]
fn a_static_member_that_joins_with_its_id_joins_as_any_other() {
    check(
        "
        join a instance=i
        join b instance=j
        tick 6s
        sync a assign=a:x,b:y
        sync b
        ---
        join b instance=j
        join a instance=i
        ",
        expect![[r#"
            > join b instance=j
              b: joined gen=1 id=j-03 leader=i-01 protocol=consumer/range
            > join a instance=i
              = PreparingRebalance gen=1 leader=i-01 i-01(joins) j-03
        "#]],
    );
}

#[test]
fn a_static_member_that_is_away_for_its_session_is_removed() {
    check(
        "
        join a instance=i session=10s
        join b instance=j session=30s
        tick 6s
        sync a assign=a:x,b:y
        sync b
        tick 10s
        join c instance=i
        ",
        expect![[r#"
            > join a instance=i session=10s
              write g gen=0 ""/none leader=none
              = PreparingRebalance gen=0 initial leader=i-01 i-01(joins)
            > join b instance=j session=30s
              = PreparingRebalance gen=0 initial leader=i-01 i-01(joins) j-03(joins)
            > tick 6s
              after 3s: join timer
              after 6s: join timer
              a: joined gen=1 id=i-01 leader=i-01 protocol=consumer/range i-01(i): j-03(j):
              b: joined gen=1 id=j-03 leader=i-01 protocol=consumer/range
              = CompletingRebalance gen=1 leader=i-01 i-01(to sync) j-03(to sync)
            > sync a assign=a:x,b:y
              write g gen=1 "consumer"/range leader=i-01 i-01(i)::"x" j-03(j)::"y"
              a: synced "x" protocol=consumer/range
              = Stable gen=1 leader=i-01 i-01 j-03(to sync)
            > sync b
              b: synced "y" protocol=consumer/range
              = Stable gen=1 leader=i-01 i-01 j-03
            > tick 10s
              after 10s: session of i-01
              = PreparingRebalance gen=1 leader=j-03 j-03
            > join c instance=i
              = PreparingRebalance gen=1 leader=j-03 i-0a(joins) j-03
        "#]],
    );
}
