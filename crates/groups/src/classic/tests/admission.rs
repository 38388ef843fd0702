//! Tests of JoinGroup: which clients are admitted, and the responses to the others.

use expect_test::expect;

use crate::classic::tests::driver::check;

#[test]
fn a_join_without_a_group_id_is_refused() {
    check(
        "
        join a group=
        ",
        expect![[r#"
            > join a group=
              a: INVALID_GROUP_ID id=
              = no group
        "#]],
    );
}

#[test]
fn a_session_timeout_out_of_bounds_is_refused() {
    check(
        "
        join a session=5999ms
        join a session=6s
        join b session=1800s
        join c session=1801s
        ",
        expect![[r#"
            > join a session=5999ms
              a: INVALID_SESSION_TIMEOUT id=
              = no group
            > join a session=6s
              write g gen=0 ""/none leader=none
              a: MEMBER_ID_REQUIRED id=a-02
              = Empty gen=0 a-02(pending)
            > join b session=1800s
              b: MEMBER_ID_REQUIRED id=b-04
              = Empty gen=0 a-02(pending) b-04(pending)
            > join c session=1801s
              c: INVALID_SESSION_TIMEOUT id=
        "#]],
    );
}

#[test]
fn a_member_of_a_group_that_is_not_there_is_unknown() {
    check(
        "
        join a id=a-01
        ",
        expect![[r#"
            > join a id=a-01
              a: UNKNOWN_MEMBER_ID id=a-01
              = no group
        "#]],
    );
}

#[test]
fn a_member_id_that_nobody_has_is_unknown() {
    check(
        "
        join a v3
        join b id=b-07
        tick 3s
        join b id=b-07
        ",
        expect![[r#"
            > join a v3
              write g gen=0 ""/none leader=none
              = PreparingRebalance gen=0 initial leader=a-01 a-01(joins)
            > join b id=b-07
              b: UNKNOWN_MEMBER_ID id=b-07
            > tick 3s
              after 3s: join timer
              a: joined gen=1 id=a-01 leader=a-01 protocol=consumer/range a-01:
              = CompletingRebalance gen=1 leader=a-01 a-01(to sync)
            > join b id=b-07
              b: UNKNOWN_MEMBER_ID id=b-07
        "#]],
    );
}

#[test]
fn protocols_that_do_not_fit_are_refused() {
    check(
        "
        join a type=
        join a protocols=none
        join a v3 protocols=range,roundrobin
        join b v3 type=connect protocols=range
        join c v3 protocols=sticky
        join d v3 protocols=sticky,roundrobin
        tick 9s
        ",
        expect![[r#"
            > join a type=
              write g gen=0 ""/none leader=none
              a: INCONSISTENT_GROUP_PROTOCOL id=
              = Empty gen=0
            > join a protocols=none
              a: INCONSISTENT_GROUP_PROTOCOL id=
            > join a v3 protocols=range,roundrobin
              = PreparingRebalance gen=0 initial leader=a-04 a-04(joins)
            > join b v3 type=connect protocols=range
              b: INCONSISTENT_GROUP_PROTOCOL id=
            > join c v3 protocols=sticky
              c: INCONSISTENT_GROUP_PROTOCOL id=
            > join d v3 protocols=sticky,roundrobin
              = PreparingRebalance gen=0 initial leader=a-04 a-04(joins) d-07(joins)
            > tick 9s
              after 3s: join timer
              after 6s: join timer
              a: joined gen=1 id=a-04 leader=a-04 protocol=consumer/roundrobin a-04: d-07:
              d: joined gen=1 id=d-07 leader=a-04 protocol=consumer/roundrobin
              = CompletingRebalance gen=1 leader=a-04 a-04(to sync) d-07(to sync)
        "#]],
    );
}

#[test]
fn a_group_takes_no_more_members_than_group_max_size() {
    check(
        "
        set group.max.size=2 group.initial.rebalance.delay.ms=0
        join a v3
        join b v3
        tick 0s
        join c v3 id=none
        join d
        sync a assign=a:x,b:y
        sync b
        join c v3 id=none
        join a
        join c v3 id=none
        join b
        join c v3 id=none
        ",
        expect![[r#"
            > set group.max.size=2 group.initial.rebalance.delay.ms=0
              = no group
            > join a v3
              write g gen=0 ""/none leader=none
              = PreparingRebalance gen=0 initial leader=a-01 a-01(joins)
            > join b v3
              = PreparingRebalance gen=0 initial leader=a-01 a-01(joins) b-03(joins)
            > tick 0s
              after 0ns: join timer
              after 0ns: join timer
              a: joined gen=1 id=a-01 leader=a-01 protocol=consumer/range a-01: b-03:
              b: joined gen=1 id=b-03 leader=a-01 protocol=consumer/range
              = CompletingRebalance gen=1 leader=a-01 a-01(to sync) b-03(to sync)
            > join c v3 id=none
              c: GROUP_MAX_SIZE_REACHED id=
            > join d
              d: GROUP_MAX_SIZE_REACHED id=
            > sync a assign=a:x,b:y
              write g gen=1 "consumer"/range leader=a-01 a-01::"x" b-03::"y"
              a: synced "x" protocol=consumer/range
              = Stable gen=1 leader=a-01 a-01 b-03(to sync)
            > sync b
              b: synced "y" protocol=consumer/range
              = Stable gen=1 leader=a-01 a-01 b-03
            > join c v3 id=none
              c: GROUP_MAX_SIZE_REACHED id=
            > join a
              = PreparingRebalance gen=1 leader=a-01 a-01(joins) b-03
            > join c v3 id=none
              = PreparingRebalance gen=1 leader=a-01 a-01(joins) b-03 c-0d(joins)
            > join b
              b: GROUP_MAX_SIZE_REACHED id=
              = PreparingRebalance gen=1 leader=a-01 a-01(joins) c-0d(joins)
            > join c v3 id=none
              c: GROUP_MAX_SIZE_REACHED id=
        "#]],
    );
}

#[test]
fn the_last_to_join_again_are_left_out_when_group_max_size_fell() {
    check(
        "
        set group.initial.rebalance.delay.ms=0
        join a v3
        join b v3
        join c v3
        tick 0s
        sync a assign=a:x,b:y,c:z
        set group.max.size=2
        join a
        join b
        join c
        tick 60s
        ",
        expect![[r#"
            > set group.initial.rebalance.delay.ms=0
              = no group
            > join a v3
              write g gen=0 ""/none leader=none
              = PreparingRebalance gen=0 initial leader=a-01 a-01(joins)
            > join b v3
              = PreparingRebalance gen=0 initial leader=a-01 a-01(joins) b-03(joins)
            > join c v3
              = PreparingRebalance gen=0 initial leader=a-01 a-01(joins) b-03(joins) c-04(joins)
            > tick 0s
              after 0ns: join timer
              after 0ns: join timer
              a: joined gen=1 id=a-01 leader=a-01 protocol=consumer/range a-01: b-03: c-04:
              b: joined gen=1 id=b-03 leader=a-01 protocol=consumer/range
              c: joined gen=1 id=c-04 leader=a-01 protocol=consumer/range
              = CompletingRebalance gen=1 leader=a-01 a-01(to sync) b-03(to sync) c-04(to sync)
            > sync a assign=a:x,b:y,c:z
              write g gen=1 "consumer"/range leader=a-01 a-01::"x" b-03::"y" c-04::"z"
              a: synced "x" protocol=consumer/range
              = Stable gen=1 leader=a-01 a-01 b-03(to sync) c-04(to sync)
            > set group.max.size=2
            > join a
              = PreparingRebalance gen=1 leader=a-01 a-01(joins) b-03 c-04
            > join b
              = PreparingRebalance gen=1 leader=a-01 a-01(joins) b-03(joins) c-04
            > join c
              c: GROUP_MAX_SIZE_REACHED id=
              = PreparingRebalance gen=1 leader=a-01 a-01(joins) b-03(joins)
            > tick 60s
              after 10s: session of a-01
              after 10s: session of b-03
              after 60s: join timer
              a: joined gen=2 id=a-01 leader=a-01 protocol=consumer/range a-01: b-03:
              b: joined gen=2 id=b-03 leader=a-01 protocol=consumer/range
              = CompletingRebalance gen=2 leader=a-01 a-01(to sync) b-03(to sync)
        "#]],
    );
}

#[test]
fn a_pending_member_that_does_not_join_is_forgotten() {
    check(
        "
        join a
        tick 9s
        timers
        tick 1s
        timers
        join a
        ",
        expect![[r#"
            > join a
              write g gen=0 ""/none leader=none
              a: MEMBER_ID_REQUIRED id=a-01
              = Empty gen=0 a-01(pending)
            > tick 9s
            > timers
              session of a-01 in 1s
            > tick 1s
              after 1s: session of a-01
              = Empty gen=0
            > timers
            > join a
              a: UNKNOWN_MEMBER_ID id=a-01
        "#]],
    );
}

#[test]
fn a_pending_member_holds_a_rebalance_up_until_its_session_is_over() {
    check(
        "
        set group.initial.rebalance.delay.ms=0
        join a v3
        ---
        tick 0s
        sync a assign=a:x
        join b session=20s
        join a
        tick 20s
        ",
        expect![[r#"
            > tick 0s
              after 0ns: join timer
              a: joined gen=1 id=a-01 leader=a-01 protocol=consumer/range a-01:
              = CompletingRebalance gen=1 leader=a-01 a-01(to sync)
            > sync a assign=a:x
              write g gen=1 "consumer"/range leader=a-01 a-01::"x"
              a: synced "x" protocol=consumer/range
              = Stable gen=1 leader=a-01 a-01
            > join b session=20s
              b: MEMBER_ID_REQUIRED id=b-06
              = Stable gen=1 leader=a-01 a-01 b-06(pending)
            > join a
              = PreparingRebalance gen=1 leader=a-01 a-01(joins) b-06(pending)
            > tick 20s
              after 10s: session of a-01
              after 20s: session of b-06
              a: joined gen=2 id=a-01 leader=a-01 protocol=consumer/range a-01:
              = CompletingRebalance gen=2 leader=a-01 a-01(to sync)
        "#]],
    );
}

#[test]
fn a_pending_member_cannot_become_static() {
    check(
        "
        join a
        join a instance=i
        ",
        expect![[r#"
            > join a
              write g gen=0 ""/none leader=none
              a: MEMBER_ID_REQUIRED id=a-01
              = Empty gen=0 a-01(pending)
            > join a instance=i
              a: UNKNOWN_SERVER_ERROR id=a-01
        "#]],
    );
}

#[test]
fn the_protocol_with_the_most_votes_wins() {
    check(
        "
        join a v3 protocols=range,roundrobin
        join b v3 protocols=roundrobin,range
        join c v3 protocols=roundrobin,sticky,range
        tick 9s
        ",
        expect![[r#"
            > join a v3 protocols=range,roundrobin
              write g gen=0 ""/none leader=none
              = PreparingRebalance gen=0 initial leader=a-01 a-01(joins)
            > join b v3 protocols=roundrobin,range
              = PreparingRebalance gen=0 initial leader=a-01 a-01(joins) b-03(joins)
            > join c v3 protocols=roundrobin,sticky,range
              = PreparingRebalance gen=0 initial leader=a-01 a-01(joins) b-03(joins) c-04(joins)
            > tick 9s
              after 3s: join timer
              after 6s: join timer
              a: joined gen=1 id=a-01 leader=a-01 protocol=consumer/roundrobin a-01: b-03: c-04:
              b: joined gen=1 id=b-03 leader=a-01 protocol=consumer/roundrobin
              c: joined gen=1 id=c-04 leader=a-01 protocol=consumer/roundrobin
              = CompletingRebalance gen=1 leader=a-01 a-01(to sync) b-03(to sync) c-04(to sync)
        "#]],
    );
}

#[test]
fn protocols_named_twice_count_once() {
    check(
        "
        join a v3 protocols=range:t,range:u
        join b v3 protocols=range:t
        tick 6s
        ",
        expect![[r#"
            > join a v3 protocols=range:t,range:u
              write g gen=0 ""/none leader=none
              = PreparingRebalance gen=0 initial leader=a-01 a-01(joins)
            > join b v3 protocols=range:t
              = PreparingRebalance gen=0 initial leader=a-01 a-01(joins) b-03(joins)
            > tick 6s
              after 3s: join timer
              after 6s: join timer
              a: joined gen=1 id=a-01 leader=a-01 protocol=consumer/range a-01:t b-03:t
              b: joined gen=1 id=b-03 leader=a-01 protocol=consumer/range
              = CompletingRebalance gen=1 leader=a-01 a-01(to sync) b-03(to sync)
        "#]],
    );
}
