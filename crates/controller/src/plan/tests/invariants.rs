//! Random histories: whatever is requested, the metadata stay consistent, and replaying the records
//! results in the image that they were planned on.

use std::collections::BTreeMap;

use dohle_model::delta::MetadataDelta;
use dohle_model::image::{MetadataImage, ReplayError};
use dohle_model::partition::PartitionRegistration;
use dohle_model::record::{MetadataRecord, PartitionChange};
use dohle_model::{NodeId, PartitionIndex, TopicIdPartition};
use proptest::prelude::*;

use super::Harness;
use crate::plan::Indexes;

fn line() -> impl Strategy<Value = String> {
    let node = 1..=4i32;
    let nodes = prop::sample::subsequence(vec![1, 2, 3, 4], 1..=4)
        .prop_shuffle()
        .prop_map(|ids| {
            ids.iter()
                .map(|id: &i32| id.to_string())
                .collect::<Vec<_>>()
                .join(",")
        });
    let partition = prop::sample::select(vec!["foo-0", "foo-1", "bar-0"]);
    prop_oneof![
        3 => node.clone().prop_map(|id| format!("fence {id}")),
        4 => node.clone().prop_map(|id| format!("unfence {id}")),
        1 => node.clone().prop_map(|id| format!("register {id}")),
        1 => node.clone().prop_map(|id| format!("register-unclean {id}")),
        1 => (node.clone(), 5..9u8)
            .prop_map(|(id, dir)| format!("register {id} {}", dir * 4 + id as u8)),
        1 => node.clone().prop_map(|id| format!("shutdown {id}")),
        1 => node.clone().prop_map(|id| format!("offline {id} {id}")),
        4 => (partition.clone(), node, nodes.clone())
            .prop_map(|(p, id, isr)| format!("isr {p} by {id} = {isr}")),
        2 => (partition.clone(), nodes).prop_map(|(p, r)| format!("reassign {p} = {r}")),
        1 => partition.clone().prop_map(|p| format!("cancel {p}")),
        1 => partition.clone().prop_map(|p| format!("elect preferred {p}")),
        1 => partition.prop_map(|p| format!("elect unclean {p}")),
        1 => any::<bool>().prop_map(|on| format!("config foo unclean.leader.election.enable={on}")),
        1 => Just("rebalance".to_owned()),
    ]
}

fn partitions(image: &MetadataImage) -> BTreeMap<TopicIdPartition, PartitionRegistration> {
    let of_topic = |topic: &dohle_model::image::TopicImage| {
        let topic_id = topic.id;
        let partitions = topic
            .partitions
            .iter()
            .map(move |(partition, registration)| {
                let id = TopicIdPartition {
                    topic_id,
                    partition: *partition,
                };
                (id, registration.as_ref().clone())
            });
        partitions.collect::<Vec<_>>()
    };
    image.topics.values().flat_map(of_topic).collect()
}

