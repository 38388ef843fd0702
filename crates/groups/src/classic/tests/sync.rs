//! Tests of SyncGroup: which members wait, and for what.

use expect_test::expect;

use crate::classic::tests::driver::check;

#[test]
fn members_wait_until_the_assignment_is_written() {
    check(
        "
        hold
        join a v3
        written
        ---
        join b v3
        tick 6s
        sync b
        sync a assign=a:x,b:y
        commit b
        heartbeat b
        written
        sync b
        commit b
        ",
        expect![[r#"
            > join b v3
              = PreparingRebalance gen=0 initial leader=a-01 a-01(joins) b-03(joins)
            > tick 6s
              after 3s: join timer
              after 6s: join timer
              a: joined gen=1 id=a-01 leader=a-01 protocol=consumer/range a-01: b-03:
              b: joined gen=1 id=b-03 leader=a-01 protocol=consumer/range
              = CompletingRebalance gen=1 leader=a-01 a-01(to sync) b-03(to sync)
            > sync b
              = CompletingRebalance gen=1 leader=a-01 a-01(to sync) b-03(syncs)
            > sync a assign=a:x,b:y
              write g gen=1 "consumer"/range leader=a-01 a-01::"x" b-03::"y"
              = CompletingRebalance gen=1 leader=a-01 a-01(syncs) b-03(syncs)
            > commit b
              b: REBALANCE_IN_PROGRESS
            > heartbeat b
              b: ok
            > written
              a: synced "x" protocol=consumer/range
              b: synced "y" protocol=consumer/range
              = Stable gen=1 leader=a-01 a-01 b-03
            > sync b
              b: synced "y" protocol=consumer/range
            > commit b
              b: ok
        "#]],
    );
}

#[test]
fn an_assignment_that_could_not_be_written_begins_a_rebalance() {
    check(
        "
        hold
        join a v3
        written
        join b v3
        tick 6s
        sync b
        sync a assign=a:x,b:y
        ---
        failed NOT_LEADER_OR_FOLLOWER
        heartbeat a
        join a
        join b
        sync a assign=a:x,b:y
        written
        sync b
        ",
        expect![[r#"
            > failed NOT_LEADER_OR_FOLLOWER
              a: NOT_COORDINATOR
              b: NOT_COORDINATOR
              = PreparingRebalance gen=1 leader=a-01 a-01 b-03
            > heartbeat a
              a: REBALANCE_IN_PROGRESS
            > join a
              = PreparingRebalance gen=1 leader=a-01 a-01(joins) b-03
            > join b
              a: joined gen=2 id=a-01 leader=a-01 protocol=consumer/range a-01: b-03:
              b: joined gen=2 id=b-03 leader=a-01 protocol=consumer/range
              = CompletingRebalance gen=2 leader=a-01 a-01(to sync) b-03(to sync)
            > sync a assign=a:x,b:y
              write g gen=2 "consumer"/range leader=a-01 a-01::"x" b-03::"y"
              = CompletingRebalance gen=2 leader=a-01 a-01(syncs) b-03(to sync)
            > written
              a: synced "x" protocol=consumer/range
              = Stable gen=2 leader=a-01 a-01 b-03(to sync)
            > sync b
              b: synced "y" protocol=consumer/range
              = Stable gen=2 leader=a-01 a-01 b-03
        "#]],
    );
}

#[test]
fn codes_of_failed_writes_are_translated() {
    check(
        "
        hold
        join a v3
        written
        tick 3s
        ---
        sync a assign=a:x
        failed NOT_ENOUGH_REPLICAS
        join a
        sync a assign=a:x
        failed MESSAGE_TOO_LARGE
        join a
        sync a assign=a:x
        failed COORDINATOR_LOAD_IN_PROGRESS
        ",
        expect![[r#"
            > sync a assign=a:x
              write g gen=1 "consumer"/range leader=a-01 a-01::"x"
              = CompletingRebalance gen=1 leader=a-01 a-01(syncs)
            > failed NOT_ENOUGH_REPLICAS
              a: COORDINATOR_NOT_AVAILABLE
              = PreparingRebalance gen=1 leader=a-01 a-01
            > join a
              a: joined gen=2 id=a-01 leader=a-01 protocol=consumer/range a-01:
              = CompletingRebalance gen=2 leader=a-01 a-01(to sync)
            > sync a assign=a:x
              write g gen=2 "consumer"/range leader=a-01 a-01::"x"
              = CompletingRebalance gen=2 leader=a-01 a-01(syncs)
            > failed MESSAGE_TOO_LARGE
              a: UNKNOWN_SERVER_ERROR
              = PreparingRebalance gen=2 leader=a-01 a-01
            > join a
              a: joined gen=3 id=a-01 leader=a-01 protocol=consumer/range a-01:
              = CompletingRebalance gen=3 leader=a-01 a-01(to sync)
            > sync a assign=a:x
              write g gen=3 "consumer"/range leader=a-01 a-01::"x"
              = CompletingRebalance gen=3 leader=a-01 a-01(syncs)
            > failed COORDINATOR_LOAD_IN_PROGRESS
              a: COORDINATOR_LOAD_IN_PROGRESS
              = PreparingRebalance gen=3 leader=a-01 a-01
        "#]],
    );
}

#[test]
fn an_assignment_of_a_generation_that_is_over_is_forgotten() {
    check(
        "
        hold
        join a v3
        written
        tick 3s
        sync a assign=a:x
        ---
        join b v3
        join a
        written
        ",
        expect![[r#"
            > join b v3
              a: REBALANCE_IN_PROGRESS
              = PreparingRebalance gen=1 leader=a-01 a-01 b-05(joins)
            > join a
              a: joined gen=2 id=a-01 leader=a-01 protocol=consumer/range a-01: b-05:
              b: joined gen=2 id=b-05 leader=a-01 protocol=consumer/range
              = CompletingRebalance gen=2 leader=a-01 a-01(to sync) b-05(to sync)
            > written
        "#]],
    );
}

#[test]
fn a_leader_that_syncs_twice_writes_once() {
    check(
        "
        hold
        join a v3
        written
        tick 3s
        sync a assign=a:x
        ---
        sync a assign=a:y
        written
        ",
        expect![[r#"
            > sync a assign=a:y
              a: REBALANCE_IN_PROGRESS
            > written
              a: synced "x" protocol=consumer/range
              = Stable gen=1 leader=a-01 a-01
        "#]],
    );
}

#[test]
fn wrong_generations_and_members_are_refused() {
    check(
        "
        join a v3
        sync a id=a-01 gen=0
        tick 3s
        sync a gen=2
        sync a gen=0
        sync a id=z-01
        sync a id=none
        sync z group=other
        sync z group=
        ",
        expect![[r#"
            > join a v3
              write g gen=0 ""/none leader=none
              = PreparingRebalance gen=0 initial leader=a-01 a-01(joins)
            > sync a id=a-01 gen=0
              a: REBALANCE_IN_PROGRESS
            > tick 3s
              after 3s: join timer
              a: joined gen=1 id=a-01 leader=a-01 protocol=consumer/range a-01:
              = CompletingRebalance gen=1 leader=a-01 a-01(to sync)
            > sync a gen=2
              a: ILLEGAL_GENERATION
            > sync a gen=0
              a: ILLEGAL_GENERATION
            > sync a id=z-01
              a: UNKNOWN_MEMBER_ID
            > sync a id=none
              a: UNKNOWN_MEMBER_ID
            > sync z group=other
              z: UNKNOWN_MEMBER_ID
            > sync z group=
              z: INVALID_GROUP_ID
        "#]],
    );
}

#[test]
fn a_protocol_that_is_not_the_groups_is_refused() {
    check(
        "
        join a v3
        tick 3s
        ---
        sync a type=connect
        sync a protocol=roundrobin
        sync a v5 type=consumer
        sync a v5 protocol=range
        sync a v5 type=consumer protocol=range assign=a:x
        ",
        expect![[r#"
            > sync a type=connect
              a: INCONSISTENT_GROUP_PROTOCOL
            > sync a protocol=roundrobin
              a: INCONSISTENT_GROUP_PROTOCOL
            > sync a v5 type=consumer
              a: INCONSISTENT_GROUP_PROTOCOL
            > sync a v5 protocol=range
              a: INCONSISTENT_GROUP_PROTOCOL
            > sync a v5 type=consumer protocol=range assign=a:x
              write g gen=1 "consumer"/range leader=a-01 a-01::"x"
              a: synced "x" protocol=consumer/range
              = Stable gen=1 leader=a-01 a-01
        "#]],
    );
}

#[test]
fn a_sync_during_a_rebalance_is_refused() {
    check(
        "
        join a v3
        tick 3s
        sync a assign=a:x
        join b v3
        ---
        sync a
        ",
        expect![[r#"
            > sync a
              a: REBALANCE_IN_PROGRESS
        "#]],
    );
}

#[test]
fn a_sync_to_an_empty_group_is_refused() {
    check(
        "
        join a v3
        tick 3s
        ---
        leave a
        sync a
        ",
        expect![[r#"
            > leave a
              write g gen=2 "consumer"/none leader=none
              left: ok [a-01 ok]
              = Empty gen=2
            > sync a
              a: UNKNOWN_MEMBER_ID
        "#]],
    );
}

#[test]
fn members_that_do_not_sync_in_time_are_removed() {
    check(
        "
        join a v3 rebalance=20s session=30s
        join b v3 rebalance=20s session=30s
        tick 6s
        sync a assign=a:x,b:y
        ---
        tick 19s
        heartbeat a
        heartbeat b
        tick 1s
        heartbeat a
        heartbeat b
        timers
        ",
        expect![[r#"
            > tick 19s
            > heartbeat a
              a: ok
            > heartbeat b
              b: ok
            > tick 1s
              after 1s: sync timer
              = PreparingRebalance gen=1 leader=a-01 a-01
            > heartbeat a
              a: REBALANCE_IN_PROGRESS
            > heartbeat b
              b: UNKNOWN_MEMBER_ID
            > timers
              join timer in 20s
              session of a-01 in 30s
        "#]],
    );
}

#[test]
fn a_group_whose_leader_does_not_sync_goes_on_without_it() {
    check(
        "
        join a v3 rebalance=20s session=30s
        join b v3 rebalance=20s session=30s
        tick 6s
        ---
        sync b
        tick 20s
        join b rebalance=20s session=30s
        sync b assign=b:x
        ",
        expect![[r#"
            > sync b
              = CompletingRebalance gen=1 leader=a-01 a-01(to sync) b-03(syncs)
            > tick 20s
              after 20s: sync timer
              b: REBALANCE_IN_PROGRESS
              = PreparingRebalance gen=1 leader=b-03 b-03
            > join b rebalance=20s session=30s
              b: joined gen=2 id=b-03 leader=b-03 protocol=consumer/range b-03:
              = CompletingRebalance gen=2 leader=b-03 b-03(to sync)
            > sync b assign=b:x
              write g gen=2 "consumer"/range leader=b-03 b-03::"x"
              b: synced "x" protocol=consumer/range
              = Stable gen=2 leader=b-03 b-03
        "#]],
    );
}

#[test]
fn members_that_are_assigned_nothing_get_an_empty_assignment() {
    check(
        "
        join a v3
        join b v3
        tick 6s
        ---
        sync a assign=a:x,z-01:y
        sync b
        ",
        expect![[r#"
            > sync a assign=a:x,z-01:y
              write g gen=1 "consumer"/range leader=a-01 a-01::"x" b-03::""
              a: synced "x" protocol=consumer/range
              = Stable gen=1 leader=a-01 a-01 b-03(to sync)
            > sync b
              b: synced "" protocol=consumer/range
              = Stable gen=1 leader=a-01 a-01 b-03
        "#]],
    );
}

#[test]
fn a_member_that_waits_to_sync_is_not_removed_for_its_silence() {
    check(
        "
        join a v3 session=60s rebalance=60s
        join b v3 session=10s rebalance=60s
        tick 6s
        sync b
        tick 30s
        sync a assign=a:x,b:y
        tick 10s
        ",
        expect![[r#"
            > join a v3 session=60s rebalance=60s
              write g gen=0 ""/none leader=none
              = PreparingRebalance gen=0 initial leader=a-01 a-01(joins)
            > join b v3 session=10s rebalance=60s
              = PreparingRebalance gen=0 initial leader=a-01 a-01(joins) b-03(joins)
            > tick 6s
              after 3s: join timer
              after 6s: join timer
              a: joined gen=1 id=a-01 leader=a-01 protocol=consumer/range a-01: b-03:
              b: joined gen=1 id=b-03 leader=a-01 protocol=consumer/range
              = CompletingRebalance gen=1 leader=a-01 a-01(to sync) b-03(to sync)
            > sync b
              = CompletingRebalance gen=1 leader=a-01 a-01(to sync) b-03(syncs)
            > tick 30s
              after 10s: session of b-03
            > sync a assign=a:x,b:y
              write g gen=1 "consumer"/range leader=a-01 a-01::"x" b-03::"y"
              a: synced "x" protocol=consumer/range
              b: synced "y" protocol=consumer/range
              = Stable gen=1 leader=a-01 a-01 b-03
            > tick 10s
              after 10s: session of b-03
              = PreparingRebalance gen=1 leader=a-01 a-01
        "#]],
    );
}

#[test]
fn a_member_that_leaves_while_it_waits_to_sync_is_answered() {
    check(
        "
        join a v3
        join b v3
        tick 6s
        ---
        sync b
        leave b
        ",
        expect![[r#"
            > sync b
              = CompletingRebalance gen=1 leader=a-01 a-01(to sync) b-03(syncs)
            > leave b
              b: UNKNOWN_MEMBER_ID
              left: ok [b-03 ok]
              = PreparingRebalance gen=1 leader=a-01 a-01
        "#]],
    );
}

#[test]
fn a_member_without_a_rebalance_timeout_has_its_session_timeout_to_sync() {
    check(
        "
        join a v3 rebalance=0s session=10s
        tick 3s
        tick 9s
        heartbeat a
        sync a assign=a:x
        reload
        ---
        join a rebalance=0s session=10s
        timers
        tick 9s
        sync a assign=a:y
        heartbeat a
        join b v3 rebalance=0s session=10s
        tick 9s
        heartbeat a
        ",
        expect![[r#"
            > join a rebalance=0s session=10s
              a: joined gen=2 id=a-01 leader=a-01 protocol=consumer/range a-01:
              = CompletingRebalance gen=2 leader=a-01 a-01(to sync)
            > timers
              sync timer in 10s
              session of a-01 in 10s
            > tick 9s
            > sync a assign=a:y
              write g gen=2 "consumer"/range leader=a-01 a-01::"y"
              a: synced "y" protocol=consumer/range
              = Stable gen=2 leader=a-01 a-01
            > heartbeat a
              a: ok
            > join b v3 rebalance=0s session=10s
              = PreparingRebalance gen=2 leader=a-01 a-01 b-0c(joins)
            > tick 9s
            > heartbeat a
              a: REBALANCE_IN_PROGRESS
        "#]],
    );
}
