//! Tests of logs that may lack their end (KIP-966): brokers that did not stop cleanly, failed
//! directories, and the single value of `min.insync.replicas` that makes the ELR safe.

use std::sync::Arc;

use dohle_model::NodeId;
use dohle_model::record::{ConfigResource, MetadataRecord};
use expect_test::expect;

use super::{Harness, check};
use crate::plan::Note;

#[test]
fn a_broker_that_did_not_stop_cleanly_waits_for_the_last_leader() {
    check(
        "brokers 1 2
         topic foo 1,2 min.insync.replicas=2
         fence 2
         fence 1
         register-unclean 2
         unfence 2
         register 1
         unfence 1
         isr foo-0 by 1 = 1,2",
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
            > fence 1
              foo-0 replicas 1,2 isr [] leader none epochs 1/2 elr [1,2] last known [1]
              broker 1 fenced
            > register-unclean 2
              foo-0 replicas 1,2 isr [] leader none epochs 1/3 elr [1] last known [1]
              broker 2 epoch 2
            > unfence 2
              broker 2 unfenced
            > register 1
              broker 1 epoch 3
            > unfence 1
              broker 1 unfenced
              foo-0 replicas 1,2 isr [1] leader 1 epochs 2/4
            > isr foo-0 by 1 = 1,2
              foo-0 replicas 1,2 isr [1,2] leader 1 epochs 2/5
        "#]],
    );
}

#[test]
fn when_no_member_stopped_cleanly_the_last_leader_is_elected() {
    check(
        "brokers 1 2
         topic foo 1,2 min.insync.replicas=2
         fence 2
         fence 1
         register-unclean 2
         unfence 2
         register-unclean 1
         elect preferred foo-0
         unfence 1",
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
            > fence 1
              foo-0 replicas 1,2 isr [] leader none epochs 1/2 elr [1,2] last known [1]
              broker 1 fenced
            > register-unclean 2
              foo-0 replicas 1,2 isr [] leader none epochs 1/3 elr [1] last known [1]
              broker 2 epoch 2
            > unfence 2
              broker 2 unfenced
            > register-unclean 1
              foo-0 replicas 1,2 isr [] leader none epochs 1/4 last known [1]
              broker 1 epoch 3
            > elect preferred foo-0
              foo-0: PREFERRED_LEADER_NOT_AVAILABLE: foo-0 has replicas [1, 2], of which [2] are online and [] in sync
            > unfence 1
              broker 1 unfenced
              foo-0 replicas 1,2 isr [1] leader 1 epochs 2/5 recovering
        "#]],
    );
}

#[test]
fn an_unclean_stop_that_was_not_noticed_removes_the_leader_from_the_isr() {
    check(
        "brokers 1 2 3
         topic foo 1,2,3 min.insync.replicas=2
         register-unclean 1
         register-unclean 2
         register-unclean 3
         unfence 1
         unfence 2
         unfence 3",
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
            > register-unclean 1
              foo-0 replicas 1,2,3 isr [2,3] leader 2 epochs 1/1
              broker 1 fenced
              broker 1 epoch 3
            > register-unclean 2
              foo-0 replicas 1,2,3 isr [3] leader 3 epochs 2/2
              broker 2 fenced
              broker 2 epoch 4
            > register-unclean 3
              foo-0 replicas 1,2,3 isr [] leader none epochs 3/3 last known [3]
              broker 3 fenced
              broker 3 epoch 5
            > unfence 1
              broker 1 unfenced
            > unfence 2
              broker 2 unfenced
            > unfence 3
              broker 3 unfenced
              foo-0 replicas 1,2,3 isr [3] leader 3 epochs 4/4 recovering
        "#]],
    );
}

#[test]
fn the_file_of_an_earlier_clean_stop_does_not_count() {
    check(
        "brokers 1 2
         topic foo 1,2 min.insync.replicas=2
         fence 2
         register-stale 2
         register-stale 1",
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
            > register-stale 2
              foo-0 replicas 1,2 isr [1] leader 1 epochs 0/2
              broker 2 epoch 2
            > register-stale 1
              foo-0 replicas 1,2 isr [] leader none epochs 1/3 last known [1]
              broker 1 fenced
              broker 1 epoch 3
        "#]],
    );
}

