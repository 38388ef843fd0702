//! Tests of the history of rebalances.

use expect_test::expect;

use super::check;

#[test]
fn each_new_group_epoch_has_its_cause() {
    check(
        "
        topic foo 2
        join A foo
        ack A
        topic bar 1
        beat A topics=foo,bar
        ack A
        topic foo 4
        beat A
        ack A
        join B foo
        leave B
        beat A
        wait 60000
        history
        ",
        expect![[r#"
            topic foo 2
            join A foo
              + member A foo
              + epoch 2
              + target A foo:0,1
              + target 2
              + A Stable 2<-0 has foo:0,1
              A: epoch 2, has foo:0,1
            ack A
              A: epoch 2
            topic bar 1
            beat A topics=foo,bar
              + member A bar,foo
              + epoch 3
              + target A bar:0 foo:0,1
              + target 3
              + A Stable 3<-2 has bar:0 foo:0,1
              A: epoch 3, has bar:0 foo:0,1
            ack A
              A: epoch 3
            topic foo 4
            beat A
              + epoch 4
              + target A bar:0 foo:0,1,2,3
              + target 4
              + A Stable 4<-3 has bar:0 foo:0,1,2,3
              A: epoch 4, has bar:0 foo:0,1,2,3
            ack A
              A: epoch 4
            join B foo
              + member B foo
              + epoch 5
              + target A bar:0 foo:0,1
              + target B foo:2,3
              + target 5
              + B UnreleasedPartitions 5<-0 has -
              B: epoch 5, has -
            leave B
              + current B gone
              + target B gone
              + member B gone
              + epoch 6
              B: epoch -1
            beat A
              + target A bar:0 foo:0,1,2,3
              + target 6
              + A Stable 6<-4 has bar:0 foo:0,1,2,3
              A: epoch 6
            wait 60000
              at 45000 ms
              + current A gone
              + target A gone
              + member A gone
              + epoch 7
              at 45000 ms
            history
              60s ago: to 2, members 1: member A at 127.0.0.1 joined
              60s ago: to 3, members 1: member A at 127.0.0.1 changed its subscription
              60s ago: to 4, members 1: topics that the group subscribes to were created or deleted, or their partitions or replicas changed
              60s ago: to 5, members 2: member B at 127.0.0.1 joined
              60s ago: to 6, members 1: member B at 127.0.0.1 left
              15s ago: to 7, members 0: member A at 127.0.0.1 timed out: no heartbeat for 45000 ms, its session timeout
        "#]],
    );
}

#[test]
fn a_member_that_gives_nothing_back_is_named() {
    check(
        "
        topic foo 2
        join A foo timeout=5000
        ack A
        join B foo
        beat A
        wait 6000
        history
        ",
        expect![[r#"
            topic foo 2
            join A foo timeout=5000
              + member A foo
              + epoch 2
              + target A foo:0,1
              + target 2
              + A Stable 2<-0 has foo:0,1
              A: epoch 2, has foo:0,1
            ack A
              A: epoch 2
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
            wait 6000
              at 5000 ms
              + current A gone
              + target A gone
              + member A gone
              + epoch 4
            history
              6s ago: to 2, members 1: member A at 127.0.0.1 joined
              6s ago: to 3, members 2: member B at 127.0.0.1 joined
              1s ago: to 4, members 1: member A at 127.0.0.1 timed out: did not give back partitions within 5000 ms, its rebalance timeout (max.poll.interval.ms of Java clients)
        "#]],
    );
}

#[test]
fn a_rebalance_whose_records_cannot_be_written_is_not_in_the_history() {
    check(
        "
        topic foo 2
        join A foo
        fail
        leave A
        history
        ",
        expect![[r#"
            topic foo 2
            join A foo
              + member A foo
              + epoch 2
              + target A foo:0,1
              + target 2
              + A Stable 2<-0 has foo:0,1
              A: epoch 2, has foo:0,1
            fail
            leave A
              the write fails
            history
              0s ago: to 2, members 1: member A at 127.0.0.1 joined
        "#]],
    );
}
