//! Tests of the expiry of offsets (KIP-211).

use expect_test::expect;

use super::driver::{Driver, check};
use crate::test_scripts::ScriptDriver as _;

#[test]
fn without_members_offsets_expire_a_while_after_their_commit() {
    check(
        "
        commit g t:0=5
        tick 6d
        commit g t:1=6
        tick 1d
        expire
        tick 6d
        expire
        list
        ",
        expect![[r#"
            > commit g t:0=5
              g t-0 = 5 at 1000000
            > tick 6d
            > commit g t:1=6
              g t-1 = 6 at 519400000
            > tick 1d
            > expire
              tombstone g t-0
            > tick 6d
            > expire
              Classic("g", None)
              tombstone g t-1
            > list
              -> when committed up to 5
        "#]],
    );
}

#[test]
fn when_the_members_have_left_offsets_expire_a_while_after_that() {
    check(
        "
        classic g gen=1 a:t
        commit g t:0=5 gen=1 id=a
        tick 9d
        expire
        classic g gen=2
        tick 6d
        expire
        tick 1d
        expire
        list
        ",
        expect![[r#"
            > classic g gen=1 a:t
            > commit g t:0=5 gen=1 id=a
              g t-0 = 5 at 1000000
            > tick 9d
            > expire
            > classic g gen=2
            > tick 6d
            > expire
            > tick 1d
            > expire
              Classic("g", None)
              tombstone g t-0
            > list
              -> when committed up to 5
        "#]],
    );
}

#[test]
fn what_members_no_longer_subscribe_to_expires_and_the_group_stays() {
    check(
        "
        classic g gen=1 a:t
        commit g t:0=5 u:0=6 gen=1 id=a
        tick 7d
        expire
        list
        consumer c a:5
        commit c t:0=5 u:0=6 gen=5 id=a
        tick 7d
        expire
        ",
        expect![[r#"
            > classic g gen=1 a:t
            > commit g t:0=5 u:0=6 gen=1 id=a
              g t-0 = 5 at 1000000
              g u-0 = 6 at 1000000
            > tick 7d
            > expire
              tombstone g u-0
            > list
              -> when committed up to 4
              -> g classic Stable "consumer"
            > consumer c a:5
            > commit c t:0=5 u:0=6 gen=5 id=a
              c t-0 = 5 at 605800000
              c u-0 = 6 at 605800000
            > tick 7d
            > expire
              tombstone c u-0
        "#]],
    );
}

#[test]
fn nothing_expires_while_it_is_not_known_what_members_subscribe_to() {
    check(
        "
        classic g gen=1 type=connect a:t
        commit g t:0=5 gen=1 id=a
        tick 30d
        expire
        ",
        expect![[r#"
            > classic g gen=1 type=connect a:t
            > commit g t:0=5 gen=1 id=a
              g t-0 = 5 at 1000000
            > tick 30d
            > expire
        "#]],
    );
}

#[test]
fn many_offsets_expire_in_steps_of_bounded_size() {
    let mut driver = Driver::default();
    for topic in 0..25 {
        let offsets: Vec<String> = (0..100)
            .map(|index| format!("t{topic}:{index}=1"))
            .collect();
        driver.run(&format!("commit g {}", offsets.join(" ")));
    }
    driver.run("tick 7d");
    driver.out.clear();
    driver.run("expire");
    assert_eq!(driver.out.matches("tombstone").count(), 2500);
    assert!(driver.shard.groups.is_empty());
}

#[test]
fn a_round_of_expiry_has_steps_of_bounded_size_and_looks_at_each_group_once() {
    let mut driver = Driver::default();
    for group in 0..6_000 {
        driver.run(&format!("commit g{group} t:0=5"));
    }
    // Nothing has expired. A step looks at 5,000 groups and as many offsets.
    assert_eq!(driver.expire(), 2);
    assert_eq!(driver.shard.groups.len(), 6_000);
    driver.run("tick 7d");
    // A step writes 1,000 tombstones: those of an offset and of a group for 500 groups.
    assert_eq!(driver.expire(), 13);
    assert!(driver.shard.groups.is_empty());
}
