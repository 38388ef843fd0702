//! Tests of OffsetCommit.

use expect_test::expect;

use super::driver::check;
use crate::test_scripts::ScriptDriver as _;

#[test]
fn who_has_no_membership_commits_while_the_group_is_empty() {
    check(
        "
        commit g t:0=5 t:1=7@3 m=note
        fetch g t:0,1,2
        list
        classic g gen=3 a:t
        commit g t:0=6
        commit g t:0=6 gen=3 id=a
        ",
        expect![[r#"
            > commit g t:0=5 t:1=7@3 m=note
              g t-0 = 5 at 1000000 "note"
              g t-1 = 7 at 1000000 epoch 3 "note"
            > fetch g t:0,1,2
              -> when committed up to 2
              -> t-0 5@-1 note
              -> t-1 7@3 note
              -> t-2 -1@-1
            > list
              -> when committed up to 2
              -> g classic Empty ""
            > classic g gen=3 a:t
            > commit g t:0=6
              -> UNKNOWN_MEMBER_ID
            > commit g t:0=6 gen=3 id=a
              g t-0 = 6 at 1000000
        "#]],
    );
}

#[test]
fn members_of_a_group_that_does_not_exist_may_not_commit() {
    check(
        "
        commit g t:0=5 gen=0 id=a v9
        commit g t:0=5 gen=0 id=a v8
        list
        ",
        expect![[r#"
            > commit g t:0=5 gen=0 id=a v9
              -> GROUP_ID_NOT_FOUND
            > commit g t:0=5 gen=0 id=a v8
              -> ILLEGAL_GENERATION
            > list
              -> when committed up to 0
        "#]],
    );
}

#[test]
fn members_commit_in_the_generation_there_is() {
    check(
        "
        classic g gen=3 a:t
        commit g t:0=5 gen=3 id=a
        commit g t:0=6 gen=2 id=a
        commit g t:0=6 gen=3 id=b
        commit g t:0=6 gen=3 id=a instance=i
        ",
        expect![[r#"
            > classic g gen=3 a:t
            > commit g t:0=5 gen=3 id=a
              g t-0 = 5 at 1000000
            > commit g t:0=6 gen=2 id=a
              -> ILLEGAL_GENERATION
            > commit g t:0=6 gen=3 id=b
              -> UNKNOWN_MEMBER_ID
            > commit g t:0=6 gen=3 id=a instance=i
              -> UNKNOWN_MEMBER_ID
        "#]],
    );
}

#[test]
fn members_of_a_consumer_group_commit_in_their_epoch() {
    check(
        "
        consumer g a:5
        commit g t:0=5 gen=5 id=a
        commit g t:0=6 gen=6 id=a
        commit g t:0=6 gen=4 id=a
        commit g t:0=6 gen=5 id=b
        commit g t:0=6 gen=5 id=a v8
        commit g t:0=6
        consumer empty
        commit empty t:0=6
        commit g pid=7 t:0=6 gen=4 id=a
        commit g pid=7 t:0=6 gen=4 id=a v5
        commit nobody pid=7 t:0=6 gen=4 id=a
        commit nobody pid=7 t:0=6 gen=4 id=a v5
        ",
        expect![[r#"
            > consumer g a:5
            > commit g t:0=5 gen=5 id=a
              g t-0 = 5 at 1000000
            > commit g t:0=6 gen=6 id=a
              -> STALE_MEMBER_EPOCH
            > commit g t:0=6 gen=4 id=a
              -> STALE_MEMBER_EPOCH
            > commit g t:0=6 gen=5 id=b
              -> UNKNOWN_MEMBER_ID
            > commit g t:0=6 gen=5 id=a v8
              -> UNSUPPORTED_VERSION
            > commit g t:0=6
              -> UNKNOWN_MEMBER_ID
            > consumer empty
            > commit empty t:0=6
              empty t-0 = 6 at 1000000
            > commit g pid=7 t:0=6 gen=4 id=a
              -> STALE_MEMBER_EPOCH
            > commit g pid=7 t:0=6 gen=4 id=a v5
              -> ILLEGAL_GENERATION
            > commit nobody pid=7 t:0=6 gen=4 id=a
              -> GROUP_ID_NOT_FOUND
            > commit nobody pid=7 t:0=6 gen=4 id=a v5
              -> ILLEGAL_GENERATION
        "#]],
    );
}

#[test]
fn a_text_that_is_too_long_is_refused_for_its_partition() {
    let long = "x".repeat(4097);
    let just = "ä".repeat(4096);
    let mut driver = super::driver::Driver::default();
    driver.run(&format!("commit g t:0=5 m={long}"));
    driver.run(&format!("commit g t:1=5 m={just}"));
    let out = driver.out.replace(&long, "LONG").replace(&just, "JUST");
    expect![[r#"
        > commit g t:0=5 m=LONG
          -> t-0 OFFSET_METADATA_TOO_LARGE
        > commit g t:1=5 m=JUST
          g t-1 = 5 at 1000000 "JUST"
    "#]]
    .assert_eq(&out);
}

#[test]
fn old_clients_say_how_long_offsets_are_kept() {
    check(
        "
        commit g t:0=5 retain=60s v4
        tick 59s
        expire
        tick 1s
        expire
        list
        ",
        expect![[r#"
            > commit g t:0=5 retain=60s v4
              g t-0 = 5 at 1000000 expires 1060000
            > tick 59s
            > expire
            > tick 1s
            > expire
              Classic("g", None)
              tombstone g t-0
            > list
              -> when committed up to 3
        "#]],
    );
}
