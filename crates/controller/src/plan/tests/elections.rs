//! Tests of elections: preferred, in sync, eligible, unclean.

use expect_test::expect;

use super::check;

#[test]
fn a_dead_leader_is_replaced_by_the_next_replica_in_sync() {
    check(
        "brokers 1 2 3
         topic foo 1,2,3 3,1,2
         fence 1
         unfence 1
         isr foo-0 by 2 = 2,3,1
         rebalance",
        expect![[r#"
            > brokers 1 2 3
              broker 1 epoch 0
              broker 1 unfenced
              broker 2 epoch 1
              broker 2 unfenced
              broker 3 epoch 2
              broker 3 unfenced
            > topic foo 1,2,3 3,1,2
              topic foo
              foo-0 replicas 1,2,3 isr [1,2,3] leader 1 epochs 0/0
              foo-1 replicas 3,1,2 isr [3,1,2] leader 3 epochs 0/0
            > fence 1
              foo-0 replicas 1,2,3 isr [2,3] leader 2 epochs 1/1
              foo-1 replicas 3,1,2 isr [3,2] leader 3 epochs 0/1
              broker 1 fenced
            > unfence 1
              broker 1 unfenced
            > isr foo-0 by 2 = 2,3,1
              foo-0 replicas 1,2,3 isr [1,2,3] leader 2 epochs 1/2
            > rebalance
              foo-0 replicas 1,2,3 isr [1,2,3] leader 1 epochs 2/3
        "#]],
    );
}

#[test]
fn below_min_isr_those_that_leave_stay_eligible() {
    check(
        "brokers 1 2 3
         topic foo 1,2,3 min.insync.replicas=2
         fence 3
         fence 2
         fence 1
         unfence 3
         unfence 2
         isr foo-0 by 2 = 2,1
         isr foo-0 by 2 = 2,3
         unfence 1
         isr foo-0 by 2 = 2,3,1",
        expect![[r#"
            > brokers 1 2 3
              broker 1 epoch 0
              broker 1 unfenced
              broker 2 epoch 1
              broker 2 unfenced
              broker 3 epoch 2
              broker 3 unfenced
            > topic foo 1,2,3 min.insync.replicas=2
              topic foo
              Config { resource: Topic("foo"), key: "min.insync.replicas", value: Some("2") }
              foo-0 replicas 1,2,3 isr [1,2,3] leader 1 epochs 0/0
            > fence 3
              foo-0 replicas 1,2,3 isr [1,2] leader 1 epochs 0/1
              broker 3 fenced
            > fence 2
              foo-0 replicas 1,2,3 isr [1] leader 1 epochs 0/2 elr [2]
              broker 2 fenced
            > fence 1
              foo-0 replicas 1,2,3 isr [] leader none epochs 1/3 elr [1,2] last known [1]
              broker 1 fenced
            > unfence 3
              broker 3 unfenced
            > unfence 2
              broker 2 unfenced
              foo-0 replicas 1,2,3 isr [2] leader 2 epochs 2/4 elr [1]
            > isr foo-0 by 2 = 2,1
              INELIGIBLE_REPLICA
              foo-0 replicas 1,2,3 isr [2] leader 2 epochs 2/5 elr [1]
            > isr foo-0 by 2 = 2,3
              foo-0 replicas 1,2,3 isr [2,3] leader 2 epochs 2/6
            > unfence 1
              broker 1 unfenced
            > isr foo-0 by 2 = 2,3,1
              foo-0 replicas 1,2,3 isr [1,2,3] leader 2 epochs 2/7
        "#]],
    );
}

#[test]
fn the_last_in_sync_leads_again_when_it_comes_back() {
    check(
        "brokers 1
         topic foo 1
         register 1
         unfence 1",
        expect![[r#"
            > brokers 1
              broker 1 epoch 0
              broker 1 unfenced
            > topic foo 1
              topic foo
              foo-0 replicas 1 isr [1] leader 1 epochs 0/0
            > register 1
              foo-0 replicas 1 isr [] leader none epochs 1/1 elr [1] last known [1]
              broker 1 fenced
              broker 1 epoch 1
            > unfence 1
              broker 1 unfenced
              foo-0 replicas 1 isr [1] leader 1 epochs 2/2
        "#]],
    );
}

#[test]
fn an_unclean_election_needs_permission() {
    check(
        "brokers 1 2
         topic foo 1,2
         isr foo-0 by 1 = 1
         fence 1
         elect unclean foo-0
         isr foo-0 by 2 = 2
         fence 2
         config foo unclean.leader.election.enable=true
         unfence 1",
        expect![[r#"
            > brokers 1 2
              broker 1 epoch 0
              broker 1 unfenced
              broker 2 epoch 1
              broker 2 unfenced
            > topic foo 1,2
              topic foo
              foo-0 replicas 1,2 isr [1,2] leader 1 epochs 0/0
            > isr foo-0 by 1 = 1
              foo-0 replicas 1,2 isr [1] leader 1 epochs 0/1
            > fence 1
              foo-0 replicas 1,2 isr [] leader none epochs 1/2 elr [1] last known [1]
              broker 1 fenced
            > elect unclean foo-0
              foo-0: 
              foo-0 replicas 1,2 isr [2] leader 2 epochs 2/3 recovering
            > isr foo-0 by 2 = 2
              foo-0 replicas 1,2 isr [2] leader 2 epochs 2/4
            > fence 2
              foo-0 replicas 1,2 isr [] leader none epochs 3/5 elr [2] last known [2]
              broker 2 fenced
            > config foo unclean.leader.election.enable=true
              Config { resource: Topic("foo"), key: "unclean.leader.election.enable", value: Some("true") }
            > unfence 1
              broker 1 unfenced
              foo-0 replicas 1,2 isr [1] leader 1 epochs 4/6 recovering
        "#]],
    );
}

#[test]
fn allowing_unclean_elections_elects_at_once() {
    check(
        "brokers 1 2
         topic foo 1,2
         topic bar 1,2
         isr foo-0 by 1 = 1
         isr bar-0 by 1 = 1
         fence 1
         config foo unclean.leader.election.enable=true
         config all-brokers unclean.leader.election.enable=true",
        expect![[r#"
            > brokers 1 2
              broker 1 epoch 0
              broker 1 unfenced
              broker 2 epoch 1
              broker 2 unfenced
            > topic foo 1,2
              topic foo
              foo-0 replicas 1,2 isr [1,2] leader 1 epochs 0/0
            > topic bar 1,2
              topic bar
              bar-0 replicas 1,2 isr [1,2] leader 1 epochs 0/0
            > isr foo-0 by 1 = 1
              foo-0 replicas 1,2 isr [1] leader 1 epochs 0/1
            > isr bar-0 by 1 = 1
              bar-0 replicas 1,2 isr [1] leader 1 epochs 0/1
            > fence 1
              foo-0 replicas 1,2 isr [] leader none epochs 1/2 elr [1] last known [1]
              bar-0 replicas 1,2 isr [] leader none epochs 1/2 elr [1] last known [1]
              broker 1 fenced
            > config foo unclean.leader.election.enable=true
              Config { resource: Topic("foo"), key: "unclean.leader.election.enable", value: Some("true") }
              foo-0 replicas 1,2 isr [2] leader 2 epochs 2/3 recovering
            > config all-brokers unclean.leader.election.enable=true
              Config { resource: BrokerDefault, key: "unclean.leader.election.enable", value: Some("true") }
              bar-0 replicas 1,2 isr [2] leader 2 epochs 2/3 recovering
        "#]],
    );
}

#[test]
fn asked_for_elections_say_why_they_are_not_made() {
    check(
        "brokers 1 2 3
         topic foo 1,2 2,3
         elect preferred foo-0
         elect unclean foo-0
         fence 1
         elect preferred foo-0
         elect preferred foo-7
         elect preferred bar-0
         elect 9 foo-0
         unfence 1
         elect preferred foo-0
         isr foo-0 by 2 = 2,1
         elect preferred
         elect preferred",
        expect![[r#"
            > brokers 1 2 3
              broker 1 epoch 0
              broker 1 unfenced
              broker 2 epoch 1
              broker 2 unfenced
              broker 3 epoch 2
              broker 3 unfenced
            > topic foo 1,2 2,3
              topic foo
              foo-0 replicas 1,2 isr [1,2] leader 1 epochs 0/0
              foo-1 replicas 2,3 isr [2,3] leader 2 epochs 0/0
            > elect preferred foo-0
              foo-0: ELECTION_NOT_NEEDED: foo-0 already has the leader that the election would choose
            > elect unclean foo-0
              foo-0: ELECTION_NOT_NEEDED: foo-0 already has the leader that the election would choose
            > fence 1
              foo-0 replicas 1,2 isr [2] leader 2 epochs 1/1
              broker 1 fenced
            > elect preferred foo-0
              foo-0: PREFERRED_LEADER_NOT_AVAILABLE: foo-0 has replicas [1, 2], of which [2] are online and [2] in sync
            > elect preferred foo-7
              foo-7: UNKNOWN_TOPIC_OR_PARTITION: there is no partition foo-7
            > elect preferred bar-0
              bar-0: UNKNOWN_TOPIC_OR_PARTITION: there is no topic bar
            > elect 9 foo-0
              INVALID_REQUEST: election type 9 is unknown; 0 is preferred, 1 is unclean
            > unfence 1
              broker 1 unfenced
            > elect preferred foo-0
              foo-0: PREFERRED_LEADER_NOT_AVAILABLE: foo-0 has replicas [1, 2], of which [1, 2] are online and [2] in sync
            > isr foo-0 by 2 = 2,1
              foo-0 replicas 1,2 isr [1,2] leader 2 epochs 1/2
            > elect preferred
              foo-0: 
              foo-0 replicas 1,2 isr [1,2] leader 1 epochs 2/3
            > elect preferred
        "#]],
    );
}

#[test]
fn fewer_in_sync_replicas_asked_for_make_those_outside_ineligible() {
    check(
        "brokers 1 2
         topic foo 1,2 min.insync.replicas=2
         fence 2
         config foo min.insync.replicas=1
         fence 1
         unfence 2",
        expect![[r#"
            > brokers 1 2
              broker 1 epoch 0
              broker 1 unfenced
              broker 2 epoch 1
              broker 2 unfenced
            > topic foo 1,2 min.insync.replicas=2
              topic foo
              Config { resource: Topic("foo"), key: "min.insync.replicas", value: Some("2") }
              foo-0 replicas 1,2 isr [1,2] leader 1 epochs 0/0
            > fence 2
              foo-0 replicas 1,2 isr [1] leader 1 epochs 0/1 elr [2]
              broker 2 fenced
            > config foo min.insync.replicas=1
              Config { resource: Topic("foo"), key: "min.insync.replicas", value: Some("1") }
              foo-0 replicas 1,2 isr [1] leader 1 epochs 0/2
            > fence 1
              foo-0 replicas 1,2 isr [] leader none epochs 1/3 elr [1] last known [1]
              broker 1 fenced
            > unfence 2
              broker 2 unfenced
        "#]],
    );
}
