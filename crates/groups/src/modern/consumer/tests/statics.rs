//! Tests of static members (KIP-345), which return under another id and keep their partitions.

use expect_test::expect;

use super::check;

#[test]
fn a_static_member_that_comes_back_finds_what_it_had() {
    check(
        "
        topic foo 4
        join A foo i=a
        join B foo
        ack A
        ack B
        away A
        show
        join A2 foo i=a
        ack A2
        show
        beat A
        ",
        expect![[r#"
            topic foo 4
            join A foo i=a
              + member A foo
              + epoch 2
              + target A foo:0,1,2,3
              + target 2
              + A Stable 2<-0 has foo:0,1,2,3
              A: epoch 2, has foo:0,1,2,3
            join B foo
              + member B foo
              + epoch 3
              + target A foo:0,1
              + target B foo:2,3
              + target 3
              + B UnreleasedPartitions 3<-0 has -
              B: epoch 3, has -
            ack A
              + A UnrevokedPartitions 2<-2 has foo:0,1, gives back foo:2,3
              A: epoch 2, has foo:0,1
            ack B
              + B UnreleasedPartitions 3<-3 has -
              B: epoch 3
            away A
              + A UnrevokedPartitions -2<-2 has foo:0,1
              A: epoch -2
            show
              Reconciling, epoch 3, target 3
              A UnrevokedPartitions -2<-2 has foo:0,1, target foo:0,1
              B UnreleasedPartitions 3<-3 has -, target foo:2,3
            join A2 foo i=a
              + current A gone
              + target A gone
              + member A gone
              + member A2 foo
              + target A2 foo:0,1
              + A2 UnrevokedPartitions 0<-0 has foo:0,1
              + member A2 foo
              + A2 Stable 3<-0 has foo:0,1
              A2: epoch 3, has foo:0,1
            ack A2
              A2: epoch 3
            show
              Reconciling, epoch 3, target 3
              A2 Stable 3<-0 has foo:0,1, target foo:0,1
              B UnreleasedPartitions 3<-3 has -, target foo:2,3
            beat A
              A: FencedInstanceId Static member A with instance id a was fenced by member A2.
        "#]],
    );
}

#[test]
fn a_static_member_may_come_back_under_the_same_id() {
    check(
        "
        topic foo 2
        join A foo i=a
        away A
        join A foo i=a
        wait 44999
        beat A
        wait 45000
        show
        ",
        expect![[r#"
            topic foo 2
            join A foo i=a
              + member A foo
              + epoch 2
              + target A foo:0,1
              + target 2
              + A Stable 2<-0 has foo:0,1
              A: epoch 2, has foo:0,1
            away A
              + A Stable -2<-0 has foo:0,1
              A: epoch -2
            join A foo i=a
              + current A gone
              + target A gone
              + member A gone
              + member A foo
              + target A foo:0,1
              + A Stable 0<-0 has foo:0,1
              + A Stable 2<-0 has foo:0,1
              A: epoch 2, has foo:0,1
            wait 44999
            beat A
              A: epoch 2
            wait 45000
              at 89999 ms
              + current A gone
              + target A gone
              + member A gone
              + epoch 3
            show
              Empty, epoch 3, target 2
        "#]],
    );
}

#[test]
fn an_instance_id_that_is_in_use_is_not_given_to_another() {
    check(
        "
        topic foo 1
        join A foo i=a
        join B foo i=a
        beat B epoch=2
        away B
        leave B
        beat X epoch=2
        ",
        expect![[r#"
            topic foo 1
            join A foo i=a
              + member A foo
              + epoch 2
              + target A foo:0
              + target 2
              + A Stable 2<-0 has foo:0
              A: epoch 2, has foo:0
            join B foo i=a
              B: UnreleasedInstanceId Static member B with instance id a cannot join the group because the instance id is owned by A member.
            beat B epoch=2
              B: FencedInstanceId Static member B with instance id a was fenced by member A.
            away B
              B: FencedInstanceId Static member B with instance id a was fenced by member A.
            leave B
              B: FencedInstanceId Static member B with instance id a was fenced by member A.
            beat X epoch=2
              X: UnknownMemberId Member X is not a member of group g.
        "#]],
    );
}

#[test]
fn a_static_member_that_stays_away_for_its_session_loses_its_place() {
    check(
        "
        topic foo 2
        join A foo i=a
        ---
        join B foo
        away A
        wait 30000
        beat B
        wait 15000
        beat B
        show
        ",
        expect![[r#"
            join B foo
              + member B foo
              + epoch 3
              + target A foo:0
              + target B foo:1
              + target 3
              + B UnreleasedPartitions 3<-0 has -
              B: epoch 3, has -
            away A
              + A Stable -2<-0 has foo:0,1
              A: epoch -2
            wait 30000
            beat B
              + B UnreleasedPartitions 3<-3 has -
              B: epoch 3
            wait 15000
              at 45000 ms
              + current A gone
              + target A gone
              + member A gone
              + epoch 4
            beat B
              + target B foo:0,1
              + target 4
              + B Stable 4<-3 has foo:0,1
              B: epoch 4, has foo:0,1
            show
              Stable, epoch 4, target 4
              B Stable 4<-3 has foo:0,1, target foo:0,1
        "#]],
    );
}

#[test]
fn a_static_member_that_leaves_for_good_is_gone() {
    check(
        "
        topic foo 2
        join A foo i=a
        ---
        leave A
        show
        join A foo i=a
        ",
        expect![[r#"
            leave A
              + current A gone
              + target A gone
              + member A gone
              + epoch 3
              A: epoch -1
            show
              Empty, epoch 3, target 2
            join A foo i=a
              + member A foo
              + epoch 4
              + target A foo:0,1
              + target 4
              + A Stable 4<-0 has foo:0,1
              A: epoch 4, has foo:0,1
        "#]],
    );
}
