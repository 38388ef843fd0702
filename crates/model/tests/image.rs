//! Tests of replaying records into an image, and of the resulting changes for one broker.

use std::sync::Arc;

use dohle_model::batch::{CommittedBatch, MetadataBatch};
use dohle_model::delta::MetadataDelta;
use dohle_model::ids::{LeaderEpoch, PartitionEpoch};
use dohle_model::image::{MetadataImage, ReplayError, Replayed};
use dohle_model::partition::PartitionRegistration;
use dohle_model::record::{MetadataRecord, PartitionChange};
use dohle_model::{
    DirectoryId, MetadataOffset, NodeId, PartitionIndex, TopicId, TopicIdPartition, TopicName, Uuid,
};

const TOPIC: TopicId = TopicId(Uuid([1; 16]));
const P0: TopicIdPartition = TopicIdPartition {
    topic_id: TOPIC,
    partition: PartitionIndex(0),
};

fn topic() -> MetadataRecord {
    MetadataRecord::Topic {
        name: TopicName::new("t").unwrap(),
        id: TOPIC,
    }
}

fn partition(replicas: &[i32], leader: i32) -> MetadataRecord {
    let replicas: Vec<NodeId> = replicas.iter().copied().map(NodeId).collect();
    MetadataRecord::Partition {
        topic_id: TOPIC,
        partition: PartitionIndex(0),
        registration: PartitionRegistration {
            leader: NodeId::from_wire(leader),
            ..PartitionRegistration::new(
                replicas.clone(),
                vec![DirectoryId::UNASSIGNED; replicas.len()],
                replicas,
            )
        },
    }
}

fn change(change: PartitionChange) -> MetadataRecord {
    MetadataRecord::PartitionChange {
        topic_id: TOPIC,
        partition: PartitionIndex(0),
        change,
    }
}

fn replay(image: &mut MetadataImage, records: &[MetadataRecord]) -> MetadataDelta {
    let mut delta = MetadataDelta::default();
    for record in records {
        image.replay(record, &mut delta).unwrap();
    }
    delta
}

#[test]
fn a_batch_planned_on_another_image_changes_nothing() {
    let mut image = MetadataImage::default();
    let mut delta = MetadataDelta::default();
    let batch = MetadataBatch {
        base: MetadataOffset(0),
        records: Arc::from([topic()]),
    };
    let first = CommittedBatch {
        offset: MetadataOffset(4),
        batch: batch.clone(),
    };
    assert_eq!(
        image.replay_batch(&first, &mut delta),
        Ok(Replayed::Applied)
    );
    let second = CommittedBatch {
        offset: MetadataOffset(5),
        batch,
    };
    assert_eq!(image.replay_batch(&second, &mut delta), Ok(Replayed::Stale));
    assert_eq!(image.offset, MetadataOffset(4));
}

#[test]
fn a_new_leader_raises_both_epochs_and_a_new_isr_only_one() {
    let mut image = MetadataImage::default();
    replay(&mut image, &[topic(), partition(&[1, 2], 1)]);
    let isr = PartitionChange {
        isr: Some(vec![NodeId(1)]),
        ..PartitionChange::default()
    };
    replay(&mut image, &[change(isr)]);
    let registration = image.partition(&P0).unwrap();
    assert_eq!(registration.leader_epoch, LeaderEpoch(0));
    assert_eq!(registration.partition_epoch, PartitionEpoch(1));
    let leader = PartitionChange {
        leader: Some(None),
        ..PartitionChange::default()
    };
    replay(&mut image, &[change(leader)]);
    let registration = image.partition(&P0).unwrap();
    assert_eq!(registration.leader_epoch, LeaderEpoch(1));
    assert_eq!(registration.partition_epoch, PartitionEpoch(2));
}

