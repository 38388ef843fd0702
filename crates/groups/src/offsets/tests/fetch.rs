//! Tests of OffsetFetch.

use expect_test::expect;

use super::driver::check;

#[test]
fn what_was_not_committed_is_minus_one() {
    check(
        "
        fetch g t:0
        fetch g
        commit g t:0=5
        fetch g t:0,1 u:0
        fetch g
        fetch g t:-1
        ",
        expect![[r#"
            > fetch g t:0
              -> when committed up to 0
              -> t-0 -1@-1
            > fetch g
              -> when committed up to 0
            > commit g t:0=5
              g t-0 = 5 at 1000000
            > fetch g t:0,1 u:0
              -> when committed up to 1
              -> t-0 5@-1
              -> t-1 -1@-1
              -> u-0 -1@-1
            > fetch g
              -> when committed up to 1
              -> t-0 5@-1
            > fetch g t:-1
              -> when committed up to 1
              -> t--1 -1@-1
        "#]],
    );
}

#[test]
fn offsets_of_a_topic_that_was_created_anew_are_none() {
    check(
        "
        commit g t:0=5
        recreated
        fetch g t:0
        commit g t:0=1
        fetch g t:0
        ",
        expect![[r#"
            > commit g t:0=5
              g t-0 = 5 at 1000000
            > recreated
            > fetch g t:0
              -> when committed up to 1
              -> t-0 -1@-1
            > commit g t:0=1
              g t-0 = 1 at 1000000
            > fetch g t:0
              -> when committed up to 2
              -> t-0 1@-1
        "#]],
    );
}

#[test]
fn members_of_a_consumer_group_fetch_in_their_epoch() {
    check(
        "
        consumer g a:5
        commit g t:0=5 gen=5 id=a
        ---
        fetch g t:0 id=a epoch=5
        fetch g t:0 id=a epoch=4
        fetch g t:0 id=b epoch=5
        fetch g t:0
        ",
        expect![[r#"
            > fetch g t:0 id=a epoch=5
              -> when committed up to 4
              -> t-0 5@-1
            > fetch g t:0 id=a epoch=4
              -> STALE_MEMBER_EPOCH
            > fetch g t:0 id=b epoch=5
              -> UNKNOWN_MEMBER_ID
            > fetch g t:0
              -> when committed up to 4
              -> t-0 5@-1
        "#]],
    );
}

#[test]
fn offsets_are_found_again_after_loading() {
    check(
        "
        commit g t:0=5 m=note
        commit g t:0=6@2
        commit g t:1=1
        delete-offsets g t:1
        commit h u:0=9
        delete h
        reload
        fetch g
        fetch h
        list
        ",
        expect![[r#"
            > commit g t:0=5 m=note
              g t-0 = 5 at 1000000 "note"
            > commit g t:0=6@2
              g t-0 = 6 at 1000000 epoch 2
            > commit g t:1=1
              g t-1 = 1 at 1000000
            > delete-offsets g t:1
              tombstone g t-1
              -> t-1 ok
            > commit h u:0=9
              h u-0 = 9 at 1000000
            > delete h
              tombstone h u-0
              Classic("h", None)
              -> deleted
            > reload
            > fetch g
              -> when committed up to 0
              -> t-0 6@2
            > fetch h
              -> when committed up to 0
            > list
              -> when committed up to 0
              -> g classic Empty ""
        "#]],
    );
}

#[test]
fn a_fetch_waits_for_the_deletion_of_its_group() {
    check(
        "
        commit g t:0=5
        commit h t:0=5
        delete g
        fetch g t:0
        fetch h t:0
        ",
        expect![[r#"
            > commit g t:0=5
              g t-0 = 5 at 1000000
            > commit h t:0=5
              h t-0 = 5 at 1000000
            > delete g
              tombstone g t-0
              Classic("g", None)
              -> deleted
            > fetch g t:0
              -> when committed up to 4
              -> t-0 -1@-1
            > fetch h t:0
              -> when committed up to 2
              -> t-0 5@-1
        "#]],
    );
}

#[test]
fn a_log_that_kafka_wrote_is_taken_over() {
    check(
        "
        kafka
        list
        fetch simple
        fetch classic
        fetch modern
        delete simple
        ",
        expect![[r#"
            > kafka
            > list
              -> when committed up to 16
              -> classic classic Stable "consumer"
              -> modern consumer Reconciling "consumer"
              -> simple classic Empty ""
            > fetch simple
              -> when committed up to 16
              -> jay-1 7@0 note
            > fetch classic
              -> when committed up to 16
              -> jay-0 0@-1
            > fetch modern
              -> when committed up to 16
            > delete simple
              tombstone simple jay-1
              Classic("simple", None)
              -> deleted
        "#]],
    );
}
