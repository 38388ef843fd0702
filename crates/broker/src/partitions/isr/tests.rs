//! Tests of when replicas join the ISR.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use dohle_model::record::{MetadataRecord, PartitionChange};
use dohle_model::{
    DirectoryId, ErrorCode, LeaderEpoch, Offset, PartitionEpoch, PartitionIndex, Timestamp,
    TopicIdPartition,
};
use futures::future::BoxFuture;
use parking_lot::Mutex;

use super::alter_isr_loop;
use crate::partition::shared::PartitionContext;
use crate::partition::{Acks, AppendOrigin};
use crate::partitions::{AlterAnswer, ControllerLink};
use crate::replica::IsrProposal;
use crate::testing::{NODE, OTHER, Replicas, batch, fence_other, follow};

// One thread, so that nothing, and no timer in particular, runs between the steps of the test.
#[tokio::test]
async fn a_follower_is_proposed_with_the_news_that_its_broker_is_live() {
    let broker = Replicas::start(&[]).await;
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
    assert!(
        partition.is_proposed(&proposal),
        "as soon as the broker is unfenced"
    );
}

/// A controller that returns these responses one after the other, and then none.
struct Scripted(Mutex<VecDeque<Result<AlterAnswer, String>>>);

impl ControllerLink for Scripted {
    fn alter_partition<'a>(
        &'a self,
        _: &'a [(TopicIdPartition, IsrProposal)],
    ) -> BoxFuture<'a, Result<AlterAnswer, String>> {
        let answer = self.0.lock().pop_front();
        Box::pin(async move {
            match answer {
                Some(answer) => answer,
                None => std::future::pending().await,
            }
        })
    }

    fn assign_dirs<'a>(
        &'a self,
        _: &'a [(TopicIdPartition, DirectoryId)],
    ) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(std::future::pending())
    }
}

/// Returns the high watermark of a leader that is alone in its ISR and appended a record after the
/// controller refused the other replica, which is not connected and lacks that record. `answers`
/// precede the refusal, in which `repeated` states whether the request was sent more than once.
async fn watermark_after_refusal(answers: Vec<String>, repeated: bool) -> Offset {
    let broker = Replicas::start(&[]).await;
    let topic_id = broker.topic_led_by("t", 1, NODE, vec![NODE, OTHER]).await;
    let alone = MetadataRecord::PartitionChange {
        topic_id,
        partition: PartitionIndex(0),
        change: PartitionChange {
            isr: Some(vec![NODE]),
            ..PartitionChange::default()
        },
    };
    broker.apply(&[alone]).await;
    let partition = broker.partition(topic_id, 0);
    let feed = follow(&partition);
    let proposal = IsrProposal {
        leader_epoch: LeaderEpoch(3),
        partition_epoch: PartitionEpoch(1),
        isr: Vec::new(),
    };
    assert!(partition.is_proposed(&proposal));
    let refusal = AlterAnswer {
        outcomes: vec![(partition.id(), Err(ErrorCode::IneligibleReplica))],
        repeated,
    };
    let answers = answers.into_iter().map(Err).chain([Ok(refusal)]);
    let link = Arc::new(Scripted(Mutex::new(answers.collect())));
    let shared = PartitionContext::new(NODE, Default::default());
    shared.propose(partition.id(), proposal.clone());
    let partitions = Arc::downgrade(&broker.partitions);
    let asking = tokio::spawn(alter_isr_loop(partitions, shared, link));
    let refused = async {
        while partition.is_proposed(&proposal) {
            tokio::task::yield_now().await;
        }
    };
    let deadline = Duration::from_secs(20);
    tokio::time::timeout(deadline, refused)
        .await
        .expect("refused");
    asking.abort();
    partition.end_subscription(feed);
    let (records, now) = (batch(&["a"]), Timestamp(1_700_000_000_000));
    let appended = partition.append(records, Acks::Leader, AppendOrigin::Client, now);
    assert_eq!(appended.unwrap().end(), Offset(1));
    partition.positions().high_watermark
}

#[tokio::test]
async fn a_refusal_after_an_unanswered_request_leaves_a_doubt() {
    let first = watermark_after_refusal(vec![], false).await;
    assert_eq!(first, Offset(1), "the only request was refused");
    // A request that got no answer may still be carried out, and make the other replica a member.
    let lost = vec!["no answer".to_owned()];
    assert_eq!(watermark_after_refusal(lost, false).await, Offset(0));
    assert_eq!(watermark_after_refusal(vec![], true).await, Offset(0));
}