#[test]
fn without_any_replica_that_was_eligible_the_partition_waits_for_an_operator() {
    for last_step in ["unfence 2", "elect preferred foo-0"] {
        let mut world = Harness::new(true);
        world.run("brokers 1 2");
        world.run("topic foo 1,2 min.insync.replicas=2");
        world.run("fence 2");
        world.run("fence 1");
        world.run("register-unclean 2");
        assert_eq!(no_eligible_replica(&world), 0);
        // Broker 1 was the last leader, and its disk is a new one.
        world.run("register 1 21");
        world.run("unfence 1");
        world.run(last_step);
        let partition = world.draft.partition(world.find("foo-0")).unwrap();
        assert_eq!(partition.leader, None, "{partition:?}");
        assert_eq!(no_eligible_replica(&world), 1, "the operator is told once");
    }
}

fn no_eligible_replica(world: &Harness) -> usize {
    let is_it = |note: &&Note| matches!(note, Note::NoEligibleReplica { .. });
    world.draft.notes.iter().filter(is_it).count()
}

#[test]
fn without_the_feature_an_unclean_stop_is_like_any_other() {
    let mut world = Harness::new(false);
    world.run("brokers 1 2");
    world.run("topic foo 1,2 min.insync.replicas=2");
    world.run("fence 2");
    world.run("fence 1");
    world.run("register-unclean 1");
    world.run("unfence 1");
    let partition = world.draft.partition(world.find("foo-0")).unwrap();
    assert_eq!(partition.leader, Some(NodeId(1)), "{partition:?}");
}

#[test]
fn a_failed_log_directory_takes_its_replicas_out_of_the_elr() {
    check(
        "brokers 1 2
         topic foo 1,2 min.insync.replicas=2
         fence 2
         unfence 2
         offline 2 2
         isr foo-0 by 1 = 1,2
         offline 1 1
         register-unclean 1
         unfence 1",
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
            > unfence 2
              broker 2 unfenced
            > offline 2 2
              foo-0 replicas 1,2 isr [1] leader 1 epochs 0/2
              broker 2 0 log dirs
            > isr foo-0 by 1 = 1,2
              INELIGIBLE_REPLICA
              foo-0 replicas 1,2 isr [1] leader 1 epochs 0/3
            > offline 1 1
              foo-0 replicas 1,2 isr [] leader none epochs 1/4 last known [1]
              broker 1 0 log dirs
            > register-unclean 1
              broker 1 fenced
              broker 1 epoch 2
            > unfence 1
              broker 1 unfenced
              foo-0 replicas 1,2 isr [1] leader 1 epochs 2/5 recovering
        "#]],
    );
}

