//! Tests of live groups that change from one protocol to the other.

use expect_test::expect;

use crate::modern::consumer::tests::check;

#[test]
fn a_classic_group_becomes_a_consumer_group_and_back() {
    check(
        "
        topic foo 4
        cjoin A foo
        cjoin A foo
        wait 0
        csync A
        cjoin B foo
        cjoin B foo
        cbeat A
        cjoin A foo
        csync A
        csync B
        show
        join C foo
        show
        cbeat A
        cjoin A foo
        csync A
        cbeat A
        cjoin A foo
        csync A
        cbeat A
        cbeat B
        cjoin B foo
        csync B
        cbeat B
        beat C
        show
        leave C
        show
        cbeat A
        cjoin A foo
        cjoin B foo
        csync A
        csync B
        show
        ",
        expect![[r#"
            topic foo 4
            cjoin A foo
              + classic generation 0 
              A: joined, MemberIdRequired, generation -1
            cjoin A foo
            wait 0
              at 0 ms
              A: joined, ok, generation 1, leads
            csync A
              + classic generation 1 A-01010101-0101-0101-0101-010101010101
              A: synced, ok, has foo:0,1,2,3
            cjoin B foo
              B: joined, MemberIdRequired, generation -1
            cjoin B foo
            cbeat A
              A: RebalanceInProgress
            cjoin A foo
              A: joined, ok, generation 2, leads
              B: joined, ok, generation 2
            csync A
              + classic generation 2 A-01010101-0101-0101-0101-010101010101 B-07070707-0707-0707-0707-070707070707
              A: synced, ok, has foo:0,2
            csync B
              B: synced, ok, has foo:1,3
            show
              classic, Stable, generation 2, ["A-01010101-0101-0101-0101-010101010101", "B-07070707-0707-0707-0707-070707070707"]
            join C foo
              + classic gone
              + member A-01010101-0101-0101-0101-010101010101 foo classic
              + member B-07070707-0707-0707-0707-070707070707 foo classic
              + epoch 2
              + target A-01010101-0101-0101-0101-010101010101 foo:0,2
              + target B-07070707-0707-0707-0707-070707070707 foo:1,3
              + target 2
              + A-01010101-0101-0101-0101-010101010101 Stable 2<-2 has foo:0,2
              + B-07070707-0707-0707-0707-070707070707 Stable 2<-2 has foo:1,3
              + member C foo
              + epoch 3
              + target B-07070707-0707-0707-0707-070707070707 foo:1
              + target C foo:3
              + target 3
              + C UnreleasedPartitions 3<-0 has -
              C: epoch 3, has -
            show
              Reconciling, epoch 3, target 3
              A-01010101-0101-0101-0101-010101010101 Stable 2<-2 has foo:0,2, target foo:0,2
              B-07070707-0707-0707-0707-070707070707 Stable 2<-2 has foo:1,3, target foo:1
              C UnreleasedPartitions 3<-0 has -, target foo:3
            cbeat A
              A: RebalanceInProgress
            cjoin A foo
              + member A-01010101-0101-0101-0101-010101010101 foo classic
              + A-01010101-0101-0101-0101-010101010101 Stable 3<-2 has foo:0,2
              A: joined, ok, generation 3
            csync A
              A: synced, ok, has foo:0,2
            cbeat A
              A: ok
            cjoin A foo
              A: joined, ok, generation 3
            csync A
              A: synced, ok, has foo:0,2
            cbeat A
              A: ok
            cbeat B
              B: RebalanceInProgress
            cjoin B foo
              + member B-07070707-0707-0707-0707-070707070707 foo classic
              + B-07070707-0707-0707-0707-070707070707 UnrevokedPartitions 2<-2 has foo:1, gives back foo:3
              B: joined, ok, generation 2
            csync B
              B: synced, ok, has foo:1
            cbeat B
              B: RebalanceInProgress
            beat C
              + C UnreleasedPartitions 3<-3 has -
              C: epoch 3
            show
              Reconciling, epoch 3, target 3
              A-01010101-0101-0101-0101-010101010101 Stable 3<-2 has foo:0,2, target foo:0,2
              B-07070707-0707-0707-0707-070707070707 UnrevokedPartitions 2<-2 has foo:1, gives back foo:3, target foo:1
              C UnreleasedPartitions 3<-3 has -, target foo:3
            leave C
              + current A-01010101-0101-0101-0101-010101010101 gone
              + current B-07070707-0707-0707-0707-070707070707 gone
              + current C gone
              + target A-01010101-0101-0101-0101-010101010101 gone
              + target B-07070707-0707-0707-0707-070707070707 gone
              + target C gone
              + target gone
              + member A-01010101-0101-0101-0101-010101010101 gone
              + member B-07070707-0707-0707-0707-070707070707 gone
              + member C gone
              + group gone
              + classic generation 3 A-01010101-0101-0101-0101-010101010101 B-07070707-0707-0707-0707-070707070707
              C: epoch -1
            show
              classic, PreparingRebalance, generation 3, ["A-01010101-0101-0101-0101-010101010101", "B-07070707-0707-0707-0707-070707070707"]
            cbeat A
              A: RebalanceInProgress
            cjoin A foo
            cjoin B foo
              A: joined, ok, generation 4, leads
              B: joined, ok, generation 4
            csync A
              + classic generation 4 A-01010101-0101-0101-0101-010101010101 B-07070707-0707-0707-0707-070707070707
              A: synced, ok, has foo:0,2
            csync B
              B: synced, ok, has foo:1,3
            show
              classic, Stable, generation 4, ["A-01010101-0101-0101-0101-010101010101", "B-07070707-0707-0707-0707-070707070707"]
        "#]],
    );
}

#[test]
fn who_waits_in_a_classic_group_is_sent_to_join_again() {
    check(
        "
        topic foo 2
        cjoin A foo
        cjoin A foo
        wait 0
        csync A
        cjoin B foo
        cjoin B foo
        join C foo
        reload
        show
        cbeat A
        wait 30000
        show
        ",
        expect![[r#"
            topic foo 2
            cjoin A foo
              + classic generation 0 
              A: joined, MemberIdRequired, generation -1
            cjoin A foo
            wait 0
              at 0 ms
              A: joined, ok, generation 1, leads
            csync A
              + classic generation 1 A-01010101-0101-0101-0101-010101010101
              A: synced, ok, has foo:0,1
            cjoin B foo
              B: joined, MemberIdRequired, generation -1
            cjoin B foo
            join C foo
              + classic gone
              + member A-01010101-0101-0101-0101-010101010101 foo classic
              + member B-07070707-0707-0707-0707-070707070707 foo classic
              + epoch 1
              + target A-01010101-0101-0101-0101-010101010101 foo:0,1
              + target B-07070707-0707-0707-0707-070707070707 -
              + target 1
              + A-01010101-0101-0101-0101-010101010101 Stable 1<-1 has foo:0,1
              + B-07070707-0707-0707-0707-070707070707 Stable 1<-1 has -
              + member C foo
              + epoch 2
              + target A-01010101-0101-0101-0101-010101010101 foo:0
              + target B-07070707-0707-0707-0707-070707070707 foo:1
              + target C -
              + target 2
              + C Stable 2<-0 has -
              B: joined, RebalanceInProgress, generation -1
              C: epoch 2, has -
            reload
            show
              Reconciling, epoch 2, target 2
              A-01010101-0101-0101-0101-010101010101 Stable 1<-1 has foo:0,1, target foo:0
              B-07070707-0707-0707-0707-070707070707 Stable 1<-1 has -, target foo:1
              C Stable 2<-0 has -, target -
            cbeat A
              A: RebalanceInProgress
            wait 30000
              at 30000 ms
              + current A-01010101-0101-0101-0101-010101010101 gone
              + target A-01010101-0101-0101-0101-010101010101 gone
              + member A-01010101-0101-0101-0101-010101010101 gone
              + epoch 3
              at 30000 ms
              + current B-07070707-0707-0707-0707-070707070707 gone
              + target B-07070707-0707-0707-0707-070707070707 gone
              + member B-07070707-0707-0707-0707-070707070707 gone
              + epoch 4
            show
              Assigning, epoch 4, target 2
              C Stable 2<-0 has -, target -
        "#]],
    );
}

#[test]
fn classic_members_join_a_consumer_group() {
    check(
        "
        topic foo 2
        join A foo
        ---
        cjoin B foo
        cjoin B foo
        csync B
        beat A
        ack A
        cbeat B
        cjoin B foo
        csync B
        show
        cleave B
        show
        ",
        expect![[r#"
            cjoin B foo
              B: joined, MemberIdRequired, generation -1
            cjoin B foo
              + member AgICAgICAgICAgICAgICAg foo classic
              + epoch 3
              + target A foo:0
              + target AgICAgICAgICAgICAgICAg foo:1
              + target 3
              + AgICAgICAgICAgICAgICAg UnreleasedPartitions 3<-0 has -
              B: joined, ok, generation 3
            csync B
              B: synced, ok, has -
            beat A
              + A UnrevokedPartitions 2<-2 has foo:0, gives back foo:1
              A: epoch 2, has foo:0
            ack A
              + A Stable 3<-2 has foo:0
              A: epoch 3
            cbeat B
              B: RebalanceInProgress
            cjoin B foo
              + AgICAgICAgICAgICAgICAg Stable 3<-3 has foo:1
              B: joined, ok, generation 3
            csync B
              B: synced, ok, has foo:1
            show
              Stable, epoch 3, target 3
              A Stable 3<-2 has foo:0, target foo:0
              AgICAgICAgICAgICAgICAg Stable 3<-3 has foo:1, target foo:1
            cleave B
              + current AgICAgICAgICAgICAgICAg gone
              + target AgICAgICAgICAgICAgICAg gone
              + member AgICAgICAgICAgICAgICAg gone
              + epoch 4
              B: left, ok
            show
              Assigning, epoch 4, target 3
              A Stable 3<-2 has foo:0, target foo:0
        "#]],
    );
}

#[test]
fn a_classic_member_that_does_not_join_or_sync_in_time_is_fenced() {
    check(
        "
        topic foo 2
        join A foo
        cjoin B foo
        cjoin B foo
        ---
        wait 29000
        cbeat B
        beat A
        wait 29000
        cbeat B
        beat A
        wait 2000
        show
        ",
        expect![[r#"
            wait 29000
            cbeat B
              B: ok
            beat A
              + A UnrevokedPartitions 2<-2 has foo:0, gives back foo:1
              A: epoch 2, has foo:0
            wait 29000
            cbeat B
              B: ok
            beat A
              A: epoch 2
            wait 2000
              at 60000 ms
              + current AgICAgICAgICAgICAgICAg gone
              + target AgICAgICAgICAgICAgICAg gone
              + member AgICAgICAgICAgICAgICAg gone
              + epoch 4
            show
              Assigning, epoch 4, target 3
              A UnrevokedPartitions 2<-2 has foo:0, gives back foo:1, target foo:0
        "#]],
    );
}

#[test]
fn the_last_consumer_that_a_static_classic_member_replaces_ends_the_consumer_group() {
    check(
        "
        topic foo 2
        join A foo i=a
        ---
        cjoin B foo
        cjoin B foo
        ack A
        ack A
        cjoin B foo
        csync B
        cjoin A2 foo i=a
        show
        csync A2
        ",
        expect![[r#"
            cjoin B foo
              B: joined, MemberIdRequired, generation -1
            cjoin B foo
              + member AgICAgICAgICAgICAgICAg foo classic
              + epoch 3
              + target A foo:0
              + target AgICAgICAgICAgICAgICAg foo:1
              + target 3
              + AgICAgICAgICAgICAgICAg UnreleasedPartitions 3<-0 has -
              B: joined, ok, generation 3
            ack A
              + A UnrevokedPartitions 2<-2 has foo:0, gives back foo:1
              A: epoch 2, has foo:0
            ack A
              + A Stable 3<-2 has foo:0
              A: epoch 3
            cjoin B foo
              + AgICAgICAgICAgICAgICAg Stable 3<-3 has foo:1
              B: joined, ok, generation 3
            csync B
              B: synced, ok, has foo:1
            cjoin A2 foo i=a
              + current A gone
              + target A gone
              + member A gone
              + member CAgICAgICAgICAgICAgICA foo
              + target CAgICAgICAgICAgICAgICA foo:0
              + CAgICAgICAgICAgICAgICA Stable 0<-0 has foo:0
              + member CAgICAgICAgICAgICAgICA foo classic
              + CAgICAgICAgICAgICAgICA Stable 3<-0 has foo:0
              + current CAgICAgICAgICAgICAgICA gone
              + target CAgICAgICAgICAgICAgICA gone
              + member CAgICAgICAgICAgICAgICA gone
              + current A gone
              + current AgICAgICAgICAgICAgICAg gone
              + target A gone
              + target AgICAgICAgICAgICAgICAg gone
              + target gone
              + member A gone
              + member AgICAgICAgICAgICAgICAg gone
              + group gone
              + classic generation 3 AgICAgICAgICAgICAgICAg CAgICAgICAgICAgICAgICA
              A2: joined, ok, generation 3
            show
              classic, Stable, generation 3, ["AgICAgICAgICAgICAgICAg", "CAgICAgICAgICAgICAgICA"]
            csync A2
              A2: synced, ok, has foo:0
        "#]],
    );
}

#[test]
fn groups_that_may_not_or_cannot_move_do_not() {
    check(
        "
        topic foo 1
        config migration.policy disabled
        cjoin A foo
        cjoin A foo
        wait 0
        csync A
        join B foo
        config migration.policy upgrade
        join B foo
        config migration.policy disabled
        cjoin C foo
        config migration.policy upgrade
        leave B
        show
        ",
        expect![[r#"
            topic foo 1
            config migration.policy disabled
            cjoin A foo
              + classic generation 0 
              A: joined, MemberIdRequired, generation -1
            cjoin A foo
            wait 0
              at 0 ms
              A: joined, ok, generation 1, leads
            csync A
              + classic generation 1 A-01010101-0101-0101-0101-010101010101
              A: synced, ok, has foo:0
            join B foo
              B: GroupIdNotFound Cannot upgrade classic group g to consumer group because online upgrade is disabled.
            config migration.policy upgrade
            join B foo
              + classic gone
              + member A-01010101-0101-0101-0101-010101010101 foo classic
              + epoch 1
              + target A-01010101-0101-0101-0101-010101010101 foo:0
              + target 1
              + A-01010101-0101-0101-0101-010101010101 Stable 1<-1 has foo:0
              + member B foo
              + epoch 2
              + target B -
              + target 2
              + B Stable 2<-0 has -
              B: epoch 2, has -
            config migration.policy disabled
            cjoin C foo
              C: joined, InconsistentGroupProtocol, generation -1
            config migration.policy upgrade
            leave B
              + current B gone
              + target B gone
              + member B gone
              + epoch 3
              B: epoch -1
            show
              Assigning, epoch 3, target 2
              A-01010101-0101-0101-0101-010101010101 Stable 1<-1 has foo:0, target foo:0
        "#]],
    );
}

#[test]
fn groups_without_members_always_move() {
    check(
        "
        topic foo 1
        config migration.policy disabled
        cjoin A foo
        cjoin A foo
        wait 0
        csync A
        ---
        cleave A
        join B foo
        leave B
        show
        cjoin A foo id=
        show
        ",
        expect![[r#"
            cleave A
              + classic generation 2 
              A: left, ok
            join B foo
              + classic gone
              + member B foo
              + epoch 2
              + target B foo:0
              + target 2
              + B Stable 2<-0 has foo:0
              B: epoch 2, has foo:0
            leave B
              + current B gone
              + target B gone
              + member B gone
              + epoch 3
              B: epoch -1
            show
              Empty, epoch 3, target 2
            cjoin A foo id=
              A: joined, UnknownMemberId, generation -1
            show
              Empty, epoch 3, target 2
        "#]],
    );
}