fn check_sound(world: &Harness, elr: bool, disks_lost: bool) -> Result<(), TestCaseError> {
    let distinct = |nodes: &[NodeId]| {
        nodes
            .iter()
            .enumerate()
            .all(|(at, node)| !nodes[..at].contains(node))
    };
    for (id, p) in partitions(&world.draft.image) {
        prop_assert!(
            distinct(&p.isr) && distinct(&p.replicas) && distinct(&p.elr),
            "{id} {p:?}"
        );
        prop_assert!(
            p.isr.iter().all(|node| p.replicas.contains(node)),
            "{id} {p:?}"
        );
        prop_assert!(
            p.elr.iter().all(|node| p.replicas.contains(node)),
            "{id} {p:?}"
        );
        prop_assert!(p.elr.iter().all(|node| !p.isr.contains(node)), "{id} {p:?}");
        prop_assert!(elr || p.elr.is_empty(), "{id} {p:?}");
        prop_assert_eq!(p.directories.len(), p.replicas.len());
        if let Some(leader) = p.leader {
            prop_assert!(p.isr.contains(&leader), "{id} {p:?}");
            prop_assert!(world.draft.is_eligible(leader), "{id} {p:?}");
        }
        if elr {
            // Members of the ISR are alive. Unless a disk was lost, there is a replica that holds
            // all committed records, or that was the last leader.
            prop_assert!(
                p.isr.iter().all(|node| world.draft.is_eligible(*node)),
                "{id} {p:?}"
            );
            prop_assert!(
                disks_lost
                    || !(p.isr.is_empty() && p.elr.is_empty() && p.last_known_elr.is_empty()),
                "{id} {p:?}"
            );
        } else {
            prop_assert!(disks_lost || !p.isr.is_empty(), "{id} {p:?}");
        }
        prop_assert!(!p.replicas.is_empty(), "{id} {p:?}");
    }
    prop_assert_eq!(&world.draft.indexes, &Indexes::of(&world.draft.image));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn metadata_stays_sound(lines in prop::collection::vec(line(), 1..60), elr: bool) {
        let mut world = Harness::new(elr);
        let empty = MetadataImage::default();
        world.run("brokers 1 2 3 4");
        world.run("topic foo 1,2,3 2,3,4 min.insync.replicas=2");
        world.run("topic bar 4");
        for line in &lines {
            let before = partitions(&world.draft.image);
            world.run(line);
            let after = partitions(&world.draft.image);
            let words: Vec<&str> = line.split_whitespace().collect();
            let disks_lost = lines.iter().any(|line| {
                line.starts_with("register") && line.split_whitespace().count() > 2
            });
            check_sound(&world, elr, disks_lost)
                .map_err(|error| TestCaseError::fail(format!("after {words:?}: {error}")))?;
            for (id, old) in before {
                let new = &after[&id];
                prop_assert!(new.leader_epoch >= old.leader_epoch);
                prop_assert!(new.partition_epoch >= old.partition_epoch);
                if new.leader != old.leader {
                    prop_assert!(new.leader_epoch > old.leader_epoch, "{old:?} {new:?}");
                }
                if *new != old {
                    prop_assert!(new.partition_epoch > old.partition_epoch);
                }
            }
        }
        let mut replayed = empty;
        let mut indexes = Indexes::default();
        for record in &world.draft.records {
            let mut delta = MetadataDelta::default();
            replayed.replay(record, &mut delta).unwrap();
            indexes.replayed(&replayed, &delta);
        }
        prop_assert_eq!(&replayed, &world.draft.image);
        prop_assert_eq!(&indexes, &world.draft.indexes);
    }
}

/// Whatever plans it, no batch has such a change. What the metadata log has already may be changed.
#[test]
fn a_change_that_makes_a_registration_inconsistent_is_refused() {
    let mut world = Harness::new(true);
    world.run("brokers 1 2 3");
    world.run("topic foo 1,2,3");
    let topic_id = world.draft.image.topic("foo").unwrap().id;
    let id = TopicIdPartition {
        topic_id,
        partition: PartitionIndex(0),
    };
    let (records, before) = (world.draft.records.len(), world.draft.partition(id));
    let isr = |nodes: &[i32]| PartitionChange {
        isr: Some(nodes.iter().copied().map(NodeId).collect()),
        ..PartitionChange::default()
    };
    let without_leader = world
        .draft
        .step(|draft| draft.push_change(id, Some(isr(&[2, 3]))));
    let reason = "its leader is not in its ISR";
    assert_eq!(
        without_leader,
        Err(ReplayError::Inconsistent { id, reason })
    );
    assert_eq!(world.draft.records.len(), records);
    assert_eq!(world.draft.partition(id), before);

    let mut delta = MetadataDelta::default();
    let committed = MetadataRecord::PartitionChange {
        topic_id,
        partition: id.partition,
        change: isr(&[2, 3]),
    };
    world.draft.image.replay(&committed, &mut delta).unwrap();
    let repaired = world
        .draft
        .step(|draft| draft.push_change(id, Some(isr(&[2]))));
    assert_eq!(repaired, Ok(true));
}
