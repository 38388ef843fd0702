//! Tests of OffsetDelete, DeleteGroups, and deleted topics.

use expect_test::expect;

use super::driver::check;

#[test]
fn offsets_of_topics_that_the_group_subscribes_to_are_not_deleted() {
    check(
        "
        delete-offsets g t:0
        commit g t:0=5 u:0=6
        classic g gen=1 a:t
        delete-offsets g t:0,1 u:0,1
        fetch g
        classic other gen=1 type=connect a:t
        delete-offsets other t:0
        ",
        expect![[r#"
            > delete-offsets g t:0
              -> GROUP_ID_NOT_FOUND
            > commit g t:0=5 u:0=6
              g t-0 = 5 at 1000000
              g u-0 = 6 at 1000000
            > classic g gen=1 a:t
            > delete-offsets g t:0,1 u:0,1
              tombstone g u-0
              -> t-0 GROUP_SUBSCRIBED_TO_TOPIC
              -> t-1 GROUP_SUBSCRIBED_TO_TOPIC
              -> u-0 ok
              -> u-1 ok
            > fetch g
              -> when committed up to 4
              -> t-0 5@-1
            > classic other gen=1 type=connect a:t
            > delete-offsets other t:0
              -> NON_EMPTY_GROUP
        "#]],
    );
}

#[test]
fn a_group_is_deleted_when_it_has_no_members() {
    check(
        "
        delete g
        commit g t:0=5 t:1=6 u:0=7
        classic g gen=1 a:t
        delete g
        classic g gen=2
        delete g
        list
        consumer c a:5
        delete c
        ",
        expect![[r#"
            > delete g
              -> GROUP_ID_NOT_FOUND
            > commit g t:0=5 t:1=6 u:0=7
              g t-0 = 5 at 1000000
              g t-1 = 6 at 1000000
              g u-0 = 7 at 1000000
            > classic g gen=1 a:t
            > delete g
              -> NON_EMPTY_GROUP
            > classic g gen=2
            > delete g
              tombstone g t-0
              tombstone g t-1
              tombstone g u-0
              Classic("g", None)
              -> deleted
            > list
              -> when committed up to 9
            > consumer c a:5
            > delete c
              -> NON_EMPTY_GROUP
        "#]],
    );
}

#[test]
fn a_consumer_group_is_deleted_with_all_its_records() {
    check(
        "
        consumer c
        commit c t:0=1
        delete c
        list
        reload
        list
        ",
        expect![[r#"
            > consumer c
            > commit c t:0=1
              c t-0 = 1 at 1000000
            > delete c
              tombstone c t-0
              ConsumerTarget("c", None)
              ConsumerGroup("c", None)
              -> deleted
            > list
              -> when committed up to 5
            > reload
            > list
              -> when committed up to 0
        "#]],
    );
}

#[test]
fn offsets_go_with_their_topic_and_no_others() {
    check(
        "
        commit g t:0=5 t:1=6 u:0=7
        commit h t:0=8
        topics-deleted u
        topics-deleted t
        list
        commit g t:0=1
        recreated
        topics-deleted t
        fetch g
        ",
        expect![[r#"
            > commit g t:0=5 t:1=6 u:0=7
              g t-0 = 5 at 1000000
              g t-1 = 6 at 1000000
              g u-0 = 7 at 1000000
            > commit h t:0=8
              h t-0 = 8 at 1000000
            > topics-deleted u
              tombstone g u-0
            > topics-deleted t
              tombstone g t-0
              tombstone g t-1
              tombstone h t-0
            > list
              -> when committed up to 8
              -> g classic Empty ""
              -> h classic Empty ""
            > commit g t:0=1
              g t-0 = 1 at 1000000
            > recreated
            > topics-deleted t
            > fetch g
              -> when committed up to 9
              -> t-0 1@-1
        "#]],
    );
}
