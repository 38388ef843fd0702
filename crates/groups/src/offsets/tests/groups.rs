//! Tests of ListGroups and DescribeGroups.

use expect_test::expect;

use super::driver::check;

#[test]
fn groups_are_listed_by_state_and_type() {
    check(
        "
        commit simple t:0=5
        classic classic gen=1 a:t
        consumer consumer
        list
        list states=EMPTY
        list states=stable
        list types=Consumer
        list types=share
        list states=empty types=classic
        ",
        expect![[r#"
            > commit simple t:0=5
              simple t-0 = 5 at 1000000
            > classic classic gen=1 a:t
            > consumer consumer
            > list
              -> when committed up to 3
              -> classic classic Stable "consumer"
              -> consumer consumer Empty "consumer"
              -> simple classic Empty ""
            > list states=EMPTY
              -> when committed up to 3
              -> consumer consumer Empty "consumer"
              -> simple classic Empty ""
            > list states=stable
              -> when committed up to 3
              -> classic classic Stable "consumer"
            > list types=Consumer
              -> when committed up to 3
              -> consumer consumer Empty "consumer"
            > list types=share
              -> when committed up to 3
            > list states=empty types=classic
              -> when committed up to 3
              -> simple classic Empty ""
        "#]],
    );
}

#[test]
fn a_classic_group_is_described_and_others_are_dead() {
    check(
        "
        classic g gen=1 a:t
        describe g
        commit simple t:0=5
        describe simple
        consumer c
        describe c v6
        describe c v5
        describe nobody v6
        describe nobody v5
        ",
        expect![[r#"
            > classic g gen=1 a:t
            > describe g
              -> Stable "consumer" "range"
              -> a client/host b"assigned"
            > commit simple t:0=5
              simple t-0 = 5 at 1000000
            > describe simple
              -> Empty "" ""
            > consumer c
            > describe c v6
              -> Dead "" "" GROUP_ID_NOT_FOUND: Group c is not a classic group.
            > describe c v5
              -> Dead "" ""
            > describe nobody v6
              -> Dead "" "" GROUP_ID_NOT_FOUND: Group nobody not found.
            > describe nobody v5
              -> Dead "" ""
        "#]],
    );
}
