//! Tests of the written records, and of the state that another broker loads from them.

use expect_test::expect;

use crate::classic::tests::driver::check;

#[test]
fn a_group_is_found_again_by_another_broker() {
    check(
        "
        join a v3 protocols=range:t,roundrobin:u
        join b instance=i protocols=roundrobin:u,range:t
        tick 6s
        sync a assign=a:x,b:y
        sync b
        describe
        reload
        describe
        timers
        heartbeat a
        sync b
        heartbeat b
        tick 10s
        ",
        expect![[r#"
            > join a v3 protocols=range:t,roundrobin:u
              write g gen=0 ""/none leader=none
              = PreparingRebalance gen=0 initial leader=a-01 a-01(joins)
            > join b instance=i protocols=roundrobin:u,range:t
              = PreparingRebalance gen=0 initial leader=a-01 a-01(joins) i-03(joins)
            > tick 6s
              after 3s: join timer
              after 6s: join timer
              a: joined gen=1 id=a-01 leader=a-01 protocol=consumer/range a-01:t i-03(i):t
              b: joined gen=1 id=i-03 leader=a-01 protocol=consumer/range
              = CompletingRebalance gen=1 leader=a-01 a-01(to sync) i-03(to sync)
            > sync a assign=a:x,b:y
              write g gen=1 "consumer"/range leader=a-01 a-01:t:"x" i-03(i):t:"y"
              a: synced "x" protocol=consumer/range
              = Stable gen=1 leader=a-01 a-01 i-03(to sync)
            > sync b
              b: synced "y" protocol=consumer/range
              = Stable gen=1 leader=a-01 a-01 i-03
            > describe
              Stable "consumer"/"range"
              a-01 instance=none client=a host=/127.0.0.1 metadata=t assignment="x"
              i-03 instance=i client=b host=/127.0.0.1 metadata=t assignment="y"
            > reload
            > describe
              Stable "consumer"/"range"
              a-01 instance=none client=a host=/127.0.0.1 metadata=t assignment="x"
              i-03 instance=i client=b host=/127.0.0.1 metadata=t assignment="y"
            > timers
              session of a-01 in 10s
              session of i-03 in 10s
            > heartbeat a
              a: ok
            > sync b
              b: synced "y" protocol=consumer/range
            > heartbeat b
              b: ok
            > tick 10s
              after 10s: session of a-01
              = PreparingRebalance gen=1 leader=i-03 i-03
              after 10s: session of i-03
              write g gen=2 "consumer"/none leader=none
              = Empty gen=2
        "#]],
    );
}

#[test]
fn a_new_group_is_found_again_by_another_broker() {
    check(
        "
        join a
        describe
        reload
        describe
        timers
        join a
        join a id=none
        ",
        expect![[r#"
            > join a
              write g gen=0 ""/none leader=none
              a: MEMBER_ID_REQUIRED id=a-01
              = Empty gen=0 a-01(pending)
            > describe
              Empty ""/""
            > reload
              = Empty gen=0
            > describe
              Empty ""/""
            > timers
            > join a
              a: UNKNOWN_MEMBER_ID id=a-01
            > join a id=none
              a: MEMBER_ID_REQUIRED id=a-05
              = Empty gen=0 a-05(pending)
        "#]],
    );
}

#[test]
fn an_empty_group_is_found_again_by_another_broker() {
    check(
        "
        join a v3
        tick 3s
        sync a assign=a:x
        leave a
        ---
        reload
        describe
        join a v3 id=none
        tick 3s
        ",
        expect![[r#"
            > reload
            > describe
              Empty "consumer"/""
            > join a v3 id=none
              = PreparingRebalance gen=2 initial leader=a-09 a-09(joins)
            > tick 3s
              after 3s: join timer
              a: joined gen=3 id=a-09 leader=a-09 protocol=consumer/range a-09:
              = CompletingRebalance gen=3 leader=a-09 a-09(to sync)
        "#]],
    );
}

#[test]
fn a_group_that_was_loaded_with_too_many_members_rebalances() {
    check(
        "
        join a v3
        join b v3
        tick 6s
        sync a assign=a:x,b:y
        sync b
        ---
        set group.max.size=1
        reload
        timers
        commit a
        join a
        join b
        tick 60s
        ",
        expect![[r#"
            > set group.max.size=1
            > reload
              = PreparingRebalance gen=1 leader=a-01 a-01 b-03
            > timers
              session of a-01 in 10s
              session of b-03 in 10s
              join timer in 60s
            > commit a
              a: ok
            > join a
              = PreparingRebalance gen=1 leader=a-01 a-01(joins) b-03
            > join b
              b: GROUP_MAX_SIZE_REACHED id=
              = PreparingRebalance gen=1 leader=a-01 a-01(joins)
            > tick 60s
              after 10s: session of a-01
              after 60s: join timer
              a: joined gen=2 id=a-01 leader=a-01 protocol=consumer/range a-01:
              = CompletingRebalance gen=2 leader=a-01 a-01(to sync)
        "#]],
    );
}

#[test]
fn a_new_group_that_could_not_be_written_is_not_there() {
    check(
        "
        hold
        join a v3
        ---
        join b v3
        failed NOT_LEADER_OR_FOLLOWER
        timers
        ",
        expect![[r#"
            > join b v3
              = PreparingRebalance gen=0 initial leader=a-01 a-01(joins) b-02(joins)
            > failed NOT_LEADER_OR_FOLLOWER
              a: NOT_COORDINATOR id=
              b: NOT_COORDINATOR id=
              = no group
            > timers
        "#]],
    );
}

#[test]
fn a_member_id_is_given_although_its_group_could_not_be_written() {
    check(
        "
        hold
        join a
        failed NOT_LEADER_OR_FOLLOWER
        timers
        join a
        ",
        expect![[r#"
            > hold
              = no group
            > join a
              write g gen=0 ""/none leader=none
              = Empty gen=0 a-01(pending)
            > failed NOT_LEADER_OR_FOLLOWER
              a: MEMBER_ID_REQUIRED id=a-01
              = no group
            > timers
            > join a
              a: UNKNOWN_MEMBER_ID id=a-01
        "#]],
    );
}

#[test]
fn a_deleted_group_is_gone_with_its_timers() {
    check(
        "
        join a v3
        tick 3s
        ---
        delete
        leave a
        join b
        timers
        delete
        timers
        join b
        ",
        expect![[r#"
            > delete
              not deleted
            > leave a
              write g gen=2 "consumer"/none leader=none
              left: ok [a-01 ok]
              = Empty gen=2
            > join b
              b: MEMBER_ID_REQUIRED id=b-06
              = Empty gen=2 b-06(pending)
            > timers
              session of b-06 in 10s
            > delete
              = no group
            > timers
            > join b
              b: UNKNOWN_MEMBER_ID id=b-06
        "#]],
    );
}

#[test]
fn members_that_a_broker_loaded_can_change_their_protocols() {
    check(
        "
        join a v3 protocols=range:t,roundrobin:t
        tick 3s
        sync a assign=a:x
        reload
        join a protocols=roundrobin:t
        join a protocols=range:t,roundrobin:t
        sync a assign=a:x
        ",
        expect![[r#"
            > join a v3 protocols=range:t,roundrobin:t
              write g gen=0 ""/none leader=none
              = PreparingRebalance gen=0 initial leader=a-01 a-01(joins)
            > tick 3s
              after 3s: join timer
              a: joined gen=1 id=a-01 leader=a-01 protocol=consumer/range a-01:t
              = CompletingRebalance gen=1 leader=a-01 a-01(to sync)
            > sync a assign=a:x
              write g gen=1 "consumer"/range leader=a-01 a-01:t:"x"
              a: synced "x" protocol=consumer/range
              = Stable gen=1 leader=a-01 a-01
            > reload
            > join a protocols=roundrobin:t
              a: INCONSISTENT_GROUP_PROTOCOL id=a-01
            > join a protocols=range:t,roundrobin:t
              a: joined gen=2 id=a-01 leader=a-01 protocol=consumer/range a-01:t
              = CompletingRebalance gen=2 leader=a-01 a-01(to sync)
            > sync a assign=a:x
              write g gen=2 "consumer"/range leader=a-01 a-01:t:"x"
              a: synced "x" protocol=consumer/range
              = Stable gen=2 leader=a-01 a-01
        "#]],
    );
}
