//! Tests of members that join, share partitions, give them back and leave.

use expect_test::expect;

use super::check;

#[test]
fn a_second_member_gets_its_share_once_the_first_gave_it_back() {
    check(
        "
        topic foo 4
        join A foo
        ack A
        join B foo
        show
        beat A
        beat B
        ack A
        beat B
        show
        ",
        expect![[r#"
            topic foo 4
            join A foo
              + member A foo
              + epoch 2
              + target A foo:0,1,2,3
              + target 2
              + A Stable 2<-0 has foo:0,1,2,3
              A: epoch 2, has foo:0,1,2,3
            ack A
              A: epoch 2
            join B foo
              + member B foo
              + epoch 3
              + target A foo:0,1
              + target B foo:2,3
              + target 3
              + B UnreleasedPartitions 3<-0 has -
              B: epoch 3, has -
            show
              Reconciling, epoch 3, target 3
              A Stable 2<-0 has foo:0,1,2,3, target foo:0,1
              B UnreleasedPartitions 3<-0 has -, target foo:2,3
            beat A
              + A UnrevokedPartitions 2<-2 has foo:0,1, gives back foo:2,3
              A: epoch 2, has foo:0,1
            beat B
              + B UnreleasedPartitions 3<-3 has -
              B: epoch 3
            ack A
              + A Stable 3<-2 has foo:0,1
              A: epoch 3
            beat B
              + B Stable 3<-3 has foo:2,3
              B: epoch 3, has foo:2,3
            show
              Stable, epoch 3, target 3
              A Stable 3<-2 has foo:0,1, target foo:0,1
              B Stable 3<-3 has foo:2,3, target foo:2,3
        "#]],
    );
}

#[test]
fn what_a_member_leaves_goes_to_the_others() {
    check(
        "
        topic foo 3
        join A foo
        join B foo
        ack A
        ack B
        leave A
        beat B
        leave B
        show
        beat B
        ",
        expect![[r#"
            topic foo 3
            join A foo
              + member A foo
              + epoch 2
              + target A foo:0,1,2
              + target 2
              + A Stable 2<-0 has foo:0,1,2
              A: epoch 2, has foo:0,1,2
            join B foo
              + member B foo
              + epoch 3
              + target A foo:0,1
              + target B foo:2
              + target 3
              + B UnreleasedPartitions 3<-0 has -
              B: epoch 3, has -
            ack A
              + A UnrevokedPartitions 2<-2 has foo:0,1, gives back foo:2
              A: epoch 2, has foo:0,1
            ack B
              + B UnreleasedPartitions 3<-3 has -
              B: epoch 3
            leave A
              + current A gone
              + target A gone
              + member A gone
              + epoch 4
              A: epoch -1
            beat B
              + target B foo:0,1,2
              + target 4
              + B Stable 4<-3 has foo:0,1,2
              B: epoch 4, has foo:0,1,2
            leave B
              + current B gone
              + target B gone
              + member B gone
              + epoch 5
              B: epoch -1
            show
              Empty, epoch 5, target 4
            beat B
              B: UnknownMemberId Member B is not a member of group g.
        "#]],
    );
}

#[test]
fn a_silent_member_is_fenced_and_so_is_one_that_does_not_give_back() {
    check(
        "
        topic foo 2
        join A foo timeout=20000
        join B foo
        beat A
        wait 19999
        show
        wait 1
        beat A
        wait 45000
        show
        ",
        expect![[r#"
            topic foo 2
            join A foo timeout=20000
              + member A foo
              + epoch 2
              + target A foo:0,1
              + target 2
              + A Stable 2<-0 has foo:0,1
              A: epoch 2, has foo:0,1
            join B foo
              + member B foo
              + epoch 3
              + target A foo:0
              + target B foo:1
              + target 3
              + B UnreleasedPartitions 3<-0 has -
              B: epoch 3, has -
            beat A
              + A UnrevokedPartitions 2<-2 has foo:0, gives back foo:1
              A: epoch 2, has foo:0
            wait 19999
            show
              Reconciling, epoch 3, target 3
              A UnrevokedPartitions 2<-2 has foo:0, gives back foo:1, target foo:0
              B UnreleasedPartitions 3<-0 has -, target foo:1
            wait 1
              at 20000 ms
              + current A gone
              + target A gone
              + member A gone
              + epoch 4
            beat A
              A: UnknownMemberId Member A is not a member of group g.
            wait 45000
              at 40000 ms
              at 45000 ms
              at 45000 ms
              + current B gone
              + target B gone
              + member B gone
              + epoch 5
            show
              Empty, epoch 5, target 3
        "#]],
    );
}

#[test]
fn a_member_that_drops_a_topic_gives_it_back_at_once() {
    check(
        "
        topic foo 2
        topic bar 2
        config assignment.interval 1000
        join A foo,bar
        beat A topics=foo
        beat A have=foo:0,1
        wait 1000
        beat A
        show
        ",
        expect![[r#"
            topic foo 2
            topic bar 2
            config assignment.interval 1000
            join A foo,bar
              + member A bar,foo
              + epoch 2
              + target A bar:0,1 foo:0,1
              + target 2
              + A Stable 2<-0 has bar:0,1 foo:0,1
              A: epoch 2, has bar:0,1 foo:0,1
            beat A topics=foo
              + member A foo
              + epoch 3
              + A UnrevokedPartitions 2<-2 has foo:0,1, gives back bar:0,1
              A: epoch 2, has foo:0,1
            beat A have=foo:0,1
              + A Stable 2<-2 has foo:0,1
              A: epoch 2
            wait 1000
            beat A
              + target A foo:0,1
              + target 3
              + A Stable 3<-2 has foo:0,1
              A: epoch 3
            show
              Stable, epoch 3, target 3
              A Stable 3<-2 has foo:0,1, target foo:0,1
        "#]],
    );
}

#[test]
fn target_assignments_wait_for_their_interval() {
    check(
        "
        topic foo 2
        config assignment.interval 1000
        join A foo
        join B foo
        show
        wait 999
        beat A
        wait 1
        beat A
        ",
        expect![[r#"
            topic foo 2
            config assignment.interval 1000
            join A foo
              + member A foo
              + epoch 2
              + target A foo:0,1
              + target 2
              + A Stable 2<-0 has foo:0,1
              A: epoch 2, has foo:0,1
            join B foo
              + member B foo
              + epoch 3
              + B Stable 2<-0 has -
              B: epoch 2, has -
            show
              Assigning, epoch 3, target 2
              A Stable 2<-0 has foo:0,1, target foo:0,1
              B Stable 2<-0 has -, target -
            wait 999
            beat A
              A: epoch 2
            wait 1
            beat A
              + target A foo:0
              + target B foo:1
              + target 3
              + A UnrevokedPartitions 2<-2 has foo:0, gives back foo:1
              A: epoch 2, has foo:0
        "#]],
    );
}

#[test]
fn a_group_has_intervals_of_its_own_within_bounds() {
    check(
        "
        topic foo 1
        own consumer.session.timeout.ms 50000
        own consumer.assignment.interval.ms 99999
        join A foo
        wait 49999
        beat A
        join B foo
        wait 14999
        beat A
        wait 1
        beat A
        ",
        expect![[r#"
            topic foo 1
            own consumer.session.timeout.ms 50000
            own consumer.assignment.interval.ms 99999
            join A foo
              + member A foo
              + epoch 2
              + target A foo:0
              + target 2
              + A Stable 2<-0 has foo:0
              A: epoch 2, has foo:0
            wait 49999
            beat A
              A: epoch 2
            join B foo
              + member B foo
              + epoch 3
              + target B -
              + target 3
              + B Stable 3<-0 has -
              B: epoch 3, has -
            wait 14999
            beat A
              + A Stable 3<-2 has foo:0
              A: epoch 3
            wait 1
            beat A
              A: epoch 3
        "#]],
    );
}

#[test]
fn a_full_group_takes_no_more_members() {
    check(
        "
        topic foo 1
        config max.size 1
        join A foo
        join B foo
        beat A
        ",
        expect![[r#"
            topic foo 1
            config max.size 1
            join A foo
              + member A foo
              + epoch 2
              + target A foo:0
              + target 2
              + A Stable 2<-0 has foo:0
              A: epoch 2, has foo:0
            join B foo
              B: GroupMaxSizeReached The consumer group has reached its maximum capacity of 1 members.
            beat A
              A: epoch 2
        "#]],
    );
}

#[test]
fn the_assignor_that_most_ask_for_is_used() {
    check(
        "
        topic foo 4
        topic bar 4
        join A foo,bar assignor=range
        join B foo,bar assignor=range
        ack A
        ack B
        show
        join C foo,bar assignor=sticky
        ",
        expect![[r#"
            topic foo 4
            topic bar 4
            join A foo,bar assignor=range
              + member A bar,foo
              + epoch 2
              + target A bar:0,1,2,3 foo:0,1,2,3
              + target 2
              + A Stable 2<-0 has bar:0,1,2,3 foo:0,1,2,3
              A: epoch 2, has bar:0,1,2,3 foo:0,1,2,3
            join B foo,bar assignor=range
              + member B bar,foo
              + epoch 3
              + target A bar:0,1 foo:0,1
              + target B bar:2,3 foo:2,3
              + target 3
              + B UnreleasedPartitions 3<-0 has -
              B: epoch 3, has -
            ack A
              + A UnrevokedPartitions 2<-2 has bar:0,1 foo:0,1, gives back bar:2,3 foo:2,3
              A: epoch 2, has bar:0,1 foo:0,1
            ack B
              + B UnreleasedPartitions 3<-3 has -
              B: epoch 3
            show
              Reconciling, epoch 3, target 3
              A UnrevokedPartitions 2<-2 has bar:0,1 foo:0,1, gives back bar:2,3 foo:2,3, target bar:0,1 foo:0,1
              B UnreleasedPartitions 3<-3 has -, target bar:2,3 foo:2,3
            join C foo,bar assignor=sticky
              C: UnsupportedAssignor ServerAssignor sticky is not supported. Supported assignors: uniform, range.
        "#]],
    );
}

#[test]
fn a_write_that_fails_changes_nothing() {
    check(
        "
        topic foo 2
        join A foo
        ---
        fail
        join B foo
        show
        join B foo
        fail
        leave A
        show
        fail
        wait 45000
        beat A
        ",
        expect![[r#"
            fail
            join B foo
              the write fails
            show
              Stable, epoch 2, target 2
              A Stable 2<-0 has foo:0,1, target foo:0,1
            join B foo
              + member B foo
              + epoch 3
              + target A foo:0
              + target B foo:1
              + target 3
              + B UnreleasedPartitions 3<-0 has -
              B: epoch 3, has -
            fail
            leave A
              the write fails
            show
              Reconciling, epoch 3, target 3
              A Stable 2<-0 has foo:0,1, target foo:0
              B UnreleasedPartitions 3<-0 has -, target foo:1
            fail
            wait 45000
              at 45000 ms
              the write fails
              at 45000 ms
              + current B gone
              + target B gone
              + member B gone
              + epoch 4
            beat A
              + target A foo:0,1
              + target 4
              + A Stable 4<-2 has foo:0,1
              A: epoch 4
        "#]],
    );
}

#[test]
fn another_broker_goes_on_where_the_first_was() {
    check(
        "
        topic foo 4
        topic bar 1
        join A foo timeout=5000
        join B foo,bar regex=f.*
        join C foo i=c
        beat A
        away C
        reload
        show
        ack B
        wait 5000
        leave B
        reload
        wait 45000
        reload
        show
        ",
        expect![[r#"
            topic foo 4
            topic bar 1
            join A foo timeout=5000
              + member A foo
              + epoch 2
              + target A foo:0,1,2,3
              + target 2
              + A Stable 2<-0 has foo:0,1,2,3
              A: epoch 2, has foo:0,1,2,3
            join B foo,bar regex=f.*
              + member B bar,foo /f.*/
              + regex f.* matches foo
              + epoch 3
              + target A foo:0,1,2
              + target B bar:0 foo:3
              + target 3
              + B UnreleasedPartitions 3<-0 has bar:0
              B: epoch 3, has bar:0
            join C foo i=c
              + member C foo
              + epoch 4
              + target A foo:0,1
              + target C foo:2
              + target 4
              + C UnreleasedPartitions 4<-0 has -
              C: epoch 4, has -
            beat A
              + A UnrevokedPartitions 2<-2 has foo:0,1, gives back foo:2,3
              A: epoch 2, has foo:0,1
            away C
              + C UnreleasedPartitions -2<-0 has -
              C: epoch -2
            reload
            show
              Reconciling, epoch 4, target 4
              A UnrevokedPartitions 2<-2 has foo:0,1, gives back foo:2,3, target foo:0,1
              B UnreleasedPartitions 3<-0 has bar:0, target bar:0 foo:3
              C UnreleasedPartitions -2<-0 has -, target foo:2
            ack B
              + B UnreleasedPartitions 4<-3 has bar:0
              B: epoch 4
            wait 5000
              at 5000 ms
              + current A gone
              + target A gone
              + member A gone
              + epoch 5
            leave B
              + current B gone
              + target B gone
              + member B gone
              + regex f.* gone
              + epoch 6
              B: epoch -1
            reload
            wait 45000
              at 50000 ms
              + current C gone
              + target C gone
              + member C gone
              + epoch 7
            reload
            show
              Empty, epoch 7, target 4
        "#]],
    );
}

#[test]
fn topics_need_not_exist() {
    check(
        "
        join A foo
        topic foo 1
        beat A
        ",
        expect![[r#"
            join A foo
              + member A foo
              + epoch 2
              + target A -
              + target 2
              + A Stable 2<-0 has -
              A: epoch 2, has -
            topic foo 1
            beat A
              + epoch 3
              + target A foo:0
              + target 3
              + A Stable 3<-2 has foo:0
              A: epoch 3, has foo:0
        "#]],
    );
}
