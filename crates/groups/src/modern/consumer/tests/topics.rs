//! Tests of topics that are created, grow and are deleted, and of regular expressions that follow
//! them.

use expect_test::expect;

use super::check;
use super::harness::Harness;
use crate::test_scripts::ScriptDriver as _;

#[test]
fn a_topic_that_grows_is_noticed_with_the_next_heartbeat() {
    check(
        "
        topic foo 1
        topic other 1
        join A foo
        topic other 2
        beat A
        topic foo 2
        beat A
        beat A
        ",
        expect![[r#"
            topic foo 1
            topic other 1
            join A foo
              + member A foo
              + epoch 2
              + target A foo:0
              + target 2
              + A Stable 2<-0 has foo:0
              A: epoch 2, has foo:0
            topic other 2
            beat A
              A: epoch 2
            topic foo 2
            beat A
              + epoch 3
              + target A foo:0,1
              + target 3
              + A Stable 3<-2 has foo:0,1
              A: epoch 3, has foo:0,1
            beat A
              A: epoch 3
        "#]],
    );
}

#[test]
fn a_topic_that_is_created_anew_is_another_one() {
    check(
        "
        topic foo 2
        join A foo
        ---
        delete foo
        beat A
        beat A have=-
        topic foo 1
        beat A
        ",
        expect![[r#"
            delete foo
            beat A
              + epoch 3
              + target A -
              + target 3
              + A UnrevokedPartitions 2<-2 has -, gives back ?:0,1
              A: epoch 2, has -
            beat A have=-
              + A Stable 3<-2 has -
              A: epoch 3
            topic foo 1
            beat A
              + epoch 4
              + target A foo:0
              + target 4
              + A Stable 4<-3 has foo:0
              A: epoch 4, has foo:0
        "#]],
    );
}

#[test]
fn an_expression_has_its_topics_with_the_first_answer() {
    check(
        "
        topic foo1 1
        topic foo2 1
        topic bar 1
        join A - regex=foo.*
        join B bar regex=foo.*
        show
        join C - regex=foo(
        ",
        expect![[r#"
            topic foo1 1
            topic foo2 1
            topic bar 1
            join A - regex=foo.*
              + member A /foo.*/
              + regex foo.* matches foo1,foo2
              + epoch 2
              + target A foo1:0 foo2:0
              + target 2
              + A Stable 2<-0 has foo1:0 foo2:0
              A: epoch 2, has foo1:0 foo2:0
            join B bar regex=foo.*
              + member B bar /foo.*/
              + epoch 3
              + target B bar:0
              + target 3
              + B Stable 3<-0 has bar:0
              B: epoch 3, has bar:0
            show
              Reconciling, epoch 3, target 3
              A Stable 2<-0 has foo1:0 foo2:0, target foo1:0 foo2:0
              B Stable 3<-0 has bar:0, target bar:0
            join C - regex=foo(
              C: InvalidRegularExpression SubscribedTopicRegex `foo(` is not a valid regular expression: unclosed group.
        "#]],
    );
}

#[test]
fn topics_that_come_are_looked_for_every_ten_seconds_at_most() {
    check(
        "
        topic foo1 1
        join A - regex=foo.*
        topic foo2 1
        beat A
        wait 9999
        beat A
        wait 1
        beat A
        topic bar 1
        wait 10000
        beat A
        wait 10000
        beat A
        ",
        expect![[r#"
            topic foo1 1
            join A - regex=foo.*
              + member A /foo.*/
              + regex foo.* matches foo1
              + epoch 2
              + target A foo1:0
              + target 2
              + A Stable 2<-0 has foo1:0
              A: epoch 2, has foo1:0
            topic foo2 1
            beat A
              A: epoch 2
            wait 9999
            beat A
              A: epoch 2
            wait 1
            beat A
              + regex foo.* matches foo1,foo2
              + epoch 3
              + target A foo1:0 foo2:0
              + target 3
              + A Stable 3<-2 has foo1:0 foo2:0
              A: epoch 3, has foo1:0 foo2:0
            topic bar 1
            wait 10000
            beat A
              + regex foo.* matches foo1,foo2
              A: epoch 3
            wait 10000
            beat A
              A: epoch 3
        "#]],
    );
}

#[test]
fn expressions_are_looked_up_again_after_the_refresh_interval() {
    let mut harness = Harness::default();
    harness.config.group_consumer_regex_refresh_interval = std::time::Duration::from_secs(20);
    harness.run_script(
        "
        topic foo1 1
        join A - regex=foo.*
        delete foo1
        wait 20000
        beat A
        wait 1
        beat A
        ",
    );
    expect![[r#"
        topic foo1 1
        join A - regex=foo.*
          + member A /foo.*/
          + regex foo.* matches foo1
          + epoch 2
          + target A foo1:0
          + target 2
          + A Stable 2<-0 has foo1:0
          A: epoch 2, has foo1:0
        delete foo1
        wait 20000
        beat A
          + epoch 3
          + target A -
          + target 3
          + A UnrevokedPartitions 2<-2 has -, gives back ?:0
          A: epoch 2, has -
        wait 1
        beat A
          + regex foo.* matches 
          + epoch 4
          + target 4
          A: epoch 2
    "#]]
    .assert_eq(harness.trace());
}

#[test]
fn an_expression_that_nobody_subscribes_to_is_forgotten() {
    check(
        "
        topic foo 1
        topic bar 1
        join A - regex=foo
        join B - regex=foo
        beat A regex=bar
        beat B regex= topics=bar
        leave A
        show
        ",
        expect![[r#"
            topic foo 1
            topic bar 1
            join A - regex=foo
              + member A /foo/
              + regex foo matches foo
              + epoch 2
              + target A foo:0
              + target 2
              + A Stable 2<-0 has foo:0
              A: epoch 2, has foo:0
            join B - regex=foo
              + member B /foo/
              + epoch 3
              + target B -
              + target 3
              + B Stable 3<-0 has -
              B: epoch 3, has -
            beat A regex=bar
              + member A /bar/
              + regex bar matches bar
              + epoch 4
              + target A bar:0
              + target B foo:0
              + target 4
              + A UnrevokedPartitions 2<-2 has -, gives back foo:0
              A: epoch 2, has -
            beat B regex= topics=bar
              + member B bar
              + regex foo gone
              + epoch 5
              + target B -
              + target 5
              + B Stable 5<-3 has -
              B: epoch 5
            leave A
              + current A gone
              + target A gone
              + member A gone
              + regex bar gone
              + epoch 6
              A: epoch -1
            show
              Assigning, epoch 6, target 5
              B Stable 5<-3 has -, target -
        "#]],
    );
}
