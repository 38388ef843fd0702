//! Tests of brokers that register, stop and return.

use dohle_model::features::{CORDONED_LOG_DIRS_FROM, METADATA_VERSION};
use dohle_model::record::MetadataRecord;
use dohle_model::{BrokerEpoch, NodeId};
use expect_test::expect;

use super::{Harness, check};

#[test]
fn a_restarted_broker_fences_its_old_incarnation_at_once() {
    check(
        "brokers 1 2
         topic foo 1,2
         register 1
         unfence 1
         isr foo-0 by 2 = 2,1",
        expect![[r#"
            > brokers 1 2
              broker 1 epoch 0
              broker 1 unfenced
              broker 2 epoch 1
              broker 2 unfenced
            > topic foo 1,2
              topic foo
              foo-0 replicas 1,2 isr [1,2] leader 1 epochs 0/0
            > register 1
              foo-0 replicas 1,2 isr [2] leader 2 epochs 1/1
              broker 1 fenced
              broker 1 epoch 2
            > unfence 1
              broker 1 unfenced
            > isr foo-0 by 2 = 2,1
              foo-0 replicas 1,2 isr [1,2] leader 2 epochs 1/2
        "#]],
    );
}

#[test]
fn brokers_whose_directories_are_all_cordoned_get_no_new_replicas() {
    check(
        "register 1 1 11
         unfence 1
         brokers 2 3 4
         cordon 1 1 11
         cordon 1 11 1
         topic first
         cordon 2 2
         topic second
         topic assigned 2
         reassign first-0 = 3,2
         cordon 1 1
         topic third
         cordon 2
         cordon 2 2
         register 2",
        expect![[r#"
            > register 1 1 11
              broker 1 epoch 0
            > unfence 1
              broker 1 unfenced
            > brokers 2 3 4
              broker 2 epoch 1
              broker 2 unfenced
              broker 3 epoch 2
              broker 3 unfenced
              broker 4 epoch 3
              broker 4 unfenced
            > cordon 1 1 11
              broker 1 has 2 cordoned log directories
            > cordon 1 11 1
            > topic first
              topic first
              first-0 replicas 2,3,4 isr [2,3,4] leader 2 epochs 0/0
              first-1 replicas 3,4,2 isr [3,4,2] leader 3 epochs 0/0
            > cordon 2 2
              broker 2 has 1 cordoned log directories
            > topic second
              INVALID_REPLICATION_FACTOR: Unable to replicate the partition 3 time(s): a replication factor of 3 needs as many brokers, but 2 are registered (2 of them running), without those whose log directories are all cordoned: [1, 2].
            > topic assigned 2
              INVALID_REPLICA_ASSIGNMENT: The manual partition assignment includes broker 2, but all its log directories are cordoned.
            > reassign first-0 = 3,2
              INVALID_REPLICA_ASSIGNMENT: The manual partition assignment includes broker 2, but all its log directories are cordoned.
            > cordon 1 1
              broker 1 has 1 cordoned log directories
            > topic third
              topic third
              third-0 replicas 1,3,4 isr [1,3,4] leader 1 epochs 0/0
              third-1 replicas 3,4,1 isr [3,4,1] leader 3 epochs 0/0
            > cordon 2
              broker 2 has 0 cordoned log directories
            > cordon 2 2
              broker 2 has 1 cordoned log directories
            > register 2
              first-0 replicas 2,3,4 isr [3,4] leader 3 epochs 1/1
              first-1 replicas 3,4,2 isr [3,4] leader 3 epochs 0/1
              broker 2 fenced
              broker 2 epoch 4
        "#]],
    );
}

#[test]
fn an_old_metadata_version_has_no_cordoned_directories() {
    let mut harness = Harness::new(false);
    harness.run("brokers 1");
    harness.draft.push(MetadataRecord::FeatureLevel {
        name: METADATA_VERSION.to_owned(),
        level: CORDONED_LOG_DIRS_FROM - 1,
    });
    harness.run("cordon 1 1");
    assert_eq!(
        harness.draft.image.brokers[&NodeId(1)].cordoned_log_dirs,
        []
    );
    for entry in ["cordoned.log.dirs=/data", "cordoned.log.dirs="] {
        let refused = harness.run(&format!("config 1 {entry}"));
        assert!(refused.contains("INVALID_CONFIG"), "{refused}");
        assert!(
            refused.contains("requires metadata.version >= 4.3-IV0"),
            "{refused}"
        );
    }
}

#[test]
fn a_second_broker_with_the_same_id_is_refused_while_the_first_runs() {
    check(
        "brokers 1 2
         connected 1 2
         register 1
         register-again 1
         connected 2
         register 1",
        expect![[r#"
            > brokers 1 2
              broker 1 epoch 0
              broker 1 unfenced
              broker 2 epoch 1
              broker 2 unfenced
            > connected 1 2
            > register 1
              DUPLICATE_BROKER_REGISTRATION: another broker with node.id 1 is running at PLAINTEXT://host:9092: give each node its own node.id
            > register-again 1
              broker 1 epoch 0
            > connected 2
            > register 1
              broker 1 fenced
              broker 1 epoch 2
        "#]],
    );
}

#[test]
fn a_broker_with_an_empty_disk_neither_leads_nor_counts_as_in_sync() {
    check(
        "brokers 1 2
         topic foo 1,2
         topic bar 1
         fence 2
         register 1 9
         unfence 1
         unfence 2
         elect unclean bar-0",
        expect![[r#"
            > brokers 1 2
              broker 1 epoch 0
              broker 1 unfenced
              broker 2 epoch 1
              broker 2 unfenced
            > topic foo 1,2
              topic foo
              foo-0 replicas 1,2 isr [1,2] leader 1 epochs 0/0
            > topic bar 1
              topic bar
              bar-0 replicas 1 isr [1] leader 1 epochs 0/0
            > fence 2
              foo-0 replicas 1,2 isr [1] leader 1 epochs 0/1
              broker 2 fenced
            > register 1 9
              foo-0 replicas 1,2 isr [] leader none epochs 1/3
              bar-0 replicas 1 isr [] leader none epochs 1/2
              broker 1 fenced
              foo-0 replicas 1,2 isr [] leader none epochs 1/3
              bar-0 replicas 1 isr [] leader none epochs 1/2
              broker 1 epoch 2
            > unfence 1
              broker 1 unfenced
            > unfence 2
              broker 2 unfenced
            > elect unclean bar-0
              bar-0: 
              bar-0 replicas 1 isr [1] leader 1 epochs 2/3 recovering
        "#]],
    );
}

#[test]
fn a_log_directory_belongs_to_one_broker() {
    check(
        "brokers 1 2
         register 3 2
         register 3 3 3",
        expect![[r#"
            > brokers 1 2
              broker 1 epoch 0
              broker 1 unfenced
              broker 2 epoch 1
              broker 2 unfenced
            > register 3 2
              INVALID_REGISTRATION: the log directory yAAAAAAAAAAAAAAAAAAAAg of broker 3 belongs to broker 2: one is a copy, or node.id was changed
            > register 3 3 3
              INVALID_REGISTRATION: broker 3 has two log directories with directory.id yAAAAAAAAAAAAAAAAAAAAw: one is a copy
        "#]],
    );
}

#[test]
fn a_controlled_shutdown_moves_leaders_away_first() {
    check(
        "brokers 1 2 3
         topic foo 1,2,3 2,3,1
         topic alone 1
         shutdown 1
         isr foo-0 by 2 = 2,3,1
         fence 1
         register 1
         unfence 1",
        expect![[r#"
            > brokers 1 2 3
              broker 1 epoch 0
              broker 1 unfenced
              broker 2 epoch 1
              broker 2 unfenced
              broker 3 epoch 2
              broker 3 unfenced
            > topic foo 1,2,3 2,3,1
              topic foo
              foo-0 replicas 1,2,3 isr [1,2,3] leader 1 epochs 0/0
              foo-1 replicas 2,3,1 isr [2,3,1] leader 2 epochs 0/0
            > topic alone 1
              topic alone
              alone-0 replicas 1 isr [1] leader 1 epochs 0/0
            > shutdown 1
              foo-0 replicas 1,2,3 isr [2,3] leader 2 epochs 1/1
              foo-1 replicas 2,3,1 isr [2,3] leader 2 epochs 0/1
              alone-0 replicas 1 isr [] leader none epochs 1/1 elr [1] last known [1]
              broker 1 shutting down
            > isr foo-0 by 2 = 2,3,1
              INELIGIBLE_REPLICA
              foo-0 replicas 1,2,3 isr [2,3] leader 2 epochs 1/2
            > fence 1
              broker 1 fenced
            > register 1
              broker 1 epoch 3
            > unfence 1
              broker 1 unfenced
              alone-0 replicas 1 isr [1] leader 1 epochs 2/2
        "#]],
    );
}

#[test]
fn a_failed_log_directory_takes_its_replicas_out_of_sync() {
    check(
        "register 1 1 11
         brokers 2
         unfence 1
         topic foo 1,2
         offline 1 11
         offline 2 2
         offline 1 1",
        expect![[r#"
            > register 1 1 11
              broker 1 epoch 0
            > brokers 2
              broker 2 epoch 1
              broker 2 unfenced
            > unfence 1
              broker 1 unfenced
            > topic foo 1,2
              topic foo
              foo-0 replicas 1,2 isr [1,2] leader 1 epochs 0/0
            > offline 1 11
              broker 1 1 log dirs
            > offline 2 2
              foo-0 replicas 1,2 isr [1] leader 1 epochs 0/1
              broker 2 0 log dirs
            > offline 1 1
              broker 1 0 log dirs
        "#]],
    );
}

#[test]
fn an_unregistered_broker_is_forgotten() {
    check(
        "brokers 1 2
         topic foo 1,2
         unregister 1
         unregister 1",
        expect![[r#"
            > brokers 1 2
              broker 1 epoch 0
              broker 1 unfenced
              broker 2 epoch 1
              broker 2 unfenced
            > topic foo 1,2
              topic foo
              foo-0 replicas 1,2 isr [1,2] leader 1 epochs 0/0
            > unregister 1
              foo-0 replicas 1,2 isr [2] leader 2 epochs 1/1
              broker 1 forgotten
            > unregister 1
              BROKER_ID_NOT_REGISTERED: broker 1 is not registered
        "#]],
    );
}

#[test]
fn a_step_with_a_record_that_does_not_fit_is_taken_back_alone() {
    let mut world = Harness::new(true);
    world.run("brokers 1 2");
    world.run("topic foo 1,2");
    let draft = &mut world.draft;
    let (image, records) = (draft.image.clone(), draft.records.len());
    let broken = draft.step(|draft| {
        super::super::brokers::fence(draft, NodeId(1));
        draft.push(MetadataRecord::UnregisterBroker {
            id: NodeId(99),
            epoch: BrokerEpoch(1),
        });
    });
    assert!(broken.is_err());
    assert_eq!(draft.image, image);
    assert_eq!(draft.records.len(), records);
    assert!(draft.notes.is_empty(), "{:?}", draft.notes);
    let fits = draft.step(|draft| super::super::brokers::fence(draft, NodeId(2)));
    assert_eq!(fits, Ok(()));
    assert!(!draft.image.is_active(NodeId(2)));
}