#[test]
fn a_broker_learns_what_to_lead_to_follow_and_to_delete() {
    let before = MetadataImage::default();
    let mut created = before.clone();
    let delta = replay(&mut created, &[topic(), partition(&[1, 2], 1)]);
    assert_eq!(
        delta
            .local_changes(NodeId(1), &before, &created)
            .leaders
            .len(),
        1
    );
    assert_eq!(
        delta
            .local_changes(NodeId(2), &before, &created)
            .followers
            .len(),
        1
    );
    assert_eq!(
        delta.local_changes(NodeId(3), &before, &created),
        Default::default()
    );
    assert_eq!(delta, MetadataDelta::between(&before, &created));

    let mut moved = created.clone();
    let to_three = PartitionChange {
        replicas: Some(vec![NodeId(1), NodeId(3)]),
        directories: Some(vec![DirectoryId::UNASSIGNED; 2]),
        isr: Some(vec![NodeId(1)]),
        ..PartitionChange::default()
    };
    let delta = replay(&mut moved, &[change(to_three)]);
    assert_eq!(
        delta
            .local_changes(NodeId(2), &created, &moved)
            .deletes
            .len(),
        1
    );
    assert_eq!(
        delta
            .local_changes(NodeId(3), &created, &moved)
            .followers
            .len(),
        1
    );
    assert!(!moved.replicas_of.contains_key(&NodeId(2)));

    let mut removed = moved.clone();
    let delta = replay(&mut removed, &[MetadataRecord::RemoveTopic { id: TOPIC }]);
    assert_eq!(
        delta
            .local_changes(NodeId(1), &moved, &removed)
            .deletes
            .len(),
        1
    );
    assert_eq!(removed, MetadataImage::default());
}

#[test]
fn a_record_that_does_not_fit_is_an_error() {
    let mut image = MetadataImage::default();
    let mut delta = MetadataDelta::default();
    let result = image.replay(&partition(&[1], 1), &mut delta);
    assert_eq!(result, Err(ReplayError::UnknownTopic(TOPIC)));
}

/// Returns an image after these activations, each followed by one batch.
fn history(activations: &[u8]) -> MetadataImage {
    let mut image = MetadataImage::default();
    for activation in activations {
        let id = Uuid([*activation; 16]);
        for records in [vec![MetadataRecord::ControllerActivated { id }], vec![]] {
            let committed = CommittedBatch {
                offset: MetadataOffset(image.offset.0 + 1),
                batch: MetadataBatch {
                    base: image.offset,
                    records: records.into(),
                },
            };
            let replayed = image.replay_batch(&committed, &mut MetadataDelta::default());
            assert_eq!(replayed, Ok(Replayed::Applied));
        }
    }
    image
}

#[test]
fn an_image_continues_only_the_history_that_it_is_part_of() {
    let position = history(&[1, 2]).position().unwrap();
    assert_eq!(position.offset, MetadataOffset(4));
    assert!(history(&[1, 2]).continues(position));
    assert!(history(&[1, 2, 3]).continues(position));
    // The quorum lost its newest batches, and has not reached that offset again.
    assert!(!history(&[1]).continues(position));
    // The quorum has reached it under another activation, or began anew.
    assert!(!history(&[1, 3, 4]).continues(position));
    assert!(!history(&[7, 8, 9]).continues(position));
    // A position between two batches of one activation.
    let mut earlier = position;
    earlier.offset = MetadataOffset(3);
    assert!(history(&[1, 2, 3]).continues(earlier));
    assert_eq!(MetadataImage::default().position(), None);
}

#[test]
fn a_position_older_than_the_kept_activations_is_not_vouched_for() {
    let activations: Vec<u8> = (0..1100).map(|at| (at % 251) as u8).collect();
    let image = history(&activations);
    assert_eq!(image.activations.len(), 1000);
    let position = history(&activations[..50]).position().unwrap();
    assert!(!image.continues(position));
    let position = history(&activations[..500]).position().unwrap();
    assert!(image.continues(position));
}
