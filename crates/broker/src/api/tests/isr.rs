//! Who joins the ISR, and when.

use dohle_model::record::{MetadataRecord, PartitionChange};
use dohle_model::{LeaderEpoch, PartitionEpoch, PartitionIndex};

use super::harness::{Broker, NODE, OTHER, fence_other};
use super::readers::follow;
use crate::replica::IsrProposal;

// One thread: nothing else runs between what the test does, the clock's work least of all.
#[tokio::test]
async fn a_follower_is_proposed_with_the_news_that_its_broker_is_live() {
    let broker = Broker::start(&[]).await;
    let topic_id = broker.topic_led_by("t", 1, NODE, vec![NODE, OTHER]).await;
    let alone = MetadataRecord::PartitionChange {
        topic_id,
        partition: PartitionIndex(0),
        change: PartitionChange {
            isr: Some(vec![NODE]),
            ..PartitionChange::default()
        },
    };
    broker.apply(&[fence_other(true), alone]).await;
    let partition = broker.partition(topic_id, 0);
    let proposal = IsrProposal {
        leader_epoch: LeaderEpoch(3),
        partition_epoch: PartitionEpoch(1),
        isr: Vec::new(),
    };
    follow(&partition);
    assert!(!partition.is_proposed(&proposal), "of a fenced broker");
    broker.apply(&[fence_other(false)]).await;
    assert!(partition.is_proposed(&proposal), "at the very news");
}