#[test]
fn a_replica_that_is_found_in_a_failed_directory_leaves_the_elr() {
    check(
        "register 1 1 11
         unfence 1
         brokers 2
         topic foo 2,1 min.insync.replicas=2
         fence 1
         assign 1 foo-0 12",
        expect![[r#"
            > register 1 1 11
              broker 1 epoch 0
            > unfence 1
              broker 1 unfenced
            > brokers 2
              broker 2 epoch 1
              broker 2 unfenced
            > topic foo 2,1 min.insync.replicas=2
              topic foo
              Config { resource: Topic("foo"), key: "min.insync.replicas", value: Some("2") }
              foo-0 replicas 2,1 isr [2,1] leader 2 epochs 0/0
            > fence 1
              foo-0 replicas 2,1 isr [2] leader 2 epochs 0/1 elr [1]
              broker 1 fenced
            > assign 1 foo-0 12
              foo-0 replicas 2,1 isr [2] leader 2 epochs 0/3
              foo-0 replicas 2,1 isr [2] leader 2 epochs 0/3
        "#]],
    );
}

#[test]
fn a_refused_proposal_is_not_carried_out_when_an_earlier_copy_of_it_arrives_late() {
    check(
        "brokers 1 2
         topic foo 1,2
         fence 2
         isr foo-0 by 1 = 1,2
         unfence 2
         isr foo-0 by 1 = 1,2 epochs 0 -1
         isr foo-0 by 1 = 1,2",
        expect![[r#"
            > brokers 1 2
              broker 1 epoch 0
              broker 1 unfenced
              broker 2 epoch 1
              broker 2 unfenced
            > topic foo 1,2
              topic foo
              foo-0 replicas 1,2 isr [1,2] leader 1 epochs 0/0
            > fence 2
              foo-0 replicas 1,2 isr [1] leader 1 epochs 0/1
              broker 2 fenced
            > isr foo-0 by 1 = 1,2
              INELIGIBLE_REPLICA
              foo-0 replicas 1,2 isr [1] leader 1 epochs 0/2
            > unfence 2
              broker 2 unfenced
            > isr foo-0 by 1 = 1,2 epochs 0 -1
              INVALID_UPDATE_VERSION
            > isr foo-0 by 1 = 1,2
              foo-0 replicas 1,2 isr [1,2] leader 1 epochs 0/3
        "#]],
    );
}

#[test]
fn one_min_isr_holds_for_the_whole_cluster() {
    check(
        "brokers 1 2
         config 1 min.insync.replicas=2
         config 1 min.insync.replicas=
         config all-brokers min.insync.replicas=
         config all-brokers min.insync.replicas=2
         config 1 log.cleaner.threads=2
         topic foo 1,2
         config foo min.insync.replicas=1
         config foo min.insync.replicas=",
        expect![[r#"
            > brokers 1 2
              broker 1 epoch 0
              broker 1 unfenced
              broker 2 epoch 1
              broker 2 unfenced
            > config 1 min.insync.replicas=2
              INVALID_CONFIG: Broker-level min.insync.replicas cannot be altered while ELR is enabled. Set it for the topic, or for all brokers
            > config 1 min.insync.replicas=
              INVALID_CONFIG: Broker-level min.insync.replicas cannot be altered while ELR is enabled. Set it for the topic, or for all brokers
            > config all-brokers min.insync.replicas=
              INVALID_CONFIG: Cluster-level min.insync.replicas cannot be removed while ELR is enabled. Set another value
            > config all-brokers min.insync.replicas=2
              Config { resource: BrokerDefault, key: "min.insync.replicas", value: Some("2") }
            > config 1 log.cleaner.threads=2
              Config { resource: Broker(NodeId(1)), key: "log.cleaner.threads", value: Some("2") }
            > topic foo 1,2
              topic foo
              foo-0 replicas 1,2 isr [1,2] leader 1 epochs 0/0
            > config foo min.insync.replicas=1
              Config { resource: Topic("foo"), key: "min.insync.replicas", value: Some("1") }
            > config foo min.insync.replicas=
              Config { resource: Topic("foo"), key: "min.insync.replicas", value: None }
        "#]],
    );
}

#[test]
fn an_active_controller_unifies_what_earlier_ones_accepted() {
    let mut world = Harness::new(true);
    let settings = Arc::make_mut(&mut world.draft.settings);
    settings.min_insync_replicas = 2;
    world.run("brokers 1 2");
    let key = "min.insync.replicas";
    for (resource, value) in [
        (ConfigResource::BrokerDefault, None),
        (ConfigResource::Broker(NodeId(2)), Some("3".to_owned())),
    ] {
        world.draft.push(MetadataRecord::Config {
            resource,
            key: key.to_owned(),
            value,
        });
    }
    super::super::features::bootstrap(&mut world.draft);
    let image = &world.draft.image;
    assert_eq!(image.config(&ConfigResource::BrokerDefault, key), Some("2"));
    assert_eq!(image.config(&ConfigResource::Broker(NodeId(2)), key), None);
    let records = world.draft.records.len();
    super::super::features::bootstrap(&mut world.draft);
    assert_eq!(world.draft.records.len(), records, "nothing is left to do");
}
